//! When a worker that was lost may be started again. Reads no clock.

use std::time::Duration;

use ocelli_hub::Backoff;
use tokio::time::Instant;

/// How long after a program that is missing or of another version it is looked for again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The history of one camera's worker. After its first loss it is started again by the next picture. If it is lost again
/// within ten seconds of its start, which the camera's pictures must be the cause of, the wait begins at 1 s and
/// doubles up to 30 s.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Restarts {
    started: Option<Instant>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Restarts {
    /// It is being started.
    pub(super) fn started(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// It was lost. `jitter` is 0 to 1.
    pub(super) fn failed(&mut self, now: Instant, jitter: f64) {
        let backoff = Backoff::default();
        if self.started.is_some_and(|started| now.duration_since(started) >= backoff.reset_after) {
            self.failures = 0;
        }
        let wait = if self.failures == 0 { Duration::ZERO } else { backoff.wait(self.failures, jitter) };
        self.failures += 1;
        self.not_before = Some(now + wait);
    }

    /// It cannot be started until somebody changes something.
    pub(super) fn refused(&mut self, now: Instant) {
        self.not_before = Some(now + LOOK_AGAIN);
    }

    /// How long it is too early to start it.
    pub(super) fn retry_in(&self, now: Instant) -> Option<Duration> {
        self.not_before.map(|at| at.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Whether it is too early to start it.
    pub(super) fn must_wait(&self, now: Instant) -> bool {
        self.not_before.is_some_and(|at| now < at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_loss_is_made_good_at_once_and_those_that_follow_wait_longer_and_longer() {
        let mut restarts = Restarts::default();
        let start = Instant::now();
        assert!(!restarts.must_wait(start));
        let mut now = start;
        for wait in [0, 1, 2, 4, 8, 16, 30, 30] {
            restarts.started(now);
            restarts.failed(now, 0.0);
            let wait = Duration::from_secs(wait);
            assert!(!restarts.must_wait(now + wait), "{wait:?}");
            assert!(wait.is_zero() || restarts.must_wait(now + wait - Duration::from_millis(1)), "{wait:?}");
            now += wait;
        }
        restarts.started(now);
        restarts.failed(now + Duration::from_secs(10), 0.0);
        assert!(
            !restarts.must_wait(now + Duration::from_secs(10)),
            "after ten good seconds it is the first again"
        );
    }

    #[test]
    fn what_somebody_must_change_is_looked_at_again_after_half_a_minute() {
        let mut restarts = Restarts::default();
        let now = Instant::now();
        restarts.refused(now);
        assert!(restarts.must_wait(now + Duration::from_secs(29)) && !restarts.must_wait(now + LOOK_AGAIN));
    }
}
