//! What is written down about one viewer.

use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::protocol::Picture;

/// Filled by the engine while the viewer watches; only the pictures of the measured time count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// Pictures that do not begin with FFD8 or end with FFD9.
    pub(crate) unsound: u64,
    /// Pictures the camera sent that never came, by the numbers in its stamps; `None` without stamps.
    pub(crate) skipped: Option<u64>,
    /// From the call to connect to the first whole picture.
    pub(crate) first_picture: Option<Duration>,
    /// Between the ends of two pictures.
    pub(crate) intervals: Histogram,
    /// From X-Timestamp to the picture's last byte.
    pub(crate) latency: Option<Histogram>,
    /// From the camera's stamp to the picture's last byte.
    pub(crate) camera_latency: Option<Histogram>,
    /// Why it stopped before the end.
    pub(crate) failure: Option<String>,
    last: Option<Instant>,
    last_sequence: Option<u32>,
}

impl Record {
    /// A whole picture is there. `now` and `wall_micros` are the same moment on two clocks.
    pub(crate) fn picture(&mut self, picture: &Picture, now: Instant, wall_micros: u64, measured: bool) {
        let last = self.last.replace(now);
        let sequence = picture.stamp.map(|stamp| stamp.sequence);
        let last_sequence = std::mem::replace(&mut self.last_sequence, sequence);
        if !measured {
            return;
        }
        self.frames += 1;
        self.bytes += picture.bytes;
        self.unsound += u64::from(!picture.sound);
        if let Some(last) = last {
            self.intervals.add((now - last).as_micros() as u64);
        }
        // A looped or restarted camera begins again at 0: not a loss.
        if let (Some(sequence), Some(before)) = (sequence, last_sequence) {
            *self.skipped.get_or_insert(0) += u64::from(sequence.saturating_sub(before).saturating_sub(1));
        }
        let under_way = |since: u64| wall_micros.saturating_sub(since);
        if let Some(timestamp) = picture.timestamp {
            self.latency.get_or_insert_default().add(under_way(timestamp));
        }
        if let Some(stamp) = picture.stamp {
            self.camera_latency.get_or_insert_default().add(under_way(stamp.written_micros));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Stamp;

    fn picture(sequence: u32) -> Picture {
        let stamp = Some(Stamp { sequence, written_micros: 1_000_000 });
        Picture { bytes: 10, timestamp: Some(900_000), stamp, sound: true }
    }

    #[test]
    fn only_the_measured_time_counts_and_losses_are_exact() {
        let (mut record, start) = (Record::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        record.picture(&picture(3), at(0), 1_001_000, false);
        assert_eq!(record.frames, 0);
        record.picture(&picture(4), at(33), 1_002_000, true);
        record.picture(&picture(8), at(133), 1_003_000, true);
        record.picture(&picture(0), at(166), 1_004_000, true);
        assert_eq!((record.frames, record.bytes, record.skipped), (3, 30, Some(3)));
        assert_eq!(record.intervals.max(), Some(100_000));
        assert_eq!(record.camera_latency.unwrap().max(), Some(4_000));
        assert_eq!(record.latency.unwrap().max(), Some(104_000));
    }
}
