//! Where readers begin, and what becomes of those that fall behind.

use std::time::{Duration, Instant};

use ocelli_proto::rtcp::{self, Compound, Rules};
use ocelli_proto::rtp::Packet;
use ocelli_proto::rtsp::RtpInfo;

use super::player::{Player, Screen};
use super::{film, with_film};
use crate::processes::until;
use crate::programs::{directory, installed};
use crate::server::{STEADY, Server};

/// Viewers by RTSP, as `/stats` has them.
fn readers(server: &Server) -> Vec<serde_json::Value> {
    let stats = server.stats();
    let viewers = stats["viewers"].as_array().unwrap();
    viewers.iter().filter(|viewer| viewer["kind"] == "rtsp-tcp").cloned().collect()
}

#[test]
fn a_reader_begins_at_the_last_keyframe_at_once_with_the_pictures_own_times() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let server = with_film(&directory, 100);
    // One that plays already, so that the packets are made.
    let (mut first, _) = Player::play(server.rtsp(), "cam");
    let mut screen = Screen::new();
    let mut seen = 0;
    // Well into a group of pictures.
    while seen < 60 {
        seen = if screen.picture(&mut first).unwrap().key { 0 } else { seen + 1 };
    }
    let asked = Instant::now();
    let (mut late, [described, _, played]) = Player::play(server.rtsp(), "cam");
    let sdp = String::from_utf8_lossy(&described.body).into_owned();
    for part in ["a=control:*\r\n", "a=range:npt=now-\r\n", "packetization-mode=1", "sprop-parameter-sets="] {
        assert!(sdp.contains(part), "{part} in {sdp}");
    }
    let ((1, report), (0, packet)) = (late.packet().unwrap(), late.packet().unwrap()) else {
        panic!("the clock is not told before the first packet");
    };
    let packet = Packet::parse(&packet).unwrap();
    let info = RtpInfo::parse(played.fields.first("RTP-Info").unwrap());
    assert_eq!((info[0].sequence, info[0].rtp_time), (Some(packet.sequence()), Some(packet.timestamp())));
    let report = Compound::parse(&report, Rules::Compound).unwrap();
    let Some(rtcp::Packet::SenderReport { info, .. }) = report.packets().next() else { panic!("{report:?}") };
    let since = f64::from(info.timestamp.wrapping_sub(packet.timestamp())) / 90_000.0;
    assert!((60.0 / 25.0..25.0).contains(&since), "the keyframe is said to be {since} s old");

    let (mut late, _) = Player::play(server.rtsp(), "cam");
    let mut screen = Screen::new();
    let pictures: Vec<_> = (0..50).map(|_| screen.picture(&mut late).unwrap()).collect();
    assert!(pictures[0].key, "it begins with a keyframe");
    assert_eq!(screen.missing, 0);
    let apart = |pair: &[_]| -> u32 {
        let [one, other]: &[ocelli_proto::rtp::nal::AccessUnit; 2] = pair.try_into().unwrap();
        other.timestamp.wrapping_sub(one.timestamp)
    };
    assert!(pictures.windows(2).all(|pair| apart(pair) == 3600), "one line, at the pictures' own pace");
    // Fifty pictures are two seconds; these were there already.
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    drop((first, late));
    server.stop();
}

#[test]
fn a_slow_reader_loses_whole_groups_of_pictures_and_nobody_else_any() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let server = with_film(&directory, 25);
    let (mut slow, _) = Player::play(server.rtsp(), "cam");
    rustix::net::sockopt::set_socket_recv_buffer_size(slow.socket(), 8 << 10).unwrap();
    let (mut quick, _) = Player::play(server.rtsp(), "cam");
    let quick = std::thread::spawn(move || {
        let mut screen = Screen::new();
        for _ in 0..200 {
            screen.picture(&mut quick).unwrap();
        }
        screen.missing
    });
    let mut screen = Screen::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut gaps = 0;
    while gaps < 2 {
        assert!(Instant::now() < deadline, "it lost {} packets in {gaps} gaps", screen.missing);
        let before = screen.missing;
        // A picture that is torn would panic.
        let picture = screen.picture(&mut slow).unwrap();
        if screen.missing > before {
            gaps += 1;
            assert!(picture.key, "behind a gap stands a keyframe");
        }
        std::thread::sleep(Duration::from_millis(150));
    }
    assert_eq!(quick.join().unwrap(), 0, "the quick one lost packets");
    let slow = readers(&server).into_iter().find(|reader| reader["skipped"].as_u64() > Some(0));
    assert!(slow.is_some(), "what was left out is counted");
}

#[test]
fn who_reads_nothing_is_closed_with_the_reason_and_the_others_play_on() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let server = with_film(&directory, 25);
    let (stalled, _) = Player::play(server.rtsp(), "cam");
    let (mut other, _) = Player::play(server.rtsp(), "cam");
    let mut screen = Screen::new();
    let begun = Instant::now();
    while readers(&server).len() > 1 {
        screen.picture(&mut other).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(60), "still there");
    }
    assert!(begun.elapsed() > Duration::from_secs(9), "closed after {:?}", begun.elapsed());
    until("the log says why", || server.log().contains("the client read nothing for 10 s"));
    assert_eq!(screen.missing, 0);
    drop((stalled, other));
    server.stop();
}

#[test]
fn one_connection_describes_plays_pauses_and_ends_again_and_again() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let server = with_film(&directory, 25);
    let mut player = Player::connect(server.rtsp());
    for _ in 0..3 {
        assert_eq!(player.ask("DESCRIBE", "cam", "").status, 200);
        assert_eq!(player.ask("DESCRIBE", "steady", "").status, 200);
        assert_eq!(player.set_up("cam").status, 200);
        for _ in 0..2 {
            assert_eq!(player.ask("PLAY", "cam", "").status, 200);
            assert!(Screen::new().picture(&mut player).unwrap().key);
            assert_eq!(player.ask("GET_PARAMETER", "cam", "").status, 200);
            assert_eq!(player.ask("PLAY", "cam", "").status, 200, "as a sign of life");
            assert_eq!(player.ask("PAUSE", "cam", "").status, 200);
            player.forget_packets();
        }
        assert_eq!(player.ask("TEARDOWN", "cam", "").status, 200);
        assert_eq!(readers(&server), Vec::<serde_json::Value>::new(), "its place is free");
        player.session.clear();
    }
    server.stop();
}

#[test]
fn jpegs_of_a_lost_camera_are_notices_and_its_readers_stay() {
    let picture = crate::server::picture("baseline.jpg");
    let camera =
        format!("cam=exec:sh -c 'for i in 1 2 3 4 5 6 7 8; do cat {picture}; sleep 0.1; done; exit 3'");
    let server = Server::start(&["--camera", &camera, "--camera", STEADY]);
    server.until_state("cam", "ready");
    let (mut player, [described, ..]) = Player::play(server.rtsp(), "cam");
    assert!(String::from_utf8_lossy(&described.body).contains("m=video 0 RTP/AVP 26\r\n"));
    server.until_state("cam", "lost");
    server.until_state("cam", "ready");
    // Of the first run, of the notices and of the second run: one line of numbers.
    let mut timestamps = Vec::new();
    while timestamps.len() < 12 {
        let (channel, packet) = player.packet().unwrap();
        if channel != 0 {
            continue;
        }
        let packet = Packet::parse(&packet).unwrap();
        if timestamps.last() != Some(&packet.timestamp()) {
            timestamps.push(packet.timestamp());
        }
    }
    assert!(timestamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) < 1 << 31), "{timestamps:?}");
    server.stop();
}

#[test]
fn a_camera_that_comes_to_be_coded_otherwise_has_to_be_described_again() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let [first, then] = ["libx264", "libx265"].map(|encoder| film(&directory, encoder, 25));
    let again = directory.path().join("again");
    let again = again.to_str().unwrap();
    let script =
        format!("if [ -e {again} ]; then cat {then}; sleep 60; else cat {first}; sleep 2; touch {again}; fi");
    let server = Server::start(&["--camera", &format!("cam=exec:sh -c '{script}'"), "--camera", STEADY]);
    server.until_state("cam", "ready");
    let mut waiting = Player::connect(server.rtsp());
    assert_eq!(waiting.ask("DESCRIBE", "cam", "").status, 200);
    assert_eq!(waiting.set_up("cam").status, 200);
    let (mut playing, _) = Player::play(server.rtsp(), "cam");
    while playing.packet().is_some() {}
    until("the log says why", || server.log().contains("coded otherwise from here on"));
    let refused = waiting.ask("PLAY", "cam", "");
    assert_eq!(refused.status, 415);
    assert!(refused.reason.contains("describe it again"), "{}", refused.reason);
    let described = waiting.ask("DESCRIBE", "cam", "");
    assert!(String::from_utf8_lossy(&described.body).contains("H265/90000"));
    server.stop();
}
