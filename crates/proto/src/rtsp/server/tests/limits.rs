//! Time, rates and memory.

use super::*;

#[test]
fn a_connection_that_asks_nothing_is_closed() {
    let mut peer = Peer::new();
    peer.expire_after(10);
    assert_eq!(peer.closed(), Some(Close::NoRequest(Duration::from_secs(10))));
    assert_eq!(peer.text(), "");
}

#[test]
fn half_a_request_is_answered_with_408() {
    let mut peer = Peer::new();
    peer.give(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\nPLAY");
    for _ in 0..9 {
        peer.now += Duration::from_secs(1);
        peer.give(b"x");
    }
    assert_eq!(peer.statuses(), [200]);
    peer.expire_after(1);
    assert_eq!(
        (peer.statuses(), peer.closed()),
        (vec![408], Some(Close::NoRequest(Duration::from_secs(10))))
    );
}

#[test]
fn a_connection_without_a_session_may_wait_for_a_user_to_type_a_password() {
    let mut peer = Peer::new();
    assert_eq!(peer.ask(&["DESCRIBE front"]), [200]);
    peer.now += Duration::from_secs(50);
    assert_eq!(peer.ask(&["DESCRIBE front"]), [200]);
    peer.expire_after(60);
    assert_eq!(peer.closed(), Some(Close::Idle(Duration::from_secs(60))));
}

#[test]
fn a_session_lives_as_long_as_it_shows_that_it_does() {
    let udp = "SETUP front/trackID=0\nTransport: RTP/AVP/UDP;unicast;client_port=5000-5001";
    let mut peer = Peer::new();
    assert_eq!(peer.ask(&[udp, PLAY]), [200, 200]);
    for request in ["GET_PARAMETER front", "OPTIONS front", "SET_PARAMETER front"] {
        peer.now += Duration::from_secs(64);
        assert_eq!(peer.connection.expire(peer.now), None);
        assert_eq!(peer.ask(&[request]), [200]);
    }
    peer.now += Duration::from_secs(64);
    peer.connection.alive(peer.now);
    peer.expire_after(65);
    assert_eq!(peer.closed(), Some(Close::SessionTimeout(Duration::from_secs(60))));
    assert_eq!((peer.connection.phase(), peer.connection.tracks().len()), (None, 0));
}

#[test]
fn a_reader_within_the_connection_is_seen_to_live_and_a_paused_one_is_not() {
    let mut peer = Peer::new();
    assert_eq!(peer.ask(&[SETUP]), [200]);
    assert_eq!(peer.connection.deadline(), Some(peer.now + Duration::from_secs(65)));
    assert_eq!(peer.ask(&[PLAY]), [200]);
    assert_eq!(peer.connection.deadline(), None);
    assert_eq!(peer.ask(&[&PLAY.replace("PLAY", "PAUSE")]), [200]);
    peer.expire_after(65);
}

#[test]
fn a_sender_that_falls_silent_is_closed() {
    let mut peer = Peer::new();
    peer.give(format!("{}\nm=\r\n", numbered("ANNOUNCE new\nContent-Length: 5")).as_bytes());
    let setup = "SETUP new\nTransport: RTP/AVP/TCP;interleaved=0-1;mode=record";
    assert_eq!(peer.ask(&[setup, &PLAY.replace("PLAY", "RECORD")]), [200, 200, 200]);
    peer.now += Duration::from_secs(60);
    peer.give(b"$\0\0\x01a");
    peer.expire_after(65);
}

#[test]
fn a_hundred_requests_in_ten_seconds_are_enough() {
    let mut peer = Peer::new();
    let options = numbered("OPTIONS front");
    for round in 0..5 {
        peer.give(options.repeat(100).as_bytes());
        assert_eq!((peer.statuses(), peer.closed()), (vec![200; 100], None), "round {round}");
        peer.now += REQUEST_WINDOW;
    }
    peer.give(options.repeat(1000).as_bytes());
    let statuses = peer.statuses();
    assert_eq!((statuses.len(), statuses[99], statuses[100]), (101, 200, 503));
    assert_eq!(peer.closed(), Some(Close::TooManyRequests(100)));
    let mut peer = Peer::new();
    peer.give("RTSP/1.0 200 OK\r\n\r\n".repeat(101).as_bytes());
    assert_eq!(peer.closed(), Some(Close::TooManyRequests(100)), "answers to nothing are no better");
}

#[test]
fn a_flood_of_packets_ends_a_reader_and_no_sender() {
    let packet = [&[b'$', 0, 4, 0][..], &[0; 1024]].concat();
    let mut peer = Peer::new();
    assert_eq!(peer.ask(&[SETUP, PLAY]), [200, 200]);
    let events = peer.events.len();
    peer.give(&packet.repeat(250));
    assert_eq!((peer.closed(), peer.events.len()), (None, events), "nobody wants a reader's RTP");
    peer.now += REQUEST_WINDOW;
    peer.give(&packet.repeat(250));
    assert_eq!(peer.closed(), None);
    peer.give(&packet.repeat(10));
    assert_eq!(peer.closed(), Some(Close::Flood));
    let mut peer = Peer::new();
    peer.give(format!("{}\nm=\r\n", numbered("ANNOUNCE new\nContent-Length: 5")).as_bytes());
    peer.ask(&[
        "SETUP new\nTransport: RTP/AVP/TCP;interleaved=0-1;mode=record",
        &PLAY.replace("PLAY", "RECORD"),
    ]);
    peer.give(&packet.repeat(1000));
    assert_eq!((peer.closed(), peer.events.len()), (None, 1003));
}

#[test]
fn who_takes_no_answers_gets_no_more() {
    let mut peer = Peer::with(Settings { requests: 1 << 20, ..settings() }, Door(None));
    let options = numbered("OPTIONS front");
    let mut given = 0;
    while peer.connection.wants_bytes() {
        peer.connection.room().extend_from_slice(options.as_bytes());
        assert_eq!(peer.connection.next_event(peer.now), None);
        given += 1;
    }
    assert!(given < 1000);
    assert!((MOST_OUTPUT_BYTES..MOST_OUTPUT_BYTES + 1000).contains(&peer.connection.output().len()));
    peer.connection.sent(MOST_OUTPUT_BYTES);
    assert!(peer.connection.wants_bytes());
    peer.now += Duration::from_secs(60);
    assert!(matches!(peer.connection.expire(peer.now), Some(Event::Close(Close::Idle(_)))));
}

#[test]
fn a_session_has_sixteen_tracks_at_most() {
    let mut peer = Peer::new();
    let track = |number: usize| {
        SETUP.replace("trackID=0", &format!("trackID={number}")).replace(";interleaved=0-1", "")
    };
    for number in 0..MOST_TRACKS {
        assert_eq!(peer.ask(&[&track(number)]), [200]);
    }
    assert_eq!(peer.ask(&[&track(MOST_TRACKS)]), [403]);
    assert_eq!(peer.ask(&[&format!("{}\nSession: {ID}", track(3))]), [200]);
}

#[test]
fn names_of_programs_are_cut() {
    let mut peer = Peer::new();
    peer.ask(&[&format!("OPTIONS front\nUser-Agent: {}\u{e9}\u{e9}", "x".repeat(127))]);
    assert_eq!(peer.connection.program(), Some(&"x".repeat(127)[..]));
}

#[test]
fn so_much_is_read_ahead_while_an_answer_is_waited_for() {
    let mut peer = Peer::new();
    assert!(!peer.connection.takes_ahead(), "there is nothing to wait for");
    peer.connection.room().extend_from_slice(numbered("DESCRIBE front").as_bytes());
    assert!(matches!(peer.connection.next_event(peer.now), Some(Event::Describe { .. })));
    let options = numbered(&format!("OPTIONS front\nX-Filler: {}", "x".repeat(500)));
    let mut ahead = 0;
    while peer.connection.takes_ahead() {
        peer.connection.room().extend_from_slice(options.as_bytes());
        ahead += options.len();
        assert_eq!(peer.connection.next_event(peer.now), None);
    }
    assert!((MOST_AHEAD_BYTES..MOST_AHEAD_BYTES + options.len()).contains(&ahead));
    let gone = Answer::Refused(Refusal::new(Status::UNAVAILABLE, ""));
    peer.connection.answer(peer.now, gone).unwrap();
    assert!(!peer.connection.takes_ahead());
    while peer.connection.next_event(peer.now).is_some() {}
    let answers = String::from_utf8_lossy(peer.connection.output()).into_owned();
    assert!(answers.starts_with("RTSP/1.0 503 "), "{answers}");
    assert_eq!(
        answers.matches("RTSP/1.0 200 ").count(),
        ahead / options.len(),
        "what was read ahead is answered"
    );
}
