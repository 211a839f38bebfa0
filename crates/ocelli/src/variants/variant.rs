//! One variant: its stream, the place that it takes, and its numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use ocelli_codec::worker::protocol::OutputId;
use ocelli_hub::{OnLost, Stream};
use ocelli_media::Codec;
use tokio::sync::watch;

use super::limits::Place;
use super::orders::Shared;
use super::shape::Shape;
use super::watcher::Watcher;
use crate::histogram::Histogram;
use crate::tally::Tally;
use crate::viewers::Latency;

/// A variant of a camera's stream, as its readers and the task that fills it share it.
#[derive(Debug)]
pub(super) struct Variant {
    /// Its name at the worker.
    pub(super) id: OutputId,
    /// What was asked.
    pub(super) shape: Shape,
    /// Where its pictures are.
    pub(super) stream: Arc<Stream>,
    /// What it takes of the limits, once it is known to need pixels.
    pub(super) place: Mutex<Option<Place>>,
    pub(super) numbers: Numbers,
    pub(super) standing: watch::Sender<Standing>,
    /// Those who have come to watch since that was asked last, and some who have left since.
    new_watchers: Mutex<Vec<Weak<dyn Watcher>>>,
}

/// What keeps a variant: when nobody holds one any more, it ends.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) variant: Arc<Variant>,
    pub(super) shared: Weak<Shared>,
}

impl Hold {
    /// Whether who watches it sees a picture that says why there are none.
    pub(super) fn shows_notices(&self) -> bool {
        let is_jpeg = self.variant.shape.codec == Some(Codec::Jpeg);
        is_jpeg && self.shared.upgrade().is_some_and(|shared| shared.rules.on_lost == OnLost::Picture)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.let_go(self);
        }
    }
}

/// Whether a variant gives pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// None has come yet, and nothing speaks against it.
    #[default]
    Begins,
    /// They come, or come again when the camera's do.
    Works,
    /// None comes for now: why, in words.
    Ails(Arc<str>),
    /// None will come, and who read it was sent away: why, in words.
    Ended(Arc<str>),
}

impl Standing {
    /// Why no pictures come, where that is known.
    pub fn trouble(&self) -> Option<&Arc<str>> {
        match self {
            Self::Begins | Self::Works => None,
            Self::Ails(why) | Self::Ended(why) => Some(why),
        }
    }
}

/// Why a picture that was wanted did not come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// It was older than is allowed, or a newer one was there.
    Late,
    /// It needs one that was not decoded: a keyframe has not come since.
    NeedsKeyframe,
    /// It could not be decoded, or what came of it is no picture.
    Damaged,
    /// There was no worker.
    NoWorker,
}

impl Missed {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Late, Self::NeedsKeyframe, Self::Damaged, Self::NoWorker];

    /// One word for it, as `/stats` and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::NeedsKeyframe => "needs_keyframe",
            Self::Damaged => "damaged",
            Self::NoWorker => "no_worker",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Those of all of the camera's variants, those included that are no more.
    totals: Arc<Totals>,
    wanted: AtomicU64,
    missed: Tally<{ Missed::ALL.len() }>,
    said: Mutex<Said>,
}

/// What became of the pictures of a camera's variants.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) made: AtomicU64,
    pub(super) missed: AtomicU64,
}

#[derive(Debug, Default)]
struct Said {
    path: Option<String>,
    note: Option<String>,
    lowered: Option<Lowered>,
    decode: Mean,
    scale: Mean,
    encode: Mean,
    latency: Histogram,
}

/// What is given in a variant's stead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lowered {
    /// As the parameters of an address say it.
    pub to: String,
    /// Why, in words.
    pub because: String,
}

/// A mean that follows what changes.
#[derive(Clone, Copy, Debug, Default)]
struct Mean(Option<Duration>);

impl Mean {
    fn add(&mut self, value: Duration) {
        self.0 = Some(self.0.map_or(value, |mean| (mean * 15 + value) / 16));
    }
}

/// A variant's numbers at a time.
#[derive(Clone, Debug)]
pub struct VariantStats {
    /// What was asked, as the parameters of an address say it.
    pub shape: String,
    /// The way of a picture through it, in words, once that is known.
    pub path: Option<String>,
    /// What its owner should know of it: what was asked and could not be had, or why no pictures come.
    pub note: Option<String>,
    /// What is given in its stead because of what its viewers' networks take.
    pub lowered: Option<Lowered>,
    /// How many hold it.
    pub viewers: usize,
    /// Its stream: pictures that came out, their bytes, rate and size.
    pub stream: ocelli_hub::StreamStats,
    /// Pictures of the camera that were wanted for it.
    pub wanted: u64,
    /// Those of them that did not come out, by reason.
    pub missed: [(Missed, u64); Missed::ALL.len()],
    /// What decoding a picture takes the worker, once for all variants of the camera.
    pub decode: Option<Duration>,
    /// What scaling and turning a picture takes.
    pub scale: Option<Duration>,
    /// What encoding a picture takes.
    pub encode: Option<Duration>,
    /// From the camera's taking a picture to its being there in this shape.
    pub latency: Latency,
}

impl Variant {
    pub(super) fn new(
        id: OutputId,
        shape: Shape,
        stream: Arc<Stream>,
        place: Option<Place>,
        numbers: Numbers,
    ) -> Self {
        let (place, standing) = (Mutex::new(place), watch::Sender::default());
        Self { id, shape, stream, place, numbers, standing, new_watchers: Mutex::default() }
    }

    /// Says how it stands. Whether that is new.
    pub(super) fn stand(&self, standing: Standing) -> bool {
        self.standing.send_if_modified(|old| {
            *old != standing && {
                *old = standing;
                true
            }
        })
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Ended(_))
    }

    /// Somebody watches it, by whose numbers it is judged.
    pub(super) fn watched_by(&self, watcher: Weak<dyn Watcher>) {
        let mut new = self.new_watchers();
        // Nobody may ask for a long time, and who has left takes memory for as long as he is here.
        if new.len() == new.capacity() {
            new.retain(|watcher| watcher.strong_count() > 0);
        }
        new.push(watcher);
    }

    /// Those who have come since this was asked last.
    pub(super) fn take_new_watchers(&self) -> Vec<Weak<dyn Watcher>> {
        std::mem::take(&mut self.new_watchers())
    }

    /// A lock whose holders only put in and take out.
    fn new_watchers(&self) -> MutexGuard<'_, Vec<Weak<dyn Watcher>>> {
        self.new_watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stats(self: &Arc<Self>, viewers: usize) -> VariantStats {
        let trouble = self.standing.borrow().trouble().map(|why| why.to_string());
        let said = self.numbers.said();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        VariantStats {
            shape: self.shape.to_string(),
            path: said.path.clone(),
            note: trouble.or_else(|| said.note.clone()),
            lowered: said.lowered.clone(),
            viewers,
            stream: self.stream.stats(),
            wanted: load(&self.numbers.wanted),
            missed: self.numbers.missed.of(Missed::ALL),
            decode: said.decode.0,
            scale: said.scale.0,
            encode: said.encode.0,
            latency: Latency::of(&said.latency),
        }
    }
}

impl Numbers {
    pub(super) fn new(totals: Arc<Totals>) -> Self {
        Self { totals, ..Self::default() }
    }

    /// A lock whose holders only ever assign: what they leave behind is whole even if one of them panicked.
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wanted(&self) {
        self.wanted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn missed(&self, pictures: u64, why: Missed) {
        self.missed.add(why as usize, pictures);
        self.totals.missed.fetch_add(pictures, Ordering::Relaxed);
    }

    pub(super) fn path(&self, path: String) {
        self.said().path = Some(path);
    }

    pub(super) fn note(&self, note: String) {
        self.said().note = Some(note);
    }

    pub(super) fn lowered(&self, lowered: Option<Lowered>) {
        self.said().lowered = lowered;
    }

    pub(super) fn decoded(&self, took: Duration) {
        self.said().decode.add(took);
    }

    pub(super) fn made(&self, scale: Duration, encode: Duration) {
        let mut said = self.said();
        said.scale.add(scale);
        said.encode.add(encode);
    }

    pub(super) fn came_out(&self, captured: Option<SystemTime>, now: SystemTime) {
        self.totals.made.fetch_add(1, Ordering::Relaxed);
        if let Some(latency) = captured.and_then(|captured| now.duration_since(captured).ok()) {
            self.said().latency.add(latency);
        }
    }
}
