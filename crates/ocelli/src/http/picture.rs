//! The addresses that give pictures: streams and snapshots, as JPEGs whatever the camera gives, or not coded where that is asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use ocelli_hub::{DerivedReader, Want};
use ocelli_media::{Codec, video_track};

use super::error::{ApiError, camera_called, first_camera};
use super::page;
use super::takeover::Takeover;
use crate::app::{App, CameraEntry};
use crate::outputs::mjpeg::{self, Ended, MjpegParts, Part, StreamOptions};
use crate::transcode::Failure;
use crate::variants::{Asked, BadParameter, MOST_WAITING, Shape, Shaped, StillPicture, Unshaped};
use crate::viewers::ViewerKind;

/// How long a snapshot waits for a picture of a camera that is just being started.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(5);
/// How long a stream waits for it and for what is made of it, to answer with an error where nothing can be made.
const STREAM_WAIT: Duration = Duration::from_secs(2);
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store, no-cache, must-revalidate, private");
const X_TIMESTAMP: &str = "x-timestamp";
/// What was made where the address asks for something: its parameters as they were rounded.
const X_VARIANT: &str = "x-variant";

/// The parameters of an address. Unknown ones are ignored: people add them to defeat caches.
type Pairs = Vec<(String, String)>;

type Asker = (State<Arc<App>>, ConnectInfo<SocketAddr>, Method, HeaderMap, Query<Pairs>);

/// `/`: the dashboard for a browser that asks for a page, mjpg-streamer's actions, else the first camera's stream.
pub(super) async fn root(asked: Asker) -> Result<Response, ApiError> {
    let (State(app), _, _, headers, Query(query)) = &asked;
    match parameter(query, "action")? {
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
    stream_of(&camera, asked).await
}

/// `/stream`.
pub(super) async fn first_stream(asked: Asker) -> Result<Response, ApiError> {
    let camera = first_camera(&asked.0)?.clone();
    stream_of(&camera, asked).await
}

/// `/cameras/{cam}/stream`.
pub(super) async fn stream(Path(name): Path<String>, asked: Asker) -> Result<Response, ApiError> {
    let camera = camera_called(&asked.0, &name)?.clone();
    stream_of(&camera, asked).await
}

/// `/snapshot`.
pub(super) async fn first_snapshot(asked: Asker) -> Result<Response, ApiError> {
    let (State(app), _, _, headers, Query(query)) = asked;
    snapshot_of(&app, first_camera(&app)?, &headers, &query).await
}

/// `/cameras/{cam}/snapshot`.
pub(super) async fn snapshot(Path(name): Path<String>, asked: Asker) -> Result<Response, ApiError> {
    let (State(app), _, _, headers, Query(query)) = asked;
    snapshot_of(&app, camera_called(&app, &name)?, &headers, &query).await
}

async fn stream_of(camera: &Arc<CameraEntry>, asked: Asker) -> Result<Response, ApiError> {
    let (State(app), ConnectInfo(peer), method, headers, Query(query)) = asked;
    let advance_headers = match parameter(&query, "advance_headers")? {
        Some("1" | "true" | "yes") => true,
        Some(_) => false,
        None => headers.get("sec-fetch-dest").is_some_and(|dest| dest == "image"),
    };
    let asked = asked_of(&app, camera, &headers, &query, &[Codec::Rgb24, Codec::Yuv420])?;
    // What goes ahead of a picture says that it is a JPEG.
    let advance_headers = advance_headers && asked.shape.codec == Some(Codec::Jpeg);
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
    let deadline = tokio::time::Instant::now() + STREAM_WAIT;
    if !is_own(&asked) {
        // What is made of it depends on what it is. Of one that is lost its viewers are told so.
        camera.tracks_within(STREAM_WAIT).await;
    }
    tell_variant(&mut response, camera, &asked);
    // Subscribed here, not when the socket is free: the viewer is demand from now on.
    let mut watched = Watched::new(camera, &asked).map_err(|error| unshaped(&error))?;
    watched.shaped.begun(deadline).await.map_err(|error| unshaped(&error))?;
    let camera = camera.clone();
    Ok(Takeover::response(response, move |socket, mut head| async move {
        tracing::debug!(camera = %viewer.stats().camera, %peer, id = viewer.stats().id, "viewer came");
        let ended = loop {
            watched.shaped.watched_by(viewer.stats());
            let options = StreamOptions { advance_headers, fps: watched.fps };
            let ended = mjpeg::serve(&socket, &mut head, &mut watched.parts, options, &viewer).await;
            // What a camera gives is often not known before its first picture; then, or when it comes to give something
            // else, the viewer goes on with what is made of that.
            if !matches!(ended, Ended::Closed) || watched.source == camera.codec() {
                break ended;
            }
            match Watched::new(&camera, &asked) {
                Ok(others) => watched = others,
                Err(error) => break error.into(),
            }
        };
        let stats = viewer.stats();
        tracing::debug!(camera = %stats.camera, %peer, id = stats.id, frames = stats.frames(), "viewer gone: {ended}");
    }))
}

/// What a viewer reads.
struct Watched {
    parts: DerivedReader<Part>,
    /// Leaves out of them what is more than so many a second.
    fps: Option<f64>,
    /// What the camera gave when this was chosen.
    source: Option<Codec>,
    /// Held for as long as the parts are read.
    shaped: Shaped,
}

impl Watched {
    fn new(camera: &CameraEntry, asked: &Asked) -> Result<Self, Unshaped> {
        let source = camera.codec();
        let (shaped, thinned) = match source {
            // Most likely it gives JPEGs; these parts end if it does not.
            None if is_own(asked) => (camera.shaped(&Shape::default())?, asked.shape.fps),
            _ => camera.shaped_but_for_rate(&asked.shape)?,
        };
        let parts = shaped.stream().derive(&MjpegParts, Want::Latest);
        // Leaving pictures out costs nothing, so the rate need not be one of few.
        let fps = thinned.and(asked.exact.fps).map(|fps| fps.per_second());
        Ok(Self { parts, fps, source, shaped })
    }
}

/// The value of a parameter that may be there once.
fn parameter<'a>(query: &'a Pairs, name: &str) -> Result<Option<&'a str>, ApiError> {
    let mut values = query.iter().filter(|pair| pair.0 == name).map(|pair| &*pair.1);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(ApiError::bad_parameter(format!("`{name}` is there twice"), "expected once")),
    }
}

/// What is asked of `camera`, coded as JPEG or, where that is what is asked, as one of `others`.
fn asked_of(
    app: &App,
    camera: &CameraEntry,
    headers: &HeaderMap,
    query: &Pairs,
    others: &[Codec],
) -> Result<Asked, ApiError> {
    let pairs = query.iter().map(|(name, value)| (&**name, &**value));
    let asked = Asked::read(camera.pixel_options(), pairs)
        .map_err(|error| ApiError::bad_parameter(error.to_string(), error.expected()))?;
    if asked.own.codec.is_some_and(|codec| others.contains(&codec)) {
        return Ok(asked);
    }
    if let Some(codec) = asked.own.codec.filter(|codec| *codec != Codec::Jpeg) {
        let name = camera.name();
        let elsewhere = match app.rtsp.listens.get() {
            Some(listens) if codec == Codec::H264 => {
                format!(
                    ": watch it by RTSP, rtsp://{}:{}/{name}?codec={codec}",
                    asked_host(headers),
                    listens.port()
                )
            }
            _ => String::new(),
        };
        let known = [Codec::Jpeg].iter().chain(others).map(Codec::to_string).collect::<Vec<_>>().join(", ");
        let expected = format!("expected one of {known}");
        return Err(ApiError::bad_parameter(format!("codec={codec}: {expected}"), expected + &elsewhere));
    }
    if let Some(value) = parameter(query, "bitrate")? {
        let bad = BadParameter::no_bit_rate(value);
        return Err(ApiError::bad_parameter(bad.to_string(), "leave it out, or ask for H.264 by RTSP"));
    }
    let jpeg = |shape: Shape| Shape { codec: Some(Codec::Jpeg), bit_rate_kbps: None, ..shape };
    Ok(Asked { shape: jpeg(asked.shape), exact: jpeg(asked.exact), ..asked })
}

/// Whether a camera that gives JPEGs gives what is asked.
fn is_own(asked: &Asked) -> bool {
    asked.shape == Shape { codec: Some(Codec::Jpeg), fps: asked.shape.fps, ..Shape::default() }
}

fn no_picture_yet(camera: &CameraEntry) -> ApiError {
    let cause = camera.status().cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    let error = format!("camera `{}` has no picture yet{cause}", camera.name());
    ApiError::unavailable(error, "see /stats for its state", 2)
}

/// Why there is no such stream, for one who asked by HTTP.
fn unshaped(error: &Unshaped) -> ApiError {
    match error {
        Unshaped::TooMany { limit, .. } => {
            let hint = format!("raise `{limit}`, or ask for one that others watch already: see /stats");
            ApiError::unavailable(error.to_string(), hint, 5)
        }
        Unshaped::Impossible(why) => {
            ApiError::new(StatusCode::NOT_IMPLEMENTED, why, "ask for the camera's own pictures")
        }
        Unshaped::NotNow(why) => ApiError::unavailable(why, "see /stats for what the camera gives", 5),
    }
}

/// Why there is no such picture, for one who asked by HTTP.
fn not_made(failure: &Failure) -> ApiError {
    match failure {
        Failure::Unavailable(why) => {
            ApiError::new(StatusCode::NOT_IMPLEMENTED, &**why, "ask for the camera's own pictures")
        }
        Failure::Overtaken => {
            let error =
                format!("snapshots of {MOST_WAITING} other sizes, qualities or turns were asked for since");
            ApiError::unavailable(error, "ask for the same one, or for fewer at a time", 1)
        }
        _ => ApiError::unavailable(failure.to_string(), "see /stats for what the camera gives", 2),
    }
}

/// Tells what is made, where the address asked for something.
fn tell_variant(response: &mut Response, camera: &CameraEntry, asked: &Asked) {
    let tracks = camera.stream().stats().tracks;
    let track = tracks.as_deref().and_then(|tracks| video_track(tracks));
    let but_for_rate = Shape { fps: None, ..asked.shape };
    if track.is_some_and(|track| track.codec == Codec::Jpeg && but_for_rate.is_given_by(track)) {
        return;
    }
    let made = asked.made_of(track);
    if let Some(Ok(value)) = made.map(|made| HeaderValue::from_str(&made)) {
        response.headers_mut().insert(X_VARIANT, value);
    }
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
    query: &Pairs,
) -> Result<Response, ApiError> {
    let asked = asked_of(app, camera, headers, query, &[])?;
    let asked = Asked { shape: Shape { fps: None, ..asked.shape }, ..asked };
    let still = tokio::time::timeout(SNAPSHOT_WAIT, camera.still(&asked.shape)).await;
    let StillPicture { frame, is_notice: lost } = match still {
        Err(_) | Ok(Err(Failure::Stopped)) => return Err(no_picture_yet(camera)),
        Ok(still) => still.map_err(|failure| not_made(&failure))?,
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
    tell_variant(&mut response, camera, &asked);
    Ok(response)
}

fn micros(time: Option<SystemTime>) -> u128 {
    time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default().as_micros()
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter();
    accept.filter_map(|value| value.to_str().ok()).any(|value| value.contains("text/html"))
}
