//! Programs that a test starts: found, run to their end or stopped with the test, and ports for them.

use std::fs::Permissions;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::processes::{SOON, within};

/// Whether the tests of `programs` can run. On Debian they must.
pub(crate) fn installed(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| find(program).is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(!is_debian(), "not installed: {missing:?}; run scripts/setup.sh test");
    eprintln!("left out: {missing:?} is not installed");
    false
}

fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists()
}

fn find(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A directory for files that programs of other users may write too.
pub(crate) fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    directory
}

/// A program that is stopped when the test ends, however it ends.
pub(crate) struct Running {
    child: Child,
    errors: PathBuf,
}

impl Running {
    /// Starts `line`, split at its spaces, in `directory`.
    pub(crate) fn start(directory: &TempDir, line: &str) -> Self {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        Self::of(directory, command)
    }

    /// Starts `command` in `directory`.
    pub(crate) fn of(directory: &TempDir, mut command: Command) -> Self {
        static COUNT: AtomicU16 = AtomicU16::new(0);
        let errors = directory.path().join(format!("errors-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let file = std::fs::File::create(&errors).unwrap();
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        // A group of its own: what a shell starts must end with it.
        command.process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, errors }
    }

    /// What it has written to standard error.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.errors).unwrap()).into_owned()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// It failed.
    pub(crate) fn has_ended(&mut self) -> bool {
        let Some(status) = self.child.try_wait().unwrap() else { return false };
        assert!(status.success() || only_took_its_leave(&self.said()), "{status}: {}", self.said());
        true
    }

    /// Waits for its end, and gives what it wrote to standard error.
    ///
    /// # Panics
    /// It failed, or takes too long.
    pub(crate) fn ends(self, what: &str) -> String {
        self.ends_within(SOON, what)
    }

    fn ends_within(mut self, patience: Duration, what: &str) -> String {
        let said = self.errors.clone();
        let said = move || String::from_utf8_lossy(&std::fs::read(&said).unwrap()).into_owned();
        within(patience, &format!("{what} ends"), || self.has_ended().then_some(()));
        said()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let group = Pid::from_child(&self.child);
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("a peer wrote:\n{}", self.said());
        }
    }
}

/// Runs `line` in `directory` to its end. It may be an encoder's of two seconds of H.265, beside others that are busy.
pub(crate) fn run(directory: &TempDir, line: &str) -> String {
    Running::start(directory, line).ends_within(4 * SOON, line)
}

/// A Python that has OpenCV.
pub(crate) fn python_with_opencv() -> Option<&'static str> {
    python_with("OpenCV", "import cv2")
}

/// A Python with `what`, which `look` finds: of several that are installed, Debian's packages are for its own.
pub(crate) fn python_with(what: &str, look: &str) -> Option<&'static str> {
    let has_it = |python: &&str| {
        let mut command = Command::new(python);
        command.args(["-c", look]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has_it);
    assert!(found.is_some() || !is_debian(), "Python has no {what}; run scripts/setup.sh test");
    if found.is_none() {
        eprintln!("left out: Python with {what} is not installed");
    }
    found
}

/// Whether all that a GStreamer complained of is that its own connection was gone when it paused, which it does at the end: on a
/// busy machine it closes that before.
fn only_took_its_leave(said: &str) -> bool {
    said.contains("gst_rtspsrc_pause")
        && said
            .lines()
            .filter(|line| line.starts_with("ERROR"))
            .all(|line| line.contains("GstRTSPSrc:rtspsrc0: Could not write to resource"))
}

/// VLC without windows, sound and words drawn over its pictures. It refuses to run as root, and is nobody there.
pub(crate) fn vlc(directory: &TempDir, arguments: &str) -> Running {
    let mut command = Command::new("vlc");
    command.args(["-I", "dummy", "--no-audio", "--no-osd", "--no-video-title-show"]);
    command.args(arguments.split_whitespace());
    as_nobody(directory, &mut command);
    Running::of(directory, command)
}

/// Has `command` run as nobody, at home in `directory`, where this is root.
pub(crate) fn as_nobody(directory: &TempDir, command: &mut Command) {
    command.env("HOME", directory.path());
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
}

/// An even port that is free, and the next one too, where RTCP goes.
///
/// Ports that the kernel hands out by itself could be given to another socket before the peer has opened this one, so
/// these lie below, each is given once, and other runs of the tests begin elsewhere.
pub(crate) fn free_port() -> u16 {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() as u16 % 64;
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let port = 16_384 + (first * 128 + count) % 8192 * 2;
        let is_free = |port| UdpSocket::bind(("0.0.0.0", port)).is_ok();
        if is_free(port) && is_free(port + 1) {
            return port;
        }
    }
}
