//! Splits a byte stream of H.264 or H.265 (Annex B of ITU-T H.264 and H.265) into access units, as programs write it to a pipe or
//! a file.
//!
//! Access units are told apart by what stands in them and not by delimiters, which many streams lack: a picture ends with the next
//! one's first slice, or with what stands before a picture. Where slices were lost or came in any order that is not seen. Fields of
//! one frame are an access unit each. Parameter sets are kept, and put into each keyframe that lacks them. Does not look into the
//! pictures; a stream that has no keyframes (IDR, IRAP) but refreshes its picture bit by bit shows from its first keyframe on only.

pub(crate) mod packet;
pub(crate) mod unit;

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;

use crate::intake::Intake;
use crate::mjpeg::GARBAGE_REPORT_BYTES;
use crate::{Codec, ParameterSets};
use unit::Kind;

const START_CODE: [u8; 3] = [0, 0, 1];
/// The length before each unit of an access unit.
const LENGTH_BYTES: usize = 4;
/// Most NAL units of an access unit: more than the most slices of any level, with what stands before them.
const MOST_UNITS: usize = 10_000;
/// The longest start code and the bytes behind it that tell whether another access unit begins.
const SLACK_BYTES: usize = 8;

/// One access unit: a whole picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// NAL units, each behind its length as 4 bytes, big endian. Of a keyframe, with all parameter sets.
    pub data: Bytes,
    /// It can be decoded on its own.
    pub key: bool,
    /// There is a parameter set that was not there before it: see [`Framer::parameter_sets`].
    pub new_parameter_sets: bool,
}

/// What a [`Framer`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole picture.
    Frame(AccessUnit),
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
    /// A picture with more NAL units than any has.
    #[error("a picture of more than {MOST_UNITS} NAL units")]
    TooManyUnits,
    /// A picture with a NAL unit whose first bit is set.
    #[error("a damaged picture: a NAL unit with the forbidden bit (H.264 7.4.1, H.265 7.4.2.2)")]
    Damaged,
    /// Slices of a picture whose first one is not there: the stream was joined in its middle, or the picture was
    /// [settled](Framer::settle) too early.
    #[error("a picture without its first slice")]
    Beheaded,
    /// A picture that needs one that was not there.
    #[error("a keyframe must come first")]
    NeedsKey,
    /// A keyframe before any parameter set.
    #[error("no parameter sets came")]
    NoParameterSets,
    /// Bytes outside of any picture.
    #[error("bytes that are no picture")]
    Garbage,
}

impl DropReason {
    /// Whether a picture was lost.
    pub const fn is_picture(&self) -> bool {
        !matches!(self, Self::Garbage)
    }
}

/// Splits a byte stream into access units.
///
/// Read into [`room`](Self::room) (or [`feed`](Self::feed) it), then call [`next_event`](Self::next_event) until it has nothing
/// more. Where a NAL unit ends is known when the next one begins: an access unit is there as soon as the start code behind it and
/// three bytes are. Who knows that the program has written a whole one and now waits calls [`settle`](Self::settle).
///
/// Every byte is looked at once. An access unit in which all start codes have four bytes is split off without copying it; others are
/// copied once.
///
/// Memory: the buffer never holds more than `max_frame_bytes`, one read and a few bytes, whatever arrives; parameter sets add at
/// most what [`ParameterSets`] keeps.
///
/// ```
/// use ocelli_media::annexb::{Event, Framer};
/// use ocelli_media::Codec;
/// let mut framer = Framer::new(Codec::H264, 1 << 20);
/// framer.room().extend_from_slice(&[0, 0, 0, 1, 0x67, 0x42, 0, 0, 0, 1, 0x68, 0xCE, 0, 0, 0, 1, 0x65, 0x88, 0, 0, 1, 0x41, 0x9A]);
/// let Some(Event::Frame(picture)) = framer.next_event() else { panic!() };
/// assert_eq!(&picture.data[..], [0, 0, 0, 2, 0x67, 0x42, 0, 0, 0, 2, 0x68, 0xCE, 0, 0, 0, 2, 0x65, 0x88]);
/// assert!(picture.key && picture.new_parameter_sets);
/// assert_eq!(framer.next_event(), None);
/// ```
#[derive(Debug)]
pub struct Framer {
    codec: Codec,
    max_frame_bytes: usize,
    intake: Intake,
    /// No start code begins before here that was not found.
    searched: usize,
    /// Those of the access unit that the buffer begins with; the last one has no end yet. Empty: outside of any.
    units: Vec<Unit>,
    picture: Picture,
    sets: ParameterSets,
    /// A set came since the last access unit that was given out.
    new_sets: bool,
    any_sets: bool,
    /// Nothing can be decoded before the next keyframe.
    needs_key: bool,
    /// What comes belongs to an access unit that was given up, until another one begins.
    skipping: bool,
    garbage_bytes: u64,
}

/// A NAL unit in the buffer.
#[derive(Clone, Copy, Debug)]
struct Unit {
    /// Where its start code begins, with the zero before it if there is one.
    code: usize,
    /// Where it begins itself.
    start: usize,
    /// Where it ends, without zeros behind it; its beginning as long as that is not known.
    end: usize,
    kind: Kind,
}

/// What is known of the access unit in the buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Picture {
    /// It has a slice.
    begun: bool,
    key: bool,
    broken: Option<DropReason>,
    /// A unit in it is left out.
    gaps: bool,
}

impl Framer {
    /// A framer for `codec`, H.264 or H.265, that drops access units longer than `max_frame_bytes`.
    ///
    /// # Panics
    /// `codec` is another one.
    pub fn new(codec: Codec, max_frame_bytes: usize) -> Self {
        assert!(matches!(codec, Codec::H264 | Codec::H265), "{codec} has no Annex B");
        Self {
            codec,
            max_frame_bytes,
            intake: Intake::new(max_frame_bytes),
            searched: 0,
            units: Vec::new(),
            picture: Picture::default(),
            sets: ParameterSets::new(codec),
            new_sets: false,
            any_sets: false,
            needs_key: true,
            skipping: false,
            garbage_bytes: 0,
        }
    }

    /// What it splits: H.264 or H.265.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Whether a picture has begun, at least, whose end is not there yet.
    pub fn has_begun(&self) -> bool {
        self.picture.begun
    }

    /// How many bytes were read that nothing was said of yet.
    pub fn unsplit_bytes(&self) -> usize {
        self.intake.bytes().len()
    }

    /// The parameter sets that came so far, and the size of the pictures.
    pub fn parameter_sets(&self) -> &ParameterSets {
        &self.sets
    }

    /// Whether nothing can be shown before a keyframe comes.
    pub fn keyframe_wanted(&self) -> bool {
        self.needs_key
    }

    /// The buffer to append the stream's next bytes to; there is always some spare capacity, about the rest of the picture. What is
    /// in it already must not be touched.
    pub fn room(&mut self) -> &mut BytesMut {
        self.intake.room()
    }

    /// Copies as much of `bytes` as there is room for and returns the rest: call [`next_event`](Self::next_event) until it has
    /// nothing more, then feed the rest.
    #[must_use = "what is returned has not been fed"]
    pub fn feed<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        self.intake.feed(bytes)
    }

    /// The next finding in what has been read; `None` when more must be read first.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            if self.garbage_bytes >= GARBAGE_REPORT_BYTES || self.garbage_bytes > 0 && !self.units.is_empty()
            {
                return Some(self.report_garbage());
            }
            let Some(mut unit) = self.find_unit() else { return self.pass() };
            self.skipping &= !unit.kind.ends_picture();
            let is_none = self.units.is_empty() && matches!(unit.kind, Kind::Unknown | Kind::Damaged);
            if self.skipping || is_none {
                self.discard(unit.start);
                continue;
            }
            self.close_unit(unit.code);
            let ended = self.picture.begun && unit.kind.ends_picture();
            let event = ended.then(|| self.give_out(unit.code));
            if self.units.is_empty() {
                // The access unit before is gone; before the first there may be garbage.
                self.discard(if ended { 0 } else { unit.code });
                unit = Unit { code: 0, start: unit.start - unit.code, end: unit.start - unit.code, ..unit };
            }
            self.searched = unit.start;
            self.open_unit(unit);
            if event.is_some() {
                return event;
            }
        }
    }

    /// Says that the program has written what it had and waits: the access unit that was read is given out without waiting for the
    /// next one, if it holds a picture. If its end was not there after all, the rest is dropped as [`DropReason::Beheaded`] or
    /// garbage. Call [`next_event`](Self::next_event) first until it has nothing more.
    ///
    /// FFmpeg and GStreamer write a picture at once: after a pipe was silent for 1 ms, not one of 150 pictures of each encoder was
    /// torn, on two cores with a load of 11, and at 25 pictures a second each was there 40 ms earlier.
    pub fn settle(&mut self) -> Option<Event> {
        let begun = self.begun_code();
        // No NAL unit ends in a zero: a start code may have begun.
        if !self.picture.begun || begun.is_none() && self.intake.bytes().last() == Some(&0) {
            return None;
        }
        let end = begun.unwrap_or(self.intake.bytes().len());
        self.close_unit(end);
        let event = self.give_out(end);
        self.searched = 0;
        Some(event)
    }

    /// Says that the stream has ended: the last access unit is given out, or what is left is dropped. Call
    /// [`next_event`](Self::next_event) first until it has nothing more, and this until it has.
    pub fn finish(&mut self) -> Option<Event> {
        let length = self.intake.bytes().len();
        if self.picture.begun {
            let end = self.begun_code().unwrap_or(length);
            self.close_unit(end);
            let event = self.give_out(length);
            self.searched = 0;
            return Some(event);
        }
        self.units.clear();
        self.discard(length);
        (self.garbage_bytes > 0).then(|| self.report_garbage())
    }

    /// The next NAL unit whose kind can be told.
    fn find_unit(&mut self) -> Option<Unit> {
        let bytes = self.intake.bytes();
        let Some(found) = memmem::find(&bytes[self.searched..], &START_CODE) else {
            self.searched = self.searched.max(bytes.len().saturating_sub(START_CODE.len() - 1));
            return None;
        };
        let at = self.searched + found;
        self.searched = at;
        let start = at + START_CODE.len();
        let header = &bytes[start..];
        // A shorter unit is followed by another start code.
        let wanted = unit::header_bytes(self.codec);
        let ended = memmem::find(&header[..header.len().min(wanted + 2)], &START_CODE);
        if header.len() < wanted && ended.is_none() {
            return None;
        }
        let kind = unit::kind(self.codec, &header[..wanted.min(ended.unwrap_or(wanted))]);
        // What was looked at before ended where this begins, or has only zeros since.
        let own_from = self.units.last().map_or(0, |unit| unit.start);
        let code = if at > own_from && bytes[at - 1] == 0 { at - 1 } else { at };
        Some(Unit { code, start, end: start, kind })
    }

    /// Where a start code begins behind which too little came to tell what it starts.
    fn begun_code(&self) -> Option<usize> {
        let from = self.searched;
        memmem::find(&self.intake.bytes()[from..], &START_CODE).map(|found| from + found)
    }

    /// Ends the last unit before `at`, and the zeros there.
    fn close_unit(&mut self, at: usize) {
        if let Some(unit) = self.units.last_mut() {
            let bytes = &self.intake.bytes()[unit.start..at];
            unit.end = unit.start + bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        }
    }

    fn open_unit(&mut self, unit: Unit) {
        let picture = &mut self.picture;
        match unit.kind {
            Kind::Picture { first, key } => {
                if !picture.begun && !first {
                    picture.broken = picture.broken.or(Some(DropReason::Beheaded));
                }
                picture.begun = true;
                picture.key |= key;
            }
            Kind::Damaged => picture.broken = Some(DropReason::Damaged),
            Kind::Unknown => picture.gaps = true,
            Kind::ParameterSet | Kind::Before | Kind::Other => {}
        }
        if self.units.len() == MOST_UNITS {
            picture.broken = Some(DropReason::TooManyUnits);
            self.units.pop();
        }
        self.units.push(unit);
    }

    /// What there is to say when no further unit was found.
    fn pass(&mut self) -> Option<Event> {
        let length = self.intake.bytes().len();
        if self.units.is_empty() {
            // The start of a start code stays, with the zero before it.
            let bytes = self.intake.bytes();
            let keep = if bytes[self.searched..].starts_with(&START_CODE) {
                length - self.searched + 1
            } else {
                bytes.iter().rev().take(START_CODE.len()).take_while(|byte| **byte == 0).count()
            };
            self.discard(length.saturating_sub(keep));
            return (self.garbage_bytes >= GARBAGE_REPORT_BYTES).then(|| self.report_garbage());
        }
        (length > self.max_frame_bytes.saturating_add(SLACK_BYTES)).then(|| {
            (self.needs_key, self.skipping) = (true, true);
            self.units.clear();
            self.picture = Picture::default();
            self.discard_uncounted(length - SLACK_BYTES);
            Event::Dropped { reason: DropReason::TooLarge, bytes: (length - SLACK_BYTES) as u64 }
        })
    }

    /// Gives out the access unit in the first `length` bytes, whose units have their ends, or says why not.
    fn give_out(&mut self, length: usize) -> Event {
        self.take_sets();
        let picture = std::mem::take(&mut self.picture);
        let reason = match picture.broken {
            Some(reason) => Some(reason),
            None if length > self.max_frame_bytes => Some(DropReason::TooLarge),
            None if self.needs_key && !picture.key => Some(DropReason::NeedsKey),
            None if !self.any_sets => Some(DropReason::NoParameterSets),
            None => None,
        };
        if let Some(reason) = reason {
            self.needs_key = true;
            self.units.clear();
            self.discard_uncounted(length);
            return Event::Dropped { reason, bytes: length as u64 };
        }
        let data = self.take_units(length, picture.gaps);
        self.needs_key = false;
        let data = if picture.key { self.sets.complete(data) } else { data };
        let new_parameter_sets = std::mem::take(&mut self.new_sets);
        Event::Frame(AccessUnit { data, key: picture.key, new_parameter_sets })
    }

    /// The units in the first `length` bytes, with lengths in the place of start codes.
    fn take_units(&mut self, length: usize, gaps: bool) -> Bytes {
        let fits = |pair: &[Unit]| pair[0].end == pair[1].code;
        let in_place = !gaps
            && self.units.iter().all(|unit| unit.start - unit.code == LENGTH_BYTES)
            && self.units.windows(2).all(fits)
            && self.units.first().is_some_and(|unit| unit.code == 0);
        let data = if in_place {
            let bytes = self.intake.bytes_mut();
            for unit in &self.units {
                let length = (unit.end - unit.start) as u32;
                bytes[unit.code..unit.start].copy_from_slice(&length.to_be_bytes());
            }
            let end = self.units.last().map_or(0, |unit| unit.end);
            let data = self.intake.take(end);
            self.discard_uncounted(length - end);
            data
        } else {
            let bytes = self.intake.bytes();
            let wanted =
                || self.units.iter().filter(|unit| !matches!(unit.kind, Kind::Unknown | Kind::Damaged));
            let mut data =
                BytesMut::with_capacity(wanted().map(|unit| LENGTH_BYTES + unit.end - unit.start).sum());
            for unit in wanted().filter(|unit| unit.end > unit.start) {
                data.put_u32((unit.end - unit.start) as u32);
                data.put_slice(&bytes[unit.start..unit.end]);
            }
            self.intake.expect(length);
            self.discard_uncounted(length);
            data.freeze()
        };
        self.units.clear();
        data
    }

    fn take_sets(&mut self) {
        let bytes = self.intake.bytes();
        for unit in self.units.iter().filter(|unit| unit.kind == Kind::ParameterSet) {
            self.new_sets |= self.sets.take(&bytes[unit.start..unit.end]);
            self.any_sets |= self.new_sets;
        }
    }

    /// Forgets the first `length` bytes, which were no picture. Zeros between pictures are no garbage.
    fn discard(&mut self, length: usize) {
        let zeros = self.intake.bytes()[..length].iter().filter(|byte| **byte == 0).count();
        self.garbage_bytes += (length - zeros) as u64;
        self.discard_uncounted(length);
    }

    fn discard_uncounted(&mut self, length: usize) {
        self.intake.discard(length);
        self.searched = self.searched.saturating_sub(length);
    }

    fn report_garbage(&mut self) -> Event {
        Event::Dropped { reason: DropReason::Garbage, bytes: std::mem::take(&mut self.garbage_bytes) }
    }
}

#[cfg(test)]
mod tests;
