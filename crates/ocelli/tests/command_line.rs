//! The program itself: exit statuses, and command lines that were written for its predecessors.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take here; a loaded machine needs a part of it.
const DEADLINE: Duration = Duration::from_secs(20);

/// Between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(10);

fn ocelli() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ocelli"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = ocelli().args(arguments).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code(), text(stdout), text(stderr))
}

/// A server that is stopped with its test.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts it on a free port and waits until it says where.
    fn start(arguments: &[&str]) -> Self {
        let mut child = ocelli()
            .args(arguments)
            .args(["--port", "0", "--address", "127.0.0.1", "--rtsp", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let out = child.stdout.take().expect("the output is a pipe");
        let address = BufReader::new(out)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("http://")?.1.split('/').next()?.to_owned()));
        let mut server = Self { child, address: String::new() };
        server.address = address.expect("the program says where to look");
        server
    }

    /// The body of an answer with status 200.
    fn fetch(&self, path: &str) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let head_end = answer.windows(4).position(|end| end == b"\r\n\r\n")?;
        let ok = answer[..head_end].starts_with(b"HTTP/1.0 200")
            || answer[..head_end].starts_with(b"HTTP/1.1 200");
        ok.then(|| answer.split_off(head_end + 4))
    }

    /// Asks for a camera's own picture until there is one: `/stats` tells it from the notice that it is lost.
    fn picture(&self) -> Vec<u8> {
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            if self.fetch("/readyz").is_some()
                && let Some(picture) = self.fetch("/snapshot")
            {
                return picture;
            }
            std::thread::sleep(POLL);
        }
        panic!("no picture in {DEADLINE:?}");
    }

    /// Asks it to end, as a service manager does.
    fn stop(mut self) -> Option<i32> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("the program runs");
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            if let Some(status) = self.child.try_wait().expect("the program is ours") {
                return status.code();
            }
            std::thread::sleep(POLL);
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_bad_configuration_ends_with_status_2_and_says_where() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("cameras.toml");
    std::fs::write(&file, "[limits]\nviewer = 3\n").expect("a file can be written");
    let file = file.to_str().expect("the folder's name is text");
    for command in ["check", "serve"] {
        let (status, _, errors) = run(&[command, "--config", file]);
        assert_eq!(status, Some(2), "{command}: {errors}");
        assert!(
            errors.contains(&format!("{file}:2:1: limits.viewer: unknown key; did you mean `viewers`?")),
            "{errors}"
        );
    }
    assert_eq!(run(&["--no-such-flag"]).0, Some(2));
}

#[test]
fn version_help_and_schema_are_printed() {
    let (status, out, _) = run(&["--version"]);
    assert_eq!((status, out.trim()), (Some(0), concat!("ocelli ", env!("CARGO_PKG_VERSION"))));
    let (status, out, _) = run(&["--help"]);
    assert_eq!(status, Some(0));
    for word in ["serve", "check", "probe", "devices", "--camera-cmd", "--max-clients", "--stats-interval"] {
        assert!(out.contains(word), "{word} in {out}");
    }
    assert_eq!(run(&["check", "--schema"]).0, Some(0));
}

#[test]
fn a_predecessors_camera_command_and_flags_work_as_they_stand() {
    let server = Server::start(&[
        "--camera-cmd",
        "ffmpeg",
        "--camera-args=-nostdin -loglevel error -re -f lavfi -i testsrc2=size=320x240:rate=10 -c:v mjpeg -f mjpeg -",
        "--max-clients",
        "100",
        "--buffer-size",
        "32",
        "--stats-interval",
        "30",
        "--log-level",
        "info",
        "--verbose",
    ]);
    let picture = server.picture();
    assert!(picture.starts_with(&[0xFF, 0xD8]) && picture.ends_with(&[0xFF, 0xD9]));
    let header = ocelli_media::jpeg::Header::parse(&picture).expect("the picture is a JPEG");
    assert_eq!((header.size.width, header.size.height), (320, 240));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_predecessors_mode_and_file_work_as_they_stand() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("config.toml");
    let text = "[camera1]\ndevice = \"pattern:?width=64&height=48\"\n[mjpeg-rtp]\nenabled = true\n\
                [mjpeg-rtp.camera1]\nenabled = true\ndest_host = \"127.0.0.1\"\ndest_port = 5000\n";
    std::fs::write(&file, text).expect("a file can be written");
    let file = file.to_str().expect("the folder's name is text");
    let server = Server::start(&["-mode", "mjpeg-rtp", "-config", file]);
    assert!(server.picture().starts_with(&[0xFF, 0xD8]));
    assert!(server.fetch("/cameras/camera1/snapshot").is_some());
    assert_eq!(server.stop(), Some(0));
}
