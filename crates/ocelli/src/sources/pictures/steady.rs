//! When pictures of a program were taken, by when they came: without the unrest of pipes and busy machines, which players would show
//! as jerks.
//!
//! Each picture is expected an interval after the one before it. Where it comes earlier or later, a part of that is believed, and
//! the interval learns a little: much of the first pictures, and less of each that follows. Where one is far off (the program
//! paused, the rate changed), it is believed at once, and the rate is learned anew. So the times
//! follow the program's own rate, whatever that is, and never count on by a rate that is only stated. Reads no clock.

use std::time::Duration;

/// Of a deviation this part is believed, and this the interval learns, once many pictures have come.
const BELIEVED: i64 = 8;
const LEARNED: i64 = 64;
/// A deviation of so much is no unrest.
const FAR: i64 = 500_000_000;
/// The interval learns of no greater ones.
const MOST_INTERVAL: i64 = 2_000_000_000;

/// The times of one program's pictures, in nanoseconds since any beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steady {
    interval: i64,
    last: Option<i64>,
    /// Pictures from which the rate was learned.
    known: i64,
}

impl Steady {
    /// Pictures are taken to come an `interval` apart until it is known.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval: nanos(interval), last: None, known: 0 }
    }

    /// When a picture was taken that `came` then; always later than the one before it.
    pub(super) fn place(&mut self, came: Duration) -> Duration {
        let came = nanos(came);
        let place = match self.last {
            None => came,
            Some(last) => {
                let off = came - (last + self.interval);
                let place = if off.abs() >= FAR { self.jump(last, came) } else { self.follow(came, off) };
                place.max(last + 1)
            }
        };
        self.last = Some(place);
        Duration::from_nanos(place.unsigned_abs())
    }

    /// One that is far off.
    fn jump(&mut self, last: i64, came: i64) -> i64 {
        // The second in a row: it is the rate that is another.
        if self.known <= 1 {
            self.interval = (came - last).clamp(1, MOST_INTERVAL);
        }
        self.known = 1;
        came
    }

    /// One that is `off` by so much.
    fn follow(&mut self, came: i64, off: i64) -> i64 {
        self.known = (self.known + 1).min(LEARNED);
        self.interval = (self.interval + off / self.known).clamp(1, MOST_INTERVAL);
        came - off + off / self.known.min(BELIEVED)
    }

    /// By how much pictures come apart.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval.unsigned_abs())
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_millis(40);

    /// The places of pictures that come then, in milliseconds.
    fn places(steady: &mut Steady, came: impl Iterator<Item = u64>) -> Vec<f64> {
        came.map(|ms| steady.place(Duration::from_millis(ms)).as_secs_f64() * 1000.0).collect()
    }

    fn steps(places: &[f64]) -> Vec<f64> {
        places.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    #[test]
    fn unrest_is_smoothed_and_the_programs_own_rate_is_followed() {
        for interval in [8_u64, 33, 100, 400, 1000] {
            let mut steady = Steady::new(START);
            let mut random = 1_u64;
            let mut unrest = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 33) % 15
            };
            let places = places(&mut steady, (0..1000).map(|index| index * interval + unrest()));
            let late = &steps(&places)[500..];
            for step in late {
                assert!((step - interval as f64).abs() < 4.0, "{step} of {interval}");
            }
            let lag = (places[999] - 999.0 * interval as f64 - 7.0).abs();
            assert!(lag < 15.0, "{lag} ms off");
        }
    }

    #[test]
    fn a_pause_is_believed_and_a_bunch_is_spread() {
        let mut steady = Steady::new(START);
        places(&mut steady, (0..50).map(|index| index * 40));
        let after = places(&mut steady, (100..110).map(|index| index * 40));
        assert!((after[0] - 4000.0).abs() < 1.0, "{after:?}");
        let bunch = places(&mut steady, [4520, 4520, 4520, 4520].into_iter());
        assert!(steps(&bunch).iter().all(|step| *step > 10.0), "{bunch:?}");
        let mut steady = Steady::new(START);
        let backwards = places(&mut steady, [100, 0, 0, 5000, 0].into_iter());
        assert!(steps(&backwards).iter().all(|step| *step > 0.0), "{backwards:?}");
    }
}
