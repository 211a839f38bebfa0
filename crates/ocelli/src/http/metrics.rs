//! `/metrics`: the same numbers as `/stats`, in OpenMetrics text for Prometheus.
//!
//! Labels are cameras' names and short fixed words only: a label per viewer would grow without end.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::error::ApiError;
use super::pixels::register_pixels;
use super::push::register_pushes;
use super::rtsp::register_rtsp;
use super::status::{dropped, gives_pictures};
use crate::app::{App, CameraEntry};
use crate::log;
use crate::process::ProcessStats;

pub(super) type Fractional = Gauge<f64, AtomicU64>;
pub(super) type Gauges<L> = Family<L, Fractional>;
pub(super) type Total = Counter<u64, AtomicU64>;

/// What tells the numbers of one name apart.
pub(super) trait Label: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static {}

impl<L: EncodeLabelSet + Clone + Debug + Eq + Hash + Send + Sync + 'static> Label for L {}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfCamera {
    pub(super) camera: String,
}

impl OfCamera {
    pub(super) fn new(camera: &CameraEntry) -> Self {
        Self { camera: camera.name().to_string() }
    }
}

/// `/metrics`.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let mut registry = Registry::with_prefix("ocelli");
    register_pictures(&app, &mut registry);
    register_viewers(&app, &mut registry);
    register_network(&app, &mut registry);
    register_pixels(&app, &mut registry);
    register_pushes(&app, &mut registry);
    register_rtsp(&app, &mut registry);
    register_process(&app, &mut registry);
    let mut body = String::with_capacity(4096);
    text::encode(&mut body, &registry).map_err(|error| {
        ApiError::new(http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), "this is a fault in Ocelli")
    })?;
    let mut response = body.into_response();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// A fraction for each `L`, such as a camera.
pub(super) fn gauges<L: Label>(registry: &mut Registry, name: &str, help: &str) -> Family<L, Fractional> {
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

/// A count for each `L`, such as a camera.
pub(super) fn counters<L: Label>(registry: &mut Registry, name: &str, help: &str) -> Family<L, Total> {
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

fn register_pictures(app: &App, registry: &mut Registry) {
    let up = gauges(registry, "camera_up", "1 while the camera gives pictures");
    let fps = gauges(registry, "camera_frames_per_second", "Pictures a second over the last three seconds");
    let bits = gauges(registry, "camera_bits_per_second", "Bits a second over the last three seconds");
    let age = gauges(registry, "camera_picture_age_seconds", "Since the last picture came");
    let frames = counters(registry, "camera_frames", "Pictures that came from the camera");
    let bytes = counters(registry, "camera_bytes", "Bytes that came from the camera");
    let lost = counters(registry, "camera_dropped_frames", "Pictures dropped on the way in");
    let garbage = counters(
        registry,
        "camera_garbage_bytes",
        "Bytes that came from the camera and belonged to no picture",
    );
    let sound = counters(registry, "camera_sound_packets", "Packets of sound that came from the camera");
    let sound_bytes = counters(registry, "camera_sound_bytes", "Their bytes");
    let sound_dropped =
        counters(registry, "camera_dropped_sound_packets", "Packets of sound dropped on the way in");
    let restarts = counters(registry, "camera_restarts", "Starts after a failure");
    for camera in &app.cameras {
        let label = OfCamera::new(camera);
        let (status, stats) = (camera.status(), camera.stream().stats());
        up.get_or_create(&label).set(f64::from(gives_pictures(&status.state)));
        fps.get_or_create(&label).set(stats.rate.frames_per_second);
        bits.get_or_create(&label).set(stats.rate.bits_per_second);
        if let Some(last) = stats.last_picture {
            age.get_or_create(&label).set(last.elapsed().as_secs_f64());
        }
        frames.get_or_create(&label).inc_by(stats.frames);
        bytes.get_or_create(&label).inc_by(stats.bytes);
        lost.get_or_create(&label).inc_by(dropped(&stats));
        garbage.get_or_create(&label).inc_by(stats.garbage_bytes);
        sound.get_or_create(&label).inc_by(stats.sound_frames);
        sound_dropped.get_or_create(&label).inc_by(stats.sound_dropped);
        sound_bytes.get_or_create(&label).inc_by(stats.sound_bytes);
        restarts.get_or_create(&label).inc_by(status.restarts);
    }
}

fn register_viewers(app: &App, registry: &mut Registry) {
    let viewers = gauges(registry, "camera_viewers", "Viewers now");
    let latency = gauges(
        registry,
        "camera_viewer_latency_p99_seconds",
        "From capture to the slowest viewer's kernel, 99th percentile",
    );
    let sent = counters(registry, "camera_sent_frames", "Pictures written to viewers");
    let sent_bytes = counters(registry, "camera_sent_bytes", "Bytes written to viewers");
    let skipped = counters(registry, "camera_skipped_frames", "Pictures that a viewer was too slow for");
    let sound = counters(
        registry,
        "camera_skipped_sound_packets",
        "Packets of sound that a viewer who gets sound was not sent",
    );
    let present = app.viewers.present();
    for camera in &app.cameras {
        let label = OfCamera::new(camera);
        let mine = || present.iter().filter(|viewer| viewer.camera == *camera.name());
        viewers.get_or_create(&label).set(mine().count() as f64);
        if let Some(slowest) = mine().filter_map(|viewer| viewer.latency().p99).max() {
            latency.get_or_create(&label).set(slowest.as_secs_f64());
        }
        sent.get_or_create(&label).inc_by(camera.totals.frames.load(Ordering::Relaxed));
        sent_bytes.get_or_create(&label).inc_by(camera.totals.bytes.load(Ordering::Relaxed));
        skipped.get_or_create(&label).inc_by(camera.totals.skipped.load(Ordering::Relaxed));
        sound.get_or_create(&label).inc_by(camera.totals.sound_skipped.load(Ordering::Relaxed));
    }
}

fn register_network(app: &App, registry: &mut Registry) {
    let packets = counters(registry, "camera_network_packets", "Packets that came from the camera");
    let lost = counters(
        registry,
        "camera_network_lost_packets",
        "Packets of the camera that did not come, or too late",
    );
    let refused =
        counters(registry, "camera_network_refused_packets", "Packets that came and were not the camera's");
    let jitter = gauges(registry, "camera_network_jitter_seconds", "Mean deviation of the packets' spacing");
    for camera in &app.cameras {
        let label = OfCamera::new(camera);
        let network = camera.stream().stats().network.unwrap_or_default();
        packets.get_or_create(&label).inc_by(network.packets);
        lost.get_or_create(&label).inc_by(network.lost);
        refused.get_or_create(&label).inc_by(network.strange + network.unusable);
        jitter.get_or_create(&label).set(network.jitter.as_secs_f64());
    }
}

fn register_process(app: &App, registry: &mut Registry) {
    let gauge = |registry: &mut Registry, name: &str, help: &str, value: f64| {
        let gauge = Fractional::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let process = ProcessStats::read();
    gauge(registry, "uptime_seconds", "Since the program started", app.started.elapsed().as_secs_f64());
    gauge(registry, "connections_open", "HTTP connections open", app.connections.open() as f64);
    if let Some(bytes) = process.memory_bytes {
        gauge(registry, "process_resident_memory_bytes", "Memory resident", bytes as f64);
    }
    if let Some(files) = process.open_files {
        gauge(registry, "process_open_files", "Files and sockets open", files as f64);
    }
    if let Some(seconds) = process.cpu_seconds {
        let total = Counter::<f64, AtomicU64>::default();
        total.inc_by(seconds);
        registry.register_with_unit("process_cpu", "CPU time used", Unit::Seconds, total);
    }
    let totals = [
        ("connections_accepted", "HTTP connections accepted", app.connections.accepted()),
        (
            "connections_refused",
            "HTTP connections refused because too many were open",
            app.connections.refused(),
        ),
        ("viewers_refused", "Viewers refused because all places were taken", app.viewers.refused()),
        ("log_lines_dropped", "Lines of the log that nobody read in time", log::lines_dropped()),
    ];
    for (name, help, value) in totals {
        let total = Total::default();
        total.inc_by(value);
        registry.register(name, help, total);
    }
}
