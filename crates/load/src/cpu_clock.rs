//! The CPU clock of another process, to the nanosecond (clock_getcpuclockid(3)).
#![allow(unsafe_code)]

use std::time::Duration;

/// CPU time of a process, all threads; `None` when there is no such process or clock.
#[cfg(target_os = "linux")]
pub(crate) fn process(pid: u32) -> Option<Duration> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the pointer is to a live local of the right type.
    if unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } != 0 {
        return None;
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live local of the right type; an unknown clock is an error, not a fault.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return None;
    }
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}

/// Other systems have no such clock for other processes.
#[cfg(not(target_os = "linux"))]
pub(crate) fn process(_pid: u32) -> Option<Duration> {
    None
}
