//! A camera's worker process (`ocelli-codec`): started, greeted, asked through pipes, supervised and ended. What it is asked,
//! and for whom, is decided in [`crate::variants`].
//!
//! The program is the file `ocelli-codec` in the directory of the running `ocelli`, nowhere else: one that stands in
//! `PATH` may be anybody's. It must be of the same version. Its answers are parsed like a stranger's.

mod link;
mod pipes;
mod process;
mod restarts;

use std::sync::Arc;

pub(crate) use link::{Event, Link};
pub(crate) use pipes::Head;
pub(crate) use restarts::LOOK_AGAIN;

/// Name of the worker's program.
pub const PROGRAM: &str = "ocelli-codec";

/// Why a picture was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The worker will not, or cannot: the picture is damaged, or of a kind that it does not decode.
    #[error("{0}")]
    Refused(Arc<str>),
    /// There is no worker to be had until somebody changes something: not installed, or of another version.
    #[error("{0}")]
    Unavailable(Arc<str>),
    /// The worker ended or hung, and is started again.
    #[error("{0}")]
    Lost(Arc<str>),
    /// Others wait that came later.
    #[error("newer pictures took its place")]
    Overtaken,
    /// The camera is being stopped.
    #[error("re-encoding has been stopped")]
    Stopped,
}
