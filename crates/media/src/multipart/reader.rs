//! The reader: bytes of the body in, whole pictures out.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::head::{Boundary, Delimiter, Head};
use crate::intake::Intake;
use crate::jpeg::{JpegError, Walker};
use crate::mjpeg::{DropReason, GARBAGE_REPORT_BYTES};

/// The most that a part's header lines may have together, and the longest line that can be a delimiter.
const MAX_HEAD_BYTES: usize = 8 << 10;

/// What a [`Reader`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A part that is a whole JPEG.
    Part(Part),
    /// Bytes that became no picture.
    Dropped {
        /// Why.
        reason: DropReason,
        /// How many.
        bytes: u64,
    },
    /// The closing delimiter. Parts that follow it all the same are read as before.
    End,
}

/// One picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The JPEG, from SOI to EOI.
    pub data: Bytes,
    /// X-Timestamp: when the picture was taken, since the Unix epoch.
    pub timestamp: Option<Duration>,
}

/// Splits a body into its pictures without copying them.
///
/// Used like a [`mjpeg::Framer`](crate::mjpeg::Framer): read into [`room`](Self::room) or [`feed`](Self::feed), then
/// call [`next_event`](Self::next_event) until it has nothing more. A picture is there as soon as its last byte is. Its
/// memory is bounded in the same way.
#[derive(Debug)]
pub struct Reader {
    intake: Intake,
    boundary: Boundary,
    max_part_bytes: usize,
    place: Place,
    garbage_bytes: u64,
}

#[derive(Debug)]
enum Place {
    /// Looking for a delimiter. The first `scanned` bytes hold no end of line. `mid_line`: the buffer begins within a
    /// line that is too long to be one.
    Between { scanned: usize, mid_line: bool },
    /// At the start of a header line, `used_bytes` into the head.
    Head { head: Head, used_bytes: usize, scanned: usize },
    /// At the start of a picture.
    Picture { head: Head, walker: Walker },
    /// Within a part that is dropped, `left` bytes before its end.
    Skip { left: u64 },
}

const BETWEEN: Place = Place::Between { scanned: 0, mid_line: false };

impl Reader {
    /// A reader for the boundary that [`boundary_of`](super::boundary_of) found, which drops pictures longer than
    /// `max_part_bytes`.
    pub fn new(boundary: &str, max_part_bytes: usize) -> Self {
        Self {
            intake: Intake::new(max_part_bytes),
            boundary: Boundary::new(boundary),
            max_part_bytes,
            place: BETWEEN,
            garbage_bytes: 0,
        }
    }

    /// The buffer to append the body's next bytes to; there is always some spare capacity, about the rest of the
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
            let progress = match self.place {
                Place::Between { scanned, mid_line } => self.between(scanned, mid_line),
                Place::Head { head, used_bytes, scanned } => self.head(head, used_bytes, scanned),
                Place::Picture { .. } => self.picture(),
                Place::Skip { left } => self.skip(left),
            };
            match progress {
                Progress::Found(event) => return Some(event),
                Progress::Moved => {}
                Progress::Starved => return None,
            }
        }
    }

    /// Looks at one line outside of any part.
    fn between(&mut self, scanned: usize, mid_line: bool) -> Progress {
        let bytes = self.intake.bytes();
        let Some(end) = memchr::memchr(b'\n', &bytes[scanned..]).map(|found| scanned + found + 1) else {
            let mut place = Place::Between { scanned: bytes.len(), mid_line };
            if mid_line || bytes.len() > MAX_HEAD_BYTES {
                self.garbage_bytes += bytes.len() as u64;
                self.intake.discard(bytes.len());
                place = Place::Between { scanned: 0, mid_line: true };
            }
            self.place = place;
            return self.report_garbage(GARBAGE_REPORT_BYTES).unwrap_or(Progress::Starved);
        };
        let line = &bytes[..end];
        let delimiter = if mid_line { None } else { self.boundary.recognise(line) };
        let blank = line.iter().all(|b| *b == 0 || b.is_ascii_whitespace());
        self.intake.discard(end);
        self.place = BETWEEN;
        match delimiter {
            Some(Delimiter::Next) => {
                self.place = Place::Head { head: Head::default(), used_bytes: 0, scanned: 0 };
                self.report_garbage(1).unwrap_or(Progress::Moved)
            }
            Some(Delimiter::Last) => Progress::Found(Event::End),
            None => {
                if mid_line || !blank {
                    self.garbage_bytes += end as u64;
                }
                self.report_garbage(GARBAGE_REPORT_BYTES).unwrap_or(Progress::Moved)
            }
        }
    }

    /// Looks at one line of a part's head.
    fn head(&mut self, mut head: Head, used_bytes: usize, scanned: usize) -> Progress {
        let bytes = self.intake.bytes();
        // Some cameras send no head at all, not even the empty line that ends it.
        if let [0xFF, 0xD8, ..] = bytes {
            self.begin_picture(head);
            return Progress::Moved;
        }
        let end = memchr::memchr(b'\n', &bytes[scanned..]).map(|found| scanned + found + 1);
        let seen = end.unwrap_or(bytes.len());
        if used_bytes + seen > MAX_HEAD_BYTES {
            self.garbage_bytes += (used_bytes + seen) as u64;
            self.intake.discard(seen);
            self.place = Place::Between { scanned: 0, mid_line: end.is_none() };
            return Progress::Moved;
        }
        let Some(end) = end else {
            self.place = Place::Head { head, used_bytes, scanned: seen };
            return Progress::Starved;
        };
        let line = bytes[..end].trim_ascii();
        let blank = line.is_empty();
        // A delimiter in place of a head: the part before it was empty. Head lines with a name do not begin with `--`.
        let again = line.starts_with(b"--") && self.boundary.recognise(line) == Some(Delimiter::Next);
        if again {
            head = Head::default();
        } else {
            head.line(line);
        }
        self.intake.discard(end);
        if blank {
            self.begin_picture(head);
        } else {
            self.place =
                Place::Head { head, used_bytes: if again { 0 } else { used_bytes + end }, scanned: 0 };
        }
        Progress::Moved
    }

    fn begin_picture(&mut self, head: Head) {
        self.place = Place::Picture { head, walker: Walker::new() };
    }

    /// Walks on through a picture.
    fn picture(&mut self) -> Progress {
        let Place::Picture { head, walker } = &mut self.place else { return Progress::Moved };
        let head = *head;
        // Some cameras end the head with two empty lines. No picture begins with one.
        if let ([b'\r' | b'\n', ..], None) = (self.intake.bytes(), head.length) {
            self.intake.discard(1);
            return Progress::Moved;
        }
        let bytes = self.intake.bytes();
        if let Some(length) = head.length.filter(|length| *length > self.max_part_bytes as u64) {
            self.place = Place::Skip { left: length };
            return dropped(DropReason::TooLarge, length);
        }
        let limit = head.length.map_or(bytes.len(), |length| bytes.len().min(length as usize));
        match walker.end(&bytes[..limit]) {
            Ok(Some(length)) if length <= self.max_part_bytes => {
                self.place = BETWEEN;
                let data = self.intake.take(length);
                Progress::Found(Event::Part(Part { data, timestamp: head.timestamp }))
            }
            Ok(Some(length)) => self.drop_picture(DropReason::TooLarge, length, BETWEEN),
            Ok(None) if limit > self.max_part_bytes => {
                // Every line up to the next delimiter is garbage.
                self.drop_picture(DropReason::TooLarge, limit, Place::Between { scanned: 0, mid_line: true })
            }
            Ok(None) if head.length.is_some_and(|length| limit as u64 == length) => {
                let error = JpegError::Truncated { at: limit };
                self.drop_picture(DropReason::Damaged(error), limit, BETWEEN)
            }
            Ok(None) => Progress::Starved,
            Err(error) => self.damaged(head, error),
        }
    }

    fn damaged(&mut self, head: Head, error: JpegError) -> Progress {
        let reason = DropReason::Damaged(error);
        match (head.length, error) {
            (Some(length), _) => {
                self.place = Place::Skip { left: length };
                dropped(reason, length)
            }
            // The next part's picture begins here; its head was taken for a piece of this one's scan.
            (None, JpegError::CutOff { at }) => {
                let place = Place::Picture { head: Head::default(), walker: Walker::new() };
                self.drop_picture(reason, at, place)
            }
            (None, _) => {
                let length = error.at().min(self.intake.bytes().len());
                self.drop_picture(reason, length, Place::Between { scanned: 0, mid_line: false })
            }
        }
    }

    fn skip(&mut self, left: u64) -> Progress {
        let here = left.min(self.intake.bytes().len() as u64);
        self.intake.discard(here as usize);
        if here == left {
            self.place = BETWEEN;
            return Progress::Moved;
        }
        self.place = Place::Skip { left: left - here };
        Progress::Starved
    }

    fn drop_picture(&mut self, reason: DropReason, length: usize, then: Place) -> Progress {
        self.intake.discard(length);
        self.place = then;
        dropped(reason, length as u64)
    }

    fn report_garbage(&mut self, least: u64) -> Option<Progress> {
        (self.garbage_bytes >= least)
            .then(|| dropped(DropReason::Garbage, std::mem::take(&mut self.garbage_bytes)))
    }
}

enum Progress {
    /// Something to say.
    Found(Event),
    /// Nothing to say, but the place has changed.
    Moved,
    /// More bytes are needed.
    Starved,
}

fn dropped(reason: DropReason, bytes: u64) -> Progress {
    Progress::Found(Event::Dropped { reason, bytes })
}
