//! A worker under supervision: started when it is needed, greeted, listened to, and started again when it is lost.
//!
//! [`Link::next`] is all of its life: it writes what is waiting, reads what comes, notices that nothing does, and tells what
//! happened. It holds nobody up and may be dropped at any time.

use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ocelli_codec::worker::protocol::{Answer, Hello, PROTOCOL, ProtocolError};
use ocelli_hub::{BoxFuture, StreamName};
use tokio::time::{Instant, Sleep, sleep_until};

use super::pipes::{Head, Incoming, Outgoing};
use super::process::Process;
use super::restarts::Restarts;
use super::{Failure, PROGRAM};
use crate::ffmpeg::Program;

/// How long a worker may take to say hello, and be silent while it is asked something. A 4K picture takes a fast machine
/// 50 ms; a small Pi twenty times as long.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// How a worker was lost.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// A pipe broke, most often because the worker ended.
    #[error("{0}")]
    Pipe(#[from] io::Error),
    /// It says what it should not.
    #[error("answered what it should not: {0}")]
    Protocol(#[from] ProtocolError),
    /// It answers what it was not asked.
    #[error("answered what it should not: {0}")]
    Unasked(&'static str),
    /// Nothing came in time.
    #[error("did not answer within {} s and was killed", PATIENCE.as_secs())]
    Hangs,
    /// It is not the one that belongs to this program.
    #[error("{0}")]
    Refused(String),
}

/// What a link tells.
#[derive(Debug)]
pub(crate) enum Event {
    /// The worker is there and knows nothing yet.
    Ready(Hello),
    /// It says something; with the whole message, kind and body.
    Answer(Answer, Bytes),
    /// It is gone, and what it was asked has no answer.
    Lost(Failure),
}

/// The way to one camera's worker.
pub(crate) struct Link {
    camera: StreamName,
    program: Option<PathBuf>,
    arguments: Vec<String>,
    /// The FFmpeg that the worker is to use: it is asked for its version before.
    ffmpeg: Option<Arc<Program>>,
    restarts: Restarts,
    /// Why it was lost last, while it is not tried again.
    failure: Option<Failure>,
    state: State,
}

enum State {
    None,
    /// FFmpeg is asked for its version.
    Asking(BoxFuture<'static, Result<(), Failure>>),
    Running(Box<Running>),
    /// Lost, and asked for its last words.
    Ending(BoxFuture<'static, Failure>),
}

struct Running {
    process: Process,
    incoming: Incoming,
    outgoing: Outgoing,
    is_greeted: bool,
    /// How many answers it owes.
    owed: usize,
    /// When it counts as hanging, while it owes something; the timer may be earlier.
    due: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Link {
    /// No worker yet. Without a program there never is one. `arguments` follow the camera's name; a worker that is to use `ffmpeg` is
    /// started only if that can be used.
    pub(crate) fn new(
        camera: StreamName,
        program: Option<PathBuf>,
        arguments: Vec<String>,
        ffmpeg: Option<Arc<Program>>,
    ) -> Self {
        let restarts = Restarts::default();
        Self { camera, program, arguments, ffmpeg, restarts, failure: None, state: State::None }
    }

    /// Has a worker started, if there is none and it may be tried. Whether one was.
    ///
    /// # Errors
    /// Why there is none, while it is too early to try again.
    pub(crate) fn start(&mut self) -> Result<bool, Failure> {
        if !matches!(self.state, State::None) {
            return Ok(false);
        }
        let now = Instant::now();
        if let Some(failure) = self.failure.as_ref().filter(|_| self.restarts.must_wait(now)) {
            return Err(failure.clone());
        }
        self.restarts.started(now);
        match self.ffmpeg.clone() {
            Some(ffmpeg) => {
                self.state = State::Asking(Box::pin(async move {
                    let asked = ffmpeg.version().await;
                    let words = |error| Failure::Unavailable(format!("{} {error}", ffmpeg.name()).into());
                    asked.map(|_| ()).map_err(words)
                }));
            }
            None => self.spawn()?,
        }
        Ok(true)
    }

    fn spawn(&mut self) -> Result<(), Failure> {
        let spawned = match &self.program {
            Some(program) => Process::spawn(program, &self.camera, &self.arguments),
            None => Err(Failure::Unavailable("the program's own directory is not known".into())),
        };
        let process = spawned.inspect_err(|failure| self.note(failure))?;
        let due = Instant::now() + PATIENCE;
        self.state = State::Running(Box::new(Running {
            process,
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            is_greeted: false,
            owed: 1,
            due,
            timer: Box::pin(sleep_until(due)),
        }));
        Ok(())
    }

    /// It has said hello and can be asked.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(&self.state, State::Running(running) if running.is_greeted)
    }

    /// The process, while there is one.
    pub(crate) fn process_id(&self) -> Option<u32> {
        match &self.state {
            State::Running(running) => running.process.id(),
            _ => None,
        }
    }

    /// When it may be started again, if that is later than now.
    pub(crate) fn retry_in(&self) -> Option<Duration> {
        self.restarts.retry_in(Instant::now())
    }

    /// Has a message written when there is room. `is_question` if it has one answer.
    pub(crate) fn send(&mut self, head: Head, data: Bytes, is_question: bool) {
        let State::Running(running) = &mut self.state else { return };
        running.outgoing.push(head, data);
        if is_question {
            if running.owed == 0 {
                running.due = Instant::now() + PATIENCE;
            }
            running.owed += 1;
        }
    }

    /// Gives the worker up: it answers what it was not asked.
    pub(crate) fn disbelieve(&mut self, why: &'static str) {
        self.end(Lost::Unasked(why));
    }

    /// What happens next; never ready while there is no worker. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            match &mut self.state {
                State::None => pending().await,
                State::Asking(asking) => {
                    let asked = asking.await;
                    self.state = State::None;
                    let usable = asked.inspect_err(|failure| self.note(failure));
                    if let Err(failure) = usable.and_then(|()| self.spawn()) {
                        return Event::Lost(failure);
                    }
                }
                State::Ending(ending) => {
                    let failure = ending.await;
                    self.state = State::None;
                    self.note(&failure);
                    return Event::Lost(failure);
                }
                State::Running(running) => match running.next().await {
                    Ok(event) => return event,
                    Err(lost) => self.end(lost),
                },
            }
        }
    }

    fn end(&mut self, lost: Lost) {
        if let State::Running(running) = std::mem::replace(&mut self.state, State::None) {
            let Running { process, .. } = *running;
            self.state = State::Ending(Box::pin(async move {
                match lost {
                    Lost::Refused(words) => Failure::Unavailable(words.into()),
                    lost => Failure::Lost(process.cause(lost).await.into()),
                }
            }));
        }
    }

    fn note(&mut self, failure: &Failure) {
        let now = Instant::now();
        match failure {
            Failure::Unavailable(_) => self.restarts.refused(now),
            _ => self.restarts.failed(now, fastrand::f64()),
        }
        self.failure = Some(failure.clone());
    }
}

impl Running {
    async fn next(&mut self) -> Result<Event, Lost> {
        loop {
            let Process { input, output, .. } = &mut self.process;
            tokio::select! {
                // What it has said counts though a pipe breaks.
                biased;
                message = self.incoming.next(output) => return self.take(message),
                written = self.outgoing.flush(input), if !self.outgoing.is_empty() => written?,
                () = &mut self.timer, if self.owed > 0 => {
                    if self.due <= Instant::now() {
                        return Err(Lost::Hangs);
                    }
                    self.timer.as_mut().reset(self.due);
                }
            }
        }
    }

    fn take(&mut self, message: Result<Bytes, Lost>) -> Result<Event, Lost> {
        if !self.is_greeted {
            let hello = greet(message)?;
            self.is_greeted = true;
            self.owed -= 1;
            return Ok(Event::Ready(hello));
        }
        let message = message?;
        let answer = Answer::read(&message)?;
        // A sign of life is enough: a large group of pictures takes its time. Words are none.
        if !matches!(answer, Answer::Note { .. }) {
            self.due = Instant::now() + PATIENCE;
        }
        if matches!(answer, Answer::Picture { .. } | Answer::Refused { .. } | Answer::Done { .. }) {
            self.owed = self.owed.checked_sub(1).ok_or(Lost::Unasked("more answers than questions"))?;
        }
        Ok(Event::Answer(answer, message))
    }
}

/// Looks whether a worker belongs to this program.
fn greet(message: Result<Bytes, Lost>) -> Result<Hello, Lost> {
    let hello = match message {
        Ok(message) => Hello::read(&message),
        Err(Lost::Protocol(_)) => Err(ProtocolError::NoHello),
        Err(lost) => return Err(lost),
    };
    let own = env!("CARGO_PKG_VERSION");
    match hello {
        Ok(hello) if (hello.protocol, &*hello.version) == (PROTOCOL, own) => Ok(hello),
        Ok(Hello { protocol, version, .. }) if version == own => Err(Lost::Refused(format!(
            "`{PROGRAM}` speaks protocol {protocol} and this program {PROTOCOL}: install both from the same release"
        ))),
        Ok(Hello { version, .. }) => Err(Lost::Refused(format!(
            "`{PROGRAM}` is version {version} and this program {own}: install both from the same release"
        ))),
        Err(_) => Err(Lost::Refused(format!("the program `{PROGRAM}` is another one of this name"))),
    }
}
