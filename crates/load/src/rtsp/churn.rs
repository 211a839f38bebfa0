//! Readers that come and go at random: how long each stays and is away, how it leaves, and what all of them saw.

use std::time::Duration;

use crate::histogram::Histogram;
use crate::rtsp::record::Record;

/// How a reader leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It says so.
    Teardown,
    /// It closes its connection.
    Close,
    /// Its connection is reset.
    Reset,
}

/// The dice: the same sequence in every run.
#[derive(Debug)]
pub(super) struct Churn {
    state: u64,
    longest_stay: Duration,
}

impl Churn {
    pub(super) fn new(thread: u64, longest_stay: Duration) -> Self {
        Self { state: 0x9E37_79B9_7F4A_7C15 ^ (thread + 1).wrapping_mul(0xD134_2543_DE82_EF95), longest_stay }
    }

    /// 0 up to but not including 1 (xorshift64).
    fn share(&mut self) -> f64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How long the next one stays.
    pub(super) fn stay(&mut self) -> Duration {
        let share = self.share();
        self.longest_stay.mul_f64(share)
    }

    /// How long before another one takes its place: a tenth of what it would stay.
    pub(super) fn away(&mut self) -> Duration {
        self.stay() / 10
    }

    pub(super) fn leaving(&mut self) -> Leaving {
        match (self.share() * 4.0) as u32 {
            0 => Leaving::Close,
            1 => Leaving::Reset,
            _ => Leaving::Teardown,
        }
    }
}

/// What readers that are gone saw, from their first moment to their last.
#[derive(Debug, Clone, Default)]
pub(super) struct Lives {
    pub(super) left: u64,
    /// Gone before they wanted to.
    pub(super) failed: u64,
    pub(super) failures: Vec<String>,
    /// Left without a picture, though they stayed for two seconds.
    pub(super) without_picture: u64,
    /// Their first packet was a keyframe's.
    pub(super) began_with_key: u64,
    pub(super) pictures: u64,
    pub(super) damaged: u64,
    pub(super) lost: u64,
    pub(super) missed: u64,
    pub(super) dropped_by_reader: u64,
    pub(super) first_key: Histogram,
}

/// A reader that was here for so long ought to have seen something.
const PATIENCE: Duration = Duration::from_secs(2);

impl Lives {
    pub(super) fn add(&mut self, record: &Record, age: Duration) {
        let counts = record.counts();
        self.left += 1;
        if let Some(failure) = &record.failure {
            self.failed += 1;
            if self.failures.len() < 5 && !self.failures.contains(failure) {
                self.failures.push(failure.clone());
            }
        }
        self.without_picture += u64::from(counts.pictures == 0 && age > PATIENCE);
        self.began_with_key += u64::from(record.began_with_key());
        self.pictures += counts.pictures;
        self.damaged += counts.damaged;
        self.lost += counts.lost;
        self.missed += record.missed.unwrap_or(0);
        self.dropped_by_reader += record.dropped_by_reader;
        if let Some(time) = record.first_key {
            self.first_key.add(time.as_micros() as u64);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.left += other.left;
        self.failed += other.failed;
        for failure in &other.failures {
            if self.failures.len() < 5 && !self.failures.contains(failure) {
                self.failures.push(failure.clone());
            }
        }
        self.without_picture += other.without_picture;
        self.began_with_key += other.began_with_key;
        self.pictures += other.pictures;
        self.damaged += other.damaged;
        self.lost += other.lost;
        self.missed += other.missed;
        self.dropped_by_reader += other.dropped_by_reader;
        self.first_key.merge(&other.first_key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dice_are_fair_and_repeat() {
        let longest = Duration::from_secs(10);
        let mut churn = Churn::new(0, longest);
        let stays: Vec<_> = (0..1000).map(|_| churn.stay()).collect();
        assert!(stays.iter().all(|stay| *stay < longest));
        let mean = stays.iter().sum::<Duration>() / 1000;
        assert!((4500..5500).contains(&mean.as_millis()), "{mean:?}");
        let mut again = Churn::new(0, longest);
        assert_eq!(again.stay(), stays[0]);
        let torn = (0..1000).filter(|_| churn.leaving() == Leaving::Teardown).count();
        assert!((400..600).contains(&torn), "{torn}");
    }
}
