//! A camera's worker and its variants, as `/stats` and `/metrics` show them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ocelli_media::video_track;
use prometheus_client::registry::Registry;
use serde::Serialize;

use super::metrics::{Fractional, OfCamera, counters, gauges};
use super::status::millis;
use crate::app::App;
use crate::process::resident_memory;
use crate::variants::{Encoders, PixelStats, VariantStats};

/// What became of a camera's pictures that somebody wanted once, as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct ReencodingView {
    running: bool,
    starts: u64,
    frames: u64,
    failed: u64,
    overtaken: u64,
    cause: Option<String>,
}

/// The process in which a camera's pictures are decoded, as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct WorkerView {
    process: Option<u32>,
    memory_bytes: Option<u64>,
    starts: u64,
    lost: u64,
    away: Option<String>,
}

/// A variant of a camera, as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct VariantView {
    shape: String,
    path: Option<String>,
    note: Option<String>,
    lowered: Option<String>,
    lowered_because: Option<String>,
    codec: Option<String>,
    width: Option<u16>,
    height: Option<u16>,
    fps: f64,
    bits_per_second: u64,
    viewers: usize,
    wanted: u64,
    frames: u64,
    bytes: u64,
    missed_by_reason: BTreeMap<&'static str, u64>,
    decode_ms: Option<f64>,
    scale_ms: Option<f64>,
    encode_ms: Option<f64>,
    latency_p50_ms: Option<f64>,
    latency_p99_ms: Option<f64>,
}

/// The places for encoders, as the API shows them.
#[derive(Debug, Serialize)]
pub(super) struct EncodersView {
    taken: usize,
    limit: usize,
}

impl EncodersView {
    pub(super) fn of(encoders: &Encoders) -> Self {
        Self { taken: encoders.taken(), limit: encoders.most() }
    }
}

impl ReencodingView {
    /// `None` while no picture needed it.
    pub(super) fn of(stats: &PixelStats) -> Option<Self> {
        let PixelStats { running, pictures, failed, overtaken, starts, ref cause, .. } = *stats;
        let needed = pictures + failed + overtaken > 0;
        let cause = cause.as_deref().map(str::to_owned);
        needed.then_some(Self { running, starts, frames: pictures, failed, overtaken, cause })
    }
}

impl WorkerView {
    /// `None` while none was needed.
    pub(super) fn of(stats: &PixelStats) -> Option<Self> {
        let PixelStats { process, starts, lost, ref away, .. } = *stats;
        (starts > 0 || away.is_some()).then(|| Self {
            process,
            memory_bytes: process.and_then(resident_memory),
            starts,
            lost,
            away: away.as_deref().map(str::to_owned),
        })
    }
}

impl VariantView {
    pub(super) fn of(stats: &VariantStats) -> Self {
        let track = stats.stream.tracks.as_ref().and_then(|tracks| video_track(tracks));
        let size = track.and_then(|track| track.size);
        Self {
            shape: stats.shape.clone(),
            path: stats.path.clone(),
            note: stats.note.clone(),
            lowered: stats.lowered.as_ref().map(|lowered| lowered.to.clone()),
            lowered_because: stats.lowered.as_ref().map(|lowered| lowered.because.clone()),
            codec: track.map(|track| track.codec.to_string()),
            width: size.map(|size| size.width),
            height: size.map(|size| size.height),
            fps: (stats.stream.rate.frames_per_second * 100.0).round() / 100.0,
            bits_per_second: stats.stream.rate.bits_per_second as u64,
            viewers: stats.viewers,
            wanted: stats.wanted,
            frames: stats.stream.frames,
            bytes: stats.stream.bytes,
            missed_by_reason: stats.missed.iter().map(|(why, count)| (why.as_str(), *count)).collect(),
            decode_ms: stats.decode.map(millis),
            scale_ms: stats.scale.map(millis),
            encode_ms: stats.encode.map(millis),
            latency_p50_ms: stats.latency.p50.map(millis),
            latency_p99_ms: stats.latency.p99.map(millis),
        }
    }
}

pub(super) fn register_pixels(app: &Arc<App>, registry: &mut Registry) {
    let reencoded = counters(registry, "camera_reencoded_frames", "Pictures encoded anew");
    let failed = counters(
        registry,
        "camera_reencoding_failed_frames",
        "Pictures that should have been encoded anew and were not",
    );
    let up = gauges(registry, "camera_worker_up", "1 while the process runs that decodes its pictures");
    let memory = gauges(registry, "camera_worker_resident_memory_bytes", "Memory of that process");
    let starts = counters(registry, "camera_worker_starts", "How often that process was started");
    let lost = counters(registry, "camera_worker_losses", "How often that process was lost");
    let variants = gauges(registry, "camera_variants", "Variants now");
    let lowered = gauges(
        registry,
        "camera_variants_lowered",
        "Variants that are lowered to what their viewers' networks take",
    );
    let made = counters(registry, "camera_variant_frames", "Pictures of its variants");
    let missed = counters(
        registry,
        "camera_variant_missed_frames",
        "Pictures that were wanted for a variant and not made",
    );
    for camera in &app.cameras {
        let (label, stats) = (OfCamera::new(camera), camera.pixels().stats());
        reencoded.get_or_create(&label).inc_by(stats.pictures);
        failed.get_or_create(&label).inc_by(stats.failed + stats.overtaken);
        up.get_or_create(&label).set(f64::from(stats.process.is_some()));
        let bytes = stats.process.and_then(resident_memory).unwrap_or_default();
        memory.get_or_create(&label).set(bytes as f64);
        starts.get_or_create(&label).inc_by(stats.starts);
        lost.get_or_create(&label).inc_by(stats.lost);
        let watched = camera.pixels().variants();
        variants.get_or_create(&label).set(watched.len() as f64);
        let count = watched.iter().filter(|variant| variant.lowered.is_some()).count();
        lowered.get_or_create(&label).set(count as f64);
        made.get_or_create(&label).inc_by(stats.variant_pictures);
        missed.get_or_create(&label).inc_by(stats.variant_missed);
    }
    let taken = Fractional::default();
    taken.set(app.encoders.taken() as f64);
    registry.register("encoders", "Places for encoders that are taken", taken);
}
