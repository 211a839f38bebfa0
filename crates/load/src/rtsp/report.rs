//! The answer: JSON for programs, lines for people.

use serde::Serialize;

use super::churn::Lives;
use super::cli::ReadersOptions;
use super::reader::Manner;
use super::record::Record;
use super::run::{Outcome, Sample};
use crate::histogram::Histogram;
use crate::process::Cost;
use crate::report::{Spread, rounded};

/// Everything a run found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    url: String,
    transport: String,
    seconds: f64,
    readers: Group,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow: Option<Group>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stalled: Option<Group>,
    /// Between two pictures of a reader.
    interval_ms: Option<Spread>,
    /// From the camera's mark to the picture's last packet.
    camera_latency_ms: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    churn: Option<Churned>,
    server: Option<Cost>,
    /// Of the server, for each picture that came to a reader.
    cpu_micros_per_picture: Option<f64>,
    own_cpu_percent: Option<f64>,
    machine_idle_percent: Option<f64>,
    machine_stolen_percent: Option<f64>,
}

/// The readers of one manner, summed.
#[derive(Debug, Default, Serialize)]
struct Group {
    asked: usize,
    failed: usize,
    /// The first few causes, each once.
    failures: Vec<String>,
    pictures: u64,
    pictures_per_second: f64,
    /// Whole ones, of one reader: the unluckiest, the median, the luckiest.
    reader_pictures: Option<[u64; 3]>,
    damaged: u64,
    packets: u64,
    bytes_per_second: f64,
    lost: u64,
    late: u64,
    strange: u64,
    /// Of the lost ones: those for which the reader's own socket had no room.
    dropped_by_reader: u64,
    /// Pictures that never came, by the camera's numbers.
    missed: Option<u64>,
    began_with_key: u64,
    first_packet_ms: Option<Spread>,
    first_key_ms: Option<Spread>,
}

/// Readers that came and went.
#[derive(Debug, Serialize)]
struct Churned {
    left: u64,
    failed: u64,
    failures: Vec<String>,
    without_picture: u64,
    began_with_key: u64,
    pictures: u64,
    damaged: u64,
    lost: u64,
    missed: u64,
    dropped_by_reader: u64,
    first_key_ms: Option<Spread>,
    /// The server's memory: the means of tenths of the time.
    memory_kb: Vec<u64>,
    /// The same of its open files.
    descriptors: Vec<u64>,
}

impl Report {
    pub(super) fn new(options: &ReadersOptions, outcome: &Outcome) -> Self {
        let seconds = outcome.measured.as_secs_f64();
        let of = |wanted: fn(&Manner) -> bool| -> Vec<&Record> {
            outcome.records.iter().filter(|(job, _)| wanted(&job.manner)).map(|(_, record)| record).collect()
        };
        let some = |records: Vec<&Record>| (!records.is_empty()).then(|| Group::new(&records, seconds));
        let common = &options.common;
        let latency = (common.every == 0.0).then_some(&outcome.times.latency);
        let counts = outcome.records.iter().map(|(_, record)| record.counts());
        let pictures = match common.longest_stay {
            // Whoever was there at the end is among them.
            Some(_) => outcome.lives.pictures,
            None => counts.map(|counts| counts.pictures).sum(),
        };
        let percent = outcome.server.and_then(|server| server.cpu_percent).filter(|_| pictures > 0);
        Self {
            url: options.url.clone(),
            transport: format!("{:?}", common.transport).to_lowercase(),
            seconds,
            readers: Group::new(&of(|manner| *manner == Manner::Prompt), seconds),
            slow: some(of(|manner| matches!(manner, Manner::Slow { .. }))),
            stalled: some(of(|manner| *manner == Manner::Stalled)),
            interval_ms: Spread::of(&outcome.times.intervals),
            camera_latency_ms: latency.and_then(Spread::of),
            churn: common.longest_stay.map(|_| Churned::new(&outcome.lives, &outcome.samples)),
            server: outcome.server,
            cpu_micros_per_picture: percent
                .map(|percent| rounded(percent / 100.0 * seconds * 1e6 / pictures as f64)),
            own_cpu_percent: outcome.own_cpu_percent,
            machine_idle_percent: outcome.machine.map(|(idle, _)| rounded(idle)),
            machine_stolen_percent: outcome.machine.map(|(_, stolen)| rounded(stolen)),
        }
    }

    /// Whether all were asked for in vain.
    pub(super) fn nobody_played(&self) -> bool {
        let readers = &self.readers;
        self.churn.is_none() && readers.asked > 0 && readers.pictures + readers.damaged == 0
    }

    pub(super) fn failures(&self) -> String {
        self.readers.failures.join("; ")
    }

    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        println!("stream        {} by {} for {:.1} s", self.url, self.transport, self.seconds);
        for (name, group) in [
            ("readers", Some(&self.readers)),
            ("slow", self.slow.as_ref()),
            ("stalled", self.stalled.as_ref()),
        ] {
            if let Some(group) = group {
                group.print(name);
            }
        }
        print_spread("interval", self.interval_ms);
        print_spread("from camera", self.camera_latency_ms);
        if let Some(churned) = &self.churn {
            println!("{churned:#?}");
        }
        let number = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |value| format!("{value:.2}"));
        if let Some(server) = &self.server {
            let megabytes = |kb: Option<u64>| number(kb.map(|kb| kb as f64 / 1024.0));
            println!(
                "process {}: {} µs a picture, {} % of a core (user {}, system {}); memory {} MB, at most {}, own share {}",
                server.pid,
                number(self.cpu_micros_per_picture),
                number(server.cpu_percent),
                number(server.user_percent),
                number(server.system_percent),
                megabytes(server.rss_kb),
                megabytes(server.rss_peak_kb),
                megabytes(server.pss_kb)
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

impl Group {
    fn new(records: &[&Record], seconds: f64) -> Self {
        let mut group = Self { asked: records.len(), ..Self::default() };
        let (mut first_packet, mut first_key) = (Histogram::default(), Histogram::default());
        for record in records {
            let counts = record.counts();
            group.pictures += counts.pictures;
            group.damaged += counts.damaged;
            group.packets += counts.packets;
            group.bytes_per_second += counts.bytes as f64 / seconds;
            group.lost += counts.lost;
            group.late += counts.late;
            group.strange += counts.strange;
            group.dropped_by_reader += record.dropped_by_reader;
            group.missed = group.missed.map_or(record.missed, |sum| Some(sum + record.missed.unwrap_or(0)));
            group.began_with_key += u64::from(record.began_with_key());
            for (row, time) in [(&mut first_packet, record.first_packet), (&mut first_key, record.first_key)]
            {
                if let Some(time) = time {
                    row.add(time.as_micros() as u64);
                }
            }
            if let Some(failure) = &record.failure {
                group.failed += 1;
                if group.failures.len() < 5 && !group.failures.contains(failure) {
                    group.failures.push(failure.clone());
                }
            }
        }
        let mut pictures: Vec<u64> = records.iter().map(|record| record.counts().pictures).collect();
        pictures.sort_unstable();
        group.reader_pictures =
            pictures.last().map(|most| [pictures[0], pictures[pictures.len() / 2], *most]);
        group.pictures_per_second = rounded(group.pictures as f64 / seconds);
        group.bytes_per_second = group.bytes_per_second.round();
        group.first_packet_ms = Spread::of(&first_packet);
        group.first_key_ms = Spread::of(&first_key);
        group
    }

    fn print(&self, name: &str) {
        println!(
            "{name:<14}{} asked, {} failed, {} began with a keyframe",
            self.asked, self.failed, self.began_with_key
        );
        for failure in &self.failures {
            println!("{:<14}{failure}", "");
        }
        print!("pictures      {} ({:.1} /s)", self.pictures, self.pictures_per_second);
        if let Some([least, median, most]) = self.reader_pictures {
            print!("; of one reader {least} to {most}, median {median}");
        }
        let missed = self.missed.map_or_else(|| "?".to_owned(), |missed| missed.to_string());
        println!(
            "\nmissing       {missed} pictures, {} damaged; {} packets lost ({} by the readers' sockets), {} late, {} strange",
            self.damaged, self.lost, self.dropped_by_reader, self.late, self.strange
        );
        println!("bytes         {:.1} MB/s", self.bytes_per_second / 1e6);
        print_spread("first packet", self.first_packet_ms);
        print_spread("first key", self.first_key_ms);
    }
}

impl Churned {
    fn new(lives: &Lives, samples: &[Sample]) -> Self {
        let tenths = |of: fn(&Sample) -> u64| -> Vec<u64> {
            let part = samples.len().div_ceil(10).max(1);
            samples.chunks(part).map(|part| part.iter().map(of).sum::<u64>() / part.len() as u64).collect()
        };
        Self {
            left: lives.left,
            failed: lives.failed,
            failures: lives.failures.clone(),
            without_picture: lives.without_picture,
            began_with_key: lives.began_with_key,
            pictures: lives.pictures,
            damaged: lives.damaged,
            lost: lives.lost,
            missed: lives.missed,
            dropped_by_reader: lives.dropped_by_reader,
            first_key_ms: Spread::of(&lives.first_key),
            memory_kb: tenths(|sample| sample.rss_kb),
            descriptors: tenths(|sample| sample.descriptors),
        }
    }
}

fn print_spread(name: &str, spread: Option<Spread>) {
    match spread {
        Some(Spread { p50, p95, p99, max }) => {
            println!("{name:<14}p50 {p50:.2}  p95 {p95:.2}  p99 {p99:.2}  max {max:.2} ms");
        }
        None => println!("{name:<14}not known"),
    }
}
