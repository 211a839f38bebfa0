//! RTP as a camera: FFmpeg, GStreamer and plain sockets send, and what they sent is what is shown, whatever else comes to the port.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use ocelli_media::jpeg::rewrite::Rewriter;
use ocelli_proto::rtcp::{Compound, Packet, Rules, SenderInfo, write};
use ocelli_proto::rtp::jpeg::{Burst, PAYLOAD_TYPE};
use ocelli_proto::rtp::{Header, Stamp, nal};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::processes::{SOON, eventually, signal, until};
use crate::server::{STEADY, Server, picture};

/// A program that a test started. Killed when it is dropped.
struct Program(Child);

impl Program {
    fn start(command: &str) -> Self {
        let mut words = command.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A sender of one JPEG, again and again.
struct Sender {
    socket: UdpSocket,
    to: SocketAddr,
    stamp: Stamp,
    burst: Burst,
}

impl Sender {
    fn new(to: SocketAddr, jpeg: &[u8], ssrc: u32) -> Self {
        let socket = UdpSocket::bind(if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
        Self::by(socket, to, jpeg, ssrc)
    }

    fn by(socket: UdpSocket, to: SocketAddr, jpeg: &[u8], ssrc: u32) -> Self {
        let (picture, _) = Rewriter::new().rewrite(&Bytes::copy_from_slice(jpeg)).unwrap();
        let stamp = Stamp { payload_type: PAYLOAD_TYPE, sequence: 65_500, timestamp: u32::MAX - 9000, ssrc };
        Self { socket, to, stamp, burst: Burst::new(&picture, 1200).unwrap() }
    }

    /// The packets of the next picture.
    fn packets(&mut self) -> Vec<Vec<u8>> {
        let mut headers = Vec::new();
        self.burst.stamp(self.stamp, &mut headers);
        self.stamp.sequence = self.stamp.sequence.wrapping_add(self.burst.packet_count() as u16);
        self.stamp.timestamp = self.stamp.timestamp.wrapping_add(4500);
        self.burst.packets(&headers).map(|(header, payload)| [header, payload].concat()).collect()
    }

    fn send(&mut self) {
        for packet in self.packets() {
            self.socket.send_to(&packet, self.to).unwrap();
        }
    }

    /// Sends 20 pictures a second for as long as `condition` does not hold.
    fn send_until(&mut self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + SOON;
        while !condition() {
            assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
            self.send();
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A JPEG of noise, of which the seed makes another one. Both sides are multiples of 16.
fn noise(seed: u32, subsamp: turbojpeg::Subsamp) -> Vec<u8> {
    let (width, height) = (320, 240);
    let mut state = seed;
    let pixels: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8 / 4 + (seed % 3) as u8 * 60
    })
    .take(3 * width * height)
    .collect();
    let image = turbojpeg::Image {
        pixels: &pixels[..],
        width,
        pitch: 3 * width,
        height,
        format: turbojpeg::PixelFormat::RGB,
    };
    turbojpeg::compress(image, 80, subsamp).unwrap().to_vec()
}

fn pixels(jpeg: &[u8]) -> Vec<u8> {
    turbojpeg::decompress(jpeg, turbojpeg::PixelFormat::RGB).unwrap().pixels
}

/// A server that listens on a free port, and that port's address.
fn receiving(source: &str) -> (Server, SocketAddr) {
    let server = Server::camera(source);
    let address = listens(&server, "cam");
    (server, address)
}

fn listens(server: &Server, camera: &str) -> SocketAddr {
    eventually("it listens", || server.stats_of(camera)["network"]["listens"].as_str()?.parse().ok())
}

fn network(server: &Server, what: &str) -> u64 {
    server.stats_of("cam")["network"][what].as_u64().unwrap()
}

/// Looks that the camera's picture has the pixels of `jpeg`.
fn shows(server: &Server, jpeg: &[u8]) {
    server.until_state("cam", "ready");
    let snapshot = server.get("/cameras/cam/snapshot");
    assert_eq!(snapshot.status, 200);
    assert!(pixels(&snapshot.body) == pixels(jpeg), "other pixels than were sent");
}

/// A film of the same picture, long enough for a test.
fn film(directory: &TempDir, jpeg: &[u8]) -> String {
    let file = directory.path().join("film.mjpeg");
    std::fs::write(&file, jpeg.repeat(600)).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_camera_that_is_pushed_to_its_own_port_does_not_take_its_notices_for_pictures() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"rtp://127.0.0.1:{port}?codec=jpeg\"\nsilence_timeout_seconds = 1\n\
         push = [\"rtp://127.0.0.1:{port}\"]\n"
    ));
    server.lost_for("cam", "this camera's own pictures");
    assert!(network(&server, "strange") > 0 && network(&server, "packets") == 0);
    assert_eq!(server.stats_of("cam")["frames"], 0);
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut sender = Sender::new(to, &noise(1, turbojpeg::Subsamp::Sub2x2), 7);
    sender.send_until("a sender is heard all the same", || server.stats_of("cam")["frames"] != 0);
}

#[test]
fn ffmpegs_jpegs_arrive_with_their_pixels() {
    for subsamp in [turbojpeg::Subsamp::Sub2x2, turbojpeg::Subsamp::Sub2x1] {
        let jpeg = noise(1, subsamp);
        let (server, address) = receiving("rtp://127.0.0.1:0");
        let directory = tempfile::tempdir().unwrap();
        let film = film(&directory, &jpeg);
        let _ffmpeg = Program::start(&format!(
            "ffmpeg -v error -re -framerate 20 -i {film} -c copy -f rtp rtp://{address}?pkt_size=1200"
        ));
        shows(&server, &jpeg);
        until("twenty pictures", || server.stats_of("cam")["frames"].as_u64() >= Some(20));
        let stats = server.stats_of("cam");
        assert_eq!(
            (stats["dropped"].as_u64(), stats["network"]["lost"].as_u64()),
            (Some(0), Some(0)),
            "{stats}"
        );
        assert_eq!((stats["codec"].as_str(), stats["width"].as_u64()), (Some("mjpeg"), Some(320)), "{stats}");
        server.stop();
    }
}

#[test]
fn gstreamers_jpegs_arrive_with_their_pixels() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain.jpg");
    std::fs::write(&plain, noise(2, turbojpeg::Subsamp::Sub2x2)).unwrap();
    for file in [plain.to_str().unwrap().to_owned(), picture("restart.jpg")] {
        let (server, address) = receiving("rtp://127.0.0.1:0");
        let _gstreamer = Program::start(&format!(
            "gst-launch-1.0 -q multifilesrc location={file} loop=true caps=image/jpeg,framerate=20/1 ! jpegparse ! \
             rtpjpegpay mtu=1000 ! udpsink host=127.0.0.1 port={}",
            address.port()
        ));
        shows(&server, &std::fs::read(&file).unwrap());
        server.stop();
    }
}

#[test]
fn a_sender_that_starts_again_is_shown_again_and_silence_is_told() {
    let (first, second) = (noise(3, turbojpeg::Subsamp::Sub2x2), noise(4, turbojpeg::Subsamp::Sub2x2));
    let server =
        Server::configured("[cameras.cam]\nsource = \"rtp://127.0.0.1:0\"\nsilence_timeout_seconds = 2\n");
    let address = listens(&server, "cam");
    server.lost_for("cam", &format!("no RTP packet came to {address} for 2 s"));
    Sender::new(address, &first, 7).send_until("the first", || server.stats_of("cam")["state"] == "ready");
    shows(&server, &first);
    let mut sender = Sender::new(address, &second, 8);
    sender.send_until("the second", || network(&server, "senders") == 2);
    let expected = pixels(&second);
    sender.send_until("its picture", || pixels(&server.get("/snapshot").body) == expected);
    server.lost_for("cam", "no RTP packet came");
    assert_eq!(listens(&server, "cam"), address, "the port stays");
    Sender::new(address, &first, 9).send_until("the third", || server.stats_of("cam")["state"] == "ready");
    server.stop();
}

#[test]
fn strangers_and_garbage_are_counted_and_never_shown() {
    let (own, foreign) = (noise(5, turbojpeg::Subsamp::Sub2x2), noise(6, turbojpeg::Subsamp::Sub2x2));
    let (server, address) = receiving("rtp://127.0.0.1:0?rtcp=0");
    let mut sender = Sender::new(address, &own, 7);
    sender.send_until("the sender's picture", || server.stats_of("cam")["state"] == "ready");
    let mut watching = server.watch("cam");
    // Another sender, one that takes the sender's name, and one that speaks another payload.
    let mut strangers = [
        Sender::new(address, &foreign, 8),
        Sender::new(address, &foreign, 7),
        Sender::new(address, &foreign, 9),
    ];
    strangers[2].stamp.payload_type = 96;
    let garbage = UdpSocket::bind("127.0.0.1:0").unwrap();
    let header = Header { marker: true, payload_type: 26, sequence: 9, timestamp: 1, ssrc: 7 }.to_bytes();
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[9; 12]].concat();
    for round in 0..40_u8 {
        sender.send();
        strangers.iter_mut().for_each(Sender::send);
        for bytes in [&[][..], b"hello", &stun, &header, &[0x80, 200, 0, 6, 0, 0, 0, 7], &[round; 60_000]] {
            garbage.send_to(bytes, address).unwrap();
        }
        // The sender's own packets, cut off.
        for mut packet in sender.packets() {
            packet.truncate(usize::from(round) + 1);
            sender.socket.send_to(&packet, address).unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let expected = pixels(&own);
    let pictures = watching.during(Duration::from_millis(500));
    assert!(pictures.len() > 5, "{}", pictures.len());
    for part in pictures {
        assert!(pixels(&part.data) == expected, "not the sender's picture");
    }
    until("they are counted", || network(&server, "strange") > 80 && network(&server, "unusable") > 120);
    assert_eq!(server.stats_of("cam")["network"]["sender"], sender.socket.local_addr().unwrap().to_string());
    server.stop();
}

#[test]
fn a_bad_network_costs_pictures_and_shows_no_damaged_one() {
    let jpeg = noise(7, turbojpeg::Subsamp::Sub2x2);
    let (server, address) = receiving("rtp://127.0.0.1:0?wait=20");
    let mut sender = Sender::new(address, &jpeg, 7);
    sender.send_until("a picture", || server.stats_of("cam")["state"] == "ready");
    let mut watching = server.watch("cam");
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24)
    };
    let mut lost = 0;
    for _ in 0..100 {
        let mut packets = sender.packets();
        packets.retain(|_| {
            random() >= 0.01 || {
                lost += 1;
                false
            }
        });
        for index in 1..packets.len() {
            if random() < 0.05 {
                packets.swap(index - 1, index);
            }
        }
        for packet in &packets {
            for _ in 0..if random() < 0.02 { 2 } else { 1 } {
                sender.socket.send_to(packet, address).unwrap();
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    sender.send();
    let expected = pixels(&jpeg);
    for part in watching.during(Duration::from_millis(300)) {
        assert!(pixels(&part.data) == expected, "a damaged picture");
    }
    until("the losses are counted", || network(&server, "lost") == lost);
    let stats = server.stats_of("cam");
    assert!(lost > 5 && stats["dropped_by_reason"]["lost"].as_u64() <= Some(lost), "{stats}");
    assert!(network(&server, "duplicate") > 5, "{stats}");
    assert_eq!(stats["dropped"], stats["dropped_by_reason"]["lost"], "{stats}");
    server.stop();
}

#[test]
fn what_came_while_the_server_had_no_time_is_taken_in_order() {
    let (server, address) = receiving("rtp://127.0.0.1:0?rtcp=0");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Pictures of one small packet each, so that the kernel keeps more of them than the server takes at once.
    let packet = |sequence: u16| {
        let timestamp = u32::from(sequence) * 3000;
        let header = Header { marker: true, payload_type: 26, sequence, timestamp, ssrc: 7 };
        [&header.to_bytes()[..], &[0, 0, 0, 0, 1, 50, 2, 2], &[0x55; 20]].concat()
    };
    let frames = |server: &Server| server.stats_of("cam")["frames"].as_u64().unwrap();
    for sequence in 0..2 {
        socket.send_to(&packet(sequence), address).unwrap();
    }
    until("two pictures", || frames(&server) == 2);
    signal(server.id(), Signal::STOP);
    for sequence in 2..500 {
        socket.send_to(&packet(sequence), address).unwrap();
    }
    signal(server.id(), Signal::CONT);
    until("all pictures", || frames(&server) == 500);
    assert_eq!(network(&server, "lost"), 0);
    server.stop();
}

#[test]
fn a_group_is_heard_by_two_cameras_of_one_machine() {
    let jpeg = noise(8, turbojpeg::Subsamp::Sub2x2);
    let (first, address) = receiving("rtp://239.77.13.1:0?interface=lo");
    let source = format!("rtp://{address}?interface=127.0.0.1&from=127.0.0.1");
    let second = Server::camera(&source);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let mut sender = Sender::by(socket.into(), address, &jpeg, 7);
    for server in [&first, &second] {
        sender.send_until("it hears the group", || server.stats_of("cam")["state"] == "ready");
        shows(server, &jpeg);
    }
    first.stop();
    second.stop();
}

#[test]
fn a_port_in_use_and_another_payload_are_told() {
    let (server, address) = receiving("rtp://[::1]:0");
    let taken = Server::camera(&format!("rtp://{address}"));
    taken.lost_for("cam", &format!("port {} is in use by another program", address.port()));
    taken.stop();
    let mut sender = Sender::new(address, &noise(1, turbojpeg::Subsamp::Sub2x2), 7);
    sender.stamp.payload_type = 96;
    let server = {
        server.stop();
        let toml = format!("[cameras.cam]\nsource = \"rtp://{address}\"\nsilence_timeout_seconds = 1\n");
        Server::configured(&toml)
    };
    sender.send_until("it is told", || {
        let cause = server.stats_of("cam")["cause"].as_str().unwrap_or_default().to_owned();
        cause.contains("their payload type is 96, not 26 (JPEG)")
    });
    server.stop();
}

#[test]
fn keyframes_are_asked_for_and_reports_sent() {
    let (server, address) = receiving("rtp://127.0.0.1:0?codec=h264");
    // RTCP is the port behind RTP's, here as there.
    let (rtp, rtcp) = eventually("two ports in a row", || {
        let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let next = rtp.local_addr().unwrap().port().checked_add(1)?;
        Some((rtp, UdpSocket::bind(("127.0.0.1", next)).ok()?))
    });
    rtcp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let header = |sequence, marker| Header {
        marker,
        payload_type: 96,
        sequence,
        timestamp: u32::from(sequence) * 3000,
        ssrc: 7,
    };
    let (mut sequence, mut asked, mut reported) = (0_u16, false, false);
    until("a keyframe is asked for, and a report comes", || {
        // Slices of pictures that cannot be decoded on their own.
        rtp.send_to(&[&header(sequence, true).to_bytes()[..], &[0x41; 50]].concat(), address).unwrap();
        sequence += 1;
        let mut datagram = [0; 2000];
        while let Ok(length) = rtcp.recv(&mut datagram) {
            let compound = Compound::parse(&datagram[..length], Rules::Compound).unwrap();
            for packet in compound.packets() {
                match packet {
                    Packet::PictureLoss { media: 7, .. } => asked = true,
                    Packet::ReceiverReport { blocks, .. } => {
                        reported |= blocks.into_iter().any(|block| block.ssrc == 7);
                    }
                    _ => {}
                }
            }
        }
        asked && reported
    });
    assert_eq!(server.stats_of("cam")["frames"], 0);
    until("the request is counted", || network(&server, "keyframes_asked") > 0);
    assert!(server.stats_of("cam")["dropped_by_reason"]["needs_keyframe"].as_u64() > Some(0));
    server.stop();
}

#[test]
fn the_senders_clock_tells_when_a_picture_was_taken() {
    let (server, address) = receiving("rtp://127.0.0.1:0");
    let mut sender = Sender::new(address, &noise(9, turbojpeg::Subsamp::Sub2x2), 7);
    sender.send_until("a picture", || server.stats_of("cam")["state"] == "ready");
    let age = |sender: &mut Sender| {
        sender.send();
        let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        let taken = server.get("/snapshot").header("x-timestamp").unwrap().parse::<f64>().unwrap();
        seconds(SystemTime::now()) - taken
    };
    assert!(age(&mut sender) < 1.5, "the arrival, as long as the sender tells none");
    let rtcp = SocketAddr::new(address.ip(), address.port() + 1);
    until("the sender's clock counts", || {
        let taken = SystemTime::now() - Duration::from_secs(2);
        let info = SenderInfo { ntp: taken.into(), timestamp: sender.stamp.timestamp, packets: 1, bytes: 1 };
        let mut report = Vec::new();
        write::sender_report(7, &info, &[], &mut report);
        sender.socket.send_to(&report, rtcp).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        (1.9..3.5).contains(&age(&mut sender))
    });
    server.stop();
}

/// FFmpeg sends to the server, which sends on to FFmpeg, which decodes without an error.
fn relayed(codec: &str, name: &str, encoder: &str) {
    let directory = tempfile::tempdir().unwrap();
    let port = {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    };
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"rtp://127.0.0.1:0?codec={codec}\"\npush = [\"rtp://127.0.0.1:{port}\"]\n"
    ));
    let address = listens(&server, "cam");
    let sdp = directory.path().join("out.sdp");
    let text = format!(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=t\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 {name}/90000\n"
    );
    std::fs::write(&sdp, text).unwrap();
    let mut player = Command::new("ffmpeg");
    player.args(["-v", "warning", "-xerror", "-protocol_whitelist", "file,udp,rtp", "-i"]).arg(&sdp);
    player
        .args(["-frames:v", "40", "-f", "framemd5", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut player = player.spawn().unwrap();
    let _camera = Program::start(&format!(
        "ffmpeg -v error -re -f lavfi -i testsrc2=size=320x240:rate=25 -pix_fmt yuv420p {encoder} -f rtp rtp://{address}?pkt_size=1200"
    ));
    eventually("the player has its pictures", || player.try_wait().unwrap());
    let output = player.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    for word in ["error", "concealing", "corrupt", "missed", "Missing"] {
        assert!(!said.contains(word), "{said}");
    }
    let frames =
        String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with("0,")).count();
    assert_eq!(frames, 40, "{said}");
    let stats = server.stats_of("cam");
    assert_eq!(
        (stats["codec"].as_str(), stats["width"].as_u64(), stats["height"].as_u64()),
        (Some(codec), Some(320), Some(240))
    );
    assert_eq!((stats["dropped"].as_u64(), stats["network"]["lost"].as_u64()), (Some(0), Some(0)), "{stats}");
    server.stop();
}

#[test]
fn h264_is_relayed_and_decodes() {
    relayed("h264", "H264", "-c:v libx264 -profile:v baseline -preset ultrafast -g 12");
    relayed("h264", "H264", "-c:v libx264 -profile:v high -preset veryfast -bf 3 -g 12");
}

#[test]
fn h265_is_relayed_and_decodes() {
    relayed("h265", "H265", "-c:v libx265 -preset ultrafast -x265-params keyint=12:log-level=none");
}

#[test]
fn every_keyframe_gets_the_parameter_sets_that_came_once() {
    let directory = tempfile::tempdir().unwrap();
    let clip = directory.path().join("clip.h264");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-frames:v", "60"])
        .args(["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-g", "12", "-y"])
        .arg(&clip)
        .status();
    assert!(made.unwrap().success());
    let clip = std::fs::read(clip).unwrap();
    let starts: Vec<usize> = (0..clip.len() - 2).filter(|at| clip[*at..].starts_with(&[0, 0, 1])).collect();
    let ends = starts[1..].iter().copied().chain([clip.len()]);
    let units = starts.iter().copied().zip(ends).map(|(start, end)| &clip[start + 3..end]);
    let with_length = |unit: &[u8]| [&(unit.len() as u32).to_be_bytes()[..], unit].concat();
    // The sets of the first keyframe, and then slices alone, of which each is a picture.
    let units: Vec<&[u8]> = units.collect();
    let sets = units.iter().filter(|unit| matches!(unit[0] & 31, 7 | 8)).take(2);
    let mut before = sets.flat_map(|unit| with_length(unit)).collect::<Vec<u8>>();
    let pictures: Vec<Bytes> = units
        .iter()
        .filter(|unit| matches!(unit[0] & 31, 1 | 5))
        .map(|unit| [std::mem::take(&mut before), with_length(unit)].concat().into())
        .collect();

    let to = UdpSocket::bind("127.0.0.1:0").unwrap();
    to.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"rtp://127.0.0.1:0?codec=h264\"\npush = [\"rtp://{}\"]\n",
        to.local_addr().unwrap()
    ));
    let (address, socket) = (listens(&server, "cam"), UdpSocket::bind("127.0.0.1:0").unwrap());
    let mut depacketiser = nal::Depacketiser::new(nal::Format::H264, 1 << 20);
    let (mut keyframes, mut units, mut datagram) = (0, Vec::new(), [0; 2000]);
    let mut stamp = Stamp { payload_type: 96, sequence: 0, timestamp: 0, ssrc: 7 };
    for picture in &pictures {
        let burst = nal::Burst::new(nal::Format::H264, picture, 1000).unwrap();
        let mut headers = Vec::new();
        burst.stamp(stamp, &mut headers);
        stamp.sequence += burst.packet_count() as u16;
        stamp.timestamp += 3600;
        for (header, payload) in burst.packets(&headers) {
            socket.send_to(&[header, payload].concat(), address).unwrap();
        }
        while let Ok(length) = to.recv(&mut datagram) {
            depacketiser.push(&ocelli_proto::rtp::Packet::parse(&datagram[..length]).unwrap(), &mut units);
        }
        for unit in units.drain(..).filter_map(Result::ok).filter(|unit| unit.key) {
            let kinds: Vec<u8> = ocelli_media::nal_units(&unit.data).map(|unit| unit[0] & 31).collect();
            assert_eq!(kinds, [7, 8, 5]);
            keyframes += 1;
        }
    }
    assert!(keyframes >= 3, "{keyframes}");
    until("the last one is counted", || server.stats_of("cam")["frames"] == 60);
    assert_eq!(server.stats_of("cam")["width"], 320);
    server.stop();
}

#[test]
fn a_session_description_tells_what_to_receive() {
    let directory = tempfile::tempdir().unwrap();
    let sdp = directory.path().join("camera.sdp");
    let port = {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    };
    let _ffmpeg = Program::start(&format!(
        "ffmpeg -v error -re -f lavfi -i testsrc2=size=320x240:rate=25 -pix_fmt yuv420p -c:v libx264 -preset ultrafast -g 12 \
         -flags +global_header -sdp_file {} -f rtp rtp://127.0.0.1:{port}?pkt_size=1200",
        sdp.display()
    ));
    until("the description is there", || {
        std::fs::read_to_string(&sdp).is_ok_and(|text| text.contains("m=video"))
    });
    // With global headers the parameter sets are in the description alone.
    assert!(std::fs::read_to_string(&sdp).unwrap().contains("sprop-parameter-sets"));
    let server = Server::start(&["--camera", &format!("cam=sdp:{}", sdp.display()), "--camera", STEADY]);
    server.until_state("cam", "ready");
    let stats = server.stats_of("cam");
    assert_eq!((stats["codec"].as_str(), stats["width"].as_u64()), (Some("h264"), Some(320)), "{stats}");
    server.stop();
}

#[test]
fn probe_says_what_comes() {
    let jpeg = noise(1, turbojpeg::Subsamp::Sub2x2);
    let port = {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    };
    let mut command = crate::server::command();
    command.args(["probe", &format!("rtp://127.0.0.1:{port}")]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut sender = Sender::new(([127, 0, 0, 1], port).into(), &jpeg, 7);
    sender.socket.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + SOON;
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "probe does not end");
        // Refused until it listens.
        for packet in sender.packets() {
            let _ = sender.socket.send_to(&packet, sender.to);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("mjpeg 320x240"), "{said} {output:?}");
}
