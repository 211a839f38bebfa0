//! Addresses that ask for other pictures than the camera's own, by HTTP and by RTP push, with the whole program.

use std::collections::BTreeSet;

use tempfile::TempDir;

use crate::client::{Connection, Viewer, size};
use crate::processes::until;
use crate::programs::{directory, free_port, installed, run};
use crate::server::Server;

/// A film of H.264 or H.265 of 640x480 at 25 pictures a second, with a keyframe a second.
fn film(directory: &TempDir, encoder: &str, file: &str) -> String {
    let source = "-f lavfi -i testsrc2=size=640x480:rate=25 -t 4 -pix_fmt yuv420p";
    let (encoder, format) = match encoder {
        "libx265" => ("libx265 -preset ultrafast -x265-params log-level=none:keyint=25:pools=1", "hevc"),
        other => (other, "h264"),
    };
    run(directory, &format!("ffmpeg -v error {source} -c:v {encoder} -bf 0 -g 25 -f {format} {file}"));
    format!("file:{}?loop=1&fps=25", directory.path().join(file).display())
}

/// A server whose cameras are dialled at another one: IP cameras of H.264 and H.265.
fn ip_cameras(directory: &TempDir) -> Option<(Server, Server)> {
    if !installed(&["ffmpeg"]) {
        return None;
    }
    let h264 = film(directory, "libx264 -preset ultrafast", "film.h264");
    let h265 = film(directory, "libx265", "film.h265");
    let cameras = Server::configured(&format!("[cameras]\nh264 = \"{h264}\"\nh265 = \"{h265}\"\n"));
    cameras.until_state("h264", "ready");
    cameras.until_state("h265", "ready");
    let at = cameras.stats()["rtsp"]["listens"].as_str().unwrap().to_owned();
    let server = Server::configured(&format!(
        "[cameras.yard]\nsource = \"rtsp://{at}/h264\"\n[cameras.gate]\nsource = \"rtsp://{at}/h265\"\n\
         [cameras.yard.variants.small]\nwidth = 200\nquality = 33\n"
    ));
    server.until_state("yard", "ready");
    server.until_state("gate", "ready");
    Some((cameras, server))
}

fn shape(picture: &[u8]) -> String {
    size(picture).to_string()
}

#[test]
fn ip_cameras_are_watched_as_mjpeg_in_any_size() {
    let directory = directory();
    let Some((cameras, server)) = ip_cameras(&directory) else { return };
    for (path, made, seen) in [
        ("/cameras/yard/stream", None, "640x480"),
        ("/cameras/gate/stream", None, "640x480"),
        ("/cameras/yard/stream?width=330&quality=68", Some("width=320 height=240 quality=70"), "320x240"),
        ("/cameras/gate/stream?height=240&fps=5", Some("width=320 height=240 fps=5"), "320x240"),
        ("/cameras/yard/stream?rotate=90", Some("rotate=90"), "480x640"),
        ("/cameras/yard/stream?variant=small", Some("width=200 height=150 quality=33"), "200x150"),
    ] {
        let mut viewer = Viewer::open(server.address(), path, "");
        assert_eq!(viewer.head.header("x-variant"), made, "{path}");
        for _ in 0..5 {
            let part = viewer.next();
            assert_eq!(shape(&part.data), seen, "{path}");
            assert!(part.timestamp.is_some(), "{path}");
        }
    }
    server.stop();
    cameras.stop();
}

#[test]
fn two_who_ask_the_same_share_what_is_made() {
    let directory = directory();
    let Some((cameras, server)) = ip_cameras(&directory) else { return };
    let mut first = Viewer::open(server.address(), "/cameras/yard/stream?width=320", "");
    let mut second = Viewer::open(server.address(), "/cameras/yard/stream?width=333", "");
    let seen = |viewer: &mut Viewer| (0..40).map(|_| viewer.next().data.to_vec()).collect::<BTreeSet<_>>();
    let (pictures, same) = (seen(&mut first), seen(&mut second));
    assert!(pictures.intersection(&same).count() > 5, "they get the same pictures, byte by byte");
    assert_eq!(server.groups().len(), 1, "one worker for the camera that is watched so");
    drop((first, second));
    until("the worker ends with the last", || server.groups().is_empty());
    server.stop();
    cameras.stop();
}

#[test]
fn snapshots_are_of_any_codec() {
    let directory = directory();
    let Some((cameras, server)) = ip_cameras(&directory) else { return };
    let mut connection = Connection::open(server.address());
    for (path, seen) in [
        ("/cameras/yard/snapshot", "640x480"),
        ("/cameras/gate/snapshot?width=160", "160x120"),
        ("/cameras/yard/snapshot?variant=small", "200x150"),
        ("/cameras/yard/snapshot?rotate=270", "480x640"),
    ] {
        let snapshot = connection.get(path);
        assert_eq!(snapshot.status, 200, "{path}: {}", String::from_utf8_lossy(&snapshot.body));
        assert_eq!(
            (shape(&snapshot.body).as_str(), snapshot.header("content-type")),
            (seen, Some("image/jpeg"))
        );
        assert!(snapshot.header("x-timestamp").is_some() && snapshot.header("etag").is_some(), "{path}");
    }
    server.stop();
    cameras.stop();
}

#[test]
fn a_camera_that_was_mounted_the_wrong_way_is_turned_for_all() {
    let server = Server::configured(
        "[cameras.cam]\nsource = \"pattern:?width=320&height=240&fps=10\"\nrotate = 90\n\
         [cameras.cam.variants.small]\nheight = 160\n",
    );
    server.until_state("cam", "ready");
    for (path, seen) in [
        ("/stream", "240x320"),
        ("/stream?rotate=270", "320x240"),
        ("/stream?variant=small", "120x160"),
        ("/stream?rotate=90&width=160", "160x120"),
    ] {
        let mut viewer = Viewer::open(server.address(), path, "");
        assert_eq!(shape(&viewer.next().data), seen, "{path}");
    }
    assert_eq!(shape(&server.get("/snapshot").body), "240x320");
    server.stop();
}

#[test]
fn a_predecessors_file_transcodes_as_it_stands() {
    let directory = directory();
    if !installed(&["ffmpeg"]) {
        return;
    }
    let film = film(&directory, "libx264 -preset ultrafast", "film.h264");
    let camera = Server::configured(&format!("[cameras]\ncam = \"{film}\"\n"));
    camera.until_state("cam", "ready");
    let at = camera.stats()["rtsp"]["listens"].as_str().unwrap().to_owned();
    let server = Server::configured(&format!(
        "[rtsp]\nurl = \"rtsp://{at}/cam\"\ntransport = \"tcp\"\n\
         [transcoding]\noutput_format = \"mjpeg\"\nquality = 60\nframerate = 10\nresolution = \"320x240\"\nmax_latency_ms = 200\n\
         [ffmpeg]\nenabled = true\npath = \"ffmpeg\"\n"
    ));
    server.until_state("camera", "ready");
    assert!(server.stats_of("camera")["source"].as_str().unwrap().starts_with("rtsp://"));
    let mut viewer = Viewer::open(server.address(), "/stream", "");
    let mut taken = || {
        let part = viewer.next();
        assert_eq!(shape(&part.data), "320x240");
        part.timestamp.expect("X-Timestamp").as_secs_f64()
    };
    // By when they were taken, of which a busy machine makes fewer, never more.
    let began = taken();
    let rate = 20.0 / ((0..20).map(|_| taken()).last().unwrap() - began);
    assert!((1.0..12.5).contains(&rate), "{rate} pictures a second");
    server.stop();
    camera.stop();
}

#[test]
fn a_webcam_is_pushed_as_h264() {
    let port = free_port();
    let receiver = Server::configured(&format!("[cameras]\nin = \"rtp://127.0.0.1:{port}?codec=h264\"\n"));
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"pattern:?width=320&height=240&fps=15\"\n\
         push = \"rtp://127.0.0.1:{port}?codec=h264&width=160&bitrate=500\"\n"
    ));
    receiver.until_state("in", "ready");
    until("its pictures have a size", || receiver.stats_of("in")["width"] == 160);
    assert_eq!(receiver.stats_of("in")["codec"], "h264");
    let description = server.get("/stream.sdp");
    let text = String::from_utf8(description.body).unwrap();
    assert!(text.contains("H264/90000"), "{text}");
    server.stop();
    receiver.stop();
}

/// A camera whose JPEGs say that they are of 65500 by 65500 pixels.
fn giant(directory: &TempDir) -> String {
    let mut jpeg = std::fs::read(crate::server::picture("baseline.jpg")).unwrap();
    let frame = jpeg.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xFF, 0xDC, 0xFF, 0xDC]);
    let path = directory.path().join("giant.jpg");
    std::fs::write(&path, jpeg).unwrap();
    format!("[cameras.giant]\nsource = \"file:{}?loop=1&fps=10\"\n", path.display())
}

#[test]
fn viewers_of_pictures_that_nothing_decodes_are_told_so() {
    let directory = directory();
    let server = Server::configured(&giant(&directory));
    server.until_state("giant", "ready");
    let mut viewer = Viewer::open(server.address(), "/stream?width=320", "");
    assert_eq!(shape(&viewer.next().data), "320x320", "a notice");
    let note = |server: &Server| server.stats_of("giant")["variants"][0]["note"].as_str().map(str::to_owned);
    let words = note(&server).unwrap();
    assert!(words.starts_with("no picture can be decoded: "), "{words}");
    let raw = server.get("/stream?codec=yuv420&width=320");
    assert_eq!((raw.status, raw.error().contains("no picture can be decoded")), (503, true), "{raw:?}");
    assert_eq!(server.log().matches("no picture can be decoded").count(), 1, "{}", server.log());
    server.stop();
}

#[test]
fn what_nothing_makes_and_what_a_way_does_not_carry_is_refused_in_words() {
    let server = Server::configured("[cameras.cam]\nsource = \"pattern:?width=160&height=120&fps=5\"\n");
    server.until_state("cam", "ready");
    let bit_rate = server.get("/stream?bitrate=500");
    assert_eq!(bit_rate.status, 400);
    assert_eq!(bit_rate.error(), "bitrate=500: expected only with H.264: of JPEGs the quality is chosen");
    for (target, words) in [
        ("rtp://127.0.0.1:5000?codec=rgb24", "codec=rgb24: expected mjpeg, h264 or the camera's own"),
        ("rtp://127.0.0.1:5000?codec=h265", "there is no `codec=h265`: nothing here encodes h265"),
        ("rtp://127.0.0.1:5000?width=5", "width=5: expected 16 to 8192"),
        (
            "rtp://127.0.0.1:5000?variant=x",
            "there is no variant `x`: expected none: the camera has no variants",
        ),
    ] {
        let refused =
            crate::changes::patch(&server, crate::changes::JSON, &format!("{{\"push\": [\"{target}\"]}}"));
        assert_eq!(refused.status, 400, "{target}");
        assert!(refused.error().starts_with(&format!("`push[0]`: {words}")), "{}", refused.error());
    }
    server.stop();
}
