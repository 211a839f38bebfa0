//! `PATCH /api/v1/cameras/{cam}`: changes a camera while it runs (JSON merge patch, RFC 7396, of the keys in [`KEYS`]).
//!
//! A change holds until the program ends; the configuration file is never written. What a body asks for is done whole or not
//! at all. Refused: pages of other origins, bodies that are not JSON or longer than [`MAX_BODY_BYTES`], unknown keys.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use super::error::{ApiError, camera_called};
use super::origin::Changers;
use super::status::CameraView;
use crate::app::App;
use crate::outputs::rtp::PushAddress;

/// The longest body that is read.
pub(super) const MAX_BODY_BYTES: usize = 64 << 10;
/// How long a client may take to send one.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// What can be changed.
const KEYS: &[&str] = &["push"];
/// Targets of one camera.
const MAX_TARGETS: usize = 64;
/// How much of what was sent an error shows, in characters.
const SHOWN: usize = 200;

/// What a body asks for; `None` leaves it as it is.
#[derive(Debug, Default, PartialEq)]
struct Change {
    push: Option<Vec<PushAddress>>,
}

/// `PATCH /api/v1/cameras/{cam}`.
pub(super) async fn camera(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(changers): Extension<Changers>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    changers.check(&headers)?;
    let camera = camera_called(&app, &name)?;
    is_json(&headers)?;
    let body = whole(body).await?;
    // Only their addresses: a target goes on for as long as somebody holds it.
    let known: Vec<PushAddress> = camera.pushes().iter().map(|push| push.address().clone()).collect();
    let change = Change::parse(&body, &known)?;
    if let Some(targets) = change.push {
        for (index, target) in targets.iter().enumerate() {
            let asked = target.asked(camera.pixel_options()).map_err(|error| {
                ApiError::bad_parameter(format!("`push[{index}]`: {error}"), error.expected())
            })?;
            camera.pixels().may_make(&asked.exact).map_err(|error| {
                let hint = "ask for the camera's own pictures, or for others of them";
                ApiError::bad_parameter(format!("`push[{index}]`: {error}"), hint)
            })?;
        }
        let shown: Vec<&str> = targets.iter().map(PushAddress::label).collect();
        tracing::info!(camera = %camera.name(), %peer, targets = ?shown, "RTP push: targets changed");
        camera.set_push(targets);
    }
    let mut response = Json(CameraView::of(&app, camera)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Refuses what a page of another origin can send without asking (a form's types), and what is not meant for here.
fn is_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if ["application/json", "application/merge-patch+json"].iter().any(|json| kind.eq_ignore_ascii_case(json))
    {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the body must be JSON",
        "send `Content-Type: application/json`",
    ))
}

async fn whole(body: Body) -> Result<bytes::Bytes, ApiError> {
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {MAX_BODY_BYTES} bytes, or broke off"),
            "a change is a small JSON object",
        )),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not come within {} s", BODY_TIMEOUT.as_secs()),
            "send it at once",
        )),
    }
}

impl Change {
    /// `known` are the targets that there are.
    fn parse(body: &[u8], known: &[PushAddress]) -> Result<Self, ApiError> {
        let wanted = "send a JSON object such as {\"push\": [\"rtp://192.0.2.7:5000\"]}";
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| ApiError::bad_parameter(format!("the body is no JSON: {error}"), wanted))?;
        let Value::Object(members) = value else {
            return Err(ApiError::bad_parameter(format!("the body is {}", kind(&value)), wanted));
        };
        if let Some(unknown) = members.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let error = format!("`{}` cannot be changed", cut(unknown));
            return Err(ApiError::bad_parameter(error, format!("what can be changed: {}", KEYS.join(", "))));
        }
        Ok(Self { push: push(&members, known)? })
    }
}

/// `null` is what a key is without the configuration's word: no targets.
fn push(members: &Map<String, Value>, known: &[PushAddress]) -> Result<Option<Vec<PushAddress>>, ApiError> {
    let hint =
        "a list of up to 64 texts such as \"rtp://192.0.2.7:5000?dscp=46\", one alone, or null for none";
    let list = match members.get("push") {
        None => return Ok(None),
        Some(Value::Null) => return Ok(Some(Vec::new())),
        Some(Value::Array(list)) if list.len() <= MAX_TARGETS => list,
        // One address alone, as the configuration takes it.
        Some(text @ Value::String(_)) => std::slice::from_ref(text),
        Some(Value::Array(list)) => {
            let error = format!("`push` has {} addresses, expected 0 to {MAX_TARGETS}", list.len());
            return Err(ApiError::bad_parameter(error, hint));
        }
        Some(other) => return Err(ApiError::bad_parameter(format!("`push` is {}", kind(other)), hint)),
    };
    let mut targets: Vec<PushAddress> = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let wrong = |why: String| ApiError::bad_parameter(format!("`push[{index}]`: {}", cut(&why)), hint);
        let Value::String(text) = item else { return Err(wrong(format!("found {}", kind(item)))) };
        let address = match known.iter().find(|known| known.to_string() == *text) {
            Some(known) => known.clone(),
            // The server's environment is for those who write its configuration.
            None if text.contains("${") => {
                return Err(wrong("variables stand for nothing here".to_owned()));
            }
            None => PushAddress::parse(text).map_err(|error| wrong(error.to_string()))?,
        };
        if let Some(first) = targets.iter().position(|known| *known == address) {
            return Err(wrong(format!("the same as `push[{first}]`")));
        }
        targets.push(address);
    }
    Ok(Some(targets))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;

    fn error(body: &str) -> String {
        let error = Change::parse(body.as_bytes(), &[]).unwrap_err();
        format!("{error:?}")
    }

    #[test]
    fn targets_are_read() {
        let change =
            Change::parse(br#"{"push": ["rtp://192.0.2.7:5000?dscp=46", "rtp://[::1]:5002"]}"#, &[]).unwrap();
        let labels: Vec<String> = change.push.unwrap().iter().map(|to| to.label().to_owned()).collect();
        assert_eq!(labels, ["192.0.2.7:5000", "[::1]:5002"]);
        let alone = Change::parse(br#"{"push": "rtp://192.0.2.7:5000"}"#, &[]).unwrap();
        assert_eq!(alone.push, Some(vec![PushAddress::parse("rtp://192.0.2.7:5000").unwrap()]));
        assert_eq!(Change::parse(b"{}", &[]).unwrap(), Change::default());
        for none in [r#"{"push": []}"#, r#"{"push": null}"#] {
            assert_eq!(Change::parse(none.as_bytes(), &[]).unwrap().push, Some(Vec::new()));
        }
    }

    #[test]
    fn errors_name_the_key_and_what_may_be() {
        assert!(error("").contains("the body is no JSON"));
        assert!(error("[]").contains("the body is a list"));
        assert!(error(&"[".repeat(1000)).contains("recursion limit"));
        let unknown = error(r#"{"push": [], "qualty": 3}"#);
        assert!(
            unknown.contains("`qualty` cannot be changed") && unknown.contains("what can be changed: push")
        );
        assert!(error(r#"{"push": 7}"#).contains("`push` is a number"));
        assert!(error(r#"{"push": ["rtp://a:1", 7]}"#).contains("`push[1]`: found a number"));
        let range = error(r#"{"push": ["rtp://a:1?dscp=64"]}"#);
        assert!(range.contains("`push[0]`: dscp=64: not a whole number from 0 to 63"), "{range}");
        assert!(
            error(r#"{"push": ["rtp://a:1", "rtp://a:1"]}"#).contains("`push[1]`: the same as `push[0]`")
        );
        assert!(error(r#"{"push": ["rtp://${SECRET}:1"]}"#).contains("variables stand for nothing here"));
        let many = format!(r#"{{"push": [{}]}}"#, vec![r#""rtp://a:1""#; 65].join(","));
        assert!(error(&many).contains("`push` has 65 addresses, expected 0 to 64"));
        let long = error(&format!(r#"{{"push": ["{}"]}}"#, "x".repeat(60_000)));
        assert!(long.len() < 600, "{} characters", long.len());
    }

    #[test]
    fn a_target_with_a_variable_stays_by_the_name_that_it_is_shown_by() {
        let known = [PushAddress::parse("rtp://10.1.2.3:5000").unwrap().shown_as("rtp://${STUDIO}:5000")];
        let change = Change::parse(br#"{"push": ["rtp://${STUDIO}:5000"]}"#, &known).unwrap();
        assert_eq!(change.push, Some(known.to_vec()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_waited_for_and_bounded() {
        let status = |result: Result<bytes::Bytes, ApiError>| result.unwrap_err().into_response().status();
        let slow = Body::new(Never);
        assert_eq!(status(whole(slow).await), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(
            status(whole(Body::from(vec![0; MAX_BODY_BYTES + 1])).await),
            StatusCode::PAYLOAD_TOO_LARGE
        );
        assert_eq!(whole(Body::from(vec![0; MAX_BODY_BYTES])).await.unwrap().len(), MAX_BODY_BYTES);
    }

    #[test]
    fn only_json_is_taken() {
        let taken = |kind: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            kind.map(|kind| headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind)));
            is_json(&headers).is_ok()
        };
        assert!(taken(Some("application/json")) && taken(Some("Application/JSON; charset=utf-8")));
        assert!(taken(Some("application/merge-patch+json")));
        assert!(!taken(None) && !taken(Some("text/plain")) && !taken(Some("application/jsonx")));
        assert!(!taken(Some("application/x-www-form-urlencoded")));
    }

    /// A body of which nothing comes.
    struct Never;

    impl hyper::body::Body for Never {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }
}
