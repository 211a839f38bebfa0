//! What is refused, with which status; and that nothing is left of those who came.

use std::io::Read as _;
use std::time::Duration;

use super::player::Player;
use crate::processes::until;
use crate::server::{STEADY, Server};

const PATTERN: &str = "pattern:?width=320&height=240&fps=25";

fn status_of(server: &Server, method: &str, path: &str, fields: &str) -> (u16, String) {
    let answer = Player::connect(server.rtsp()).ask(method, path, fields);
    (answer.status, answer.reason)
}

#[test]
fn unknown_cameras_other_forms_and_silent_cameras_are_refused_in_words() {
    let server = Server::camera("rtp://127.0.0.1:0?codec=h264");
    let (status, reason) = status_of(&server, "DESCRIBE", "nowhere", "");
    assert_eq!(status, 404);
    assert!(reason.contains("the cameras are: cam, steady"), "{reason}");
    for (path, status, words) in [
        ("steady?width=-1", 400, "width=-1: expected 16 to 8192"),
        ("steady?codec=vp9", 400, "expected mjpeg, h264"),
        ("steady?variant=tiny", 400, "there is no variant `tiny`"),
        ("steady/tiny", 404, "camera `steady`: there is no variant `tiny`: expected none"),
        ("steady?codec=h265", 501, "nothing here encodes h265"),
        ("steady?codec=rgb24", 400, "RTP carries no raw pictures"),
        ("steady?bitrate=500", 400, "only with H.264"),
        ("steady?token=1", 200, ""),
    ] {
        let (found, reason) = status_of(&server, "DESCRIBE", path, "");
        assert_eq!(found, status, "{path}: {reason}");
        assert!(reason.contains(words), "{path}: {reason}");
    }
    let answer = Player::connect(server.rtsp()).ask("DESCRIBE", "cam", "");
    assert_eq!(answer.status, 503);
    assert!(answer.fields.first("Retry-After").is_some());
    assert!(answer.reason.contains("camera `cam` gives no pictures yet"), "{}", answer.reason);
    server.stop();
}

#[test]
fn a_camera_that_is_waited_for_stops_nothing_else_of_the_connection() {
    let server = Server::camera("rtp://127.0.0.1:0?codec=h264");
    server.until_state("steady", "ready");
    let describe = format!("DESCRIBE rtsp://{}/cam RTSP/1.0\r\nCSeq: 9\r\n\r\n", server.rtsp());
    let mut gone = Player::connect(server.rtsp());
    gone.send(describe.as_bytes());
    until("it is served", || server.stats()["rtsp"]["connections"]["open"] == 1);
    let asked = std::time::Instant::now();
    drop(gone);
    until("that it has left is noticed", || server.stats()["rtsp"]["connections_ended"]["left"] == 1);
    assert!(asked.elapsed() < Duration::from_secs(8), "before the camera is given up");
    let (mut playing, _) = Player::play(server.rtsp(), "steady");
    playing.send(describe.as_bytes());
    let asked = std::time::Instant::now();
    while asked.elapsed() < Duration::from_secs(2) {
        assert!(playing.packet().is_some(), "it plays on");
    }
    assert_eq!(playing.answer().status, 503);
    server.stop();
}

#[test]
fn the_first_camera_needs_no_name() {
    let server = Server::camera(PATTERN);
    server.until_state("cam", "ready");
    for path in ["", "cam", "cam/"] {
        let answer = Player::connect(server.rtsp()).ask("DESCRIBE", path, "");
        assert!(String::from_utf8_lossy(&answer.body).contains("s=cam\r\n"), "{path:?}: {answer:?}");
    }
}

#[test]
fn requests_that_make_no_sense_have_a_status_of_their_own() {
    let server = Server::camera(PATTERN);
    server.until_state("cam", "ready");
    let tcp = |channels: &str| format!("Transport: RTP/AVP/TCP;unicast;interleaved={channels}\r\n");
    for (method, path, fields, expected) in [
        ("PLAY", "cam", String::new(), 455),
        ("PAUSE", "cam", String::new(), 455),
        ("TEARDOWN", "cam", String::new(), 455),
        ("PLAY", "cam", "Session: 0123456789abcdef\r\n".to_owned(), 454),
        ("SETUP", "cam/trackID=0", tcp("256-257"), 400),
        ("SETUP", "cam/trackID=9", tcp("0-1"), 404),
        ("SETUP", "nowhere/trackID=0", tcp("0-1"), 404),
        ("SETUP", "cam/trackID=0", String::new(), 400),
        ("SETUP", "cam/trackID=0", "Transport: RTP/AVP;unicast;client_port=0-1\r\n".to_owned(), 400),
        ("SETUP", "cam/trackID=0", "Transport: RTP/AVP;unicast;client_port=70000-70001\r\n".to_owned(), 400),
        ("SETUP", "cam/trackID=0", "Transport: RTP/AVP;unicast;client_port=80-81\r\n".to_owned(), 461),
        ("ANNOUNCE", "cam", String::new(), 405),
        ("RECORD", "cam", String::new(), 455),
        ("DANCE", "cam", String::new(), 501),
        ("DESCRIBE", "cam", "Require: dancing\r\n".to_owned(), 551),
    ] {
        let (status, reason) = status_of(&server, method, path, &fields);
        assert_eq!(status, expected, "{method} {path} {fields}: {reason}");
    }
    let (mut player, _) = Player::play(server.rtsp(), "cam");
    assert_eq!(player.set_up("cam").status, 455, "SETUP after PLAY");
    let mut other = Player::connect(server.rtsp());
    other.session.clone_from(&player.session);
    assert_eq!(other.ask("TEARDOWN", "cam", "").status, 454, "another's session");
    assert!(player.packet().is_some(), "it plays on");
    server.stop();
}

#[test]
fn what_is_no_request_is_answered_once_and_closed_and_nothing_is_left_of_it() {
    let server = Server::camera(PATTERN);
    server.until_state("cam", "ready");
    let (mut playing, _) = Player::play(server.rtsp(), "cam");
    until("others have gone", || server.stats()["rtsp"]["connections"]["open"] == 1);
    let files = server.open_files();
    let long = format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n{}\r\n", "X: y\r\n".repeat(1000));
    for (what, expected) in [
        ("\x01\x02\x03\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 505),
        ("ANNOUNCE * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: -1\r\n\r\n", 400),
        ("ANNOUNCE * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (&long, 431),
        (&many, 431),
    ] {
        let mut client = Player::connect(server.rtsp());
        // A server that has read enough may close before all is sent.
        let _ = client.try_send(what.as_bytes());
        assert_eq!(client.answer().status, expected, "{}", &what[..30.min(what.len())]);
        assert!(client.closes_within(Duration::from_secs(20)));
    }
    let mut client = Player::connect(server.rtsp());
    let flood: Vec<u8> = [&b"$\x07\x10\x00"[..], &[0; 4096]].concat().repeat(200);
    let _ = client.try_send(&flood);
    assert!(client.closes_within(Duration::from_secs(20)), "a flood of packets");
    until("they are gone", || {
        playing.packet().is_some() && server.stats()["rtsp"]["connections"]["open"] == 1
    });
    until("no descriptor is left", || playing.packet().is_some() && server.open_files() <= files);
    until("all are counted", || server.stats()["rtsp"]["connections_ended"]["abuse"].as_u64() >= Some(7));
    let rtsp = server.stats()["rtsp"].clone();
    let (connections, ended) = (&rtsp["connections"], rtsp["connections_ended"].as_object().unwrap());
    let over: u64 = ended.values().map(|count| count.as_u64().unwrap()).sum();
    let [accepted, open, refused] =
        ["accepted", "open", "refused"].map(|count| connections[count].as_u64().unwrap());
    assert_eq!(accepted, open + refused + over, "{rtsp}");
    server.stop();
}

#[test]
fn half_open_connections_are_closed_in_time_and_too_many_refused() {
    let server = Server::camera(PATTERN);
    server.until_state("cam", "ready");
    let address = server.rtsp();
    let (mut playing, _) = Player::play(address, "cam");
    let half_open: Vec<_> = (0..300).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let connections = || server.stats()["rtsp"]["connections"].clone();
    until("all were accepted", || connections()["accepted"].as_u64() > Some(300));
    let counted = || connections()["refused"].as_u64().unwrap();
    until("one more is refused", || {
        playing.packet();
        drop(std::net::TcpStream::connect(address));
        counted() > 0
    });
    until("those that say nothing are closed", || {
        playing.packet();
        connections()["open"] == 1
    });
    drop(half_open);
    let silent = server.stats()["rtsp"]["connections_ended"]["silent"].as_u64();
    assert!(silent.map(|silent| silent + counted()) >= Some(300), "{silent:?}");
    assert_eq!(status_of(&server, "OPTIONS", "cam", "").0, 200);
    server.stop();
}

#[test]
fn one_address_has_so_many_connections_whatever_they_are_for() {
    let server = Server::configured(&format!(
        "[rtsp_server]\nconnections_per_address = 3\n[listen]\nrtsp = \"127.0.0.1:0\"\n[cameras]\ncam = \"{PATTERN}\"\n"
    ));
    server.until_state("cam", "ready");
    let (mut playing, _) = Player::play(server.rtsp(), "cam");
    let mut asking = Player::connect(server.rtsp());
    assert_eq!(asking.ask("OPTIONS", "cam", "").status, 200);
    let mut through_http = Player::connect(server.rtsp());
    through_http
        .send(b"GET /cam HTTP/1.0\r\nx-sessioncookie: abc\r\nAccept: application/x-rtsp-tunnelled\r\n\r\n");
    assert!(through_http.socket().read(&mut [0; 512]).unwrap() > 0, "it is answered");
    let mut further = Player::connect(server.rtsp());
    assert!(further.closes_within(Duration::from_secs(20)), "a fourth");
    let refused = |reason: &str| server.stats()["rtsp"]["connections_refused"][reason].clone();
    assert_eq!(refused("connections_per_address"), 1);
    drop(asking);
    until("a place is free, and who brings requests for nothing is refused", || {
        assert!(playing.packet().is_some(), "who plays is not disturbed");
        let mut posting = Player::connect(server.rtsp());
        let _ = posting.try_send(b"POST /cam HTTP/1.0\r\nx-sessioncookie: other\r\nContent-Type: application/x-rtsp-tunnelled\r\n\r\n");
        let _ = posting.closes_within(Duration::from_secs(20));
        refused("tunnel").as_u64() > Some(0)
    });
    until("each is counted by its reason", || {
        let rtsp = server.stats()["rtsp"].clone();
        let reasons = rtsp["connections_refused"].as_object().unwrap().values();
        rtsp["connections"]["refused"] == reasons.map(|count| count.as_u64().unwrap()).sum::<u64>()
    });
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(
        metrics.contains("ocelli_rtsp_connections_refused_by_reason_total{reason=\"tunnel\"} "),
        "{metrics}"
    );
    server.stop();
}

#[test]
fn places_are_shared_with_http() {
    let server =
        Server::start(&["--camera", &format!("cam={PATTERN}"), "--camera", STEADY, "--max-clients", "1"]);
    server.until_state("cam", "ready");
    let (player, _) = Player::play(server.rtsp(), "cam");
    let mut other = Player::connect(server.rtsp());
    assert_eq!(other.ask("DESCRIBE", "cam", "").status, 200);
    let refused = other.set_up("cam");
    assert_eq!(refused.status, 503);
    assert!(refused.fields.first("Retry-After").is_some());
    assert_eq!(server.get("/stream").status, 503, "by HTTP neither");
    let refused = &server.stats()["rtsp"]["sessions_refused"];
    assert_eq!(refused["sessions_per_address"], 1, "which is as many as may watch: {refused}");
    drop(player);
    until("the place is free", || other.set_up("cam").status == 200);
    server.stop();
}

#[test]
fn one_address_has_so_many_sessions_and_no_more() {
    let server = Server::configured(&format!(
        "[rtsp_server]\nsessions_per_address = 2\n[listen]\nrtsp = \"127.0.0.1:0\"\n[cameras]\ncam = \"{PATTERN}\"\n"
    ));
    server.until_state("cam", "ready");
    let _playing = [Player::play(server.rtsp(), "cam"), Player::play(server.rtsp(), "cam")];
    let refused = Player::connect(server.rtsp()).set_up("cam");
    assert_eq!(refused.status, 503);
    assert!(refused.reason.contains("2 sessions"), "{}", refused.reason);
    let counted = &server.stats()["rtsp"]["sessions_refused"];
    assert_eq!((&counted["sessions_per_address"], &counted["viewers"]), (&1.into(), &0.into()));
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(
        metrics.contains("ocelli_rtsp_sessions_refused_total{reason=\"sessions_per_address\"} 1"),
        "{metrics}"
    );
}

#[test]
fn a_port_that_was_asked_for_must_be_free_and_a_usual_one_need_not() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = crate::server::command()
        .args(["--port", "0", "--address", "127.0.0.1", "--rtsp", &address, "--camera", STEADY])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&address) && said.contains("--rtsp"), "{said}");
}
