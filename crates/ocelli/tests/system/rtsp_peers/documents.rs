//! Every command and file of docs/rtsp.md, taken out of it and run. Only addresses, ports and names of files are exchanged,
//! cameras are GStreamer's or test patterns, and what shows pictures in a window is replaced by what takes them without one.

use std::net::TcpStream;

use tempfile::TempDir;

use super::camera::Camera;
use super::clips::{Clip, Codec};
use super::matrix::{address_of, serving};
use super::network::alone;
use super::players::Program;
use super::rivals::rival;
use crate::documents::{Block, Document, all_play};
use crate::processes::until;
use crate::programs::{Running, directory, free_port, installed, python_with_opencv, run};
use crate::server::{Server, command};

/// Blocks that play a camera called front.
const PLAYERS: [&str; 5] = ["ffplay", "ffmpeg", "gstreamer", "opencv", "vlc"];
/// Files of others that take it.
const OTHERS: [&str; 3] = ["mediamtx", "go2rtc", "frigate"];
/// The rest.
const MORE: [&str; 9] = [
    "other-codec-ffplay",
    "server",
    "multicast",
    "multicast-ffplay",
    "multicast-gstreamer",
    "sessions",
    "end-session",
    "cameras",
    "probe",
];

/// Blocks by which a camera called yard is published, behind its configuration.
const PUBLISHERS: [&str; 3] = ["publish", "publish-ffmpeg", "publish-gstreamer"];

const FRONT: &str = "rtsp://192.168.1.10:8554/front";

fn document() -> Document {
    Document::read("rtsp.md")
}

#[test]
fn every_block_of_the_page_has_its_test() {
    document().consists_of(PLAYERS.into_iter().chain(OTHERS).chain(MORE).chain(PUBLISHERS));
}

/// The exchanges by which a player runs without a window, and ends where it can.
fn without_window(name: &str) -> Vec<(&'static str, &'static str)> {
    match name {
        "ffmpeg" => vec![("-t 10", "-t 1")],
        "vlc" => vec![(
            "vlc ",
            "vlc -I dummy --no-audio --no-osd --no-video-title-show --vout=yuv --yuv-file=shown.yuv ",
        )],
        "gstreamer" | "multicast-gstreamer" => vec![("autovideosink", "fakesink num-buffers=3")],
        _ => Vec::new(),
    }
}

/// A player's block, for a camera's address.
fn player(name: &str, address: &str) -> Block {
    let mut exchanges = without_window(name);
    exchanges.push((FRONT, address));
    document().block(name, &exchanges)
}

/// A server whose camera `cam` is a film.
fn film(directory: &TempDir) -> (Server, String) {
    let server = serving(&Clip::of(directory, Codec::H264));
    let address = address_of(&server, "cam");
    (server, address)
}

#[test]
fn what_the_page_plays_with_shows_a_camera() {
    if !installed(&["ffplay", "ffmpeg", "gst-launch-1.0"]) || python_with_opencv().is_none() {
        return;
    }
    let directory = directory();
    let (server, address) = film(&directory);
    let there = PLAYERS.into_iter().filter(|name| *name != "vlc" || Program::Vlc.is_there());
    let players = there.map(|name| (name, player(name, &address).start(&directory))).collect();
    all_play(&directory, players);
    for file in ["front.mkv", "front.png"] {
        assert!(std::fs::metadata(directory.path().join(file)).unwrap().len() > 1000, "{file}");
    }
    server.stop();
}

#[test]
fn what_the_page_plays_a_webcam_with_as_h264_shows_it() {
    if !installed(&["ffplay"]) {
        return;
    }
    let directory = directory();
    let server = Server::camera("pattern:?width=320&height=240&fps=25");
    let name = "other-codec-ffplay";
    all_play(&directory, vec![(name, player(name, &address_of(&server, "cam")).start(&directory))]);
    server.stop();
}

/// FFmpeg plays `address`, as another program's reader would with these arguments.
fn ffmpeg_plays(directory: &TempDir, arguments: &str, address: &str) {
    let line = format!("ffmpeg -v error -rtsp_transport tcp {arguments} -i {address} -frames:v 10 -f null -");
    Running::start(directory, &line).ends("FFmpeg");
}

/// The lines that its page of configuration begins with, and the page's block, run by a program that a variable names.
fn other_server(name: &str, variable: &str, before: &str, arguments: &str, port: u16) {
    let Some(program) = rival(variable) else { return };
    let directory = directory();
    let (server, address) = film(&directory);
    let block = document().block(name, &[(FRONT, &address)]);
    let file = if name == "mediamtx" { "mediamtx.yml" } else { "go2rtc.yaml" };
    std::fs::write(directory.path().join(file), format!("{before}{}\n", block.text)).unwrap();
    let other = Running::start(&directory, &format!("{program} {arguments}{file}"));
    until("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let served = format!("rtsp://127.0.0.1:{port}/front");
    // A path that MediaMTX has not got ready is none.
    until("it has the stream", || {
        server.stats()["viewers"].as_array().is_some_and(|viewers| !viewers.is_empty()) || name == "go2rtc"
    });
    ffmpeg_plays(&directory, "", &served);
    drop(other);
    server.stop();
}

#[test]
fn mediamtx_takes_a_camera_as_the_page_says() {
    let (port, media) = (free_port(), free_port());
    let before = format!(
        "logLevel: warn\nrtmp: no\nhls: no\nwebrtc: no\nsrt: no\nmoq: no\nrtspTransports: [tcp]\n\
         rtspAddress: 127.0.0.1:{port}\nrtpAddress: 127.0.0.1:{media}\nrtcpAddress: 127.0.0.1:{}\n",
        media + 1
    );
    other_server("mediamtx", "OCELLI_MEDIAMTX", &before, "", port);
}

#[test]
fn go2rtc_takes_a_camera_as_the_page_says() {
    let port = free_port();
    let before = format!("app: {{modules: [rtsp, streams]}}\nrtsp: {{listen: '127.0.0.1:{port}'}}\n");
    other_server("go2rtc", "OCELLI_GO2RTC", &before, "-config ", port);
}

/// FFmpeg with what Frigate's preset stands for.
#[test]
fn frigates_reader_takes_a_camera_as_the_page_says() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let (server, address) = film(&directory);
    let block = document().block("frigate", &[(FRONT, &address)]);
    let path = block.text.lines().find_map(|line| line.trim().strip_prefix("- path: ")).unwrap();
    let preset = "-avoid_negative_ts make_zero -fflags +genpts+discardcorrupt -timeout 5000000 -use_wallclock_as_timestamps 1";
    ffmpeg_plays(&directory, preset, path);
    server.stop();
}

#[test]
fn what_the_page_says_of_the_server_is_understood() {
    let (port, there) = (free_port().to_string(), "0.0.0.0:8554");
    let block = document().block("server", &[(there, "127.0.0.1:0"), ("6970", &port)]);
    let server = Server::configured(&format!("{}\n[cameras]\nfront = \"pattern:\"\n", block.text));
    assert!(server.stats()["rtsp"]["listens"].is_string());
    assert!(!server.log().contains("WARN"), "{}", server.log());
    server.stop();
}

#[test]
fn what_the_page_plays_multicast_with_shows_it() {
    let name = "rtsp_peers::documents::what_the_page_plays_multicast_with_shows_it";
    if !installed(&["ffplay", "gst-launch-1.0"]) || !alone(name) {
        return;
    }
    let directory = directory();
    let exchanges = [
        ("v4l2:///dev/video0?width=1280&height=720&fps=30", "pattern:?width=320&height=240&fps=10"),
        ("\"eth0\"", "\"lo\""),
    ];
    let server = Server::configured(&document().block("multicast", &exchanges).text);
    server.until_state("front", "ready");
    let address = address_of(&server, "front");
    for name in ["multicast-ffplay", "multicast-gstreamer"] {
        let mut block = player(name, &address);
        block.text = block.text.replace("=eth0", "=lo");
        all_play(&directory, vec![(name, block.start(&directory))]);
    }
    server.stop();
}

#[test]
fn what_the_page_looks_at_sessions_with_ends_one() {
    if !installed(&["curl", "ffmpeg"]) {
        return;
    }
    let directory = directory();
    let (server, address) = film(&directory);
    let line = format!("ffmpeg -v error -rtsp_transport tcp -i {address} -f null -");
    let _player = Running::start(&directory, &line);
    until("it watches", || server.stats()["viewers"][0]["kind"] == "rtsp-tcp");
    let there = server.address().to_string();
    let id = server.stats()["viewers"][0]["id"].to_string();
    let ask = |name: &str, exchanges: &[(&str, &str)]| {
        let mut block = document().block(name, exchanges);
        block.text += " -sSf -o answer";
        block.start(&directory).ends("curl");
        std::fs::read_to_string(directory.path().join("answer")).unwrap()
    };
    assert!(ask("sessions", &[("192.168.1.10:8080", &there)]).contains("rtsp-tcp"));
    ask("end-session", &[("192.168.1.10:8080", &there), ("/1", &format!("/{id}"))]);
    until("it watches no more", || server.stats()["viewers"].as_array().is_some_and(Vec::is_empty));
    server.stop();
}

#[test]
fn what_the_page_publishes_with_becomes_a_camera() {
    if !installed(&["ffmpeg", "gst-launch-1.0"]) {
        return;
    }
    let directory = directory();
    let film =
        "ffmpeg -v error -f lavfi -i testsrc=size=320x240:rate=15 -t 20 -pix_fmt yuv420p -g 15 film.mp4";
    run(&directory, film);
    let block = document().block("publish", &[("${YARD_PASSWORD}", "secret")]);
    let server = Server::configured(&block.text);
    let address = address_of(&server, "yard");
    let own = address.trim_start_matches("rtsp://");
    let pattern = ("v4l2src", "videotestsrc is-live=true ! video/x-raw,width=320,height=240");
    for (name, exchanges) in [("publish-ffmpeg", &[][..]), ("publish-gstreamer", &[pattern])] {
        let exchanges = [exchanges, &[("192.168.1.10:8554/yard", own)]].concat();
        let publisher = document().block(name, &exchanges).start(&directory);
        server.until_state("yard", "ready");
        ffmpeg_plays(&directory, "", &address);
        drop(publisher);
        server.until_state("yard", "waiting");
    }
    server.stop();
}

#[test]
fn what_the_page_has_of_cameras_plays_them() {
    let Some([yard, gate]) = Camera::start("--user user:p@ss")
        .zip(Camera::start("--path /h264/ch1/main/av_stream"))
        .map(<[_; 2]>::from)
    else {
        return;
    };
    let [yard_at, gate_at] = [&yard, &gate].map(|camera| format!("127.0.0.1:{}", camera.port()));
    let exchanges = [("10.0.0.7", yard_at.as_str()), ("10.0.0.8:554", gate_at.as_str())];
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cameras.toml");
    std::fs::write(&file, document().block("cameras", &exchanges).text).unwrap();
    let mut command = command();
    command.args(["--port", "0", "--address", "127.0.0.1", "--rtsp", "127.0.0.1:0", "--config"]);
    command.arg(&file).env("YARD_PASSWORD", "p%40ss");
    let server = Server::of(&mut command, Some(directory));
    server.until_state("yard", "ready");
    assert_eq!(server.stats_of("gate")["state"], "idle");
    ffmpeg_plays(&crate::programs::directory(), "", &address_of(&server, "gate"));
    assert_eq!(server.stats_of("gate")["network"]["transport"], "udp");
    let block = document().block("probe", &[("user:password@10.0.0.7", &format!("user:p%40ss@{yard_at}"))]);
    let mut words = block.text.split(' ').skip(1);
    let output = crate::server::command().args(words.by_ref()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("320x240") && !said.contains("p%40ss") && !said.contains("p@ss"), "{said}");
    server.stop();
}
