//! Pictures and bits a second, over the last few seconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back a rate looks: long enough to be steady, short enough to show a change.
const WINDOW: Duration = Duration::from_secs(3);
/// At most this many pictures are remembered, so that a flood costs no memory.
const REMEMBERED: usize = 256;

/// Measures the rate of a stream.
#[derive(Debug, Default)]
pub struct RateMeter {
    recent: VecDeque<(Instant, usize)>,
}

/// What a [`RateMeter`] measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Pictures a second.
    pub frames_per_second: f64,
    /// Bits a second.
    pub bits_per_second: f64,
}

impl RateMeter {
    /// A picture of `bytes` came at `now`.
    pub fn add(&mut self, now: Instant, bytes: usize) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((now, bytes));
        self.forget(now);
    }

    /// The rate at `now`; zero once nothing came for three seconds.
    pub fn rate(&mut self, now: Instant) -> Rate {
        self.forget(now);
        let (Some((first, first_bytes)), Some((last, _))) = (self.recent.front(), self.recent.back()) else {
            return Rate::default();
        };
        // A camera that has just stopped is seen slowing down, not running at its last rate until the window is empty.
        let intervals = (self.recent.len() - 1) as f64;
        let usual = last.duration_since(*first).as_secs_f64() / intervals.max(1.0);
        let silent = now.saturating_duration_since(*last).as_secs_f64();
        let span = last.duration_since(*first).as_secs_f64() + (silent - usual).max(0.0);
        if intervals == 0.0 || span <= 0.0 {
            return Rate::default();
        }
        let bytes: usize = self.recent.iter().map(|(_, bytes)| bytes).sum::<usize>() - first_bytes;
        Rate { frames_per_second: intervals / span, bits_per_second: bytes as f64 * 8.0 / span }
    }

    fn forget(&mut self, now: Instant) {
        while self.recent.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_has_its_rate_and_a_silent_one_none() {
        let start = Instant::now();
        let mut meter = RateMeter::default();
        for n in 0..90 {
            meter.add(start + Duration::from_micros(33_333) * n, 1000);
        }
        let end = start + Duration::from_micros(33_333) * 89;
        let rate = meter.rate(end);
        assert!((rate.frames_per_second - 30.0).abs() < 0.01, "{rate:?}");
        assert!((rate.bits_per_second - 240_000.0).abs() < 100.0, "{rate:?}");
        assert!(meter.rate(end + Duration::from_secs(1)).frames_per_second < 24.0);
        assert_eq!(meter.rate(end + Duration::from_secs(4)), Rate::default());
    }

    #[test]
    fn a_flood_is_remembered_in_bounds() {
        let start = Instant::now();
        let mut meter = RateMeter::default();
        for n in 0..10_000 {
            meter.add(start + Duration::from_micros(100) * n, 10);
        }
        assert_eq!(meter.recent.len(), REMEMBERED);
        assert!(
            (meter.rate(start + Duration::from_micros(999_900)).frames_per_second - 10_000.0).abs() < 50.0
        );
    }
}
