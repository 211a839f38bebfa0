//! Spreads the packets of a big picture, for links that drop what comes too fast.

use std::time::Duration;

/// What timers are good for. So much is sent ahead of its time.
pub(super) const SLICE: Duration = Duration::from_millis(1);
/// No picture takes longer, however slow its pace: it would be old when it is whole.
const MOST_SPREAD: Duration = Duration::from_millis(500);

/// The pace of one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    bits_per_second: f64,
}

impl Pace {
    /// The pace of a picture of `bytes`, to be sent at `bits_per_second` or as much faster as it takes to be sent in half a
    /// second.
    pub(super) fn new(bits_per_second: u64, bytes: usize) -> Self {
        let least = bytes as f64 * 8.0 / MOST_SPREAD.as_secs_f64();
        Self { bits_per_second: least.max(bits_per_second as f64) }
    }

    /// How many bytes may have been sent this long after the first.
    pub(super) fn allowed_bytes(self, after: Duration) -> usize {
        ((after + SLICE).as_secs_f64() * self.bits_per_second / 8.0) as usize
    }

    /// How long after the first byte so many may have been sent.
    pub(super) fn due(self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 * 8.0 / self.bits_per_second).saturating_sub(SLICE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_takes_the_time_that_its_bits_take() {
        let pace = Pace::new(8_000_000, 100_000);
        assert_eq!(pace.due(100_000), Duration::from_millis(99));
        assert_eq!(pace.allowed_bytes(Duration::ZERO), 1000);
        assert_eq!(pace.allowed_bytes(Duration::from_millis(49)), 50_000);
        for bytes in [1, 1000, 1400, 99_999] {
            assert!(pace.allowed_bytes(pace.due(bytes) + Duration::from_nanos(1)) + 1 >= bytes, "{bytes}");
        }
    }

    #[test]
    fn but_half_a_second_at_most() {
        let pace = Pace::new(8_000, 100_000);
        assert_eq!(pace.due(100_000), Duration::from_millis(499));
    }
}
