//! `/api/v1/openapi.json`: what every address takes and answers, for programs that make clients.
//!
//! Written by hand and embedded as it is. The tests of the whole system hold it against what the server answers, and
//! the test below against the addresses there are.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

const DOCUMENT: &str = include_str!("openapi.json");

/// `/api/v1/openapi.json`.
pub(super) async fn openapi() -> Response {
    let mut response = DOCUMENT.into_response();
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A new version of the program has a new document at once.
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_address_is_described_and_the_version_is_the_programs() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let described: BTreeSet<&str> =
            document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let routes = include_str!("mod.rs").split(".route(\"").skip(1);
        let routes = routes.filter_map(|rest| rest.split('"').next());
        // The page's own files are nobody else's business.
        let routes: BTreeSet<&str> = routes.filter(|path| *path != "/web/{file}").collect();
        assert_eq!(described, routes);
    }
}
