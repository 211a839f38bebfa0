//! A connection's timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// A timer that is set rarely: one that fires too early is cheaper than one that is set anew for each picture.
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    set_to: Option<Instant>,
}

impl Timer {
    /// One that is set to nothing.
    pub(super) fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), set_to: None }
    }

    /// Ready if `due` is not after `now`; else the task is woken no later than then.
    pub(super) fn poll_until(&mut self, due: Instant, now: Instant, context: &mut Context<'_>) -> Poll<()> {
        if due <= now {
            return Poll::Ready(());
        }
        if self.set_to.is_none_or(|at| at > due || at <= now) {
            self.sleep.as_mut().reset(due.into());
            self.set_to = Some(due);
            return self.sleep.as_mut().poll(context);
        }
        Poll::Pending
    }
}
