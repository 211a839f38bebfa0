//! Media time: a count of ticks that carries its clock rate.

use std::num::NonZeroU32;
use std::time::Duration;

/// A point on a track's own clock.
///
/// The origin is arbitrary (a camera's boot, a random RTP offset): only differences mean something. May go backwards
/// between consecutive frames of a track with B-frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MediaTime {
    ticks: i64,
    rate: NonZeroU32,
}

impl MediaTime {
    /// The clock of video over RTP: 90 000 ticks a second (RFC 3551 §5).
    pub const VIDEO_RATE: NonZeroU32 = NonZeroU32::new(90_000).expect("not zero");

    /// `ticks` on a clock of `rate` ticks a second.
    pub const fn new(ticks: i64, rate: NonZeroU32) -> Self {
        Self { ticks, rate }
    }

    /// `since_origin` on the 90 kHz video clock, rounded down.
    pub fn video(since_origin: Duration) -> Self {
        Self::from_duration(since_origin, Self::VIDEO_RATE)
    }

    /// `since_origin` on a clock of `rate` ticks a second, rounded down.
    pub fn from_duration(since_origin: Duration, rate: NonZeroU32) -> Self {
        let ticks = since_origin.as_nanos() * u128::from(rate.get()) / 1_000_000_000;
        Self { ticks: i64::try_from(ticks).unwrap_or(i64::MAX), rate }
    }

    /// Ticks since the clock's origin.
    pub const fn ticks(self) -> i64 {
        self.ticks
    }

    /// Ticks a second.
    pub const fn rate(self) -> NonZeroU32 {
        self.rate
    }

    /// The same point on a clock of `rate` ticks a second, rounded towards the past.
    pub fn rescale(self, rate: NonZeroU32) -> Self {
        if rate == self.rate {
            return self;
        }
        let ticks = (i128::from(self.ticks) * i128::from(rate.get())).div_euclid(i128::from(self.rate.get()));
        Self { ticks: ticks.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64, rate }
    }

    /// How long after `earlier` this is; zero if it is not after it. The clocks may have different rates.
    pub fn since(self, earlier: Self) -> Duration {
        let nanos = |t: Self| i128::from(t.ticks) * 1_000_000_000 / i128::from(t.rate.get());
        let difference = nanos(self) - nanos(earlier);
        Duration::from_nanos(u64::try_from(difference.max(0)).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLIS: NonZeroU32 = NonZeroU32::new(1000).unwrap();

    #[test]
    fn a_second_is_ninety_thousand_video_ticks() {
        assert_eq!(MediaTime::video(Duration::from_secs(1)).ticks(), 90_000);
        assert_eq!(MediaTime::video(Duration::from_micros(33_333)).ticks(), 2_999);
    }

    #[test]
    fn rescaling_rounds_towards_the_past_on_both_sides_of_the_origin() {
        assert_eq!(MediaTime::new(89, MediaTime::VIDEO_RATE).rescale(MILLIS).ticks(), 0);
        assert_eq!(MediaTime::new(-1, MediaTime::VIDEO_RATE).rescale(MILLIS).ticks(), -1);
    }

    #[test]
    fn differences_cross_clock_rates_and_never_go_below_zero() {
        let later = MediaTime::new(90_000, MediaTime::VIDEO_RATE);
        let earlier = MediaTime::new(250, MILLIS);
        assert_eq!(later.since(earlier), Duration::from_millis(750));
        assert_eq!(earlier.since(later), Duration::ZERO);
    }

    #[test]
    fn extreme_ticks_saturate() {
        let far = MediaTime::new(i64::MAX, NonZeroU32::MIN);
        assert_eq!(far.rescale(MediaTime::VIDEO_RATE).ticks(), i64::MAX);
        assert_eq!(far.since(MediaTime::new(i64::MIN, NonZeroU32::MIN)), Duration::from_nanos(u64::MAX));
    }
}
