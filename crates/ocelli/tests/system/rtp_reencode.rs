//! JPEGs that RTP cannot carry, pushed all the same: what FFmpeg shows of them, and what happens when their worker is
//! killed, hangs, is missing or another one.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ocelli_codec::worker::protocol::{Able, Hello};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

use crate::processes::{self, eventually, until};
use crate::rtp_push::{Receiver, push_of};
use crate::server::{Server, command};

const WIDTH: usize = 320;
const HEIGHT: usize = 240;

/// A picture with edges, slopes and colours.
fn jpeg(subsamp: Subsamp, how: impl FnOnce(&mut Compressor)) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(WIDTH * HEIGHT * 3);
    for row in 0..HEIGHT {
        for column in 0..WIDTH {
            let checks = if (row / 24 + column / 24).is_multiple_of(2) { 40 } else { 0 };
            pixels.extend([(column / 2) as u8 + checks, (row / 2) as u8 + checks, 200 - (column / 3) as u8]);
        }
    }
    let mut compressor = Compressor::new().unwrap();
    compressor.set_quality(90).unwrap();
    compressor.set_subsamp(subsamp).unwrap();
    how(&mut compressor);
    let image = Image {
        pixels: &pixels[..],
        width: WIDTH,
        pitch: WIDTH * 3,
        height: HEIGHT,
        format: PixelFormat::RGB,
    };
    compressor.compress_to_vec(image).unwrap()
}

fn yuv444() -> Vec<u8> {
    jpeg(Subsamp::None, |_| {})
}

fn progressive() -> Vec<u8> {
    jpeg(Subsamp::Sub2x2, |compressor| compressor.set_progressive(true).unwrap())
}

/// A camera in a configuration, which gives one picture again and again.
fn camera(name: &str, file: &Path, push: &str) -> String {
    let file = file.display();
    format!("[cameras.{name}]\nsource = \"file:{file}?fps=20&loop=1\"\npush = [\"{push}\"]\n")
}

fn write(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Of the two pictures' pixels, in dB.
fn psnr(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len());
    let squares: f64 = one.iter().zip(other).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0_f64.powi(2) * one.len() as f64 / squares.max(1.0)).log10()
}

fn pixels(jpeg: &[u8]) -> Vec<u8> {
    turbojpeg::decompress(jpeg, PixelFormat::RGB).unwrap().pixels
}

/// Two ports, the first of them even, that nobody has.
fn free_ports() -> u16 {
    eventually("two free ports", || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port() & !1;
        drop(socket);
        let both = [port, port + 1].map(|port| UdpSocket::bind(("127.0.0.1", port)));
        both.iter().all(Result::is_ok).then_some(port)
    })
}

/// The worker of a camera.
fn worker(server: &Server, camera: &str) -> Option<u32> {
    server.groups().into_iter().find(|process| {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        line.ends_with(format!("ocelli-codec\0{camera}\0").as_bytes())
    })
}

fn reencoding(server: &Server, camera: &str) -> Value {
    server.stats_of(camera)["reencoding"].clone()
}

#[test]
fn ffmpeg_shows_what_rtp_has_no_way_to_say() {
    for (original, reason) in [(progressive(), "progressive coding"), (yuv444(), "colour sampled 4:4:4")] {
        let directory = tempfile::tempdir().unwrap();
        let port = free_ports();
        let session = format!(
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 26\n"
        );
        let session = write(&directory, "session.sdp", session.as_bytes());
        let shown = directory.path().join("shown");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-hide_banner", "-loglevel", "error", "-protocol_whitelist", "file,udp,rtp", "-i"]);
        ffmpeg.arg(&session).args(["-frames:v", "3", "-pix_fmt", "rgb24", "-f", "rawvideo"]).arg(&shown);
        let mut ffmpeg = ffmpeg.stdin(Stdio::null()).spawn().expect("FFmpeg is installed");

        let file = write(&directory, "picture.jpg", &original);
        let server = Server::configured(&camera("cam", &file, &format!("rtp://127.0.0.1:{port}")));
        let ended = eventually("FFmpeg has seen three pictures", || ffmpeg.try_wait().unwrap());
        assert!(ended.success());
        let shown = std::fs::read(shown).unwrap();
        for shown in shown.chunks(WIDTH * HEIGHT * 3) {
            let near = psnr(&pixels(&original), shown);
            assert!(near > 32.0, "{near:.1} dB, {reason}");
        }
        let push = push_of(&server, "cam");
        assert!(push["done"]["reencoded"].as_u64() >= Some(3), "{push}");
        assert!(push["reencoded"].as_str().unwrap().contains(reason), "{push}");
        assert!(push["refused"].is_null(), "{push}");
        assert_eq!(server.log().matches("pictures are encoded anew").count(), 1, "{}", server.log());
        let reencoding = reencoding(&server, "cam");
        assert_eq!((&reencoding["starts"], &reencoding["failed"]), (&1.into(), &0.into()), "{reencoding}");
        server.stop();
    }
}

#[test]
fn it_is_refused_once_where_nothing_may_be_encoded_anew() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(&directory, "picture.jpg", &progressive());
    let receiver = Receiver::bind("127.0.0.1:0");
    let camera = camera("cam", &file, &receiver.push(""));
    let server = Server::configured(&format!("[rtp]\nreencode = \"never\"\n{camera}"));
    until("pictures are refused", || {
        push_of(&server, "cam")["dropped_by_reason"]["refused"].as_u64() > Some(5)
    });
    let push = push_of(&server, "cam");
    assert_eq!(push["refused"], "RTP/JPEG cannot carry progressive coding, only baseline (RFC 2435)");
    assert_eq!(push["pictures"], 0);
    let described = server.get("/stream.sdp");
    let error = described.json()["error"].to_string();
    assert_eq!(described.status, 503, "{error}");
    assert!(error.contains("cannot carry progressive coding"), "{error}");
    assert!(reencoding(&server, "cam").is_null());
    assert_eq!(server.log().matches("cannot carry").count(), 1, "{}", server.log());
    server.stop();
}

#[test]
fn a_worker_that_is_killed_or_hangs_takes_one_camera_and_is_back() {
    let directory = tempfile::tempdir().unwrap();
    // Two pictures in turn: one that only repeats is not encoded again.
    let file = write(&directory, "pictures.mjpeg", &[yuv444(), progressive()].concat());
    let mut receivers = [Receiver::bind("127.0.0.1:0"), Receiver::bind("127.0.0.1:0")];
    let cameras =
        [camera("cam", &file, &receivers[0].push("")), camera("other", &file, &receivers[1].push(""))];
    let server = Server::configured(&cameras.concat());
    for receiver in &mut receivers {
        receiver.next();
    }
    for (signal, starts, cause) in [
        (Signal::KILL, 2, "was killed by signal 9"),
        (Signal::STOP, 3, "did not answer within 3 s and was killed"),
    ] {
        let process = worker(&server, "cam").unwrap();
        processes::signal(process, signal);
        until("its worker is another one", || reencoding(&server, "cam")["starts"].as_u64() == Some(starts));
        until("pictures come again", || reencoding(&server, "cam")["cause"].is_null());
        assert!(server.log().contains(&format!("`ocelli-codec` {cause}")), "{}", server.log());
        until("the other one is gone", || processes::group(process).is_empty());
        let sent = push_of(&server, "cam")["pictures"].as_u64();
        until("they are sent", || push_of(&server, "cam")["pictures"].as_u64() > sent);
        // What came meanwhile is whole, and no packet is missing.
        for receiver in &mut receivers {
            receiver.next();
        }
    }
    let (push, reencoding) = (push_of(&server, "other"), reencoding(&server, "other"));
    // On a busy machine newer pictures may overtake some; nothing else may happen to any.
    assert_eq!(
        (&push["dropped"], &reencoding["failed"], &reencoding["starts"]),
        (&push["dropped_by_reason"]["behind"], &0.into(), &1.into())
    );
    assert!(push["pictures"].as_u64() > Some(50), "{push}");
    server.stop();
}

#[test]
fn a_worker_dies_with_its_server() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(&directory, "picture.jpg", &yuv444());
    let mut receiver = Receiver::bind("127.0.0.1:0");
    let mut server = Server::configured(&camera("cam", &file, &receiver.push("")));
    receiver.next();
    let process = worker(&server, "cam").unwrap();
    processes::signal(process, Signal::STOP);
    server.kill();
    until("the worker is gone", || processes::group(process).is_empty());
}

#[test]
fn pictures_of_sixteen_bits_are_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let mut sixteen = yuv444();
    let at = sixteen.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    sixteen[at + 1] = 0xc1;
    sixteen[at + 4] = 16;
    let file = write(&directory, "picture.jpg", &sixteen);
    let receiver = Receiver::bind("127.0.0.1:0");
    let server = Server::configured(&camera("cam", &file, &receiver.push("")));
    let refused =
        eventually("it is refused", || push_of(&server, "cam")["refused"].as_str().map(str::to_owned));
    assert!(refused.contains("16 bits a sample are not decoded, only 8 and 12"), "{refused}");
    assert_eq!(reencoding(&server, "cam")["starts"], 1);
    server.stop();
}

/// A server beside whose program there is no worker, or another one.
fn alone(worker: Option<&Hello>, configuration: &str) -> (Server, String) {
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = directory.path().join("ocelli");
    // Not a symbolic link: the program asks the system where it is.
    std::fs::hard_link(env!("CARGO_BIN_EXE_ocelli"), &program).unwrap();
    if let Some(hello) = worker {
        let hello = write(&directory, "hello", &hello.write());
        let script = format!("#!/bin/sh\nexec /bin/cat {} -\n", hello.display());
        let path = write(&directory, "ocelli-codec", script.as_bytes());
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let file = write(&directory, "ocelli.toml", configuration.as_bytes());
    let mut alone = Command::new(&program);
    alone.env_remove("RUST_LOG").stdin(Stdio::null());
    alone.args(["--port", "0", "--address", "127.0.0.1", "--rtsp", "off", "--config"]).arg(file);
    let beside = directory.path().display().to_string();
    (Server::of(&mut alone, Some(directory)), beside)
}

#[test]
fn a_worker_that_is_missing_or_of_another_version_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(&directory, "picture.jpg", &progressive());
    let receiver = Receiver::bind("127.0.0.1:0");
    let configuration = camera("cam", &file, &receiver.push(""));
    let other = Hello { version: "0.0.9".into(), ..Hello::new(Able::default(), "") };
    for hello in [None, Some(&other)] {
        let (server, beside) = alone(hello, &configuration);
        until("pictures are refused", || {
            push_of(&server, "cam")["dropped_by_reason"]["refused"].as_u64() > Some(5)
        });
        let cause = match hello {
            None => format!(
                "the program {beside}/ocelli-codec is missing: install it beside `ocelli`, with which it is built and released"
            ),
            Some(_) => "`ocelli-codec` is version 0.0.9 and this program".to_owned(),
        };
        let push = push_of(&server, "cam");
        let refused = push["refused"].as_str().unwrap();
        assert!(refused.contains("progressive coding") && refused.contains(&cause), "{refused}");
        assert!(reencoding(&server, "cam")["cause"].as_str().unwrap().contains(&cause));
        assert_eq!(server.log().matches("re-encoding fails").count(), 1, "{}", server.log());
        server.stop();
    }
}

#[test]
fn the_worker_says_what_it_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_ocelli-codec")).arg("--version").output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("ocelli-codec {}\n", env!("CARGO_PKG_VERSION"))
    );
    let own = command().arg("--version").output().unwrap();
    assert!(String::from_utf8(own.stdout).unwrap().contains(env!("CARGO_PKG_VERSION")));
}
