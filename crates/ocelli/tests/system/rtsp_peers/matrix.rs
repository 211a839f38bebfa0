//! Each program plays each codec over each transport from the built binary.

use super::clips::{Clip, Codec, RATE, SIZE};
use super::players::{Player, Program, Transport, all_show, known};
use crate::programs::directory;
use crate::server::Server;

/// More than a group of pictures: a player that stops at the end of what came at once is noticed.
pub(super) const PICTURES: u32 = 75;

/// A server with the camera `cam` that shows a clip, again and again.
pub(super) fn serving(clip: &Clip) -> Server {
    let source = format!("file:{}?fps={RATE}&loop=1", clip.file.display());
    let server = Server::configured(&format!("[cameras.cam]\nsource = \"{source}\"\n"));
    server.until_state("cam", "ready");
    server
}

/// Where a camera is by RTSP.
pub(super) fn address_of(server: &Server, camera: &str) -> String {
    format!("rtsp://{}/{camera}", server.stats()["rtsp"]["listens"].as_str().unwrap())
}

fn plays(codec: Codec, program: Program, transports: &[Transport]) {
    if !program.is_there() {
        return;
    }
    let directory = directory();
    let clip = Clip::of(&directory, codec);
    let server = serving(&clip);
    let address = address_of(&server, "cam");
    let start = |transport: &Transport| Player::start(&directory, program, *transport, &address, PICTURES);
    let players = transports.iter().map(start).collect();
    for (name, shown) in all_show(players) {
        eprintln!("{name}: {:?} to the first of {} pictures", shown.first, shown.pictures.len());
        assert_eq!(shown.errors, "", "{name}");
        assert_eq!(shown.size, SIZE, "{name}");
        assert!(shown.pictures.len() >= PICTURES as usize, "{name}: {}", shown.pictures.len());
        // GStreamer's and VLC's decoders of JPEG round otherwise than FFmpeg's.
        if codec != Codec::Jpeg || program == Program::Ffmpeg {
            assert_eq!(known(&shown.pictures, &clip.pictures), shown.pictures.len(), "{name}");
        }
    }
    server.stop();
}

const BOTH: [Transport; 1] = [Transport::Tcp];

#[test]
fn ffmpeg_plays_h264() {
    plays(Codec::H264, Program::Ffmpeg, &BOTH);
}

#[test]
fn ffmpeg_plays_h265() {
    plays(Codec::H265, Program::Ffmpeg, &BOTH);
}

#[test]
fn ffmpeg_plays_jpeg() {
    plays(Codec::Jpeg, Program::Ffmpeg, &BOTH);
}

#[test]
fn gstreamer_plays_h264() {
    plays(Codec::H264, Program::Gstreamer, &BOTH);
}

#[test]
fn gstreamer_plays_h265() {
    plays(Codec::H265, Program::Gstreamer, &BOTH);
}

#[test]
fn gstreamer_plays_jpeg() {
    plays(Codec::Jpeg, Program::Gstreamer, &BOTH);
}

#[test]
fn vlc_plays_h264() {
    plays(Codec::H264, Program::Vlc, &BOTH);
}

#[test]
fn vlc_plays_h265() {
    plays(Codec::H265, Program::Vlc, &BOTH);
}

#[test]
fn vlc_plays_jpeg() {
    plays(Codec::Jpeg, Program::Vlc, &BOTH);
}

#[test]
fn retina_plays_h264() {
    plays(Codec::H264, Program::Retina, &BOTH);
}

#[test]
fn retina_plays_h265() {
    plays(Codec::H265, Program::Retina, &BOTH);
}

#[test]
fn retina_plays_jpeg() {
    plays(Codec::Jpeg, Program::Retina, &BOTH);
}

#[test]
fn live555_plays_h264() {
    plays(Codec::H264, Program::Live555, &BOTH);
}

#[test]
fn live555_plays_h265() {
    plays(Codec::H265, Program::Live555, &BOTH);
}

#[test]
fn live555_plays_jpeg() {
    plays(Codec::Jpeg, Program::Live555, &BOTH);
}
