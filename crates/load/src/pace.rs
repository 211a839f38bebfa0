//! A steady beat: `rate` times a second, without drift; beats that were slept through are left out.

use std::time::{Duration, Instant};

/// When the next beat is due.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    next: Instant,
}

impl Pace {
    /// The first beat is due at once.
    pub(crate) fn new(per_second: f64, now: Instant) -> Self {
        Self { interval: Duration::from_secs_f64(1.0 / per_second.clamp(0.01, 10_000.0)), next: now }
    }

    /// Time left to the next beat; `None` when it is due, which also moves on to the one after.
    pub(crate) fn wait(&mut self, now: Instant) -> Option<Duration> {
        if now < self.next {
            return Some(self.next - now);
        }
        self.next += self.interval;
        if self.next < now {
            self.next = now + self.interval;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_come_on_time_and_are_not_made_up_for() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::new(100.0, start);
        assert_eq!(pace.wait(start), None);
        assert_eq!(pace.wait(at(4)), Some(Duration::from_millis(6)));
        assert_eq!(pace.wait(at(12)), None);
        assert_eq!(pace.wait(at(12)), Some(Duration::from_millis(8)));
        assert_eq!(pace.wait(at(500)), None);
        assert_eq!(pace.wait(at(500)), Some(Duration::from_millis(10)));
    }
}
