//! The task that has a camera's worker: takes one picture after another, starts the worker when there is none, and
//! ends it when nothing has come for a while.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use ocelli_codec::recode::Wish;
use tokio::time::{Instant, timeout};

use super::restarts::Restarts;
use super::worker::{Lost, Worker};
use super::{Job, RecodeFailure, Shared};

/// How long a worker is kept after its last picture: as long as a camera without viewers.
const IDLE: Duration = Duration::from_secs(10);
/// Ways in which the newest picture is kept re-encoded.
const MOST_KEPT: usize = 4;

/// Works until nothing has come for [`IDLE`].
pub(super) async fn run(shared: Arc<Shared>) {
    let mut actor = Actor {
        shared: shared.clone(),
        worker: None,
        restarts: Restarts::default(),
        failure: None,
        newest: None,
    };
    loop {
        let job = shared.queue().jobs.pop_front();
        if let Some(Job { jpeg, wish, answer }) = job {
            let result = actor.recode(&jpeg, wish).await;
            actor.count(&result);
            let _ = answer.send(result);
        } else if timeout(IDLE, shared.waiting.notified()).await.is_err() {
            let mut queue = shared.queue();
            if queue.jobs.is_empty() {
                // Whoever asks from here on finds no task, and starts another.
                queue.actor = None;
                return;
            }
        }
    }
}

struct Actor {
    shared: Arc<Shared>,
    worker: Option<Worker>,
    restarts: Restarts,
    /// Why there is no worker, while it is not tried again.
    failure: Option<RecodeFailure>,
    newest: Option<Newest>,
}

/// What was made of the newest picture, for others who want the same.
struct Newest {
    jpeg: Bytes,
    made: Vec<(Wish, Result<Bytes, RecodeFailure>)>,
}

impl Actor {
    async fn recode(&mut self, jpeg: &Bytes, wish: Wish) -> Result<Bytes, RecodeFailure> {
        // The same memory, which `newest` keeps from being used for another picture.
        let same = |other: &Bytes| other.as_ptr() == jpeg.as_ptr() && other.len() == jpeg.len();
        if self.newest.as_ref().is_none_or(|newest| !same(&newest.jpeg)) {
            self.newest = Some(Newest { jpeg: jpeg.clone(), made: Vec::new() });
        }
        let made = self.newest.as_ref().and_then(|newest| newest.made.iter().find(|made| made.0 == wish));
        if let Some((_, result)) = made {
            return result.clone();
        }
        let result = self.ask(jpeg, wish).await;
        // A worker that was lost says nothing of the picture.
        let is_final = matches!(result, Ok(_) | Err(RecodeFailure::Refused(_)));
        if let Some(newest) = &mut self.newest
            && is_final
            && newest.made.len() < MOST_KEPT
        {
            newest.made.push((wish, result.clone()));
        }
        result
    }

    async fn ask(&mut self, jpeg: &Bytes, wish: Wish) -> Result<Bytes, RecodeFailure> {
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => self.start().await?,
        };
        match worker.recode(jpeg, &wish).await {
            Ok(answer) => {
                self.worker = Some(worker);
                answer.map_err(|reason| RecodeFailure::Refused(reason.into()))
            }
            Err(lost) => {
                let failure = RecodeFailure::Lost(worker.cause(lost).await.into());
                self.restarts.failed(Instant::now(), fastrand::f64());
                self.failure = Some(failure.clone());
                Err(failure)
            }
        }
    }

    async fn start(&mut self) -> Result<Worker, RecodeFailure> {
        if let Some(failure) = self.failure.as_ref().filter(|_| self.restarts.must_wait(Instant::now())) {
            return Err(failure.clone());
        }
        let Some(program) = self.shared.program.as_ref() else {
            return Err(RecodeFailure::Unavailable("the program's own directory is not known".into()));
        };
        self.restarts.started(Instant::now());
        let started = match Worker::spawn(program, &self.shared.camera) {
            Ok(mut worker) => {
                self.shared.numbers.starts.fetch_add(1, Ordering::Relaxed);
                match worker.greet().await {
                    Ok(hello) => Ok((worker, hello)),
                    Err(Lost::Refused(words)) => Err(RecodeFailure::Unavailable(words.into())),
                    Err(lost) => Err(RecodeFailure::Lost(worker.cause(lost).await.into())),
                }
            }
            Err(failure) => Err(failure),
        };
        match started {
            Ok((worker, hello)) => {
                tracing::debug!(camera = %self.shared.camera, "re-encoding has begun ({})", hello.words);
                Ok(worker)
            }
            Err(failure) => {
                match failure {
                    RecodeFailure::Unavailable(_) => self.restarts.refused(Instant::now()),
                    _ => self.restarts.failed(Instant::now(), fastrand::f64()),
                }
                self.failure = Some(failure.clone());
                Err(failure)
            }
        }
    }

    /// Counts, and says in the log what has changed.
    fn count(&self, result: &Result<Bytes, RecodeFailure>) {
        let numbers = &self.shared.numbers;
        let cause = match result {
            Ok(_) => {
                numbers.pictures.fetch_add(1, Ordering::Relaxed);
                None
            }
            Err(failure) => {
                numbers.failed.fetch_add(1, Ordering::Relaxed);
                Some(failure.to_string())
            }
        };
        let mut queue = self.shared.queue();
        if queue.cause.as_deref() == cause.as_deref() {
            return;
        }
        queue.cause = cause.as_deref().map(Into::into);
        drop(queue);
        match cause {
            Some(cause) => tracing::warn!(camera = %self.shared.camera, "re-encoding fails: {cause}"),
            None => tracing::info!(camera = %self.shared.camera, "re-encoding works again"),
        }
    }
}
