//! What one receiver has reported about a stream, and whether a report can be true.
//!
//! The loss between two reports is taken from their totals, not from the fraction that the later one states: so a report that
//! is lost on its way costs nothing but time. The fraction is a check. It is refused what the stream never sent, and what
//! states a fraction far from its own totals.

use std::collections::VecDeque;
use std::time::Duration;

use super::{NtpTime, Report, ReportBlock, round_trip};

/// Reports of ours whose times are kept: a receiver's refers to the last one that it got.
const REPORTS_KEPT: usize = 16;
/// A number that has gone back by no more than this is an old report's.
const MOST_BEHIND: i32 = 3000;
/// A number may be ahead of the last one sent by less than this.
const MOST_AHEAD: u16 = 3000;
/// A stated fraction may be this far from the totals', in 256ths: that of a report whose predecessor was lost covers less.
const FRACTIONS_APART: u32 = 64;
/// Where the total of lost packets ends (RFC 3550 6.4.1).
const LOST_MOST: i32 = 0x7F_FFFF;

/// What was sent of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) last_sequence: u16,
    reports: VecDeque<(NtpTime, Duration)>,
}

/// One receiver.
#[derive(Clone, Debug, Default)]
pub(super) struct Listener {
    /// Its last report about the stream, and when that came.
    pub(super) last: Option<(Duration, ReportBlock)>,
    pub(super) round_trip: Option<Duration>,
    /// The number of its last full intra request.
    pub(super) full_intra: Option<u8>,
    /// Packets sent when its last report came.
    sent: u64,
}

/// A report that cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contradictory;

impl Sent {
    /// Notes that a report with this time went out.
    pub(super) fn note_report(&mut self, now: Duration, ntp: NtpTime) {
        if self.reports.len() == REPORTS_KEPT {
            self.reports.pop_front();
        }
        self.reports.push_back((ntp, now));
    }

    /// The way to a receiver and back. By our own monotonic clock, for the wall clock may have been set meanwhile.
    fn round_trip(&self, now: Duration, block: &ReportBlock) -> Option<Duration> {
        let (ntp, at) =
            self.reports.iter().rev().find(|(ntp, _)| ntp.middle() == block.last_report).copied()?;
        let since = (now.saturating_sub(at).as_nanos() << 32) / 1_000_000_000;
        round_trip(NtpTime(ntp.0.wrapping_add(since as u64)), block.last_report, block.delay)
    }
}

impl Listener {
    /// Takes a report that came at `now`: what it says of the time since the one before, if there was one and packets were due
    /// meanwhile.
    pub(super) fn report(
        &mut self,
        now: Duration,
        receiver: u32,
        block: &ReportBlock,
        sent: &Sent,
    ) -> Result<Option<Report>, Contradictory> {
        // What is being sent at this moment is not noted as sent; what is ahead by half of all numbers is behind.
        let ahead = (block.highest as u16).wrapping_sub(sent.last_sequence);
        if sent.packets == 0 || (MOST_AHEAD..1 << 15).contains(&ahead) {
            return Err(Contradictory);
        }
        let before = self.last.as_ref().map(|(at, before)| (*at, *before));
        if let Some((_, before)) = before
            && (-MOST_BEHIND..0).contains(&(block.highest.wrapping_sub(before.highest) as i32))
        {
            return Ok(None);
        }
        self.last = Some((now, *block));
        self.round_trip = sent.round_trip(now, block).or(self.round_trip);
        let sent_meanwhile = sent.packets - std::mem::replace(&mut self.sent, sent.packets);
        let Some((since, before)) = before else { return Ok(None) };
        let expected = block.highest.wrapping_sub(before.highest);
        // It counts anew, or has lost count: a beginning, like a first report. What was in flight may be in it.
        if u64::from(expected) > sent_meanwhile + u64::from(MOST_AHEAD) {
            return Err(Contradictory);
        }
        if expected == 0 {
            return Ok(None);
        }
        let stated = u32::from(block.fraction_lost);
        let lost = if block.lost >= LOST_MOST {
            (u64::from(expected) * u64::from(stated) / 256) as u32
        } else {
            u32::try_from(i64::from(block.lost) - i64::from(before.lost)).unwrap_or(0)
        };
        if lost > expected
            || stated.abs_diff((u64::from(lost) * 256 / u64::from(expected)) as u32) > FRACTIONS_APART
        {
            return Err(Contradictory);
        }
        Ok(Some(Report { receiver, since, expected, lost, round_trip: self.round_trip }))
    }
}
