//! `ocelli-load rtsp floor`: the [camera](super::camera) as a process of its own, and readers at it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use super::cli::{FilmOptions, FloorOptions, ReadersOptions};
use super::run::play;

/// A running camera.
struct Camera {
    child: Child,
    port: u16,
}

impl Camera {
    fn start(film: &FilmOptions) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(program);
        command.args(["rtsp", "camera"]).args(film.arguments()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the camera")?;
        let stdout = child.stdout.take().context("the camera has no output")?;
        let mut camera = Self { child, port: 0 };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        camera.port = line.trim().parse().with_context(|| format!("the camera did not start: {line:?}"))?;
        Ok(camera)
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn run(options: FloorOptions) -> anyhow::Result<()> {
    let camera = Camera::start(&options.film)?;
    let url = format!("rtsp://127.0.0.1:{}/floor", camera.port);
    let pid = Some(camera.child.id());
    play(&ReadersOptions { url, pid, common: options.common })
}
