//! A child process and its process group: stopped together, and never left behind.
//!
//! Dropping a [`Group`] asks the group to end (SIGTERM), and kills what is left of it after two seconds (SIGKILL), in a
//! task of its own. [`all_ended`] waits for these tasks, so that the program leaves no process behind when it exits.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use crate::open_files;
use crate::sources::hide_user;

mod last_lines;
#[cfg(test)]
pub(crate) mod script;

pub(crate) use last_lines::LastLines;

/// How long a program may take to end by itself once it is asked to.
const GRACE: Duration = Duration::from_secs(2);
/// How often a group whose leader has ended is looked at for others.
const LOOK: Duration = Duration::from_millis(20);

/// Groups whose end is not yet seen. Processes belong to the whole program, and so does the list of them.
static LIVING: Mutex<Vec<Option<Pid>>> = Mutex::new(Vec::new());
static ENDED: Notify = Notify::const_new();

/// Waits until every process that was started has ended, with its group.
pub async fn all_ended() {
    loop {
        let ended = ENDED.notified();
        if living().is_empty() {
            return;
        }
        ended.await;
    }
}

/// Kills every process that was started, with its group, for a program that cannot wait for them to end.
pub fn kill_all() {
    for id in living().iter() {
        signal(*id, Signal::KILL);
    }
}

fn living() -> MutexGuard<'static, Vec<Option<Pid>>> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child that leads a process group.
#[derive(Debug)]
pub(crate) struct Group {
    /// `None` once the ending task has it.
    child: Option<Child>,
    id: Option<Pid>,
}

/// Lists a group as living until it is dropped.
struct Living(Option<Pid>);

impl Drop for Living {
    fn drop(&mut self) {
        {
            let mut living = living();
            if let Some(index) = living.iter().position(|id| *id == self.0) {
                living.swap_remove(index);
            }
        }
        ENDED.notify_waiters();
    }
}

impl Group {
    /// Takes a child that was just started as the leader of a group of its own.
    pub(crate) fn new(child: Child) -> Self {
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        living().push(id);
        open_files::restore(id);
        Self { child: Some(child), id }
    }

    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.child().stdin.take().expect("standard input was piped and not yet taken")
    }

    pub(crate) fn take_stdout(&mut self) -> ChildStdout {
        self.child().stdout.take().expect("standard output was piped and not yet taken")
    }

    pub(crate) fn take_stderr(&mut self) -> ChildStderr {
        self.child().stderr.take().expect("standard error was piped and not yet taken")
    }

    /// The leader's number in the system.
    pub(crate) fn leader(&self) -> Option<u32> {
        self.id.map(|id| id.as_raw_nonzero().get().cast_unsigned())
    }

    /// Waits until the leader, which has closed its output, has ended as well. `None` if it goes on all the same; then
    /// dropping the group ends it.
    pub(crate) async fn wait(&mut self) -> Option<io::Result<ExitStatus>> {
        timeout_at(Instant::now() + GRACE, self.child().wait()).await.ok()
    }

    /// Kills the whole group now: a process that is stopped hears nothing else.
    pub(crate) fn kill(&self) {
        signal(self.id, Signal::KILL);
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("the child is there until the group is dropped")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let living = Living(self.id);
        let (Some(child), id) = (self.child.take(), self.id) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                end(child, id).await;
                drop(living);
            });
        } else {
            signal(id, Signal::KILL);
        }
    }
}

/// "ended with status 1", "was killed by signal 9".
pub(crate) fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Why a program that closed its output gives no more, in words: "`ffmpeg` ended with status 1: No such file or directory". `why` are
/// what may be the reason, the likeliest first.
pub(crate) fn cause(name: &str, status: Option<io::Result<ExitStatus>>, why: &[&str]) -> String {
    let how = match status {
        Some(Ok(status)) => ended(status),
        Some(Err(error)) => format!("was lost: {error}"),
        None => "closed its standard output and did not end".to_owned(),
    };
    let why = why.iter().find(|text| !text.is_empty());
    let why = why.map(|why| format!(": {}", hide_user(why))).unwrap_or_default();
    format!("{name} {how}{why}")
}

async fn end(mut child: Child, id: Option<Pid>) {
    let deadline = Instant::now() + GRACE;
    signal(id, Signal::TERM);
    let _ = timeout_at(deadline, child.wait()).await;
    // The leader is gone or stubborn; others of the group have what is left of the time.
    while Instant::now() < deadline && is_alive(id) {
        sleep(LOOK).await;
    }
    if is_alive(id) {
        signal(id, Signal::KILL);
    }
    let _ = child.wait().await;
}

fn signal(id: Option<Pid>, signal: Signal) {
    if let Some(id) = id {
        // The only error that can be is that nobody is left to get it.
        let _ = kill_process_group(id, signal);
    }
}

fn is_alive(id: Option<Pid>) -> bool {
    id.is_some_and(|id| test_kill_process_group(id).is_ok())
}
