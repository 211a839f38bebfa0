//! The HTTP side: the addresses, and the listener that serves them.

mod accept;
mod change;
mod error;
mod metrics;
mod openapi;
mod origin;
mod page;
mod patience;
mod picture;
mod pixels;
mod push;
mod rtsp;
mod sdp;
mod socket;
mod status;
mod takeover;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::{Extension, Router};
use http::{HeaderValue, Method, StatusCode, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

pub use accept::{ListenerLimits, serve};
pub use error::ApiError;
pub(crate) use patience::close;
pub use push::push_dropped;
pub use socket::tune;
pub use status::{dropped, state_name};

use crate::app::App;
use crate::config::Cors;
use origin::Changers;

/// Every address there is. `machine` is this machine's own name, by which its owner may open the page.
pub fn router(app: Arc<App>, cors: &Cors, machine: &str) -> Router {
    let router = Router::new()
        .route("/", get(picture::root))
        .route("/stream", get(picture::first_stream))
        .route("/snapshot", get(picture::first_snapshot))
        .route("/cameras/{cam}/stream", get(picture::stream))
        .route("/cameras/{cam}/snapshot", get(picture::snapshot))
        .route("/stream.sdp", get(sdp::first))
        .route("/cameras/{cam}/stream.sdp", get(sdp::camera))
        .route("/stats", get(status::stats))
        .route("/api/v1/cameras", get(status::cameras))
        .route("/api/v1/cameras/{cam}", get(status::camera).patch(change::camera))
        .route("/api/v1/rtsp/sessions", get(rtsp::sessions))
        .route("/api/v1/rtsp/sessions/{id}", get(rtsp::session).delete(rtsp::end_session))
        .route("/api/v1/openapi.json", get(openapi::openapi))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz))
        .route("/web/{file}", get(page::file))
        .fallback(no_such_address)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(0))
        .layer(Extension(Changers::new(cors, machine)))
        .layer(axum::middleware::map_response(error::as_json))
        .with_state(app);
    match cors_layer(cors) {
        Some(layer) => router.layer(layer),
        None => router,
    }
}

fn cors_layer(cors: &Cors) -> Option<CorsLayer> {
    let allow = match cors {
        Cors::None => return None,
        Cors::Any => AllowOrigin::any(),
        Cors::Origins(origins) => {
            AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
        }
    };
    let exposed = ["x-timestamp", "x-variant", "etag"].map(http::HeaderName::from_static);
    let layer = CorsLayer::new().allow_origin(allow).expose_headers(exposed);
    Some(match cors {
        // Those that are named may change something, too.
        Cors::Origins(_) => {
            let methods = [Method::GET, Method::HEAD, Method::PATCH, Method::DELETE];
            layer.allow_methods(methods).allow_headers([header::CONTENT_TYPE])
        }
        Cors::None | Cors::Any => layer.allow_methods([Method::GET, Method::HEAD]),
    })
}

async fn no_such_address() -> ApiError {
    let hint = "try /, /stream, /snapshot, /cameras/{cam}/stream, /stats, /api/v1/cameras or /metrics";
    ApiError::new(StatusCode::NOT_FOUND, "there is nothing at this address", hint)
}

async fn no_such_method() -> ApiError {
    let error = "this address does not take this method; every address takes GET and HEAD";
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        error,
        "use GET; /api/v1/cameras/{cam} takes PATCH as well, /api/v1/rtsp/sessions/{id} DELETE",
    )
}
