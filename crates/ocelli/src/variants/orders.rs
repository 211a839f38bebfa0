//! What is asked of a camera's pixels, until its task takes it: the one place where those who ask and the task meet.
//!
//! What waits is bounded: of pictures that somebody wants once, beyond [`MOST_WAITING`] of a kind the oldest is answered that
//! it was overtaken; of variants there are as many as the limits allow.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use ocelli_codec::recode::Wish;
use ocelli_codec::worker::protocol::{Able, Coding, Input, OutputId, Still};
use ocelli_hub::{StatusReader, Stream};
use ocelli_media::{Codec, Size, Track};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::limits::Place;
use super::means::Means;
use super::shape::Shape;
use super::task::fault::WORDS;
use super::variant::{Hold, Standing, Totals, Variant};
use super::{Rules, Unshaped, task};
use crate::log::Told;
use crate::transcode::{Failure, LOOK_AGAIN};

/// Pictures of one camera, of each kind (for RTP, and stills), that may wait for its worker: one of each way in which it is
/// wanted, and no user asks for so many.
pub const MOST_WAITING: usize = 8;

/// Longest picture of a variant, for a worker's pipe and the ring that it is put into.
const MOST_PIECE_BYTES: u64 = 64 << 20;

/// What all who have to do with one camera's pixels share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) camera: Arc<Stream>,
    pub(super) status: Option<StatusReader>,
    pub(super) rules: Rules,
    pub(super) program: Option<PathBuf>,
    orders: Mutex<Orders>,
    /// Something new is in the orders.
    pub(super) wake: Notify,
    pub(super) numbers: Numbers,
}

#[derive(Debug)]
pub(super) struct Orders {
    pub(super) jobs: VecDeque<Job>,
    pub(super) begun: Vec<Arc<Variant>>,
    pub(super) ended: Vec<OutputId>,
    /// Those that somebody holds, and some that are just ending.
    pub(super) variants: Vec<(Arc<Variant>, Weak<Hold>)>,
    /// The variants that somebody holds, by their names at the worker, and whether each has a place.
    living: Vec<(OutputId, bool)>,
    last_id: u16,
    task: Option<JoinHandle<()>>,
    pub(super) stopped: bool,
    /// Why the last picture failed.
    pub(super) cause: Option<Arc<str>>,
    pub(super) told_cause: Told,
    /// Why there is no worker until somebody changes something.
    unavailable: Option<(Instant, Arc<str>)>,
    /// By what the worker decodes and encodes.
    pub(super) means: Means,
    /// Why there is no worker, while one is wanted and there is none.
    pub(super) away: Option<Arc<str>>,
    /// The worker's number in the system.
    pub(super) process: Option<u32>,
}

/// A picture that is wanted once.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) picture: Bytes,
    pub(super) what: What,
    pub(super) answers: Vec<oneshot::Sender<Made>>,
}

/// How it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A JPEG as RTP carries it.
    Recode(Wish),
    /// A JPEG of a keyframe.
    Still(Still),
}

impl What {
    pub(super) fn is_still(self) -> bool {
        matches!(self, Self::Still(_))
    }
}

/// What came of it.
pub(super) type Made = Result<Bytes, Failure>;

#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub(super) pictures: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) overtaken: AtomicU64,
    pub(super) starts: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) variants: Arc<Totals>,
}

impl Job {
    /// Whether it asks the same of the same picture: of the same memory, which is held as long as it is compared.
    pub(super) fn is(&self, picture: &Bytes, what: What) -> bool {
        self.what == what && is_same(&self.picture, picture)
    }
}

/// Takes out of `jobs`, of which the last has just come, the oldest of its kind, if there are more than may wait: however many
/// stills somebody asks for, those who watch keep their pictures.
pub(super) fn overtaken(jobs: &mut VecDeque<Job>) -> Option<Job> {
    let is_still = jobs.back()?.what.is_still();
    let alike = || jobs.iter().enumerate().filter(|(_, job)| job.what.is_still() == is_still);
    let (oldest, _) = alike().next().filter(|_| alike().count() > MOST_WAITING)?;
    jobs.remove(oldest)
}

/// Whether both are the same memory.
pub(super) fn is_same(one: &Bytes, other: &Bytes) -> bool {
    one.as_ptr() == other.as_ptr() && one.len() == other.len()
}

impl Shared {
    pub(super) fn new(
        camera: Arc<Stream>,
        status: Option<StatusReader>,
        rules: Rules,
        program: Option<PathBuf>,
    ) -> Self {
        Self {
            camera,
            status,
            orders: Mutex::new(Orders::new(Means::new(rules.ffmpeg.clone(), rules.ffmpeg_first))),
            rules,
            program,
            wake: Notify::new(),
            numbers: Numbers::default(),
        }
    }

    /// A lock whose holders only ever put in and take out: what they leave behind is whole even if one of them panicked.
    pub(super) fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a picture made, and waits for it.
    pub(super) async fn make(self: &Arc<Self>, picture: Bytes, what: What) -> Made {
        let (answer, answered) = oneshot::channel();
        let overtaken = {
            let mut orders = self.orders();
            if orders.stopped {
                return Err(Failure::Stopped);
            }
            match orders.jobs.iter_mut().find(|job| job.is(&picture, what)) {
                Some(job) => job.answers.push(answer),
                None => orders.jobs.push_back(Job { picture, what, answers: vec![answer] }),
            }
            orders.have_task(self);
            overtaken(&mut orders.jobs)
        };
        self.wake.notify_one();
        for answer in overtaken.into_iter().flat_map(|job| job.answers) {
            self.numbers.overtaken.fetch_add(1, Ordering::Relaxed);
            let _ = answer.send(Err(Failure::Overtaken));
        }
        answered.await.unwrap_or_else(|_| {
            let is_stopped = self.orders().stopped;
            Err(if is_stopped { Failure::Stopped } else { Failure::Lost(WORDS.into()) })
        })
    }

    /// The task has ended by a fault, and what it did with it: says so, in `words`, to all who read variants, and sends them away.
    /// Variants that somebody holds all the same, as a push does, are begun again by the next task.
    pub(super) fn end_all(&self, words: &str) {
        let held = self.held();
        for Hold { variant, .. } in held.iter().map(Arc::as_ref) {
            variant.stand(Standing::Ails(words.into()));
            if let Some(mut publisher) = variant.stream.publish() {
                publisher.send_away();
            }
        }
        let mut orders = self.orders();
        // Some may have been begun meanwhile.
        let alive: Vec<_> = orders.variants.iter().filter_map(|(_, hold)| hold.upgrade()).collect();
        orders.begun = alive.iter().map(|hold| hold.variant.clone()).collect();
        orders.process = None;
        // Before the holds, the last of which may be what takes it.
        drop(orders);
    }

    /// Takes a place for the variant `id`, which needs the pixels of `track`.
    pub(super) fn place_for(
        &self,
        orders: &Orders,
        id: OutputId,
        shape: &Shape,
        track: &Track,
    ) -> Result<Place, Unshaped> {
        orders.may_make(shape, track)?;
        let most = self.rules.per_camera;
        if orders.living.iter().filter(|(living, has_place)| *has_place && *living != id).count() >= most {
            return Err(Unshaped::TooMany { limit: "variants_per_camera", most });
        }
        let encoders = &self.rules.encoders;
        encoders.take().ok_or(Unshaped::TooMany { limit: "encoders", most: encoders.most() })
    }

    /// Nobody holds this one any more.
    pub(super) fn let_go(&self, hold: &Hold) {
        let mut orders = self.orders();
        orders.variants.retain(|(_, kept)| !std::ptr::eq(kept.as_ptr(), hold));
        orders.living.retain(|(id, _)| *id != hold.variant.id);
        orders.ended.push(hold.variant.id);
        drop(orders);
        *hold.variant.place.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.wake.notify_one();
    }
}

impl Orders {
    fn new(means: Means) -> Self {
        Self {
            jobs: VecDeque::new(),
            begun: Vec::new(),
            ended: Vec::new(),
            variants: Vec::new(),
            living: Vec::new(),
            last_id: 0,
            task: None,
            stopped: false,
            cause: None,
            told_cause: Told::default(),
            unavailable: None,
            means,
            away: None,
            process: None,
        }
    }

    /// There is no worker until somebody changes something.
    pub(super) fn set_unavailable(&mut self, words: Arc<str>) {
        self.unavailable = Some((Instant::now(), words));
    }

    /// Why there is no worker, unless it is time to look again.
    fn unavailable(&self) -> Option<&str> {
        let (since, words) = self.unavailable.as_ref()?;
        (since.elapsed() < LOOK_AGAIN).then_some(words)
    }

    /// Whether pictures of `track` can be made into those of `shape`, as far as that is known.
    pub(super) fn may_make(&self, shape: &Shape, track: &Track) -> Result<(), Unshaped> {
        let impossible = |why: &str| Err(Unshaped::Impossible(format!("there is no `{shape}`: {why}")));
        let codec = shape.codec.unwrap_or(track.codec);
        let Some(coding) = Coding::of_codec(codec) else { return impossible(&no_encoder(codec)) };
        if let Some(size) =
            track.size.map(|size| shape.size(size, codec)).filter(|size| is_too_large(coding, *size))
        {
            let mib = MOST_PIECE_BYTES >> 20;
            return impossible(&format!(
                "a picture of {size} takes more than {mib} MiB: ask for a smaller one"
            ));
        }
        if let Some(words) = self.unavailable() {
            return impossible(words);
        }
        let decodes = Input::of_codec(track.codec).map_or(Ok(()), |input| self.means.decodes(input));
        decodes.and_then(|()| self.means.encodes(coding)).or_else(|why| impossible(&why))
    }

    /// There is a worker, which can do this.
    pub(super) fn set_able(&mut self, able: Able) {
        self.means.set_able(able);
        self.unavailable = None;
        self.away = None;
    }

    /// Has the task run that fulfils them.
    pub(super) fn have_task(&mut self, shared: &Arc<Shared>) {
        if self.task.as_ref().is_none_or(JoinHandle::is_finished) {
            self.task = Some(tokio::spawn(task::run(shared.clone())));
        }
    }

    /// The task ends, unless something has come just now. Whoever asks from here on has another started.
    pub(super) fn may_end(&mut self) -> bool {
        let may = self.jobs.is_empty() && self.begun.is_empty();
        if may {
            self.task = None;
            self.process = None;
            self.away = None;
            self.means.rest();
            self.ended.clear();
        }
        may
    }

    pub(super) fn is_running(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.is_finished())
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
        self.jobs.clear();
        self.begun.clear();
        if let Some(task) = &self.task {
            task.abort();
        }
    }

    /// Somebody holds the variant `id`.
    pub(super) fn lives(&mut self, id: OutputId, has_place: bool) {
        self.living.retain(|(living, _)| *living != id);
        self.living.push((id, has_place));
    }

    /// Whether somebody holds the variant `id`.
    pub(super) fn is_living(&self, id: OutputId) -> bool {
        self.living.iter().any(|(living, _)| *living == id)
    }

    /// A name at the worker that no other variant has.
    pub(super) fn fresh_id(&mut self) -> OutputId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            let id = OutputId(self.last_id);
            if !self.living.iter().any(|(living, _)| *living == id) {
                return id;
            }
        }
    }
}

/// Why nothing is coded so.
pub(super) fn no_encoder(codec: Codec) -> String {
    format!("nothing here encodes {codec}")
}

/// Whether a picture of `size` that is not coded is longer than any may be.
fn is_too_large(coding: Coding, size: Size) -> bool {
    let (width, height) = (u64::from(size.width), u64::from(size.height));
    let bytes = match coding {
        Coding::Rgb24 => width * height * 3,
        Coding::Yuv420 => width * height + 2 * width.div_ceil(2) * height.div_ceil(2),
        Coding::Jpeg | Coding::H264 => 0,
    };
    bytes > MOST_PIECE_BYTES
}
