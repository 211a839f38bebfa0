//! Splits an endless run of JPEGs, as cameras' programs write them to a pipe, into whole pictures.
//!
//! Follows each picture's own segments (T.81 annex B), so that thumbnails within segments, fill bytes, restart markers,
//! several scans and garbage between pictures do not mislead it. Does not look into the scans: a picture whose bytes
//! are in order but wrong is passed on.

use bytes::{Bytes, BytesMut};

use crate::intake::Intake;
use crate::jpeg::{JpegError, Walker, find_start};

/// What a [`Framer`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole picture, from SOI to EOI.
    Frame(Bytes),
    /// Bytes that became no picture.
    Dropped {
        /// Why.
        reason: DropReason,
        /// How many.
        bytes: u64,
    },
}

/// Why bytes became no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DropReason {
    /// A picture longer than allowed. What is left of it follows as garbage.
    #[error("a picture is longer than allowed")]
    TooLarge,
    /// A picture that breaks the rules or was cut off.
    #[error("a damaged picture: {0}")]
    Damaged(JpegError),
    /// Bytes outside of any picture. Not a lost picture by itself; padding between pictures is garbage too.
    #[error("bytes that are no picture")]
    Garbage,
}

impl DropReason {
    /// Whether a picture was lost.
    pub const fn is_picture(&self) -> bool {
        !matches!(self, Self::Garbage)
    }
}

/// Garbage is reported at the latest when there is this much of it.
pub(crate) const GARBAGE_REPORT_BYTES: u64 = 1 << 20;

/// Splits a byte stream into JPEGs without copying them.
///
/// Read into [`room`](Self::room) (or [`feed`](Self::feed) it), then call [`next_event`](Self::next_event) until it
/// has nothing more. A picture is there as soon as its last byte is. Scans every byte once; after damage, the bytes of
/// one segment (64 KiB) a second time.
///
/// Memory: the buffer never holds more than `max_frame_bytes` and one read, whatever arrives. A picture keeps alive the
/// allocation that it was read into: at most 1.25 times its length once pictures of about that length have been seen,
/// at most twice while they grow, and 16 KiB shared by several pictures where they are small.
///
/// ```
/// use ocelli_media::mjpeg::{Event, Framer};
/// let picture = include_bytes!("../../testdata/baseline.jpg");
/// let mut framer = Framer::new(1 << 20);
/// framer.room().extend_from_slice(picture);
/// assert_eq!(framer.next_event(), Some(Event::Frame(picture.to_vec().into())));
/// assert_eq!(framer.next_event(), None);
/// ```
#[derive(Debug)]
pub struct Framer {
    intake: Intake,
    max_frame_bytes: usize,
    place: Place,
    garbage_bytes: u64,
}

#[derive(Debug)]
enum Place {
    /// Looking for the start of a picture.
    Outside,
    /// The buffer begins with a picture.
    Picture(Walker),
}

impl Framer {
    /// A framer that drops pictures longer than `max_frame_bytes`.
    pub fn new(max_frame_bytes: usize) -> Self {
        Self {
            intake: Intake::new(max_frame_bytes),
            max_frame_bytes,
            place: Place::Outside,
            garbage_bytes: 0,
        }
    }

    /// The buffer to append the stream's next bytes to; there is always some spare capacity, about the rest of the
    /// picture. What is in it already must not be touched.
    pub fn room(&mut self) -> &mut BytesMut {
        self.intake.room()
    }

    /// Copies as much of `bytes` as there is room for and returns the rest: call [`next_event`](Self::next_event)
    /// until it has nothing more, then feed the rest.
    #[must_use = "what is returned has not been fed"]
    pub fn feed<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        self.intake.feed(bytes)
    }

    /// The next finding in what has been read; `None` when more must be read first.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            match &mut self.place {
                Place::Outside => {
                    let begun = self.seek();
                    if self.garbage_bytes >= if begun { 1 } else { GARBAGE_REPORT_BYTES } {
                        return Some(self.report_garbage());
                    }
                    if !begun {
                        return None;
                    }
                }
                Place::Picture(walker) => {
                    let bytes = self.intake.bytes();
                    let (reason, length) = match walker.end(bytes) {
                        Ok(Some(length)) if length <= self.max_frame_bytes => {
                            self.place = Place::Outside;
                            return Some(Event::Frame(self.intake.take(length)));
                        }
                        Ok(Some(length)) => (DropReason::TooLarge, length),
                        // The last byte may be the first of the next picture's SOI.
                        Ok(None) if bytes.len() > self.max_frame_bytes => {
                            (DropReason::TooLarge, bytes.len() - 1)
                        }
                        Ok(None) => return None,
                        Err(error) => (DropReason::Damaged(error), walker.resume_at(&error).min(bytes.len())),
                    };
                    return Some(self.drop_picture(reason, length));
                }
            }
        }
    }

    /// Says that the stream has ended: what is left of it is dropped. Call [`next_event`](Self::next_event) first until
    /// it has nothing more.
    pub fn finish(&mut self) -> Option<Event> {
        let length = self.intake.bytes().len();
        match self.place {
            Place::Outside => {
                self.intake.discard(length);
                self.garbage_bytes += length as u64;
                (self.garbage_bytes > 0).then(|| self.report_garbage())
            }
            Place::Picture(_) => {
                Some(self.drop_picture(DropReason::Damaged(JpegError::Truncated { at: length }), length))
            }
        }
    }

    fn drop_picture(&mut self, reason: DropReason, length: usize) -> Event {
        self.intake.discard(length);
        self.place = Place::Outside;
        Event::Dropped { reason, bytes: length as u64 }
    }

    fn report_garbage(&mut self) -> Event {
        Event::Dropped { reason: DropReason::Garbage, bytes: std::mem::take(&mut self.garbage_bytes) }
    }

    /// Discards what stands before the next start of a picture; whether there is one.
    fn seek(&mut self) -> bool {
        let bytes = self.intake.bytes();
        let start = find_start(bytes);
        let garbage = start.unwrap_or_else(|| match bytes {
            [.., 0xFF, 0xD8] => bytes.len() - 2,
            [.., 0xFF] => bytes.len() - 1,
            _ => bytes.len(),
        });
        self.intake.discard(garbage);
        self.garbage_bytes += garbage as u64;
        if start.is_some() {
            self.place = Place::Picture(Walker::new());
        }
        start.is_some()
    }
}

#[cfg(test)]
mod tests;
