//! The ends of a stream: [`Publisher`], the only way in, and [`Subscriber`], the only way out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ocelli_media::{Frame, Tracks};

use super::{DropReason, Entry, NetworkPath, Stream, Watching};
use crate::clock::now;
use crate::name::StreamName;
use crate::ring::{Closed, Next, Reader, Want};
use crate::sync::lock;

/// What a subscriber gets.
#[derive(Clone, Debug)]
pub enum Item {
    /// What the frames that follow are. Comes before the first frame and whenever it changes.
    Tracks(Arc<Tracks>),
    /// A picture or a packet of sound of the camera.
    Frame(Frame),
    /// A picture that the hub made in the camera's stead, to say that it is lost. Not the camera's: not to be
    /// recorded, counted or measured.
    Notice(Frame),
    /// Pictures that this subscriber will never see, and the sound between them.
    Lost {
        /// How many pictures; 0 where it was sound alone.
        frames: u64,
    },
}

/// The only way into a stream. Dropping it leaves the stream offline, with what it published last still there.
#[derive(Debug)]
pub struct Publisher {
    stream: Arc<Stream>,
}

impl Publisher {
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        Self { stream }
    }

    /// Says what the frames that follow are. Must come before the first frame, and whenever it changes.
    pub fn set_tracks(&mut self, tracks: Tracks) {
        let tracks = Arc::new(tracks);
        lock(&self.stream.meter).tracks = Some(tracks.clone());
        lock(&self.stream.way_in).tracks = Some(tracks);
        self.stream.tracks_said.notify_waiters();
    }

    /// Publishes one frame. Never waits for a viewer. One that comes before its tracks are known is counted as damaged.
    ///
    /// A camera that gives sound and no picture gives nothing: sound does not make it ready, and does not keep it from being
    /// given up.
    pub fn push(&mut self, frame: Frame) {
        let Some(tracks) = self.stream.tracks() else {
            self.dropped(1, DropReason::Damaged);
            return;
        };
        let counters = &self.stream.counters;
        let is_picture = frame.is_picture();
        let (frames, bytes) = match is_picture {
            true => (&counters.frames, &counters.bytes),
            false => (&counters.sound_frames, &counters.sound_bytes),
        };
        frames.fetch_add(1, Ordering::Relaxed);
        bytes.fetch_add(frame.data.len() as u64, Ordering::Relaxed);
        if is_picture {
            let came = now();
            let mut meter = lock(&self.stream.meter);
            meter.rate.add(came, frame.data.len());
            meter.last_picture = Some(came);
        }
        let is_first = {
            let mut way_in = lock(&self.stream.way_in);
            self.stream.send(&mut way_in, Entry { frame, tracks, notice: false });
            is_picture && !std::mem::replace(&mut way_in.gives_pictures, true)
        };
        if is_first {
            self.stream.first_picture.notify_one();
        }
    }

    /// Counts pictures that the source had to drop before they could be published.
    pub fn dropped(&mut self, frames: u64, reason: DropReason) {
        self.stream.counters.dropped[reason as usize].fetch_add(frames, Ordering::Relaxed);
    }

    /// Counts packets of sound that the source had to drop before they could be published.
    pub fn sound_dropped(&mut self, packets: u64) {
        self.stream.counters.sound_dropped.fetch_add(packets, Ordering::Relaxed);
    }

    /// Counts bytes that came and belonged to no picture: padding, or what is none of a camera's output.
    pub fn garbage(&mut self, bytes: u64) {
        self.stream.counters.garbage_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Says what the camera's owner should know though the camera works, until the source is run again.
    pub fn note(&mut self, note: &str) {
        lock(&self.stream.meter).note = Some(note.into());
    }

    /// Says that the source waits to be called, and for whom, in words: until its first picture it is not given up.
    pub fn waits(&mut self, cause: &str) {
        *lock(&self.stream.waits.cause) = Some(cause.into());
        self.stream.waits.said.notify_one();
    }

    /// Says how the camera's packets come.
    pub fn network(&mut self, path: NetworkPath) {
        lock(&self.stream.meter).network = Some(path);
    }

    /// Waits until somebody asks for a keyframe.
    pub async fn keyframe_wanted(&mut self) {
        self.stream.demand.keyframe_wanted.notified().await;
    }

    /// Whether somebody has asked for a keyframe since this or [`keyframe_wanted`](Self::keyframe_wanted) last said so.
    pub fn is_keyframe_wanted(&mut self) -> bool {
        std::pin::pin!(self.stream.demand.keyframe_wanted.notified()).enable()
    }

    /// Publishes a picture that was made in the stead of those that do not come, until the next frame. As the notices of a
    /// camera that is lost, it is not shown where the stream has another codec than `tracks`.
    pub fn notice(&mut self, frame: Frame, tracks: Tracks) {
        self.stream.end_run();
        self.stream.notice(frame, tracks);
    }

    /// Ends the subscribers there are, and forgets what was published. New ones may come.
    pub fn send_away(&mut self) {
        self.stream.clear();
        self.stream.disconnect();
    }

    /// The stream it publishes into.
    pub fn name(&self) -> &StreamName {
        self.stream.name()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let mut way_in = lock(&self.stream.way_in);
        way_in.has_publisher = false;
        way_in.gives_pictures = false;
    }
}

/// The only way out of a stream.
#[derive(Debug)]
pub struct Subscriber {
    reader: Reader<Entry>,
    watching: Watching,
    tracks: Option<Arc<Tracks>>,
    /// The frame that follows tracks that were just handed out.
    pending: Option<Entry>,
}

impl Subscriber {
    pub(super) fn new(reader: Reader<Entry>, watching: Watching) -> Self {
        Self { reader, watching, tracks: None, pending: None }
    }

    /// Waits for the next item. Cancel-safe.
    ///
    /// # Errors
    /// [`Closed`] when the stream is removed or its viewers are sent away.
    pub async fn next(&mut self) -> Result<Item, Closed> {
        if let Some(entry) = self.pending.take() {
            return Ok(Self::item(entry));
        }
        let next = self.reader.next().await?;
        Ok(self.take(next))
    }

    /// The next item if it is there already.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn try_next(&mut self) -> Result<Option<Item>, Closed> {
        if let Some(entry) = self.pending.take() {
            return Ok(Some(Self::item(entry)));
        }
        let next = self.reader.try_next()?;
        Ok(next.map(|next| self.take(next)))
    }

    fn take(&mut self, next: Next<Entry>) -> Item {
        match next {
            Next::Lost { pieces } => Item::Lost { frames: pieces },
            Next::Piece(entry) => {
                if self.tracks.as_ref().is_some_and(|tracks| Arc::ptr_eq(tracks, &entry.tracks)) {
                    return Self::item(entry);
                }
                self.tracks = Some(entry.tracks.clone());
                let tracks = entry.tracks.clone();
                self.pending = Some(entry);
                Item::Tracks(tracks)
            }
        }
    }

    /// Wants something else from here on: for those who learn from the tracks what to do when they are behind.
    pub fn set_want(&mut self, want: Want) {
        self.reader.set_want(want);
    }

    /// Pictures that were passed over because a newer one was there, while it wanted [`Want::Latest`].
    pub fn skipped(&self) -> u64 {
        self.reader.skipped()
    }

    /// Frames of sound that went by since it began, because newer pictures were there or because the ring had to forget them.
    pub fn skipped_sound(&self) -> u64 {
        self.reader.skipped_between()
    }

    /// Asks the camera for a keyframe. However many ask before it hears, it hears it once.
    pub fn ask_keyframe(&self) {
        self.watching.0.keyframe_wanted.notify_one();
    }

    fn item(entry: Entry) -> Item {
        if entry.notice { Item::Notice(entry.frame) } else { Item::Frame(entry.frame) }
    }
}
