//! Streams of pictures that are not coded: their framing, their samples, and who is slow.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::processes::until;
use crate::server::Server;

/// Reads parts as a program of somebody else would: by their header lines.
struct Parts(BufReader<TcpStream>);

/// One part: its type, its bytes.
type Part = (String, Vec<u8>);

impl Parts {
    fn open(server: &Server, path: &str) -> Self {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).unwrap();
        let mut parts = Self(BufReader::with_capacity(1 << 16, socket));
        let head = parts.lines();
        assert!(head[0].contains(" 200 "), "{head:?}");
        let multipart = "multipart/x-mixed-replace;boundary=ocelli";
        assert!(
            head.iter().any(|line| line.to_ascii_lowercase() == format!("content-type: {multipart}")),
            "{head:?}"
        );
        parts
    }

    /// Lines up to an empty one.
    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the stream ended behind {lines:?}");
            let line = line.trim_end().to_owned();
            if line.is_empty() && !lines.is_empty() {
                return lines;
            }
            if !line.is_empty() {
                lines.push(line);
            }
        }
    }

    fn next(&mut self) -> Part {
        let lines = self.lines();
        assert_eq!(lines[0], "--ocelli");
        let value = |name: &str| {
            let line = lines.iter().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {lines:?}")).trim().to_owned()
        };
        let mut data = vec![0; value("Content-Length:").parse().unwrap()];
        value("X-Timestamp:").parse::<f64>().unwrap();
        self.0.read_exact(&mut data).unwrap();
        (value("Content-Type:"), data)
    }
}

#[test]
fn samples_come_with_their_format_and_size() {
    let server = Server::camera("pattern:?width=320&height=240&fps=10");
    let (kind, rgb) = Parts::open(&server, "/cameras/cam/stream?codec=raw").next();
    assert_eq!(kind, "video/x-raw; format=rgb24; width=320; height=240");
    assert_eq!(rgb.len(), 320 * 240 * 3);
    let (kind, yuv) = Parts::open(&server, "/cameras/cam/stream?codec=yuv420&width=160").next();
    assert_eq!(kind, "video/x-raw; format=yuv420; width=160; height=120");
    assert_eq!(yuv.len(), 160 * 120 * 3 / 2);
    // The same picture, more or less: what is bright in one is in the other.
    let mean = |samples: &[u8]| {
        samples.iter().map(|sample| u64::from(*sample)).sum::<u64>() as f64 / samples.len() as f64
    };
    let (colour, luma) = (mean(&rgb), (mean(&yuv[..160 * 120]) - 16.0) * 255.0 / 219.0);
    assert!((colour - luma).abs() < 40.0, "{colour} and {luma}");
    let distinct: std::collections::BTreeSet<_> = rgb.iter().collect();
    assert!(distinct.len() > 16, "one colour only");
    server.stop();
}

#[test]
fn one_who_is_slow_gets_whole_pictures_and_skips_others() {
    let server = Server::camera("pattern:?width=1280&height=720&fps=20");
    let mut parts = Parts::open(&server, "/cameras/cam/stream?codec=rgb24");
    for _ in 0..4 {
        let (_, data) = parts.next();
        assert_eq!(data.len(), 1280 * 720 * 3);
        std::thread::sleep(Duration::from_millis(400));
    }
    until("others are skipped", || {
        let stats = server.stats();
        let mut viewers = stats["viewers"].as_array().unwrap().iter();
        viewers.any(|viewer| viewer["camera"] == "cam" && viewer["skipped"].as_u64() > Some(3))
    });
    server.stop();
}

#[test]
fn other_codecs_are_refused_with_those_that_can_be() {
    let server = Server::camera("pattern:?width=320&height=240&fps=10");
    let answer = server.get("/cameras/cam/stream?codec=h264");
    assert_eq!(answer.status, 400);
    let answer = server.get("/cameras/cam/snapshot?codec=raw");
    assert_eq!(answer.status, 400);
    assert_eq!(server.get("/cameras/cam/stream?codec=vp9").status, 400);
    server.stop();
}
