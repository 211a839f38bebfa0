//! A running server: the built binary with its address, its log and its numbers.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Response, Viewer, request};
use crate::processes::{self, eventually, until};

/// A second camera that must not notice what happens to the first: 10 pictures a second of a few KB.
pub(crate) const STEADY: &str = "steady=pattern:?width=160&height=120&fps=10";

/// One run of the program. Killed when it is dropped, with what its cameras left.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
    _directory: Option<TempDir>,
}

/// How a run ended.
pub(crate) struct Exit {
    /// Its exit status; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// The built binary, listening on a free port of loopback.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ocelli"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

impl Server {
    /// Starts it with `arguments` and waits until it says where it listens.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::of(
            command()
                .args(["--port", "0", "--address", "127.0.0.1", "--rtsp", "127.0.0.1:0"])
                .args(arguments),
            None,
        )
    }

    /// Starts it with one camera called `cam` and the steady one.
    pub(crate) fn camera(source: &str) -> Self {
        Self::start(&["--camera", &format!("cam={source}"), "--camera", STEADY])
    }

    /// Starts it with a configuration file.
    pub(crate) fn configured(toml: &str) -> Self {
        Self::configured_with(toml, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn configured_with(toml: &str, variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ocelli.toml");
        std::fs::write(&file, toml).unwrap();
        let mut command = command();
        command
            .args(["--port", "0", "--address", "127.0.0.1", "--rtsp", "127.0.0.1:0", "--config"])
            .arg(&file)
            .envs(variables.iter().copied());
        Self::of(&mut command, Some(directory))
    }

    /// Starts `command` and waits until it says where it listens.
    pub(crate) fn of(command: &mut Command, directory: Option<TempDir>) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::<Mutex<String>>::default();
        let stderr = child.stderr.take().unwrap();
        let sink = log.clone();
        thread::spawn(move || read_log(stderr, &sink));
        let Some(address) = address(&mut child) else {
            let _ = child.wait();
            panic!("the server did not start:\n{}", log.lock().unwrap());
        };
        Self { child, address, log, _directory: directory }
    }

    /// The same, but nobody reads what it writes to standard error.
    pub(crate) fn with_closed_log(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stderr.take());
        let address = address(&mut child).unwrap();
        Self { child, address, log: Arc::default(), _directory: None }
    }

    /// The same, but standard error is a pipe that stays open and that nobody empties.
    pub(crate) fn with_unread_log(command: &mut Command) -> (Self, ChildStderr) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let unread = child.stderr.take().unwrap();
        let address = address(&mut child).unwrap();
        (Self { child, address, log: Arc::default(), _directory: None }, unread)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        request(self.address, &format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
    }

    pub(crate) fn stats(&self) -> Value {
        self.get("/stats").json()
    }

    /// What `/stats` says of one camera.
    pub(crate) fn stats_of(&self, camera: &str) -> Value {
        let stats = self.stats();
        let cameras = stats["cameras"].as_array().unwrap();
        cameras.iter().find(|entry| entry["name"] == camera).unwrap().clone()
    }

    /// Waits until a camera is lost and gives the cause.
    pub(crate) fn cause(&self, camera: &str) -> String {
        eventually("the camera is lost", || self.stats_of(camera)["cause"].as_str().map(str::to_owned))
    }

    /// Waits until a camera is lost for a cause that has `text` in it.
    pub(crate) fn lost_for(&self, camera: &str, text: &str) {
        let mut cause = String::new();
        let deadline = Instant::now() + processes::SOON;
        while !cause.contains(text) {
            assert!(Instant::now() < deadline, "expected {text:?} in {cause:?}\n{}", self.log());
            cause = self.cause(camera);
        }
    }

    /// Waits until a camera is in `state`.
    pub(crate) fn until_state(&self, camera: &str, state: &str) {
        until(&format!("{camera} is {state}"), || self.stats_of(camera)["state"] == state);
    }

    pub(crate) fn watch(&self, camera: &str) -> Viewer {
        Viewer::open(self.address, &format!("/cameras/{camera}/stream"), "")
    }

    /// The process groups of its cameras.
    pub(crate) fn groups(&self) -> Vec<u32> {
        processes::children(self.id())
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        processes::memory_bytes(self.id())
    }

    pub(crate) fn open_files(&self) -> usize {
        processes::open_files(self.id())
    }

    /// Asks it to end, and looks that it ends well, with every process of its cameras.
    pub(crate) fn stop(mut self) {
        let groups = self.groups();
        let exit = self.terminate();
        assert_eq!(exit.code, Some(0), "the log:\n{}", self.log());
        assert!(exit.took < Duration::from_secs(5), "{:?} to stop", exit.took);
        for group in groups {
            assert_eq!(processes::group(group), Vec::<u32>::new(), "left behind of group {group}");
        }
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn terminate(&mut self) -> Exit {
        let asked = Instant::now();
        processes::signal(self.id(), Signal::TERM);
        let status = eventually("the server ends", || self.child.try_wait().unwrap());
        assert!(status.signal().is_none(), "ended by a signal: {status}");
        Exit { code: status.code(), took: asked.elapsed() }
    }

    /// Kills it without a chance to tidy up.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let groups = self.groups();
            let _ = self.child.kill();
            let _ = self.child.wait();
            for group in groups.iter().filter_map(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
            }
        }
        if thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// A file of the real JPEGs that the parsers are tested with.
pub(crate) fn picture(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../media/testdata").join(name);
    file.canonicalize().unwrap().to_str().unwrap().to_owned()
}

/// Where it says that it listens; `None` if it ends instead.
fn address(child: &mut Child) -> Option<SocketAddr> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.starts_with("Open "))?;
    Some(line.trim_start_matches("Open http://").split('/').next()?.parse().unwrap())
}

fn read_log(mut from: impl Read, sink: &Mutex<String>) {
    let mut buffer = [0; 4096];
    while let Ok(bytes) = from.read(&mut buffer)
        && bytes > 0
    {
        sink.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..bytes]));
    }
}
