//! The answer: JSON for programs, a table for people. Times are milliseconds, sizes bytes unless the name says more.

use serde::Serialize;

use crate::histogram::Histogram;
use crate::process::Cost;
use crate::record::Record;
use crate::run::Outcome;
use crate::viewer::Manner;

mod table;

/// Everything a run found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) url: String,
    pub(crate) seconds: f64,
    pub(crate) viewers: Group,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slow: Option<Slow>,
    pub(crate) stalled_viewers: usize,
    pub(crate) server: Option<Cost>,
    pub(crate) readers_cpu_percent: Option<f64>,
    pub(crate) machine_idle_percent: Option<f64>,
    pub(crate) machine_stolen_percent: Option<f64>,
    pub(crate) per_viewer: Vec<Line>,
}

/// The viewers of one manner, summed.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Group {
    pub(crate) asked: usize,
    /// Watching to the end.
    pub(crate) watching: usize,
    pub(crate) failed: usize,
    /// The first few causes, each once.
    pub(crate) failures: Vec<String>,
    pub(crate) frames: u64,
    pub(crate) frames_per_second: f64,
    /// Of one viewer: the unluckiest, the median, the luckiest.
    pub(crate) viewer_frames: Option<[u64; 3]>,
    pub(crate) bytes: u64,
    pub(crate) bytes_per_second: f64,
    pub(crate) unsound: u64,
    pub(crate) skipped: Option<u64>,
    /// Intervals longer than 2.5 times the median one.
    pub(crate) gaps: u64,
    pub(crate) interval_ms: Option<Spread>,
    pub(crate) latency_ms: Option<Spread>,
    pub(crate) camera_latency_ms: Option<Spread>,
    pub(crate) first_picture_ms: Option<Spread>,
}

/// Readers at a steady, slow rate.
#[derive(Debug, Serialize)]
pub(crate) struct Slow {
    pub(crate) bytes_per_second: u64,
    /// What one picture takes at that rate.
    pub(crate) picture_time_ms: Option<f64>,
    /// Age of a completed picture, in picture times: by the camera's stamp, else by X-Timestamp.
    pub(crate) age_in_picture_times: Option<Spread>,
    #[serde(flatten)]
    pub(crate) viewers: Group,
}

/// Percentiles of a row of durations.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// One viewer.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) manner: &'static str,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) gaps: u64,
    pub(crate) longest_interval_ms: Option<f64>,
    pub(crate) skipped: Option<u64>,
    pub(crate) unsound: u64,
    pub(crate) first_picture_ms: Option<f64>,
    pub(crate) latency_p50_ms: Option<f64>,
    pub(crate) latency_p99_ms: Option<f64>,
    pub(crate) failure: Option<String>,
}

impl Report {
    pub(crate) fn new(url: &str, outcome: &Outcome) -> Self {
        let of = |wanted: fn(&Manner) -> bool| -> Vec<&Record> {
            outcome.records.iter().filter(|(manner, _)| wanted(manner)).map(|(_, record)| record).collect()
        };
        let seconds = outcome.measured.as_secs_f64();
        let slow = of(|manner| matches!(manner, Manner::Slow { .. }));
        let slow_rate = outcome.records.iter().find_map(|(manner, _)| match manner {
            Manner::Slow { bytes_per_second, .. } => Some(*bytes_per_second),
            Manner::Prompt | Manner::Stalled => None,
        });
        Self {
            url: url.to_owned(),
            seconds,
            viewers: Group::new(&of(|manner| *manner == Manner::Prompt), seconds),
            slow: slow_rate.map(|rate| Slow::new(&slow, rate, seconds)),
            stalled_viewers: of(|manner| *manner == Manner::Stalled).len(),
            server: outcome.server,
            readers_cpu_percent: outcome.readers_cpu_percent,
            machine_idle_percent: outcome.machine.map(|(idle, _)| rounded(idle)),
            machine_stolen_percent: outcome.machine.map(|(_, stolen)| rounded(stolen)),
            per_viewer: outcome.records.iter().map(|(manner, record)| Line::new(*manner, record)).collect(),
        }
    }
}

impl Group {
    fn new(records: &[&Record], seconds: f64) -> Self {
        let mut group = Self { asked: records.len(), ..Self::default() };
        let mut intervals = Histogram::default();
        let (mut latency, mut camera) = (None::<Histogram>, None::<Histogram>);
        let mut first = Histogram::default();
        for record in records {
            group.frames += record.frames;
            group.bytes += record.bytes;
            group.unsound += record.unsound;
            group.skipped =
                group.skipped.map_or(record.skipped, |sum| Some(sum + record.skipped.unwrap_or(0)));
            intervals.merge(&record.intervals);
            merge_some(&mut latency, record.latency.as_ref());
            merge_some(&mut camera, record.camera_latency.as_ref());
            if let Some(time) = record.first_picture {
                first.add(time.as_micros() as u64);
            }
            if let Some(failure) = &record.failure {
                group.failed += 1;
                if group.failures.len() < 5 && !group.failures.contains(failure) {
                    group.failures.push(failure.clone());
                }
            } else {
                group.watching += usize::from(record.first_picture.is_some());
            }
        }
        let mut frames: Vec<u64> = records.iter().map(|record| record.frames).collect();
        frames.sort_unstable();
        group.viewer_frames = frames.last().map(|most| [frames[0], frames[frames.len() / 2], *most]);
        group.frames_per_second = rounded(group.frames as f64 / seconds);
        group.bytes_per_second = (group.bytes as f64 / seconds).round();
        group.gaps = gaps(&intervals);
        group.interval_ms = Spread::of(&intervals);
        group.latency_ms = latency.as_ref().and_then(Spread::of);
        group.camera_latency_ms = camera.as_ref().and_then(Spread::of);
        group.first_picture_ms = Spread::of(&first);
        group
    }
}

impl Slow {
    fn new(records: &[&Record], bytes_per_second: u64, seconds: f64) -> Self {
        let viewers = Group::new(records, seconds);
        let picture_time_ms = (viewers.frames > 0)
            .then(|| 1e3 * viewers.bytes as f64 / viewers.frames as f64 / bytes_per_second.max(1) as f64);
        let age = viewers.camera_latency_ms.or(viewers.latency_ms);
        let age_in_picture_times = age.zip(picture_time_ms).map(|(age, time)| age.divided_by(time));
        Self {
            bytes_per_second,
            picture_time_ms: picture_time_ms.map(rounded),
            age_in_picture_times,
            viewers,
        }
    }
}

impl Spread {
    pub(crate) fn of(row: &Histogram) -> Option<Self> {
        let millis = |micros: u64| rounded(micros as f64 / 1e3);
        let percentile = |share| row.percentile(share).map(millis);
        Some(Self {
            p50: percentile(0.5)?,
            p95: percentile(0.95)?,
            p99: percentile(0.99)?,
            max: row.max().map(millis)?,
        })
    }

    fn divided_by(self, by: f64) -> Self {
        let part = |value: f64| rounded(value / by);
        Self { p50: part(self.p50), p95: part(self.p95), p99: part(self.p99), max: part(self.max) }
    }
}

impl Line {
    fn new(manner: Manner, record: &Record) -> Self {
        let millis = |micros: u64| rounded(micros as f64 / 1e3);
        let latency = record.latency.as_ref();
        Self {
            manner: match manner {
                Manner::Prompt => "prompt",
                Manner::Slow { .. } => "slow",
                Manner::Stalled => "stalled",
            },
            frames: record.frames,
            bytes: record.bytes,
            gaps: gaps(&record.intervals),
            longest_interval_ms: record.intervals.max().map(millis),
            skipped: record.skipped,
            unsound: record.unsound,
            first_picture_ms: record.first_picture.map(|time| millis(time.as_micros() as u64)),
            latency_p50_ms: latency.and_then(|row| row.percentile(0.5)).map(millis),
            latency_p99_ms: latency.and_then(|row| row.percentile(0.99)).map(millis),
            failure: record.failure.clone(),
        }
    }
}

fn gaps(intervals: &Histogram) -> u64 {
    intervals.percentile(0.5).map_or(0, |median| intervals.above(median * 5 / 2))
}

fn merge_some(sum: &mut Option<Histogram>, more: Option<&Histogram>) {
    if let Some(more) = more {
        sum.get_or_insert_default().merge(more);
    }
}

/// Three decimals: microseconds of milliseconds.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
