//! The limit of open files: raised for this program, and given back to the programs that it starts.
//!
//! A thousand viewers are a thousand sockets, more than the usual soft limit of 1024 lets through. A child inherits the
//! raised limit, and one that uses `select`, or closes every number up to the limit before it does anything, suffers
//! from it: so its limit is set back as soon as it runs. It may see the raised one in its first microseconds; without
//! `unsafe` nothing can be done between fork and exec.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};

/// What the limit was when the program started, once it was raised.
static ORIGINAL: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit to the hard one.
pub fn allow_many() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => drop(ORIGINAL.set(limit)),
        Err(error) => tracing::debug!("the limit of open files stays as it is: {error}"),
    }
}

/// Gives a child that was just started the limit that this program was started with. Linux only: no other system lets
/// one process set the limit of another.
pub fn restore(child: Option<Pid>) {
    #[cfg(target_os = "linux")]
    if let (Some(_), Some(original)) = (child, ORIGINAL.get())
        && let Err(error) = rustix::process::prlimit(child, Resource::Nofile, *original)
    {
        // It has ended already, or runs as another user.
        tracing::debug!("the limit of open files of a camera's program stays raised: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = child;
}
