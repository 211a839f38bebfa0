//! `/api/v1/openapi.json` and `docs/http.md` against what the server answers: what is described is there, and what is
//! there is described.

mod document;

use std::collections::BTreeSet;

use crate::client::{Response, Viewer, request};
use crate::processes::until;
use crate::server::{STEADY, Server};
use document::Document;

/// A camera that gives pictures, one that cannot, one that waits for somebody to watch; room for one viewer.
const CAMERAS: &str = r#"
[limits]
viewers = 1
[cameras.steady]
source = "pattern:?width=160&height=120&fps=10"
push = ["rtp://127.0.0.1:9?rtcp=0", "rtp://no.such.host.invalid:5000"]
[cameras.gone]
source = "exec:false"
[cameras.asleep]
source = "pattern:?width=160&height=120&fps=10"
on_demand = true
"#;

fn document(server: &Server) -> Document {
    Document::new(server.get("/api/v1/openapi.json").json())
}

#[test]
fn the_document_is_sound() {
    let server = Server::start(&["--camera", STEADY]);
    let response = server.get("/api/v1/openapi.json");
    assert_eq!(response.header("content-type"), Some("application/json"));
    let document = Document::new(response.json());
    document.is_openapi();
    document.references_resolve_and_nothing_is_unused();
    document.operations_are_whole();
    document.members_are_all_required();
    server.stop();
}

#[test]
fn what_is_described_is_answered_and_what_is_answered_is_described() {
    let server = Server::configured(CAMERAS);
    server.until_state("steady", "ready");
    server.until_state("gone", "lost");
    let document = document(&server);
    let mut viewer = Viewer::open(server.address(), "/stream", "");
    viewer.next();
    until("the viewer is measured", || server.stats()["viewers"][0]["latency_p50_ms"].is_number());

    for path in document.paths() {
        for camera in ["steady", "gone", "asleep"] {
            // A stream has no end: its head is enough, and it is one viewer more than may be.
            let method = if path == "/" || path.ends_with("/stream") { "HEAD" } else { "GET" };
            let response = ask(&server, method, &path.replace("{cam}", camera), "");
            document.describes(path, &response, method == "GET");
        }
    }
    for (path, target, headers, status) in [
        ("/", "/", "Accept: text/html\r\n", 200),
        ("/", "/?action=snapshot", "", 200),
        ("/", "/?action=dance", "", 400),
        ("/", "/?width=1", "", 400),
        ("/", "/", "", 503),
        ("/stream", "/stream?fps=0", "", 400),
        ("/stream", "/stream?codec=h264", "", 400),
        ("/stream", "/stream", "", 503),
        ("/snapshot", "/snapshot?quality=9000", "", 400),
        ("/snapshot", "/snapshot?fps=1&fps=2", "", 400),
        ("/snapshot", "/snapshot?variant=small", "", 400),
        ("/cameras/{cam}/stream", "/cameras/nobody/stream", "", 404),
        ("/cameras/{cam}/stream", "/cameras/%ff/stream", "", 400),
        ("/cameras/{cam}/stream", "/cameras/steady/stream", "", 503),
        ("/cameras/{cam}/snapshot", "/cameras/nobody/snapshot", "", 404),
        ("/cameras/{cam}/snapshot", "/cameras/gone/snapshot", "", 503),
        ("/api/v1/cameras/{cam}", "/api/v1/cameras/nobody", "", 404),
        ("/api/v1/cameras/{cam}", "/api/v1/cameras/%ff", "", 400),
        ("/readyz", "/readyz", "", 503),
    ] {
        let response = ask(&server, "GET", target, headers);
        assert_eq!(response.status, status, "{target}: {response:?}");
        document.describes(path, &response, true);
    }
    for (cam, headers, body, status) in [
        ("steady", "Content-Type: application/json\r\n", "{}", 200),
        ("steady", "Content-Type: application/json\r\n", "[]", 400),
        ("steady", "Content-Type: application/json\r\nOrigin: https://a.example\r\n", "{}", 403),
        ("nobody", "Content-Type: application/json\r\n", "{}", 404),
        ("steady", "Content-Type: application/json\r\n", &" ".repeat(70_000), 413),
        ("steady", "", "{}", 415),
    ] {
        let headers = format!("{headers}Content-Length: {}\r\n", body.len());
        let response = ask_with(&server, "PATCH", &format!("/api/v1/cameras/{cam}"), &headers, body);
        assert_eq!(response.status, status, "{response:?}");
        document.describes_answer("patch", "/api/v1/cameras/{cam}", &response, true);
    }
    until("the same picture twice", || {
        let tag = server.get("/snapshot").header("etag").unwrap().to_owned();
        let response = ask(&server, "GET", "/snapshot", &format!("If-None-Match: {tag}\r\n"));
        document.describes("/snapshot", &response, true);
        response.status == 304
    });
    server.stop();
}

#[test]
fn the_reference_names_every_address_member_and_metric() {
    let server = Server::configured(CAMERAS);
    server.until_state("steady", "ready");
    let document = document(&server);
    let mut viewer = Viewer::open(server.address(), "/stream", "");
    viewer.next();
    let metrics = || String::from_utf8(server.get("/metrics").body).unwrap();
    until("the viewer is measured", || metrics().contains("viewer_latency_p99_seconds{"));
    until("the push is measured", || metrics().contains("push_latency_p99_seconds{"));
    let metrics = metrics();
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let samples: BTreeSet<&str> = samples.filter_map(|line| line.split(['{', ' ']).next()).collect();

    let reference =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/http.md")).unwrap();
    // Whatever stands between backticks, blocks of code left out.
    let words: BTreeSet<&str> = reference.split('`').skip(1).step_by(2).collect();
    let wanted = document.paths().chain(document.members()).chain(samples.iter().copied());
    let missing: Vec<&str> = wanted.filter(|name| !words.contains(name)).collect();
    assert!(missing.is_empty(), "docs/http.md says nothing of {missing:?}");
    let metrics = words.iter().filter(|word| word.starts_with("ocelli_"));
    let unknown: Vec<_> = metrics.filter(|name| !samples.contains(**name)).collect();
    assert!(unknown.is_empty(), "docs/http.md names metrics that are not there: {unknown:?}");
    server.stop();
}

fn ask(server: &Server, method: &str, target: &str, headers: &str) -> Response {
    ask_with(server, method, target, headers, "")
}

fn ask_with(server: &Server, method: &str, target: &str, headers: &str, body: &str) -> Response {
    let text =
        format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{headers}Connection: close\r\n\r\n{body}");
    request(server.address(), &text)
}
