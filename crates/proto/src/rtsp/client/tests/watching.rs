//! While a stream comes: keepalives, silence, garbage, and what cameras ask their client.

use super::*;

/// Lets packets come for some time, one each second; what was asked meanwhile, each answered with this status.
fn watch(camera: &mut Camera, time: u64, status: &str) -> Vec<String> {
    let mut asked = Vec::new();
    for _ in 0..time {
        camera.give("$\0\0\x01a");
        camera.pass(s(1));
        if !camera.client.output().is_empty() {
            let (method, _, cseq) = camera.asked();
            asked.push(method);
            if !status.is_empty() {
                camera.give(format!("RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n\r\n"));
            }
        }
    }
    camera.give("$\0\0\x01a");
    camera.happened();
    asked
}

/// One that plays, and has said this of what it can and of its session.
fn playing(public: &str, session: &str) -> Camera {
    let mut camera = Camera::new("rtsp://h/front");
    camera.answer("200 OK", &[public]);
    camera.describe(&[], SDP);
    camera.answer("200 OK", &[session]);
    camera.answer("200 OK", &[session]);
    camera.answer("200 OK", &[]);
    assert!(camera.client.is_playing());
    camera.happened();
    camera
}

#[test]
fn sessions_are_kept_alive_in_half_of_their_time() {
    for (session, pause) in [
        ("Session: 1;timeout=20", 10),
        ("Session: 1; timeout=120", 30),
        ("Session: 1", 30),
        ("Session: 1;timeout=0", 30),
        ("Session: 1;timeout=1", 1),
    ] {
        let mut camera = playing("Public: GET_PARAMETER", session);
        assert_eq!(watch(&mut camera, pause - 1, "200 OK").len(), 0, "{session}");
        assert_eq!(watch(&mut camera, 1, "200 OK"), ["GET_PARAMETER"], "{session}");
        assert_eq!(watch(&mut camera, 3 * pause, "200 OK").len(), 3, "{session}");
    }
}

#[test]
fn sessions_are_kept_alive_by_what_the_camera_knows() {
    for (public, method) in [
        ("Public: OPTIONS, GET_PARAMETER", "GET_PARAMETER"),
        ("Public: OPTIONS, SET_PARAMETER", "OPTIONS"),
        ("Public: DESCRIBE, SET_PARAMETER", "SET_PARAMETER"),
        ("Public: DESCRIBE", "OPTIONS"),
        ("X: y", "OPTIONS"),
    ] {
        assert_eq!(watch(&mut playing(public, "Session: 1"), 30, "200 OK"), [method], "{public}");
    }
}

#[test]
fn a_keepalive_that_is_refused_or_not_answered_is_no_reason_to_stop() {
    for status in
        ["405 Method Not Allowed", "501 Not Implemented", "454 Session Not Found", "400 Bad Request", "500 x"]
    {
        let mut camera = playing("Public: GET_PARAMETER", "Session: 1");
        assert_eq!(watch(&mut camera, 95, status), ["GET_PARAMETER", "OPTIONS", "SET_PARAMETER"], "{status}");
        assert!(camera.client.is_playing());
    }
    let mut camera = playing("Public: GET_PARAMETER", "Session: 1");
    assert_eq!(watch(&mut camera, 95, ""), ["GET_PARAMETER", "OPTIONS", "SET_PARAMETER"]);
    // With the number of a request before, as the ONVIF camera C520WS.
    let mut camera = playing("Public: GET_PARAMETER", "Session: 1");
    assert_eq!(watch(&mut camera, 95, "400 Bad Request\r\nCSeq: 5").len(), 3);
    assert!(camera.client.is_playing());
}

#[test]
fn a_keepalive_at_which_the_camera_closes_is_not_used_again() {
    let mut camera = playing("Public: GET_PARAMETER", "Session: 1");
    watch(&mut camera, 30, "");
    camera.input(Input::Disconnected);
    assert_eq!(camera.closed().unwrap(), "the camera closed the connection when asked for GET_PARAMETER");
    let lessons = camera.client.lessons();
    let mut camera = Camera::with("rtsp://h/front", Settings { lessons, ..Settings::default() });
    camera.agree();
    assert_eq!(watch(&mut camera, 30, "200 OK"), ["OPTIONS"]);
}

#[test]
fn silence_is_noticed() {
    let mut camera = Camera::playing("rtsp://h/front");
    camera.pass(s(10));
    let Some(Event::Closed(cause)) = camera.happened().pop() else { panic!() };
    assert_eq!(cause.to_string(), "no packet came in 10 s");
    assert_eq!(camera.asked().0, "TEARDOWN", "the camera is told not to go on");

    let mut camera = Camera::playing("rtsp://h/front");
    watch(&mut camera, 20, "200 OK");
    // Reports alone are no pictures.
    for _ in 0..4 {
        camera.pass(s(1));
        camera.give("$\x01\0\x01r");
    }
    camera.happened();
    camera.pass(s(1));
    assert_eq!(camera.closed().unwrap(), "the camera has sent nothing for 5 s");
}

#[test]
fn a_session_that_is_lost_is_named_when_packets_end() {
    let mut camera = playing("Public: GET_PARAMETER", "Session: 1");
    watch(&mut camera, 30, "454 Session Not Found");
    camera.pass(s(5));
    assert_eq!(camera.closed().unwrap(), "454: the camera has ended the session");
}

#[test]
fn packets_may_come_before_play_is_answered() {
    let mut camera = Camera::new("rtsp://h/front");
    camera.answer("200 OK", &[]);
    camera.describe(&[], SDP);
    camera.answer("200 OK", &[]);
    camera.answer("200 OK", &[]);
    camera.happened();
    camera.give("$\0\0\x01a\r\n$\x02\0\x01bRTSP/1.0 200 OK\r\n\r\n$\0\0\x01c");
    let events = camera.happened();
    assert!(matches!(events[0], Event::Data { track: 0, rtcp: false, .. }), "{events:?}");
    assert!(matches!(events[1], Event::Data { track: 1, .. }) && matches!(events[2], Event::Playing(_)));
}

#[test]
fn packets_of_other_channels_are_counted_and_left_out() {
    let mut camera = Camera::playing("rtsp://h/front");
    camera.give("$\x08\0\x01a");
    camera.give([b'$', 255, 0, 0]);
    assert_eq!((camera.happened().len(), camera.client.strays()), (0, 2));
    assert!(camera.client.is_playing());
}

#[test]
fn garbage_is_passed_over_up_to_the_next_packet() {
    let packet = |fill: u8| [&[b'$', 0, 0, 12, 0x80, 96][..], &[fill; 10]].concat();
    let mut camera = Camera::playing("rtsp://h/front");
    let mut bytes = packet(1);
    // The rest of a packet whose beginning was lost, with what looks like a beginning in it.
    bytes.extend_from_slice(&[
        7, 0, b'$', b'$', 0, 0, 200, 1, b'R', b'T', b'S', b'P', 9, b'$', 200, 0, 9, 0x80,
    ]);
    let garbage = bytes.len() - 16;
    bytes.extend_from_slice(&packet(2));
    bytes.extend_from_slice(b"RTSP/1.0 200 OK\r\n\r\n");
    bytes.extend_from_slice(&packet(3));
    for chunk in [1, 3, 1000] {
        let mut camera = Camera::playing("rtsp://h/front");
        bytes.chunks(chunk).for_each(|chunk| camera.give(chunk));
        let fills = camera.happened().into_iter().map(|event| match event {
            Event::Data { packet, .. } => packet[11],
            other => panic!("{other:?}"),
        });
        assert_eq!(fills.collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(camera.client.garbage(), garbage as u64);
    }
    camera.give(vec![0; 300 << 10]);
    let closed = camera.closed().unwrap();
    assert!(closed.ends_with("bytes of which none begins a message or an interleaved packet"), "{closed}");
}

#[test]
fn cameras_ask_too() {
    let mut camera = Camera::playing("rtsp://h/front");
    let mut ask = |request: &str| {
        camera.give(request);
        let sent = camera.sent();
        sent.lines()
            .map(|line| line.split(' ').nth(1).unwrap_or("").to_owned())
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(ask("OPTIONS rtsp://h/front RTSP/1.0\r\nCSeq: 7\r\nSession: 12345678\r\n\r\n"), "200 7");
    assert_eq!(ask("OPTIONS * RTSP/1.0\r\nCSeq: 8\r\n\r\n"), "200 8");
    assert_eq!(ask("GET_PARAMETER * RTSP/1.0\r\nCSeq: 9\r\n\r\n"), "200 9");
    assert_eq!(ask("SET_PARAMETER * RTSP/1.0\r\nCSeq: 10\r\nContent-Length: 4\r\n\r\na: b"), "451 10");
    assert_eq!(ask("ANNOUNCE * RTSP/1.0\r\nCSeq: 11\r\nContent-Length: 4\r\n\r\nv=0\n"), "200 11");
    assert_eq!(ask("PLAY * RTSP/1.0\r\nCSeq: 12\r\n\r\n"), "501 12");
    assert_eq!(ask("TEARDOWN * RTSP/1.0\r\nCSeq: 13\r\n\r\n"), "200 13");
    assert_eq!(camera.closed().unwrap(), "the camera has ended the session");
}

#[test]
fn cameras_that_ask_all_the_time_are_left() {
    let mut camera = Camera::playing("rtsp://h/front");
    for _ in 0..=MOST_REQUESTS {
        camera.give("OPTIONS * RTSP/1.0\r\nCSeq: 8\r\n\r\n");
        camera.sent();
    }
    assert_eq!(camera.closed().unwrap(), "the camera asks more than 100 times in 10 s");
    // And nothing is written for one that reads nothing.
    let mut camera = Camera::playing("rtsp://h/front");
    let packet = vec![0; 60 << 10];
    assert!(
        camera.client.report(0, &packet)
            && camera.client.report(0, &packet)
            && !camera.client.report(0, &packet)
    );
    assert!(!camera.client.wants_bytes());
}

#[test]
fn rtp_info_is_found_however_its_urls_are_written() {
    let infos = |fields: &[&str]| {
        let mut camera = Camera::new("rtsp://h/front");
        camera.answer("200 OK", &[]);
        camera.describe(&["Content-Base: rtsp://h/front/"], SDP);
        camera.answer("200 OK", &[]);
        camera.answer("200 OK", &[]);
        camera.answer("200 OK", fields);
        let Some(Event::Playing(playing)) = camera.happened().pop() else { panic!() };
        playing.tracks.into_iter().map(|track| (track.sequence, track.rtp_time)).collect::<Vec<_>>()
    };
    let both = [(Some(7), Some(90_000)), (Some(9), None)];
    for field in [
        "RTP-Info: url=rtsp://h/front/trackID=0;seq=7;rtptime=90000,url=rtsp://h/front/trackID=1;seq=9",
        "rtp-info: url=trackID=1;seq=9;rtptime=-1;ssrc=1,url=trackID=0;seq=7;rtptime=90000;", // Reolink, Laureii
        "RTP-Info: url=rtsp://10.0.0.9:554/front//trackID=0;seq=7;rtptime=90000, url=rtsp://10.0.0.9/front/trackID=1;seq=9",
        "RTP-Info: url=rtsp://h/other/video;seq=7;rtptime=90000,url=rtsp://h/other/audio;seq=9",
    ] {
        assert_eq!(infos(&[field]), both, "{field}");
    }
    assert_eq!(infos(&[]), [(None, None), (None, None)], "VStarcam");
    assert_eq!(infos(&["RTP-Info: url=rtsp://h/other;seq=7"]), [(None, None), (None, None)]);
    assert_eq!(infos(&["RTP-Info: nonsense"]), [(None, None), (None, None)]);
}
