//! The process whose cost is told: one that runs already, or one that is started here and ended with us.

use std::io;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use super::cli::PeerOptions;
use crate::process::{self, Cost};
use crate::reading::Reading;

/// How long a program may take to end by itself.
const END_DEADLINE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Peer {
    child: Option<Child>,
    pid: u32,
}

/// What a measurement is made of.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) time: Duration,
    pub(super) cost: Cost,
    pub(super) own_cpu_percent: Option<f64>,
    /// Idle and stolen, in percent of the machine.
    pub(super) machine: Option<(f64, f64)>,
}

impl Peer {
    pub(super) fn start(options: &PeerOptions) -> anyhow::Result<Self> {
        if let Some(pid) = options.pid {
            return Ok(Self { child: None, pid });
        }
        let (program, arguments) = options.command.split_first().context("a command or --pid is needed")?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(if options.quiet { Stdio::null() } else { Stdio::inherit() })
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { pid: child.id(), child: Some(child) })
    }

    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
            Some(status) => anyhow::bail!("the command ended by itself: {status}"),
            None => Ok(()),
        }
    }

    /// Runs `step` again and again for as long as the options say, and tells what it cost meanwhile. `step` says how long
    /// it may sleep; `begin` is called between warming up and measuring.
    pub(super) fn measure<T>(
        &mut self,
        options: &PeerOptions,
        state: &mut T,
        begin: impl Fn(&mut T),
        mut step: impl FnMut(&mut T) -> anyhow::Result<Duration>,
    ) -> anyhow::Result<Measured> {
        let mut rss_peak_kb = None;
        let mut spend = |peer: &mut Self, state: &mut T, seconds: f64| -> anyhow::Result<()> {
            let end = Instant::now() + Duration::from_secs_f64(seconds.clamp(0.1, 1e6));
            let mut look = Instant::now();
            while Instant::now() < end {
                std::thread::sleep(step(state)?.min(end.saturating_duration_since(Instant::now())));
                if look.elapsed() > Duration::from_secs(1) {
                    look = Instant::now();
                    peer.check()?;
                    rss_peak_kb = rss_peak_kb.max(process::rss_kb(peer.pid));
                }
            }
            Ok(())
        };
        spend(self, state, options.warmup)?;
        begin(state);
        let before = Reading::take(Some(self.pid));
        spend(self, state, options.seconds)?;
        let after = Reading::take(Some(self.pid));
        self.check()?;
        let cost = Cost {
            rss_kb: after.rss_kb,
            rss_peak_kb: rss_peak_kb.max(after.rss_kb),
            pss_kb: process::pss_kb(self.pid),
            ..after.cost_since(&before, self.pid)
        };
        Ok(Measured {
            time: after.at - before.at,
            cost,
            own_cpu_percent: after.own_percent_since(&before),
            machine: after.machine_since(&before),
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if end(child).is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn end(child: &mut Child) -> io::Result<()> {
    let deadline = Instant::now() + END_DEADLINE;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
