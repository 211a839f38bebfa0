//! What a run costs: clocks and counters read at its begin and its end.

use std::time::{Duration, Instant};

use crate::process::{self, Cost, Machine};

/// All clocks and counters at one moment.
pub(crate) struct Reading {
    pub(crate) at: Instant,
    own: Option<Duration>,
    server: Option<Duration>,
    split: Option<(Duration, Duration)>,
    pub(crate) rss_kb: Option<u64>,
    machine: Option<Machine>,
}

impl Reading {
    pub(crate) fn take(pid: Option<u32>) -> Self {
        Self {
            at: Instant::now(),
            own: process::cpu_time(std::process::id()),
            server: pid.and_then(process::cpu_time),
            split: pid.and_then(process::stat_times),
            rss_kb: pid.and_then(process::rss_kb),
            machine: Machine::read(),
        }
    }

    /// What the server cost meanwhile; its memory is left to the caller, who has seen more of it.
    pub(crate) fn cost_since(&self, before: &Self, pid: u32) -> Cost {
        let time = self.at - before.at;
        let part = |of: fn((Duration, Duration)) -> Duration| {
            percent(before.split.map(of), self.split.map(of), time)
        };
        Cost {
            pid,
            cpu_percent: percent(before.server, self.server, time),
            user_percent: part(|(user, _)| user),
            system_percent: part(|(_, system)| system),
            rss_kb: None,
            rss_peak_kb: None,
            pss_kb: None,
        }
    }

    /// CPU of this process meanwhile, in percent of a core.
    pub(crate) fn own_percent_since(&self, before: &Self) -> Option<f64> {
        percent(before.own, self.own, self.at - before.at)
    }

    /// Idle and stolen shares of the whole machine meanwhile, in percent.
    pub(crate) fn machine_since(&self, before: &Self) -> Option<(f64, f64)> {
        Some(self.machine?.since(before.machine?))
    }
}

/// With three decimals: more is noise.
fn percent(before: Option<Duration>, after: Option<Duration>, time: Duration) -> Option<f64> {
    let percent = 100.0 * after?.saturating_sub(before?).as_secs_f64() / time.as_secs_f64();
    Some((percent * 1e3).round() / 1e3)
}
