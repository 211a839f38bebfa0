//! What is made of cameras' pictures, with the whole program: a worker that is lost in every way while many watch, viewers who
//! come and go, limits, networks that are slow or lose packets, and cameras that are lost or change.

mod camera;
mod churn;
mod crowd;
mod faults;
mod limits;
mod lossy;
mod program;
mod slow;

use tempfile::TempDir;

use crate::programs::{directory, run};
use crate::server::Server;

/// A film of four seconds at 25 pictures a second, with a keyframe every second, in a folder of its own.
struct Film {
    directory: TempDir,
}

impl Film {
    /// `None` where FFmpeg is not installed.
    fn new(size: &str) -> Option<Self> {
        if !crate::programs::installed(&["ffmpeg"]) {
            return None;
        }
        let directory = directory();
        let film = Self { directory };
        film.add("film.h264", size);
        Some(film)
    }

    /// Another one beside it.
    fn add(&self, name: &str, size: &str) {
        let encoder = "-c:v libx264 -preset ultrafast -threads 1 -bf 0 -g 25 -keyint_min 25 -sc_threshold 0 -pix_fmt yuv420p";
        let source = format!("-f lavfi -i testsrc2=size={size}:rate=25 -t 4");
        run(&self.directory, &format!("ffmpeg -v error {source} {encoder} -f h264 {name}"));
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// The table of a camera that plays it over and over.
    fn camera(&self, name: &str) -> String {
        format!("[cameras.{name}]\nsource = \"file:{}?loop=1&fps=25\"\n", self.path("film.h264"))
    }
}

/// The worker of a camera.
fn worker(server: &Server, camera: &str) -> Option<u32> {
    server.groups().into_iter().find(|process| {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        line.ends_with(format!("ocelli-codec\0{camera}\0").as_bytes())
    })
}

/// The address of a camera as JPEGs of a width.
fn small(camera: &str, width: u32) -> String {
    format!("/cameras/{camera}/stream?width={width}")
}
