//! A camera's pixels: everything that is made of its pictures by decoding them, for those who ask for another codec, size,
//! quality, rate or turn, and for those whom its JPEGs do not suit.
//!
//! Whoever wants pictures in a [`Shape`] is given a [`Shaped`]: the camera's own stream, if that is what he asks already,
//! else a stream of the same kind that is filled for all who ask the same. So every output derives from
//! [`Shaped::stream`] as from a camera's own.
//!
//! Bytes of strangers meet no decoder within the server. Each camera that needs one has a worker process of its own
//! ([`crate::transcode`]), so that a picture that crashes or hangs it takes no other camera along, and cameras share the
//! processor as programs do. It is started by the first who needs it and stopped ten seconds after the last. One task of the
//! camera (`task`) reads its stream once for all variants, gives the worker each picture once, and puts what comes of it
//! into the variants' streams.

pub mod adapt;
mod asked;
mod expected;
mod grid;
mod intake;
mod limits;
mod lowering;
mod means;
mod notices;
mod orders;
mod output;
mod shape;
mod task;
#[cfg(test)]
mod tests;
mod undecoded;
mod variant;
mod watcher;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
pub use ocelli_codec::recode::Wish;
use ocelli_codec::worker::protocol::{Input, Still};
use ocelli_hub::{Item, OnLost, StatusReader, Stream, Want};
use ocelli_media::{Codec, Frame, Size, Track, video_track};
use tokio::time::{Instant, timeout_at};

pub use asked::{Asked, BadAddress, PARAMETERS};
pub use limits::{Encoders, Place};
pub use orders::MOST_WAITING;
use orders::{Shared, What};
pub use shape::{BadParameter, Fps, Shape};
use variant::{Hold, Variant};
pub use variant::{Lowered, Missed, Standing, VariantStats};
pub use watcher::{Heard, Receipts, Watcher};

use crate::ffmpeg::Program;
use crate::transcode::{Failure, PROGRAM};

/// What holds for a camera's variants.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The places for encoders of the whole program.
    pub encoders: Arc<Encoders>,
    /// How many of them this camera may take.
    pub per_camera: usize,
    /// Pictures that are older are not encoded while there is a newer one.
    pub max_latency: Duration,
    /// Quality of JPEGs, 1 to 100, where none is asked for and the camera gives none.
    pub quality: u8,
    /// What viewers see while the camera is lost.
    pub on_lost: OnLost,
    /// How far its variants are lowered to what their viewers' networks take; `None`: not at all.
    pub lowest: Option<adapt::Bounds>,
    /// Hardware that decodes H.264 and H.265, by the worker's names for it, in the order in which it is tried before the
    /// processor does it.
    pub decoders: Vec<String>,
    /// What encodes H.264, by the worker's names for it, in the order in which it is tried; none: the worker's own.
    pub h264_encoders: Vec<String>,
    /// The FFmpeg program that decodes and encodes what the worker's libraries cannot.
    pub ffmpeg: Arc<Program>,
    /// It does so with all that it can.
    pub ffmpeg_first: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            encoders: Encoders::new(16),
            per_camera: 8,
            max_latency: Duration::from_millis(200),
            quality: 80,
            on_lost: OnLost::Picture,
            lowest: None,
            decoders: Vec::new(),
            h264_encoders: Vec::new(),
            ffmpeg: Arc::new(Program::new("ffmpeg".to_owned(), false, Vec::new())),
            ffmpeg_first: false,
        }
    }
}

/// A camera's way to its pixels. Clones share it; two are equal when they do.
#[derive(Clone)]
pub struct Pixels(Arc<Shared>);

/// A stream in the shape that was asked for. It is kept for as long as this is: whoever reads the stream holds it.
#[derive(Clone, Debug)]
pub struct Shaped {
    stream: Arc<Stream>,
    hold: Option<Arc<Hold>>,
}

/// Why there is no such stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unshaped {
    /// As many are made as are allowed to: worth trying again.
    #[error("all {most} places of `{limit}` in `[limits]` are taken")]
    TooMany {
        /// The limit, by its name in the configuration.
        limit: &'static str,
        /// How many it allows.
        most: usize,
    },
    /// Nothing here makes such pictures: why, in words.
    #[error("{0}")]
    Impossible(String),
    /// None can be made of what the camera gives for now: why, in words.
    #[error("{0}")]
    NotNow(String),
}

/// What a camera's worker does and has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PixelStats {
    /// It runs, or is being started.
    pub running: bool,
    /// Its number in the system, while it runs.
    pub process: Option<u32>,
    /// How often one was started.
    pub starts: u64,
    /// How often one was lost.
    pub lost: u64,
    /// Why there is none, while one is wanted and there is none.
    pub away: Option<Arc<str>>,
    /// Pictures that came out of variants.
    pub variant_pictures: u64,
    /// Pictures that were wanted for a variant and did not come out.
    pub variant_missed: u64,
    /// Pictures made that were wanted once: re-encoded for RTP, and stills.
    pub pictures: u64,
    /// Such pictures that were not, for a fault of theirs or of the worker.
    pub failed: u64,
    /// Such pictures that were not, because newer ones came.
    pub overtaken: u64,
    /// Why the last picture failed, until one succeeds.
    pub cause: Option<Arc<str>>,
}

impl Shaped {
    /// The pictures, to be read as a camera's own.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Waits until its first picture is there, or one that says why there is none; no longer than until `deadline`.
    ///
    /// # Errors
    /// None will come, or none can be made for now and nothing is shown in its stead: why.
    pub async fn begun(&self, deadline: Instant) -> Result<(), Unshaped> {
        let Some(hold) = &self.hold else { return Ok(()) };
        let mut told = hold.variant.standing.subscribe();
        let known = told.wait_for(|standing| *standing != Standing::Begins);
        // Time is up, or nobody says any more.
        let Ok(Ok(standing)) = timeout_at(deadline, known).await else { return Ok(()) };
        match &*standing {
            Standing::Begins | Standing::Works => Ok(()),
            Standing::Ails(_) if hold.shows_notices() => Ok(()),
            Standing::Ails(why) => Err(Unshaped::NotNow(why.to_string())),
            Standing::Ended(why) => Err(Unshaped::Impossible(why.to_string())),
        }
    }

    /// Why no pictures come of it, where that is known.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.hold.as_ref()?.variant.standing.borrow().trouble().cloned()
    }

    /// Whether it has ended, so that another has to be asked for.
    pub fn has_ended(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.variant.has_ended())
    }

    /// Tells who watches it, for it may be lowered to what more than half of its viewers' networks take.
    pub fn watched_by(&self, watcher: &Arc<impl Watcher + 'static>) {
        if let Some(hold) = &self.hold {
            hold.variant.watched_by(Arc::downgrade(watcher) as Weak<dyn Watcher>);
        }
    }

    /// Whether it is the camera's own stream.
    pub fn is_own(&self) -> bool {
        self.hold.is_none()
    }

    fn own(stream: &Arc<Stream>) -> Self {
        Self { stream: stream.clone(), hold: None }
    }
}

impl From<Arc<Hold>> for Shaped {
    fn from(hold: Arc<Hold>) -> Self {
        Self { stream: hold.variant.stream.clone(), hold: Some(hold) }
    }
}

impl Pixels {
    /// The way to the worker beside this program, for the pictures of `camera`. Starts nothing yet.
    pub fn new(camera: Arc<Stream>, status: StatusReader, rules: Rules) -> Self {
        let program = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join(PROGRAM)));
        Self(Arc::new(Shared::new(camera, Some(status), rules, program)))
    }

    /// The way to a worker that is a given program, for a camera that is never lost. Starts nothing yet.
    pub fn with_program(camera: Arc<Stream>, program: PathBuf, rules: Rules) -> Self {
        Self(Arc::new(Shared::new(camera, None, rules, Some(program))))
    }

    /// The camera's pictures in `shape`.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// There is no place for another, or nothing makes such pictures.
    pub fn shaped(&self, shape: &Shape) -> Result<Shaped, Unshaped> {
        let camera = &self.0.camera;
        let tracks = camera.stats().tracks;
        let track = tracks.as_deref().and_then(|tracks| video_track(tracks));
        let shape = &self.in_full(shape, track);
        if *shape == Shape::default() || track.is_some_and(|track| is_own(shape, track)) {
            return Ok(Shaped::own(camera));
        }
        let key = track.map_or(*shape, |track| shape.of(track));
        let mut orders = self.0.orders();
        if orders.stopped {
            return Err(Unshaped::Impossible(Failure::Stopped.to_string()));
        }
        // What was begun before the camera was known may be the same by what it gives.
        let is_same = |variant: &Variant| match track {
            Some(track) => self.in_full(&variant.shape, Some(track)).of(track) == key,
            None => variant.shape == key,
        };
        let mut alike =
            orders.variants.iter().filter(|(variant, _)| is_same(variant) && !variant.has_ended());
        if let Some(hold) = alike.find_map(|(_, hold)| hold.upgrade()) {
            return Ok(hold.into());
        }
        let id = orders.fresh_id();
        // What a camera gives that has not begun is not known, so nor is whether an encoder is needed.
        let decoded = track.filter(|track| !shape.is_given_by(track));
        let place = decoded.map(|track| self.0.place_for(&orders, id, &key, track)).transpose()?;
        orders.lives(id, place.is_some());
        let stream = Stream::new(camera.name().clone(), camera.bounds());
        let numbers = variant::Numbers::new(self.0.numbers.variants.clone());
        let variant = Arc::new(Variant::new(id, *shape, stream, place, numbers));
        let hold = Arc::new(Hold { variant: variant.clone(), shared: Arc::downgrade(&self.0) });
        orders.variants.push((variant.clone(), Arc::downgrade(&hold)));
        orders.begun.push(variant);
        orders.have_task(&self.0);
        drop(orders);
        self.0.wake.notify_one();
        Ok(hold.into())
    }

    /// Whether the camera's pictures can be made so, as far as that is known; there need not be a place for it now.
    ///
    /// # Errors
    /// Nothing makes such pictures.
    pub fn may_make(&self, shape: &Shape) -> Result<(), Unshaped> {
        let tracks = self.0.camera.stats().tracks;
        let track = tracks.as_deref().and_then(|tracks| video_track(tracks));
        match track.filter(|track| *shape != Shape::default() && !shape.is_given_by(track)) {
            Some(track) => self.0.orders().may_make(&shape.of(track), track),
            None => Ok(()),
        }
    }

    /// As [`shaped`](Self::shaped), for one who leaves out pictures himself: with the rate to which he is to thin them, where
    /// the camera's own stream is all that is asked but for it.
    ///
    /// # Errors
    /// As [`shaped`](Self::shaped).
    pub fn shaped_but_for_rate(&self, shape: &Shape) -> Result<(Shaped, Option<Fps>), Unshaped> {
        let without = Shape { fps: None, ..*shape };
        let tracks = self.0.camera.stats().tracks;
        let track = tracks.as_deref().and_then(|tracks| video_track(tracks));
        let is_jpeg = |track: &Track| track.codec == Codec::Jpeg && is_own(&without, track);
        match shape.fps {
            Some(fps) if track.is_some_and(is_jpeg) => Ok((Shaped::own(&self.0.camera), Some(fps))),
            _ => self.shaped(shape).map(|shaped| (shaped, None)),
        }
    }

    /// Re-encodes a whole JPEG file.
    ///
    /// Must be called within a tokio runtime. When its future is dropped the picture is still encoded, for nobody.
    ///
    /// # Errors
    /// There is no such picture: why.
    pub async fn recode(&self, jpeg: Bytes, wish: Wish) -> Result<Bytes, Failure> {
        self.0.make(jpeg, What::Recode(wish)).await
    }

    /// The newest picture that stands for itself, as a JPEG in `shape`, of which codec and rate count for nothing; waits for
    /// the first picture of a camera that has none yet. However many ask for it, it is decoded once.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// There is no such picture: why.
    pub async fn still(&self, shape: &Shape) -> Result<StillPicture, Failure> {
        let (frame, track, is_notice) = newest(&self.0.camera).await.ok_or(Failure::Stopped)?;
        let shape = Shape { codec: Some(Codec::Jpeg), fps: None, bit_rate_kbps: None, ..*shape };
        let shape = self.in_full(&shape, Some(&track));
        if is_notice || shape.is_given_by(&track) {
            return Ok(StillPicture { frame, is_notice });
        }
        let no_decoder = || Failure::Refused(format!("{} cannot be decoded", track.codec).into());
        let input = Input::of_codec(track.codec).ok_or_else(no_decoder)?;
        let most = Size { width: shape.width.unwrap_or(u16::MAX), height: shape.height.unwrap_or(u16::MAX) };
        let wish = Wish { quality: shape.quality, sampling: None, most };
        let still = What::Still(Still { input, wish, turn: shape.turn });
        let data = self.0.make(frame.data.clone(), still).await?;
        Ok(StillPicture { frame: Frame { data, ..frame }, is_notice })
    }

    /// `shape` with the quality of JPEGs that are made of other pictures than JPEGs.
    fn in_full(&self, shape: &Shape, track: Option<&Track>) -> Shape {
        let is_made =
            shape.codec == Some(Codec::Jpeg) && track.is_some_and(|track| track.codec != Codec::Jpeg);
        let quality = shape.quality.or(is_made.then_some(self.0.rules.quality));
        Shape { quality, ..*shape }
    }

    /// The worker's numbers now.
    pub fn stats(&self) -> PixelStats {
        let numbers = &self.0.numbers;
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let orders = self.0.orders();
        PixelStats {
            running: orders.is_running(),
            process: orders.process,
            starts: load(&numbers.starts),
            lost: load(&numbers.lost),
            away: orders.away.clone(),
            variant_pictures: load(&numbers.variants.made),
            variant_missed: load(&numbers.variants.missed),
            pictures: load(&numbers.pictures),
            failed: load(&numbers.failed),
            overtaken: load(&numbers.overtaken),
            cause: orders.cause.clone(),
        }
    }

    /// The variants that somebody holds, in no order.
    pub fn variants(&self) -> Vec<VariantStats> {
        let held: Vec<Arc<Hold>> = self.0.held();
        held.iter().map(|hold| hold.variant.stats(Arc::strong_count(hold) - 1)).collect()
    }

    /// Stops the worker and all variants, and starts none again.
    pub fn stop(&self) {
        self.0.orders().stop();
    }

    /// The worker has been dropped, and is in the hands of [`children`](crate::children).
    pub fn has_stopped(&self) -> bool {
        !self.0.orders().is_running()
    }
}

/// A JPEG of a camera at a time.
#[derive(Clone, Debug)]
pub struct StillPicture {
    /// The picture; its data is a JPEG.
    pub frame: Frame,
    /// It says that the camera is lost: not the camera's picture.
    pub is_notice: bool,
}

/// Whether the camera's own stream is what is asked.
fn is_own(shape: &Shape, track: &Track) -> bool {
    shape.fps.is_none() && shape.is_given_by(track)
}

/// The newest picture there is that stands for itself or the next to come, what it is, and whether it is a notice.
async fn newest(camera: &Stream) -> Option<(Frame, Track, bool)> {
    let mut subscriber = camera.subscribe(Want::Latest);
    let mut known = None;
    loop {
        match subscriber.next().await.ok()? {
            Item::Tracks(tracks) => known = video_track(&tracks).cloned(),
            Item::Frame(frame) if frame.is_picture() => return Some((frame, known?, false)),
            Item::Notice(frame) => return Some((frame, known?, true)),
            Item::Frame(_) | Item::Lost { .. } => {}
        }
    }
}

impl Shared {
    /// The variants that somebody holds. To be dropped without the lock: the last of them takes it.
    fn held(&self) -> Vec<Arc<Hold>> {
        self.orders().variants.iter().filter_map(|(_, hold)| hold.upgrade()).collect()
    }
}

impl PartialEq for Pixels {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Pixels {}

impl Hash for Pixels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pixels").field("camera", self.0.camera.name()).finish_non_exhaustive()
    }
}
