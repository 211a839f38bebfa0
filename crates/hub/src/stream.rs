//! One stream: its ring of frames and its counters. The ways in and out of it are in `ends`.
//!
//! Locks: the way in's is taken before the ring's; the meter's, the derived streams' and that of who is waited for are each taken
//! alone. None is held across an `.await`.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ocelli_media::{Frame, Tracks};
use tokio::sync::Notify;

use crate::clock::now;
use crate::derive::DerivedStreams;
use crate::name::StreamName;
use crate::rate::{Rate, RateMeter};
use crate::ring::{Bounds, Piece, Ring, RingSender, Want, ring};
use crate::sync::lock;

mod ends;
#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests;

pub use ends::{Item, Publisher, Subscriber};

/// Why pictures were dropped on the way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Longer than `max_frame_bytes`.
    TooLarge,
    /// Not a whole picture: cut off, or bytes that are none.
    Damaged,
    /// A newer picture was there before this one could be handled.
    Late,
    /// A part of it was lost on the network.
    Lost,
    /// It cannot be shown without one that was lost: a keyframe has not come since.
    NeedsKeyframe,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::TooLarge, Self::Damaged, Self::Late, Self::Lost, Self::NeedsKeyframe];

    /// One word for it, as `/stats` and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Damaged => "damaged",
            Self::Late => "late",
            Self::Lost => "lost",
            Self::NeedsKeyframe => "needs_keyframe",
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
        self.frame.key && self.counts()
    }
    /// Sound is told apart: a stream's numbers are its pictures'.
    fn counts(&self) -> bool {
        self.frame.is_picture()
    }
    fn size(&self) -> usize {
        self.frame.data.len()
    }
}

/// A named stream. Lives as long as it is configured, through every loss of its camera.
pub struct Stream {
    name: StreamName,
    bounds: Bounds,
    ring: Ring<Entry>,
    way_in: Mutex<WayIn>,
    demand: Arc<Demand>,
    first_picture: Notify,
    /// The source has said what it gives.
    tracks_said: Notify,
    waits: Waits,
    counters: Counters,
    meter: Mutex<Meter>,
    pub(crate) derived: DerivedStreams,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where frames come in: by the one [`Publisher`] there is, and notices while it gives none.
#[derive(Debug)]
struct WayIn {
    sender: RingSender<Entry>,
    has_publisher: bool,
    /// What was announced last.
    tracks: Option<Arc<Tracks>>,
    /// The source that runs has given a picture: no notice may follow it.
    gives_pictures: bool,
}

#[derive(Debug, Default)]
struct Counters {
    frames: AtomicU64,
    bytes: AtomicU64,
    sound_frames: AtomicU64,
    sound_bytes: AtomicU64,
    sound_dropped: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    forced_out: AtomicU64,
    garbage_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Meter {
    rate: RateMeter,
    last_picture: Option<Instant>,
    tracks: Option<Arc<Tracks>>,
    note: Option<Arc<str>>,
    network: Option<NetworkPath>,
}

/// What a source says of the network between its camera and itself. Counts go on through losses of the camera.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkPath {
    /// Where the source listens, if it does.
    pub listens: Option<SocketAddr>,
    /// Where the last packets came from; `None` before the first.
    pub sender: Option<SocketAddr>,
    /// How often a sender began: another one, or the same anew.
    pub senders: u64,
    /// Packets that were taken.
    pub packets: u64,
    /// Their bytes, headers of the payload's protocol included.
    pub bytes: u64,
    /// Packets that did not come, or came too late.
    pub lost: u64,
    /// Of those, packets that came too late.
    pub late: u64,
    /// Packets that came a second time.
    pub duplicate: u64,
    /// Packets of others than the sender that is heard.
    pub strange: u64,
    /// Packets that are not what the source waits for: of another protocol or payload, or cut off.
    pub unusable: u64,
    /// Mean deviation of the packets' spacing (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// Keyframes that the sender was asked for.
    pub keyframes_asked: u64,
    /// What carries the packets, where the source and its camera agree on that: a word.
    pub transport: Option<&'static str>,
}

/// A stream's numbers at a time.
#[derive(Clone, Debug)]
pub struct StreamStats {
    /// Pictures published since the stream was made.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets of sound published since the stream was made.
    pub sound_frames: u64,
    /// Their bytes.
    pub sound_bytes: u64,
    /// Packets of sound dropped on the way in: damaged, or with a part that was lost on the network.
    pub sound_dropped: u64,
    /// Pictures dropped on the way in, by reason.
    pub dropped: [(DropReason, u64); DropReason::ALL.len()],
    /// Pictures that the ring's bounds forced out while a lossless reader still wanted them.
    pub forced_out: u64,
    /// Bytes that came and belonged to no picture.
    pub garbage_bytes: u64,
    /// Pictures and bits a second over the last three seconds.
    pub rate: Rate,
    /// When the last picture came.
    pub last_picture: Option<Instant>,
    /// What the frames are, once it is known.
    pub tracks: Option<Arc<Tracks>>,
    /// What the camera's owner should know of it though it works: "asked for 641x487, got 640x480".
    pub note: Option<Arc<str>>,
    /// How the camera's packets come, where the source counts them.
    pub network: Option<NetworkPath>,
}

/// What goes against the pictures' way: how many watch, with a signal when somebody does, and who wants a keyframe.
#[derive(Debug, Default)]
struct Demand {
    viewers: AtomicUsize,
    changed: Notify,
    keyframe_wanted: Notify,
}

/// For whom a source waits, and that it has said so.
#[derive(Debug, Default)]
struct Waits {
    cause: Mutex<Option<Arc<str>>>,
    said: Notify,
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
            way_in: Mutex::new(WayIn { sender, has_publisher: false, tracks: None, gives_pictures: false }),
            demand: Arc::default(),
            first_picture: Notify::new(),
            tracks_said: Notify::new(),
            waits: Waits::default(),
            counters: Counters::default(),
            meter: Mutex::default(),
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
        let had_publisher = std::mem::replace(&mut lock(&self.way_in).has_publisher, true);
        (!had_publisher).then(|| Publisher::new(self.clone()))
    }

    /// The only way out. Counts as demand until it is dropped.
    pub fn subscribe(&self, want: Want) -> Subscriber {
        Subscriber::new(self.ring.subscribe(want), Watching::new(&self.demand))
    }

    /// Its numbers now.
    pub fn stats(&self) -> StreamStats {
        let (rate, last_picture, tracks, note, network) = {
            let mut meter = lock(&self.meter);
            let rate = meter.rate.rate(now());
            (rate, meter.last_picture, meter.tracks.clone(), meter.note.clone(), meter.network)
        };
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StreamStats {
            frames: load(&self.counters.frames),
            bytes: load(&self.counters.bytes),
            sound_frames: load(&self.counters.sound_frames),
            sound_bytes: load(&self.counters.sound_bytes),
            sound_dropped: load(&self.counters.sound_dropped),
            dropped: DropReason::ALL.map(|reason| (reason, load(&self.counters.dropped[reason as usize]))),
            forced_out: load(&self.counters.forced_out),
            garbage_bytes: load(&self.counters.garbage_bytes),
            rate,
            last_picture,
            tracks,
            note,
            network,
        }
    }

    /// Subscribers now; a derived stream counts as one, however many share it.
    pub fn viewers(&self) -> usize {
        self.demand.viewers.load(Ordering::Acquire)
    }

    /// Asks the camera for a keyframe, for one who reads a derived stream. However many ask before it hears, it hears it once.
    pub fn ask_keyframe(&self) {
        self.demand.keyframe_wanted.notify_one();
    }

    /// Waits until a source has said what it gives, and that is `enough` for the one who waits; answers it. Cancel-safe.
    pub async fn tracks_known(&self, enough: impl Fn(&Tracks) -> bool) -> Arc<Tracks> {
        let mut said = std::pin::pin!(self.tracks_said.notified());
        loop {
            // What is said from here on is heard, also while this looks at what was said before.
            said.as_mut().enable();
            let tracks = lock(&self.meter).tracks.clone();
            if let Some(tracks) = tracks.filter(|tracks| enough(tracks)) {
                return tracks;
            }
            said.as_mut().await;
            said.set(self.tracks_said.notified());
        }
    }

    /// What was announced last, by the source that runs or by the one before it.
    pub(crate) fn tracks(&self) -> Option<Arc<Tracks>> {
        lock(&self.way_in).tracks.clone()
    }

    /// The source that runs has given a picture.
    pub(crate) fn gives_pictures(&self) -> bool {
        lock(&self.way_in).gives_pictures
    }

    /// A source begins to run: what it gives is not there yet.
    pub(crate) fn begin_run(&self) {
        lock(&self.meter).note = None;
        // A run that ended right after its first picture may have left the signal behind, and this one would count as
        // giving pictures before it has given any.
        std::pin::pin!(self.first_picture.notified()).enable();
        *lock(&self.waits.cause) = None;
    }

    /// The source has been dropped.
    pub(crate) fn end_run(&self) {
        lock(&self.way_in).gives_pictures = false;
    }

    /// Publishes a picture in the camera's stead, unless a source that runs has given one: a notice never stands in the
    /// place of a newer picture. Uses the camera's tracks where they are known, else `tracks`; viewers of a camera with
    /// another codec than the notice's get none, and keep its last picture.
    pub(crate) fn notice(&self, frame: Frame, tracks: Tracks) {
        let codec =
            |tracks: &Tracks| tracks.iter().find(|track| track.id == frame.track).map(|track| track.codec);
        let drawn = codec(&tracks);
        let mut way_in = lock(&self.way_in);
        if way_in.gives_pictures {
            return;
        }
        let tracks = way_in.tracks.get_or_insert_with(|| Arc::new(tracks)).clone();
        if codec(&tracks) != drawn {
            return;
        }
        self.send(&mut way_in, Entry { frame, tracks, notice: true });
    }

    /// Forgets what was published, so that nobody starts at an old picture.
    pub(crate) fn clear(&self) {
        lock(&self.way_in).sender.clear();
    }

    /// Ends today's subscribers.
    pub(crate) fn disconnect(&self) {
        lock(&self.way_in).sender.disconnect();
    }

    fn send(&self, way_in: &mut WayIn, entry: Entry) {
        let forced_out = way_in.sender.push(entry);
        if forced_out > 0 {
            self.counters.forced_out.fetch_add(forced_out, Ordering::Relaxed);
        }
    }

    pub(crate) async fn demand_changed(&self) {
        self.demand.changed.notified().await;
    }

    pub(crate) async fn first_picture(&self) {
        self.first_picture.notified().await;
    }

    /// For whom the source that runs waits, when it says so.
    pub(crate) async fn waits(&self) -> Arc<str> {
        loop {
            if let Some(cause) = lock(&self.waits.cause).take() {
                return cause;
            }
            self.waits.said.notified().await;
        }
    }

    pub(crate) fn last_picture(&self) -> Option<Instant> {
        lock(&self.meter).last_picture
    }
}
