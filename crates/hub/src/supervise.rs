//! When a camera is started, stopped and tried again: one pure state machine and one backoff policy.
//!
//! Nothing here reads a clock or rolls dice: the time and the jitter are arguments, so every rule is tested with
//! simulated time. [`camera`](crate::camera) drives it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::SourceError;

#[cfg(test)]
mod tests;

/// How a camera is supervised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Runs only while somebody watches.
    pub on_demand: bool,
    /// How long an on-demand camera goes on after its last viewer.
    pub linger: Duration,
    /// How long a running camera may give no picture before it counts as lost.
    pub silence: Duration,
    /// Waits between tries.
    pub backoff: Backoff,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            on_demand: false,
            linger: Duration::from_secs(10),
            silence: Duration::from_secs(10),
            backoff: Backoff::default(),
        }
    }
}

/// Exponential backoff with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub shortest: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// How long pictures must have come for the next wait to be the first again.
    pub reset_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            shortest: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            reset_after: Duration::from_secs(10),
        }
    }
}

impl Backoff {
    /// The wait after the `failures`th failure in a row (1 is the first): doubled each time up to the longest, then
    /// shortened by up to a quarter by `jitter` (0 to 1), so that cameras lost together are not dialled together. Never
    /// under the shortest.
    pub fn wait(&self, failures: u32, jitter: f64) -> Duration {
        let doubled = self.shortest.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        doubled.min(self.longest).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0).max(self.shortest)
    }
}

/// What a camera does at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not running, for want of viewers.
    Idle,
    /// Dialled; no picture yet. Carries why the try before this one failed, if it did.
    Starting {
        /// When it was dialled.
        since: Instant,
        /// The last failure's cause.
        after: Option<Arc<str>>,
    },
    /// It waits to be called, for as long as that may take.
    Waiting {
        /// For whom, in words.
        cause: Arc<str>,
    },
    /// Pictures come.
    Ready {
        /// When the first came.
        since: Instant,
        /// When the last came.
        last: Instant,
    },
    /// Pictures come, but nobody has watched since `since`.
    Closing {
        /// When pictures began to come.
        ready_since: Instant,
        /// When the last viewer left.
        since: Instant,
        /// When the last picture came.
        last: Instant,
    },
    /// It failed and is tried again at `retry_at`.
    Lost {
        /// Why, in words.
        cause: Arc<str>,
        /// When it is tried again.
        retry_at: Instant,
    },
}

/// What the driver is to do with the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run it.
    Start,
    /// Drop it.
    Stop,
}

/// The state machine of one camera.
#[derive(Debug)]
pub struct Supervisor {
    policy: Policy,
    state: State,
    demand: bool,
    failures: u32,
    restarts: u64,
}

impl Supervisor {
    /// A camera that has not been started.
    pub fn new(policy: Policy) -> Self {
        Self { policy, state: State::Idle, demand: false, failures: 0, restarts: 0 }
    }

    /// What it does now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// How often it was started again after a failure.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// When [`tick`](Self::tick) must be called next, if nothing else happens.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Idle | State::Waiting { .. } => None,
            State::Starting { since, .. } => Some(*since + self.policy.silence),
            State::Ready { last, .. } => Some(*last + self.policy.silence),
            State::Closing { since, last, .. } => {
                Some((*since + self.policy.linger).min(*last + self.policy.silence))
            }
            State::Lost { retry_at, .. } => Some(*retry_at),
        }
    }

    /// Somebody watches, or nobody does any more.
    pub fn demand(&mut self, demand: bool, now: Instant) -> Option<Action> {
        self.demand = demand;
        match self.state {
            State::Idle if self.wanted() => Some(self.start(now, None)),
            State::Ready { since, last } if !self.wanted() => {
                self.state = State::Closing { ready_since: since, since: now, last };
                None
            }
            State::Closing { ready_since, last, .. } if self.wanted() => {
                self.state = State::Ready { since: ready_since, last };
                None
            }
            _ => None,
        }
    }

    /// A source that has given no picture yet waits to be called.
    pub fn waits(&mut self, cause: Arc<str>) {
        if matches!(self.state, State::Starting { .. } | State::Waiting { .. }) {
            self.state = State::Waiting { cause };
        }
    }

    /// The first picture of this run came.
    pub fn picture(&mut self, now: Instant) {
        self.begins(now);
        self.picture_at(now);
    }

    /// This run has given pictures at `at`, as far as that is not known yet.
    pub fn begins(&mut self, at: Instant) {
        if !matches!(self.state, State::Starting { .. } | State::Waiting { .. }) {
            return;
        }
        self.state = if self.wanted() {
            State::Ready { since: at, last: at }
        } else {
            State::Closing { ready_since: at, since: at, last: at }
        };
    }

    /// The last picture came at `at`. Says nothing of a camera that is still starting: the picture may be one of its
    /// earlier runs.
    pub fn picture_at(&mut self, at: Instant) {
        if let State::Ready { last, .. } | State::Closing { last, .. } = &mut self.state {
            *last = at.max(*last);
        }
    }

    /// The source ended by itself. `jitter`: see [`Backoff::wait`].
    pub fn ended(&mut self, why: &SourceError, now: Instant, jitter: f64) {
        if let State::Ready { since, last } | State::Closing { ready_since: since, last, .. } = &self.state
            && last.duration_since(*since) >= self.policy.backoff.reset_after
        {
            self.failures = 0;
        }
        if !matches!(why, SourceError::Silent(_)) {
            self.failures += 1;
        }
        let wait = match why {
            SourceError::Lost(_) => self.policy.backoff.wait(self.failures, jitter),
            SourceError::Refused(_) => self.policy.backoff.longest,
            SourceError::Silent(_) => self.policy.backoff.shortest,
        };
        self.state = State::Lost { cause: why.cause().into(), retry_at: now + wait };
    }

    /// Time passed.
    pub fn tick(&mut self, now: Instant, jitter: f64) -> Option<Action> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        match &self.state {
            State::Idle | State::Waiting { .. } => None,
            State::Closing { since, .. } if now >= *since + self.policy.linger => {
                self.failures = 0;
                self.state = State::Idle;
                Some(Action::Stop)
            }
            State::Starting { .. } | State::Ready { .. } | State::Closing { .. } => {
                let seconds = self.policy.silence.as_secs_f64();
                self.ended(&SourceError::lost(format!("no picture came for {seconds} s")), now, jitter);
                Some(Action::Stop)
            }
            State::Lost { .. } if !self.wanted() => {
                self.state = State::Idle;
                None
            }
            State::Lost { cause, .. } => {
                self.restarts += 1;
                let cause = cause.clone();
                Some(self.start(now, Some(cause)))
            }
        }
    }

    fn wanted(&self) -> bool {
        self.demand || !self.policy.on_demand
    }

    fn start(&mut self, now: Instant, after: Option<Arc<str>>) -> Action {
        self.state = State::Starting { since: now, after };
        Action::Start
    }
}
