//! What a receiver counts of one sender's packets and reports about them (RFC 3550 sections 6.4.1, A.1, A.3, A.8).
//!
//! Takes packets as they come, before they are sorted. Times are since an origin of the caller's.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{NtpTime, ReportBlock};

/// A number farther ahead than this is no gap but a jump (RFC 3550 A.1).
const MOST_DROPOUT: u16 = 3000;
/// A number farther back than this is no late packet but a jump (RFC 3550 A.1).
const MOST_MISORDER: u16 = 100;

/// Counts one sender's packets.
#[derive(Clone, Debug)]
pub struct Reception {
    ssrc: u32,
    rate: NonZeroU32,
    numbers: Option<Numbers>,
    /// Interarrival jitter in 16ths of a tick.
    jitter: u32,
    /// Arrival less timestamp of the last packet, in ticks.
    transit: Option<u32>,
    last_report: Option<(NtpTime, Duration)>,
}

#[derive(Clone, Copy, Debug)]
struct Numbers {
    base: u32,
    highest: u32,
    received: u32,
    /// The number behind one that jumped: the sender has begun anew if it comes.
    after_jump: Option<u16>,
    expected_before: u32,
    received_before: u32,
}

impl Numbers {
    fn new(sequence: u16) -> Self {
        Self {
            base: sequence.into(),
            highest: sequence.into(),
            received: 1,
            after_jump: None,
            expected_before: 0,
            received_before: 0,
        }
    }

    fn expected(&self) -> u32 {
        self.highest.wrapping_sub(self.base).wrapping_add(1)
    }

    /// Whether the number is the sender's.
    fn take(&mut self, sequence: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead < MOST_DROPOUT {
            self.highest = self.highest.wrapping_add(ahead.into());
        } else if ahead.wrapping_neg() > MOST_MISORDER {
            if self.after_jump == Some(sequence) {
                *self = Self::new(sequence);
                return true;
            }
            self.after_jump = Some(sequence.wrapping_add(1));
            return false;
        }
        self.received = self.received.wrapping_add(1);
        true
    }
}

impl Reception {
    /// For the packets of `ssrc`, whose timestamps have `rate` ticks a second.
    pub fn new(ssrc: u32, rate: NonZeroU32) -> Self {
        Self { ssrc, rate, numbers: None, jitter: 0, transit: None, last_report: None }
    }

    /// The sender.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Counts a packet that came at `now`.
    pub fn packet(&mut self, now: Duration, sequence: u16, timestamp: u32) {
        match &mut self.numbers {
            None => self.numbers = Some(Numbers::new(sequence)),
            Some(numbers) => {
                if !numbers.take(sequence) {
                    return;
                }
            }
        }
        let ticks = now.as_nanos() * u128::from(self.rate.get()) / 1_000_000_000;
        let transit = (ticks as u32).wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let deviation = (transit.wrapping_sub(before) as i32).unsigned_abs();
            self.jitter = self.jitter.saturating_add(deviation) - (self.jitter.saturating_add(8) >> 4);
        }
    }

    /// Notes a report of the sender's that came at `now`.
    pub fn sender_report(&mut self, now: Duration, ntp: NtpTime) {
        self.last_report = Some((ntp, now));
    }

    /// Mean deviation of the packets' spacing.
    pub fn jitter(&self) -> Duration {
        Duration::from_nanos(u64::from(self.jitter >> 4) * 1_000_000_000 / u64::from(self.rate.get()))
    }

    /// The report at `now`; the next one's fraction begins here.
    pub fn report(&mut self, now: Duration) -> ReportBlock {
        let mut block = ReportBlock { ssrc: self.ssrc, jitter: self.jitter >> 4, ..ReportBlock::default() };
        if let Some(numbers) = &mut self.numbers {
            let lost = i64::from(numbers.expected()) - i64::from(numbers.received);
            block.lost = lost.clamp(-0x80_0000, 0x7F_FFFF) as i32;
            block.highest = numbers.highest;
            let expected = numbers.expected().wrapping_sub(numbers.expected_before);
            let received = numbers.received.wrapping_sub(numbers.received_before);
            numbers.expected_before = numbers.expected();
            numbers.received_before = numbers.received;
            let lost = u64::from(expected.saturating_sub(received));
            // All lost is 256/256, which does not fit.
            block.fraction_lost = (lost << 8).checked_div(expected.into()).unwrap_or(0).min(255) as u8;
        }
        if let Some((ntp, arrived)) = self.last_report {
            block.last_report = ntp.middle();
            let delay = (now.saturating_sub(arrived).as_nanos() << 16) / 1_000_000_000;
            block.delay = u32::try_from(delay).unwrap_or(u32::MAX);
        }
        block
    }
}
