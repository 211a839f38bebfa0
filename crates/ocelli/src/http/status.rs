//! What the program says of itself as JSON: `/stats`, `/api/v1/cameras`, `/healthz`, `/readyz`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use ocelli_hub::{NetworkPath, State as CameraState, StreamStats};
use ocelli_media::{audio_track, video_track};
use serde::Serialize;

use super::error::{ApiError, camera_called};
use super::pixels::{EncodersView, ReencodingView, VariantView, WorkerView};
use super::push::PushView;
use super::rtsp::{RtspView, SessionView};
use crate::app::{App, CameraEntry};
use crate::connections::Connections;
use crate::log;
use crate::outputs::rtsp::Session;
use crate::process::ProcessStats;
use crate::viewers::ViewerStats;

/// One camera, as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct CameraView {
    name: String,
    source: String,
    state: &'static str,
    cause: Option<String>,
    note: Option<String>,
    retry_in_seconds: Option<f64>,
    restarts: u64,
    codec: Option<String>,
    width: Option<u16>,
    height: Option<u16>,
    fps: f64,
    bits_per_second: u64,
    frames: u64,
    bytes: u64,
    dropped: u64,
    dropped_by_reason: BTreeMap<&'static str, u64>,
    garbage_bytes: u64,
    sound: Option<SoundView>,
    network: Option<NetworkView>,
    push: Vec<PushView>,
    reencoding: Option<ReencodingView>,
    worker: Option<WorkerView>,
    variants: Vec<VariantView>,
    viewers: usize,
    frames_sent: u64,
    bytes_sent: u64,
    frames_skipped: u64,
    latency_p50_ms: Option<f64>,
    latency_p99_ms: Option<f64>,
    picture_age_seconds: Option<f64>,
}

/// A camera's sound, as the API shows it.
#[derive(Debug, Serialize)]
struct SoundView {
    codec: String,
    rate: u32,
    channels: Option<u8>,
    packets: u64,
    bytes: u64,
    dropped: u64,
    skipped: u64,
}

/// How a camera's packets come, as the API shows it.
#[derive(Debug, Serialize)]
struct NetworkView {
    transport: Option<&'static str>,
    listens: Option<String>,
    sender: Option<String>,
    senders: u64,
    packets: u64,
    bytes: u64,
    lost: u64,
    late: u64,
    duplicate: u64,
    strange: u64,
    unusable: u64,
    jitter_ms: f64,
    keyframes_asked: u64,
}

/// One viewer, as `/stats` shows it.
#[derive(Debug, Serialize)]
pub(super) struct ViewerView {
    id: u64,
    kind: &'static str,
    camera: String,
    address: String,
    since: f64,
    frames: u64,
    skipped: u64,
    bytes: u64,
    latency_p50_ms: Option<f64>,
    latency_p99_ms: Option<f64>,
    rtsp: Option<SessionView>,
}

#[derive(Debug, Serialize)]
struct CamerasView {
    now: f64,
    version: &'static str,
    /// Where players find the cameras; `None` without RTSP.
    rtsp_port: Option<u16>,
    cameras: Vec<CameraView>,
}

#[derive(Debug, Serialize)]
struct StatsView {
    now: f64,
    version: &'static str,
    uptime_seconds: f64,
    process: ProcessStats,
    connections: ConnectionsView,
    rtsp: RtspView,
    viewers_limit: usize,
    viewers_refused: u64,
    log_lines_dropped: u64,
    encoders: EncodersView,
    cameras: Vec<CameraView>,
    viewers: Vec<ViewerView>,
}

#[derive(Debug, Serialize)]
pub(super) struct ConnectionsView {
    open: usize,
    accepted: u64,
    refused: u64,
}

impl ConnectionsView {
    pub(super) fn of(connections: &Connections) -> Self {
        Self { open: connections.open(), accepted: connections.accepted(), refused: connections.refused() }
    }
}

#[derive(Debug, Serialize)]
struct ReadyView {
    ready: bool,
    waiting_for: Vec<WaitingFor>,
}

#[derive(Debug, Serialize)]
struct WaitingFor {
    camera: String,
    state: &'static str,
    cause: Option<String>,
}

/// `/stats`.
pub(super) async fn stats(State(app): State<Arc<App>>) -> Response {
    no_store(Json(StatsView {
        now: seconds(SystemTime::now()),
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: app.started.elapsed().as_secs_f64(),
        process: ProcessStats::read(),
        connections: ConnectionsView::of(&app.connections),
        rtsp: RtspView::of(&app.rtsp),
        viewers_limit: app.viewers.limit(),
        viewers_refused: app.viewers.refused(),
        log_lines_dropped: log::lines_dropped(),
        encoders: EncodersView::of(&app.encoders),
        cameras: app.cameras.iter().map(|camera| CameraView::of(&app, camera)).collect(),
        viewers: viewers(&app),
    }))
}

/// Everybody who watches. Who watches by RTSP has a session, unless it is over at this moment.
fn viewers(app: &App) -> Vec<ViewerView> {
    let sessions: BTreeMap<u64, _> =
        app.rtsp.sessions.present().into_iter().map(|session| (session.id(), session)).collect();
    let present = app.viewers.present();
    present.iter().map(|viewer| ViewerView::of(viewer, sessions.get(&viewer.id).map(|of| &**of))).collect()
}

/// `/api/v1/cameras`.
pub(super) async fn cameras(State(app): State<Arc<App>>) -> Response {
    let cameras = app.cameras.iter().map(|camera| CameraView::of(&app, camera)).collect();
    no_store(Json(CamerasView {
        now: seconds(SystemTime::now()),
        version: env!("CARGO_PKG_VERSION"),
        rtsp_port: app.rtsp.listens.get().map(SocketAddr::port),
        cameras,
    }))
}

/// `/api/v1/cameras/{cam}`.
pub(super) async fn camera(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let view = CameraView::of(&app, camera_called(&app, &name)?);
    Ok(no_store(Json(view)))
}

/// `/healthz`: the program answers.
pub(super) async fn healthz() -> Response {
    no_store(Json(serde_json::json!({ "alive": true })))
}

/// `/readyz`: every camera has a picture, or would have one if somebody watched.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let waiting_for: Vec<WaitingFor> = app
        .cameras
        .iter()
        .map(|camera| (camera, camera.status()))
        .filter(|(_, status)| !matches!(status.state, CameraState::Idle) && !gives_pictures(&status.state))
        .map(|(camera, status)| WaitingFor {
            camera: camera.name().to_string(),
            state: state_name(&status.state),
            cause: status.cause.as_deref().map(str::to_owned),
        })
        .collect();
    let ready = waiting_for.is_empty();
    let mut response = no_store(Json(ReadyView { ready, waiting_for }));
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

impl CameraView {
    /// `camera` now.
    pub(super) fn of(app: &App, camera: &CameraEntry) -> Self {
        let status = camera.status();
        let stats = camera.stream().stats();
        let track = stats.tracks.as_ref().and_then(|tracks| video_track(tracks));
        // As those see it who ask for nothing else.
        let turn = camera.pixel_options().shape.turn;
        let size = track.and_then(|track| track.size).map(|size| turn.of(size));
        let latency = app.viewers.latency(camera.name());
        let pixels = camera.pixels().stats();
        let total = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            name: camera.name().to_string(),
            source: camera.source().to_owned(),
            state: state_name(&status.state),
            cause: status.cause.as_deref().map(str::to_owned),
            note: stats.note.as_deref().map(str::to_owned),
            retry_in_seconds: match status.state {
                CameraState::Lost { retry_at, .. } => {
                    Some(retry_at.saturating_duration_since(Instant::now()).as_secs_f64())
                }
                _ => None,
            },
            restarts: status.restarts,
            codec: track.map(|track| track.codec.to_string()),
            width: size.map(|size| size.width),
            height: size.map(|size| size.height),
            fps: (stats.rate.frames_per_second * 100.0).round() / 100.0,
            bits_per_second: stats.rate.bits_per_second as u64,
            frames: stats.frames,
            bytes: stats.bytes,
            dropped: dropped(&stats),
            dropped_by_reason: stats
                .dropped
                .iter()
                .map(|(reason, count)| (reason.as_str(), *count))
                .collect(),
            garbage_bytes: stats.garbage_bytes,
            sound: SoundView::of(&stats, total(&camera.totals.sound_skipped)),
            network: stats.network.map(NetworkView::of),
            push: camera.pushes().iter().map(|push| PushView::of(push)).collect(),
            reencoding: ReencodingView::of(&pixels),
            worker: WorkerView::of(&pixels),
            variants: camera.pixels().variants().iter().map(VariantView::of).collect(),
            viewers: app.viewers.watching(camera.name()),
            frames_sent: total(&camera.totals.frames),
            bytes_sent: total(&camera.totals.bytes),
            frames_skipped: total(&camera.totals.skipped),
            latency_p50_ms: latency.p50.map(millis),
            latency_p99_ms: latency.p99.map(millis),
            picture_age_seconds: stats.last_picture.map(|last| last.elapsed().as_secs_f64()),
        }
    }
}

impl SoundView {
    /// `None` of a camera without sound.
    fn of(stats: &StreamStats, skipped: u64) -> Option<Self> {
        let track = stats.tracks.as_ref().and_then(|tracks| audio_track(tracks))?;
        Some(Self {
            codec: track.codec.to_string(),
            rate: track.clock_rate.get(),
            channels: track.channels.map(NonZeroU8::get),
            packets: stats.sound_frames,
            bytes: stats.sound_bytes,
            dropped: stats.sound_dropped,
            skipped,
        })
    }
}

impl NetworkView {
    fn of(path: NetworkPath) -> Self {
        Self {
            transport: path.transport,
            listens: path.listens.map(|address| address.to_string()),
            sender: path.sender.map(|address| address.to_string()),
            senders: path.senders,
            packets: path.packets,
            bytes: path.bytes,
            lost: path.lost,
            late: path.late,
            duplicate: path.duplicate,
            strange: path.strange,
            unusable: path.unusable,
            jitter_ms: millis(path.jitter),
            keyframes_asked: path.keyframes_asked,
        }
    }
}

impl ViewerView {
    /// `session` is what it has if it watches by RTSP.
    pub(super) fn of(viewer: &ViewerStats, session: Option<&Session>) -> Self {
        let latency = viewer.latency();
        Self {
            id: viewer.id,
            kind: viewer.kind.as_str(),
            camera: viewer.camera.to_string(),
            address: viewer.address.to_string(),
            since: seconds(viewer.since),
            frames: viewer.frames(),
            skipped: viewer.skipped(),
            bytes: viewer.bytes(),
            latency_p50_ms: latency.p50.map(millis),
            latency_p99_ms: latency.p99.map(millis),
            rtsp: session.map(SessionView::of),
        }
    }
}

/// One word for what a camera does.
pub fn state_name(state: &CameraState) -> &'static str {
    match state {
        CameraState::Idle => "idle",
        CameraState::Starting { .. } => "starting",
        CameraState::Waiting { .. } => "waiting",
        CameraState::Ready { .. } | CameraState::Closing { .. } => "ready",
        CameraState::Lost { .. } => "lost",
    }
}

/// Whether its pictures come.
pub(super) fn gives_pictures(state: &CameraState) -> bool {
    matches!(state, CameraState::Ready { .. } | CameraState::Closing { .. })
}

/// Pictures dropped on the way in, for whatever reason.
pub fn dropped(stats: &StreamStats) -> u64 {
    stats.dropped.iter().map(|(_, count)| count).sum::<u64>() + stats.forced_out
}

/// With two digits behind the point.
pub(super) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

pub(super) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

pub(super) fn no_store(body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
