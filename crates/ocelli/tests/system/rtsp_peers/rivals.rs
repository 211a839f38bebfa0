//! Other servers that take Ocelli's streams and serve them again, played by FFmpeg: MediaMTX where `OCELLI_MEDIAMTX` says, and
//! go2rtc where `OCELLI_GO2RTC` does. Left out where they do not.

use tempfile::TempDir;

use super::clips::{Clip, Codec, SIZE};
use super::matrix::{PICTURES, address_of, serving};
use super::players::{Player, Program, Transport, all_show, known};
use crate::processes::until;
use crate::programs::{Running, directory, free_port, installed};

/// What FFmpeg is to show: go2rtc does not begin with a keyframe, so that the first group of pictures may be damaged.
const ALL: u32 = 2 * PICTURES;

/// The program that a variable names.
pub(super) fn rival(variable: &str) -> Option<String> {
    let file = std::env::var(variable).ok();
    if file.is_none() {
        eprintln!("left out: {variable} names no program");
    }
    file
}

/// MediaMTX, which dials `from` once somebody watches; where it serves that.
fn mediamtx(directory: &TempDir, program: &str, from: &str, transport: Transport) -> (Running, String) {
    let transport = transport.ffmpeg();
    let [port, media] = [free_port(), free_port()];
    let configuration = format!(
        "logLevel: warn\napi: no\nmetrics: no\npprof: no\nplayback: no\nrtmp: no\nhls: no\nwebrtc: no\nsrt: no\nmoq: no\n\
         rtsp: yes\nrtspTransports: [tcp]\nrtspAddress: 127.0.0.1:{port}\nrtpAddress: 127.0.0.1:{media}\n\
         rtcpAddress: 127.0.0.1:{}\npaths:\n  cam:\n    source: {from}\n    rtspTransport: {transport}\n    \
         sourceOnDemand: yes\n",
        media + 1
    );
    let file = format!("mediamtx-{transport}.yml");
    std::fs::write(directory.path().join(&file), configuration).unwrap();
    (Running::start(directory, &format!("{program} {file}")), format!("rtsp://127.0.0.1:{port}/cam"))
}

/// go2rtc, in the same way. It knows TCP only.
fn go2rtc(directory: &TempDir, program: &str, from: &str) -> (Running, String) {
    let port = free_port();
    let configuration = format!(
        "app: {{modules: [rtsp, streams]}}\nrtsp: {{listen: '127.0.0.1:{port}'}}\nstreams:\n  cam: {from}#transport=tcp\n"
    );
    std::fs::write(directory.path().join("go2rtc.yaml"), configuration).unwrap();
    (
        Running::start(directory, &format!("{program} -config go2rtc.yaml")),
        format!("rtsp://127.0.0.1:{port}/cam"),
    )
}

fn listens(address: &str) {
    let host = address.trim_start_matches("rtsp://").trim_end_matches("/cam");
    until("it listens", || std::net::TcpStream::connect(host).is_ok());
}

fn takes(codec: Codec, start: impl Fn(&TempDir, &str) -> Vec<(Running, String)>) {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let clip = Clip::of(&directory, codec);
    let server = serving(&clip);
    let rivals = start(&directory, &address_of(&server, "cam"));
    let mut players = Vec::new();
    for (_, address) in &rivals {
        listens(address);
        players.push(Player::start(&directory, Program::Ffmpeg, Transport::Tcp, address, ALL));
    }
    for (name, shown) in all_show(players) {
        let said: Vec<_> = rivals.iter().map(|(rival, _)| rival.said()).collect();
        assert_eq!((shown.size, shown.pictures.len()), (SIZE, ALL as usize), "{name}: {said:#?}");
        let last = &shown.pictures[(ALL - PICTURES) as usize..];
        assert_eq!(known(last, &clip.pictures), last.len(), "{name}: {said:#?}");
    }
    drop(rivals);
    server.stop();
}

fn mediamtx_takes(codec: Codec) {
    let Some(program) = rival("OCELLI_MEDIAMTX") else { return };
    takes(codec, |directory, from| {
        [Transport::Tcp, Transport::Udp]
            .map(|transport| mediamtx(directory, &program, from, transport))
            .into()
    });
}

fn go2rtc_takes(codec: Codec) {
    let Some(program) = rival("OCELLI_GO2RTC") else { return };
    takes(codec, |directory, from| vec![go2rtc(directory, &program, from)]);
}

#[test]
fn mediamtx_takes_h264() {
    mediamtx_takes(Codec::H264);
}

#[test]
fn mediamtx_takes_h265() {
    mediamtx_takes(Codec::H265);
}

#[test]
fn mediamtx_takes_jpeg() {
    mediamtx_takes(Codec::Jpeg);
}

#[test]
fn go2rtc_takes_h264() {
    go2rtc_takes(Codec::H264);
}

#[test]
fn go2rtc_takes_h265() {
    go2rtc_takes(Codec::H265);
}

#[test]
fn go2rtc_takes_jpeg() {
    go2rtc_takes(Codec::Jpeg);
}
