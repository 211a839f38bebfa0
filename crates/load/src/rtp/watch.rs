//! `ocelli-load rtp watch`: stands where a sender's targets are.

use std::time::{Duration, Instant};

use super::cli::WatchOptions;
use super::latency::Latency;
use super::peer::Peer;
use super::report::{Report, Target};
use super::sink::{EMPTIED_EVERY, Sink};

/// How long the sender may take to its first picture.
const START_DEADLINE: Duration = Duration::from_secs(15);
/// How often its reports are taken.
const REPORTS_EVERY: Duration = Duration::from_secs(1);

pub(super) fn run(options: &WatchOptions) -> anyhow::Result<()> {
    let mut sink = Sink::open(options)?;
    let mut peer = Peer::start(&options.peer)?;
    wait_for_pictures(&mut sink, &mut peer)?;
    let mut reports_taken = Instant::now();
    let measured = peer.measure(&options.peer, &mut sink, Sink::begin, |sink| {
        sink.empty()?;
        if reports_taken.elapsed() > REPORTS_EVERY {
            reports_taken = Instant::now();
            sink.empty_reports()?;
        }
        Ok(EMPTIED_EVERY)
    })?;
    let latency = match (&options.camera_log, &sink.arrivals) {
        (Some(log), Some(arrivals)) => Some(Latency::read(log, arrivals)?),
        _ => None,
    };
    let targets: Vec<_> = sink.counts().map(|(counts, dropped)| Target::new(counts, dropped)).collect();
    // A picture to all targets is one picture; what one target lacks is seen at that target.
    let pictures = targets.iter().map(|target| target.pictures).max().unwrap_or(0);
    Report::new(&measured, pictures, targets, latency.as_ref()).print(options.peer.json)
}

fn wait_for_pictures(sink: &mut Sink, peer: &mut Peer) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_DEADLINE;
    while !sink.counts().all(|(counts, _)| counts.pictures > 0) {
        peer.check()?;
        anyhow::ensure!(
            Instant::now() < deadline,
            "no picture came to each target within {START_DEADLINE:?}"
        );
        std::thread::sleep(EMPTIED_EVERY);
        sink.empty()?;
    }
    Ok(())
}
