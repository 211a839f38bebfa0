//! RTCP between the server and receivers of its RTP push: reports both ways, and what loss does to what is sent.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use ocelli_proto::rtcp::{Compound, Packet as RtcpPacket, ReceiverSession, ReceiverSetup, Rules};
use ocelli_proto::rtp::Packet;
use serde_json::Value;

use crate::client::Viewer;
use crate::processes::until;
use crate::server::Server;

/// Loss lowers step by step and rises again step by step, several seconds each.
const PATIENCE: Duration = Duration::from_secs(180);
const VIDEO: NonZeroU32 = NonZeroU32::new(90_000).unwrap();

/// A free port with a free one above it.
pub(crate) fn pair() -> (UdpSocket, UdpSocket) {
    for _ in 0..100 {
        let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = rtp.local_addr().unwrap().port();
        if port.is_multiple_of(2)
            && let Ok(rtcp) = UdpSocket::bind(("127.0.0.1", port + 1))
        {
            return (rtp, rtcp);
        }
    }
    panic!("no two ports are free");
}

/// A receiver behind a relay that loses packets.
pub(crate) struct Receiver {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    session: ReceiverSession,
    began: Instant,
    /// The part of the packets that the relay loses, in both directions.
    pub(crate) loss: f64,
    random: Box<dyn FnMut() -> f64>,
    /// Where the server's reports come from.
    server: Option<SocketAddr>,
    /// Where to report to instead.
    group: Option<SocketAddr>,
    /// Timestamps of the pictures that came.
    timestamps: Vec<u32>,
    left: bool,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self::by(pair(), 0x0BAD_CAFE)
    }

    fn by((rtp, rtcp): (UdpSocket, UdpSocket), ssrc: u32) -> Self {
        rtp.set_nonblocking(true).unwrap();
        rtcp.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let mut state = 7_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let setup = ReceiverSetup {
            ssrc,
            cname: format!("receiver {ssrc}"),
            rate: VIDEO,
            unicast: true,
            keyframe_wait: Duration::from_millis(500),
        };
        Self {
            rtp,
            rtcp,
            session: ReceiverSession::new(Duration::ZERO, setup, &mut random),
            began: Instant::now(),
            loss: 0.0,
            random: Box::new(random),
            server: None,
            group: None,
            timestamps: Vec::new(),
            left: false,
        }
    }

    pub(crate) fn push(&self, parameters: &str) -> String {
        format!("rtp://{}{parameters}", self.rtp.local_addr().unwrap())
    }

    /// Takes what came and reports what is due.
    fn run(&mut self) {
        let mut datagram = [0; 65_536];
        while let Ok(length) = self.rtp.recv(&mut datagram) {
            let packet = Packet::parse(&datagram[..length]).unwrap();
            let now = self.began.elapsed();
            if self.session.sender_ssrc() != Some(packet.ssrc()) {
                self.session.started(now, packet.ssrc(), &mut self.random);
            }
            if (self.random)() >= self.loss {
                self.session.packet(now, packet.ssrc(), packet.sequence(), packet.timestamp(), length);
            }
            if self.timestamps.last() != Some(&packet.timestamp()) {
                self.timestamps.push(packet.timestamp());
            }
        }
        if let Ok((length, from)) = self.rtcp.recv_from(&mut datagram) {
            let compound = Compound::parse(&datagram[..length], Rules::Compound).unwrap();
            if let Some(RtcpPacket::SenderReport { .. }) = compound.packets().next() {
                self.server = Some(from);
            }
            let heard = self.session.datagram(self.began.elapsed(), &datagram[..length], &mut self.random);
            self.left |= heard.unwrap().left;
        }
        let mut out = Vec::new();
        if let Some(server) = self.server
            && self.session.poll(self.began.elapsed(), &mut self.random, &mut out)
            && (self.random)() >= self.loss
        {
            self.rtcp.send_to(&out, self.group.unwrap_or(server)).unwrap();
        }
    }

    /// Runs until what `/stats` says of the target is as wanted.
    fn run_until(&mut self, what: &str, server: &Server, mut condition: impl FnMut(&Value) -> bool) -> Value {
        self.run_until_camera(what, server, |camera| condition(&camera["push"][0]))["push"][0].clone()
    }

    /// Runs until what `/stats` says of the camera `cam` is as wanted.
    pub(crate) fn run_until_camera(
        &mut self,
        what: &str,
        server: &Server,
        mut condition: impl FnMut(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asked = Instant::now();
            while asked.elapsed() < Duration::from_millis(200) {
                self.run();
            }
            // Packets that wait too long for being read would be lost.
            let camera = std::thread::scope(|scope| {
                let answered = scope.spawn(|| server.stats_of("cam"));
                while !answered.is_finished() {
                    self.run();
                }
                answered.join().unwrap()
            });
            if condition(&camera) {
                return camera;
            }
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}: {camera}");
        }
    }
}

fn push_of(server: &Server) -> Value {
    server.stats_of("cam")["push"][0].clone()
}

fn camera(push: &str) -> Server {
    let source = "pattern:?width=320&height=240&fps=30";
    Server::configured(&format!("[cameras.cam]\nsource = \"{source}\"\npush = [\"{push}\"]\n"))
}

fn adapted(push: &Value) -> u64 {
    push["dropped_by_reason"]["adapted"].as_u64().unwrap()
}

#[test]
fn reports_go_both_ways_and_tell_when_pictures_were_taken() {
    let mut receiver = Receiver::new();
    let server = camera(&receiver.push(""));
    let mut viewer = Viewer::open(server.address(), "/cameras/cam/stream", "");
    let push = receiver.run_until("the receiver's reports come", &server, |push| {
        push["rtcp"]["round_trip_ms"].is_number() && push["rtcp"]["reports"].as_u64() >= Some(2)
    });
    let rtcp = &push["rtcp"];
    assert_eq!(
        (&rtcp["receivers"], &rtcp["loss"], &rtcp["contradictory"]),
        (&1.into(), &0.0.into(), &0.into())
    );
    assert!(rtcp["round_trip_ms"].as_f64() < Some(500.0), "{rtcp}");
    assert!(rtcp["jitter_ms"].as_f64() < Some(500.0), "{rtcp}");
    assert!(rtcp["reports_sent"].as_u64() >= Some(1), "{rtcp}");
    assert_eq!((push["rate"].as_f64(), adapted(&push)), (Some(1.0), 0), "{push}");

    // The same pictures, by the time that HTTP says they were taken.
    let begin = receiver.timestamps.len();
    let deadline = Instant::now() + Duration::from_secs(3);
    let mut taken = Vec::new();
    while Instant::now() < deadline {
        receiver.run();
        taken.extend(
            viewer.next_before(Instant::now() + Duration::from_millis(5)).and_then(|part| part.timestamp),
        );
    }
    let mut same = 0;
    for timestamp in &receiver.timestamps[begin..] {
        let captured = receiver.session.captured(*timestamp).unwrap();
        let captured = captured.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let nearest = taken.iter().map(|taken| taken.abs_diff(captured)).min().unwrap();
        same += usize::from(nearest < Duration::from_millis(1));
    }
    assert!(same > 30, "{same} of {} pictures", receiver.timestamps.len() - begin);

    receiver.session.want_keyframe(receiver.began.elapsed(), &mut || 0.5);
    receiver.run_until("a keyframe is asked for", &server, |push| {
        push["rtcp"]["keyframes_asked"].as_u64() >= Some(1)
    });
    receiver.session.keyframe_came();

    // Another host's datagrams, and what is no RTCP, change nothing.
    let stranger = UdpSocket::bind("127.0.0.2:0").unwrap();
    stranger.send_to(b"no report", receiver.server.unwrap()).unwrap();
    receiver.rtcp.send_to(b"no report", receiver.server.unwrap()).unwrap();
    receiver.run_until("strangers are counted", &server, |push| push["rtcp"]["strangers"] == 2);

    server.stop();
    until("the server says farewell", || {
        receiver.run();
        receiver.left
    });
}

#[test]
fn loss_lowers_the_rate_which_rises_again_when_it_ends() {
    let mut receiver = Receiver::new();
    let server = camera(&receiver.push("?mtu=700&min_fps=10"));
    receiver.run_until("reports come", &server, |push| push["rtcp"]["receivers"] == 1);
    receiver.loss = 0.2;
    let push = receiver.run_until("the rate is the least", &server, |push| {
        push["rate"].as_f64().is_some_and(|rate| rate < 0.34)
    });
    assert!(push["rtcp"]["loss"].as_f64() > Some(0.05), "{push}");
    let (before, dropped) = (push["pictures"].as_u64().unwrap(), adapted(&push));
    assert!(dropped > 0, "{push}");
    let began = Instant::now();
    let push =
        receiver.run_until("a while has passed", &server, |_| began.elapsed() > Duration::from_secs(4));
    assert!((0.33..0.34).contains(&push["rate"].as_f64().unwrap()), "10 of 30 pictures are left: {push}");
    let sent = (push["pictures"].as_u64().unwrap() - before) as f64;
    let left_out = (adapted(&push) - dropped) as f64;
    assert!((1.7..2.3).contains(&(left_out / sent)), "two of three are left out: {left_out} to {sent}");

    receiver.loss = 0.0;
    let push = receiver.run_until("the rate is whole again", &server, |push| push["rate"] == 1.0);
    let dropped = adapted(&push);
    let began = Instant::now();
    let push =
        receiver.run_until("a while has passed", &server, |_| began.elapsed() > Duration::from_secs(2));
    assert_eq!(adapted(&push), dropped, "{push}");
    let log = server.log();
    for words in ["% loss: every third picture is sent", "more is sent again: every picture is sent"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert!(log.matches("% loss: ").count() < 10, "{log}");
    server.stop();
}

#[test]
fn loss_lowers_the_quality_where_the_rate_may_not_fall() {
    let mut receiver = Receiver::new();
    let server = camera(&receiver.push("?mtu=700&min_fps=30&min_quality=50"));
    receiver.run_until("reports come", &server, |push| push["rtcp"]["receivers"] == 1);
    receiver.loss = 0.2;
    let push = receiver.run_until("the quality is the least", &server, |push| push["quality"] == 50);
    assert_eq!((push["rate"].as_f64(), adapted(&push)), (Some(1.0), 0), "{push}");
    let began = push["done"]["reencoded"].as_u64();
    receiver.run_until("pictures are encoded anew", &server, |push| {
        push["done"]["reencoded"].as_u64() > began && push["reencoded"] == "the quality is lowered to 50"
    });
    receiver.loss = 0.0;
    receiver.run_until("pictures go as they are", &server, |push| {
        push["quality"].is_null() && push["reencoded"].is_null()
    });
    server.stop();
}

/// One that reports to the whole group, as RFC 3550 has it, and one that reports to the sender alone.
#[test]
fn receivers_of_a_group_are_heard_wherever_they_report_to() {
    let group = Ipv4Addr::new(239, 77, 2, (std::process::id() % 250) as u8 + 1);
    let port = pair().0.local_addr().unwrap().port();
    let socket = |port| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        socket.bind(&SocketAddr::from((group, port)).into()).unwrap();
        socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        UdpSocket::from(socket)
    };
    let mut receivers = [1, 2].map(|ssrc| Receiver::by((socket(port), socket(port + 1)), ssrc));
    receivers[0].group = Some((group, port + 1).into());
    let server = camera(&format!("rtp://{group}:{port}?interface=127.0.0.1"));
    let [to_all, to_one] = &mut receivers;
    // Reports to the group come to each of its members, so each knows the server by its report alone.
    to_one.run_until("both are heard", &server, |push| {
        to_all.run();
        push["rtcp"]["receivers"] == 2
    });
    server.stop();
}

#[test]
fn without_rtcp_nothing_is_reported() {
    let mut receiver = Receiver::new();
    let server = camera(&receiver.push("?rtcp=0"));
    let push = receiver.run_until("pictures come", &server, |push| push["pictures"].as_u64() > Some(20));
    assert!(push["rtcp"].is_null() && receiver.server.is_none(), "{push}");
    server.stop();
}

/// GStreamer's receiver, with its reports.
struct Gstreamer(Child);

impl Gstreamer {
    fn start(rtp_port: u16, server_rtcp_port: u16) -> Self {
        let pipeline = format!(
            "rtpbin name=b latency=100 \
             udpsrc address=127.0.0.1 port={rtp_port} \
             caps=application/x-rtp,media=video,encoding-name=JPEG,payload=26,clock-rate=90000 ! b.recv_rtp_sink_0 \
             b. ! rtpjpegdepay ! fakesink \
             udpsrc address=127.0.0.1 port={rtcp_port} ! b.recv_rtcp_sink_0 \
             b.send_rtcp_src_0 ! udpsink host=127.0.0.1 port={server_rtcp_port} sync=false async=false",
            rtcp_port = rtp_port + 1,
        );
        let mut command = Command::new("gst-launch-1.0");
        command.arg("-q").args(pipeline.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        Self(command.spawn().expect("GStreamer is installed"))
    }
}

impl Drop for Gstreamer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn gstreamer_reports_what_it_received() {
    let (rtp, rtcp) = pair();
    let port = rtp.local_addr().unwrap().port();
    drop((rtp, rtcp));
    let server = camera(&format!("rtp://127.0.0.1:{port}"));
    until("it sends", || push_of(&server)["state"] == "sending");
    let local: SocketAddr = push_of(&server)["local_address"].as_str().unwrap().parse().unwrap();
    let gstreamer = Gstreamer::start(port, local.port() + 1);
    until("GStreamer's reports come", || {
        let rtcp = &push_of(&server)["rtcp"];
        rtcp["receivers"] == 1 && rtcp["round_trip_ms"].is_number()
    });
    let rtcp = &push_of(&server)["rtcp"];
    assert!(rtcp["loss"].as_f64() < Some(0.05), "{rtcp}");
    assert!(rtcp["round_trip_ms"].as_f64() < Some(500.0), "{rtcp}");
    assert!(rtcp["jitter_ms"].as_f64() < Some(500.0), "{rtcp}");
    assert_eq!((&rtcp["contradictory"], &rtcp["strangers"]), (&0.into(), &0.into()), "{rtcp}");
    drop(gstreamer);
    server.stop();
}

/// What goes out is read by the rules for compound packets: a report first, and a name that no address is in.
#[test]
fn reports_are_compound_packets_with_a_random_name() {
    let receiver = Receiver::new();
    let server = camera(&receiver.push(""));
    let mut datagram = [0; 2000];
    receiver.rtcp.set_read_timeout(Some(crate::processes::SOON)).unwrap();
    let (length, _) = receiver.rtcp.recv_from(&mut datagram).unwrap();
    let compound = Compound::parse(&datagram[..length], Rules::Compound).unwrap();
    let packets: Vec<_> = compound.packets().collect();
    assert!(matches!(packets[0], RtcpPacket::SenderReport { .. }), "{packets:?}");
    let RtcpPacket::Description(mut names) = packets[1].clone() else { panic!("{packets:?}") };
    let (ssrc, name) = names.next().unwrap();
    assert_eq!(u64::from(ssrc), push_of(&server)["ssrc"].as_u64().unwrap());
    assert!(name.len() == 24 && name.iter().all(u8::is_ascii_hexdigit), "{name:?}");
    server.stop();
}
