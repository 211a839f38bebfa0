//! How packets travel: what cameras answer to SETUP.

use super::*;

fn carriers(carriers: &[Carrier]) -> Settings {
    Settings { carriers: carriers.to_vec(), ..Settings::default() }
}

/// A camera that has described its stream.
fn described(settings: Settings) -> Camera {
    let mut camera = Camera::with("rtsp://h/front", settings);
    camera.answer("200 OK", &[]);
    camera.describe(&[], SDP);
    camera.happened();
    camera
}

#[test]
fn a_session_by_udp() {
    let mut camera = described(carriers(&[Carrier::Udp]));
    assert_eq!(camera.client.deadline(), None, "the program binds its ports in its own time");
    camera.input(Input::Ports { rtp: 5000, rtcp: 5001 });
    assert!(camera.sent().contains("Transport: RTP/AVP;unicast;client_port=5000-5001\r\n"));
    camera.give("RTSP/1.0 200 OK\r\nSession: 1\r\nTransport: RTP/AVP/UDP;unicast;client_port=5000-5001;server_port=6000-6001;source=10.0.0.9;ssrc=AB\r\n\r\n");
    let way = Way::Udp { server: Some((6000, 6001)), source: Some([10, 0, 0, 9].into()) };
    assert_eq!(
        camera.happened(),
        [Event::SetUp { track: 0, way, ssrc: Some(0xAB) }, Event::PortsNeeded { track: 1 }]
    );
    camera.input(Input::Ports { rtp: 5002, rtcp: 5003 });
    // OpenIPC names no ports of its own; others none that are any.
    camera.answer("200 OK", &["Transport: RTP/AVP/UDP;unicast;client_port=5002-5003;server_port=0-0"]);
    let way = Way::Udp { server: None, source: None };
    assert_eq!(camera.happened(), [Event::SetUp { track: 1, way, ssrc: None }]);
    camera.agree();
    assert!(camera.client.is_playing() && !camera.client.report(0, b"x"));
    for _ in 0..10 {
        camera.pass(s(4));
        camera.input(Input::Heard);
    }
    assert_eq!(camera.closed(), None);
}

#[test]
fn udp_that_is_refused_becomes_tcp_where_that_may_be() {
    let mut camera = described(carriers(&[Carrier::Udp, Carrier::Tcp]));
    camera.input(Input::Ports { rtp: 5000, rtcp: 5001 });
    camera.answer("461 Unsupported Transport", &[]);
    assert_eq!(camera.happened(), [Event::PortsNeeded { track: 0 }, Event::StartedOver][1..]);
    assert!(camera.sent().contains("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"));

    let mut camera = described(carriers(&[Carrier::Udp]));
    camera.input(Input::Ports { rtp: 5000, rtcp: 5001 });
    camera.answer("461 Unsupported Transport", &[]);
    let Some(Event::Closed(cause)) = camera.happened().pop() else { panic!() };
    assert!(!cause.is_lasting());
    assert_eq!(cause.to_string(), "461: the camera does not send its packets like that (SETUP)");
}

#[test]
fn all_tracks_begin_again_where_the_second_is_refused() {
    let mut camera = described(carriers(&[Carrier::Udp, Carrier::Tcp]));
    camera.input(Input::Ports { rtp: 5000, rtcp: 5001 });
    camera.answer("200 OK", &["Session: 1"]);
    camera.input(Input::Ports { rtp: 5002, rtcp: 5003 });
    camera.answer("461 Unsupported Transport", &[]);
    assert_eq!(camera.answer("200 OK", &[]), "TEARDOWN rtsp://h/front");
    assert_eq!(camera.happened().pop(), Some(Event::StartedOver));
    let sent = camera.sent();
    assert!(sent.starts_with("SETUP rtsp://h/front/trackID=0 ") && !sent.contains("Session"), "{sent}");
}

#[test]
fn a_server_that_closes_behind_teardown_is_connected_to_again() {
    let mut camera = described(carriers(&[Carrier::Udp, Carrier::Tcp]));
    camera.input(Input::Ports { rtp: 5000, rtcp: 5001 });
    camera.answer("200 OK", &["Session: 1"]);
    camera.input(Input::NoPorts);
    assert_eq!(camera.asked().0, "TEARDOWN");
    camera.input(Input::Disconnected);
    camera.connect();
    assert_eq!(camera.happened().pop(), Some(Event::StartedOver));
    camera.agree();
    assert!(camera.client.is_playing() && camera.client.report(0, b"x"), "by TCP");
}

#[test]
fn a_server_that_has_udp_only_gets_ports() {
    // VLC's server, and what answers a wish for TCP with ports.
    for answer in [
        "461 Unsupported Transport\r\nX: y",
        "200 OK\r\nTransport: RTP/AVP/UDP;unicast;client_port=0-1;server_port=6000-6001",
    ] {
        let mut camera = described(carriers(&[Carrier::Tcp, Carrier::Udp]));
        camera.answer(answer, &[]);
        if camera.asked().0 == "TEARDOWN" {
            camera.give("RTSP/1.0 200 OK\r\n\r\n");
        }
        assert_eq!(camera.happened(), [Event::StartedOver, Event::PortsNeeded { track: 0 }], "{answer}");
    }
}

#[test]
fn ports_that_cannot_be_bound_are_another_carriers_turn() {
    let mut camera = described(carriers(&[Carrier::Udp, Carrier::Tcp]));
    camera.input(Input::NoPorts);
    assert_eq!(camera.asked().0, "SETUP");
    let mut camera = described(carriers(&[Carrier::Udp]));
    camera.input(Input::NoPorts);
    assert_eq!(
        camera.closed().unwrap(),
        "461: the camera does not send its packets like that (SETUP: no ports are free here)"
    );
}

#[test]
fn a_group_is_joined_where_the_server_insists() {
    let mut camera = described(carriers(&[Carrier::Udp]));
    camera.input(Input::Ports { rtp: 5000, rtcp: 5001 });
    camera.answer("200 OK", &["Transport: RTP/AVP;multicast;destination=239.1.1.1;port=7000-7001;ttl=4"]);
    let way = Way::Multicast { group: [239, 1, 1, 1].into(), rtp: 7000, rtcp: 7001, ttl: 4, source: None };
    assert_eq!(camera.happened()[0], Event::SetUp { track: 0, way, ssrc: None });
    // Asked for, and described instead of answered.
    let mut camera = Camera::with("rtsp://h/front", carriers(&[Carrier::Multicast]));
    camera.answer("200 OK", &[]);
    camera.describe(
        &[],
        &SDP.replace("m=video 0 RTP/AVP 96", "m=video 7002 RTP/AVP 96\r\nc=IN IP4 239.1.1.2/8"),
    );
    camera.happened();
    assert!(camera.sent().contains("Transport: RTP/AVP;multicast\r\n"));
    camera.give("RTSP/1.0 200 OK\r\nTransport: RTP/AVP;multicast\r\n\r\n");
    let way = Way::Multicast { group: [239, 1, 1, 2].into(), rtp: 7002, rtcp: 7003, ttl: 8, source: None };
    assert_eq!(camera.happened()[0], Event::SetUp { track: 0, way, ssrc: None });
}

#[test]
fn no_group_is_joined_where_packets_were_asked_for_within_the_connection() {
    let mut camera = described(carriers(&[Carrier::Tcp]));
    camera.answer("200 OK", &["Transport: RTP/AVP;multicast;destination=239.1.1.1;port=7000-7001;ttl=4"]);
    assert!(!camera.happened().iter().any(|event| matches!(event, Event::SetUp { .. })));
}

#[test]
fn channels_are_the_answers() {
    for (first, second, channels) in [
        (
            "RTP/AVP/TCP;unicast;interleaved=10-11;ssrc=10117CB7",
            "RTP/AVP/TCP;unicast;interleaved=4-5",
            [10, 11, 4, 5],
        ),
        ("RTP/AVP/TCP;ssrc=22345682;interleaved=0-1", "RTP/AVP/TCP;unicast", [0, 1, 2, 3]), // Luckfox
        ("RTP/AVP;unicast;interleaved=0-1", "rtp/avp/tcp;INTERLEAVED=6-7", [0, 1, 6, 7]),   // Escam Q6
        ("RTP/AVP/TCP;unicast;destination=1.2.3.4;source=1.2.3.5;interleaved=0", "", [0, 1, 2, 3]),
        ("RTP/AVP/TCP;unicast;interleaved=0-1", "RTP/AVP/TCP;unicast;interleaved=0-1", [0, 1, 2, 3]), // one pair for all
        ("RTP/AVP/TCP;unicast;interleaved=256-257", "nonsense", [0, 1, 2, 3]),
    ] {
        let mut camera = described(Settings::default());
        camera.answer("200 OK", &[&format!("Transport: {first}")]);
        let second = format!("{}: {second}", if second.is_empty() { "X-None" } else { "Transport" });
        camera.answer("200 OK", &[&second]);
        camera.agree();
        camera.happened();
        for channel in channels {
            camera.give([b'$', channel, 0, 1, b'x']);
        }
        let data = camera.happened().into_iter().map(|event| match event {
            Event::Data { track, rtcp, .. } => (track, rtcp),
            other => panic!("{other:?}"),
        });
        assert_eq!(
            data.collect::<Vec<_>>(),
            [(0, false), (0, true), (1, false), (1, true)],
            "{first} {second}"
        );
    }
}

#[test]
fn sessions_without_a_name_and_with_two_are_played() {
    let mut camera = described(Settings::default());
    camera.answer("200 OK", &[]);
    camera.answer("200 OK", &[]);
    let play = camera.sent();
    assert!(play.starts_with("PLAY") && !play.contains("Session"));
    // H264DVR names another session for each track, and plays both in the first.
    let mut camera = described(Settings::default());
    camera.answer("200 OK", &["Session: 231970;timeout=60"]);
    camera.answer("200 OK", &["Session: 231980;timeout=60"]);
    assert!(camera.sent().contains("Session: 231970\r\n"));
}

#[test]
fn sound_that_is_refused_is_done_without() {
    let mut camera = described(Settings::default());
    camera.answer("200 OK", &[]);
    camera.answer("454 Session Not Found", &[]);
    let events = camera.happened();
    assert!(
        matches!(&events[1], Event::Refused { track: 1, cause } if cause.to_string().starts_with("454")),
        "{events:?}"
    );
    camera.agree();
    let Some(Event::Playing(playing)) = camera.happened().pop() else { panic!() };
    assert_eq!(playing.tracks.iter().map(|track| track.track).collect::<Vec<_>>(), [0]);

    let mut camera = described(Settings { audio: false, ..Settings::default() });
    camera.answer("403 Forbidden", &[]);
    assert_eq!(camera.closed().unwrap(), "403: the camera forbids it to this user (SETUP)");
}
