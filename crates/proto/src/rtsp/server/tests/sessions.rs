//! Sessions from the first byte to the last.

use proptest::prelude::*;

use super::*;
use crate::rtsp::Range;

#[test]
fn a_reader_within_the_connection_byte_by_byte() {
    let table = [
        (
            "OPTIONS rtsp://h:8554/front RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: Lavf\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 1\r\nServer: Test\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER, ANNOUNCE, RECORD\r\n\r\n",
        ),
        (
            "DESCRIBE rtsp://h:8554/front RTSP/1.0\r\nCSeq: 2\r\nAccept: application/sdp\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 2\r\nServer: Test\r\nContent-Base: rtsp://h:8554/front/\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n",
        ),
        (
            "SETUP rtsp://h:8554/front/trackID=0 RTSP/1.0\r\nCSeq: 3\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 3\r\nServer: Test\r\nSession: 0123456789abcdef0123456789abcdef;timeout=60\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=000000AB\r\n\r\n",
        ),
        (
            "PLAY rtsp://h:8554/front/ RTSP/1.0\r\nCSeq: 4\r\nSession: 0123456789abcdef0123456789abcdef\r\nRange: npt=0.000-\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 4\r\nServer: Test\r\nSession: 0123456789abcdef0123456789abcdef;timeout=60\r\nRange: npt=0.000-\r\nRTP-Info: url=rtsp://h:8554/front/trackID=0;seq=7;rtptime=90000\r\n\r\n",
        ),
        ("$\x01\x00\x04\0\0\0\0", ""),
        (
            "TEARDOWN rtsp://h:8554/front/ RTSP/1.0\r\nCSeq: 5\r\nSession: 0123456789abcdef0123456789abcdef\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 5\r\nServer: Test\r\nSession: 0123456789abcdef0123456789abcdef;timeout=60\r\n\r\n",
        ),
    ];
    let mut peer = Peer::new();
    for (input, output) in table {
        peer.give(input.as_bytes());
        assert_eq!(peer.text(), output);
    }
    let offers = vec![Offer::Interleaved { rtp: 0, rtcp: 1 }];
    let path = || "front".to_owned();
    assert_eq!(
        peer.events,
        [
            Event::Describe { path: path(), query: None, base: "rtsp://h:8554/front".to_owned() },
            Event::Setup { path: path(), query: None, track: Some(0), offers, publish: false },
            Event::Play { range: Some(Range::ALL) },
            Event::Data { track: 0, rtcp: true, packet: vec![0; 4].into() },
            Event::Ended(End::Asked),
        ]
    );
    assert_eq!((peer.connection.phase(), peer.connection.program()), (None, Some("Lavf")));
}

#[test]
fn transports_are_answered_with_what_the_server_adds() {
    for (asked, answered) in [
        (
            "RTP/AVP/UDP;unicast;client_port=5000-5001",
            "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001;ssrc=000000AB",
        ),
        ("RTP/AVP;multicast", "RTP/AVP;multicast;destination=239.1.1.1;port=7000-7001;ttl=4;ssrc=000000AB"),
        ("RTP/AVP/TCP", "RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=000000AB"),
        (
            "RTP/SAVP;unicast;client_port=5000-5001,RTP/AVP/TCP;interleaved=4-5",
            "RTP/AVP/TCP;unicast;interleaved=4-5;ssrc=000000AB",
        ),
        (
            "RTP/AVP;unicast;destination=10.9.8.7;client_port=5000",
            "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001;ssrc=000000AB",
        ),
    ] {
        let mut peer = Peer::new();
        peer.give(numbered(&format!("SETUP front/trackID=0\nTransport: {asked}")).as_bytes());
        let text = peer.text();
        assert!(text.contains(&format!("\r\nTransport: {answered}\r\n")), "{asked}: {text}");
    }
}

#[test]
fn tracks_that_want_the_same_channels_get_others() {
    let mut peer = Peer::new();
    let second = format!("{}\nSession: {ID}", SETUP.replace("=0\n", "=1\n"));
    assert_eq!(peer.ask(&[SETUP, &second]), [200, 200]);
    let channels: Vec<_> = peer.connection.tracks().iter().map(|track| track.transport.interleaved).collect();
    assert_eq!(channels, [Some((0, 1)), Some((2, 3))]);
}

#[test]
fn a_second_setup_of_a_track_changes_its_transport() {
    let mut peer = Peer::new();
    let again = format!("{}\nSession: {ID}", SETUP.replace("0-1", "6-7"));
    assert_eq!(peer.ask(&[SETUP, &again]), [200, 200]);
    assert_eq!(peer.connection.tracks().len(), 1);
    assert_eq!(peer.connection.tracks()[0].transport.interleaved, Some((6, 7)));
}

#[test]
fn a_second_track_without_the_sessions_name_belongs_to_it() {
    let mut peer = Peer::new();
    assert_eq!(peer.ask(&[SETUP, &SETUP.replace("=0\n", "=1\n")]), [200, 200]);
    assert_eq!(peer.connection.tracks().len(), 2);
}

#[test]
fn ffmpeg_changes_from_udp_to_tcp_without_a_word() {
    let udp = "SETUP front/trackID=0\nTransport: RTP/AVP/UDP;unicast;client_port=5000-5001";
    let mut peer = Peer::new();
    assert_eq!(peer.ask(&[udp, PLAY, &PLAY.replace("PLAY", "PAUSE"), SETUP]), [200; 4]);
    assert_eq!(peer.connection.session_id(), Some(SessionId(NUMBER + 1)));
    let [.., pause, ended, setup] = &peer.events[..] else { panic!() };
    assert_eq!((pause, ended), (&Event::Pause, &Event::Ended(End::Replaced)));
    assert!(matches!(setup, Event::Setup { .. }));
    assert_eq!(peer.ask(&[PLAY]), [454], "the name of the session before");
    assert_eq!(peer.ask(&[&PLAY.replace(ID, &SessionId(NUMBER + 1).to_string())]), [200]);
}

#[test]
fn play_goes_on_where_the_stream_is_after_a_pause() {
    let mut peer = Peer::new();
    let pause = PLAY.replace("PLAY", "PAUSE");
    assert_eq!(peer.ask(&[SETUP, PLAY, &pause, &pause]), [200; 4]);
    assert_eq!(peer.connection.phase(), Some(Phase::Ready));
    peer.now += Duration::from_millis(12_500);
    peer.give(numbered(&format!("{PLAY}\nRange: clock=20260101T000000Z-")).as_bytes());
    assert!(peer.text().contains("\r\nRange: npt=12.500-\r\n"));
    assert_eq!(peer.events.iter().filter(|event| **event == Event::Pause).count(), 1);
    assert_eq!(peer.events.last(), Some(&Event::Play { range: None }));
}

#[test]
fn what_the_program_refuses_is_refused_in_its_words_and_in_one_line() {
    let mut peer = Peer::new();
    peer.give(numbered("DESCRIBE back").as_bytes());
    assert!(peer.text().starts_with("RTSP/1.0 404 Not Found (no stream back)\r\nCSeq: 1\r\n"));
    let room = peer.connection.room();
    room.extend_from_slice(numbered("DESCRIBE front").as_bytes());
    assert!(matches!(peer.connection.next_event(peer.now), Some(Event::Describe { .. })));
    let refusal = Refusal {
        status: Status::UNAVAILABLE,
        reason: "starting\r\nX: y".to_owned(),
        retry_after: Some(Duration::from_millis(300)),
    };
    peer.connection.answer(peer.now, Answer::Refused(refusal)).unwrap();
    peer.give(b"");
    assert_eq!(
        peer.text(),
        "RTSP/1.0 503 Service Unavailable (starting  X: y)\r\nCSeq: 1\r\nServer: Test\r\nRetry-After: 1\r\n\r\n"
    );
}

#[test]
fn an_answer_that_was_not_asked_for_changes_nothing() {
    let mut peer = Peer::new();
    assert_eq!(peer.connection.answer(peer.now, Answer::Recording), Err(Unasked));
    peer.connection.room().extend_from_slice(numbered("DESCRIBE front").as_bytes());
    assert!(peer.connection.next_event(peer.now).is_some());
    assert_eq!(peer.connection.answer(peer.now, Answer::Recording), Err(Unasked));
    let refusal = Refusal::new(Status::NOT_FOUND, "");
    assert_eq!(peer.connection.answer(peer.now, Answer::Refused(refusal)), Ok(()));
}

#[test]
fn a_grant_of_another_kind_than_the_offer_is_no_session() {
    let mut peer = Peer::new();
    for (offer, grant) in [(0, Grant::Udp { rtp: 1, rtcp: 2 }), (1, Grant::Interleaved)] {
        peer.connection.room().extend_from_slice(numbered(SETUP).as_bytes());
        assert!(peer.connection.next_event(peer.now).is_some());
        let set_up = SetUp { track: 0, offer, grant, ssrc: None, session: SessionId(1) };
        peer.connection.answer(peer.now, Answer::SetUp(set_up)).unwrap();
        peer.give(b"");
        assert_eq!((peer.statuses(), peer.connection.phase()), (vec![500], None));
    }
}

#[test]
fn a_publisher_announces_sets_up_records_and_sends() {
    let mut peer = Peer::new();
    let sdp = "v=0\r\nm=video 0 RTP/AVP 96\r\na=control:streamid=0\r\nm=audio 0 RTP/AVP 0\r\na=control:streamid=1\r\n";
    let announce = format!("ANNOUNCE new\nContent-Type: application/sdp\nContent-Length: {}", sdp.len());
    peer.give(format!("{}{sdp}", numbered(&announce)).as_bytes());
    let setup = |track: u8| {
        format!(
            "SETUP new/streamid={track}\nTransport: RTP/AVP/TCP;interleaved={}-{};mode=record",
            2 * track,
            2 * track + 1
        )
    };
    assert_eq!(peer.ask(&[&setup(1), &setup(0), &PLAY.replace("PLAY", "RECORD")]), [200; 4]);
    peer.give(b"$\x02\x00\x02ab$\x01\x00\x02cd$\x09\x00\x02ef");
    let data = |track, rtcp, packet: &'static [u8]| Event::Data { track, rtcp, packet: packet.into() };
    let [.., record, first, second] = &peer.events[..] else { panic!() };
    assert_eq!((record, first, second), (&Event::Record, &data(1, false, b"ab"), &data(0, true, b"cd")));
    assert_eq!(peer.ask(&[&PLAY.replace("PLAY", "PAUSE"), &PLAY.replace("PLAY", "TEARDOWN")]), [200, 200]);
    assert_eq!(peer.ask(&[&setup(0).replace("/streamid=0", "")]), [455], "nothing is announced any more");
}

#[test]
fn nothing_of_the_next_request_is_done_before_the_program_has_answered() {
    let mut peer = Peer::new();
    let both = [numbered(SETUP), numbered(PLAY)].concat();
    peer.connection.room().extend_from_slice(both.as_bytes());
    assert!(matches!(peer.connection.next_event(peer.now), Some(Event::Setup { .. })));
    assert!(!peer.connection.wants_bytes() && peer.connection.deadline().is_none());
    assert_eq!(peer.connection.next_event(peer.now), None);
    let session = SessionId(NUMBER);
    let set_up = SetUp { track: 0, offer: 0, grant: Grant::Interleaved, ssrc: None, session };
    peer.connection.answer(peer.now, Answer::SetUp(set_up)).unwrap();
    assert_eq!(peer.connection.next_event(peer.now), Some(Event::Play { range: None }));
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same(
        order in proptest::collection::vec(0_usize..12, 0..25),
        chunks in proptest::collection::vec(1_usize..200, 1..20),
        damaged in proptest::option::of(any::<(u16, u8)>()),
    ) {
        let play = numbered(PLAY);
        let pieces = [
            numbered("OPTIONS front"),
            numbered("DESCRIBE front\nAccept: application/sdp"),
            numbered(SETUP),
            numbered(&format!("{}\nSession: {ID}", SETUP.replace("=0\n", "=1\n"))),
            play.clone(),
            play.replace("PLAY", "PAUSE"),
            play.replace("PLAY", "TEARDOWN"),
            "$\x01\x00\x04abcd".to_owned(),
            "$\x00\x00\x04abcd".to_owned(),
            format!("{}\nm=\r\na=control:x\r\n", numbered("ANNOUNCE new\nContent-Length: 18")),
            numbered("SETUP new/x\nTransport: RTP/AVP;unicast;client_port=5000-5001;mode=record"),
            play.replace("PLAY", "RECORD"),
        ];
        let mut bytes = order.iter().map(|piece| &pieces[*piece][..]).collect::<String>().into_bytes();
        if let Some((at, byte)) = damaged.filter(|_| !bytes.is_empty()) {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        let mut whole = Peer::new();
        whole.give(&bytes);
        let mut split = Peer::new();
        let (mut rest, mut lengths) = (&bytes[..], chunks.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*lengths.next().unwrap()).min(rest.len()));
            split.give(now);
            rest = later;
        }
        prop_assert_eq!(&whole.events, &split.events);
        prop_assert_eq!(String::from_utf8_lossy(&whole.output), String::from_utf8_lossy(&split.output));
    }

    #[test]
    fn nothing_panics(
        requests in proptest::collection::vec(
            (
                "(OPTIONS|DESCRIBE|SETUP|PLAY|PAUSE|TEARDOWN|RECORD|ANNOUNCE|SET_PARAMETER) front(/trackID=[0-9]{0,4})?",
                "(\nTransport: RTP/AVP(/TCP)?;[a-z_]{0,9}=?[0-9,-]{0,8})?(\nSession: [0-9a-f]{0,4})?(\nRange: [a-z=0-9.:-]{0,12})?(\nRequire: \\PC{0,9})?",
            ),
            0..20,
        ),
        bytes in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut peer = Peer::new();
        for (request, fields) in &requests {
            peer.give(numbered(&format!("{request}{fields}")).as_bytes());
        }
        peer.give(&bytes);
        peer.statuses();
    }
}
