//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::clip::Clip;
use crate::run::Plan;
use crate::target::Target;
use crate::viewer::Manner;

/// Opens many viewers of a camera server's stream and reports what they got and what it cost the server.
#[derive(Debug, Parser)]
#[command(name = "ocelli-load", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) view: ViewOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The kernel's own price: the same bytes, by bare writes, to the same number of viewers.
    Floor(FloorOptions),
    /// The sending half of `floor`, as a process of its own.
    #[command(hide = true)]
    FloorSender(SenderOptions),
    /// A camera on stdout: a clip's pictures at their rate, each marked with the time it was written.
    Camera(CameraOptions),
    /// RTP over UDP: what a sender or a receiver of it costs.
    #[cfg(target_os = "linux")]
    #[command(subcommand)]
    Rtp(crate::rtp::Command),
    /// RTSP: many readers of a server, and a camera.
    #[cfg(target_os = "linux")]
    #[command(subcommand)]
    Rtsp(crate::rtsp::Command),
}

#[derive(Debug, Args)]
pub(crate) struct ViewOptions {
    /// The stream: http://host:port/path, or tcp://host:port for multipart without HTTP
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Process id of the server, for its CPU and memory
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    #[command(flatten)]
    pub(crate) readers: ReaderOptions,
    /// Viewers that read slowly, besides the others
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub(crate) slow_viewers: usize,
    /// What each of them reads, in bytes a second
    #[arg(long, default_value_t = 1_000_000, value_name = "BYTES_PER_S")]
    pub(crate) slow_rate: u64,
    /// Their receive buffer: small, so that the age of what they see is the server's doing
    #[arg(long, default_value_t = 65_536, value_name = "BYTES")]
    pub(crate) slow_receive_buffer: usize,
    /// Viewers that send the request and never read, besides the others
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub(crate) stalled_viewers: usize,
    /// A header line to send with each request; may be repeated
    #[arg(long = "header", value_name = "LINE")]
    pub(crate) headers: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReaderOptions {
    /// Viewers that read all they are sent
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) viewers: usize,
    /// How long to measure
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    pub(crate) seconds: f64,
    /// How long to watch before measuring
    #[arg(long, default_value_t = 3.0, value_name = "S")]
    pub(crate) warmup: f64,
    /// Threads that read
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) threads: usize,
    /// Report as JSON, with a line for each viewer
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress on stderr
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FloorOptions {
    #[command(flatten)]
    pub(crate) readers: ReaderOptions,
    #[command(flatten)]
    pub(crate) sender: SenderOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SenderOptions {
    /// Pictures a second
    #[arg(long, default_value_t = 30.0, value_name = "N")]
    pub(crate) frames_per_second: f64,
    /// Bytes of each picture, when there is no clip
    #[arg(long, default_value_t = 142_000, value_name = "N")]
    pub(crate) bytes: usize,
    /// A clip whose pictures are sent instead
    #[arg(long, value_name = "CLIP")]
    pub(crate) file: Option<PathBuf>,
    /// SO_SNDBUF of each connection; 0 leaves it to the kernel
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    pub(crate) send_buffer: usize,
    /// TCP_NOTSENT_LOWAT of each connection; 0 leaves it to the kernel
    #[arg(long, default_value_t = 0, value_name = "BYTES")]
    pub(crate) not_sent_low_water: u32,
}

#[derive(Debug, Args)]
pub(crate) struct CameraOptions {
    /// Whole JPEGs, one behind the other
    #[arg(long)]
    pub(crate) clip: PathBuf,
    /// Pictures a second
    #[arg(long, default_value_t = 30.0)]
    pub(crate) fps: f64,
    /// Where to write down when each picture was out: 8 bytes each, microseconds since 1970, highest byte first
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
}

impl ReaderOptions {
    /// A plan of prompt viewers alone.
    pub(crate) fn plan(&self, target: Target, pid: Option<u32>) -> Plan {
        Plan {
            target,
            prompt: self.viewers,
            slow: 0,
            slow_manner: Manner::Stalled,
            stalled: 0,
            threads: self.threads,
            warmup: Duration::from_secs_f64(self.warmup.clamp(0.0, 1e6)),
            seconds: Duration::from_secs_f64(self.seconds.clamp(0.1, 1e6)),
            pid,
            quiet: self.quiet,
        }
    }
}

impl ViewOptions {
    pub(crate) fn plan(&self, target: Target) -> Plan {
        let bytes_per_second = self.slow_rate.max(1);
        Plan {
            slow: self.slow_viewers,
            slow_manner: Manner::Slow { bytes_per_second, receive_buffer: self.slow_receive_buffer },
            stalled: self.stalled_viewers,
            ..self.readers.plan(target, self.pid)
        }
    }
}

impl SenderOptions {
    pub(crate) fn clip(&self) -> anyhow::Result<Clip> {
        self.file.as_ref().map_or_else(|| Ok(Clip::synthetic(self.bytes)), |file| Clip::load(file))
    }

    /// The same options as a command line.
    pub(crate) fn arguments(&self) -> Vec<std::ffi::OsString> {
        let mut arguments = vec![
            format!("--frames-per-second={}", self.frames_per_second).into(),
            format!("--bytes={}", self.bytes).into(),
            format!("--send-buffer={}", self.send_buffer).into(),
            format!("--not-sent-low-water={}", self.not_sent_low_water).into(),
        ];
        if let Some(file) = &self.file {
            arguments.extend(["--file".into(), file.into()]);
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let cli =
            Cli::try_parse_from(["ocelli-load", "--url", "tcp://127.0.0.1:1", "--viewers", "3"]).unwrap();
        assert_eq!((cli.view.readers.viewers, cli.view.slow_rate), (3, 1_000_000));
        let options = ["ocelli-load", "floor", "--viewers", "9", "--send-buffer", "5", "--file", "a b.mjpeg"];
        let Some(Command::Floor(floor)) = Cli::try_parse_from(options).unwrap().command else {
            panic!("floor")
        };
        let again = ["ocelli-load".into(), "floor-sender".into()].into_iter().chain(floor.sender.arguments());
        let Some(Command::FloorSender(sender)) = Cli::try_parse_from(again).unwrap().command else {
            panic!("sender")
        };
        assert_eq!((sender.send_buffer, sender.file), (5, Some("a b.mjpeg".into())));
    }
}
