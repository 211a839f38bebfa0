//! The configuration: read from a TOML file and the command line's flags, checked once, right by construction after.
//!
//! What counts first: a flag, then the file, then the default of the key's table ([`keys`]). Nothing here opens a
//! device or a socket or starts a program; of the file system it reads the one file and looks which camera programs
//! and devices there are ([`Machine`]).

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ocelli_hub::{OnLost, Source, StreamName};

use crate::capture::Machine;
use crate::cli::ServeArgs;
use crate::ffmpeg::Program;
use crate::outputs::rtp::{PushAddress, RtpOptions};
use crate::outputs::rtsp::RtspOptions;
use crate::sources::{self, SourceOptions, hide_user};

mod environment;
mod flags;
pub mod keys;
mod ours;
mod pixels;
mod ports;
mod predecessors;
mod problem;
mod reader;
mod schema;
mod section;
mod value;

pub use pixels::PixelOptions;
pub use problem::{ConfigErrors, Place, Problem, Warning};
pub use schema::schema;

/// [`StreamName`]'s rule as a regular expression.
const NAME_PATTERN: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$";

/// Longest configuration file read, in bytes. A thousand cameras take a tenth of it.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What the server is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from.
    pub file: Option<PathBuf>,
    /// Where HTTP is served. Port 0 means any free port.
    pub http: SocketAddr,
    /// Where RTSP is served, if it is.
    pub rtsp_listen: RtspListen,
    /// How cameras are served by RTSP.
    pub rtsp: RtspOptions,
    /// What the server may use.
    pub limits: Limits,
    /// Whose pages may read from the server.
    pub cors: Cors,
    /// How cameras are pushed by RTP, where an address does not say otherwise.
    pub rtp: RtpOptions,
    /// The FFmpeg program, which cameras have in their options, too.
    pub ffmpeg: Arc<Program>,
    /// Time between two lines of statistics for each camera; `None` writes none.
    pub stats_interval: Option<Duration>,
    /// What is logged when `RUST_LOG` does not say otherwise.
    pub log_level: LogLevel,
    /// The cameras in the order of the file, then those of the command line; the first one is the one that addresses
    /// without a name mean. Never empty. Disabled ones are among them.
    pub cameras: Vec<CameraConfig>,
    /// When no camera was named: which was chosen, in a sentence for the owner.
    pub chosen: Option<String>,
    /// What the owner should know.
    pub warnings: Vec<Warning>,
}

/// Where RTSP is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtspListen {
    /// Nowhere.
    Off,
    /// Here if that can be, for nobody asked for it: another program may be there already.
    Usual(SocketAddr),
    /// Here, as the owner has said. Port 0 means any free port.
    At(SocketAddr),
}

/// What the server may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Viewers at the same time, all protocols together.
    pub viewers: usize,
    /// Network connections at the same time.
    pub connections: usize,
    /// Longest request head, in bytes.
    pub request_head_bytes: usize,
    /// How long a client may take to send a request's head.
    pub request_timeout: Duration,
    /// Pictures kept of each stream, 2 to 4096.
    pub buffer_size: usize,
    /// Threads that serve the network; `None` is one for each core.
    pub worker_threads: Option<usize>,
    /// Variants of all cameras at the same time.
    pub encoders: usize,
    /// Variants of one camera at the same time.
    pub variants_per_camera: usize,
}

/// Whose pages, beside the server's own, may read from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// Nobody's.
    None,
    /// Everybody's.
    Any,
    /// Those of these origins (`https://example.org`).
    Origins(Vec<String>),
}

/// The least important kind of log line that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs, reason = "the names are those of the log's own levels")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Off,
}

impl LogLevel {
    /// As a filter directive of the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Off => "off",
        }
    }
}

/// One camera.
#[derive(Clone, Debug)]
pub struct CameraConfig {
    /// Its name in addresses; no two cameras have the same.
    pub name: StreamName,
    /// Where its pictures come from.
    pub source: SourceText,
    /// What holds for any kind of source.
    pub options: SourceOptions,
    /// Whether it is used at all.
    pub enabled: bool,
    /// Whether it runs only while somebody watches.
    pub on_demand: bool,
    /// What viewers see while it is lost.
    pub on_lost: OnLost,
    /// Where its pictures are sent by RTP.
    pub push: Vec<PushAddress>,
    /// How its pictures are made anew, where they are.
    pub pixels: PixelOptions,
}

impl CameraConfig {
    /// Makes the source. A kind of source that this build does not have becomes one that is always refused with the
    /// cause, so that the camera's viewers see it and the other cameras run.
    pub fn build(&self) -> Box<dyn Source> {
        sources::build(self.source.as_str(), &self.options)
            .unwrap_or_else(|error| sources::unavailable(error.to_string()))
    }
}

/// A source's text, which may hold a password: shown without it, and with the names of variables in the place of their
/// values.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceText {
    text: String,
    shown: String,
}

impl SourceText {
    fn new(text: impl Into<String>, shown: impl AsRef<str>) -> Self {
        Self { text: text.into(), shown: hide_user(shown.as_ref()) }
    }

    /// The whole text, password included.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the first colon.
    pub fn scheme(&self) -> &str {
        self.text.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default()
    }
}

impl From<String> for SourceText {
    fn from(text: String) -> Self {
        let shown = hide_user(&text);
        Self { text, shown }
    }
}

impl From<&section::Text> for SourceText {
    fn from(text: &section::Text) -> Self {
        Self { text: text.text.clone(), shown: text.shown.clone() }
    }
}

impl fmt::Display for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown, f)
    }
}

/// What a configuration is read with.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// A variable of the environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// Which camera programs and devices there are.
    pub machine: &'a dyn Machine,
}

/// Reads the file that `args` names, if any, and puts the flags over it.
///
/// # Errors
/// Everything that is wrong with the file and the flags, not just the first thing.
pub fn load(args: &ServeArgs, around: Surroundings<'_>) -> Result<Config, ConfigErrors> {
    let text = match &args.config {
        None => String::new(),
        Some(path) => read(path).map_err(|problem| ConfigErrors { file: None, problems: vec![problem] })?,
    };
    from_text(&text, args, around)
}

/// As [`load`], with the file's text given. `args.config` is only the name that errors give it.
///
/// # Errors
/// As [`load`].
pub fn from_text(text: &str, args: &ServeArgs, around: Surroundings<'_>) -> Result<Config, ConfigErrors> {
    let mut reader = reader::Reader::new(text, around.environment);
    let mut config = ours::read(text, args.mode, &mut reader, around);
    config.file.clone_from(&args.config);
    flags::apply(args, &mut config, &mut reader, around);
    ours::finish(&mut config, &mut reader);
    let file = args.config.as_ref().map(|path| path.display().to_string());
    if !reader.problems.is_empty() {
        let mut problems = reader.problems;
        problems.sort_by_key(|problem| (problem.place.is_none(), problem.place));
        return Err(ConfigErrors { file, problems });
    }
    if config.cameras.is_empty() {
        let (source, sentence) = crate::capture::default_camera(around.machine);
        config.cameras.push(ours::camera(default_name(), source));
        config.chosen = Some(sentence);
    }
    config.warnings = reader.warnings;
    config.warnings.extend(planned_warning(&reader.planned));
    Ok(config)
}

/// What a camera without a name of its own is called.
fn default_name() -> StreamName {
    "camera".parse().expect("the constant is a valid name")
}

/// One warning for everything that is asked for and not there yet.
fn planned_warning(uses: &[reader::PlannedUse]) -> Option<Warning> {
    let mut features: Vec<(&str, Vec<String>)> = Vec::new();
    for wanted in uses {
        let place = match wanted.line {
            0 => format!("`{}`", wanted.key),
            line => format!("`{}` in line {line}", wanted.key),
        };
        match features.iter_mut().find(|(feature, _)| *feature == wanted.feature) {
            Some((_, places)) => places.push(place),
            None => features.push((&wanted.feature, vec![place])),
        }
    }
    if features.is_empty() {
        return None;
    }
    let list: Vec<String> =
        features.iter().map(|(feature, places)| format!("{feature} ({})", places.join(", "))).collect();
    Some(Warning {
        place: None,
        text: format!("asked for and not there yet, so left out: {}", list.join("; ")),
    })
}

/// An address to listen on, as the file has them: `address:port`, `:port` or a bare port.
pub(crate) fn listen_address(text: &str) -> Option<SocketAddr> {
    value::address(text)
}

fn read(path: &Path) -> Result<String, Problem> {
    use std::io::Read as _;

    let shown = path.display().to_string();
    let failed =
        |error: std::io::Error| Problem::new(None, shown.clone(), format!("cannot be read: {error}"));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Problem::new(None, shown, "the file is longer than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        Problem::new(None, shown, format!("line {line} is not UTF-8"))
    })
}

#[cfg(test)]
mod tests;
