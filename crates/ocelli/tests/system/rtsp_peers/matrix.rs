//! Each program plays each codec over each transport from the built binary.

use tempfile::TempDir;

use super::clips::{Clip, Codec, RATE, SIZE};
use super::network::alone;
use super::players::{Player, Program, Transport, all_show, known};
use crate::processes::until;
use crate::programs::directory;
use crate::server::Server;

/// More than a group of pictures: a player that stops at the end of what came at once is noticed.
pub(super) const PICTURES: u32 = 75;

/// A server with the camera `cam` that shows a clip, again and again.
pub(super) fn serving(clip: &Clip) -> Server {
    serving_as(clip, "")
}

/// The same, with further lines of configuration.
fn serving_as(clip: &Clip, more: &str) -> Server {
    let source = format!("file:{}?fps={RATE}&loop=1", clip.file.display());
    let server = Server::configured(&format!("{more}\n[cameras.cam]\nsource = \"{source}\"\n"));
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
    all_as_sent(
        &directory,
        &server,
        &clip,
        codec,
        &transports.iter().map(|way| (program, *way)).collect::<Vec<_>>(),
    );
    server.stop();
}

/// Looks that each of these shows every picture as it was sent.
fn all_as_sent(
    directory: &TempDir,
    server: &Server,
    clip: &Clip,
    codec: Codec,
    players: &[(Program, Transport)],
) {
    let address = address_of(server, "cam");
    let start = |(program, transport): &(Program, Transport)| {
        Player::start(directory, *program, *transport, &address, PICTURES)
    };
    for (name, shown) in all_show(players.iter().map(start).collect()) {
        eprintln!("{name}: {:?} to the first of {} pictures", shown.first, shown.pictures.len());
        assert_eq!(shown.errors, "", "{name}");
        assert_eq!(shown.size, SIZE, "{name}");
        assert!(shown.pictures.len() >= PICTURES as usize, "{name}: {}", shown.pictures.len());
        // GStreamer's and VLC's decoders of JPEG round otherwise than FFmpeg's.
        if codec != Codec::Jpeg || !name.starts_with("Gst") && !name.starts_with("Vlc") {
            assert_eq!(known(&shown.pictures, &clip.pictures), shown.pictures.len(), "{name}");
        }
    }
}

/// By multicast all players of a camera are sent the same packets, once, so that one which joins shows damaged pictures until
/// the next keyframe. FFmpeg's and GStreamer's do not play at the same time: FFmpeg ends when any member of the group takes its
/// leave by RTCP, as GStreamer's do.
fn multicast(codec: Codec, name: &str) {
    if !Program::Ffmpeg.is_there() || !Program::Gstreamer.is_there() || !alone(name) {
        return;
    }
    let directory = directory();
    let clip = Clip::of(&directory, codec);
    let server = serving_as(&clip, "[rtsp_server]\nmulticast = \"239.255.42.0/24\"");
    let address = address_of(&server, "cam");
    let all = PICTURES + 60;
    for program in [Program::Ffmpeg, Program::Gstreamer] {
        let start = |_| Player::start(&directory, program, Transport::Multicast, &address, all);
        let players: Vec<_> = (0..2).map(start).collect();
        until("both watch", || viewers(&server, "rtsp-multicast") == 2);
        for (name, shown) in all_show(players) {
            assert_eq!((shown.size, shown.pictures.len()), (SIZE, all as usize), "{name}: {}", shown.errors);
            let last = &shown.pictures[60..];
            if codec != Codec::Jpeg || program == Program::Ffmpeg {
                assert_eq!(known(last, &clip.pictures), last.len(), "{name}: {}", shown.errors);
            }
        }
        until("both have left", || viewers(&server, "rtsp-multicast") == 0);
    }
    server.stop();
}

/// How many watch in this way.
fn viewers(server: &Server, kind: &str) -> usize {
    let stats = server.stats();
    stats["viewers"].as_array().unwrap().iter().filter(|viewer| viewer["kind"] == kind).count()
}

#[test]
fn players_share_the_multicast_of_h264() {
    multicast(Codec::H264, "rtsp_peers::matrix::players_share_the_multicast_of_h264");
}

#[test]
fn players_share_the_multicast_of_h265() {
    multicast(Codec::H265, "rtsp_peers::matrix::players_share_the_multicast_of_h265");
}

#[test]
fn players_share_the_multicast_of_jpeg() {
    multicast(Codec::Jpeg, "rtsp_peers::matrix::players_share_the_multicast_of_jpeg");
}

const ALL: [Transport; 3] = [Transport::Tcp, Transport::Udp, Transport::Tunnel];
const BOTH: [Transport; 2] = [Transport::Tcp, Transport::Udp];

#[test]
fn ffmpeg_plays_h264() {
    plays(Codec::H264, Program::Ffmpeg, &ALL);
}

#[test]
fn ffmpeg_plays_h265() {
    plays(Codec::H265, Program::Ffmpeg, &ALL);
}

#[test]
fn ffmpeg_plays_jpeg() {
    plays(Codec::Jpeg, Program::Ffmpeg, &ALL);
}

#[test]
fn gstreamer_plays_h264() {
    plays(Codec::H264, Program::Gstreamer, &ALL);
}

#[test]
fn gstreamer_plays_h265() {
    plays(Codec::H265, Program::Gstreamer, &ALL);
}

#[test]
fn gstreamer_plays_jpeg() {
    plays(Codec::Jpeg, Program::Gstreamer, &ALL);
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
