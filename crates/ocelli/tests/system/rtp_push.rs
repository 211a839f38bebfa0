//! RTP push: pictures of a running server arrive whole at plain sockets and at FFmpeg, whatever happens to the target.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ocelli_proto::rtp::Packet;
use ocelli_proto::rtp::jpeg::{Depacketiser, File, PAYLOAD_TYPE};
use serde_json::Value;

use crate::processes::SOON;
use crate::server::{Server, picture};

/// A receiver of JPEG in RTP.
pub(crate) struct Receiver {
    socket: UdpSocket,
    depacketiser: Depacketiser,
    /// What the last packet was called.
    ssrc: u32,
    sequence: Option<u16>,
    longest: usize,
    from: Option<SocketAddr>,
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
        Self { socket, depacketiser, ssrc: 0, sequence: None, longest: 0, from: None }
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
            let Ok((length, from)) = self.socket.recv_from(&mut datagram) else { continue };
            let packet = Packet::parse(&datagram[..length]).unwrap();
            assert_eq!(packet.payload_type(), PAYLOAD_TYPE);
            let expected = self.sequence.replace(packet.sequence()).map(|last| last.wrapping_add(1));
            assert!(expected.is_none_or(|expected| expected == packet.sequence()), "a packet is missing");
            (self.ssrc, self.from) = (packet.ssrc(), Some(from));
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
        let push = push_of(&server, "cam");
        assert_eq!(push["state"], "sending", "{push}");
        assert!(push["done"][done].as_u64() >= Some(5), "{push}");
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
    let last = (0..40).map(|_| receiver.next().timestamp).last().unwrap();
    let told = f64::from(last.wrapping_sub(first)) / 90_000.0;
    let passed = began.elapsed().as_secs_f64();
    assert!((told - passed).abs() < 0.25, "{told} s told, {passed} s passed");
    server.stop();
}
