//! One run: viewers are opened, warmed up and measured; the server's cost is taken over the same time.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::engine::{self, Shared, Stage};
use crate::process::{self, Cost};
use crate::reading::Reading;
use crate::record::Record;
use crate::target::Target;
use crate::viewer::Manner;

/// How long viewers may take to get their first picture before the run goes on without them.
const START_DEADLINE: Duration = Duration::from_secs(15);

/// What is asked of a run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) prompt: usize,
    pub(crate) slow: usize,
    pub(crate) slow_manner: Manner,
    pub(crate) stalled: usize,
    pub(crate) threads: usize,
    pub(crate) warmup: Duration,
    pub(crate) seconds: Duration,
    /// The server's process, when its cost is to be taken.
    pub(crate) pid: Option<u32>,
    /// No progress on stderr.
    pub(crate) quiet: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The measured time as it really was.
    pub(crate) measured: Duration,
    pub(crate) records: Vec<(Manner, Record)>,
    pub(crate) server: Option<Cost>,
    /// Of this process, in percent of a core.
    pub(crate) readers_cpu_percent: Option<f64>,
    /// Idle and stolen shares of the whole machine, in percent.
    pub(crate) machine: Option<(f64, f64)>,
}

type Readers = Vec<JoinHandle<std::io::Result<Vec<(Manner, Record)>>>>;

/// Runs the plan from the first connection to the last picture.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Outcome> {
    raise_file_limit();
    let shared = Arc::new(Shared::default());
    let readers = start(plan, &shared);
    wait_for_pictures(plan, &shared, &readers);
    let mut progress = Progress::new(plan, &shared);
    progress.watch("warming up", plan.warmup, &readers);
    let before = Reading::take(plan.pid);
    shared.enter(Stage::Measured);
    progress.watch("measuring", plan.seconds, &readers);
    shared.enter(Stage::Done);
    let after = Reading::take(plan.pid);
    progress.end();
    let pss_kb = plan.pid.and_then(process::pss_kb);
    let mut records = Vec::new();
    for reader in readers {
        let seen = reader.join().map_err(|_| anyhow::anyhow!("a reader thread panicked"))?;
        records.extend(seen.context("a reader thread stopped")?);
    }
    let server = plan.pid.map(|pid| Cost {
        pid,
        rss_kb: after.rss_kb,
        rss_peak_kb: progress.rss_peak_kb.max(after.rss_kb),
        pss_kb,
        ..after.cost_since(&before, pid)
    });
    Ok(Outcome {
        measured: after.at - before.at,
        records,
        server,
        readers_cpu_percent: after.own_percent_since(&before),
        machine: after.machine_since(&before),
    })
}

/// Thousands of viewers need as many descriptors; the hard limit is the most that can be had.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("ocelli-load: the limit of open files stays as it is: {error}");
    }
}

/// Every thread gets its even share of each manner.
fn start(plan: &Plan, shared: &Arc<Shared>) -> Readers {
    let mut shares = vec![Vec::new(); plan.threads.max(1)];
    let manners =
        [(plan.stalled, Manner::Stalled), (plan.slow, plan.slow_manner), (plan.prompt, Manner::Prompt)];
    let all = manners.into_iter().flat_map(|(count, manner)| std::iter::repeat_n(manner, count));
    for (at, manner) in all.enumerate() {
        let share = at % shares.len();
        shares[share].push(manner);
    }
    let spawn = |manners: Vec<Manner>| {
        let (target, shared) = (plan.target.clone(), Arc::clone(shared));
        thread::spawn(move || engine::run(&target, manners, &shared))
    };
    shares.into_iter().map(spawn).collect()
}

fn wait_for_pictures(plan: &Plan, shared: &Shared, readers: &Readers) {
    let deadline = Instant::now() + START_DEADLINE;
    let expected = (plan.prompt + plan.slow + plan.stalled) as u64;
    let counted = || {
        [&shared.started, &shared.stalled, &shared.failed]
            .map(|count| count.load(Ordering::Relaxed))
            .iter()
            .sum::<u64>()
    };
    while counted() < expected && Instant::now() < deadline && !readers.iter().any(JoinHandle::is_finished) {
        thread::sleep(Duration::from_millis(5));
    }
}

/// The line on stderr, once a second, and the memory seen meanwhile.
struct Progress<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    last: (Instant, u64, u64),
    rss_peak_kb: Option<u64>,
}

impl<'a> Progress<'a> {
    fn new(plan: &'a Plan, shared: &'a Shared) -> Self {
        Self { plan, shared, last: (Instant::now(), 0, 0), rss_peak_kb: None }
    }

    fn watch(&mut self, what: &str, time: Duration, readers: &Readers) {
        let start = Instant::now();
        loop {
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() || readers.iter().any(JoinHandle::is_finished) {
                return;
            }
            thread::sleep(left.min(Duration::from_secs(1)));
            self.rss_peak_kb = self.rss_peak_kb.max(self.plan.pid.and_then(process::rss_kb));
            self.line(what, start.elapsed(), time);
        }
    }

    fn line(&mut self, what: &str, passed: Duration, time: Duration) {
        let (frames, bytes) =
            (self.shared.frames.load(Ordering::Relaxed), self.shared.bytes.load(Ordering::Relaxed));
        let now = Instant::now();
        let seconds = (now - self.last.0).as_secs_f64().max(1e-6);
        let rate = (frames - self.last.1) as f64 / seconds;
        let megabytes = (bytes - self.last.2) as f64 / seconds / 1e6;
        self.last = (now, frames, bytes);
        if self.plan.quiet {
            return;
        }
        let started = self.shared.started.load(Ordering::Relaxed);
        let failed = self.shared.failed.load(Ordering::Relaxed);
        let (passed, time) = (passed.as_secs_f64(), time.as_secs_f64());
        eprint!(
            "\r\x1b[K{what} {passed:.0}/{time:.0} s, {started} watching, {failed} failed, {rate:.0} pictures/s, {megabytes:.1} MB/s"
        );
        let _ = std::io::stderr().flush();
    }

    fn end(&self) {
        if !self.plan.quiet {
            eprint!("\r\x1b[K");
        }
    }
}
