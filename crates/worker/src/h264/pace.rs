//! How many pictures a second really come.
//!
//! Encoders spread a bit rate over the pictures that they expect: where twice as many come, twice the bit rate goes out.
//! They could be told each picture's time instead, but x264 then waits for the next picture to know how long this one
//! is shown. So the pictures are counted, and an encoder that expects another rate is opened anew where a keyframe
//! is due anyway.

/// Least and greatest rates that are told, in pictures in 1000 s.
const RATES: (u32, u32) = (100, 240_000);
/// Where nobody has said anything.
const USUAL_RATE: u32 = 30_000;
/// Shorter times say nothing, in µs.
const LEAST_TIME_US: i64 = 900_000;
/// Nor do fewer pictures.
const LEAST_PICTURES: u32 = 5;
/// A camera that was away for longer, in µs or in intervals, is counted anew.
const LONG_GAP_US: i64 = 1_000_000;
const LONG_GAP_INTERVALS: i64 = 4;

/// Counts pictures.
#[derive(Debug)]
pub(super) struct Pace {
    /// Pictures in 1000 s.
    expected: u32,
    /// Time of the first picture, in µs, and of the last.
    times_us: Option<(i64, i64)>,
    /// Pictures after the first.
    pictures: u32,
}

impl Pace {
    /// With `expected` pictures in 1000 s.
    pub(super) fn new(expected: u32) -> Self {
        Self { expected, times_us: None, pictures: 0 }
    }

    /// A picture of this time, in µs.
    pub(super) fn count(&mut self, time_us: i64) {
        let interval_us = 1_000_000_000 / i64::from(self.expected);
        let most_us = LONG_GAP_US.max(LONG_GAP_INTERVALS * interval_us);
        match &mut self.times_us {
            Some((_, last)) if (0..=most_us).contains(&time_us.saturating_sub(*last)) => {
                *last = time_us;
                self.pictures += 1;
            }
            // Also where the clock was set back.
            _ => {
                self.times_us = Some((time_us, time_us));
                self.pictures = 0;
            }
        }
    }

    /// The rate, in whole pictures in 1000 s, if it is another than expected by more than a fifth. Counts anew.
    pub(super) fn surprise(&mut self) -> Option<u32> {
        let (first, last) = self.times_us?;
        let (time_us, pictures) = (last - first, self.pictures);
        if time_us < LEAST_TIME_US || pictures < LEAST_PICTURES {
            return None;
        }
        self.times_us = Some((last, last));
        self.pictures = 0;
        let found = i64::from(pictures) * 1_000_000_000 / time_us;
        // To a whole picture a second where that makes little difference.
        let found = if found > 10_000 { (found + 500) / 1000 * 1000 } else { found } as u32;
        (found.abs_diff(self.expected) > self.expected / 5).then(|| usual(found))
    }
}

/// `rate` as it is told: the usual one for 0, and none that is out of every camera's reach.
pub(super) fn usual(rate: u32) -> u32 {
    if rate == 0 { USUAL_RATE } else { rate.clamp(RATES.0, RATES.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(expected: u32, times_us: impl IntoIterator<Item = i64>) -> Pace {
        let mut pace = Pace::new(expected);
        times_us.into_iter().for_each(|time| pace.count(time));
        pace
    }

    #[test]
    fn another_rate_is_found() {
        let times = |interval_us: i64| (0..60).map(move |picture| picture * interval_us);
        assert_eq!(counted(30_000, times(33_333)).surprise(), None);
        assert_eq!(counted(30_000, times(40_000)).surprise(), None);
        assert_eq!(counted(30_000, times(66_667)).surprise(), Some(15_000));
        assert_eq!(counted(25_000, times(16_600)).surprise(), Some(60_000));
        assert_eq!(counted(25_000, times(300_000)).surprise(), Some(3333));
        assert_eq!(counted(25_000, times(2)).surprise(), None, "too short to tell");
        let mut twice = counted(30_000, times(66_667));
        assert_eq!((twice.surprise(), twice.surprise()), (Some(15_000), None));
    }

    #[test]
    fn a_camera_that_was_away_or_whose_clock_was_set_is_counted_anew() {
        let away =
            (0..60).map(|picture| if picture < 30 { picture * 40_000 } else { picture * 40_000 + 1_500_000 });
        let mut pace = counted(25_000, away);
        assert_eq!((pace.pictures, pace.surprise()), (29, None));
        let set =
            (0..60).map(|picture| if picture < 30 { picture * 40_000 } else { picture * 40_000 - 9_000_000 });
        assert_eq!(counted(25_000, set).surprise(), None);
        assert_eq!(usual(0), 30_000);
        assert_eq!(usual(u32::MAX), 240_000);
    }
}
