//! The way in: a [`Source`] is an input that the hub dials, supervises and dials again.

use std::future::Future;
use std::pin::Pin;

use crate::Publisher;

/// A boxed future that may be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An input that the hub dials.
///
/// [`run`](Source::run) opens the camera, announces its tracks, pushes its frames, and returns only when the camera
/// is lost: retrying, backoff and the notice that viewers see meanwhile are the hub's. Dropping the future stops the
/// camera and frees everything it held; what cannot be freed at once (a child process that is asked to end before it
/// is killed) is finished by a task of its own that outlives the future by a bounded time.
pub trait Source: Send {
    /// Runs the camera until it is lost. May be called again afterwards, on the same value.
    fn run<'a>(&'a mut self, out: &'a mut Publisher) -> BoxFuture<'a, Result<(), SourceError>>;
}

/// Why a camera was lost, in words for the person who owns it. Never contains a password or a token.
///
/// The kinds differ in what the supervisor does. All are tried again: one that was lost after a wait that grows with every
/// failure, a refused one after the longest wait at once, a silent one after the shortest each time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It worked, or might have worked, and stopped: "rpicam-vid ended with status 255: no cameras available".
    #[error("{0}")]
    Lost(String),
    /// It cannot work until somebody changes something: "the program `rpicam-vdi` is not installed".
    #[error("{0}")]
    Refused(String),
    /// It waits to be called and nobody called, which is no fault of its own and costs nothing: "no packet came for 10 s".
    #[error("{0}")]
    Silent(String),
}

impl SourceError {
    /// A camera that stopped, for `cause`.
    pub fn lost(cause: impl Into<String>) -> Self {
        Self::Lost(cause.into())
    }

    /// A camera that cannot work until somebody changes something.
    pub fn refused(cause: impl Into<String>) -> Self {
        Self::Refused(cause.into())
    }

    /// A camera that waits to be called and was not.
    pub fn silent(cause: impl Into<String>) -> Self {
        Self::Silent(cause.into())
    }

    /// The cause, in words.
    pub fn cause(&self) -> &str {
        match self {
            Self::Lost(cause) | Self::Refused(cause) | Self::Silent(cause) => cause,
        }
    }
}
