//! The HTTP side as clients of every kind meet it: methods, versions, parameters, errors.

use std::time::Duration;

use crate::client::{Connection, Viewer, request, size};
use crate::server::{STEADY, Server};

fn server() -> Server {
    let server = Server::start(&["--camera", STEADY]);
    server.until_state("steady", "ready");
    server
}

#[test]
fn requests_share_a_connection_and_a_stream_takes_it_over() {
    let server = server();
    let mut connection = Connection::open(server.address());
    assert_eq!(connection.get("/healthz").status, 200);
    let snapshot = connection.get("/snapshot");
    assert_eq!((snapshot.status, size(&snapshot.body).to_string().as_str()), (200, "160x120"));
    // Several in one packet, answered in order; the last one is the stream.
    connection.send(
        b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\nHEAD /snapshot HTTP/1.1\r\nHost: t\r\n\r\n\
          GET /nothing HTTP/1.1\r\nHost: t\r\n\r\nGET /stream HTTP/1.1\r\nHost: t\r\n\r\n\
          GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n",
    );
    assert_eq!(connection.response(true).status, 200);
    let head = connection.response(false);
    assert_eq!((head.status, head.header("content-type")), (200, Some("image/jpeg")));
    assert_eq!(connection.response(true).status, 404);
    // What is asked behind a stream is not answered: it has no end.
    let mut viewer = Viewer::on(connection);
    assert_eq!(viewer.head.header("connection"), Some("close"));
    assert_eq!(viewer.head.header("content-length"), None);
    (0..5).for_each(|_| drop(viewer.next()));
    server.stop();
}

#[test]
fn parts_have_length_and_time_and_an_image_of_a_page_gets_the_next_head_ahead() {
    let server = server();
    let address = server.address();
    let mut plain = Viewer::open(address, "/stream", "");
    assert_eq!(plain.head.header("cache-control").map(|value| value.contains("no-store")), Some(true));
    let part = plain.next();
    let taken = part.timestamp.expect("X-Timestamp");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(taken <= now && now - taken < Duration::from_secs(10), "{taken:?} {now:?}");
    for (path, headers) in
        [("/stream?advance_headers=1", ""), ("/cameras/steady/stream", "Sec-Fetch-Dest: image\r\n")]
    {
        let mut ahead = Viewer::open(address, path, headers);
        let part = ahead.next();
        assert_eq!((part.timestamp, size(&part.data).to_string().as_str()), (None, "160x120"));
        (0..5).for_each(|_| drop(ahead.next()));
    }
    let mut told_not_to = Viewer::open(address, "/stream?advance_headers=0", "Sec-Fetch-Dest: image\r\n");
    assert!(told_not_to.next().timestamp.is_some());
    server.stop();
}

#[test]
fn the_rate_is_limited_where_it_is_asked_for() {
    let server = server();
    let mut slow = Viewer::open(server.address(), "/stream?fps=5", "");
    assert_eq!(slow.head.header("x-variant"), None, "they are the camera's own pictures");
    // By when they were taken: a busy machine may hold them up on their way, and the camera too.
    let mut taken = || slow.next().timestamp.expect("X-Timestamp").as_secs_f64();
    let began = taken();
    let rate = 15.0 / ((0..15).map(|_| taken()).last().unwrap() - began);
    assert!((2.0..=6.0).contains(&rate), "{rate}");
    server.stop();
}

#[test]
fn old_clients_and_strange_forms_of_requests_are_understood() {
    let server = server();
    let ask = |text: &str| request(server.address(), text);
    let old = ask("GET /snapshot HTTP/1.0\r\n\r\n");
    assert_eq!((old.version.as_str(), old.status), ("HTTP/1.0", 200));
    let mut connection = Connection::open(server.address());
    connection.send(b"GET /stream HTTP/1.0\r\n\r\n");
    let mut viewer = Viewer::on(connection);
    assert_eq!(viewer.head.version, "HTTP/1.0");
    viewer.next();
    for head in ["/stream", "/cameras/steady/stream", "/snapshot", "/stats", "/"] {
        let response = ask(&format!("HEAD {head} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"));
        assert_eq!(response.status, 200, "{head}");
        let states_length = response.header("content-length").is_some();
        let is_stream = response.header("content-type").unwrap().starts_with("multipart/");
        assert_eq!(states_length, !is_stream, "{head}: {response:?}");
        assert_eq!(response.header("transfer-encoding"), None, "{head}: {response:?}");
    }
    assert_eq!(server.stats()["viewers"].as_array().unwrap().len(), 1, "HEAD is no viewer");
    for (target, status) in [
        ("http://somewhere/healthz", 200),
        ("/cameras/%73teady/snapshot", 200),
        ("/healthz?a=b&&=&%zz", 200),
        ("//healthz", 404),
        ("/../../etc/passwd", 404),
        ("/web/..%2f..%2fetc%2fpasswd", 404),
    ] {
        let response = ask(&format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"));
        assert_eq!(response.status, status, "{target}");
    }
    // Bodies are neither wanted nor waited for.
    let bodies = [
        "Content-Length: 1000000000000",
        "Transfer-Encoding: chunked",
        "Content-Length: 5\r\nExpect: 100-continue",
    ];
    for body in bodies {
        let response = ask(&format!("GET /healthz HTTP/1.1\r\nHost: t\r\n{body}\r\n\r\n"));
        assert_eq!(response.status, 200, "{body}");
    }
    server.stop();
}

#[test]
fn errors_are_json_with_a_hint() {
    let server = server();
    let ask = |line: &str| {
        request(server.address(), &format!("{line} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"))
    };
    for (line, status, text) in [
        ("GET /nothing", 404, "nothing at this address"),
        ("GET /cameras/nobody/stream", 404, "no camera `nobody`"),
        ("GET /cameras/nobody/snapshot", 404, "no camera `nobody`"),
        ("GET /api/v1/cameras/nobody", 404, "no camera `nobody`"),
        ("GET /cameras/%ff/stream", 400, ""),
        ("GET /stream?fps=0", 400, "fps=0"),
        ("GET /stream?fps=many", 400, "fps=many"),
        ("GET /stream?fps=NaN", 400, "fps=NaN"),
        ("GET /stream?fps=1&fps=2", 400, "fps"),
        ("GET /?action=dance", 400, "dance"),
        ("GET /stream?width=-1", 400, "width=-1"),
        ("GET /stream?quality=9000", 400, "quality=9000"),
        ("GET /stream?codec=vp9", 400, "codec=vp9"),
        ("GET /stream?codec=h264", 400, "codec=h264"),
        ("GET /stream?rotate=45", 400, "rotate=45"),
        ("GET /snapshot?height=1", 400, "height=1"),
        ("GET /snapshot?variant=tiny", 400, "no variant `tiny`"),
        ("POST /stream", 405, "GET and HEAD"),
        ("OPTIONS *", 404, ""),
        ("DELETE /nothing", 404, ""),
    ] {
        let response = ask(line);
        assert_eq!(response.status, status, "{line}: {response:?}");
        let error = response.error();
        assert!(error.contains(text), "{line}: {error}");
    }
    assert!(ask("GET /cameras/nobody/stream").json()["hint"].as_str().unwrap().contains("steady"));
    for (line, range) in [
        ("GET /stream?width=-1", "16 to 8192"),
        ("GET /stream?quality=9000", "1 to 100"),
        ("GET /stream?codec=vp9", "mjpeg, h264"),
        ("GET /snapshot?flip=over", "none, horizontal, vertical or both"),
    ] {
        assert!(ask(line).json()["hint"].as_str().unwrap().contains(range), "{line}");
    }
    let long = "x".repeat(6000);
    let response = ask(&format!("GET /cameras/{long}/stream"));
    assert_eq!(response.status, 404);
    assert!(response.body.len() < 300, "{} bytes", response.body.len());
    assert!(ask(&format!("GET /stream?fps={long}")).body.len() < 300);
    server.stop();
}

#[test]
fn a_snapshot_that_is_known_is_not_sent_again() {
    let server = server();
    let mut connection = Connection::open(server.address());
    let first = connection.get("/cameras/steady/snapshot");
    let tag = first.header("etag").unwrap().to_owned();
    assert!(first.header("x-timestamp").is_some());
    let again = |connection: &mut Connection, tag: &str| {
        connection.send(
            format!("GET /cameras/steady/snapshot HTTP/1.1\r\nHost: t\r\nIf-None-Match: {tag}\r\n\r\n")
                .as_bytes(),
        );
        connection.response(true)
    };
    assert_eq!(again(&mut connection, "\"other\"").status, 200);
    // The picture may have changed between the two: then the tag has, too.
    crate::processes::until("the same picture twice", || {
        let tag = connection.get("/cameras/steady/snapshot").header("etag").unwrap().to_owned();
        let second = again(&mut connection, &tag);
        assert!(second.status == 304 || second.header("etag") != Some(&tag), "{second:?}");
        second.status == 304
    });
    assert!(!tag.is_empty());
    server.stop();
}

#[test]
fn other_origins_may_read_where_the_configuration_says_so() {
    let origin = "GET /stats HTTP/1.1\r\nHost: t\r\nOrigin: https://a.example\r\nConnection: close\r\n\r\n";
    let closed = server();
    assert_eq!(request(closed.address(), origin).header("access-control-allow-origin"), None);
    closed.stop();
    for (cors, allowed) in [
        ("[\"*\"]", Some("*")),
        ("[\"https://a.example\"]", Some("https://a.example")),
        ("[\"https://b.example\"]", None),
    ] {
        let open = Server::configured(&format!(
            "[http]\ncors = {cors}\n[cameras.steady]\nsource = \"pattern:?width=160&height=120&fps=10\"\n"
        ));
        assert_eq!(request(open.address(), origin).header("access-control-allow-origin"), allowed, "{cors}");
        let stream = Viewer::open(open.address(), "/stream", "Origin: https://a.example\r\n");
        assert_eq!(stream.head.header("access-control-allow-origin"), allowed, "{cors}");
        open.stop();
    }
}

#[test]
fn a_camera_that_never_gave_a_picture_is_answered_all_the_same() {
    let server =
        Server::configured("[cameras.never]\nsource = \"exec:/no/such/program\"\non_lost = \"hold\"\n");
    for headers in ["", "Sec-Fetch-Dest: image\r\n"] {
        let viewer = Viewer::open(server.address(), "/stream", headers);
        assert_eq!(viewer.head.status, 200);
    }
    server.stop();
}
