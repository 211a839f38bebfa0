//! Ocelli between GStreamer's RTSP cameras and players of its own streams: each codec, transport and way to ask for a password,
//! and cameras that die, fall silent, lose their port or change their password.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::camera::Camera;
use super::matrix::address_of;
use super::players::{Player, Program, Transport, all_show};
use crate::client::size;
use crate::processes::{eventually, until};
use crate::programs::{Running, directory};
use crate::server::Server;

/// Pictures that each player is to show: two groups of pictures.
const PICTURES: u32 = 30;

/// A server of these cameras: name, address, further lines of its table.
fn server(cameras: &[(&str, String, &str)]) -> Server {
    let tables = cameras.iter().map(|(name, source, more)| {
        format!("[cameras.{name}]\nsource = \"{source}\"\nreconnect_interval = 0.5\n{more}\n")
    });
    Server::configured(&tables.collect::<String>())
}

/// Name, arguments of the camera, its user, the transport that Ocelli is told, the one that is to be used.
const CAMERAS: [(&str, &str, &str, &str, &str); 9] = [
    ("h264-tcp", "--codec h264 --slices --user a:b --auth basic", "a:b", "tcp", "tcp"),
    ("h264-udp", "--codec h264 --user a:b --auth digest", "a:b", "udp", "udp"),
    ("h264-auto", "--codec h264 --transports udp --in-band", "", "auto", "udp"),
    ("h265-tcp", "--codec h265 --user a:b --auth both", "a:b", "tcp", "tcp"),
    ("h265-udp", "--codec h265 --in-band", "", "udp", "udp"),
    ("h265-auto", "--codec h265 --user a:b --auth basic", "a:b", "auto", "tcp"),
    ("jpeg-tcp", "--codec jpeg", "", "tcp", "tcp"),
    ("jpeg-udp", "--codec jpeg --user a:p%40s+%2Fw", "a:p%40s+%2Fw", "udp", "udp"),
    ("jpeg-auto", "--codec jpeg --transports udp", "", "auto", "udp"),
];

/// A camera of each kind, shown on by FFmpeg or retina, over TCP or UDP.
#[test]
fn every_kind_of_camera_is_shown_on() {
    if !Program::Ffmpeg.is_there() {
        return;
    }
    let directory = directory();
    let mut cameras = Vec::new();
    for (name, arguments, user, transport, _) in CAMERAS {
        // A password's characters that mean something in an address are written by their numbers there only.
        let Some(camera) = Camera::start(&arguments.replace("p%40s+%2Fw", "p@s+/w")) else { return };
        let more = format!("transport = \"{transport}\"");
        cameras.push((name, camera.address(user), more, camera));
    }
    let tables: Vec<_> =
        cameras.iter().map(|(name, address, more, _)| (*name, address.clone(), more.as_str())).collect();
    let server = server(&tables);
    let mut players = Vec::new();
    for (index, (name, ..)) in CAMERAS.iter().enumerate() {
        server.until_state(name, "ready");
        let transport = [Transport::Tcp, Transport::Udp][index % 2];
        let address = address_of(&server, name);
        players.push(Player::start(&directory, Program::Ffmpeg, transport, &address, PICTURES));
    }
    for (name, shown) in all_show(players) {
        assert_eq!(shown.errors, "", "{name}");
        assert_eq!(shown.pictures.len(), PICTURES as usize, "{name}");
    }
    for (name, .., used) in CAMERAS {
        let camera = server.stats_of(name);
        assert_eq!(camera["network"]["transport"], used, "{name}: {camera}");
        assert_eq!((&camera["width"], &camera["height"]), (&320.into(), &240.into()), "{name}");
    }
    assert!(!server.log().contains("p@s+/w") && !server.log().contains("p%40s"), "{}", server.log());
    server.stop();
    for (name, _, _, camera) in &cameras {
        until(&format!("{name} is told of the end"), || camera.granted("teardown") == 1);
    }
}

/// A player of H.264 that goes on for as long as the test does, and how many pictures it has shown.
struct Watcher {
    running: Running,
    file: std::path::PathBuf,
}

impl Watcher {
    fn start(directory: &tempfile::TempDir, address: &str) -> Self {
        let file = directory.path().join("watched.raw");
        let line = format!(
            "ffmpeg -nostdin -v error -rtsp_transport tcp -i {address} -fps_mode passthrough -vf scale=16:16 \
             -pix_fmt gray -f rawvideo -flush_packets 1 {}",
            file.display()
        );
        Self { running: Running::start(directory, &line), file }
    }

    fn shown(&self) -> u64 {
        std::fs::metadata(&self.file).map_or(0, |file| file.len() / 256)
    }

    /// Waits until it has shown ten pictures more.
    fn goes_on(&mut self, what: &str) {
        let before = self.shown();
        until(&format!("the player goes on after {what}"), || {
            assert!(!self.running.has_ended(), "it ended after {what}: {}", self.running.said());
            self.shown() >= before + 10
        });
    }
}

/// Two cameras that everything is done to, and who watches them the whole time: pictures by HTTP, and H.264 by RTSP.
struct Faults {
    cameras: [Camera; 2],
    server: Server,
    viewer: crate::client::Viewer,
    watcher: Watcher,
}

const KINDS: [&str; 2] = ["--codec jpeg --user a:b", "--codec h264 --user a:b"];
const NAMES: [&str; 2] = ["jpeg", "h264"];

impl Faults {
    fn start(directory: &tempfile::TempDir) -> Option<Self> {
        let cameras = [Camera::start(KINDS[0])?, Camera::start(KINDS[1])?];
        let server =
            server(&[(NAMES[0], cameras[0].address("a:b"), ""), (NAMES[1], cameras[1].address("a:b"), "")]);
        NAMES.iter().for_each(|name| server.until_state(name, "ready"));
        let viewer = server.watch("jpeg");
        let watcher = Watcher::start(directory, &address_of(&server, "h264"));
        let mut faults = Self { cameras, server, viewer, watcher };
        faults.recovers("the beginning");
        Some(faults)
    }

    /// Waits until both are lost for a reason that has `words` in it.
    fn lost_for(&self, words: &str) {
        NAMES.iter().for_each(|name| self.server.lost_for(name, words));
        // The notice is drawn just behind the news.
        let snapshot = eventually("the snapshot says so", || {
            let snapshot = self.server.get("/cameras/jpeg/snapshot");
            (snapshot.status == 503).then_some(snapshot)
        });
        assert_eq!(size(&snapshot.body).to_string(), "320x240");
    }

    /// Waits until both viewers see pictures of their cameras again.
    fn recovers(&mut self, after: &str) {
        NAMES.iter().for_each(|name| self.server.until_state(name, "ready"));
        let deadline = Instant::now() + Duration::from_secs(1);
        while let Some(part) = self.viewer.next_before(deadline) {
            assert_eq!(size(&part.data).to_string(), "320x240", "after {after}");
        }
        assert_eq!(self.server.get("/cameras/jpeg/snapshot").status, 200, "after {after}");
        self.watcher.goes_on(after);
    }

    fn restart(&mut self) {
        for (camera, kind) in self.cameras.iter_mut().zip(KINDS) {
            camera.kill();
            *camera = Camera::at(camera.port(), kind).unwrap();
        }
    }
}

/// What a viewer of each camera sees: a notice where that can be, or the last picture, and then the camera's again.
#[test]
fn viewers_stay_through_all_that_happens_to_a_camera() {
    if !Program::Ffmpeg.is_there() {
        return;
    }
    let directory = directory();
    let Some(mut faults) = Faults::start(&directory) else { return };

    faults.cameras.iter_mut().for_each(Camera::kill);
    faults.lost_for("closed");
    faults.restart();
    faults.recovers("it was killed");

    faults.cameras.iter().for_each(Camera::freeze);
    let frozen = Instant::now();
    faults.lost_for("5 s");
    assert!(frozen.elapsed() < Duration::from_secs(9), "noticed after {:?}", frozen.elapsed());
    faults.cameras.iter().for_each(Camera::thaw);
    faults.recovers("it was frozen");

    faults.cameras.iter_mut().for_each(|camera| camera.change_password("c"));
    faults.lost_for("401");
    assert!(!faults.server.log().contains("a:b@"), "{}", faults.server.log());
    faults.cameras.iter_mut().for_each(|camera| camera.change_password("b"));
    faults.recovers("its password changed");

    faults.cameras.iter_mut().for_each(Camera::kill);
    let strangers = [0, 1].map(|index| {
        eventually("the port is free", || TcpListener::bind(("127.0.0.1", faults.cameras[index].port())).ok())
    });
    faults.lost_for("did not answer");
    drop(strangers);
    faults.restart();
    faults.recovers("another program had its port");
    faults.server.stop();
}
