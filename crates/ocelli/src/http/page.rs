//! The page: static files embedded in the program.

use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::RustEmbed;

use super::error::ApiError;

/// Nothing may come from another site, and nobody may frame the page for clicks. `blob:` is how a worker's pictures
/// are shown where it cannot draw by itself.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'self'; base-uri 'none'; form-action 'self'";

#[derive(RustEmbed)]
#[folder = "src/web/"]
struct Files;

/// The dashboard.
pub(super) fn index() -> Response {
    serve("index.html", None).unwrap_or_else(IntoResponse::into_response)
}

/// `/web/{file}`: what the dashboard is made of.
pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    serve(&name, headers.get(header::IF_NONE_MATCH))
}

fn serve(name: &str, known: Option<&HeaderValue>) -> Result<Response, ApiError> {
    let Some(file) = Files::get(name) else {
        let hint = "the page is at /";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "there is no such file", hint));
    };
    let hash = file.metadata.sha256_hash();
    let etag: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{etag}\"");
    let mut response = if known.is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Response::new(Body::from(Bytes::from(file.data.into_owned())))
    };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(name)));
    // A new version of the program is a new page at once.
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    out.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        out.insert(header::ETAG, etag);
    }
    Ok(response)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json" | "webmanifest") => "application/json",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}
