//! IP cameras by RTSP: GStreamer's RTSP server as each kind of them, over each transport, and every way to lose one.

mod lost;
mod scripted;
mod transports;

use std::process::{Output, Stdio};

use serde_json::Value;

use crate::client::Viewer;
use crate::processes::until;
use crate::rtsp_peers::camera::Camera;
use crate::server::{Server, command};

/// A server with one camera called `cam`: `lines` of its table beside its source.
fn server(source: &str, lines: &str) -> Server {
    Server::configured(&format!("[cameras.cam]\nsource = \"{source}\"\n{lines}\n"))
}

/// What `ocelli probe` makes of a source.
fn probe(source: &str) -> (Option<i32>, String, String) {
    let mut command = command();
    let Output { status, stdout, stderr } =
        command.args(["probe", source]).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// Waits until a viewer has got so many pictures.
fn shows(viewer: &mut Viewer, pictures: usize) {
    (0..pictures).for_each(|_| drop(viewer.next()));
}

/// Waits until pictures of `cam` come, and gives what `/stats` says of it.
fn playing(server: &Server) -> Value {
    server.until_state("cam", "ready");
    let before = server.stats_of("cam")["frames"].as_u64();
    until("more pictures come", || server.stats_of("cam")["frames"].as_u64() > before);
    server.stats_of("cam")
}

#[test]
fn cameras_of_each_kind_come_in_over_each_transport_with_their_sound() {
    let kinds = [
        ("--codec h264 --sound aac --in-band", "", "h264", "aac", "tcp"),
        ("--codec h264 --b-frames 2 --slices --sound opus --user a:b", "a:b", "h264", "opus", "udp"),
        ("--codec h265 --sound pcmu --user a:b --auth basic", "a:b", "h265", "pcmu", "tcp"),
        ("--codec h265 --in-band --sound none", "", "h265", "", "udp"),
        ("--codec jpeg --sound pcma --user a:b --auth both", "a:b", "mjpeg", "pcma", "auto"),
    ];
    for (arguments, user, codec, sound, transport) in kinds {
        let Some(camera) = Camera::start(arguments) else { return };
        let server = server(&camera.address(user), &format!("transport = \"{transport}\""));
        let stats = playing(&server);
        let said = |member: &str| stats[member].as_str().unwrap_or_default().to_owned();
        assert_eq!((said("codec"), stats["width"].as_u64()), (codec.to_owned(), Some(320)), "{stats}");
        let expected = if transport == "auto" { "tcp" } else { transport };
        assert_eq!(stats["network"]["transport"], expected, "{stats}");
        if !sound.is_empty() {
            until("sound comes", || server.stats_of("cam")["sound"]["packets"].as_u64() > Some(0));
            assert_eq!(server.stats_of("cam")["sound"]["codec"], sound);
        }
        let network = server.stats_of("cam")["network"].clone();
        assert_eq!((network["lost"].as_u64(), network["strange"].as_u64()), (Some(0), Some(0)), "{network}");
        server.stop();
        until("the camera hears of the end", || camera.granted("teardown") == 1);
    }
}

#[test]
fn what_comes_in_goes_out_and_decodes() {
    let Some(camera) = Camera::start("--codec h264 --b-frames 2 --sound aac --keyframes 15") else { return };
    let server = server(&camera.address(""), "");
    playing(&server);
    let listens = server.stats()["rtsp"]["listens"].as_str().unwrap().to_owned();
    let directory = crate::programs::directory();
    let line =
        format!("ffmpeg -v error -xerror -rtsp_transport tcp -i rtsp://{listens}/cam -map 0 -t 2 -f null -");
    assert_eq!(crate::programs::run(&directory, &line), "");
    server.stop();
}

#[test]
fn a_camera_on_demand_is_dialled_for_its_first_viewer() {
    let Some(camera) = Camera::start("--codec jpeg") else { return };
    let server = server(&camera.address(""), "on_demand = true");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!((camera.granted("options"), server.stats_of("cam")["state"].as_str()), (0, Some("idle")));
    let mut viewer = server.watch("cam");
    shows(&mut viewer, 3);
    drop(viewer);
    until("the camera is hung up on", || camera.granted("teardown") == 1);
    server.until_state("cam", "idle");
    server.stop();
}

#[test]
fn probe_says_what_a_camera_sends_or_why_not() {
    let Some(camera) = Camera::start("--codec h265 --sound opus --user me:hunter2") else { return };
    let (status, out, errors) = probe(&camera.address("me:hunter2"));
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{out}");
    for line in ["  h265 320x240\n", "  opus 48000 Hz", " pictures a second, ", "  packets come by tcp\n"] {
        assert!(out.contains(line), "{line:?} in {out}");
    }
    assert!(!out.contains("hunter2"));
    let failures = [
        (camera.address("me:wrong"), "401: the camera refused the password"),
        (camera.address(""), "401: the camera asks for a user and a password"),
        (
            camera.address("me:hunter2").replace("/stream", "/other"),
            "404: the camera has no stream at that path",
        ),
        ("rtsp://me:hunter2@127.0.0.1:1/x".to_owned(), "the host 127.0.0.1 answers but port 1 is closed"),
        ("rtsp://nobody.invalid/x".to_owned(), "no such host: nobody.invalid"),
    ];
    for (source, words) in failures {
        let (status, out, errors) = probe(&source);
        assert!(status == Some(1) && errors.contains(words), "{status:?} {errors}");
        assert!(!format!("{out}{errors}").contains("hunter2") && !errors.contains("wrong"), "{out}{errors}");
    }
}

#[test]
fn the_predecessors_file_streams() {
    let Some(camera) = Camera::start("--codec jpeg --user admin:hunter2") else { return };
    let server = Server::configured(&format!(
        "[server]\nwebsocket_port = 8081\n[rtsp]\nurl = \"{}\"\ntransport = \"udp\"\nreconnect_interval = 1\n\
         [transcoding]\noutput_format = \"mjpeg\"\nframerate = 15\n[ffmpeg]\nenabled = true\n",
        camera.address("admin:hunter2")
    ));
    server.until_state("camera", "ready");
    let mut viewer = server.watch("camera");
    shows(&mut viewer, 3);
    assert_eq!(server.stats_of("camera")["network"]["transport"], "udp");
    let log = server.log();
    assert!(log.contains("websocket_port") && !log.contains("transcoding.framerate"), "{log}");
    assert!(!log.contains("hunter2") && !server.stats().to_string().contains("hunter2"));
    drop(viewer);
    server.stop();
}
