//! The program as it is used: against small servers on loopback that frame well, badly, or not at all.
#![allow(clippy::unwrap_used)] // helpers of tests fail a test by panicking

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=edge\r\n\r\n";

/// A server that answers every connection with `serve` on a thread of its own, until the test ends.
fn server(serve: fn(TcpStream) -> std::io::Result<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut connection = connection;
                let _ = connection.read(&mut [0; 4096]);
                let _ = serve(connection);
            });
        }
    });
    address
}

/// 100 pictures a second of 20 kB.
fn picture() -> Vec<u8> {
    let mut picture = vec![0x11; 20_000];
    picture[..2].copy_from_slice(&[0xFF, 0xD8]);
    picture[19_998..].copy_from_slice(&[0xFF, 0xD9]);
    picture
}

fn good(mut out: TcpStream) -> std::io::Result<()> {
    out.write_all(HEAD.as_bytes())?;
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let (seconds, micros) = (now.as_secs(), now.subsec_micros());
        write!(out, "--edge\r\nContent-Length: 20000\r\nX-Timestamp: {seconds}.{micros:06}\r\n\r\n")?;
        out.write_all(&picture())?;
        out.write_all(b"\r\n")?;
        thread::sleep(Duration::from_millis(10));
    }
}

/// No lengths, the next head sent right behind each picture.
fn ahead(mut out: TcpStream) -> std::io::Result<()> {
    out.write_all(HEAD.as_bytes())?;
    out.write_all(b"--edge\r\nContent-Type: image/jpeg\r\n\r\n")?;
    loop {
        out.write_all(&picture())?;
        out.write_all(b"\r\n--edge\r\nContent-Type: image/jpeg\r\n\r\n")?;
        thread::sleep(Duration::from_millis(10));
    }
}

fn cut(mut out: TcpStream) -> std::io::Result<()> {
    out.write_all(HEAD.as_bytes())?;
    loop {
        out.write_all(b"--edge\r\nContent-Length: 19000\r\n\r\n")?;
        out.write_all(&picture()[..19_000])?;
        out.write_all(b"\r\n")?;
        thread::sleep(Duration::from_millis(10));
    }
}

fn gone(mut out: TcpStream) -> std::io::Result<()> {
    out.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
}

fn load(arguments: &[&str]) -> Output {
    let times = ["--seconds", "1", "--warmup", "0.3", "--quiet", "--json"];
    Command::new(env!("CARGO_BIN_EXE_ocelli-load")).args(arguments).args(times).output().unwrap()
}

fn report(arguments: &[&str]) -> Value {
    let output = load(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/stream")
}

#[test]
fn viewers_of_a_good_server_miss_nothing() {
    let pid = std::process::id().to_string();
    let report = report(&["--url", &url(server(good)), "--viewers", "20", "--threads", "2", "--pid", &pid]);
    let viewers = &report["viewers"];
    assert_eq!((viewers["watching"].as_u64(), viewers["failed"].as_u64()), (Some(20), Some(0)), "{viewers}");
    assert_eq!((viewers["unsound"].as_u64(), &viewers["skipped"]), (Some(0), &Value::Null), "{viewers}");
    let frames = viewers["frames"].as_u64().unwrap();
    assert!((200..=2_200).contains(&frames), "{viewers}");
    assert_eq!(viewers["bytes"].as_u64(), Some(frames * 20_000));
    assert!(viewers["latency_ms"]["p50"].as_f64().unwrap() < 1_000.0, "{viewers}");
    assert!(viewers["first_picture_ms"]["max"].as_f64().unwrap() > 0.0, "{viewers}");
    assert_eq!(report["per_viewer"].as_array().unwrap().len(), 20);
    if cfg!(target_os = "linux") {
        assert!(report["server"]["cpu_percent"].as_f64().unwrap() > 0.0, "{}", report["server"]);
        assert!(report["server"]["rss_kb"].as_u64().unwrap() > 0);
    }
}

#[test]
fn parts_without_length_are_seen_when_the_next_head_is() {
    let report =
        report(&["--url", &url(server(ahead)), "--viewers", "3", "--header", "Sec-Fetch-Dest: image"]);
    let viewers = &report["viewers"];
    assert_eq!((viewers["watching"].as_u64(), viewers["unsound"].as_u64()), (Some(3), Some(0)), "{viewers}");
    assert_eq!(viewers["bytes"].as_u64().unwrap(), viewers["frames"].as_u64().unwrap() * 20_000);
    assert_eq!(viewers["latency_ms"], Value::Null);
}

#[test]
fn a_picture_without_its_end_is_counted() {
    let report = report(&["--url", &url(server(cut))]);
    assert_eq!(report["viewers"]["unsound"], report["viewers"]["frames"]);
    assert!(report["viewers"]["frames"].as_u64().unwrap() > 0);
}

#[test]
fn a_refusal_ends_the_viewer_with_its_cause() {
    let output = load(&["--url", &url(server(gone)), "--viewers", "2"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("the server answered 404"));
}

#[test]
fn slow_and_stalled_viewers_stand_beside_the_others() {
    let address = url(server(good));
    let slow = ["--slow-viewers", "2", "--slow-rate", "1000000", "--stalled-viewers", "3"];
    let report = report(&[["--url", &address].as_slice(), &slow].concat());
    assert_eq!(report["viewers"]["watching"].as_u64(), Some(1));
    assert_eq!(report["stalled_viewers"].as_u64(), Some(3));
    let slow = &report["slow"];
    let bytes = slow["bytes"].as_u64().unwrap();
    assert!((1_000_000..2_400_000).contains(&bytes), "{slow}");
    assert!(slow["age_in_picture_times"]["p50"].as_f64().unwrap() > 0.0, "{slow}");
}

#[test]
fn the_floor_is_told_with_its_own_process_and_stamps() {
    let report = report(&["floor", "--viewers", "5", "--frames-per-second", "50", "--bytes", "100000"]);
    let viewers = &report["viewers"];
    assert_eq!((viewers["watching"].as_u64(), viewers["unsound"].as_u64()), (Some(5), Some(0)), "{viewers}");
    assert!(viewers["frames"].as_u64().unwrap() > 50, "{viewers}");
    assert!(viewers["skipped"].is_u64() && viewers["camera_latency_ms"].is_object(), "{viewers}");
    assert_ne!(report["server"]["pid"].as_u64(), Some(u64::from(std::process::id())));
}

#[test]
fn the_camera_marks_its_pictures_and_ends_with_its_reader() {
    let clip = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(clip.path(), [picture(), picture()].concat()).unwrap();
    let mut camera = Command::new(env!("CARGO_BIN_EXE_ocelli-load"))
        .args(["camera", "--fps", "200", "--clip"])
        .arg(clip.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = camera.stdout.take().unwrap();
    let mut bytes = vec![0; 70_000];
    out.read_exact(&mut bytes).unwrap();
    drop(out);
    assert!(camera.wait().unwrap().success());
    let marks = bytes.windows(16).filter(|window| window == b"ocelli-load seq=").count();
    assert!(bytes.starts_with(&[0xFF, 0xD8]) && marks == 3, "{marks}");
}
