//! When a frame was taken, by the camera's own clock where its reports tell that, and by ours where they do not.

use std::time::{Duration, SystemTime};

/// A capture time that is farther back than this is a wrong clock's.
const OLDEST_NANOS: i128 = 5_000_000_000;
/// How much two clocks are let drift apart, per nanosecond: quartz is five times better.
const DRIFT: f64 = 0.000_25;

/// A time by both of our clocks: one that nobody sets, since an origin of the caller's, and the wall's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the origin.
    pub since: Duration,
    /// On the wall.
    pub wall: SystemTime,
}

impl Moment {
    /// Now, with this origin.
    pub fn now(origin: tokio::time::Instant) -> Self {
        Self { since: origin.elapsed(), wall: SystemTime::now() }
    }

    /// What the wall clock said at `then`, which is not later.
    fn wall_at(&self, then: Duration) -> SystemTime {
        self.wall.checked_sub(self.since.saturating_sub(then)).unwrap_or(self.wall)
    }
}

/// A camera's wall clock against ours. All tracks of a camera share one, so that sound and pictures stay together.
///
/// The camera is believed where its frames seem to be on the way for no more than 5 s. Where its clock is wrong, its frames stay as
/// far apart as it says, and the one that was on the way for the shortest time counts as taken when it came.
#[derive(Debug, Default)]
pub struct CameraClock {
    /// The shortest time that a frame seemed to be on the way, in nanoseconds, and when that was found.
    least: Option<(i128, Duration)>,
}

impl CameraClock {
    /// When a frame was taken that came at `arrived`; `sent` is what the camera says.
    pub fn captured(&mut self, now: Moment, arrived: Duration, sent: Option<SystemTime>) -> SystemTime {
        let came = now.wall_at(arrived);
        let Some(sent) = sent else { return came };
        let age = match came.duration_since(sent) {
            Ok(age) => age.as_nanos() as i128,
            Err(ahead) => -(ahead.duration().as_nanos() as i128),
        };
        let drifted = |(least, at): (i128, Duration)| {
            least + (now.since.saturating_sub(at).as_nanos() as f64 * DRIFT) as i128
        };
        let least = match self.least.map(drifted) {
            Some(least) if age >= least && age - least <= OLDEST_NANOS => least,
            // Its clock was set, or the way became shorter.
            _ => age,
        };
        self.least = Some((least, now.since));
        let way = if (0..=OLDEST_NANOS).contains(&least) { age } else { age - least };
        came.checked_sub(Duration::from_nanos(u64::try_from(way).unwrap_or(0))).unwrap_or(came)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const START: Duration = Duration::from_secs(1_700_000_000);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// By how much a frame that comes this long after the start is older than that, for a camera that says so.
    fn age(clock: &mut CameraClock, after: Duration, sent: Option<SystemTime>) -> Duration {
        let now = Moment { since: after, wall: UNIX_EPOCH + START + after };
        now.wall.duration_since(clock.captured(now, after, sent)).unwrap()
    }

    #[test]
    fn a_right_clock_is_believed_and_none_is_done_without() {
        let mut clock = CameraClock::default();
        assert_eq!(age(&mut clock, ms(100), None), ms(0));
        for (after, way) in [(1000, 300), (1033, 20), (1066, 900), (1100, 0)] {
            let sent = UNIX_EPOCH + START + ms(after) - ms(way);
            assert_eq!(age(&mut clock, ms(after), Some(sent)), ms(way));
        }
        let now = Moment { since: ms(500), wall: UNIX_EPOCH + START };
        assert_eq!(clock.captured(now, ms(480), None), now.wall - ms(20), "it waited for us");
    }

    #[test]
    fn a_wrong_clock_still_tells_how_far_frames_are_apart() {
        for (ahead, behind) in [(0, 3_600_000), (3_600_000, 0), (20, 0), (0, 1_700_000_000_000)] {
            let mut clock = CameraClock::default();
            let sent = |taken: u64| Some(UNIX_EPOCH + START + ms(taken) + ms(ahead) - ms(behind));
            assert_eq!(age(&mut clock, ms(1000), sent(1000)), ms(0), "the first one");
            let late = age(&mut clock, ms(1090), sent(1040));
            assert!(late > ms(49) && late <= ms(50), "{late:?}");
        }
    }

    #[test]
    fn a_clock_that_is_set_or_runs_wrong_is_followed() {
        let mut clock = CameraClock::default();
        let sent = |taken: u64| Some(UNIX_EPOCH + START - ms(3_600_000) + ms(taken));
        age(&mut clock, ms(0), sent(0));
        assert_eq!(age(&mut clock, ms(100), sent(60_100)), ms(0), "set forward");
        assert_eq!(age(&mut clock, ms(200), sent(200)), ms(0), "and back");
        // It loses 50 µs a second, for a day.
        for minute in (1..1440).map(|minute| 60_000 * minute) {
            let lost = Duration::from_nanos(minute * 50);
            let age = age(&mut clock, ms(minute), sent(minute).map(|sent| sent - lost));
            assert!(age < ms(10), "{age:?} after {minute} ms");
        }
    }
}
