//! What a process costs, as Linux accounts for it; everywhere else there is nothing to read and the answers are `None`.

use std::time::Duration;

use serde::Serialize;

use crate::cpu_clock;

/// A process's share of the machine over the measured time.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Cost {
    pub(crate) pid: u32,
    /// Of one core, as the next two.
    pub(crate) cpu_percent: Option<f64>,
    pub(crate) user_percent: Option<f64>,
    pub(crate) system_percent: Option<f64>,
    pub(crate) rss_kb: Option<u64>,
    pub(crate) rss_peak_kb: Option<u64>,
    pub(crate) pss_kb: Option<u64>,
}

/// CPU time so far: every thread's, in user and kernel.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    // The same sum as utime + stime of /proc/PID/stat, but in nanoseconds where that has ticks of 10 ms: at 2 % of a
    // core and 10 s a tick is 5 % of the answer.
    cpu_clock::process(pid).or_else(|| stat_times(pid).map(|(user, system)| user + system))
}

/// User and system time, to 10 ms.
pub(crate) fn stat_times(pid: u32) -> Option<(Duration, Duration)> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in brackets may hold spaces and brackets, so fields are counted from the last bracket: `utime` and `stime`
/// are the 14th and 15th of proc(5), in ticks of 1/100 s on every Linux there is.
fn parse_stat(stat: &str) -> Option<(Duration, Duration)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse().ok().map(|ticks: u64| Duration::from_millis(ticks * 10));
    Some((ticks()?, ticks()?))
}

/// Resident memory, in kilobytes.
pub(crate) fn rss_kb(pid: u32) -> Option<u64> {
    field_kb(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

/// Resident memory with shared pages divided among their users, in kilobytes.
pub(crate) fn pss_kb(pid: u32) -> Option<u64> {
    field_kb(&std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:")
}

fn field_kb(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Idle and stolen shares of the whole machine between two readings, in percent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    idle: u64,
    stolen: u64,
    total: u64,
}

impl Machine {
    pub(crate) fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let ticks: Vec<u64> = stat.lines().next()?.split_whitespace().skip(1).flat_map(str::parse).collect();
        let total = ticks.iter().take(8).sum();
        Some(Self { idle: ticks.get(3)? + ticks.get(4)?, stolen: *ticks.get(7)?, total })
    }

    /// `(idle, stolen)` since `before`.
    pub(crate) fn since(self, before: Self) -> (f64, f64) {
        let total = self.total.saturating_sub(before.total).max(1) as f64;
        let share = |now: u64, then: u64| 100.0 * now.saturating_sub(then) as f64 / total;
        (share(self.idle, before.idle), share(self.stolen, before.stolen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_with_an_awkward_name() {
        let line = "812 (a) b (c)) S 1 812 812 0 -1 4194560 1 0 0 0 1234 56 0 0 20 0 4 0 100 0 0";
        assert_eq!(parse_stat(line), Some((Duration::from_millis(12_340), Duration::from_millis(560))));
        assert_eq!(parse_stat("812 (cut"), None);
    }

    #[test]
    fn memory_fields() {
        assert_eq!(field_kb("VmPeak:\t 9 kB\nVmRSS:\t  5120 kB\n", "VmRSS:"), Some(5120));
        assert_eq!(field_kb("", "VmRSS:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_used_some() {
        let own = std::process::id();
        assert!(cpu_time(own).is_some() && rss_kb(own).is_some_and(|kb| kb > 500));
        assert_eq!(cpu_time(u32::MAX), None);
    }
}
