//! What `/proc` says of processes: memory, open files, children, groups.

use std::fs;
use std::time::{Duration, Instant};

/// How long anything may take that should happen soon. Generous: the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Polls until `condition` gives something.
///
/// # Panics
/// It does not within [`SOON`].
pub(crate) fn eventually<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(SOON, what, condition)
}

/// The same for what may take another time.
pub(crate) fn within<T>(patience: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The same for a condition that holds or does not.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    eventually(what, || condition().then_some(()));
}

/// Memory resident, in bytes.
pub(crate) fn memory_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Files and sockets open.
pub(crate) fn open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

/// Living processes whose parent is `process`.
pub(crate) fn children(process: u32) -> Vec<u32> {
    living().filter(|(_, parent, _)| *parent == process).map(|(id, ..)| id).collect()
}

/// Living processes of a process group.
pub(crate) fn group(leader: u32) -> Vec<u32> {
    living().filter(|(.., group)| *group == leader).map(|(id, ..)| id).collect()
}

/// Process, parent and group of everything that runs; what has ended and was not waited for does not count.
fn living() -> impl Iterator<Item = (u32, u32, u32)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The program's name, in parentheses, may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let alive = !matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        alive.then_some((id, parent, group))
    })
}

/// Sends a signal to one process that a test started.
pub(crate) fn signal(process: u32, signal: rustix::process::Signal) {
    let id = rustix::process::Pid::from_raw(process.cast_signed()).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
}
