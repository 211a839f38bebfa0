//! How long to wait between two reports (RFC 3550 sections 6.2, 6.3.1 and A.7).

use std::time::Duration;

/// e - 3/2: makes up for what timer reconsideration takes from the mean.
const COMPENSATION: f64 = std::f64::consts::E - 1.5;
/// The part of the bandwidth that is the senders', while they are not more than this part of the members.
const SENDERS_SHARE: f64 = 0.25;

/// Who takes part, and what reports cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Membership {
    /// Participants, this one included.
    pub members: u32,
    /// Those of them that send media.
    pub senders: u32,
    /// Whether this one does.
    pub we_send: bool,
    /// What all reports together may take, in bytes a second: 5 % of the session's bandwidth.
    pub bandwidth: f64,
    /// Mean length of a compound packet with its IP and UDP headers, in bytes.
    pub mean_bytes: f64,
    /// The least mean interval: 5 s, or less where a sender's or a pair's may be reduced (RFC 3550 6.2).
    pub least: Duration,
    /// No report was sent yet: the first comes sooner.
    pub initial: bool,
}

/// The time to the next report. `random` is equally likely to be anything from 0 to 1, anew for each call, so that participants
/// do not all report at once: the result is between 0.41 and 1.23 times the mean.
pub fn interval(membership: &Membership, random: f64) -> Duration {
    let seconds = mean_interval(membership) * (random.clamp(0.0, 1.0) + 0.5) / COMPENSATION;
    // A session without bandwidth gives no number.
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// The mean time between a participant's reports in seconds, before the random factor (RFC 3550 6.3.1: Td).
pub(super) fn mean_interval(membership: &Membership) -> f64 {
    let Membership { members, senders, we_send, mut bandwidth, mean_bytes, least, initial } = *membership;
    let least = if initial { least / 2 } else { least };
    let mut sharing = members.max(1);
    if f64::from(senders) <= f64::from(members) * SENDERS_SHARE {
        if we_send {
            bandwidth *= SENDERS_SHARE;
            sharing = senders.max(1);
        } else {
            bandwidth *= 1.0 - SENDERS_SHARE;
            sharing = members.saturating_sub(senders).max(1);
        }
    }
    (mean_bytes * f64::from(sharing) / bandwidth).max(least.as_secs_f64())
}
