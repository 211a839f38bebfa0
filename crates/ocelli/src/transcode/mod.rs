//! Re-encoding of cameras' JPEGs, in a worker process of each camera that needs it (`ocelli-codec`).
//!
//! Bytes of strangers meet no C decoder within the server: a picture goes to the worker by a pipe and comes back as another
//! JPEG. Each camera has a worker of its own, so that a picture that crashes or hangs it takes no other camera along,
//! and cameras share the processor as programs do. It is started by the first picture and stopped ten seconds after the
//! last.
//!
//! The program is the file `ocelli-codec` in the directory of the running `ocelli`, nowhere else: one that stands in
//! `PATH` may be anybody's. It must be of the same version.
//!
//! A [`Recoder`] is a camera's way there. What waits for the worker is bounded: whoever asks waits for his answer, and
//! beyond [`MOST_WAITING`] the oldest is answered that it was overtaken. The same picture asked for twice in the same
//! way is encoded once.

mod actor;
mod restarts;
mod worker;

use std::collections::VecDeque;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
pub use ocelli_codec::recode::Wish;
use ocelli_hub::StreamName;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// Pictures of one camera that may wait for its worker: one of each way in which it is wanted, and no user asks for so
/// many.
pub const MOST_WAITING: usize = 8;

/// Name of the worker's program.
pub const PROGRAM: &str = "ocelli-codec";

/// Why a picture was not re-encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecodeFailure {
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

/// A camera's way to its worker. Clones share it; two are equal when they do.
#[derive(Clone)]
pub struct Recoder(Arc<Shared>);

struct Shared {
    camera: StreamName,
    program: Option<PathBuf>,
    queue: Mutex<Queue>,
    /// A picture is waiting.
    waiting: Notify,
    numbers: Numbers,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// The task that has, or will have, the worker.
    actor: Option<JoinHandle<()>>,
    stopped: bool,
    cause: Option<Arc<str>>,
}

#[derive(Debug)]
struct Job {
    jpeg: Bytes,
    wish: Wish,
    answer: oneshot::Sender<Result<Bytes, RecodeFailure>>,
}

#[derive(Debug, Default)]
struct Numbers {
    pictures: AtomicU64,
    failed: AtomicU64,
    overtaken: AtomicU64,
    starts: AtomicU64,
}

/// What a camera's re-encoding came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoderStats {
    /// Its worker runs, or is being started.
    pub running: bool,
    /// Pictures re-encoded.
    pub pictures: u64,
    /// Pictures that were not, for a fault of theirs or of the worker.
    pub failed: u64,
    /// Pictures that were not, because newer ones came.
    pub overtaken: u64,
    /// How often a worker was started.
    pub starts: u64,
    /// Why the last picture failed, until one succeeds.
    pub cause: Option<Arc<str>>,
}

impl Recoder {
    /// The way to the worker beside this program. Starts nothing yet.
    pub fn new(camera: StreamName) -> Self {
        let directory = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join(PROGRAM)));
        Self::of(camera, directory)
    }

    /// The way to a worker that is a given program. Starts nothing yet.
    pub fn with_program(camera: StreamName, program: PathBuf) -> Self {
        Self::of(camera, Some(program))
    }

    fn of(camera: StreamName, program: Option<PathBuf>) -> Self {
        Self(Arc::new(Shared {
            camera,
            program,
            queue: Mutex::default(),
            waiting: Notify::new(),
            numbers: Numbers::default(),
        }))
    }

    /// Re-encodes a whole JPEG file.
    ///
    /// Must be called within a tokio runtime. When its future is dropped the picture is still encoded, for nobody.
    ///
    /// # Errors
    /// There is no such picture: why.
    pub async fn recode(&self, jpeg: Bytes, wish: Wish) -> Result<Bytes, RecodeFailure> {
        let (answer, answered) = oneshot::channel();
        let overtaken = {
            let mut queue = self.0.queue();
            if queue.stopped {
                return Err(RecodeFailure::Stopped);
            }
            queue.jobs.push_back(Job { jpeg, wish, answer });
            if queue.actor.as_ref().is_none_or(JoinHandle::is_finished) {
                queue.actor = Some(tokio::spawn(actor::run(self.0.clone())));
            }
            if queue.jobs.len() > MOST_WAITING { queue.jobs.pop_front() } else { None }
        };
        self.0.waiting.notify_one();
        if let Some(job) = overtaken {
            self.0.numbers.overtaken.fetch_add(1, Ordering::Relaxed);
            let _ = job.answer.send(Err(RecodeFailure::Overtaken));
        }
        answered.await.unwrap_or(Err(RecodeFailure::Stopped))
    }

    /// Its numbers now.
    pub fn stats(&self) -> RecoderStats {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let queue = self.0.queue();
        RecoderStats {
            running: queue.actor.as_ref().is_some_and(|actor| !actor.is_finished()),
            pictures: load(&self.0.numbers.pictures),
            failed: load(&self.0.numbers.failed),
            overtaken: load(&self.0.numbers.overtaken),
            starts: load(&self.0.numbers.starts),
            cause: queue.cause.clone(),
        }
    }

    /// Stops the worker, and starts none again.
    pub fn stop(&self) {
        let mut queue = self.0.queue();
        queue.stopped = true;
        queue.jobs.clear();
        if let Some(actor) = &queue.actor {
            actor.abort();
        }
    }

    /// The worker has been dropped, and is in the hands of [`children`](crate::children).
    pub fn has_stopped(&self) -> bool {
        self.0.queue().actor.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Shared {
    /// A lock whose holders only ever put in and take out: what they leave behind is whole even if one of them panicked.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Recoder {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Recoder {}

impl Hash for Recoder {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for Recoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recoder").field("camera", &self.0.camera).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
