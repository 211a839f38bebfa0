//! One stream: its ring of frames, its counters, and the only ways in and out of it.
//!
//! Locks: the ring's, the meter's, the status's and the derived streams' are each taken alone and never across an
//! `.await`.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ocelli_media::{Frame, Tracks};
use tokio::sync::Notify;

use crate::camera::now;
use crate::derive::DerivedStreams;
use crate::rate::{Rate, RateMeter};
use crate::ring::{Bounds, Closed, Next, Piece, Reader, Ring, RingSender, Want, ring};

/// A stream's name: 1 to 64 of `a–z A–Z 0–9 _ - .`, not beginning with a dot or a hyphen, so that it stands in an
/// address, a file name and a command line as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(Arc<str>);

/// Why a text is no stream's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no name for a camera: expected 1 to 64 letters, digits, `_`, `-` or `.`, beginning with a letter, a digit or `_`"
)]
pub struct BadName(String);

impl StreamName {
    /// The name, as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for StreamName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let good =
            (1..=64).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with(['.', '-']);
        if good { Ok(Self(text.into())) } else { Err(BadName(text.chars().take(80).collect())) }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why pictures were dropped on the way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Longer than `max_frame_bytes`.
    TooLarge,
    /// Not a whole picture: cut off, or bytes that are none.
    Damaged,
    /// A newer picture was there before this one could be handled.
    Late,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::TooLarge, Self::Damaged, Self::Late];

    /// One word for it, as `/stats` and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Damaged => "damaged",
            Self::Late => "late",
        }
    }
}

/// A frame on its way through the ring, with the tracks that were in force when it was published.
#[derive(Clone, Debug)]
struct Entry {
    frame: Frame,
    tracks: Arc<Tracks>,
    notice: bool,
}

impl Piece for Entry {
    fn key(&self) -> bool {
        self.frame.key
    }
    fn size(&self) -> usize {
        self.frame.data.len()
    }
}

/// What a subscriber gets.
#[derive(Clone, Debug)]
pub enum Item {
    /// What the frames that follow are. Comes before the first frame and whenever it changes.
    Tracks(Arc<Tracks>),
    /// A frame of the camera.
    Frame(Frame),
    /// A picture that the hub made in the camera's stead, to say that it is lost. Not the camera's: not to be
    /// recorded, counted or measured.
    Notice(Frame),
    /// Frames that this subscriber will never see.
    Lost {
        /// How many.
        frames: u64,
    },
}

/// A named stream. Lives as long as it is configured, through every loss of its camera.
pub struct Stream {
    name: StreamName,
    bounds: Bounds,
    ring: Ring<Entry>,
    /// Taken by the one [`Publisher`] there is.
    sender: Mutex<Option<RingSender<Entry>>>,
    demand: Arc<Demand>,
    keyframe_wanted: Notify,
    first_picture: Notify,
    counters: Counters,
    meter: Mutex<Meter>,
    pub(crate) status: Mutex<Option<crate::camera::Status>>,
    pub(crate) derived: DerivedStreams,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Counters {
    frames: AtomicU64,
    bytes: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    forced_out: AtomicU64,
}

#[derive(Debug, Default)]
struct Meter {
    rate: RateMeter,
    last_picture: Option<Instant>,
    tracks: Option<Arc<Tracks>>,
    note: Option<Arc<str>>,
}

/// A stream's numbers at a time.
#[derive(Clone, Debug)]
pub struct StreamStats {
    /// Frames published since the stream was made.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames dropped on the way in, by reason.
    pub dropped: [(DropReason, u64); DropReason::ALL.len()],
    /// Frames that the ring's bounds forced out while a lossless reader still wanted them.
    pub forced_out: u64,
    /// Pictures and bits a second over the last three seconds.
    pub rate: Rate,
    /// When the last frame came.
    pub last_picture: Option<Instant>,
    /// What the frames are, once it is known.
    pub tracks: Option<Arc<Tracks>>,
    /// What the camera's owner should know of it though it works: "asked for 641x487, got 640x480".
    pub note: Option<Arc<str>>,
}

/// How many watch, and a signal when somebody does.
#[derive(Debug, Default)]
struct Demand {
    viewers: AtomicUsize,
    changed: Notify,
}

/// Counts as one who watches for as long as it lives.
#[derive(Debug)]
struct Watching(Arc<Demand>);

impl Watching {
    fn new(demand: &Arc<Demand>) -> Self {
        if demand.viewers.fetch_add(1, Ordering::AcqRel) == 0 {
            demand.changed.notify_one();
        }
        Self(demand.clone())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if self.0.viewers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.changed.notify_one();
        }
    }
}

impl Stream {
    /// A stream with nothing in it, whose ring keeps at most `bounds`.
    pub fn new(name: StreamName, bounds: Bounds) -> Arc<Self> {
        let (sender, ring) = ring(bounds);
        Arc::new(Self {
            name,
            bounds,
            ring,
            sender: Mutex::new(Some(sender)),
            demand: Arc::default(),
            keyframe_wanted: Notify::new(),
            first_picture: Notify::new(),
            counters: Counters::default(),
            meter: Mutex::default(),
            status: Mutex::new(None),
            derived: DerivedStreams::default(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// What its ring keeps at most.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The only way in. `None` while another publisher lives.
    pub fn publish(self: &Arc<Self>) -> Option<Publisher> {
        let sender = lock(&self.sender).take()?;
        Some(Publisher { stream: self.clone(), sender: Some(sender), tracks: None, seen_first: false })
    }

    /// The only way out. Counts as demand until it is dropped.
    pub fn subscribe(&self, want: Want) -> Subscriber {
        Subscriber {
            reader: self.ring.subscribe(want),
            watching: Watching::new(&self.demand),
            tracks: None,
            pending: None,
        }
    }

    /// Asks the camera for a keyframe.
    pub fn ask_keyframe(&self) {
        self.keyframe_wanted.notify_one();
    }

    /// Its numbers now.
    pub fn stats(&self) -> StreamStats {
        let (rate, last_picture, tracks, note) = {
            let mut meter = lock(&self.meter);
            (meter.rate.rate(now()), meter.last_picture, meter.tracks.clone(), meter.note.clone())
        };
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StreamStats {
            frames: load(&self.counters.frames),
            bytes: load(&self.counters.bytes),
            dropped: DropReason::ALL.map(|reason| (reason, load(&self.counters.dropped[reason as usize]))),
            forced_out: load(&self.counters.forced_out),
            rate,
            last_picture,
            tracks,
            note,
        }
    }

    /// Subscribers now; a derived stream counts as one, however many share it.
    pub fn viewers(&self) -> usize {
        self.demand.viewers.load(Ordering::Acquire)
    }

    pub(crate) async fn demand_changed(&self) {
        self.demand.changed.notified().await;
    }

    pub(crate) async fn first_picture(&self) {
        self.first_picture.notified().await;
    }

    pub(crate) fn last_picture(&self) -> Option<Instant> {
        lock(&self.meter).last_picture
    }
}

/// The only way into a stream. Dropping it leaves the stream offline, with what it published last still there.
#[derive(Debug)]
pub struct Publisher {
    stream: Arc<Stream>,
    sender: Option<RingSender<Entry>>,
    tracks: Option<Arc<Tracks>>,
    seen_first: bool,
}

impl Publisher {
    /// Says what the frames that follow are. Must come before the first frame, and whenever it changes.
    pub fn set_tracks(&mut self, tracks: Tracks) {
        let tracks = Arc::new(tracks);
        lock(&self.stream.meter).tracks = Some(tracks.clone());
        self.tracks = Some(tracks);
    }

    /// What was announced last, by this publisher's source or by the one before it.
    pub fn tracks(&self) -> Option<&Tracks> {
        self.tracks.as_deref()
    }

    /// Publishes one frame. Never waits for a viewer. A frame that comes before its tracks are known is counted as
    /// damaged.
    pub fn push(&mut self, frame: Frame) {
        let Some(tracks) = self.tracks.clone() else {
            self.dropped(1, DropReason::Damaged);
            return;
        };
        let came = now();
        let bytes = frame.data.len();
        self.stream.counters.frames.fetch_add(1, Ordering::Relaxed);
        self.stream.counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        {
            let mut meter = lock(&self.stream.meter);
            meter.rate.add(came, bytes);
            meter.last_picture = Some(came);
        }
        self.send(Entry { frame, tracks, notice: false });
        if !self.seen_first {
            self.seen_first = true;
            self.stream.first_picture.notify_one();
        }
    }

    /// Counts pictures that the source had to drop before they could be published.
    pub fn dropped(&mut self, frames: u64, reason: DropReason) {
        self.stream.counters.dropped[reason as usize].fetch_add(frames, Ordering::Relaxed);
    }

    /// Says what the camera's owner should know though the camera works, until the source is run again.
    pub fn note(&mut self, note: &str) {
        lock(&self.stream.meter).note = Some(note.into());
    }

    /// Waits until somebody asks for a keyframe.
    pub async fn keyframe_wanted(&mut self) {
        self.stream.keyframe_wanted.notified().await;
    }

    /// The stream it publishes into.
    pub fn name(&self) -> &StreamName {
        self.stream.name()
    }

    /// Publishes a picture in the camera's stead. Uses the camera's tracks where they are known, else `tracks`.
    pub(crate) fn notice(&mut self, frame: Frame, tracks: Tracks) {
        let tracks = self.tracks.get_or_insert_with(|| Arc::new(tracks)).clone();
        self.send(Entry { frame, tracks, notice: true });
    }

    /// The next frame is the first of a new run of the source.
    pub(crate) fn begin_run(&mut self) {
        self.seen_first = false;
        lock(&self.stream.meter).note = None;
        // A run that ended right after its first picture may have left the signal behind, and this one would count as
        // giving pictures before it has given any.
        std::pin::pin!(self.stream.first_picture.notified()).enable();
    }

    /// Forgets what was published, so that nobody starts at an old picture.
    pub(crate) fn clear(&mut self) {
        if let Some(sender) = &mut self.sender {
            sender.clear();
        }
    }

    /// Ends today's subscribers.
    pub(crate) fn disconnect(&mut self) {
        if let Some(sender) = &mut self.sender {
            sender.disconnect();
        }
    }

    fn send(&mut self, entry: Entry) {
        let forced_out = self.sender.as_mut().map_or(0, |sender| sender.push(entry));
        if forced_out > 0 {
            self.stream.counters.forced_out.fetch_add(forced_out, Ordering::Relaxed);
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        *lock(&self.stream.sender) = self.sender.take();
    }
}

/// The only way out of a stream.
#[derive(Debug)]
pub struct Subscriber {
    reader: Reader<Entry>,
    #[expect(dead_code, reason = "held for its drop")]
    watching: Watching,
    tracks: Option<Arc<Tracks>>,
    /// The frame that follows tracks that were just handed out.
    pending: Option<Entry>,
}

impl Subscriber {
    /// Waits for the next item. Cancel-safe.
    ///
    /// # Errors
    /// [`Closed`] when the stream is removed or its viewers are sent away.
    pub async fn next(&mut self) -> Result<Item, Closed> {
        if let Some(entry) = self.pending.take() {
            return Ok(Self::item(entry));
        }
        match self.reader.next().await? {
            Next::Lost { pieces } => Ok(Item::Lost { frames: pieces }),
            Next::Piece(entry) => {
                if self.tracks.as_ref().is_some_and(|tracks| Arc::ptr_eq(tracks, &entry.tracks)) {
                    return Ok(Self::item(entry));
                }
                self.tracks = Some(entry.tracks.clone());
                let tracks = entry.tracks.clone();
                self.pending = Some(entry);
                Ok(Item::Tracks(tracks))
            }
        }
    }

    /// Frames that a [`Want::Latest`] subscriber passed over because a newer one was there.
    pub fn skipped(&self) -> u64 {
        self.reader.skipped()
    }

    fn item(entry: Entry) -> Item {
        if entry.notice { Item::Notice(entry.frame) } else { Item::Frame(entry.frame) }
    }
}

/// A lock whose holders only ever assign: what they leave behind is whole even if one of them panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests {
    use bytes::Bytes;
    use ocelli_media::{MediaTime, Track, TrackId};

    use super::*;

    fn stream() -> Arc<Stream> {
        Stream::new("cam".parse().unwrap(), Bounds { pieces: 8, bytes: 1 << 20 })
    }

    fn frame(data: &'static [u8]) -> Frame {
        Frame {
            track: TrackId::VIDEO,
            time: MediaTime::new(0, MediaTime::VIDEO_RATE),
            captured: None,
            key: true,
            data: Bytes::from_static(data),
        }
    }

    #[test]
    fn names_are_checked() {
        for good in ["a", "front_door-2", "_x", "cam.hd"] {
            assert_eq!(good.parse::<StreamName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ü", &"x".repeat(65)] {
            assert!(bad.parse::<StreamName>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn tracks_come_before_the_first_frame_and_when_they_change() {
        let stream = stream();
        let mut publisher = stream.publish().unwrap();
        let mut subscriber = stream.subscribe(Want::Live);
        publisher.push(frame(b"too early"));
        publisher.set_tracks(vec![Track::jpeg(None)]);
        publisher.push(frame(b"1"));
        publisher.push(frame(b"2"));
        publisher.set_tracks(vec![]);
        publisher.push(frame(b"3"));
        let mut seen = String::new();
        for _ in 0..5 {
            match subscriber.next().await.unwrap() {
                Item::Tracks(tracks) => seen.push_str(&format!("t{} ", tracks.len())),
                Item::Frame(frame) => seen.push_str(&format!("{} ", String::from_utf8_lossy(&frame.data))),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, "t1 1 2 t0 3 ");
        let stats = stream.stats();
        assert_eq!((stats.frames, stats.bytes), (3, 3));
        assert_eq!(stats.dropped[DropReason::Damaged as usize], (DropReason::Damaged, 1));
    }

    #[test]
    fn there_is_one_publisher_at_a_time() {
        let stream = stream();
        let first = stream.publish();
        assert!(first.is_some() && stream.publish().is_none());
        drop(first);
        assert!(stream.publish().is_some());
    }

    #[test]
    fn subscribers_are_demand() {
        let stream = stream();
        let subscribers = [stream.subscribe(Want::Latest), stream.subscribe(Want::Live)];
        assert_eq!(stream.viewers(), 2);
        drop(subscribers);
        assert_eq!(stream.viewers(), 0);
    }
}
