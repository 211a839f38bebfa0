//! What is not to be done, and the status that it gets.

use super::*;

/// Requests one behind the other on one connection, and the statuses of all.
fn statuses(requests: &[&str]) -> Vec<u16> {
    Peer::new().ask(requests)
}

fn setup(transport: &str) -> String {
    format!("SETUP front/trackID=0\nTransport: {transport}")
}

#[test]
fn requests_out_of_their_order_are_refused() {
    let second = format!("{SETUP}\nSession: {ID}");
    assert_eq!(statuses(&["PLAY front"]), [455], "PLAY without SETUP");
    assert_eq!(statuses(&["PAUSE front"]), [455]);
    assert_eq!(statuses(&["RECORD front"]), [455]);
    assert_eq!(statuses(&["TEARDOWN front"]), [455]);
    assert_eq!(statuses(&[SETUP, "RECORD front"]), [200, 455]);
    assert_eq!(statuses(&[SETUP, PLAY, &second]), [200, 200, 455], "SETUP after PLAY");
    assert_eq!(statuses(&[SETUP, PLAY, SETUP]), [200, 200, 455]);
    assert_eq!(statuses(&[SETUP, "ANNOUNCE front\nContent-Type: application/sdp"]), [200, 455]);
    assert_eq!(
        statuses(&[&setup("RTP/AVP/TCP;interleaved=0-1;mode=record")]),
        [455],
        "nothing was announced"
    );
    assert_eq!(statuses(&[SETUP, &second.replace("front", "back")]), [200, 459], "two streams in a session");
}

#[test]
fn sessions_of_others_are_not_to_be_had() {
    let mut reader = Peer::new();
    assert_eq!(reader.ask(&[SETUP, PLAY]), [200, 200]);
    let mut stranger = Peer::new();
    let teardown = PLAY.replace("PLAY", "TEARDOWN");
    for method in ["PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "OPTIONS", "SETUP", "DESCRIBE", "RECORD"] {
        assert_eq!(stranger.ask(&[&PLAY.replace("PLAY", method)]), [454], "{method}");
    }
    assert_eq!(statuses(&[SETUP, &teardown.replace("0123456789a", "1123456789a")]), [200, 454]);
    assert_eq!(statuses(&[SETUP, &teardown, &teardown]), [200, 200, 454], "one that has ended");
    assert_eq!(reader.connection.phase(), Some(Phase::Playing));
}

#[test]
fn transports_that_lead_nowhere_are_refused() {
    for (transport, expected) in [
        ("RTP/AVP;unicast;client_port=0-1", "400 Bad Request (client_port is no pair of ports, 1 to 65535)"),
        (
            "RTP/AVP;unicast;client_port=70000-70001",
            "400 Bad Request (client_port is no pair of ports, 1 to 65535)",
        ),
        (
            "RTP/AVP;unicast;client_port=65535",
            "400 Bad Request (client_port is no pair of ports, 1 to 65535)",
        ),
        ("RTP/AVP;unicast;client_port=53-54", "461 Unsupported Transport (client_port below 1024)"),
        ("RTP/AVP;unicast;client_port=1024-1023", "461 Unsupported Transport (client_port below 1024)"),
        ("RTP/AVP;unicast", "461 Unsupported Transport (client_port is missing)"),
        ("RTP/AVP/TCP;interleaved=256-257", "400 Bad Request (interleaved is no pair of channels, 0 to 255)"),
        ("RTP/AVP/TCP;interleaved=-1-0", "400 Bad Request (interleaved is no pair of channels, 0 to 255)"),
        (
            "RTP/SAVP;unicast;client_port=5000-5001",
            "461 Unsupported Transport (only RTP/AVP, RTP/AVP/UDP and RTP/AVP/TCP are spoken)",
        ),
        ("", "400 Bad Request (Transport is missing)"),
    ] {
        let mut peer = Peer::new();
        peer.give(numbered(&setup(transport)).as_bytes());
        assert!(peer.text().starts_with(&format!("RTSP/1.0 {expected}\r\n")), "{transport}");
        assert_eq!((peer.events.len(), peer.connection.phase()), (0, None));
    }
    let off = Settings { tcp: false, udp: false, multicast: false, ..settings() };
    for transport in ["RTP/AVP/TCP", "RTP/AVP;client_port=5000", "RTP/AVP;multicast"] {
        assert_eq!(Peer::with(off.clone(), Door(None)).ask(&[&setup(transport)]), [461], "{transport}");
    }
}

#[test]
fn lies_about_lengths_and_giants_are_answered_and_end_the_connection() {
    let giant = format!("OPTIONS front\nX: {}", "x".repeat(9000));
    let fields = format!("OPTIONS front{}", "\nX: y".repeat(64));
    for (request, status) in [
        ("SET_PARAMETER front\nContent-Length: -1", 400),
        ("ANNOUNCE front\nContent-Length: 99999999999999999999", 413),
        ("ANNOUNCE front\nContent-Length: 65537", 413),
        (&giant[..], 431),
        (&fields[..], 431),
    ] {
        let mut peer = Peer::new();
        assert_eq!(peer.ask(&[request]), [status]);
        assert!(matches!(peer.closed(), Some(Close::Unreadable(_))), "{status}");
        peer.give(numbered("OPTIONS front").as_bytes());
        assert_eq!(peer.statuses(), [0_u16; 0], "nothing is read any more");
    }
    let mut peer = Peer::new();
    peer.give(b"OPTIONS * RTSP/1.0\r\nCSeq: 77\r\nContent-Length: -1\r\n\r\n");
    assert_eq!(
        peer.text(),
        "RTSP/1.0 400 Bad Request (byte 46: Content-Length is no number of bytes (RFC 2326 12.14))\r\nCSeq: 77\r\nServer: Test\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn what_is_no_rtsp_is_answered_and_ends_the_connection() {
    for (bytes, status) in [
        (&b"\x16\x03\x01\x02\x00\x01"[..], 400),
        (b"\x00\x01\x02", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 505),
        (b"DESCRIBE rtsp://h/front RTSP/2.0\r\nCSeq: 1\r\n\r\n", 505),
        (b"DESCRIBE rtsp://h/front RTSP/3.0\r\nCSeq: 1\r\n\r\n", 400),
    ] {
        let mut peer = Peer::new();
        peer.give(bytes);
        assert_eq!(peer.statuses(), [status]);
        assert!(peer.closed().is_some());
    }
}

#[test]
fn what_is_not_spoken_has_a_status_of_its_own() {
    let body = "SET_PARAMETER front\nContent-Length: 3";
    let mut peer = Peer::new();
    peer.give(format!("{}a:b", numbered(body)).as_bytes());
    assert_eq!(peer.statuses(), [451]);
    assert_eq!(statuses(&["GET_PARAMETER front", "SET_PARAMETER front"]), [200, 200]);
    assert_eq!(statuses(&["REDIRECT front", "FETCH front"]), [501, 501]);
    assert_eq!(statuses(&["DESCRIBE front\nAccept: text/html"]), [406]);
    assert_eq!(statuses(&["DESCRIBE front\nAccept: text/html, application/sdp;q=1"]), [200]);
    assert_eq!(statuses(&[SETUP, &format!("{PLAY}\nRange: npt=5-3")]), [200, 457]);
    assert_eq!(statuses(&["ANNOUNCE a\nContent-Type: text/html", "ANNOUNCE a"]), [415, 400]);
    let closed = Settings { publish: false, ..settings() };
    assert_eq!(Peer::with(closed, Door(None)).ask(&["ANNOUNCE a"]), [405]);
    let mut peer = Peer::new();
    peer.give(b"PLAY * RTSP/1.0\r\n\r\nPLAY * RTSP/1.0\r\nCSeq: x\r\n\r\nOPTIONS * RTSP/1.0\r\nCSeq: 4294967295\r\n\r\n");
    assert_eq!(peer.statuses(), [400, 400, 200], "without a number");
}

#[test]
fn extensions_that_are_required_are_named_as_unsupported() {
    let mut peer = Peer::new();
    peer.give(numbered("DESCRIBE front\nRequire: www.onvif.org/ver20/backchannel").as_bytes());
    assert_eq!(
        peer.text(),
        "RTSP/1.0 551 Option Not Supported\r\nCSeq: 1\r\nServer: Test\r\nUnsupported: www.onvif.org/ver20/backchannel\r\n\r\n"
    );
    assert_eq!(peer.ask(&["DESCRIBE front\nProxy-Require: x"]), [551]);
}

#[test]
fn passwords_can_be_guessed_five_times() {
    let basic = |password: &str| {
        use base64::Engine;
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("user:{password}"));
        format!("DESCRIBE front\nAuthorization: Basic {encoded}")
    };
    let mut peer = Peer::with(settings(), Door(Some(("user", "secret"))));
    peer.give(numbered("DESCRIBE front").as_bytes());
    let text = peer.text();
    assert!(text.starts_with("RTSP/1.0 401 Unauthorized\r\n"));
    assert!(text.contains(&format!("\r\nWWW-Authenticate: Digest realm=\"cam\", nonce=\"{ID}\"\r\nWWW-Authenticate: Basic realm=\"cam\"\r\n")));
    assert_eq!(peer.ask(&[&basic("secret"), "OPTIONS front"]), [200, 200]);
    assert_eq!(peer.ask(&[SETUP]), [401], "each stream's door has its lock");
    assert_eq!(peer.ask(&[&basic("a"), &basic("b"), &basic("c"), &basic("d")]), [401; 4]);
    assert_eq!((peer.closed(), peer.ask(&[&basic("e")])), (None, vec![401]));
    assert_eq!(peer.closed(), Some(Close::WrongPasswords));
    assert_eq!(Peer::new().ask(&["DESCRIBE forbidden"]), [403]);
}

#[test]
fn a_digest_for_another_nonce_is_stale_and_no_guess() {
    let digest = "DESCRIBE front\nAuthorization: Digest username=\"user\", realm=\"cam\", nonce=\"old\", uri=\"rtsp://h:8554/front\", response=\"0\"";
    let mut peer = Peer::with(settings(), Door(Some(("user", "secret"))));
    for _ in 0..20 {
        peer.give(numbered(digest).as_bytes());
        assert!(peer.text().contains(", stale=true\r\n"));
    }
    assert_eq!(peer.closed(), None);
}
