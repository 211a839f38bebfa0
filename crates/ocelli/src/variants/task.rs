//! The task that has a camera's worker: gives it what somebody wants once and what the variants want of each picture, puts
//! what comes of it where it belongs, and ends it when nothing has been wanted for a while.
//!
//! It waits for nothing but what happens next, so that a worker that is slow, hangs or is started again holds up neither
//! the variants that need none nor what is asked meanwhile.

pub(super) mod fault;
mod feed;
mod jobs;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use ocelli_codec::worker::PROGRAM_UNUSABLE;
use ocelli_codec::worker::protocol::{Answer, Coding, Hello, NoteKind, OutputId, Request};
use ocelli_hub::{BoxFuture, Closed, Item, Subscriber};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use self::feed::Feed;
use self::jobs::Jobs;
use super::Rules;
use super::notices::{self, Away, Notices, Retry};
use super::orders::{Made, Shared};
use super::output::{Output, is_sound};
use crate::ffmpeg::Program;
use crate::transcode::{Event, Failure, Head, Link};

/// How long a worker is kept after its last use: as long as a camera without viewers.
const IDLE: Duration = Duration::from_secs(10);
/// How often it is looked whether there is a notice to show, or a worker may be tried again.
const LOOK: Duration = Duration::from_millis(250);

/// Works until nothing has been wanted for [`IDLE`].
pub(super) async fn run(shared: Arc<Shared>) {
    fault::bear(&shared, || work(shared.clone())).await;
}

async fn work(shared: Arc<Shared>) {
    let mut task = Task::new(shared);
    while !task.may_end() {
        task.turn().await;
    }
}

struct Task {
    shared: Arc<Shared>,
    link: Link,
    /// The worker that there is has said hello.
    has_greeted: bool,
    /// It has been given frames.
    has_frames: bool,
    /// What the worker owes an answer for, in the order in which it was asked.
    asked: VecDeque<Asked>,
    jobs: Jobs,
    feed: Feed,
    notices: Notices,
    helper: Helper,
    /// Why there is no worker, while there is none that was wanted.
    away: Option<Arc<str>>,
    last_use: Instant,
    look: Interval,
    number: u32,
}

/// Whether FFmpeg's program can help a worker that lacks a codec.
enum Helper {
    Unknown,
    /// It is asked for its version; `Err` says in words why it cannot be used.
    Asked(BoxFuture<'static, Result<(), String>>),
    Usable,
}

/// A question to the worker.
enum Asked {
    /// One picture, for somebody.
    Job(u32),
    /// A picture of the stream.
    Frame {
        number: u32,
        /// For how many outputs.
        wanted: usize,
    },
}

impl Task {
    fn new(shared: Arc<Shared>) -> Self {
        let name = shared.camera.name().clone();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            link: link(&shared),
            has_greeted: false,
            has_frames: false,
            asked: VecDeque::new(),
            jobs: Jobs::default(),
            feed: Feed::new(shared.clone()),
            notices: Notices::new(name.to_string(), shared.status.clone(), shared.rules.on_lost),
            helper: Helper::Unknown,
            away: None,
            last_use: Instant::now(),
            look,
            number: 0,
            shared,
        }
    }

    /// Whether nothing is left to do, and nothing will be.
    fn may_end(&mut self) -> bool {
        let is_idle = self.feed.outputs.is_empty() && self.jobs.is_empty() && self.asked.is_empty();
        if !is_idle {
            self.last_use = Instant::now();
        }
        is_idle && self.last_use.elapsed() >= IDLE && self.shared.orders().may_end()
    }

    /// Does all that can be done, and waits for something to happen.
    async fn turn(&mut self) {
        self.take_orders();
        self.feed.read_all();
        self.give();
        let shared = self.shared.clone();
        tokio::select! {
            biased;
            event = self.link.next() => self.take_event(event),
            usable = self.helper.next() => self.take_usable(usable),
            () = shared.wake.notified() => {}
            item = next_of(&mut self.feed.input) => self.feed.take(item),
            _ = self.look.tick() => self.look_around().await,
        }
    }

    fn take_orders(&mut self) {
        let (begun, ended, jobs) = {
            let mut orders = self.shared.orders();
            let jobs = std::mem::take(&mut orders.jobs);
            (std::mem::take(&mut orders.begun), std::mem::take(&mut orders.ended), jobs)
        };
        for job in jobs {
            self.jobs.add(job, &self.shared);
        }
        self.feed.begin(begun);
        for id in ended {
            if self.feed.end(id) {
                self.link.send(Head::Other(Request::write_end(id)), Bytes::new(), false);
            }
        }
    }

    /// Gives the worker what there is for it, and has one started where there is none.
    fn give(&mut self) {
        let wants_worker = !self.jobs.is_empty() || self.feed.is_decoding();
        if !self.link.is_ready() {
            if wants_worker {
                self.have_worker();
            }
            return;
        }
        if self.lacks_codec() {
            return;
        }
        while let Some((number, head, picture)) = self.jobs.next(&mut self.number) {
            self.asked.push_back(Asked::Job(number));
            self.link.send(head, picture, true);
        }
        for head in self.feed.introductions() {
            self.link.send(Head::Other(head), Bytes::new(), false);
        }
        while let Some((number, wanted, head, picture)) = self.feed.next(&mut self.number) {
            self.has_frames = true;
            self.asked.push_back(Asked::Frame { number, wanted });
            self.link.send(head, picture, true);
        }
    }

    /// Whether the worker is asked nothing now, since it lacks what another may have that uses FFmpeg's program. That one takes its
    /// place if the program can be used, once it has answered all.
    fn lacks_codec(&mut self) -> bool {
        let inputs = self.feed.input_codec().into_iter().chain(self.jobs.inputs());
        let codings = self.feed.outputs.iter().filter_map(Output::coding);
        let Some(why) = self.shared.orders().means.lacks(inputs, codings) else { return false };
        match self.helper {
            Helper::Unknown => self.helper = Helper::ask(self.shared.rules.ffmpeg.clone()),
            Helper::Usable if self.asked.is_empty() => {
                tracing::info!(camera = %self.shared.camera.name(), "{why}: FFmpeg's program does it");
                self.helper = Helper::Unknown;
                self.shared.orders().means.take_program();
                self.change_worker();
            }
            Helper::Asked(_) | Helper::Usable => {}
        }
        true
    }

    /// FFmpeg's program can be used, or cannot: then the worker there is goes on.
    fn take_usable(&mut self, usable: Result<(), String>) {
        let Err(why) = usable else {
            self.helper = Helper::Usable;
            return;
        };
        self.helper = Helper::Unknown;
        let mut orders = self.shared.orders();
        if orders.means.is_news(&why) {
            tracing::warn!(camera = %self.shared.camera.name(), "FFmpeg's program does not do what the worker lacks: {why}");
        }
        orders.means.without_program(why.into());
    }

    /// Has another worker started in the place of the one there is, which owes nothing.
    fn change_worker(&mut self) {
        (self.link, self.has_greeted) = (link(&self.shared), false);
        self.shared.orders().process = None;
        if std::mem::take(&mut self.has_frames) {
            self.feed.lost();
        }
    }

    /// The worker that was to use FFmpeg's program cannot: whether one that does not is to do what it can.
    fn goes_on_without_program(&mut self, failure: &Failure) -> bool {
        // One that was slow to say hello, or was killed, says nothing of the program.
        let is_its_fault = match failure {
            Failure::Unavailable(_) => true,
            failure => failure.to_string().contains(PROGRAM_UNUSABLE),
        };
        if self.has_greeted
            || !is_its_fault
            || !self.shared.orders().means.without_program(failure.to_string().into())
        {
            return false;
        }
        tracing::warn!(camera = %self.shared.camera.name(), "FFmpeg's program does not do it: {failure}");
        self.change_worker();
        true
    }

    fn have_worker(&mut self) {
        let started = self.link.start();
        self.feed.lacks_worker = started.is_err();
        match started {
            Ok(true) => {
                self.shared.numbers.starts.fetch_add(1, Ordering::Relaxed);
                self.shared.orders().process = self.link.process_id();
            }
            Ok(false) => {}
            Err(failure) => {
                let is_told = self.jobs.fail(&failure, &self.shared);
                self.without_worker(&failure, is_told);
            }
        }
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Ready(hello) => self.greet(&hello),
            Event::Answer(answer, message) => {
                if let Err(why) = self.take_answer(answer, &message) {
                    self.link.disbelieve(why);
                }
            }
            Event::Lost(failure) if self.goes_on_without_program(&failure) => {}
            Event::Lost(failure) => {
                (self.has_greeted, self.has_frames) = (false, false);
                self.shared.numbers.lost.fetch_add(1, Ordering::Relaxed);
                self.shared.orders().process = None;
                self.asked.clear();
                let is_told = self.jobs.lost(&failure, &self.shared);
                self.without_worker(&failure, is_told);
            }
        }
    }

    fn greet(&mut self, hello: &Hello) {
        tracing::debug!(camera = %self.shared.camera.name(), "a worker is there ({})", hello.words);
        {
            let mut orders = self.shared.orders();
            orders.set_able(hello.able);
            orders.process = self.link.process_id();
        }
        (self.has_greeted, self.has_frames) = (true, false);
        if self.away.take().is_some() {
            tracing::info!(camera = %self.shared.camera.name(), "pictures are decoded again");
        }
        self.feed.introduce();
    }

    /// There is none to be had now, or the one there was is gone. `is_told` if the log says so already.
    fn without_worker(&mut self, failure: &Failure, is_told: bool) {
        self.feed.lost();
        let words: Arc<str> = failure.to_string().into();
        if let Failure::Unavailable(words) = failure {
            self.shared.orders().set_unavailable(words.clone());
        }
        if (self.feed.is_decoding() || !is_told) && self.away.as_ref() != Some(&words) {
            tracing::warn!(camera = %self.shared.camera.name(), "no pictures are decoded: {words}");
        }
        self.shared.orders().away = Some(words.clone());
        self.away = Some(words);
    }

    /// What the worker says. `Err` if it is not to be believed.
    fn take_answer(&mut self, answer: Answer, message: &Bytes) -> Result<(), &'static str> {
        match answer {
            Answer::Piece(piece) => self.feed.take_piece(&piece, message.slice(Answer::PIECE_HEAD_BYTES..)),
            Answer::Note { id, kind, words } => {
                self.take_note(id, kind, words);
                Ok(())
            }
            Answer::Done { number, outcome, decode_us, outputs_us, words } => match self.asked.pop_front() {
                Some(Asked::Frame { number: asked, wanted }) if asked == number => {
                    let us = |micros: u32| Duration::from_micros(micros.into());
                    let took = (us(decode_us), us(outputs_us));
                    self.feed.done(number, wanted, outcome, took, &words);
                    Ok(())
                }
                _ => Err("a frame is done that was not its next"),
            },
            Answer::Picture { number, size } => {
                let picture = message.slice(Answer::PICTURE_HEAD_BYTES..);
                if !is_sound(Coding::Jpeg, size, &picture) {
                    return Err("a picture that is no JPEG");
                }
                self.take_made(number, &Ok(picture))
            }
            Answer::Refused { number, reason } => {
                self.take_made(number, &Err(Failure::Refused(reason.into())))
            }
        }
    }

    fn take_made(&mut self, number: u32, made: &Made) -> Result<(), &'static str> {
        match self.asked.pop_front() {
            Some(Asked::Job(asked)) if asked == number => {
                self.jobs.made(number, made, &self.shared);
                Ok(())
            }
            _ => Err("a picture that was not its next"),
        }
    }

    fn take_note(&mut self, id: OutputId, kind: NoteKind, words: String) {
        let Some(at) = self.feed.outputs.iter().position(|output| output.variant.id == id) else { return };
        let output = &mut self.feed.outputs[at];
        match kind {
            NoteKind::Way => output.variant.numbers.path(words),
            NoteKind::Warning => {
                output.variant.numbers.note(words.clone());
                if output.warnings.is_news(Some(&words), std::time::Instant::now()) {
                    let (camera, shape) = (self.shared.camera.name(), &output.variant.shape);
                    tracing::warn!(%camera, "variant `{shape}`: {words}");
                }
            }
            // It does not make this one, or has said so before.
            NoteKind::Ended if output.coding().is_none() => {}
            NoteKind::Ended => self.feed.refuse(at, &words),
        }
    }

    /// Says why nothing is made, if nothing is, and shows a notice if one is due; looks how much the viewers take.
    async fn look_around(&mut self) {
        self.feed.adapt();
        let now = std::time::Instant::now();
        let away = self.away.clone().filter(|_| self.feed.is_decoding() && !self.link.is_ready());
        let away = away.map(|cause| Away { cause, retry: Retry::In(self.link.retry_in()) });
        let undecoded = self.feed.why_undecoded().map(|cause| Away { cause, retry: Retry::Always });
        let trouble = self.notices.lasting(away, now).or(undecoded);
        self.feed.ail(trouble.as_ref().map(|trouble| &trouble.cause));
        if let Some(lost) = self.notices.due(trouble.as_ref(), now) {
            let size = self.feed.camera_size();
            notices::show(lost, &mut self.feed.outputs, size).await;
        }
    }
}

impl Helper {
    fn ask(program: Arc<Program>) -> Self {
        Self::Asked(Box::pin(async move {
            let asked = program.version().await;
            asked.map(|_| ()).map_err(|error| format!("{} {error}", program.name()))
        }))
    }

    /// What it has answered; never, while it is not asked. Cancel-safe.
    async fn next(&mut self) -> Result<(), String> {
        match self {
            Self::Asked(answer) => answer.await,
            Self::Unknown | Self::Usable => std::future::pending().await,
        }
    }
}

/// The way to a worker that uses what is to be used now.
fn link(shared: &Shared) -> Link {
    let orders = shared.orders();
    let arguments = [arguments(&shared.rules), orders.means.arguments()].concat();
    let ffmpeg = orders.means.program().cloned();
    Link::new(shared.camera.name().clone(), shared.program.clone(), arguments, ffmpeg)
}

/// What the worker is told when it is started, besides the camera's name and what it may use.
fn arguments(rules: &Rules) -> Vec<String> {
    let named = [("--decoders", &rules.decoders), ("--encoders", &rules.h264_encoders)];
    let named = named.into_iter().filter(|(_, names)| !names.is_empty());
    named.flat_map(|(argument, names)| [argument.to_owned(), names.join(",")]).collect()
}

/// The next item of the camera; never, while nobody reads it.
async fn next_of(input: &mut Option<Subscriber>) -> Result<Item, Closed> {
    match input {
        Some(input) => input.next().await,
        None => std::future::pending().await,
    }
}
