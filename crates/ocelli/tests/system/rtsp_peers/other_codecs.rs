//! A webcam's JPEGs as H.264, and an H.264 camera's as JPEG, in other sizes than the cameras': played by other people's programs.

use std::process::Command;

use super::clips::{Clip, Codec, SIZE};
use super::matrix::{address_of, serving};
use super::players::{Player, Program, Transport, all_show};
use crate::programs::{directory, installed};
use crate::server::Server;

const PICTURES: u32 = 40;

/// The codec and the size of the pictures at an address, as FFmpeg finds them.
fn probed(address: &str) -> String {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-rtsp_transport", "tcp", "-select_streams", "v"]);
    command.args(["-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0", address]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{address}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn all_play(players: Vec<Player<'_>>) {
    for (name, shown) in all_show(players) {
        assert_eq!((shown.errors.as_str(), shown.size), ("", SIZE), "{name}");
        assert!(shown.pictures.len() >= PICTURES as usize, "{name}: {}", shown.pictures.len());
        assert!(shown.pictures.iter().any(|picture| *picture != shown.pictures[0]), "{name}: nothing moves");
    }
}

#[test]
fn a_webcam_is_played_as_h264() {
    if !installed(&["ffmpeg", "gst-launch-1.0"]) {
        return;
    }
    let directory = directory();
    let server = Server::configured(
        "[cameras.cam]\nsource = \"pattern:?width=640&height=480&fps=25\"\n\
         [cameras.cam.variants.film]\ncodec = \"h264\"\nwidth = 320\nbitrate = 800\n",
    );
    server.until_state("cam", "ready");
    let (query, named) = (address_of(&server, "cam?codec=h264&width=320"), address_of(&server, "cam/film"));
    for (address, found) in [
        (&query, "h264,320,240"),
        (&named, "h264,320,240"),
        (&address_of(&server, "cam?variant=film"), "h264,320,240"),
        (&address_of(&server, "cam?codec=h264"), "h264,640,480"),
        (&address_of(&server, "cam?width=320&rotate=90"), "mjpeg,320,432"),
        (&address_of(&server, "cam"), "mjpeg,640,480"),
    ] {
        assert_eq!(probed(address), found, "{address}");
    }
    let mut players = Vec::new();
    for (program, transport) in [
        (Program::Ffmpeg, Transport::Tcp),
        (Program::Ffmpeg, Transport::Udp),
        (Program::Gstreamer, Transport::Tcp),
        (Program::Gstreamer, Transport::Udp),
        (Program::Vlc, Transport::Tcp),
        (Program::Retina, Transport::Tcp),
        (Program::Live555, Transport::Tcp),
    ] {
        // The last one goes through a shell.
        let address = if program == Program::Live555 { &named } else { &query };
        if program.is_there() {
            players.push(Player::start(&directory, program, transport, address, PICTURES));
        }
    }
    all_play(players);
    server.stop();
}

#[test]
fn an_h264_camera_is_played_as_jpeg() {
    if !installed(&["ffmpeg", "gst-launch-1.0"]) {
        return;
    }
    let directory = directory();
    let server = serving(&Clip::of(&directory, Codec::H264));
    let address = address_of(&server, "cam?codec=mjpeg");
    assert_eq!(probed(&address), "mjpeg,320,240");
    let play = |program| Player::start(&directory, program, Transport::Tcp, &address, PICTURES);
    all_play(vec![play(Program::Ffmpeg), play(Program::Gstreamer)]);
    server.stop();
}
