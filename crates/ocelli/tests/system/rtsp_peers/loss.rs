//! RTSP by UDP through a network that loses, delays and repeats packets: what is shown was sent so, what is missing is counted, and
//! whoever can say so tells the sender.

use serde_json::Value;

use super::camera::Camera;
use super::clips::{Clip, Codec};
use super::lossy::Lossy;
use super::matrix::{address_of, serving};
use super::players::{Player, Program, Shown, Transport, all_show, known};
use crate::processes::{eventually, until};
use crate::programs::directory;
use crate::relay::Faults;
use crate::server::Server;

/// A server whose camera `cam` is behind such a network.
fn receiver(lossy: &Lossy, path: &str) -> Server {
    Server::configured(&format!(
        "[cameras.cam]\nsource = \"rtsp://127.0.0.1:{}/{path}\"\ntransport = \"udp\"\n",
        lossy.port()
    ))
}

/// Where a server is by RTSP.
fn rtsp(server: &Server) -> std::net::SocketAddr {
    server.stats()["rtsp"]["listens"].as_str().unwrap().parse().unwrap()
}

fn number(camera: &Value, name: &str) -> u64 {
    camera["network"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {camera}"))
}

/// Ocelli sends a film by UDP through a bad network to Ocelli, and FFmpeg plays that. The pictures, and the receiver's numbers.
fn through(codec: Codec, faults: Faults, pictures: u32) -> (Shown, Clip, Lossy, Value) {
    let directory = directory();
    let clip = Clip::of(&directory, codec);
    let sender = serving(&clip);
    let lossy = Lossy::start(rtsp(&sender), faults);
    let receiver = receiver(&lossy, "cam");
    receiver.until_state("cam", "ready");
    let address = address_of(&receiver, "cam");
    let player = Player::start(&directory, Program::Ffmpeg, Transport::Tcp, &address, pictures);
    let shown = all_show(vec![player]).remove(0).1;
    let camera = receiver.stats_of("cam");
    receiver.stop();
    sender.stop();
    (shown, clip, lossy, camera)
}

#[test]
fn packets_in_another_order_cost_no_picture() {
    if !Program::Ffmpeg.is_there() {
        return;
    }
    for codec in [Codec::H264, Codec::H265] {
        let (shown, clip, lossy, camera) = through(codec, Faults { lost: 0, late: 60, twice: 20 }, 75);
        assert!(lossy.counts().late > 4, "{:?}", lossy.counts());
        assert_eq!((number(&camera, "lost"), camera["dropped"].as_u64()), (0, Some(0)), "{camera}");
        assert!(number(&camera, "duplicate") > 0, "{camera}");
        assert_eq!(known(&shown.pictures, &clip.pictures), shown.pictures.len(), "{codec:?}");
        assert_eq!(shown.errors, "", "{codec:?}");
    }
}

#[test]
fn only_whole_pictures_are_passed_on_where_packets_are_lost() {
    if !Program::Ffmpeg.is_there() {
        return;
    }
    // A group of pictures has some 800 packets.
    for (codec, lost) in [(Codec::H264, 2), (Codec::H265, 2), (Codec::Jpeg, 10)] {
        let (shown, clip, lossy, camera) = through(codec, Faults { lost, late: 20, twice: 5 }, 75);
        assert!(lossy.counts().lost > 0, "{:?}", lossy.counts());
        assert!(number(&camera, "lost") > 0, "{camera}");
        assert!(camera["dropped_by_reason"]["lost"].as_u64() > Some(0), "{camera}");
        assert_eq!(known(&shown.pictures, &clip.pictures), shown.pictures.len(), "{codec:?}");
        assert_eq!(camera["restarts"], 0, "{camera}");
    }
}

/// GStreamer's packets, which are small here, so that a picture has many.
#[test]
fn a_camera_behind_a_bad_network_is_shown() {
    if !Program::Ffmpeg.is_there() {
        return;
    }
    let Some(camera) = Camera::start("--codec h264 --sound pcmu --mtu 300 --keyframes 10") else { return };
    let directory = directory();
    let lossy = Lossy::start(([127, 0, 0, 1], camera.port()).into(), Faults { lost: 2, late: 40, twice: 10 });
    let server = receiver(&lossy, "stream");
    server.until_state("cam", "ready");
    let address = address_of(&server, "cam");
    let player = Player::start(&directory, Program::Ffmpeg, Transport::Tcp, &address, 60);
    for (_, shown) in all_show(vec![player]) {
        assert_eq!((shown.pictures.len(), shown.errors.as_str()), (60, ""));
    }
    let stats = server.stats_of("cam");
    assert!(lossy.counts().lost > 0 && number(&stats, "lost") > 0, "{:?} {stats}", lossy.counts());
    server.stop();
}

/// What players report by RTCP stands in `/stats` while they watch.
#[test]
fn players_report_what_they_lose() {
    if !Program::Ffmpeg.is_there() || !Program::Gstreamer.is_there() {
        return;
    }
    let directory = directory();
    let server = serving(&Clip::of(&directory, Codec::H264));
    for program in [Program::Ffmpeg, Program::Gstreamer] {
        let lossy = Lossy::start(rtsp(&server), Faults { lost: 30, late: 0, twice: 0 });
        let address = format!("rtsp://127.0.0.1:{}/cam", lossy.port());
        let player = Player::start(&directory, program, Transport::Udp, &address, 10_000);
        let reported = eventually(&format!("{program:?} reports loss"), || {
            let stats = server.stats();
            let viewers = stats["viewers"].as_array().unwrap().clone();
            let viewer = viewers.into_iter().find(|viewer| viewer["kind"] == "rtsp-udp")?;
            (viewer["rtsp"]["tracks"][0]["lost"].as_u64()? > 0).then_some(viewer)
        });
        assert!(lossy.counts().lost > 0, "{reported}");
        drop(player);
        until("its session ends", || server.stats()["viewers"].as_array().is_some_and(Vec::is_empty));
    }
    server.stop();
}
