//! `ocelli-load rtsp readers`: opens the readers, lets them play, and takes the server's cost meanwhile.

use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::churn::Lives;
use super::cli::{CommonOptions, ReadersOptions, Transport};
use super::engine::{self, Orders, Seen};
use super::reader::{Job, Manner};
use super::record::{Record, Times};
use super::report::Report;
use crate::engine::{Shared, Stage};
use crate::process::{self, Cost};
use crate::reading::Reading;
use crate::run::raise_file_limit;

/// How long readers may take until they play before the run goes on without them.
const START_DEADLINE: Duration = Duration::from_secs(20);
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// What came of a run.
pub(super) struct Outcome {
    pub(super) measured: Duration,
    pub(super) records: Vec<(Job, Record)>,
    pub(super) times: Times,
    pub(super) lives: Lives,
    pub(super) server: Option<Cost>,
    /// The server's memory and open files, second by second of the time that counts.
    pub(super) samples: Vec<Sample>,
    pub(super) own_cpu_percent: Option<f64>,
    /// Idle and stolen, in percent of the machine.
    pub(super) machine: Option<(f64, f64)>,
}

/// The server at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) rss_kb: u64,
    pub(super) descriptors: u64,
}

/// Plays as the options say and prints what came of it.
pub(super) fn play(options: &ReadersOptions) -> anyhow::Result<()> {
    let outcome = measure(options)?;
    let report = Report::new(options, &outcome);
    report.print(options.common.json)?;
    anyhow::ensure!(!report.nobody_played(), "no reader played to the end: {}", report.failures());
    Ok(())
}

fn measure(options: &ReadersOptions) -> anyhow::Result<Outcome> {
    raise_file_limit();
    let common = &options.common;
    let orders = Orders {
        url: options.url.clone(),
        address: address(&options.url)?,
        every: Duration::from_secs_f64(common.every.clamp(0.0, 1000.0) / 1e3),
        longest_stay: common.longest_stay.map(CommonOptions::time),
    };
    let shared = Arc::new(Shared::default());
    let threads = start(&orders, common, &shared);
    wait_until_all_play(common, &shared, &threads);
    let mut watch = Watch { options, shared: &shared, samples: Vec::new() };
    watch.pass("playing", CommonOptions::time(common.warmup), &threads);
    watch.samples.clear();
    let before = Reading::take(options.pid);
    shared.enter(Stage::Measured);
    watch.pass("measuring", CommonOptions::time(common.seconds).max(Duration::from_millis(100)), &threads);
    shared.enter(Stage::Done);
    let after = Reading::take(options.pid);
    let pss_kb = options.pid.and_then(process::pss_kb);
    let samples = watch.end();
    let rss_peak_kb = samples.iter().map(|sample| sample.rss_kb).max();
    let (mut records, mut times, mut lives) = (Vec::new(), Times::default(), Lives::default());
    for thread in threads {
        let seen = thread.join().map_err(|_| anyhow::anyhow!("a reader thread panicked"))?;
        let seen = seen.context("a reader thread stopped")?;
        records.extend(seen.records);
        times.intervals.merge(&seen.times.intervals);
        times.latency.merge(&seen.times.latency);
        lives.merge(&seen.lives);
    }
    let server = options.pid.map(|pid| Cost {
        rss_kb: after.rss_kb,
        rss_peak_kb: rss_peak_kb.max(after.rss_kb),
        pss_kb,
        ..after.cost_since(&before, pid)
    });
    Ok(Outcome {
        measured: after.at - before.at,
        records,
        times,
        lives,
        server,
        samples,
        own_cpu_percent: after.own_percent_since(&before),
        machine: after.machine_since(&before),
    })
}

/// Where a URL's server is.
fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let rest = url.strip_prefix("rtsp://").with_context(|| format!("{url:?} is no rtsp://host:port/path"))?;
    let host = rest.split('/').next().unwrap_or(rest);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if has_port { host.to_owned() } else { format!("{host}:554") };
    let mut found = host.to_socket_addrs().with_context(|| format!("cannot find {host:?}"))?;
    found.next().with_context(|| format!("{host:?} has no address"))
}

type Threads = Vec<JoinHandle<std::io::Result<Seen>>>;

/// Every thread gets its even share of each manner.
fn start(orders: &Orders, common: &CommonOptions, shared: &Arc<Shared>) -> Threads {
    let mut shares = vec![Vec::new(); common.threads.max(1)];
    let slow = Manner::Slow { bytes_per_second: common.slow_rate.max(1) };
    let stalled = std::iter::repeat_n(Job { manner: Manner::Stalled, udp: false }, common.stalled_readers);
    let slow = std::iter::repeat_n(Job { manner: slow, udp: false }, common.slow_readers);
    let prompt = (0..common.readers).map(|index| Job {
        manner: Manner::Prompt,
        udp: match common.transport {
            Transport::Tcp => false,
            Transport::Udp => true,
            Transport::Mixed => index % 2 == 1,
        },
    });
    for (at, job) in stalled.chain(slow).chain(prompt).enumerate() {
        let share = at / 2 % shares.len();
        shares[share].push(job);
    }
    let spawn = |(thread, jobs): (usize, Vec<Job>)| {
        let (orders, shared) = (orders.clone(), Arc::clone(shared));
        thread::spawn(move || engine::run(&orders, &jobs, thread as u64, &shared))
    };
    shares.into_iter().enumerate().map(spawn).collect()
}

fn wait_until_all_play(common: &CommonOptions, shared: &Shared, threads: &Threads) {
    let deadline = Instant::now() + START_DEADLINE;
    let expected = (common.readers + common.slow_readers + common.stalled_readers) as u64;
    let settled = || shared.started.load(Ordering::Relaxed) + shared.failed.load(Ordering::Relaxed);
    // Those who come and go are never all there.
    while common.longest_stay.is_none()
        && settled() < expected
        && Instant::now() < deadline
        && !threads.iter().any(JoinHandle::is_finished)
    {
        thread::sleep(Duration::from_millis(5));
    }
}

/// The line on stderr, and the samples, once a second.
struct Watch<'a> {
    options: &'a ReadersOptions,
    shared: &'a Shared,
    samples: Vec<Sample>,
}

impl Watch<'_> {
    fn pass(&mut self, what: &str, time: Duration, threads: &Threads) {
        let start = Instant::now();
        loop {
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() || threads.iter().any(JoinHandle::is_finished) {
                return;
            }
            thread::sleep(left.min(SAMPLE_EVERY));
            self.samples.extend(self.options.pid.and_then(Sample::take));
            if !self.options.common.quiet {
                let (started, failed) = [&self.shared.started, &self.shared.failed]
                    .map(|count| count.load(Ordering::Relaxed))
                    .into();
                let (passed, time) = (start.elapsed().as_secs_f64(), time.as_secs_f64());
                eprint!("\r\x1b[K{what} {passed:.0}/{time:.0} s, {started} have played, {failed} failed");
                let _ = std::io::stderr().flush();
            }
        }
    }

    fn end(self) -> Vec<Sample> {
        if !self.options.common.quiet {
            eprint!("\r\x1b[K");
        }
        self.samples
    }
}

impl Sample {
    fn take(pid: u32) -> Option<Self> {
        let descriptors =
            std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |files| files.count() as u64);
        Some(Self { rss_kb: process::rss_kb(pid)?, descriptors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_found() {
        assert_eq!(address("rtsp://127.0.0.1:8554/cam").unwrap(), "127.0.0.1:8554".parse().unwrap());
        assert_eq!(address("rtsp://[::1]/cam").unwrap(), "[::1]:554".parse().unwrap());
        assert!(address("http://127.0.0.1/").is_err());
    }
}
