//! The cameras: one file a kind, one line a kind in [`KINDS`].
//!
//! A source is named by a URL-like text (`exec:rpicam-vid -t 0 -o -`, `v4l2:///dev/video0?width=1280`). Parsing it has
//! no side effects: nothing is opened or run until the hub dials the source.

use std::sync::Arc;
use std::time::Duration;

use ocelli_hub::{Backoff, Policy, Source};
use ocelli_media::Codec;

use crate::ffmpeg::Program;

pub mod exec;
mod ffmpeg;
mod file;
mod http;
mod pattern;
mod pictures;
pub mod publish;
pub mod received;
mod rtp;
mod rtsp;
mod tls;
mod unavailable;
mod url;
#[cfg(target_os = "linux")]
pub mod v4l2;

pub use pictures::{Pictures, whole_jpeg};
pub(crate) use rtp::listens_at;
pub use rtsp::Transport;
pub use unavailable::unavailable;
pub use url::{PASSWORD_NAMES, SourceUrl, SpecError, hide_user};

/// What a camera's configuration says beside its source's own text. The same for every kind; a kind ignores what it
/// has no use for and refuses what it cannot honour.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceOptions {
    /// JPEG quality of pictures that are encoded here, 1 to 100.
    pub quality: u8,
    /// Longest picture accepted, in bytes; a longer one is dropped and counted.
    pub max_frame_bytes: usize,
    /// What the bytes of `exec:` and `file:` are; told by themselves where it is not stated. Pictures only.
    pub codec: Option<Codec>,
    /// How long a started camera may give no picture before it counts as lost.
    pub silence_timeout: Duration,
    /// How an RTSP camera's packets are to come.
    pub transport: Transport,
    /// The time between two tries of a camera that was lost; `None`: a time that grows.
    pub reconnect_interval: Option<Duration>,
    /// The FFmpeg that reads `ffmpeg:`.
    pub ffmpeg: Arc<Program>,
}

impl SourceOptions {
    /// How a camera with this source is supervised, but for when it runs.
    pub fn policy(&self, scheme: &str) -> Policy {
        let default = Policy::default();
        let silence = match scheme {
            "rtsp" | "rtsps" | "publish" => rtsp::hub_silence(self.silence_timeout),
            _ => self.silence_timeout,
        };
        // Who publishes is not to wait for us.
        let wait = self.reconnect_interval.filter(|_| scheme != publish::KIND.scheme);
        let backoff =
            wait.map_or(default.backoff, |wait| Backoff { shortest: wait, longest: wait, ..default.backoff });
        Policy { silence, backoff, ..default }
    }
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            quality: 80,
            max_frame_bytes: 16 << 20,
            codec: None,
            silence_timeout: Duration::from_secs(10),
            transport: Transport::default(),
            reconnect_interval: None,
            ffmpeg: Arc::default(),
        }
    }
}

/// One kind of camera.
pub struct SourceKind {
    /// What stands before the first colon: `exec`.
    pub scheme: &'static str,
    /// One line for `--help` and error messages: what it is and an example.
    pub about: &'static str,
    /// Makes the source, or says what is wrong with its text. Opens nothing.
    pub build: Build,
}

/// Makes a source of one kind.
pub type Build = fn(&SourceUrl, &SourceOptions) -> Result<Box<dyn Source>, SpecError>;

/// Every kind of camera this build knows.
pub const KINDS: &[SourceKind] = &[
    exec::KIND,
    ffmpeg::KIND,
    file::KIND,
    http::KIND,
    http::SECURE_KIND,
    pattern::KIND,
    publish::KIND,
    rtp::KIND,
    rtp::sdp::KIND,
    rtsp::KIND,
    rtsp::SECURE_KIND,
    #[cfg(target_os = "linux")]
    v4l2::KIND,
];

/// Makes the source that `text` names.
///
/// # Errors
/// An unknown scheme (the error lists the known ones), a parameter that the kind does not have, or a value outside
/// its range.
pub fn build(text: &str, options: &SourceOptions) -> Result<Box<dyn Source>, SpecError> {
    let url = SourceUrl::parse(text)?;
    let Some(kind) = KINDS.iter().find(|kind| kind.scheme == url.scheme()) else {
        return Err(SpecError::unknown_scheme(url.scheme(), KINDS.iter().map(|kind| kind.scheme)));
    };
    (kind.build)(&url, options)
}
