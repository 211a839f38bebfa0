//! NTP times (RFC 3550 section 4), and what a sender's reports say about when its pictures were taken.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::SenderInfo;

/// From 1900, where NTP begins to count, to 1970.
const TO_1970: u64 = 2_208_988_800;

/// A wall clock time in 2⁻³² s since 1900, or, where the highest bit is not set, since it wrapped in 2036 (RFC 2030 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The bits in the middle: seconds and 65536ths, as reports repeat them.
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

impl From<SystemTime> for NtpTime {
    /// Times before 1970 are taken for 1970.
    fn from(time: SystemTime) -> Self {
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
        // Seconds beyond 32 bits begin the next era.
        Self(since_1970.as_secs().wrapping_add(TO_1970) << 32 | fraction)
    }
}

impl NtpTime {
    /// The time, between 1968 and 2104; `None` before 1970, which only a clock that was never set says.
    pub fn to_system_time(self) -> Option<SystemTime> {
        let era = if self.0 >> 63 == 0 { 1 << 32 } else { 0 };
        let seconds = ((self.0 >> 32) + era).checked_sub(TO_1970)?;
        let nanos = ((self.0 & 0xFFFF_FFFF) * 1_000_000_000).div_ceil(1 << 32);
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds) + Duration::from_nanos(nanos))
    }
}

/// A sender's wall clock, as its last report has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    time: SystemTime,
    timestamp: u32,
    rate: NonZeroU32,
}

impl Clock {
    /// The clock that `info` tells, for timestamps of `rate` ticks a second; `None` where it says nothing: some cameras send
    /// zero, or the time since they were switched on.
    pub fn new(info: &SenderInfo, rate: NonZeroU32) -> Option<Self> {
        (info.ntp.0 != 0).then(|| info.ntp.to_system_time()).flatten().map(|time| Self {
            time,
            timestamp: info.timestamp,
            rate,
        })
    }

    /// When what has this timestamp was sampled. It must be within 2³¹ ticks of the report (6.6 hours at 90 kHz).
    pub fn at(&self, timestamp: u32) -> Option<SystemTime> {
        let ticks = timestamp.wrapping_sub(self.timestamp) as i32;
        let nanos = u64::from(ticks.unsigned_abs()) * 1_000_000_000 / u64::from(self.rate.get());
        let difference = Duration::from_nanos(nanos);
        if ticks < 0 { self.time.checked_sub(difference) } else { self.time.checked_add(difference) }
    }
}

/// How long a packet takes to the receiver and back, from its report of our packets, which came at `now` by the clock that our
/// own reports have (RFC 3550 6.4.1). `None` if it had none of ours yet, or contradicts itself.
pub fn round_trip(now: NtpTime, last_report: u32, delay: u32) -> Option<Duration> {
    let since = now.middle().wrapping_sub(last_report).wrapping_sub(delay);
    // A difference below zero comes from clocks that were set meanwhile, or lies.
    (last_report != 0 && since < 1 << 31)
        .then(|| Duration::from_nanos((u64::from(since) * 1_000_000_000) >> 16))
}
