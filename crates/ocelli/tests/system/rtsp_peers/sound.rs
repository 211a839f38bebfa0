//! Sound goes from a camera to players as it is: each codec, decoded by FFmpeg, GStreamer and retina, is the tone that the camera
//! sends, beside its pictures.

use std::path::PathBuf;
use std::time::Instant;

use tempfile::TempDir;

use super::camera::Camera;
use super::matrix::address_of;
use super::players::{Program, Transport, retina_player};
use crate::processes::SOON;
use crate::programs::{Running, directory};
use crate::server::Server;

const KINDS: [&str; 4] = ["aac", "opus", "pcmu", "pcma"];
/// Samples a second that players are asked for.
const RATE: usize = 8000;
/// The camera's tone, in Hz.
const TONE: usize = 440;

/// A player of sound that writes its samples to a file, and of the pictures beside it.
struct Listener {
    name: String,
    running: Running,
    file: PathBuf,
}

impl Listener {
    fn start(directory: &TempDir, program: Program, kind: &str, transport: Transport, address: &str) -> Self {
        let name = format!("{program:?}-{kind}-{transport:?}");
        let file = directory.path().join(&name);
        let (to, how) = (file.display(), transport.ffmpeg());
        let line = match program {
            Program::Ffmpeg => format!(
                "ffmpeg -nostdin -v error -xerror -rtsp_transport {how} -i {address} -map 0:v -f null - \
                 -map 0:a -ac 1 -ar {RATE} -f s16le -flush_packets 1 {to}"
            ),
            Program::Gstreamer => format!(
                "gst-launch-1.0 -q rtspsrc name=s location={address} protocols={how} latency=100 \
                 s. ! application/x-rtp,media=video ! decodebin ! fakesink \
                 s. ! application/x-rtp,media=audio ! decodebin ! audioconvert ! audioresample ! \
                 audio/x-raw,format=S16LE,rate={RATE},channels=1 ! filesink location={to} buffer-mode=unbuffered sync=false"
            ),
            _ => panic!("{program:?} decodes no sound"),
        };
        Self { name, running: Running::start(directory, &line), file }
    }

    /// What was heard so far, if it is two seconds or more.
    fn heard(&self) -> Option<Vec<i16>> {
        let bytes = std::fs::read(&self.file).ok()?;
        let samples = bytes.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]]));
        (bytes.len() >= 2 * 2 * RATE).then(|| samples.collect())
    }
}

/// How often a second the wave rises through zero.
fn frequency(samples: &[i16]) -> usize {
    let rises = samples.windows(2).filter(|two| two[0] < 0 && two[1] >= 0).count();
    rises * RATE / samples.len()
}

#[test]
fn sound_of_each_kind_reaches_players_beside_the_pictures() {
    if !Program::Ffmpeg.is_there() || !Program::Gstreamer.is_there() {
        return;
    }
    let directory = directory();
    let mut cameras = Vec::new();
    for kind in KINDS {
        let Some(camera) = Camera::start(&format!("--codec h264 --sound {kind}")) else { return };
        cameras.push(camera);
    }
    let tables = KINDS.iter().zip(&cameras).map(|(kind, camera)| {
        let address = camera.address("");
        format!("[cameras.{kind}]\nsource = \"{address}\"\n")
    });
    let server = Server::configured(&tables.collect::<String>());
    let mut listeners = Vec::new();
    for (index, kind) in KINDS.into_iter().enumerate() {
        server.until_state(kind, "ready");
        let address = address_of(&server, kind);
        let mut ways = [Transport::Tcp, Transport::Udp];
        ways.rotate_left(index % 2);
        for (program, way) in [Program::Ffmpeg, Program::Gstreamer].into_iter().zip(ways) {
            listeners.push(Listener::start(&directory, program, kind, way, &address));
        }
    }
    let deadline = Instant::now() + SOON;
    while !listeners.is_empty() {
        listeners.retain(|listener| {
            let Some(samples) = listener.heard() else { return true };
            // The beginning may be a decoder's silence.
            let found = frequency(&samples[samples.len() - RATE..]);
            assert!(found.abs_diff(TONE) <= 4, "{}: {found} Hz", listener.name);
            assert_eq!(listener.running.said(), "", "{}", listener.name);
            false
        });
        let left: Vec<_> =
            listeners.iter().map(|listener| (&listener.name, listener.running.said())).collect();
        assert!(Instant::now() < deadline, "not heard within {SOON:?}: {left:#?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    for kind in KINDS {
        assert_eq!(server.stats_of(kind)["sound"]["codec"], kind);
    }
    server.stop();
}

/// Retina, which knows no Opus, fails when a packet is missing or a track is silent.
#[test]
fn retina_takes_sound_beside_the_pictures() {
    let Some(player) = Program::Retina.is_there().then(retina_player).flatten() else { return };
    let directory = directory();
    for kind in ["aac", "pcmu"] {
        let Some(camera) = Camera::start(&format!("--codec h265 --sound {kind}")) else { return };
        let server = Server::configured(&format!("[cameras.cam]\nsource = \"{}\"\n", camera.address("")));
        server.until_state("cam", "ready");
        let address = address_of(&server, "cam");
        let players = [Transport::Tcp, Transport::Udp].map(|way| {
            let line = format!("{} {address} {} 20 {kind}.{way:?}", player.display(), way.ffmpeg());
            Running::start(&directory, &line)
        });
        players.into_iter().for_each(|player| drop(player.ends("retina")));
        server.stop();
    }
}
