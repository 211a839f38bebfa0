//! RTSP sessions with FFmpeg and GStreamer over loopback: what they show, and what arrives of what they publish, is what was sent,
//! bit for bit.
#![allow(clippy::unwrap_used)] // helpers of tests fail a test by panicking
#![allow(clippy::disallowed_methods)] // the peers run in real time

#[path = "rtsp/server.rs"]
mod server;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ocelli_media::annexb::{Event, Framer};
use ocelli_media::{Codec, nal_units};
use server::Server;

const DEADLINE: Duration = Duration::from_secs(60);

/// A directory of this test's own, gone when it ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ocelli-rtsp-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn command(&self, line: &str) -> Command {
        let mut words =
            line.split_whitespace().map(|word| word.replace("%/", &format!("{}/", self.0.display())));
        let mut command = Command::new(words.next().unwrap());
        command.args(words).stdin(Stdio::null());
        command
    }

    /// What a program writes to its standard output.
    fn run(&self, line: &str) -> Vec<u8> {
        let output = self.command(line).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn start(&self, line: &str) -> Running {
        Running(self.command(line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// A stream of two seconds, a keyframe in each of its quarters, as a file called `a.FORMAT`; and its access units.
    fn stream(&self, encoder: &str, format: &str) -> Vec<ocelli_media::annexb::AccessUnit> {
        self.run(&format!(
            "ffmpeg -v error -y -f lavfi -i testsrc2=size=320x240:rate=25 -frames:v 50 -c:v {encoder} -g 12 -bf 0 -f {format} %/a.{format}"
        ));
        let codec = if format == "h264" { Codec::H264 } else { Codec::H265 };
        access_units(codec, &std::fs::read(self.0.join(format!("a.{format}"))).unwrap())
    }

    /// What each picture of a file shows, up to the first that is not whole.
    fn pictures(&self, format: &str, name: &str) -> Vec<String> {
        let text = self.run(&format!("ffmpeg -v quiet -f {format} -i %/{name} -f framemd5 -"));
        hashes(&text)
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

fn hashes(framemd5: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(framemd5);
    let frames = text.lines().filter(|line| !line.starts_with('#'));
    frames.filter_map(|line| Some(line.rsplit_once(", ")?.1.trim().to_owned())).collect()
}

fn access_units(codec: Codec, stream: &[u8]) -> Vec<ocelli_media::annexb::AccessUnit> {
    let mut framer = Framer::new(codec, 8 << 20);
    let mut left = stream;
    let mut events = Vec::new();
    while !left.is_empty() {
        left = framer.feed(left);
        events.extend(std::iter::from_fn(|| framer.next_event()));
    }
    events.extend(std::iter::from_fn(|| framer.finish()));
    let unit = |event| match event {
        Event::Frame(unit) => unit,
        dropped @ Event::Dropped { .. } => panic!("{dropped:?}"),
    };
    events.into_iter().map(unit).collect()
}

/// The slices of pictures.
fn slices(unit: &Bytes) -> Vec<Vec<u8>> {
    nal_units(unit).filter(|unit| matches!(unit[0] & 31, 1 | 5)).map(<[u8]>::to_vec).collect()
}

#[test]
fn ffmpeg_shows_what_it_is_sent() {
    for (encoder, format) in [("libx264", "h264"), ("libx265", "hevc")] {
        let directory = Directory::new(&format!("ffmpeg-{format}"));
        let units = directory.stream(encoder, format);
        let expected = directory.pictures(format, &format!("a.{format}"));
        assert_eq!(expected.len(), 50);
        for transport in ["tcp", "udp"] {
            let server = Server::start(format, units.clone());
            let shown = directory.run(&format!(
                "ffmpeg -v error -rtsp_transport {transport} -i rtsp://user:secret@127.0.0.1:{}/front -frames:v 40 -fps_mode passthrough -f framemd5 -",
                server.port
            ));
            let shown = hashes(&shown);
            assert!(shown.len() == 40 && shown == expected[..40], "{format} by {transport}: {}", shown.len());
            assert_eq!(server.end(), [] as [String; 0], "{format} by {transport}");
        }
    }
}

#[test]
fn gstreamer_shows_what_it_is_sent() {
    let directory = Directory::new("gstreamer");
    let units = directory.stream("libx264", "h264");
    let expected = directory.pictures("h264", "a.h264");
    for transport in ["tcp", "udp"] {
        let server = Server::start("h264", units.clone());
        let _player = directory.start(&format!(
            "gst-launch-1.0 -q rtspsrc location=rtsp://user:secret@127.0.0.1:{}/front protocols={transport} latency=0 ! rtph264depay ! video/x-h264,stream-format=byte-stream,alignment=au ! filesink location=%/{transport}.h264 buffer-mode=unbuffered",
            server.port
        ));
        let name = format!("{transport}.h264");
        let begin = Instant::now();
        loop {
            let begun = directory.0.join(&name).exists();
            let shown = if begun { directory.pictures("h264", &name) } else { Vec::new() };
            // The last may not be whole yet.
            if shown.len() > 30 {
                assert!(shown[..30] == expected[..30], "{transport}: other pixels");
                break;
            }
            assert!(begin.elapsed() < DEADLINE, "{transport}: {} pictures", shown.len());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn what_ffmpeg_and_gstreamer_publish_arrives() {
    let directory = Directory::new("publish");
    let units = directory.stream("libx264", "h264");
    directory.run("ffmpeg -v error -y -f h264 -framerate 25 -i %/a.h264 -c copy %/a.mp4");
    for (transport, line) in [
        ("tcp", "ffmpeg -v error -re -i %/a.mp4 -c copy -f rtsp -rtsp_transport tcp URL"),
        ("udp", "ffmpeg -v error -re -i %/a.mp4 -c copy -f rtsp -rtsp_transport udp URL"),
        (
            "tcp",
            "gst-launch-1.0 -q filesrc location=%/a.mp4 ! qtdemux ! h264parse ! identity sync=true ! rtspclientsink protocols=tcp location=URL",
        ),
        (
            "udp",
            "gst-launch-1.0 -q filesrc location=%/a.mp4 ! qtdemux ! h264parse ! identity sync=true ! rtspclientsink protocols=udp location=URL",
        ),
    ] {
        let server = Server::start("h264", Vec::new());
        let url = format!("rtsp://user:secret@127.0.0.1:{}/new", server.port);
        let _publisher = directory.start(&line.replace("URL", &url));
        let received = server.received(40, DEADLINE);
        let sent: Vec<_> = units.iter().map(|unit| slices(&unit.data)).collect();
        let first = sent.iter().position(|unit| *unit == slices(&received[0]));
        let first = first.unwrap_or_else(|| panic!("{transport}, {line}: another picture"));
        assert!(first <= 24, "{line}: it began at {first}");
        for (received, sent) in received.iter().zip(&sent[first..]) {
            assert_eq!(slices(received), *sent, "{line}");
        }
    }
}
