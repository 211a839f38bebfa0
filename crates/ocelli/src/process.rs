//! What the program itself costs: CPU, memory, open files. Read from `/proc`, so on Linux only.

use std::time::Duration;

use serde::Serialize;

/// The program's own cost at a time. `None` where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ProcessStats {
    /// CPU time used since the start, in user and kernel mode, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Memory resident, in bytes.
    pub memory_bytes: Option<u64>,
    /// Files and sockets open.
    pub open_files: Option<usize>,
}

impl ProcessStats {
    /// The cost so far.
    pub fn read() -> Self {
        let text = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).ok();
        Self {
            cpu_seconds: text("stat").as_deref().and_then(cpu_time).map(|time| time.as_secs_f64()),
            memory_bytes: text("statm").as_deref().and_then(resident_bytes),
            open_files: std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
        }
    }
}

/// Memory of another process of this machine, resident, in bytes. `None` where the system does not say.
pub fn resident_memory(process: u32) -> Option<u64> {
    resident_bytes(&std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?)
}

/// User and system time of `/proc/PID/stat` (proc(5), fields 14 and 15), in ticks of 10 ms on every Linux that runs.
fn cpu_time(stat: &str) -> Option<Duration> {
    // The second field is the program's name in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

fn resident_bytes(statm: &str) -> Option<u64> {
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_strange_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 100 0 0";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_time("42 (x) S"), None);
        assert_eq!(resident_bytes("1000 2 3"), Some(2 * rustix::param::page_size() as u64));
    }
}
