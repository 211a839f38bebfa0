//! When the next report is due (RFC 3550 sections 6.2, 6.3 and A.7): timer reconsideration as members come, reverse
//! reconsideration as they go.
//!
//! The bandwidth of the session is measured, not agreed upon: it is what its media takes. What is left out: the wait before a
//! BYE in sessions of more than 50 members (6.3.7), for every session here has few senders and one BYE each.

use std::time::Duration;

use super::interval::{Membership, interval, mean_interval};

/// The part of the session's bandwidth that all reports together may take.
const REPORTS_SHARE: f64 = 0.05;
/// What a datagram costs beside its content: headers of IP version 4 and UDP.
const HEADER_BYTES: f64 = 28.0;
/// The least mean interval of RFC 3550 6.2.
const LEAST: Duration = Duration::from_secs(5);
/// The least reduced one: what a fast stream's reports are told apart by is noise in shorter times.
const LEAST_REDUCED: Duration = Duration::from_secs(1);
/// The reduced least interval is this many seconds over the bandwidth in kbit/s (RFC 3550 6.2).
const REDUCED_SECONDS_KBPS: f64 = 360.0;
/// Taken for the session's bandwidth until it is measured, in bits a second, and at least.
const BANDWIDTH_UNKNOWN: f64 = 1e6;
const BANDWIDTH_LEAST: f64 = 64e3;
/// A bandwidth is measured over no less than this.
const MEASURED_OVER: Duration = Duration::from_millis(100);
/// Who was silent for this many intervals is gone (RFC 3550 6.3.5).
const TIMEOUT_INTERVALS: f64 = 5.0;

/// Who takes part, this one included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    pub(super) members: u32,
    pub(super) senders: u32,
    pub(super) we_send: bool,
}

/// The timer of one participant.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// Whether the least interval may be the reduced one (RFC 3550 6.2).
    reduced: bool,
    /// When the last report was sent, or the session began.
    last: Duration,
    next: Duration,
    /// The members when `next` was set.
    members: u32,
    initial: bool,
    /// The first report is not reconsidered.
    at_once: bool,
    mean_bytes: f64,
    /// In bits a second.
    bandwidth: f64,
    media_bytes: u64,
    media_since: Duration,
}

impl Schedule {
    pub(super) fn new(now: Duration, reduced: bool, crowd: Crowd, random: &mut dyn FnMut() -> f64) -> Self {
        let mut schedule = Self {
            reduced,
            last: now,
            next: now,
            members: crowd.members,
            initial: true,
            at_once: false,
            mean_bytes: 80.0 + HEADER_BYTES,
            bandwidth: BANDWIDTH_UNKNOWN,
            media_bytes: 0,
            media_since: now,
        };
        schedule.next = now.saturating_add(schedule.interval(crowd, random()));
        schedule
    }

    /// One whose first report is due at once.
    pub(super) fn at_once(now: Duration, reduced: bool, crowd: Crowd) -> Self {
        Self { next: now, at_once: true, ..Self::new(now, reduced, crowd, &mut || 0.0) }
    }

    pub(super) fn due(&self) -> Duration {
        self.next
    }

    /// Whether a report is due with as many members as there are by now; if not, the time is set anew.
    pub(super) fn is_due(&mut self, now: Duration, crowd: Crowd, random: &mut dyn FnMut() -> f64) -> bool {
        if now < self.next {
            return false;
        }
        if std::mem::take(&mut self.at_once) {
            return true;
        }
        self.next = self.last.saturating_add(self.interval(crowd, random()));
        self.members = crowd.members;
        self.next <= now
    }

    /// Notes that a report of `bytes` went out, and sets the time of the next.
    pub(super) fn sent(
        &mut self,
        now: Duration,
        bytes: usize,
        crowd: Crowd,
        random: &mut dyn FnMut() -> f64,
    ) {
        self.measure(now);
        self.average(bytes);
        self.initial = false;
        self.last = now;
        self.members = crowd.members;
        self.next = now.saturating_add(self.interval(crowd, random()));
    }

    /// Notes a datagram of somebody else's.
    pub(super) fn heard(&mut self, bytes: usize) {
        self.average(bytes);
    }

    /// Notes media of the session's.
    pub(super) fn media(&mut self, bytes: u64) {
        self.media_bytes = self.media_bytes.saturating_add(bytes);
    }

    /// Brings the next report forward where members have left (RFC 3550 6.3.4).
    pub(super) fn left(&mut self, now: Duration, members: u32) {
        if members < self.members {
            let share = f64::from(members) / f64::from(self.members);
            self.next = now.saturating_add(self.next.saturating_sub(now).mul_f64(share));
            self.last = now.saturating_sub(now.saturating_sub(self.last).mul_f64(share));
            self.members = members;
        }
    }

    /// How long a member may be silent: by the interval that is not reduced, for the member may not reduce its own
    /// (RFC 3550 6.2).
    pub(super) fn timeout(&self, crowd: Crowd) -> Duration {
        let membership = Membership { initial: false, ..self.membership(crowd, LEAST) };
        Duration::try_from_secs_f64(mean_interval(&membership) * TIMEOUT_INTERVALS).unwrap_or(Duration::MAX)
    }

    fn interval(&self, crowd: Crowd, random: f64) -> Duration {
        interval(&self.membership(crowd, self.least()), random)
    }

    fn membership(&self, crowd: Crowd, least: Duration) -> Membership {
        Membership {
            members: crowd.members,
            senders: crowd.senders,
            we_send: crowd.we_send,
            bandwidth: self.bandwidth.max(BANDWIDTH_LEAST) / 8.0 * REPORTS_SHARE,
            mean_bytes: self.mean_bytes,
            least,
            initial: self.initial,
        }
    }

    fn least(&self) -> Duration {
        if !self.reduced {
            return LEAST;
        }
        let seconds = REDUCED_SECONDS_KBPS / (self.bandwidth.max(BANDWIDTH_LEAST) / 1000.0);
        Duration::from_secs_f64(seconds).clamp(LEAST_REDUCED, LEAST)
    }

    fn average(&mut self, bytes: usize) {
        self.mean_bytes += (bytes as f64 + HEADER_BYTES - self.mean_bytes) / 16.0;
    }

    fn measure(&mut self, now: Duration) {
        let over = now.saturating_sub(self.media_since);
        if over >= MEASURED_OVER {
            self.bandwidth = self.media_bytes as f64 * 8.0 / over.as_secs_f64();
            (self.media_bytes, self.media_since) = (0, now);
        }
    }
}
