//! Sessions from the first byte to the last.

use super::*;
use crate::rtsp::Range;

#[test]
fn a_session_within_the_connection_byte_by_byte() {
    let mut camera = Camera::new("rtsp://127.0.0.1:8554/front");
    let described = format!(
        "RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Base: rtsp://127.0.0.1:8554/front/\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    );
    let table = [
        (
            "OPTIONS rtsp://127.0.0.1:8554/front RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: Test\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 1\r\nServer: Camera/1\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n\r\n",
        ),
        (
            "DESCRIBE rtsp://127.0.0.1:8554/front RTSP/1.0\r\nCSeq: 2\r\nUser-Agent: Test\r\nAccept: application/sdp\r\n\r\n",
            &described,
        ),
        (
            "SETUP rtsp://127.0.0.1:8554/front/trackID=0 RTSP/1.0\r\nCSeq: 3\r\nUser-Agent: Test\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 12345678;timeout=30\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=000000AB\r\n\r\n",
        ),
        (
            "SETUP rtsp://127.0.0.1:8554/front/trackID=1 RTSP/1.0\r\nCSeq: 4\r\nUser-Agent: Test\r\nSession: 12345678\r\nTransport: RTP/AVP/TCP;unicast;interleaved=2-3\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: 12345678;timeout=30\r\nTransport: RTP/AVP/TCP;unicast;interleaved=2-3\r\n\r\n",
        ),
        (
            "PLAY rtsp://127.0.0.1:8554/front/ RTSP/1.0\r\nCSeq: 5\r\nUser-Agent: Test\r\nSession: 12345678\r\nRange: npt=0.000-\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 5\r\nSession: 12345678;timeout=30\r\nRange: npt=now-\r\nRTP-Info: url=rtsp://127.0.0.1:8554/front/trackID=0;seq=7;rtptime=90000,url=rtsp://127.0.0.1:8554/front/trackID=1;seq=9;rtptime=8000\r\n\r\n$\x00\x00\x01a$\x03\x00\x01b",
        ),
    ];
    for (out, into) in table {
        assert_eq!(camera.sent(), out);
        camera.give(into);
    }
    let mut events = camera.happened().into_iter();
    let Some(Event::Described(described)) = events.next() else { panic!() };
    let tracks = described.tracks.iter().map(|track| (track.medium, track.payload_type));
    assert_eq!(tracks.collect::<Vec<_>>(), [(0, 96), (1, 8)]);
    let playing = |track, sequence, rtp_time| PlayingTrack {
        track,
        sequence: Some(sequence),
        rtp_time: Some(rtp_time),
    };
    assert_eq!(
        events.collect::<Vec<_>>(),
        [
            Event::SetUp { track: 0, way: Way::Interleaved, ssrc: Some(0xAB) },
            Event::SetUp { track: 1, way: Way::Interleaved, ssrc: None },
            Event::Playing(Playing {
                range: Some(Range::Now),
                tracks: vec![playing(0, 7, 90_000), playing(1, 9, 8_000)],
            }),
            Event::Data { track: 0, rtcp: false, packet: (&b"a"[..]).into() },
            Event::Data { track: 1, rtcp: true, packet: (&b"b"[..]).into() },
        ]
    );
    assert_eq!((camera.client.server(), camera.client.is_playing()), (Some("Camera/1"), true));
    assert!(camera.client.report(1, b"report") && !camera.client.report(2, b"report"));
    assert_eq!(camera.sent(), "$\x03\x00\x06report");
    for _ in 0..5 {
        camera.pass(s(3));
        camera.give(b"$\x00\x00\x01a");
    }
    let keepalive = "GET_PARAMETER rtsp://127.0.0.1:8554/front/ RTSP/1.0\r\nCSeq: 6\r\nUser-Agent: Test\r\nSession: 12345678\r\n\r\n";
    assert_eq!(camera.sent(), keepalive, "at half of the timeout");
    camera.give("RTSP/1.0 200 OK\r\nCSeq: 6\r\n\r\n");
    camera.happened();
    camera.input(Input::End);
    let teardown = "TEARDOWN rtsp://127.0.0.1:8554/front/ RTSP/1.0\r\nCSeq: 7\r\nUser-Agent: Test\r\nSession: 12345678\r\n\r\n";
    assert_eq!(camera.sent(), teardown);
    camera.give("RTSP/1.0 200 OK\r\nCSeq: 7\r\n\r\n");
    assert_eq!(camera.happened(), [Event::Closed(Cause::Asked)]);
    assert!(!camera.client.wants_bytes() && camera.client.deadline().is_none());
}
