//! The RTSP server as its clients see it: other people's players, readers that are slow, stalled or
//! gone, and those who mean no good.

mod abuse;
mod datagrams;
mod multicast;
pub(crate) mod player;
mod reading;

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use crate::processes::until;
use crate::programs::{directory, installed, run};
use crate::server::Server;

/// A film of H.264 or H.265 with a keyframe each `group` pictures, 25 a second; 4 Mbit/s or so.
fn film(directory: &TempDir, encoder: &str, group: u32) -> String {
    let name = format!("film-{encoder}-{group}.{}", if encoder == "libx264" { "h264" } else { "h265" });
    if !Path::new(&directory.path().join(&name)).exists() {
        run(
            directory,
            &format!(
                "ffmpeg -v error -f lavfi -i testsrc2=size=640x360:rate=25,noise=alls=30:allf=t -t {} -c:v {encoder} -preset ultrafast -tune zerolatency -g {group} -keyint_min {group} -x265-params log-level=none:keyint={group} -b:v 4M {name}",
                2 * group / 25
            ),
        );
    }
    directory.path().join(name).to_str().unwrap().to_owned()
}

impl Server {
    /// Where it serves RTSP.
    pub(crate) fn rtsp(&self) -> SocketAddr {
        self.stats()["rtsp"]["listens"].as_str().unwrap().parse().unwrap()
    }
}

/// One with a film of H.264 as camera `cam`, which gives pictures.
fn with_film(directory: &TempDir, group: u32) -> Server {
    let film = film(directory, "libx264", group);
    let server = Server::camera(&format!("file:{film}?loop=1"));
    server.until_state("cam", "ready");
    server
}

#[test]
fn ffmpeg_and_gstreamer_play_every_codec() {
    every_codec_is_played(&["tcp", "http"], "tcp");
}

#[test]
fn ffmpeg_and_gstreamer_play_every_codec_by_udp() {
    every_codec_is_played(&["udp"], "udp");
}

/// FFmpeg plays each codec by these transports, and GStreamer by its own; then nobody watches any more.
fn every_codec_is_played(transports: &[&str], protocol: &str) {
    if !installed(&["ffmpeg", "gst-launch-1.0"]) {
        return;
    }
    let directory = directory();
    for (codec, source, depacketise) in [
        ("mjpeg", "pattern:?width=320&height=240&fps=25".to_owned(), "rtpjpegdepay ! jpegdec"),
        ("h264", format!("file:{}?loop=1", film(&directory, "libx264", 25)), "rtph264depay ! avdec_h264"),
        ("h265", format!("file:{}?loop=1", film(&directory, "libx265", 25)), "rtph265depay ! avdec_h265"),
    ] {
        let server = Server::camera(&source);
        server.until_state("cam", "ready");
        let url = format!("rtsp://{}/cam", server.rtsp());
        for transport in transports {
            let said = run(
                &directory,
                &format!(
                    "ffmpeg -v error -xerror -rtsp_transport {transport} -i {url} -frames:v 40 -fps_mode passthrough -enc_time_base 1:90000 -f null -"
                ),
            );
            assert_eq!(said, "", "{codec} by {transport}");
        }
        run(
            &directory,
            &format!(
                "gst-launch-1.0 -q rtspsrc location={url} protocols={protocol} latency=0 ! {depacketise} ! identity eos-after=40 ! fakesink"
            ),
        );
        until("all have left", || server.stats()["viewers"].as_array().unwrap().is_empty());
        server.stop();
    }
}
