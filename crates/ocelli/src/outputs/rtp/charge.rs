//! Which of two adapts what a target is sent to what its receivers report: the variant that it watches, for all who watch that, or
//! the target's own task, which leaves out pictures for it alone.
//!
//! Never both: two that hear of the same loss would each lower for it, and each take the other's raise for its own. So:
//!
//! - **The variant is first**, where it may be lowered: fewer bytes in each picture are worth more than fewer pictures, and cost
//!   its receivers no pictures at all. What they report is told to it, and the target sends every picture.
//! - **The target's own** takes over when the variant leaves the target alone: it is as low as it may be, or others watch it who
//!   take all of it. From then on the target says nothing of the variant, until it has sent every picture for 20 s again: there are
//!   receivers that report each 10 s.
//! - Pictures that need others cannot be left out, so of them the variant is all there is.
//!
//! It reads no clock: every time is an argument, counted from any fixed moment.

use std::time::Duration;

/// A variant whose task has not asked for so long is not lowered for anybody.
const ASKS: Duration = Duration::from_secs(3);
/// How long everything has to be sent until the variant is told again.
const HOLDS: Duration = Duration::from_secs(20);

/// Who is in charge of one target.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Charge {
    /// When the variant's task asked last.
    asked: Option<Duration>,
    /// Pictures may be left out.
    thins: bool,
    /// The target helps itself.
    own: bool,
    /// Since when it has sent everything, since it came to help itself.
    whole_since: Option<Duration>,
}

impl Charge {
    /// The variant's task asks what came through. Whether it is to be told.
    pub(super) fn asks(&mut self, now: Duration) -> bool {
        self.asked = Some(now);
        !self.own
    }

    /// The variant does nothing for the target.
    pub(super) fn leave_alone(&mut self) {
        if self.thins {
            (self.own, self.whole_since) = (true, None);
        }
    }

    /// Says whether pictures may be left out.
    pub(super) fn set_thins(&mut self, thins: bool) {
        self.thins = thins;
    }

    /// Whether the target's own task is in charge. `whole`: it sends everything.
    pub(super) fn is_own(&mut self, now: Duration, whole: bool) -> bool {
        let is_asked = self.asked.is_some_and(|asked| now.saturating_sub(asked) < ASKS);
        if !is_asked {
            (self.own, self.whole_since) = (false, None);
            return true;
        }
        if !whole && self.thins {
            (self.own, self.whole_since) = (true, None);
            return true;
        }
        let since = *self.whole_since.get_or_insert(now);
        self.own &= self.thins && now.saturating_sub(since) < HOLDS;
        self.own
    }
}

#[cfg(test)]
mod tests;
