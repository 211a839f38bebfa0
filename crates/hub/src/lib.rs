//! Streams: registry, fan-out ring, demand, supervision and backoff.
//!
//! One way for a picture: a [`Source`] pushes into a [`Publisher`]; whoever wants pictures takes a [`Subscriber`]. The
//! hub never names a protocol and opens no socket.

mod source;

pub use source::{BoxFuture, Source, SourceError};

use ocelli_media::{Frame, Tracks};

/// The only way in.
#[derive(Debug)]
pub struct Publisher {}

impl Publisher {
    /// Says what the frames that follow are. Must come before the first frame and whenever it changes.
    pub fn set_tracks(&mut self, _tracks: Tracks) {}
    /// Publishes one frame. Never waits for a viewer.
    pub fn push(&mut self, _frame: Frame) {}
    /// Counts pictures that the source had to drop before they could be published.
    pub fn dropped(&mut self, _frames: u64, _reason: DropReason) {}
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
