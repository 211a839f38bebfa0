//! `/cameras/{cam}/stream.sdp`: how to receive a camera that is pushed by RTP, for players that read session descriptions
//! (RFC 8866).
//!
//! It describes one target of the push, the first unless `?target=` names another. The connection address is the target's:
//! a receiver listens there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use ocelli_media::{Codec as MediaCodec, Track, video_track};
use ocelli_proto::sdp::{Codec, Connection, Description, Host, Medium, Origin, SourceFilter};
use serde::Deserialize;

use super::error::{ApiError, camera_called, first_camera};
use crate::app::{App, CameraEntry};
use crate::outputs::rtp::{Push, usual_payload_type};

/// How many routers packets for a group pass where the target's address does not say it: none, as the system has it.
const USUAL_GROUP_TTL: u8 = 1;
/// How soon to ask again for what is not known yet.
const RETRY_SECONDS: u64 = 2;

/// The parameters of the address.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SdpQuery {
    target: Option<String>,
}

/// `/stream.sdp`.
pub(super) async fn first(
    State(app): State<Arc<App>>,
    Query(query): Query<SdpQuery>,
) -> Result<Response, ApiError> {
    answer(first_camera(&app)?, &query)
}

/// `/cameras/{cam}/stream.sdp`.
pub(super) async fn camera(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(query): Query<SdpQuery>,
) -> Result<Response, ApiError> {
    answer(camera_called(&app, &name)?, &query)
}

fn answer(camera: &CameraEntry, query: &SdpQuery) -> Result<Response, ApiError> {
    let name = camera.name();
    let push = chosen(camera, query.target.as_deref())?;
    let Some(target) = target_of(&push) else {
        let cause = push.cause().map(|cause| format!(": {cause}")).unwrap_or_default();
        let error = format!("the address of {} is not known yet{cause}", push.address().label());
        return Err(ApiError::unavailable(error, "see /stats for its state", RETRY_SECONDS));
    };
    if let Some(why) = push.stats().refused() {
        let error = format!("the pictures of `{name}` are not sent to {}: {why}", push.address().label());
        return Err(ApiError::unavailable(error, "see /stats for its state", RETRY_SECONDS));
    }
    let tracks = push.shaped().and_then(|shaped| shaped.stream().stats().tracks);
    let Some(medium) = tracks.as_ref().and_then(|tracks| medium(video_track(tracks)?, &push, target)) else {
        let cause = push.cause().map(|cause| format!(": {cause}")).unwrap_or_default();
        let error = format!("how the pictures of `{name}` are coded is not known yet{cause}");
        return Err(ApiError::unavailable(error, "see /stats for its state", RETRY_SECONDS));
    };
    let local = push.stats().local().map(|local| local.ip());
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let description = Description {
        origin: Origin {
            // The sender's number is the target's alone, and the time grows with whatever changes.
            session: push.stats().ssrc().into(),
            version: since_1970.as_secs(),
            address: local.unwrap_or_else(|| Origin::default().address),
        },
        name: name.to_string(),
        control: None,
        media: vec![medium],
    };
    let mut response = description.to_string().into_response();
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/sdp"));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(named) = HeaderValue::from_str(&format!("inline; filename=\"{name}.sdp\"")) {
        out.insert(header::CONTENT_DISPOSITION, named);
    }
    Ok(response)
}

/// The target that `asked` names by its place in the list or by host and port, else the first.
fn chosen(camera: &CameraEntry, asked: Option<&str>) -> Result<Arc<Push>, ApiError> {
    let name = camera.name();
    let pushes = camera.pushes();
    if pushes.is_empty() {
        let error = format!("camera `{name}` is pushed nowhere by RTP");
        let hint = "give it a `push` address, in the configuration or by PATCH";
        return Err(ApiError::new(StatusCode::NOT_FOUND, error, hint));
    }
    let found = match asked {
        None => pushes.first(),
        Some(asked) => match asked.parse::<usize>() {
            Ok(index) => pushes.get(index),
            Err(_) => pushes.iter().find(|push| is_called(push, asked)),
        },
    };
    found.cloned().ok_or_else(|| {
        let asked: String = asked.unwrap_or_default().chars().take(64).collect();
        let known: Vec<&str> = pushes.iter().map(|push| push.address().label()).collect();
        let hint = format!("its targets, from 0 on: {}", known.join(", "));
        ApiError::new(StatusCode::NOT_FOUND, format!("camera `{name}` has no target `{asked}`"), hint)
    })
}

fn is_called(push: &Push, asked: &str) -> bool {
    let resolved = push.stats().resolved().map(|address| address.to_string());
    push.address().label().eq_ignore_ascii_case(asked) || resolved.as_deref() == Some(asked)
}

/// Where it is sent to, if that is known.
fn target_of(push: &Push) -> Option<SocketAddr> {
    let address = push.address();
    let literal = address.host().parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, address.port()));
    literal.or_else(|| push.stats().resolved())
}

/// `None` while what a decoder needs first is not known.
fn medium(track: &Track, push: &Push, target: SocketAddr) -> Option<Medium> {
    let sets = || Some(track.parameter_sets.clone()).filter(|sets| !sets.is_empty());
    let codec = match track.codec {
        MediaCodec::Jpeg => Codec::Jpeg,
        MediaCodec::H264 => Codec::h264(sets()?),
        MediaCodec::H265 => Codec::H265 { parameter_sets: sets()? },
        _ => return None,
    };
    let payload_type = push.address().payload_type.unwrap_or(usual_payload_type(track.codec));
    let ttl = push.address().socket.ttl.unwrap_or(USUAL_GROUP_TTL);
    let medium = Medium::sent(&codec, payload_type, Connection::to(target.ip(), ttl), target.port());
    let sender = push.stats().local().map(|local| local.ip());
    let source_filter = sender
        .filter(|_| is_source_specific(target.ip()))
        .map(|sender| SourceFilter { include: true, sources: vec![Host::Address(sender)] });
    Some(Medium { size: track.size, source_filter, ..medium })
}

/// Groups that can only be joined for a sender that is named (RFC 4607 section 1).
fn is_source_specific(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.octets()[0] == 232,
        IpAddr::V6(group) => group.segments()[0] & 0xFFF0 == 0xFF30 && group.segments()[1] == 0,
    }
}
