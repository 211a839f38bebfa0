//! Answers: oddly written, numbered, described and framed ones, and none.

use super::*;

#[test]
fn fields_may_be_spelled_in_any_way() {
    let mut camera = Camera::new("rtsp://h/front");
    camera.give("RTSP/1.0 200 OK\r\ncseq:1\r\nPUBLIC:describe,setup , get_parameter\r\n\r\n");
    let sdp = format!(
        "RTSP/1.0 200\nCseq : 2\nContent-length:   {}\nContent-type:application/sdp\n\n{SDP}",
        SDP.len()
    );
    camera.give(sdp);
    camera.give("RTSP/1.0 200 OK\r\nCSeq: 3 \r\nSESSION:  66334873 ; Timeout=20\r\ntransport:RTP/AVP/TCP; unicast; Interleaved=0-1;ssrc= d6d6627\r\nX-Dynamic-Rate\r\nDate: \x07\r\nA Field: b\r\n\r\n");
    let sent = camera.sent();
    assert!(
        sent.ends_with("Session: 66334873\r\nTransport: RTP/AVP/TCP;unicast;interleaved=2-3\r\n\r\n"),
        "{sent}"
    );
    assert_eq!(
        camera.happened().pop(),
        Some(Event::SetUp { track: 0, way: Way::Interleaved, ssrc: Some(0x0D6D_6627) })
    );
    camera.give("RTSP/1.0 200 OK\r\n\r\nRTSP/1.0 200 OK\r\n\r\n");
    camera.sent();
    camera.give("$\0\0\x01a");
    camera.pass(s(4));
    camera.give("$\0\0\x01a");
    camera.pass(s(4));
    camera.give("$\0\0\x01a");
    camera.pass(s(3));
    assert!(camera.sent().starts_with("GET_PARAMETER"), "the timeout was read");
}

#[test]
fn answers_may_have_any_number_or_none() {
    for number in ["CSeq: 0\r\n", "CSeq: 1\r\n", "", "CSeq: x\r\n", "CSeq: 99\r\n"] {
        let mut camera = Camera::new("rtsp://h/front");
        camera.give(format!("RTSP/1.0 200 OK\r\n{number}\r\n"));
        camera.give(format!("RTSP/1.0 200 OK\r\n{number}Content-Length: {}\r\n\r\n{SDP}", SDP.len()));
        camera.give(format!("RTSP/1.0 100 Continue\r\n{number}\r\n"));
        camera.give(format!("RTSP/1.0 200 OK\r\n{number}\r\n"));
        camera.give(format!("RTSP/1.0 200 OK\r\n{number}\r\n"));
        camera.give(format!("RTSP/1.0 200 OK\r\n{number}\r\n"));
        assert!(camera.client.is_playing(), "Foscam: {number}");
    }
}

#[test]
fn the_answer_to_what_was_given_up_is_left_out() {
    let mut camera = Camera::playing("rtsp://h/front");
    camera.give("$\0\0\x01a");
    for _ in 0..20 {
        camera.pass(s(2));
        camera.give("$\0\0\x01a");
    }
    let (method, _, cseq) = camera.asked();
    assert_eq!(method, "GET_PARAMETER");
    camera.input(Input::End);
    camera.give(format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n\r\n"));
    assert_eq!(camera.closed(), None, "not the answer to TEARDOWN");
    assert_eq!(camera.answer("200 OK", &[]), "TEARDOWN rtsp://h/front");
    assert_eq!(camera.closed().unwrap(), "the session was ended");
}

#[test]
fn servers_that_close_on_options_are_not_asked_for_it_again() {
    let mut camera = Camera::new("rtsp://h/front");
    assert_eq!(camera.asked().0, "OPTIONS");
    camera.input(Input::Disconnected);
    camera.connect();
    assert_eq!(camera.agree()[0], "DESCRIBE rtsp://h/front");
    assert!(camera.client.is_playing());
    let lessons = camera.client.lessons();
    let mut next = Camera::with("rtsp://h/front", Settings { lessons, ..Settings::default() });
    assert_eq!(next.asked().0, "DESCRIBE");
}

#[test]
fn servers_that_do_not_answer_options_are_asked_without() {
    let mut camera = Camera::new("rtsp://h/front");
    camera.pass(OPTIONS_TIMEOUT);
    camera.connect();
    assert_eq!(camera.agree()[0], "DESCRIBE rtsp://h/front");
}

#[test]
fn servers_that_refuse_options_are_asked_on() {
    for status in [
        "404 Not Found",
        "501 Not Implemented",
        "405 Method Not Allowed",
        "400 Bad Request",
        "454 Session Not Found",
    ] {
        let mut camera = Camera::new("rtsp://h/front");
        camera.answer(status, &[]);
        camera.agree();
        assert!(camera.client.is_playing(), "{status}");
    }
    let mut camera = Camera::new("rtsp://h/front");
    camera.answer("401 Unauthorized", &["WWW-Authenticate: Digest realm=\"x\", nonce=\"y\""]);
    camera.agree();
    assert!(camera.client.is_playing(), "without a password, for this alone");
}

#[test]
fn refusals_are_words() {
    for (status, words) in [
        ("404 Not Found", "404: the camera has no stream at that path (DESCRIBE)"),
        ("404 Stream Not Found", "404: the camera has no stream at that path (DESCRIBE: Stream Not Found)"),
        ("403 Forbidden", "403: the camera forbids it to this user (DESCRIBE)"),
        (
            "453 Not Enough Bandwidth",
            "453: the camera has no bandwidth left (DESCRIBE: Not Enough Bandwidth)",
        ),
        ("503 Service Unavailable", "503: the camera is busy, or has too many viewers (DESCRIBE)"),
        ("599 ", "599: the camera refused (DESCRIBE)"),
    ] {
        let mut camera = Camera::new("rtsp://h/front");
        camera.answer("200 OK", &[]);
        camera.answer(status, &[]);
        assert_eq!(camera.closed().unwrap(), words);
    }
}

#[test]
fn no_answer_and_no_connection_are_words() {
    let mut camera = Camera::new("rtsp://h/front");
    camera.answer("200 OK", &[]);
    camera.pass(s(10));
    assert_eq!(camera.closed().unwrap(), "the camera did not answer DESCRIBE in 10 s");
    let mut camera = Camera::new("rtsp://h/front");
    camera.answer("200 OK", &[]);
    camera.input(Input::Disconnected);
    assert_eq!(camera.closed().unwrap(), "the camera closed the connection when asked for DESCRIBE");
    let mut camera = Camera::playing("rtsp://h/front");
    camera.input(Input::Disconnected);
    assert_eq!(camera.closed().unwrap(), "the camera closed the connection");
}

#[test]
fn another_protocol_is_named() {
    let answers = |bytes: &[u8]| {
        let mut camera = Camera::new("rtsp://h/front");
        camera.give(bytes);
        camera.closed().unwrap_or_default()
    };
    let web = answers(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>");
    assert_eq!(
        web,
        "the camera answers in another protocol than RTSP/1.0: the address may name its web page's port"
    );
    let tls = "the camera speaks TLS at that port: the address should begin with rtsps://";
    assert_eq!(answers(b"\x15\x03\x01\0\x02\x02\x46"), tls);
    assert!(
        answers(&[0; 300 << 10]).ends_with("bytes of which none begins a message or an interleaved packet")
    );
    assert!(answers(b"RTSP/1.0 x\r\n\r\n").starts_with("what the camera sends is no RTSP: byte 9: "));
}

/// What a camera's answer to DESCRIBE leads to, some time after it.
fn described(answer: &str) -> Camera {
    let mut camera = Camera::new("rtsp://h/front");
    camera.answer("200 OK", &[]);
    camera.sent();
    camera.give(answer);
    camera.pass(s(5));
    camera
}

#[test]
fn a_description_may_come_without_length() {
    let answer = format!("RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: application/sdp\r\n\r\n{SDP}");
    assert_eq!(described(&answer).asked().1, "rtsp://h/front/trackID=0");
    // What comes behind it ends it.
    let mut camera = described("");
    camera.give(format!("{answer}RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n"));
    assert_eq!(camera.asked().1, "rtsp://h/front/trackID=1");
}

#[test]
fn a_descriptions_length_may_be_wrong() {
    let answer = |length: usize| {
        format!(
            "RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{SDP}"
        )
    };
    for length in [0, 10, SDP.len() - 20, SDP.len() - 2, SDP.len() - 1, SDP.len() + 1, SDP.len() + 100] {
        let mut camera = described(&answer(length));
        assert_eq!(camera.asked().1, "rtsp://h/front/trackID=0", "{length}");
        camera.answer("200 OK", &[]);
        camera.agree();
        assert!(camera.client.is_playing(), "{length}: {:?}", camera.happened());
    }
    for length in ["-1", "many", "99999999999"] {
        let text = answer(0).replace("Content-Length: 0", &format!("Content-Length: {length}"));
        let mut camera = described(&text);
        let closed = camera.closed();
        assert!(camera.asked().0 == "SETUP" || length.starts_with('9'), "{length}: {closed:?}");
    }
}

#[test]
fn a_description_needs_no_content_type_and_no_last_line_end() {
    let sdp = SDP.trim_end();
    let text = format!("RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len());
    assert_eq!(described(&text).asked().0, "SETUP");
}

#[test]
fn descriptions_without_a_meaning_are_words() {
    let closed = |body: &str| {
        described(&format!("RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
            .closed()
            .unwrap()
    };
    assert_eq!(closed(""), "the camera describes no stream: its answer is empty");
    assert!(closed("<html>").starts_with("the camera's session description: "));
    let unknown = closed("v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H266/90000\r\n");
    assert!(
        unknown.starts_with(
            "the camera offers no pictures that Ocelli understands (offers: H266): `a=rtpmap:96 H266`"
        ),
        "{unknown}"
    );
    let text = closed("v=0\r\nm=application 0 RTP/AVP 107\r\n");
    assert_eq!(text, "the camera offers no pictures that Ocelli understands (offers: data)");
}

#[test]
fn what_is_wrong_in_a_description_and_not_needed_does_not_matter() {
    for sdp in [
        SDP.replace("t=0 0", "c=IN"), // H3C
        SDP.replace("s=camera", "s="),
        SDP.replace("o=- 1 1 IN IP4 127.0.0.1\r\n", ""), // Macro-video
        SDP.replace("v=0\r\n", ""),
        format!(
            "{SDP}m=application/MERCURY 0 RTP/AVP smart/1/90000\r\na=rtpmap:95 MERCURY/90000\r\na=control:track3\r\n"
        ),
        SDP.replace("o=- 1 1", "o=- 14665860 31787219 1"), // TP-Link
    ] {
        let text = format!("RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len());
        let mut camera = described(&text);
        assert_eq!(camera.asked().0, "SETUP", "{sdp}: {:?}", camera.closed());
    }
}

#[test]
fn a_backchannel_is_not_asked_for() {
    let twice = format!("{SDP}m=audio 0 RTP/AVP 0\r\na=control:back\r\na=sendonly\r\n");
    let front = twice.replace("m=audio 0 RTP/AVP 8\r\na=control:trackID=1\r\n", "");
    for (sdp, tracks) in [(&twice, 2), (&front, 1)] {
        let text = format!("RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len());
        let mut camera = described(&text);
        let Some(Event::Described(described)) = camera.happened().pop() else { panic!() };
        assert_eq!(described.tracks.len(), tracks);
    }
    // D-Link says it of all that it sends.
    let wrong = SDP.replace("a=control:trackID", "a=sendonly\r\na=control:trackID");
    let text = format!("RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: {}\r\n\r\n{wrong}", wrong.len());
    let Some(Event::Described(described)) = described(&text).happened().pop() else { panic!() };
    assert_eq!(described.tracks.len(), 2);
}
