//! Every command and file of docs/rtp.md, taken out of it and run. Only addresses, ports and names of files are exchanged,
//! cameras are test patterns, and what shows pictures in a window is replaced by what takes them without one.

use std::net::UdpSocket;

use tempfile::TempDir;

use crate::client::size;
use crate::documents::{Block, Document, all_play};
use crate::processes::until;
use crate::programs::{directory, free_port, installed, python_with_opencv};
use crate::server::Server;

fn block(name: &str, exchanges: &[(&str, &str)]) -> Block {
    Document::read("rtp.md").block(name, exchanges)
}

/// Blocks that take the pictures of a camera called front, whose file begins with `push`.
const RECEIVERS: [&str; 8] = [
    "ffplay",
    "ffmpeg",
    "ffplay-http",
    "gstreamer-jpeg",
    "gstreamer-sdp",
    "vlc",
    "opencv-ffmpeg",
    "opencv-gstreamer",
];

/// The other blocks.
const OTHERS: [&str; 13] = [
    "push",
    "push-for-reports",
    "gstreamer-reports",
    "patch",
    "description",
    "gstreamer-h264",
    "multicast",
    "multicast-ffplay",
    "multicast-gstreamer",
    "receive-jpeg",
    "ffmpeg-sends-jpeg",
    "gstreamer-sends-jpeg",
    "receive-sdp",
];

#[test]
fn every_block_of_the_document_has_its_test() {
    Document::read("rtp.md").consists_of(RECEIVERS.into_iter().chain(OTHERS).chain(["ffmpeg-sends-sdp"]));
}

const DOCUMENTED_CAMERA: &str = "v4l2:///dev/video0?width=1280&height=720&fps=30";
const PATTERN: &str = "pattern:?width=320&height=240&fps=10";

/// A camera's table in which everything of the machine is exchanged.
fn camera(table: &str, name: &str, target: &str) -> String {
    let target_there = if table == "multicast" { "239.255.0.1:5000" } else { "192.168.1.20:5000" };
    let name = format!("[cameras.{name}]");
    block(table, &[(DOCUMENTED_CAMERA, PATTERN), ("[cameras.front]", &name), (target_there, target)]).text
        + "\n"
}

/// The exchanges by which a receiver's block runs without a window, and ends where it can.
fn without_window(name: &str) -> Vec<(&'static str, &'static str)> {
    match name {
        "ffmpeg" => vec![("-t 10", "-t 1")],
        "vlc" => vec![(
            "vlc ",
            "vlc -I dummy --no-audio --no-osd --no-video-title-show --vout=yuv --yuv-file=shown.yuv ",
        )],
        _ if name.contains("gstreamer") && !name.starts_with("opencv") => {
            vec![("autovideosink", "fakesink num-buffers=3")]
        }
        _ => Vec::new(),
    }
}

/// A receiver's block, for the camera `name` that is pushed to `port`.
fn receiver(kind: &str, server: &Server, name: &str, port: u16) -> Block {
    let block = block(kind, &without_window(kind));
    let text = block
        .text
        .replace("192.168.1.10:8080", &server.address().to_string())
        .replace("192.168.1.20", "127.0.0.1")
        .replace("/cameras/front/", &format!("/cameras/{name}/"))
        .replace("port=5000", &format!("port={port}"))
        .replace("=eth0", "=lo")
        .replace("front.", &format!("{name}."));
    Block { text, ..block }
}

/// Gets the description of a camera's stream, as the document does.
fn describe(directory: &TempDir, server: &Server, name: &str) {
    receiver("description", server, name, 0).start(directory).ends("curl");
}

#[test]
fn what_the_document_receives_with_shows_a_pushed_camera() {
    let programs = ["ffplay", "ffmpeg", "gst-launch-1.0", "vlc", "curl"];
    if !installed(&programs) || python_with_opencv().is_none() {
        return;
    }
    let directory = directory();
    let ports = RECEIVERS.map(|_| free_port());
    let cameras = RECEIVERS.iter().zip(ports);
    let configuration: String =
        cameras.clone().map(|(name, port)| camera("push", name, &format!("127.0.0.1:{port}"))).collect();
    let server = Server::configured(&configuration);
    let mut players = Vec::new();
    for (kind, port) in cameras {
        describe(&directory, &server, kind);
        players.push((*kind, receiver(kind, &server, kind, port).start(&directory)));
    }
    all_play(&directory, players);
    for file in ["ffmpeg.mkv", "opencv-ffmpeg.png", "opencv-gstreamer.png"] {
        assert!(std::fs::metadata(directory.path().join(file)).unwrap().len() > 1000, "{file}");
    }
    server.stop();
}

#[test]
fn what_the_document_receives_multicast_with_shows_it() {
    if !installed(&["ffplay", "gst-launch-1.0", "curl"]) {
        return;
    }
    let directory = directory();
    let kinds = ["multicast-ffplay", "multicast-gstreamer"];
    let ports = kinds.map(|_| free_port());
    let configuration: String = kinds
        .iter()
        .zip(ports)
        .map(|(kind, port)| {
            camera("multicast", kind, &format!("239.255.0.1:{port}"))
                .replace("interface=eth0", "interface=lo")
        })
        .collect();
    let server = Server::configured(&configuration);
    let mut players = Vec::new();
    for (kind, port) in kinds.into_iter().zip(ports) {
        describe(&directory, &server, kind);
        players.push((kind, receiver(kind, &server, kind, port).start(&directory)));
    }
    all_play(&directory, players);
    server.stop();
}

#[test]
fn what_the_document_sends_to_another_target_with_does_so() {
    if !installed(&["curl"]) {
        return;
    }
    let directory = directory();
    let server = Server::configured(&camera("push", "front", &format!("127.0.0.1:{}", free_port())));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let other = socket.local_addr().unwrap().to_string();
    let there = server.address().to_string();
    let patch = block("patch", &[("192.168.1.10:8080", &there), ("192.168.1.20:5000", &other)]);
    patch.start(&directory).ends("curl");
    socket.set_nonblocking(true).unwrap();
    let mut packet = [0; 2000];
    until("a packet comes", || socket.recv(&mut packet).is_ok_and(|length| length > 12));
    assert_eq!((packet[0] >> 6, packet[1] & 0x7F), (2, 26), "RTP's version and the payload type of JPEG");
    server.stop();
}

#[test]
fn what_the_document_reports_with_reports() {
    if !installed(&["gst-launch-1.0"]) {
        return;
    }
    let (directory, to, from) = (directory(), free_port(), free_port());
    let configuration = camera("push-for-reports", "front", &format!("127.0.0.1:{to}"));
    let server = Server::configured(&configuration.replace("=6000", &format!("={from}")));
    let ports = [("5000", to), ("5001", to + 1), ("6001", from + 1)]
        .map(|(there, here)| (format!("port={there}"), format!("port={here}")));
    let mut exchanges: Vec<_> = ports.iter().map(|(there, here)| (there.as_str(), here.as_str())).collect();
    exchanges.extend([("192.168.1.10", "127.0.0.1"), ("autovideosink", "fakesink")]);
    let _player = block("gstreamer-reports", &exchanges).start(&directory);
    until("a receiver reports", || server.stats_of("front")["push"][0]["rtcp"]["receivers"] == 1);
    server.stop();
}

/// A sender's block, for a camera that takes packets at `port`.
fn sends(kind: &str, port: u16) -> Block {
    let block = block(kind, &[("192.168.1.10", "127.0.0.1")]);
    let text = block.text.replace("port=5000", &format!("port={port}")).replace(":5000", &format!(":{port}"));
    Block { text, ..block }
}

fn shows_640x480(server: &Server, camera: &str) {
    server.until_state(camera, "ready");
    assert_eq!(size(&server.watch(camera).next().data).to_string(), "640x480");
}

#[test]
fn what_the_document_has_others_send_becomes_a_camera() {
    if !installed(&["ffmpeg", "gst-launch-1.0"]) {
        return;
    }
    let directory = directory();
    let senders = ["ffmpeg-sends-jpeg", "gstreamer-sends-jpeg"].map(|kind| (kind, free_port()));
    let configuration = senders.map(|(kind, port)| {
        let (name, port) = (format!("[cameras.{kind}]"), format!(":{port}?"));
        block("receive-jpeg", &[("[cameras.door]", &name), ("0.0.0.0", "127.0.0.1"), (":5000?", &port)]).text
    });
    let server = Server::configured(&configuration.join("\n"));
    let _running = senders.map(|(kind, port)| sends(kind, port).start(&directory));
    for (kind, _) in senders {
        shows_640x480(&server, kind);
    }
    server.stop();
}

/// A sender with a description, whose H.264 is sent on as it is and shown by GStreamer.
#[test]
fn what_the_document_has_described_becomes_a_camera_and_is_shown() {
    if !installed(&["ffmpeg", "gst-launch-1.0"]) {
        return;
    }
    let directory = directory();
    let (port, pushed) = (free_port(), free_port());
    let _sender = sends("ffmpeg-sends-sdp", port).start(&directory);
    let description = format!("sdp:{}", directory.path().join("door.sdp").display());
    let camera = block("receive-sdp", &[("sdp:door.sdp", &description)]).text;
    until("FFmpeg describes what it sends", || directory.path().join("door.sdp").exists());
    let server = Server::configured(&format!("{camera}\npush = [\"rtp://127.0.0.1:{pushed}\"]\n"));
    let player = receiver("gstreamer-h264", &server, "door", pushed).start(&directory);
    all_play(&directory, vec![("gstreamer-h264", player)]);
    assert_eq!(server.stats_of("door")["codec"], "h264");
    server.stop();
}
