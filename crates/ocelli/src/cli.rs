//! The command line: what may be said, and the commands `check`, `probe` and `devices`.
//!
//! A flag counts before the configuration file, the file before the defaults. Bad usage and a bad configuration end
//! with status 2.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{self, Config, ConfigErrors, LogLevel, RtspListen, Surroundings};

mod probe;

pub use probe::probe;

/// Exit status of bad usage and of a bad configuration.
pub const BAD_CONFIGURATION: u8 = 2;

/// Any camera in, any viewer out.
#[derive(Debug, Parser)]
#[command(name = "ocelli", version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

/// What the program is asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the cameras (what happens without a command)
    Serve(ServeArgs),
    /// Say what is wrong with a configuration, by line; nothing is started
    Check(CheckArgs),
    /// Run a source until its first pictures and say what they are
    Probe(ProbeArgs),
    /// List the V4L2 cameras of this machine with their formats, sizes and rates
    Devices,
}

/// What `serve` takes.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// Configuration file (TOML)
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A camera: its name and its source, such as front=v4l2:///dev/video0 (may be repeated)
    #[arg(long, value_name = "NAME=SOURCE")]
    pub camera: Vec<String>,
    /// HTTP port [default: 8080; 0 takes a free one]
    #[arg(long, short, value_name = "N")]
    pub port: Option<u16>,
    /// Address to listen on, for RTSP as well [default: 0.0.0.0]
    #[arg(long, short, value_name = "ADDRESS")]
    pub address: Option<IpAddr>,
    /// Where to serve RTSP, as ADDRESS:PORT or a port, or `off` [default: 0.0.0.0:8554; port 0 takes a free one]
    #[arg(long, value_name = "ADDRESS", value_parser = rtsp_flag)]
    pub rtsp: Option<RtspFlag>,
    /// Viewers at the same time [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_clients: Option<u32>,
    /// Pictures kept of each stream [default: 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub buffer_size: Option<u16>,
    /// Seconds between two lines of statistics, 0 for none [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub stats_interval: Option<Duration>,
    /// A program that writes MJPEG to its standard output, as a camera called `camera` [default: rpicam-vid]
    #[arg(long, value_name = "PROGRAM", allow_hyphen_values = true)]
    pub camera_cmd: Option<String>,
    /// Its arguments, split into words as a shell would
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true)]
    pub camera_args: Option<String>,
    /// Least important kind of log line that is written [default: info; RUST_LOG decides when it is set]
    #[arg(long, value_name = "LEVEL", ignore_case = true)]
    pub log_level: Option<LogLevel>,
    /// The same as --log-level debug
    #[arg(long, short)]
    pub verbose: bool,
    /// What a predecessor called its mode; -mode is understood as well
    #[arg(long, hide = true)]
    pub mode: Option<Mode>,
}

/// Where RTSP is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtspFlag {
    /// Nowhere.
    Off,
    /// Here.
    At(SocketAddr),
}

/// The modes of a predecessor, which served one protocol at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Every camera by WebRTC.
    Webrtc,
    /// Every camera by RTP/JPEG.
    MjpegRtp,
}

/// What `check` takes: what `serve` takes, checked and not acted on.
#[derive(Args, Clone, Debug, Default)]
pub struct CheckArgs {
    /// The flags of `serve`
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Print the JSON schema of configuration files instead
    #[arg(long)]
    pub schema: bool,
}

/// What `probe` takes.
#[derive(Args, Clone, Debug)]
pub struct ProbeArgs {
    /// The source, such as exec:rpicam-vid -t 0 --codec mjpeg -o - (several words are joined)
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub source: Vec<String>,
}

/// Reads the command line; `arguments` begin with the program's own name.
///
/// # Errors
/// Bad usage, or `--help` and `--version`, whose texts are errors to clap; its `exit` prints them and ends with the
/// right status.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let line = CommandLine::try_parse_from(with_two_dashes(arguments))?;
    Ok(line.command.unwrap_or(Command::Serve(line.serve)))
}

/// Flags that a predecessor, written in Go, took with one dash.
const ONE_DASH: [&str; 6] = ["mode", "config", "verbose", "log-level", "version", "help"];

fn with_two_dashes(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut takes_anything = false;
    // Behind `probe` stand the words of another program.
    let mut probes = false;
    arguments
        .into_iter()
        .map(|argument| {
            let Some(text) = argument.to_str().filter(|_| !probes) else { return argument };
            probes = text == "probe";
            let value =
                std::mem::replace(&mut takes_anything, matches!(text, "--camera-args" | "--camera-cmd"));
            let name = text.strip_prefix('-').map(|rest| rest.split('=').next().unwrap_or_default());
            match name {
                Some(name) if !value && ONE_DASH.contains(&name) => format!("-{text}").into(),
                _ => argument,
            }
        })
        .collect()
}

fn rtsp_flag(text: &str) -> Result<RtspFlag, String> {
    if text == "off" {
        return Ok(RtspFlag::Off);
    }
    let expected = "expected an IP address and a port such as 0.0.0.0:8554, or `off`";
    config::listen_address(text).map(RtspFlag::At).ok_or_else(|| expected.to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('s').unwrap_or(text).parse::<f64>() {
        Ok(number) if (0.0..=86_400.0).contains(&number) => Ok(Duration::from_secs_f64(number)),
        _ => Err("expected a number of seconds from 0 to 86400".into()),
    }
}

/// `ocelli check`: writes what is wrong to `errors`, or what is configured to `out`, and gives the exit status.
///
/// # Errors
/// Writing failed.
pub fn check(
    args: &CheckArgs,
    around: Surroundings<'_>,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<u8> {
    if args.schema {
        writeln!(out, "{:#}", config::schema())?;
        return Ok(0);
    }
    match config::load(&args.serve, around) {
        Ok(config) => {
            summary(&config, out)?;
            for warning in &config.warnings {
                writeln!(errors, "warning: {warning}")?;
            }
            Ok(0)
        }
        Err(wrong) => {
            problems(&wrong, errors)?;
            Ok(BAD_CONFIGURATION)
        }
    }
}

/// `ocelli devices`: writes what cameras this machine has to `out` and gives the exit status.
///
/// # Errors
/// Writing failed.
pub fn devices(out: &mut dyn Write) -> io::Result<u8> {
    #[cfg(target_os = "linux")]
    {
        let devices = crate::sources::v4l2::devices();
        for device in &devices {
            write!(out, "{device}")?;
        }
        if devices.is_empty() {
            writeln!(out, "No V4L2 camera is here (no /dev/video* that captures).")?;
        }
    }
    #[cfg(not(target_os = "linux"))]
    writeln!(
        out,
        "V4L2 cameras are Linux's; `ffmpeg -f avfoundation -list_devices true -i \"\"` lists a Mac's."
    )?;
    Ok(0)
}

fn problems(wrong: &ConfigErrors, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{wrong}")?;
    let count = wrong.problems.len();
    writeln!(out, "{count} problem{}", if count == 1 { "" } else { "s" })
}

fn summary(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    let what = config.file.as_ref().map_or("the command line".to_owned(), |file| file.display().to_string());
    let count = config.cameras.len();
    writeln!(out, "{what} is right: {count} camera{}", if count == 1 { "" } else { "s" })?;
    if let Some(sentence) = &config.chosen {
        writeln!(out, "{sentence}")?;
    }
    for camera in &config.cameras {
        let mut remarks = String::new();
        for (holds, remark) in [(!camera.enabled, ", disabled"), (camera.on_demand, ", on demand")] {
            if holds {
                remarks.push_str(remark);
            }
        }
        writeln!(out, "  {} ({}{remarks}): {}", camera.name, camera.source.scheme(), camera.source)?;
        for target in &camera.push {
            writeln!(out, "    pushed to {target}")?;
        }
    }
    let rtsp = match config.rtsp_listen {
        RtspListen::Off => "no RTSP".to_owned(),
        RtspListen::Usual(address) | RtspListen::At(address) => format!("RTSP on {address}"),
    };
    writeln!(out, "HTTP on {}, {rtsp}, up to {} viewers", config.http, config.limits.viewers)
}

#[cfg(test)]
mod tests;
