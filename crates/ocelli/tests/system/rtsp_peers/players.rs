//! FFmpeg, GStreamer, VLC and retina as RTSP players, each of which writes what it shows to a file, picture by picture.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::clips::{RATE, SIZE};
use crate::processes::SOON;
use crate::programs::{Running, as_nobody, directory, installed, run, vlc};

/// A picture of a clip with 4:2:0 colour.
const PICTURE_BYTES: usize = SIZE.0 * SIZE.1 * 3 / 2;

/// How packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
    Multicast,
    /// Within a connection that looks like HTTP.
    Tunnel,
}

impl Transport {
    /// As FFmpeg has it.
    pub(super) fn ffmpeg(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Multicast => "udp_multicast",
            Self::Tunnel => "http",
        }
    }

    fn gstreamer(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Multicast => "udp-mcast",
            Self::Tunnel => "tcp+http",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Ffmpeg,
    Gstreamer,
    Vlc,
    Retina,
    /// The client that VLC has where it knows RTSP.
    Live555,
}

impl Program {
    /// Whether its tests can run. On Debian FFmpeg's and GStreamer's must.
    pub(super) fn is_there(self) -> bool {
        match self {
            Self::Ffmpeg => installed(&["ffmpeg"]),
            Self::Gstreamer => installed(&["ffmpeg", "gst-launch-1.0"]),
            Self::Vlc => installed(&["ffmpeg", "vlc"]) && vlc_knows_rtsp(),
            Self::Retina => installed(&["ffmpeg"]) && retina_player().is_some(),
            Self::Live555 => installed(&["ffmpeg"]) && open_rtsp().is_some(),
        }
    }
}

/// The program of `tests/retina`: where `OCELLI_RETINA` says, or where `scripts/test.sh` has it built.
pub(super) fn retina_player() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/retina/debug/retina-player");
    let file = std::env::var_os("OCELLI_RETINA").map_or(built, PathBuf::from);
    if !file.is_file() {
        eprintln!("left out: retina, whose player would be {}", file.display());
        return None;
    }
    Some(file)
}

/// Live555's openRTSP, where `OCELLI_OPENRTSP` says.
fn open_rtsp() -> Option<String> {
    let file = std::env::var("OCELLI_OPENRTSP").ok();
    if file.is_none() {
        eprintln!("left out: OCELLI_OPENRTSP names no program");
    }
    file
}

/// Whether VLC knows RTSP: Debian's is built without live555, by which it does.
fn vlc_knows_rtsp() -> bool {
    let mut command = Command::new("vlc");
    as_nobody(&directory(), command.arg("--list"));
    let knows =
        command.output().is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("live555"));
    if !knows {
        eprintln!("left out: VLC with live555 is not installed");
    }
    knows
}

/// A program that plays.
pub(super) struct Player<'a> {
    pub(super) name: String,
    program: Program,
    running: Running,
    file: PathBuf,
    directory: &'a TempDir,
    started: Instant,
    first: Option<Duration>,
    pictures: u32,
}

/// Width and height, and pictures: planes of Y, Cb and Cr with 4:2:0 colour.
pub(super) type Film = ((usize, usize), Vec<Vec<u8>>);

/// What a player has shown.
pub(super) struct Shown {
    /// From its start to its first picture.
    pub(super) first: Duration,
    /// Width and height.
    pub(super) size: (usize, usize),
    /// Planes of Y, Cb and Cr with 4:2:0 colour.
    pub(super) pictures: Vec<Vec<u8>>,
    /// What it wrote to standard error.
    pub(super) errors: String,
}

impl<'a> Player<'a> {
    /// Has `program` show `pictures` pictures of `address`, and end where it can count.
    pub(super) fn start(
        directory: &'a TempDir,
        program: Program,
        transport: Transport,
        address: &str,
        pictures: u32,
    ) -> Self {
        let place = address.trim_start_matches("rtsp://").replace(['/', ':', '?', '@'], "-");
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{program:?} {transport:?} {place} {number}");
        let file = directory.path().join(format!("{}.shown", name.replace(' ', "-")));
        let to = file.display();
        let (width, height) = SIZE;
        let started = Instant::now();
        // The element ends with the last one itself.
        let last = pictures + 1;
        let scheme = if transport == Transport::Tunnel { "rtsph://" } else { "rtsp://" };
        let place = address.trim_start_matches("rtsp://");
        let running = match program {
            Program::Ffmpeg => Running::start(
                directory,
                &format!(
                    "ffmpeg -nostdin -hide_banner -v warning -rtsp_transport {} -i {address} -map 0:v -enc_time_base 1:90000 \
                     -fps_mode passthrough -frames:v {pictures} -pix_fmt yuv420p -f rawvideo -flush_packets 1 {to}",
                    transport.ffmpeg()
                ),
            ),
            Program::Gstreamer => Running::start(
                directory,
                &format!(
                    "gst-launch-1.0 -q rtspsrc location={scheme}{place} protocols={} latency=100 ! decodebin ! videoconvert ! \
                     video/x-raw,format=I420,width={width},height={height} ! identity eos-after={last} ! \
                     filesink location={to} buffer-mode=unbuffered sync=false",
                    transport.gstreamer()
                ),
            ),
            Program::Retina => {
                let (player, how) = (retina_player().unwrap(), transport.ffmpeg());
                Running::start(directory, &format!("{} {address} {how} {pictures} {to}", player.display()))
            }
            Program::Live555 => {
                let how = if transport == Transport::Tcp { "-t" } else { "" };
                let (player, seconds) = (open_rtsp().unwrap(), pictures / RATE + 1);
                let line =
                    format!("exec {player} {how} -v -b 500000 -d {seconds} {address} >{to} 2>/dev/null");
                let mut command = Command::new("sh");
                command.args(["-c", &line]);
                Running::of(directory, command)
            }
            Program::Vlc => {
                let how = if transport == Transport::Tcp { "--rtsp-tcp" } else { "--no-rtsp-tcp" };
                vlc(
                    directory,
                    &format!(
                        "{how} --network-caching=200 --vout=yuv --yuv-yuv4mpeg2 --yuv-file={to} {address}"
                    ),
                )
            }
        };
        Self { name, program, running, file, directory, started, first: None, pictures }
    }

    /// Whether it has shown as many pictures as it was to.
    fn has_shown(&mut self) -> bool {
        if self.first.is_none() && self.written() > 1000 {
            self.first = Some(self.started.elapsed());
        }
        match self.program {
            Program::Vlc => self.shown().is_some_and(|(_, shown)| shown.len() >= self.pictures as usize),
            // It fails now and then, on a busy machine, as it takes its leave.
            Program::Gstreamer if self.written() >= u64::from(self.pictures) * PICTURE_BYTES as u64 => true,
            _ => self.running.has_ended(),
        }
    }

    fn written(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |file| file.len())
    }

    fn shown(&self) -> Option<Film> {
        let bytes = fs::read(&self.file).ok()?;
        if self.program == Program::Vlc {
            return read_y4m(&bytes);
        }
        // Pictures and nothing else. Others than are expected would not fill the file to its end.
        let pictures = bytes.chunks(PICTURE_BYTES).map(<[u8]>::to_vec).collect();
        Some((SIZE, pictures))
    }

    /// Exchanges its coded pictures for decoded ones.
    fn decode(&mut self) {
        let (from, to) = (self.file.display(), self.file.with_extension("decoded"));
        let line = format!(
            "ffmpeg -v warning -xerror -i {from} -fps_mode passthrough -frames:v {} -pix_fmt yuv420p -f rawvideo {}",
            self.pictures,
            to.display()
        );
        run(self.directory, &line);
        self.file = to;
    }

    fn finish(mut self) -> Shown {
        if matches!(self.program, Program::Retina | Program::Live555) {
            self.decode();
        }
        let (size, pictures) = self.shown().unwrap_or_default();
        // It tells so of every JPEG that it converts.
        let said = self.running.said();
        // GStreamer at times closes its connection before it has said its farewells.
        let farewell = [
            "Could not write to resource",
            "Additional debug info",
            "gstrtspsrc.c",
            "Could not send message",
        ];
        let left = self.program == Program::Gstreamer && said.contains("gst_rtspsrc_pause");
        // VLC tells of every part of a desktop that it looks for in vain, too.
        let of_pictures = [" demux error", " decoder error", " packetizer error", " stream error", "avcodec"];
        let elsewhere = |line: &str| {
            let tells = of_pictures.iter().any(|words| line.contains(words));
            self.program == Program::Vlc && (!tells || line.contains("failed to create video output"))
        };
        let is_known = |line: &&str| {
            line.contains("deprecated pixel format")
                || line.trim_start().starts_with("Last message repeated")
                || left && farewell.iter().any(|words| line.contains(words))
                || elsewhere(line)
        };
        let errors = said.lines().filter(|line| !is_known(line)).collect();
        Shown { first: self.first.unwrap_or(SOON), size, pictures, errors }
    }
}

/// Waits until each has shown its pictures, however long the others take.
pub(super) fn all_show(mut players: Vec<Player<'_>>) -> Vec<(String, Shown)> {
    let deadline = Instant::now() + SOON;
    let mut done = Vec::new();
    while !players.is_empty() {
        for mut player in std::mem::take(&mut players) {
            if player.has_shown() {
                done.push((player.name.clone(), player.finish()));
            } else {
                players.push(player);
            }
        }
        let left: Vec<_> = players.iter().map(|player| (&player.name, player.running.said())).collect();
        assert!(Instant::now() < deadline, "not shown within {SOON:?}: {left:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    done
}

/// The size and the pictures of a file as players write it; `None` before its first whole picture.
pub(super) fn read_y4m(bytes: &[u8]) -> Option<Film> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let number = |letter: char| head.split(' ').find_map(|word| word.strip_prefix(letter)?.parse().ok());
    let (width, height): (usize, usize) = (number('W')?, number('H')?);
    let length = width * height + 2 * width.div_ceil(2) * height.div_ceil(2);
    let mut rest = &bytes[end + 1..];
    let mut pictures = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        assert!(rest.starts_with(b"FRAME"), "picture {} is not of {width}x{height}", pictures.len());
        let Some(picture) = rest.get(end + 1..end + 1 + length) else { break };
        pictures.push(picture.to_vec());
        rest = &rest[end + 1 + length..];
    }
    (!pictures.is_empty()).then_some(((width, height), pictures))
}

/// How many of `shown` are in `sent`, bit by bit.
pub(super) fn known(shown: &[Vec<u8>], sent: &HashSet<Vec<u8>>) -> usize {
    shown.iter().filter(|picture| sent.contains(*picture)).count()
}
