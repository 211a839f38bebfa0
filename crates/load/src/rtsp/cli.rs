//! The command line of `ocelli-load rtsp`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

/// See [the module](super).
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plays a stream many times over, checks every packet, and tells what it cost the server.
    Readers(ReadersOptions),
    /// The kernel's own price: the same bytes by bare writes, or by one send a picture, to as many readers.
    Floor(FloorOptions),
    /// An RTSP server that plays a clip over and over and does nothing else. Prints its port.
    Camera(CameraOptions),
}

#[derive(Debug, Args)]
pub(crate) struct ReadersOptions {
    /// rtsp://host:port/path, without a password
    #[arg(long)]
    pub(crate) url: String,
    /// Process id of the server, for its CPU and memory
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

#[derive(Debug, Args)]
pub(crate) struct FloorOptions {
    #[command(flatten)]
    pub(crate) film: FilmOptions,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

#[derive(Debug, Args)]
pub(crate) struct CameraOptions {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) film: FilmOptions,
}

/// What a camera shows.
#[derive(Debug, Args)]
pub(crate) struct FilmOptions {
    /// H.264 in Annex B, from a keyframe on
    #[arg(long, value_name = "CLIP")]
    pub(crate) file: PathBuf,
    /// Pictures a second
    #[arg(long, default_value_t = 30.0, value_name = "N")]
    pub(crate) frames_per_second: f64,
    /// The longest IP packet
    #[arg(long, default_value_t = 1400, value_name = "BYTES")]
    pub(crate) mtu: u16,
    /// Leave the pictures as they are, for those who decode them: no latency can be told, and what is missing by numbers only
    #[arg(long)]
    pub(crate) unmarked: bool,
}

/// How packets come to readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// Within the connection
    Tcp,
    /// In datagrams
    Udp,
    /// To every other reader in datagrams
    Mixed,
}

/// What readers do, and for how long.
#[derive(Debug, Args)]
pub(crate) struct CommonOptions {
    /// Readers that read all they are sent
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) readers: usize,
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    pub(crate) transport: Transport,
    /// Readers of the connection that read slowly, besides the others
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) slow_readers: usize,
    /// What each of them reads, in bytes a second
    #[arg(long, default_value_t = 250_000, value_name = "BYTES_PER_S")]
    pub(crate) slow_rate: u64,
    /// Readers of the connection that read nothing any more once they play, besides the others
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) stalled_readers: usize,
    /// Readers come and go at random, each stays for this many seconds at most
    #[arg(long, value_name = "S")]
    pub(crate) longest_stay: Option<f64>,
    /// Look at the sockets at this interval instead of waiting at them: the server then wakes nobody, and latency is not told
    #[arg(long, default_value_t = 0.0, value_name = "MS")]
    pub(crate) every: f64,
    /// How long to measure
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    pub(crate) seconds: f64,
    /// How long to play before measuring
    #[arg(long, default_value_t = 3.0, value_name = "S")]
    pub(crate) warmup: f64,
    /// Threads that read
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) threads: usize,
    /// Report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress on stderr
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl CommonOptions {
    pub(super) fn time(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds.clamp(0.0, 1e6))
    }
}

impl FilmOptions {
    /// What an RTP packet has room for, behind IPv4's headers.
    pub(super) fn packet_bytes(&self) -> usize {
        usize::from(self.mtu).saturating_sub(28)
    }

    /// The same options as a command line.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            "--file".into(),
            self.file.clone().into(),
            format!("--frames-per-second={}", self.frames_per_second).into(),
            format!("--mtu={}", self.mtu).into(),
        ];
        if self.unmarked {
            arguments.push("--unmarked".into());
        }
        arguments
    }
}
