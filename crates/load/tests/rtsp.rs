//! `ocelli-load rtsp` as it is used: readers at its own camera, by each way, slow ones, stalled ones, and those that come and go.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // helpers of tests fail a test by panicking

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ocelli-load");
const TIMES: [&str; 4] = ["--warmup", "0.3", "--json", "--quiet"];

/// Six pictures of `bytes` each, the first one a keyframe, as far as a server can tell.
fn clip(folder: &Path, bytes: usize) -> PathBuf {
    let unit = |header: u8, length: usize| [&[0, 0, 0, 1, header][..], &vec![0x9A; length]].concat();
    let pictures = (0..6).map(|index| unit(if index == 0 { 0x65 } else { 0x41 }, bytes));
    let path = folder.join("clip.h264");
    std::fs::write(&path, [unit(0x67, 20), unit(0x68, 4), pictures.collect::<Vec<_>>().concat()].concat())
        .unwrap();
    path
}

fn report(arguments: &[&str]) -> Value {
    let mut program = Command::new(PROGRAM);
    let output = program.arg("rtsp").args(arguments).args(TIMES).env("RUST_BACKTRACE", "0").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

struct Camera {
    child: Child,
    url: String,
}

impl Camera {
    fn start(clip: &Path, options: &[&str]) -> Self {
        let mut program = Command::new(PROGRAM);
        program
            .args(["rtsp", "camera", "--file", clip.to_str().unwrap()])
            .args(options)
            .stdout(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, url: format!("rtsp://127.0.0.1:{}/any", line.trim()) }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_complete(readers: &Value) {
    assert!(readers["reader_pictures"][0].as_u64().unwrap() > 10, "{readers}");
    for missing in ["failed", "damaged", "lost", "late", "strange", "missed", "dropped_by_reader"] {
        assert_eq!(readers[missing], 0, "{readers}");
    }
}

#[test]
fn the_floor_by_either_way() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path(), 5000);
    for transport in ["tcp", "udp", "mixed"] {
        for every in ["0", "5"] {
            let options = ["--readers", "5", "--transport", transport, "--every", every, "--seconds", "1"];
            let report = report(&[&["floor", "--file", clip.to_str().unwrap()], &options[..]].concat());
            is_complete(&report["readers"]);
            assert_eq!(report["readers"]["asked"], 5);
            assert!(report["cpu_micros_per_picture"].as_f64().unwrap() > 0.0, "{report}");
            assert_eq!(report["camera_latency_ms"].is_null(), every == "5", "{report}");
        }
    }
}

#[test]
fn who_reads_slowly_or_not_at_all_costs_nobody_else_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let camera = Camera::start(&clip(folder.path(), 60_000), &["--frames-per-second", "200"]);
    let others = ["--slow-readers", "1", "--slow-rate", "3000000", "--stalled-readers", "2"];
    // As long as it takes to read what the kernel holds for a reader.
    let options = ["readers", "--url", &camera.url, "--readers", "2", "--threads", "2", "--seconds", "4"];
    let report = report(&[&options[..], &others].concat());
    is_complete(&report["readers"]);
    let slow = &report["slow"];
    assert!((1..400).contains(&slow["pictures"].as_u64().unwrap()), "{slow}");
    // The camera leaves out whole pictures.
    assert_eq!((&slow["damaged"], &slow["failed"]), (&0.into(), &0.into()), "{slow}");
    assert!(slow["missed"].as_u64().unwrap() > 0, "{slow}");
    assert_eq!((&report["stalled"]["asked"], &report["stalled"]["pictures"]), (&2.into(), &0.into()));
}

#[test]
fn unmarked_pictures_are_followed_by_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let camera = Camera::start(&clip(folder.path(), 5000), &["--unmarked"]);
    let pid = camera.child.id().to_string();
    let report = report(&["readers", "--url", &camera.url, "--pid", &pid, "--seconds", "1"]);
    assert!(report["readers"]["missed"].is_null() && report["camera_latency_ms"].is_null(), "{report}");
    assert!(
        report["readers"]["pictures"].as_u64().unwrap() > 10 && report["readers"]["lost"] == 0,
        "{report}"
    );
    assert!(report["server"]["rss_kb"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn readers_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let camera = Camera::start(&clip(folder.path(), 5000), &[]);
    let pid = camera.child.id().to_string();
    let options =
        ["--readers", "20", "--transport", "mixed", "--longest-stay", "0.5", "--pid", &pid, "--seconds", "2"];
    let report = report(&[&["readers", "--url", &camera.url], &options[..]].concat());
    let churn = &report["churn"];
    assert!(churn["left"].as_u64().unwrap() > 40 && churn["pictures"].as_u64().unwrap() > 100, "{churn}");
    for missing in ["failed", "damaged", "lost", "without_picture"] {
        assert_eq!(churn[missing], 0, "{churn}");
    }
    assert!(churn["descriptors"][0].as_u64().unwrap() > 3, "{churn}");
}

#[test]
fn a_stream_that_is_not_there_is_said() {
    let mut program = Command::new(PROGRAM);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("rtsp://127.0.0.1:{port}/none");
    let output = program.args(["rtsp", "readers", "--url", &url]).args(TIMES).output().unwrap();
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("no reader played") && words.contains("refused"), "{words}");
}
