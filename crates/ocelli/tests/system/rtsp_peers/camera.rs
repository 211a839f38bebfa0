//! GStreamer's RTSP server as a camera that can be killed, stopped, moved to another port and given another password.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use crate::processes::{self, eventually, until};
use crate::programs::{Running, directory, installed, python_with, run};

/// What the camera's script needs.
const BINDINGS: &str =
    "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer";

/// A camera that runs; killed when it is dropped.
pub(crate) struct Camera {
    child: Child,
    commands: ChildStdin,
    said: Arc<Mutex<Vec<String>>>,
    port: u16,
}

impl Camera {
    /// Starts one at a free port of 127.0.0.1, with the arguments of `camera.py`, split at their spaces. `None` where
    /// GStreamer's RTSP server is not installed and need not be.
    pub(crate) fn start(arguments: &str) -> Option<Self> {
        Self::at(0, arguments)
    }

    /// The same, at a port.
    pub(crate) fn at(port: u16, arguments: &str) -> Option<Self> {
        let python = python_with("GStreamer's RTSP server", BINDINGS)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/rtsp_peers/camera.py");
        let mut command = Command::new(python);
        command.arg(script).arg(format!("--port={port}")).args(arguments.split_whitespace());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let commands = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = Arc::<Mutex<Vec<String>>>::default();
        let sink = said.clone();
        std::thread::spawn(move || lines.for_each(|line| sink.lock().unwrap().push(line)));
        let mut camera = Self { child, commands, said, port: 0 };
        camera.port = eventually("the camera listens", || {
            assert!(camera.child.try_wait().unwrap().is_none(), "the camera did not start: {arguments}");
            camera.said().iter().find_map(|line| line.strip_prefix("listening ")?.parse().ok())
        });
        Some(camera)
    }

    /// The port at which it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its address, for a user `NAME:PASSWORD` or nobody.
    pub(crate) fn address(&self, user: &str) -> String {
        let at = if user.is_empty() { "" } else { "@" };
        format!("rtsp://{user}{at}127.0.0.1:{}/stream", self.port)
    }

    /// What it has said: `METHOD PATH` for each request that it granted, and `closed` for each connection's end.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// How many requests of `method` it has granted.
    pub(crate) fn granted(&self, method: &str) -> usize {
        self.said().iter().filter(|line| line.split(' ').next() == Some(method)).count()
    }

    /// Exchanges its user's password and ends all connections.
    pub(crate) fn change_password(&mut self, password: &str) {
        self.obey(&format!("password {password}"), "password");
    }

    /// Ends all connections.
    pub(crate) fn close_all(&mut self) {
        self.obey("close", "close");
    }

    /// Has it neither send nor answer, with its connections open.
    pub(crate) fn freeze(&self) {
        processes::signal(self.child.id(), Signal::STOP);
    }

    /// Has it go on.
    pub(crate) fn thaw(&self) {
        processes::signal(self.child.id(), Signal::CONT);
    }

    /// Ends it without a word to anybody.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn obey(&mut self, line: &str, answer: &str) {
        let before = self.granted(answer);
        writeln!(self.commands, "{line}").unwrap();
        until("the camera obeys", || self.granted(answer) > before);
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the camera said: {:#?}", self.said());
        }
    }
}

/// A file with a certificate for 127.0.0.1 and its key, made for this run.
pub(crate) fn certificate(directory: &tempfile::TempDir) -> String {
    let file = directory.path().join("camera.pem").display().to_string();
    run(
        directory,
        &format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=127.0.0.1 \
             -addext subjectAltName=IP:127.0.0.1 -keyout {file} -out certificate.pem"
        ),
    );
    let certificate = std::fs::read(directory.path().join("certificate.pem")).unwrap();
    std::fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(&certificate).unwrap();
    file
}

/// FFmpeg plays a camera of each kind over each transport, so that what is found of Ocelli is not the cameras' doing.
#[test]
fn cameras_of_each_kind_are_played_by_ffmpeg() {
    if !installed(&["ffmpeg", "openssl"]) {
        return;
    }
    let directory = directory();
    let kinds = [
        ("--codec h264 --sound aac --in-band", "", "tcp"),
        ("--codec h264 --b-frames 2 --slices --sound opus --user a:b", "a:b", "udp"),
        ("--codec h265 --sound pcmu --user a:b --auth basic", "a:b", "udp"),
        ("--codec jpeg --sound pcma --user a:b --auth both", "a:b", "tcp"),
    ];
    let mut playing = Vec::new();
    for (arguments, user, transport) in kinds {
        let Some(camera) = Camera::start(arguments) else { return };
        let line = format!(
            "ffmpeg -v error -xerror -rtsp_transport {transport} -i {} -map 0 -t 1 -f null -",
            camera.address(user)
        );
        playing.push((Running::start(&directory, &line), camera, arguments));
    }
    for (player, camera, arguments) in playing {
        assert_eq!(player.ends(arguments), "", "{arguments}");
        until("the camera hears of the end", || camera.granted("teardown") == 1);
    }
}

/// What the tests do to cameras is done: nobody comes in by an old password, and the connections end.
#[test]
fn a_cameras_password_changes() {
    if !installed(&["ffmpeg", "openssl"]) {
        return;
    }
    let directory = directory();
    let arguments = format!("--user a:b --tls {}", certificate(&directory));
    let Some(mut camera) = Camera::start(&arguments) else { return };
    let play = |camera: &Camera, user: &str, time: u32| {
        let address = camera.address(user).replace("rtsp:", "rtsps:");
        Running::start(&directory, &format!("ffmpeg -v error -i {address} -t {time} -f null -"))
    };
    let player = play(&camera, "a:b", 100);
    until("it is played", || camera.granted("play") == 1);
    camera.change_password("c");
    until("the connection ends", || camera.granted("closed") == 1);
    drop(player);
    let refused = play(&camera, "a:b", 1);
    until("the old password is refused", || refused.said().contains("401"));
    play(&camera, "a:c", 1).ends("FFmpeg");
}

/// The same of the ways to lose a camera.
#[test]
fn a_camera_is_frozen_killed_and_there_again() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let play = |camera: &Camera, seconds: u32| {
        let address = camera.address("");
        let line = format!(
            "ffmpeg -v error -timeout 500000 -rtsp_transport tcp -i {address} -t {seconds} -f null -"
        );
        Running::start(&directory, &line)
    };
    let Some(mut camera) = Camera::start("--codec jpeg") else { return };
    camera.freeze();
    let unanswered = play(&camera, 1);
    until("FFmpeg gives up", || !unanswered.said().is_empty());
    camera.thaw();
    let player = play(&camera, 100);
    until("it is played", || camera.granted("play") == 1);
    camera.close_all();
    until("the connection ends", || camera.granted("closed") > 0);
    drop(player);
    let port = camera.port();
    camera.kill();
    let camera = Camera::at(port, "--codec jpeg").unwrap();
    play(&camera, 1).ends("FFmpeg");
}
