//! `ocelli-load rtp` as it is used: each way of sending and of receiving, and what is missing when something is.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // helpers of tests fail a test by panicking

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ocelli-load");
const TIMES: [&str; 5] = ["--seconds", "1", "--warmup", "0.3", "--json"];
const JPEG: &[u8] = include_bytes!("../../media/testdata/baseline.jpg");

/// Three pictures of three packets each, when packets are short.
fn clip(folder: &Path) -> PathBuf {
    let path = folder.join("clip.mjpeg");
    std::fs::write(&path, JPEG.repeat(3)).unwrap();
    path
}

/// An even port from which on 2 * `targets` are free; they are free again when this returns, and the system's own choice
/// is not likely to fall on them at once.
fn ports(targets: u16) -> u16 {
    for _ in 0..100 {
        let chosen = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() & !1;
        let wanted = chosen..chosen.saturating_add(2 * targets);
        let free: Vec<_> = wanted.flat_map(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port))).collect();
        if free.len() == usize::from(2 * targets) {
            return chosen;
        }
    }
    panic!("no free ports");
}

fn rtp(arguments: &[&str], command: &[&str]) -> Output {
    let mut program = Command::new(PROGRAM);
    program.arg("rtp").args(arguments).args(TIMES).arg("--").args(command).env("RUST_BACKTRACE", "0");
    program.output().unwrap()
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn watch(options: &[&str], send: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let (port, clip) = (ports(2), clip(folder.path()));
    let to = format!("127.0.0.1:{port}");
    let sender = [PROGRAM, "rtp", "send", "--to", &to, "--file", clip.to_str().unwrap(), "--mtu", "610"];
    let port = port.to_string();
    report(&rtp(
        &[&["watch", "--port", &port], options].concat(),
        &[&sender, ["--frames-per-second", "50"].as_slice(), send].concat(),
    ))
}

fn complete(target: &Value) {
    let pictures = target["pictures"].as_u64().unwrap();
    assert!((10..=60).contains(&pictures), "{target}");
    for missing in ["damaged", "lost", "late", "strange", "dropped_by_receiver"] {
        assert_eq!(target[missing], 0, "{target}");
    }
    assert!(target["packets"].as_u64().unwrap() >= 2 * pictures, "{target}");
}

#[test]
fn every_way_of_sending_arrives_whole() {
    for way in ["segments", "batch", "single"] {
        let report = watch(&["--targets", "2"], &["--targets", "2", "--way", way]);
        assert_eq!(report["targets"].as_array().unwrap().len(), 2);
        report["targets"].as_array().unwrap().iter().for_each(complete);
        assert!(report["cpu_micros_per_picture"].as_f64().unwrap() > 0.0, "{report}");
        assert!(report["server"]["rss_kb"].as_u64().unwrap() > 0, "{report}");
    }
}

#[test]
fn joined_datagrams_are_told_apart() {
    complete(&watch(&["--joined"], &["--read"])["targets"][0]);
}

#[test]
fn latency_is_from_the_cameras_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    // A picture every 10 ms by the log of an imagined camera, from long ago until far ahead.
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64;
    let written: Vec<u8> =
        (0..6000).flat_map(|picture| (now - 1_000_000 + picture * 10_000).to_be_bytes()).collect();
    std::fs::write(&log, written).unwrap();
    let report = watch(&["--camera-log", log.to_str().unwrap()], &[]);
    complete(&report["targets"][0]);
    let (most, unexplained) = (&report["camera_latency_ms"]["max"], &report["unexplained"]);
    assert!(most.as_f64().unwrap() <= 10.0 && unexplained.as_u64().is_some(), "{report}");
}

#[test]
fn every_way_of_receiving_takes_all() {
    for way in ["segments", "batch", "single"] {
        let folder = tempfile::tempdir().unwrap();
        let (port, clip) = (ports(1).to_string(), clip(folder.path()));
        let to = format!("127.0.0.1:{port}");
        let feed = ["feed", "--to", &to, "--file", clip.to_str().unwrap(), "--frames-per-second", "50"];
        let report = report(&rtp(&feed, &[PROGRAM, "rtp", "receive", "--port", &port, "--way", way]));
        let target = &report["targets"][0];
        assert_eq!(target["dropped_by_receiver"], 0, "{report}");
        assert!(target["pictures"].as_u64().unwrap() > 10, "{report}");
        assert!(report["cpu_micros_per_picture"].as_f64().unwrap() > 0.0, "{report}");
    }
}

#[test]
fn what_a_receiver_has_no_room_for_is_its_own_loss() {
    let folder = tempfile::tempdir().unwrap();
    let clip = clip(folder.path());
    // Bound and never read: the system's buffer fills up.
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = receiver.local_addr().unwrap().to_string();
    let pid = std::process::id().to_string();
    let output = Command::new(PROGRAM)
        .args(["rtp", "feed", "--to", &to, "--file", clip.to_str().unwrap(), "--frames-per-second", "2000"])
        .args(TIMES)
        .args(["--pid", &pid])
        .output()
        .unwrap();
    let report = report(&output);
    assert!(report["targets"][0]["dropped_by_receiver"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["server"]["pid"], std::process::id());
}

#[test]
fn a_sender_that_ends_is_told() {
    let port = ports(1).to_string();
    let output = rtp(&["watch", "--port", &port], &["false"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ended by itself"), "{said}");
}

#[test]
fn nothing_stays_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (port, clip) = (ports(1).to_string(), clip(folder.path()));
    let to = format!("127.0.0.1:{port}");
    let send = [PROGRAM, "rtp", "send", "--to", &to, "--file", clip.to_str().unwrap()];
    report(&rtp(&["watch", "--port", &port], &send));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port.parse().unwrap())).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(socket.recv(&mut [0; 2000]).is_err(), "the sender still sends");
}
