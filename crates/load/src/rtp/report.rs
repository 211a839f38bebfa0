//! The answer: JSON for programs, lines for people.

use serde::Serialize;

use super::flow::Counts;
use super::latency::Latency;
use super::peer::Measured;
use crate::process::Cost;
use crate::report::{Spread, rounded};

/// Everything a run found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    seconds: f64,
    pictures_per_second: f64,
    /// Of the process, in user and kernel, for one picture to all targets.
    cpu_micros_per_picture: Option<f64>,
    server: Cost,
    targets: Vec<Target>,
    /// From the camera's last bytes to the arrival of the last packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    camera_latency_ms: Option<Spread>,
    /// Arrivals that belong to no picture of the camera's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    unexplained: Option<u64>,
    own_cpu_percent: Option<f64>,
    machine_idle_percent: Option<f64>,
    machine_stolen_percent: Option<f64>,
}

/// What came to one target.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(super) struct Target {
    pub(super) pictures: u64,
    pub(super) damaged: u64,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) lost: u64,
    pub(super) late: u64,
    pub(super) strange: u64,
    /// Of the lost ones: those that arrived and for which the receiving socket had no room.
    pub(super) dropped_by_receiver: u64,
}

impl Target {
    pub(super) fn new(counts: Counts, dropped_by_receiver: u64) -> Self {
        let Counts { packets, bytes, pictures, damaged, lost, late, strange } = counts;
        Self { pictures, damaged, packets, bytes, lost, late, strange, dropped_by_receiver }
    }
}

impl Report {
    pub(super) fn new(
        measured: &Measured,
        pictures: u64,
        targets: Vec<Target>,
        latency: Option<&Latency>,
    ) -> Self {
        let seconds = measured.time.as_secs_f64();
        let micros = measured.cost.cpu_percent.map(|percent| percent / 100.0 * seconds * 1e6);
        Self {
            seconds,
            pictures_per_second: rounded(pictures as f64 / seconds),
            cpu_micros_per_picture: micros
                .filter(|_| pictures > 0)
                .map(|micros| rounded(micros / pictures as f64)),
            server: measured.cost,
            targets,
            camera_latency_ms: latency.and_then(|latency| Spread::of(&latency.times)),
            unexplained: latency.map(|latency| latency.unexplained),
            own_cpu_percent: measured.own_cpu_percent,
            machine_idle_percent: measured.machine.map(|(idle, _)| rounded(idle)),
            machine_stolen_percent: measured.machine.map(|(_, stolen)| rounded(stolen)),
        }
    }

    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        let number = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |value| format!("{value:.1}"));
        let megabytes = |kb: Option<u64>| number(kb.map(|kb| kb as f64 / 1024.0));
        println!("pictures      {:.1} a second for {:.1} s", self.pictures_per_second, self.seconds);
        println!(
            "process {}: {} µs a picture, {} % of a core (user {}, system {}); memory {} MB, at most {}",
            self.server.pid,
            number(self.cpu_micros_per_picture),
            number(self.server.cpu_percent),
            number(self.server.user_percent),
            number(self.server.system_percent),
            megabytes(self.server.rss_kb),
            megabytes(self.server.rss_peak_kb),
        );
        for (index, target) in self.targets.iter().enumerate() {
            println!("target {index}: {target:?}");
        }
        if let Some(Spread { p50, p95, p99, max }) = self.camera_latency_ms {
            println!(
                "from camera   p50 {p50:.2}  p95 {p95:.2}  p99 {p99:.2}  max {max:.2} ms, {} unexplained",
                self.unexplained.unwrap_or(0)
            );
        }
        println!(
            "ocelli-load   {} % of a core; machine {} % idle",
            number(self.own_cpu_percent),
            number(self.machine_idle_percent)
        );
        Ok(())
    }
}
