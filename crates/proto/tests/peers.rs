//! Pictures and sound in RTP, to and from FFmpeg and GStreamer over loopback: what arrives is what was sent, bit for bit.
#![allow(clippy::unwrap_used)] // helpers of tests fail a test by panicking
#![allow(clippy::disallowed_methods)] // the peers run in real time

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ocelli_media::jpeg::rewrite::{Rewriter, RtpJpeg};
use ocelli_proto::rtp::Packet;
use ocelli_proto::rtp::jpeg::{Burst, Depacketiser, PAYLOAD_TYPE, Stamp};

#[path = "peers/audio.rs"]
mod audio;
#[path = "peers/video.rs"]
mod video;

const DEADLINE: Duration = Duration::from_secs(60);
/// Between two pictures.
const PICTURE: Duration = Duration::from_millis(40);

/// A directory of a test's own, gone when it ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ocelli-peers-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A command of a line of words; `%/` stands for this directory.
    fn command(&self, line: &str) -> Command {
        let mut words =
            line.split_whitespace().map(|word| word.replace("%/", &format!("{}/", self.0.display())));
        let mut command = Command::new(words.next().unwrap());
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn run(&self, line: &str) {
        let output = self.command(line).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn start(&self, line: &str) -> Running {
        Running(self.command(line).stderr(Stdio::null()).spawn().unwrap())
    }

    fn picture(&self, name: &str) -> RtpJpeg {
        Rewriter::new().rewrite(&std::fs::read(self.0.join(name)).unwrap().into()).unwrap().0
    }

    /// The upper left pixels of a file.
    fn pixels(&self, name: &str, (width, height): (u16, u16)) -> Vec<u8> {
        self.run(&format!(
            "ffmpeg -v error -y -f image2 -c:v mjpeg -i %/{name} -vf crop={width}:{height}:0:0 -f rawvideo %/{name}.raw"
        ));
        std::fs::read(self.0.join(format!("{name}.raw"))).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A peer that is stopped when the test ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An even port that is free, and the next one too, where RTCP goes.
fn free_port() -> u16 {
    (0..1000)
        .find_map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let port = socket.local_addr().unwrap().port();
            let with_next = port.is_multiple_of(2) && UdpSocket::bind(("127.0.0.1", port + 1)).is_ok();
            with_next.then_some(port)
        })
        .unwrap()
}

/// Sends the same picture over and over, 25 times a second, until `done`.
fn send_until(picture: &RtpJpeg, port: u16, mut done: impl FnMut() -> bool) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let burst = Burst::new(picture, 1400).unwrap();
    // Near both wraps.
    let mut stamp =
        Stamp { payload_type: PAYLOAD_TYPE, sequence: 65_500, timestamp: u32::MAX - 9000, ssrc: 0x1234_5678 };
    let mut headers = Vec::new();
    let (begin, mut sent) = (Instant::now(), 0);
    while !done() {
        assert!(begin.elapsed() < DEADLINE, "the peer showed nothing");
        burst.stamp(stamp, &mut headers);
        for (header, payload) in burst.packets(&headers) {
            // Refused until the peer listens.
            let _ = socket.send_to(&[header, payload].concat(), ("127.0.0.1", port));
        }
        stamp.sequence = stamp.sequence.wrapping_add(burst.packet_count() as u16);
        stamp.timestamp = stamp.timestamp.wrapping_add(3600);
        sent += 1;
        let due = PICTURE * sent;
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
    }
}

/// What FFmpeg shows of `picture`.
fn through_ffmpeg(directory: &Directory, picture: &RtpJpeg, (width, height): (u16, u16)) -> Vec<u8> {
    let port = free_port();
    let sdp = format!(
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video {port} RTP/AVP 26\r\n"
    );
    std::fs::write(directory.0.join("stream.sdp"), sdp).unwrap();
    let mut ffmpeg = directory.start(&format!(
        "ffmpeg -v error -y -protocol_whitelist file,udp,rtp -i %/stream.sdp -frames:v 1 -vf crop={width}:{height}:0:0 -f rawvideo %/shown.raw"
    ));
    send_until(picture, port, || ffmpeg.0.try_wait().unwrap().is_some());
    std::fs::read(directory.0.join("shown.raw")).unwrap()
}

/// What GStreamer makes of `picture`, decoded by the same decoder as the original.
fn through_gstreamer(directory: &Directory, picture: &RtpJpeg, size: (u16, u16)) -> Vec<u8> {
    let port = free_port();
    let gstreamer = directory.start(&format!(
        "gst-launch-1.0 -q udpsrc port={port} address=127.0.0.1 caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=JPEG,payload=26 ! rtpjpegdepay ! multifilesink location=%/shown-%d.jpg max-files=4"
    ));
    // The first is written to its end when the second is there.
    send_until(picture, port, || directory.0.join("shown-1.jpg").exists());
    let pixels = directory.pixels("shown-0.jpg", size);
    drop(gstreamer);
    for index in 0..4 {
        let _ = std::fs::remove_file(directory.0.join(format!("shown-{index}.jpg")));
    }
    pixels
}

/// The pictures that peers must show: what they are called, and lines that make `a.jpg`.
const PICTURES: [(&str, &str, &[&str]); 4] = [
    (
        "optimised tables",
        "640x480",
        &[
            "ffmpeg -v error -y -f lavfi -i testsrc2=size=640x480 -frames:v 1 -c:v mjpeg -huffman optimal -pix_fmt yuvj420p %/a.jpg",
        ],
    ),
    (
        "FFmpeg's 4:2:2, not in whole units",
        "634x470",
        &[
            "ffmpeg -v error -y -f lavfi -i testsrc2=size=634x470 -frames:v 1 -c:v mjpeg -pix_fmt yuvj422p %/a.jpg",
        ],
    ),
    (
        "restart markers",
        "74x52",
        &[concat!(
            "cp ",
            env!("CARGO_MANIFEST_DIR"),
            "/../media/testdata/rewrite/optimised-restarts-odd.jpg %/a.jpg"
        )],
    ),
    (
        "GStreamer's 4:2:2",
        "320x240",
        &[
            "gst-launch-1.0 -q videotestsrc num-buffers=1 ! video/x-raw,format=Y42B,width=320,height=240 ! jpegenc ! filesink location=%/a.jpg",
        ],
    ),
];

#[test]
fn ffmpeg_shows_our_packets_pixel_for_pixel() {
    each_picture("ffmpeg-receives", through_ffmpeg);
}

#[test]
fn gstreamer_shows_our_packets_pixel_for_pixel() {
    each_picture("gstreamer-receives", through_gstreamer);
}

fn each_picture(test: &str, through: fn(&Directory, &RtpJpeg, (u16, u16)) -> Vec<u8>) {
    for (name, size, lines) in PICTURES {
        let directory = Directory::new(test);
        lines.iter().for_each(|line| directory.run(line));
        let (width, height) = size.split_once('x').unwrap();
        let size = (width.parse().unwrap(), height.parse().unwrap());
        let original = directory.pixels("a.jpg", size);
        let shown = through(&directory, &directory.picture("a.jpg"), size);
        assert!(!shown.is_empty() && shown == original, "{name}: other pixels");
    }
}

/// The first picture that comes whole to `socket`, while `sender` runs.
fn receive(socket: &UdpSocket) -> Vec<u8> {
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut depacketiser = Depacketiser::new(1 << 22);
    let (begin, mut buffer) = (Instant::now(), vec![0; 65_536]);
    while begin.elapsed() < DEADLINE {
        let length = socket.recv(&mut buffer).unwrap();
        let packet = Packet::parse(&buffer[..length]).unwrap();
        if let Ok(Some(file)) = depacketiser.push(&packet) {
            return file.data.to_vec();
        }
    }
    panic!("no whole picture came: {} dropped", depacketiser.dropped());
}

fn each_sender(test: &str, make: &str, send: &str) {
    let directory = Directory::new(test);
    directory.run(make);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let _sender = directory.start(&send.replace("PORT", &port.to_string()));
    std::fs::write(directory.0.join("shown.jpg"), receive(&socket)).unwrap();
    let size = (640, 480);
    assert!(directory.pixels("shown.jpg", size) == directory.pixels("a.jpg", size), "other pixels");
}

#[test]
fn ffmpegs_packets_become_its_picture() {
    each_sender(
        "ffmpeg-sends",
        "ffmpeg -v error -y -f lavfi -i testsrc2=size=640x480 -frames:v 1 -c:v mjpeg -huffman default -pix_fmt yuvj420p %/a.jpg",
        "ffmpeg -v error -re -loop 1 -f image2 -framerate 25 -i %/a.jpg -c copy -f rtp rtp://127.0.0.1:PORT?pkt_size=1400",
    );
}

#[test]
fn gstreamers_packets_become_its_picture() {
    each_sender(
        "gstreamer-sends",
        "gst-launch-1.0 -q videotestsrc num-buffers=1 pattern=ball ! video/x-raw,format=I420,width=640,height=480 ! jpegenc ! filesink location=%/a.jpg",
        "gst-launch-1.0 -q multifilesrc location=%/a.jpg loop=true caps=image/jpeg,framerate=25/1,width=640,height=480 ! jpegparse ! rtpjpegpay ! udpsink host=127.0.0.1 port=PORT",
    );
}
