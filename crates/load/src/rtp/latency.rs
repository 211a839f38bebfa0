//! How long each picture was under way, from the camera's own log to the arrival of its last packet.
//!
//! What a camera writes into its JPEGs does not survive RTP, which carries their scans alone. So the camera keeps a log
//! of when each picture was out, and each arrival belongs to the last picture that was out before it. That is right as
//! long as pictures take less than the time between two of them; two arrivals for one picture give away that it was not.

use std::path::Path;

use anyhow::Context;

use crate::histogram::Histogram;

/// What arrivals and log say together.
#[derive(Debug, Default)]
pub(super) struct Latency {
    pub(super) times: Histogram,
    /// Arrivals for which no picture was left.
    pub(super) unexplained: u64,
}

impl Latency {
    pub(super) fn read(log: &Path, arrivals: &[u64]) -> anyhow::Result<Self> {
        let bytes = std::fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
        let (entries, _) = bytes.as_chunks::<8>();
        let written: Vec<u64> = entries.iter().map(|entry| u64::from_be_bytes(*entry)).collect();
        Ok(Self::of(&written, arrivals))
    }

    /// Both rise.
    fn of(written: &[u64], arrivals: &[u64]) -> Self {
        let mut latency = Self::default();
        let mut taken = 0;
        for arrival in arrivals {
            let out = written.partition_point(|written| written <= arrival);
            if out > taken {
                latency.times.add(arrival - written[out - 1]);
                taken = out;
            } else {
                latency.unexplained += 1;
            }
        }
        latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_arrival_has_its_picture() {
        let latency = Latency::of(&[100, 200, 300, 400], &[210, 305, 430]);
        assert_eq!((latency.times.max(), latency.unexplained), (Some(30), 0));
    }

    #[test]
    fn what_took_too_long_is_seen() {
        let latency = Latency::of(&[100, 200], &[50, 210, 220]);
        assert_eq!((latency.times.max(), latency.unexplained), (Some(10), 2));
    }
}
