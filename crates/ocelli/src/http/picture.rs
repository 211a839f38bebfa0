//! The addresses that give pictures: streams and snapshots.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use ocelli_hub::{Item, Want};
use ocelli_media::{Codec, Frame, video_track};
use serde::Deserialize;

use super::error::{ApiError, camera_called, first_camera};
use super::page;
use super::takeover::Takeover;
use crate::app::{App, CameraEntry};
use crate::outputs::mjpeg::{self, MjpegParts, StreamOptions};
use crate::viewers::ViewerKind;

/// How long a snapshot waits for a picture of a camera that is just being started.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(5);
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store, no-cache, must-revalidate, private");
const X_TIMESTAMP: &str = "x-timestamp";

/// The parameters of a stream's address. Unknown ones are ignored: people add them to defeat caches.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PictureQuery {
    action: Option<String>,
    fps: Option<String>,
    advance_headers: Option<String>,
    width: Option<String>,
    height: Option<String>,
    quality: Option<String>,
    codec: Option<String>,
}

type Asked = (State<Arc<App>>, ConnectInfo<SocketAddr>, Method, HeaderMap, Query<PictureQuery>);

/// `/`: the dashboard for a browser that asks for a page, mjpg-streamer's actions, else the first camera's stream.
pub(super) async fn root(asked: Asked) -> Result<Response, ApiError> {
    let (State(app), _, _, headers, Query(query)) = &asked;
    match query.action.as_deref() {
        Some("stream") => {}
        Some("snapshot") => return snapshot_of(app, first_camera(app)?, headers, query).await,
        Some(other) => {
            let error = format!("there is no action `{}`", other.chars().take(32).collect::<String>());
            return Err(ApiError::bad_parameter(error, "the actions are `stream` and `snapshot`"));
        }
        None if wants_page(headers) => return Ok(page::index()),
        None => {}
    }
    let camera = first_camera(app)?.clone();
    stream_of(&camera, asked)
}

/// `/stream`.
pub(super) async fn first_stream(asked: Asked) -> Result<Response, ApiError> {
    let camera = first_camera(&asked.0)?.clone();
    stream_of(&camera, asked)
}

/// `/cameras/{cam}/stream`.
pub(super) async fn stream(Path(name): Path<String>, asked: Asked) -> Result<Response, ApiError> {
    let camera = camera_called(&asked.0, &name)?.clone();
    stream_of(&camera, asked)
}

/// `/snapshot`.
pub(super) async fn first_snapshot(asked: Asked) -> Result<Response, ApiError> {
    let (State(app), _, _, headers, Query(query)) = asked;
    snapshot_of(&app, first_camera(&app)?, &headers, &query).await
}

/// `/cameras/{cam}/snapshot`.
pub(super) async fn snapshot(Path(name): Path<String>, asked: Asked) -> Result<Response, ApiError> {
    let (State(app), _, _, headers, Query(query)) = asked;
    snapshot_of(&app, camera_called(&app, &name)?, &headers, &query).await
}

fn stream_of(camera: &Arc<CameraEntry>, asked: Asked) -> Result<Response, ApiError> {
    let (State(app), ConnectInfo(peer), method, headers, Query(query)) = asked;
    refuse_other_codecs(&app, camera, &headers)?;
    let options = stream_options(&headers, &query)?;
    let mut response = Response::new(Body::empty());
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(mjpeg::CONTENT_TYPE));
    out.insert(header::CACHE_CONTROL, NO_STORE);
    out.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    // Proxies that buffer would add seconds.
    out.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if method == Method::HEAD {
        // The router states the length of a body that it knows, and a stream has none.
        *response.body_mut() = Body::from_stream(Body::empty().into_data_stream());
        return Ok(response);
    }
    let name = camera.name().clone();
    let viewer = app.viewers.admit(ViewerKind::HttpMjpeg, name, peer, camera.totals.clone());
    let viewer = viewer.map_err(|full| {
        ApiError::unavailable(full.to_string(), "raise `viewers` in `[limits]`, or `--max-clients`", 5)
    })?;
    // Subscribed here, not when the socket is free: the viewer is demand from now on.
    let mut parts = camera.stream().derive(&MjpegParts, Want::Latest);
    Ok(Takeover::response(response, move |socket, head| async move {
        tracing::debug!(camera = %viewer.stats().camera, %peer, id = viewer.stats().id, "viewer came");
        let ended = mjpeg::serve(&socket, head, &mut parts, options, &viewer).await;
        let stats = viewer.stats();
        tracing::debug!(camera = %stats.camera, %peer, id = stats.id, frames = stats.frames(), "viewer gone: {ended}");
    }))
}

fn stream_options(headers: &HeaderMap, query: &PictureQuery) -> Result<StreamOptions, ApiError> {
    refuse_derived(query)?;
    let advance_headers = match query.advance_headers.as_deref() {
        Some("1" | "true" | "yes") => true,
        Some(_) => false,
        None => headers.get("sec-fetch-dest").is_some_and(|dest| dest == "image"),
    };
    let fps = match query.fps.as_deref() {
        None => None,
        Some(text) => match text.parse::<f64>() {
            Ok(fps) if (0.01..=1000.0).contains(&fps) => Some(fps),
            _ => {
                let text: String = text.chars().take(32).collect();
                return Err(ApiError::bad_parameter(format!("fps={text}"), "expected 0.01 to 1000"));
            }
        },
    };
    Ok(StreamOptions { advance_headers, fps })
}

/// Refuses what needs pixels: an address that promises another size must not answer with the camera's.
fn refuse_derived(query: &PictureQuery) -> Result<(), ApiError> {
    let asked = [
        ("width", &query.width),
        ("height", &query.height),
        ("quality", &query.quality),
        ("codec", &query.codec),
    ];
    match asked.iter().find(|(_, value)| value.is_some()) {
        None => Ok(()),
        Some((name, _)) => Err(ApiError::new(
            StatusCode::NOT_IMPLEMENTED,
            format!("`{name}` is not there yet"),
            "pictures are passed on as the camera makes them: leave it out",
        )),
    }
}

/// Refuses a camera whose pictures are known to be no JPEGs.
fn refuse_other_codecs(app: &App, camera: &CameraEntry, headers: &HeaderMap) -> Result<(), ApiError> {
    let tracks = camera.stream().stats().tracks;
    let track = tracks.as_deref().and_then(|tracks| video_track(tracks));
    let Some(track) = track.filter(|track| track.codec != Codec::Jpeg) else { return Ok(()) };
    let name = camera.name();
    let hint = match app.rtsp.listens.get() {
        Some(listens) => {
            format!("watch it by RTSP: rtsp://{}:{}/{name}", asked_host(headers), listens.port())
        }
        None => "watch it by RTSP, once `rtsp` in `[listen]` is not off any more".to_owned(),
    };
    Err(ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        format!("camera `{name}` gives {}, and turning that into JPEG is not there yet", track.codec),
        hint,
    ))
}

/// The name by which the server was asked, without the port; `HOST` where the request has none that is one.
fn asked_host(headers: &HeaderMap) -> &str {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
    if host.is_empty() || host.len() > 255 || !host.bytes().all(is_name) { "HOST" } else { host }
}

async fn snapshot_of(
    app: &App,
    camera: &Arc<CameraEntry>,
    headers: &HeaderMap,
    query: &PictureQuery,
) -> Result<Response, ApiError> {
    refuse_derived(query)?;
    refuse_other_codecs(app, camera, headers)?;
    let newest = tokio::time::timeout(SNAPSHOT_WAIT, newest(camera)).await.ok().flatten();
    let Some((frame, lost)) = newest else {
        // It may have become known just then.
        refuse_other_codecs(app, camera, headers)?;
        let status = camera.status();
        let cause = status.cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        let error = format!("camera `{}` has no picture yet{cause}", camera.name());
        return Err(ApiError::unavailable(error, "see /stats for its state", 2));
    };
    let etag = format!("\"{:x}-{:x}\"", micros(frame.captured), frame.data.len());
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let mut response = match (lost, known) {
        (false, true) => StatusCode::NOT_MODIFIED.into_response(),
        (false, false) => Response::new(Body::from(frame.data)),
        // A browser shows the picture; a script sees that it is not the camera's.
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, frame.data).into_response(),
    };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    out.insert(header::CACHE_CONTROL, NO_STORE);
    if lost {
        out.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        return Ok(response);
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        out.insert(header::ETAG, etag);
    }
    if let Some(Ok(value)) = frame.captured.map(|time| HeaderValue::from_str(&mjpeg::timestamp(time))) {
        out.insert(X_TIMESTAMP, value);
    }
    Ok(response)
}

/// The newest picture there is or the next to come, and whether it is a notice.
async fn newest(camera: &CameraEntry) -> Option<(Frame, bool)> {
    let mut subscriber = camera.stream().subscribe(Want::Latest);
    loop {
        match subscriber.next().await.ok()? {
            Item::Tracks(tracks) if video_track(&tracks).is_some_and(|track| track.codec != Codec::Jpeg) => {
                return None;
            }
            Item::Frame(frame) if frame.is_picture() => return Some((frame, false)),
            Item::Notice(frame) => return Some((frame, true)),
            Item::Frame(_) | Item::Tracks(_) | Item::Lost { .. } => {}
        }
    }
}

fn micros(time: Option<SystemTime>) -> u128 {
    time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default().as_micros()
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter();
    accept.filter_map(|value| value.to_str().ok()).any(|value| value.contains("text/html"))
}
