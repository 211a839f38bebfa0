//! RTP push: pictures of a running server arrive whole at plain sockets and at FFmpeg, whatever happens to the target.

mod traffic_class;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ocelli_proto::rtp::Packet;
use ocelli_proto::rtp::jpeg::{Depacketiser, File, PAYLOAD_TYPE};
use serde_json::Value;

use crate::client::size;
use crate::processes::{SOON, until};
use crate::server::{STEADY, Server, picture};

/// A receiver of JPEG in RTP.
pub(crate) struct Receiver {
    socket: UdpSocket,
    depacketiser: Depacketiser,
    /// What the last packet was called.
    ssrc: u32,
    sequence: Option<u16>,
    longest: usize,
    from: Option<SocketAddr>,
    /// The traffic class of the last datagram, where the socket tells it.
    traffic_class: Option<u8>,
}

/// A picture that came, and when the sender says that it was taken.
pub(crate) struct Picture {
    pub(crate) file: File,
    timestamp: u32,
}

impl Receiver {
    pub(crate) fn bind(address: &str) -> Self {
        Self::new(UdpSocket::bind(address).unwrap())
    }

    fn new(socket: UdpSocket) -> Self {
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let depacketiser = Depacketiser::new(1 << 20);
        Self { socket, depacketiser, ssrc: 0, sequence: None, longest: 0, from: None, traffic_class: None }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// The address for `push`, with `parameters`.
    pub(crate) fn push(&self, parameters: &str) -> String {
        format!("rtp://{}{parameters}", self.address())
    }

    /// The next picture, which must come soon and with no packet missing.
    pub(crate) fn next(&mut self) -> Picture {
        let deadline = Instant::now() + SOON;
        let mut datagram = [0; 65_536];
        while Instant::now() < deadline {
            let Ok((length, from, class)) = traffic_class::receive(&self.socket, &mut datagram) else {
                continue;
            };
            self.traffic_class = class;
            let packet = Packet::parse(&datagram[..length]).unwrap();
            assert_eq!(packet.payload_type(), PAYLOAD_TYPE);
            let expected = self.sequence.replace(packet.sequence()).map(|last| last.wrapping_add(1));
            assert!(expected.is_none_or(|expected| expected == packet.sequence()), "a packet is missing");
            (self.ssrc, self.from) = (packet.ssrc(), from);
            self.longest = self.longest.max(length);
            // The first picture may be one whose beginning came before the socket was there.
            if let Ok(Some(file)) = self.depacketiser.push(&packet) {
                return Picture { timestamp: packet.timestamp(), file };
            }
        }
        panic!("no picture came within {SOON:?}");
    }
}

/// The pixels of a JPEG.
fn pixels(jpeg: &[u8]) -> Vec<u8> {
    turbojpeg::decompress(jpeg, turbojpeg::PixelFormat::RGB).unwrap().pixels
}

/// What `/stats` says of a camera's first target.
pub(crate) fn push_of(server: &Server, camera: &str) -> Value {
    server.stats_of(camera)["push"][0].clone()
}

fn camera(source: &str, push: &str) -> Server {
    Server::configured(&format!("[cameras.cam]\nsource = \"{source}\"\npush = [{push}]\n"))
}

/// A source of one of the real JPEGs, as often as a camera gives them.
fn repeated(name: &str) -> String {
    format!("file:{}?fps=20&loop=1", picture(name))
}

#[test]
fn every_jpeg_that_can_be_carried_arrives_with_its_pixels() {
    for (name, done) in [
        ("baseline.jpg", "as_is"),
        ("restart.jpg", "as_is"),
        ("optimised.jpg", "recoded"),
        ("ffmpeg-yuv422.jpg", "reordered"),
    ] {
        let mut receiver = Receiver::bind("127.0.0.1:0");
        let server = camera(&repeated(name), &format!("\"{}\"", receiver.push("?mtu=700")));
        let original = pixels(&std::fs::read(picture(name)).unwrap());
        for _ in 0..5 {
            assert!(pixels(&receiver.next().file.data) == original, "{name}");
        }
        assert!(receiver.longest > 576 && receiver.longest <= 672, "{} bytes in a packet", receiver.longest);
        // A picture may come before the sender has counted it.
        until(done, || push_of(&server, "cam")["done"][done].as_u64() >= Some(5));
        let push = push_of(&server, "cam");
        assert_eq!(push["state"], "sending", "{push}");
        assert_eq!((push["dropped"].as_u64(), push["cause"].as_str()), (Some(0), None), "{push}");
        assert_eq!(push["ssrc"], receiver.ssrc);
        assert_eq!(push["local_address"], receiver.from.unwrap().to_string());
        server.stop();
    }
}

#[test]
fn timestamps_tell_when_pictures_were_taken() {
    let mut receiver = Receiver::bind("127.0.0.1:0");
    let server = camera("pattern:?width=64&height=48&fps=20", &format!("\"{}\"", receiver.push("")));
    let first = receiver.next().timestamp;
    let began = Instant::now();
    let late: Vec<f64> = (0..60)
        .map(|_| {
            let told = f64::from(receiver.next().timestamp.wrapping_sub(first)) / 90_000.0;
            began.elapsed().as_secs_f64() - told
        })
        .collect();
    // Some of twenty are not held up on their way, by a busy machine either.
    let least = |late: &[f64]| late.iter().copied().fold(f64::MAX, f64::min);
    let (early, later) = (least(&late[..20]), least(&late[40..]));
    assert!((early - later).abs() < 0.25, "{early} s late, and {later} s two seconds later");
    server.stop();
}

#[test]
fn ipv6_and_the_whole_packet_within_the_mtu() {
    let mut receiver = Receiver::bind("[::1]:0");
    let server = camera(&repeated("baseline.jpg"), &format!("\"{}\"", receiver.push("?mtu=700&dscp=34")));
    traffic_class::tell(&receiver.socket);
    receiver.next();
    receiver.next();
    assert!(receiver.longest <= 652, "{} bytes in a packet", receiver.longest);
    assert_eq!(receiver.traffic_class, Some(34 << 2));
    assert_eq!(push_of(&server, "cam")["address"], receiver.address().to_string());
    server.stop();
}

#[test]
fn multicast_with_its_traffic_class() {
    let group = Ipv4Addr::new(239, 77, 1, (std::process::id() % 250) as u8 + 1);
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    let mut receiver = Receiver::new(socket);
    traffic_class::tell(&receiver.socket);
    let port = receiver.address().port();
    let push =
        format!("\"rtp://{group}:{port}?interface=127.0.0.1&ttl=2&dscp=46&ssrc=0xABCDEF01&local_port=0\"");
    let server = camera(&repeated("optimised.jpg"), &push);
    let original = pixels(&std::fs::read(picture("optimised.jpg")).unwrap());
    assert!(pixels(&receiver.next().file.data) == original);
    assert_eq!((receiver.ssrc, receiver.traffic_class), (0xABCD_EF01, Some(46 << 2)));
    server.stop();
}

#[test]
fn a_receiver_that_goes_and_comes_back_sees_pictures_at_once() {
    let mut receiver = Receiver::bind("127.0.0.1:0");
    let address = receiver.address();
    let server = camera(&repeated("baseline.jpg"), &format!("\"{}\"", receiver.push("")));
    receiver.next();
    drop(receiver);
    until("the host refuses packets", || push_of(&server, "cam")["refused_by_host"].as_u64() > Some(3));
    let push = push_of(&server, "cam");
    assert!(push["cause"].as_str().unwrap().contains("nobody listens"), "{push}");
    assert_eq!((push["state"].as_str(), push["dropped"].as_u64()), (Some("sending"), Some(0)), "{push}");
    let mut receiver = Receiver::bind(&address.to_string());
    let began = Instant::now();
    receiver.next();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    until("it is no longer refused", || push_of(&server, "cam")["cause"].is_null());
    assert_eq!(server.log().matches("nobody listens").count(), 1, "{}", server.log());
    server.stop();
}

#[test]
fn a_slow_target_holds_up_no_other() {
    let (mut fast, slow) = (Receiver::bind("127.0.0.1:0"), Receiver::bind("127.0.0.1:0"));
    let push = format!("\"{}\", \"{}\"", slow.push("?pace=8000"), fast.push(""));
    let server = camera("pattern:?width=640&height=480&fps=20", &push);
    fast.next();
    let given = || server.stats_of("cam")["frames"].as_u64().unwrap();
    let before = given();
    (0..40).for_each(|_| drop(fast.next()));
    let given = given() - before;
    assert!(given <= 60, "40 pictures of {given}");
    let pushes = server.stats_of("cam")["push"].clone();
    assert!(pushes[0]["dropped_by_reason"]["behind"].as_u64() > Some(10), "{pushes}");
    assert!(pushes[1]["pictures"].as_u64() >= Some(40), "{pushes}");
    server.stop();
}

#[test]
fn what_cannot_be_carried_is_refused_with_the_reason_once() {
    let receiver = Receiver::bind("127.0.0.1:0");
    let push = receiver.push("");
    let source = repeated("progressive.jpg");
    let server = Server::configured(&format!(
        "[rtp]\nreencode = \"never\"\n[cameras.cam]\nsource = \"{source}\"\npush = \"{push}\"\n"
    ));
    let refused = || push_of(&server, "cam")["dropped_by_reason"]["refused"].as_u64();
    until("pictures are refused", || refused() > Some(5));
    let push = push_of(&server, "cam");
    let why = "RTP/JPEG cannot carry progressive coding, only baseline (RFC 2435)";
    assert_eq!((push["refused"].as_str(), push["packets"].as_u64()), (Some(why), Some(0)), "{push}");
    assert_eq!(server.log().matches("RTP/JPEG cannot carry").count(), 1, "{}", server.log());
    server.stop();
}

#[test]
fn a_target_without_an_address_waits_and_says_why() {
    let server = camera("pattern:?width=64&height=48&fps=20", "\"rtp://no.such.host.invalid:5000\"");
    until("its pictures are left out", || {
        push_of(&server, "cam")["dropped_by_reason"]["unreachable"].as_u64() > Some(5)
    });
    let push = push_of(&server, "cam");
    assert_eq!((push["state"].as_str(), push["address"].as_str()), (Some("waiting"), None), "{push}");
    assert!(
        push["cause"].as_str().unwrap().contains("no.such.host.invalid:5000 cannot be looked up"),
        "{push}"
    );
    assert_eq!(server.stats_of("cam")["state"], "ready");
    server.stop();
}

#[test]
fn pushing_is_watching_and_a_lost_camera_sends_its_notice() {
    let (mut watched, mut lost) = (Receiver::bind("127.0.0.1:0"), Receiver::bind("127.0.0.1:0"));
    let server = Server::configured(&format!(
        "[cameras.asleep]\nsource = \"pattern:?width=160&height=120&fps=10\"\non_demand = true\npush = \"{}\"\n\
         [cameras.gone]\nsource = \"exec:false\"\npush = \"{}\"\n",
        watched.push(""),
        lost.push("")
    ));
    assert_eq!(size(&watched.next().file.data).to_string(), "160x120");
    assert_eq!(server.stats_of("asleep")["state"], "ready");
    let first = lost.next();
    assert_eq!(first.file.size.to_string(), "640x480");
    let apart = f64::from(lost.next().timestamp.wrapping_sub(first.timestamp)) / 90_000.0;
    assert!((0.5..5.0).contains(&apart), "{apart} s between two notices");
    // A notice is a picture that was sent, and says nothing of the camera's latency.
    assert!(push_of(&server, "gone")["latency_p50_ms"].is_null());
    server.stop();
}

/// A file of the RTP senders that came before, as it stands but for the devices and the ports.
#[test]
fn both_cameras_of_a_predecessors_file_are_sent_as_it_says() {
    let (mut first, mut second) = (Receiver::bind("127.0.0.1:0"), Receiver::bind("127.0.0.1:0"));
    let server = Server::configured(&format!(
        r#"
[mjpeg-rtp]
enabled = true
mtu = 1200
dscp = 46
stats_interval_seconds = 1

[mjpeg-rtp.camera1]
enabled = true
device = "pattern:?width=320&height=240&fps=20"
width = 1280
height = 720
fps = 30
quality = 85
dest_host = "127.0.0.1"
dest_port = {}
local_port = 0
ssrc = 0x12345678

[mjpeg-rtp.camera2]
enabled = true
device = "pattern:?width=640&height=480&fps=20"
quality = 70
dest_host = "localhost"
dest_port = {}
local_port = 0
ssrc = 305419897
"#,
        first.address().port(),
        second.address().port(),
    ));
    for (receiver, name, pixels, ssrc) in
        [(&mut first, "camera1", "320x240", 0x1234_5678), (&mut second, "camera2", "640x480", 0x1234_5679)]
    {
        traffic_class::tell(&receiver.socket);
        receiver.next();
        assert_eq!(receiver.next().file.size.to_string(), pixels, "{name}");
        assert_eq!((receiver.ssrc, receiver.traffic_class), (ssrc, Some(46 << 2)), "{name}");
        assert!((900..=1172).contains(&receiver.longest), "{name}: {} bytes in a packet", receiver.longest);
    }
    until("the log has statistics of both and their sum", || {
        let log = server.log();
        let of = |camera: &str| {
            log.lines().any(|line| line.contains("statistics of RTP push") && line.contains(camera))
        };
        of("camera1") && of("camera2") && log.contains("statistics of all cameras")
    });
    assert!(!server.log().contains("not there yet"), "{}", server.log());
    server.stop();
}

#[test]
fn a_target_is_watched_by_viewers_as_well_and_costs_them_nothing() {
    let mut receiver = Receiver::bind("127.0.0.1:0");
    let steady = STEADY.split_once('=').unwrap().1;
    let server = camera(steady, &format!("\"{}\"", receiver.push("")));
    let mut viewer = server.watch("cam");
    for _ in 0..5 {
        assert_eq!(size(&viewer.next().data).to_string(), "160x120");
        receiver.next();
    }
    server.stop();
}
