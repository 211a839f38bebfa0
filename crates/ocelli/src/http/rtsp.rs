//! RTSP's sessions: their numbers in `/stats` and `/metrics`, and `/api/v1/rtsp/sessions`, which lists and ends them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::Json;
use axum::extract::{ConnectInfo, Extension, Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::registry::Registry;
use serde::Serialize;

use super::error::ApiError;
use super::metrics::{Gauges, OfCamera, Total, counters, gauges};
use super::origin::Changers;
use super::status::{ConnectionsView, ViewerView, millis, no_store, seconds};
use crate::app::App;
use crate::outputs::rtsp::{Endings, Rtsp, Session, SessionDrop};
use crate::viewers::ViewerKind;

/// The RTSP server, as `/stats` shows it.
#[derive(Debug, Serialize)]
pub(super) struct RtspView {
    listens: Option<String>,
    connections: ConnectionsView,
    connections_refused: BTreeMap<&'static str, u64>,
    connections_ended: BTreeMap<&'static str, u64>,
    sessions_refused: BTreeMap<&'static str, u64>,
    sessions_ended: BTreeMap<&'static str, u64>,
    publishers_ended: BTreeMap<&'static str, u64>,
}

/// What a session has beside other viewers, as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct SessionView {
    client: Option<String>,
    dropped_by_reason: BTreeMap<&'static str, u64>,
    sound_dropped: u64,
    tracks: Vec<TrackView>,
    reports: u64,
    reports_dropped: u64,
    keyframes_asked: u64,
}

/// One track of a session, as the API shows it.
#[derive(Debug, Serialize)]
struct TrackView {
    track: usize,
    packets: u64,
    loss: Option<f64>,
    lost: Option<i32>,
    jitter_ms: Option<f64>,
    round_trip_ms: Option<f64>,
    report_age_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct SessionsView {
    now: f64,
    sessions: Vec<ViewerView>,
}

/// `/api/v1/rtsp/sessions`.
pub(super) async fn sessions(State(app): State<Arc<App>>) -> Response {
    let present = app.rtsp.sessions.present();
    let sessions = present.iter().map(|session| ViewerView::of(session.viewer.stats(), Some(session)));
    no_store(Json(SessionsView { now: seconds(SystemTime::now()), sessions: sessions.collect() }))
}

/// `DELETE /api/v1/rtsp/sessions/{id}`.
pub(super) async fn end_session(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(changers): Extension<Changers>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    changers.check(&headers)?;
    let session = session_called(&app, &id)?;
    if app.rtsp.sessions.close(session.id()) {
        tracing::info!(%peer, id = session.id(), "RTSP session ended by the API");
    }
    Ok(no_store(Json(ViewerView::of(session.viewer.stats(), Some(&session)))))
}

/// `/api/v1/rtsp/sessions/{id}`.
pub(super) async fn session(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let session = session_called(&app, &id)?;
    Ok(no_store(Json(ViewerView::of(session.viewer.stats(), Some(&session)))))
}

fn session_called(app: &App, id: &str) -> Result<Arc<Session>, ApiError> {
    let present = app.rtsp.sessions.present();
    let found = present.into_iter().find(|session| session.id().to_string() == id);
    found.ok_or_else(|| {
        let id: String = id.chars().take(32).collect();
        let error = format!("there is no RTSP session {id}");
        ApiError::new(StatusCode::NOT_FOUND, error, "/api/v1/rtsp/sessions lists those there are")
    })
}

impl RtspView {
    pub(super) fn of(rtsp: &Rtsp) -> Self {
        let refused = rtsp.refused.refused().into_iter().map(|(why, count)| (why.as_str(), count));
        let sessions_refused =
            rtsp.sessions.refused.refused().into_iter().map(|(why, count)| (why.as_str(), count));
        let ended =
            |tally: &Endings| tally.ended().into_iter().map(|(why, count)| (why.as_str(), count)).collect();
        Self {
            listens: rtsp.listens.get().map(ToString::to_string),
            connections: ConnectionsView::of(&rtsp.connections),
            connections_refused: refused.collect(),
            connections_ended: ended(&rtsp.ended),
            sessions_refused: sessions_refused.collect(),
            sessions_ended: ended(&rtsp.sessions.ended),
            publishers_ended: ended(&rtsp.publishers_ended),
        }
    }
}

impl SessionView {
    pub(super) fn of(session: &Session) -> Self {
        let numbers = &session.numbers;
        let sent = numbers.tracks_sent().into_iter().enumerate();
        let tracks = sent.zip(numbers.tracks_heard()).filter(|((_, sent), _)| sent.packets > 0);
        Self {
            client: session.program.clone(),
            dropped_by_reason: drops(session).into_iter().map(|(why, count)| (why.as_str(), count)).collect(),
            sound_dropped: numbers.sound_drops(),
            tracks: tracks
                .map(|((track, sent), heard)| TrackView {
                    track,
                    packets: sent.packets,
                    loss: heard.map(|heard| heard.loss),
                    lost: heard.map(|heard| heard.lost),
                    jitter_ms: heard.map(|heard| millis(heard.jitter)),
                    round_trip_ms: heard.and_then(|heard| heard.round_trip).map(millis),
                    report_age_seconds: heard
                        .map(|heard| Instant::now().saturating_duration_since(heard.at).as_secs_f64()),
                })
                .collect(),
            reports: numbers.reports(),
            reports_dropped: numbers.reports_dropped(),
            keyframes_asked: numbers.keyframes_asked(),
        }
    }
}

/// Pictures that did not go out, by reason. Those that were passed over for a newer one are counted with the viewer only.
fn drops(session: &Session) -> Vec<(SessionDrop, u64)> {
    let mut drops = session.numbers.drops().to_vec();
    let others: u64 =
        drops.iter().filter(|(why, _)| *why != SessionDrop::Behind).map(|(_, count)| count).sum();
    if let Some((_, behind)) = drops.iter_mut().find(|(why, _)| *why == SessionDrop::Behind) {
        *behind = session.viewer.stats().skipped().saturating_sub(others);
    }
    drops
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    camera: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    reason: &'static str,
}

/// Sessions are no labels: what is told of them is the worst of each camera and kind.
pub(super) fn register_rtsp(app: &App, registry: &mut Registry) {
    let count = gauges(registry, "rtsp_sessions", "RTSP sessions now");
    let loss =
        gauges(registry, "rtsp_loss_ratio", "Part of the packets that the worst session lost, by its report");
    let jitter =
        gauges(registry, "rtsp_jitter_seconds", "Mean deviation of the packets' spacing, the largest");
    let round_trip =
        gauges(registry, "rtsp_round_trip_seconds", "A packet's way to a client and back, the longest");
    for camera in &app.cameras {
        let label = OfCamera::new(camera);
        [&loss, &jitter, &round_trip].iter().for_each(|family| _ = family.get_or_create(&label));
        for kind in ViewerKind::RTSP {
            _ = count.get_or_create(&OfKind { camera: label.camera.clone(), kind: kind.as_str() });
        }
    }
    for session in app.rtsp.sessions.present() {
        let stats = session.viewer.stats();
        let label = OfCamera { camera: stats.camera.to_string() };
        count.get_or_create(&OfKind { camera: label.camera.clone(), kind: stats.kind.as_str() }).inc();
        for heard in session.numbers.tracks_heard().into_iter().flatten() {
            let raise = |family: &Gauges<OfCamera>, value: f64| {
                let gauge = family.get_or_create(&label);
                gauge.set(gauge.get().max(value));
            };
            raise(&loss, heard.loss);
            raise(&jitter, heard.jitter.as_secs_f64());
            if let Some(time) = heard.round_trip {
                raise(&round_trip, time.as_secs_f64());
            }
        }
    }
    let rtsp = &app.rtsp;
    for (name, help, tally) in [
        ("rtsp_connections_ended", "RTSP connections that are over, by why", &rtsp.ended),
        ("rtsp_sessions_ended", "RTSP sessions that are over, by why", &rtsp.sessions.ended),
        (
            "rtsp_publishers_ended",
            "Who sent a camera's stream by RTSP and does no more, by why",
            &rtsp.publishers_ended,
        ),
    ] {
        let ended = counters(registry, name, help);
        for (reason, count) in tally.ended() {
            ended.get_or_create(&OfReason { reason: reason.as_str() }).inc_by(count);
        }
    }
    let refused =
        counters(registry, "rtsp_connections_refused_by_reason", "RTSP connections refused, by why");
    for (reason, connections) in app.rtsp.refused.refused() {
        refused.get_or_create(&OfReason { reason: reason.as_str() }).inc_by(connections);
    }
    let refused =
        counters(registry, "rtsp_sessions_refused", "RTSP sessions for which there was no place, by why");
    for (reason, sessions) in rtsp.sessions.refused.refused() {
        refused.get_or_create(&OfReason { reason: reason.as_str() }).inc_by(sessions);
    }
    let connections = &app.rtsp.connections;
    for (name, help, value) in [
        ("rtsp_connections_accepted", "RTSP connections accepted", connections.accepted()),
        (
            "rtsp_connections_refused",
            "RTSP connections refused because too many were open",
            connections.refused(),
        ),
        (
            "rtsp_reports_dropped",
            "Reports of RTSP sessions and to them that were dropped because too many waited",
            rtsp.sessions.reports_dropped(),
        ),
    ] {
        let total = Total::default();
        total.inc_by(value);
        registry.register(name, help, total);
    }
}
