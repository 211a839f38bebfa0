//! Errors as clients see them: JSON `{"error": "...", "hint": "..."}` with the right status.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::app::{App, CameraEntry};

/// Why a request is not answered as asked.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    error: String,
    hint: String,
    retry_after_seconds: Option<u64>,
}

#[derive(Serialize)]
struct Body {
    error: String,
    hint: String,
}

impl ApiError {
    /// No such camera; the hint lists those there are.
    pub fn unknown_camera<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.collect();
        let hint = match known.len() {
            0 => "no camera is configured".to_owned(),
            _ => format!("the cameras are: {}", known.join(", ")),
        };
        // What was asked for is shown cut: it comes from outside and goes into logs and pages.
        let name: String = name.chars().take(64).collect();
        Self::new(StatusCode::NOT_FOUND, format!("there is no camera `{name}`"), hint)
    }

    /// A parameter's value that cannot be.
    pub fn bad_parameter(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, hint)
    }

    /// Nothing there yet, or no place left: worth trying again.
    pub fn unavailable(error: impl Into<String>, hint: impl Into<String>, retry_after_seconds: u64) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, error, hint);
        Self { retry_after_seconds: Some(retry_after_seconds), ..error }
    }

    /// Any other.
    pub fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, error: error.into(), hint: hint.into(), retry_after_seconds: None }
    }
}

/// The camera that addresses without a name mean.
///
/// # Errors
/// No camera is configured: 404.
pub(super) fn first_camera(app: &App) -> Result<&Arc<CameraEntry>, ApiError> {
    app.first().ok_or_else(|| ApiError::unknown_camera("", std::iter::empty()))
}

/// The camera called `name`.
///
/// # Errors
/// There is none: 404 with those there are.
pub(super) fn camera_called<'a>(app: &'a App, name: &str) -> Result<&'a Arc<CameraEntry>, ApiError> {
    let known = || app.cameras.iter().map(|camera| camera.name().as_str());
    app.camera(name).ok_or_else(|| ApiError::unknown_camera(name, known()))
}

/// Words of the router's own errors that are passed on.
const MAX_WORDS_BYTES: usize = 1024;

/// Gives an error of the router itself, which is plain text (a path that is no UTF-8, a parameter given twice), the
/// form that every other error has.
pub(super) async fn as_json(response: Response) -> Response {
    let is_text = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !response.status().is_client_error() || !is_text {
        return response;
    }
    let status = response.status();
    let words = axum::body::to_bytes(response.into_body(), MAX_WORDS_BYTES).await.unwrap_or_default();
    let words: String = String::from_utf8_lossy(&words).chars().take(200).collect();
    ApiError::new(status, words, "the address or its parameters are not as they should be").into_response()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Body { error: self.error, hint: self.hint };
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
