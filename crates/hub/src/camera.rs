//! A camera: a source, the stream it fills, and the task that drives the one into the other for as long as it is
//! configured.
//!
//! The rules are [`Supervisor`]'s; here are only its clock, its dice, and the notice that viewers see while the camera
//! is lost.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use ocelli_media::{Frame, Size, Tracks};
use tokio::task::JoinHandle;

use crate::clock::now;
use crate::source::{Source, SourceError};
use crate::stream::{Publisher, Stream};
use crate::supervise::{Action, Policy, State, Supervisor};
use crate::sync::lock;

#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests;

/// How often the notice is repeated while somebody watches, so that its clock moves and a dead connection is noticed.
const NOTICE_EVERY: Duration = Duration::from_secs(1);

/// What the viewers of a lost camera get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLost {
    /// A picture that says what happened and when the camera is tried again.
    #[default]
    Picture,
    /// Nothing: the last picture stays on the screen.
    Hold,
    /// Their connections are closed.
    Close,
}

/// What a notice must say.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// The camera's name.
    pub camera: String,
    /// Why it was lost, in words.
    pub cause: Arc<str>,
    /// When it is tried again; `None` while it is being tried and has given no picture yet.
    pub retry_in: Option<Duration>,
    /// It waits to be called: nobody tries anything.
    pub waits: bool,
    /// Size of the camera's pictures, where it is known.
    pub size: Option<Size>,
    /// The time now.
    pub now: SystemTime,
}

/// Draws a notice: the picture and the tracks to use where the camera never had any. `None` where it cannot be drawn
/// in the camera's codec. Called off the async threads.
pub type DrawNotice = dyn Fn(&Lost) -> Option<(Frame, Tracks)> + Send + Sync;

/// A camera's state at a time, for people and programs to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// What it does.
    pub state: State,
    /// For whom it waits, while it does; else why it was lost the last time, also while it is being tried again.
    pub cause: Option<Arc<str>>,
    /// How often it was started again after a failure.
    pub restarts: u64,
}

/// Reads a camera's state, for as long as one likes.
#[derive(Clone, Debug)]
pub struct StatusReader(Arc<Mutex<Status>>);

impl StatusReader {
    /// Its state now; that of a camera that was dropped is its last.
    pub fn status(&self) -> Status {
        lock(&self.0).clone()
    }
}

/// A running camera. Dropping it stops the source.
#[derive(Debug)]
pub struct Camera {
    stream: Arc<Stream>,
    status: Arc<Mutex<Status>>,
    task: JoinHandle<()>,
}

/// What a camera is made of.
pub struct CameraParts {
    /// The stream to fill.
    pub stream: Arc<Stream>,
    /// What fills it.
    pub source: Box<dyn Source>,
    /// When it is started, stopped and tried again.
    pub policy: Policy,
    /// What viewers get while it is lost.
    pub on_lost: OnLost,
    /// Draws the notice.
    pub draw: Arc<DrawNotice>,
}

impl Camera {
    /// Starts driving. `None` while the stream has another publisher.
    ///
    /// Must be called within a tokio runtime.
    pub fn start(parts: CameraParts) -> Option<Self> {
        let publisher = parts.stream.publish()?;
        let stream = parts.stream.clone();
        let status = Status { state: State::Idle, cause: None, restarts: 0 };
        let status = Arc::new(Mutex::new(status));
        let driver = Driver {
            supervisor: Supervisor::new(parts.policy),
            status: status.clone(),
            loss: None,
            notices: Notices { stream: parts.stream.clone(), status: status.clone(), draw: parts.draw },
            stream: parts.stream,
            on_lost: parts.on_lost,
        };
        Some(Self { stream, status, task: tokio::spawn(driver.drive(parts.source, publisher)) })
    }

    /// The stream it fills.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Its state now.
    pub fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    /// Reads its state for those who do not hold the camera.
    pub fn status_reader(&self) -> StatusReader {
        StatusReader(self.status.clone())
    }

    /// Stops the source: it is dropped soon, by the task that runs it.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// The source has been dropped.
    pub fn has_stopped(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Driver {
    supervisor: Supervisor,
    /// Read by [`Camera::status`].
    status: Arc<Mutex<Status>>,
    /// Why it was lost the last time.
    loss: Option<Arc<str>>,
    stream: Arc<Stream>,
    on_lost: OnLost,
    notices: Notices,
}

impl Driver {
    async fn drive(mut self, mut source: Box<dyn Source>, mut publisher: Publisher) {
        let mut action = self.note_demand();
        loop {
            self.report();
            if action == Some(Action::Start) {
                self.stream.begin_run();
                self.run(source.as_mut(), &mut publisher).await;
                self.stream.end_run();
                self.stopped().await;
                action = None;
            } else {
                action = self.wait().await;
            }
        }
    }

    /// Runs the source until it ends or the supervisor has it stopped.
    async fn run(&mut self, source: &mut dyn Source, publisher: &mut Publisher) {
        let stream = self.stream.clone();
        let mut running = source.run(publisher);
        let mut repeating = pin!(self.repeat_notice());
        loop {
            tokio::select! {
                // The source comes last: it is polled most, and must not starve what stops it.
                biased;
                () = stream.demand_changed() => drop(self.note_demand()),
                () = stream.first_picture() => self.supervisor.picture(now()),
                cause = stream.waits() => self.supervisor.waits(cause),
                () = until(self.supervisor.deadline()) => {
                    if let Some(last) = stream.last_picture() {
                        self.supervisor.picture_at(last);
                    }
                    if self.supervisor.tick(now(), fastrand::f64()) == Some(Action::Stop) {
                        return;
                    }
                }
                () = &mut repeating => {}
                ended = &mut running => {
                    if let Some(last) = stream.last_picture() {
                        if stream.gives_pictures() {
                            self.supervisor.begins(last);
                        }
                        self.supervisor.picture_at(last);
                        self.report();
                    }
                    let why = ended.err().unwrap_or_else(|| SourceError::lost("the camera ended"));
                    self.supervisor.ended(&why, now(), fastrand::f64());
                    return;
                }
            }
            self.report();
        }
    }

    /// What viewers get now that the source has stopped.
    async fn stopped(&mut self) {
        self.report();
        match self.supervisor.state() {
            State::Lost { cause, retry_at } => {
                let retry_in = retry_at.saturating_duration_since(now()).as_secs_f64();
                tracing::warn!(camera = %self.stream.name(), retry_in_seconds = format!("{retry_in:.1}"), "camera lost: {cause}");
                match self.on_lost {
                    OnLost::Picture => self.notice().await,
                    OnLost::Hold => {}
                    OnLost::Close => {
                        self.stream.clear();
                        self.stream.disconnect();
                    }
                }
            }
            // Stopped for want of viewers: the next one must not see an old picture.
            _ => {
                tracing::info!(camera = %self.stream.name(), "camera stopped: nobody watches");
                self.stream.clear();
            }
        }
    }

    /// Waits for the supervisor to want something, repeating the notice meanwhile.
    async fn wait(&mut self) -> Option<Action> {
        let lost = matches!(self.supervisor.state(), State::Lost { .. });
        let repeats = lost && self.on_lost == OnLost::Picture && self.stream.viewers() > 0;
        tokio::select! {
            // A try that is due goes before the notice that it is due.
            biased;
            () = self.stream.demand_changed() => self.note_demand(),
            () = until(self.supervisor.deadline()) => {
                let action = self.supervisor.tick(now(), fastrand::f64());
                if *self.supervisor.state() == State::Idle {
                    self.stream.clear();
                }
                action
            }
            () = tokio::time::sleep(NOTICE_EVERY), if repeats => {
                self.notice().await;
                None
            }
        }
    }

    /// Publishes a picture that says that the camera is lost.
    async fn notice(&self) {
        let State::Lost { retry_at, .. } = self.supervisor.state() else { return };
        self.notices.publish(Some(retry_at.saturating_duration_since(now()))).await;
    }

    /// Repeats the notice of a camera that is tried again, or waits to be called, while somebody watches and no picture has come.
    /// Never ends.
    fn repeat_notice(&self) -> impl Future<Output = ()> + Send + use<> {
        let notices = (self.on_lost == OnLost::Picture).then(|| self.notices.clone());
        async move {
            if let Some(notices) = notices {
                loop {
                    tokio::time::sleep(NOTICE_EVERY).await;
                    if notices.stream.viewers() > 0 && !notices.stream.gives_pictures() {
                        notices.publish(None).await;
                    }
                }
            }
            std::future::pending::<()>().await;
        }
    }

    fn note_demand(&mut self) -> Option<Action> {
        self.supervisor.demand(self.stream.viewers() > 0, now())
    }

    fn report(&mut self) {
        let mut status = lock(&self.status);
        let state = self.supervisor.state().clone();
        let was_ready = matches!(status.state, State::Ready { .. } | State::Closing { .. });
        if matches!(state, State::Ready { .. } | State::Closing { .. }) && !was_ready {
            tracing::info!(camera = %self.stream.name(), "camera ready");
        }
        if let State::Waiting { cause } = &state
            && status.state != state
        {
            tracing::info!(camera = %self.stream.name(), "{cause}");
        }
        match &state {
            State::Lost { cause, .. } => self.loss = Some(cause.clone()),
            State::Starting { after, .. } => self.loss.clone_from(after),
            _ => {}
        }
        status.cause = match &state {
            State::Waiting { cause } => Some(cause.clone()),
            _ => self.loss.clone(),
        };
        status.state = state;
        status.restarts = self.supervisor.restarts();
    }
}

/// Where notices are drawn, and where they go.
#[derive(Clone)]
struct Notices {
    stream: Arc<Stream>,
    status: Arc<Mutex<Status>>,
    draw: Arc<DrawNotice>,
}

impl Notices {
    /// Publishes one, if there is anything to tell.
    async fn publish(&self, retry_in: Option<Duration>) {
        let Status { state, cause, .. } = lock(&self.status).clone();
        let Some(cause) = cause else { return };
        let tracks = self.stream.tracks();
        let lost = Lost {
            camera: self.stream.name().to_string(),
            cause,
            retry_in,
            waits: matches!(state, State::Waiting { .. }),
            size: tracks.and_then(|tracks| tracks.iter().find_map(|track| track.size)),
            now: SystemTime::now(),
        };
        let draw = self.draw.clone();
        match tokio::task::spawn_blocking(move || draw(&lost)).await {
            Ok(Some((frame, tracks))) => self.stream.notice(frame, tracks),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(camera = %self.stream.name(), "the notice could not be drawn: {error}");
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
