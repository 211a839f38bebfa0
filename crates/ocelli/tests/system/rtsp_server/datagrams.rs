//! Readers whose packets travel by UDP: what they get, what they report, and what becomes of them.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use ocelli_proto::rtcp::{Compound, NtpTime, Packet as Rtcp, Rules, SenderInfo};
use ocelli_proto::rtp::Packet;
use ocelli_proto::rtsp::{Response, Transport};

use super::player::Player;
use super::with_film;
use crate::client::request;
use crate::processes::{self, SOON, until};
use crate::programs::{Running, directory, installed};
use crate::server::{Server, command};

/// A client's ports.
struct Ports {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl Ports {
    fn new(address: &str) -> Self {
        let open = || {
            let socket = UdpSocket::bind((address, 0)).unwrap();
            socket.set_read_timeout(Some(SOON)).unwrap();
            socket
        };
        Self { rtp: open(), rtcp: open() }
    }

    /// What SETUP offers.
    fn transport(&self) -> String {
        let [rtp, rtcp] = [&self.rtp, &self.rtcp].map(|socket| socket.local_addr().unwrap().port());
        format!("Transport: RTP/AVP;unicast;client_port={rtp}-{rtcp}\r\n")
    }

    fn packet(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 2000];
        let (length, from) = self.rtp.recv_from(&mut buffer).expect("a packet in time");
        buffer.truncate(length);
        (buffer, from)
    }

    /// The next report of a sender, and who sent it.
    fn sender_report(&self) -> (u32, SenderInfo) {
        let mut buffer = [0; 2000];
        loop {
            let length = self.rtcp.recv(&mut buffer).expect("a report in time");
            let compound = Compound::parse(&buffer[..length], Rules::Compound).unwrap();
            if let Some(Rtcp::SenderReport { ssrc, info, .. }) = compound.packets().next() {
                return (ssrc, info);
            }
        }
    }

    /// Whether the sender says farewell before long.
    fn hears_farewell(&self) -> bool {
        let mut buffer = [0; 2000];
        while let Ok(length) = self.rtcp.recv(&mut buffer) {
            let compound = Compound::parse(&buffer[..length], Rules::Compound).unwrap();
            if compound.packets().any(|packet| matches!(packet, Rtcp::Bye { .. })) {
                return true;
            }
        }
        false
    }

    /// Whether nothing more comes, with what was on its way passed over.
    fn falls_silent(&self) -> bool {
        self.rtp.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
        let deadline = Instant::now() + SOON;
        let mut silent = false;
        while !silent && Instant::now() < deadline {
            silent = self.rtp.recv(&mut [0; 2000]).is_err();
        }
        self.rtp.set_read_timeout(Some(SOON)).unwrap();
        silent
    }
}

/// A client that plays `cam` to `ports`, with the server's ports and the answer to PLAY.
fn play(server: SocketAddr, ports: &Ports) -> (Player, (u16, u16), Response) {
    let mut player = Player::connect(server);
    let set_up = player.ask("SETUP", "cam/trackID=0", &ports.transport());
    assert_eq!(set_up.status, 200, "{set_up:?}");
    let transport = Transport::parse(set_up.fields.first("Transport").unwrap()).unwrap();
    let played = player.ask("PLAY", "cam", "");
    assert_eq!(played.status, 200, "{played:?}");
    (player, transport.server_port.unwrap(), played)
}

/// A receiver's report of 5 packets lost, a quarter of the last, and a deviation of 10 ms; `highest` came last.
fn receiver_report(about: u32, highest: u16, last_report: NtpTime) -> Vec<u8> {
    let mut report = vec![0x81, 201, 0, 7];
    report.extend(0xABCD_u32.to_be_bytes());
    report.extend(about.to_be_bytes());
    report.extend([64, 0, 0, 5]);
    report.extend(u32::from(highest).to_be_bytes());
    report.extend(900_u32.to_be_bytes());
    report.extend(((last_report.0 >> 16) as u32).to_be_bytes());
    report.extend([0; 4]);
    report
}

#[test]
fn a_reader_by_udp_begins_at_a_keyframe_and_knows_the_clock() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let server = with_film(&directory, 100);
    let ports = Ports::new("127.0.0.1");
    let (_player, (rtp, rtcp), played) = play(server.rtsp(), &ports);
    assert_eq!((rtp % 2, rtcp), (0, rtp + 1));
    let (sender, info) = ports.sender_report();
    let (first, from) = ports.packet();
    assert_eq!(from, SocketAddr::new(server.rtsp().ip(), rtp));
    let first = Packet::parse(&first).unwrap();
    assert_eq!(first.ssrc(), sender);
    assert!(
        matches!(first.payload()[0] & 31, 6 | 7 | 24),
        "parameter sets come first: {:?}",
        first.payload()[0]
    );
    let info_field = played.fields.first("RTP-Info").unwrap();
    assert!(info_field.contains(&format!("seq={}", first.sequence())), "{info_field}");
    // The clock says when that picture was taken: within the group of pictures, up to now.
    let told = info.ntp.to_system_time().unwrap();
    let ahead = info.timestamp.wrapping_sub(first.timestamp());
    let captured = told - Duration::from_secs_f64(f64::from(ahead) / 90_000.0);
    let age = SystemTime::now().duration_since(captured).unwrap();
    assert!(age < Duration::from_secs(25), "{age:?}");
    let mut expected = first.sequence().wrapping_add(1);
    for _ in 0..1000 {
        let (packet, _) = ports.packet();
        assert_eq!(Packet::parse(&packet).unwrap().sequence(), expected);
        expected = expected.wrapping_add(1);
    }
    server.stop();
}

#[test]
fn what_a_reader_reports_is_shown_and_its_session_can_be_ended() {
    let server = Server::camera("pattern:?width=160&height=120&fps=20");
    let ports = Ports::new("127.0.0.1");
    let (mut player, (_, rtcp), _) = play(server.rtsp(), &ports);
    let (sender, info) = ports.sender_report();
    let (packet, _) = ports.packet();
    let highest = Packet::parse(&packet).unwrap().sequence();
    let to = SocketAddr::new(server.rtsp().ip(), rtcp);
    // A stranger's is not heard.
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&receiver_report(sender, highest, info.ntp), to).unwrap();
    let mut report = receiver_report(sender, highest, info.ntp);
    report.extend([0x81, 206, 0, 2]);
    report.extend(0xABCD_u32.to_be_bytes());
    report.extend(sender.to_be_bytes());
    ports.rtcp.send_to(&report, to).unwrap();
    until("the report is shown", || server.stats()["viewers"][0]["rtsp"]["reports"] == 1);
    let viewer = server.stats()["viewers"][0].clone();
    assert_eq!((viewer["kind"].as_str(), viewer["camera"].as_str()), (Some("rtsp-udp"), Some("cam")));
    let (rtsp, track) = (&viewer["rtsp"], &viewer["rtsp"]["tracks"][0]);
    assert_eq!((&track["track"], &track["loss"], &track["lost"]), (&0.into(), &0.25.into(), &5.into()));
    assert_eq!((&track["jitter_ms"], &rtsp["keyframes_asked"]), (&10.0.into(), &1.into()));
    assert!(track["round_trip_ms"].as_f64().unwrap() < 60_000.0, "{track}");
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    for line in [
        "ocelli_rtsp_loss_ratio{camera=\"cam\"} 0.25",
        "ocelli_rtsp_sessions{camera=\"cam\",kind=\"rtsp-udp\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }

    let listed = server.get("/api/v1/rtsp/sessions").json();
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
    let path = format!("/api/v1/rtsp/sessions/{}", listed["sessions"][0]["id"]);
    assert_eq!(server.get(&path).json()["address"], viewer["address"]);
    let delete = |path: &str, origin: &str| {
        let head = format!("DELETE {path} HTTP/1.1\r\nHost: test\r\n{origin}Connection: close\r\n\r\n");
        request(server.address(), &head)
    };
    assert_eq!(delete(&path, "Origin: https://elsewhere.example\r\n").status, 403);
    assert_eq!(delete("/api/v1/rtsp/sessions/999", "").status, 404);
    assert_eq!(delete("/api/v1/rtsp/sessions/none", "").status, 404);
    assert_eq!(delete(&path, "").status, 200);
    assert!(player.closes_within(SOON) && ports.hears_farewell());
    until("it is counted", || server.stats()["rtsp"]["sessions_ended"]["asked"] == 1);
    assert_eq!(server.get(&path).status, 404);
    server.stop();
}

#[test]
fn a_silent_reader_is_freed_in_time_and_one_that_reports_is_not() {
    let server = Server::configured(
        "[rtsp_server]\nsession_timeout_seconds = 1\n[cameras]\ncam = \"pattern:?width=160&height=120&fps=20\"\n",
    );
    let (silent, reporting) = (Ports::new("127.0.0.1"), Ports::new("127.0.0.1"));
    let (mut silent_player, ..) = play(server.rtsp(), &silent);
    let (_player, (_, rtcp), _) = play(server.rtsp(), &reporting);
    let (sender, info) = reporting.sender_report();
    let report = receiver_report(sender, 0, info.ntp);
    let to = SocketAddr::new(server.rtsp().ip(), rtcp);
    until("the silent one is freed", || {
        reporting.rtcp.send_to(&report, to).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        server.stats()["rtsp"]["sessions_ended"]["silent"] == 1
    });
    assert!(silent_player.closes_within(SOON) && silent.falls_silent());
    assert_eq!(server.stats()["viewers"].as_array().unwrap().len(), 1);
    assert!(server.log().contains("the session was silent for 1 s"), "{}", server.log());
    reporting.packet();
    server.stop();
}

#[test]
fn pause_stops_the_packets_play_goes_on_and_teardown_ends_them() {
    let server = Server::camera("pattern:?width=160&height=120&fps=20");
    let ports = Ports::new("127.0.0.1");
    let (mut player, ..) = play(server.rtsp(), &ports);
    ports.packet();
    assert_eq!(player.ask("PAUSE", "cam", "").status, 200);
    assert!(ports.falls_silent());
    assert_eq!(player.ask("PLAY", "cam", "").status, 200);
    ports.packet();
    assert_eq!(player.ask("TEARDOWN", "cam", "").status, 200);
    assert!(ports.falls_silent());
    until("it has left", || server.stats()["viewers"].as_array().unwrap().is_empty());
    // In the same connection, by the connection.
    player.session.clear();
    assert_eq!(player.set_up("cam").status, 200);
    assert_eq!(player.ask("PLAY", "cam", "").status, 200);
    assert!(player.packet().is_some());
    server.stop();
}

#[test]
fn readers_that_are_gone_or_have_lost_their_ports_hurt_no_other() {
    let server = Server::camera("pattern:?width=160&height=120&fps=20");
    let (gone, ports) = (Ports::new("127.0.0.1"), Ports::new("127.0.0.1"));
    let (_gone_player, ..) = play(server.rtsp(), &gone);
    drop(gone);
    let (mut first, ..) = play(server.rtsp(), &ports);
    let mut expected = None;
    for _ in 0..100 {
        let (packet, _) = ports.packet();
        let sequence = Packet::parse(&packet).unwrap().sequence();
        assert!(expected.is_none_or(|expected| expected == sequence));
        expected = Some(sequence.wrapping_add(1));
    }
    // Another session with the same ports is another program of the same machine.
    let (_second, ..) = play(server.rtsp(), &ports);
    assert!(first.closes_within(SOON));
    until("it is counted", || server.stats()["rtsp"]["sessions_ended"]["displaced"] == 1);
    ports.packet();
    server.stop();
}

#[test]
fn packets_travel_by_ipv6_too() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    let arguments = ["--port", "0", "--address", "127.0.0.1", "--rtsp", "[::1]:0"];
    let camera = ["--camera", "cam=pattern:?width=160&height=120&fps=20"];
    let server = Server::of(command().args(arguments).args(camera), None);
    let ports = Ports::new("::1");
    let (_player, (rtp, rtcp), _) = play(server.rtsp(), &ports);
    let (sender, info) = ports.sender_report();
    let (packet, from) = ports.packet();
    assert_eq!(from, SocketAddr::new(server.rtsp().ip(), rtp));
    let report = receiver_report(sender, Packet::parse(&packet).unwrap().sequence(), info.ntp);
    ports.rtcp.send_to(&report, SocketAddr::new(server.rtsp().ip(), rtcp)).unwrap();
    until("the report is shown", || server.stats()["viewers"][0]["rtsp"]["reports"] == 1);
    server.stop();
}

#[test]
fn a_killed_player_is_freed_and_a_living_one_reports() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let server = with_film(&directory, 25);
    let files = server.open_files();
    let url = format!("rtsp://{}/cam", server.rtsp());
    let player =
        Running::start(&directory, &format!("ffmpeg -v error -rtsp_transport udp -i {url} -f null -"));
    until("it reports", || server.stats()["viewers"][0]["rtsp"]["tracks"][0]["loss"].is_number());
    let client = server.stats()["viewers"][0]["rtsp"]["client"].as_str().unwrap().to_owned();
    assert!(client.starts_with("Lavf"), "{client}");
    drop(player);
    until("it is freed", || server.stats()["viewers"].as_array().unwrap().is_empty());
    // The server's own two ports stay open.
    until("nothing is left of it", || processes::open_files(server.id()) <= files + 2);
    server.stop();
}
