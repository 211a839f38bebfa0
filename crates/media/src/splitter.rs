//! Splits a byte stream into pictures, as a program writes them to a pipe or a file, whatever they are: JPEGs, or H.264 or H.265 as
//! Annex B. Which of these it is is told by the first bytes, unless it is known.
//!
//! What cannot be read as a stream (MP4, whose table of contents may stand at its end) is named and passed over as garbage.

use bytes::{Buf, Bytes, BytesMut};

use crate::annexb::{self, AccessUnit};
use crate::mjpeg;
use crate::{Codec, MOST_UNRECOGNISED_BYTES, ParameterSets, Recognised, mp4, recognise};

/// Room for a stream's first bytes.
const BEGINNING_BYTES: usize = 16 << 10;
/// The most bytes of a start code or of a JPEG's beginning that are not enough to tell it.
const UNTOLD_BYTES: usize = 4;

/// What a [`Splitter`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole JPEG, from SOI to EOI.
    Jpeg(Bytes),
    /// A whole picture of H.264 or H.265.
    AccessUnit(AccessUnit),
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
    /// In a stream of JPEGs.
    #[error(transparent)]
    Jpeg(#[from] mjpeg::DropReason),
    /// In a stream of H.264 or H.265.
    #[error(transparent)]
    AnnexB(#[from] annexb::DropReason),
    /// No picture has begun.
    #[error("bytes that are no picture")]
    Unknown,
    /// A file format that cannot be read as a stream.
    #[error(
        "MP4, which cannot be read from a pipe: have it write raw H.264 or H.265 (`-f h264`, `-f hevc`) or JPEGs"
    )]
    Mp4,
}

/// Splits a byte stream into pictures.
///
/// Read into [`room`](Self::room), then call [`next_event`](Self::next_event) until it has nothing more. Memory: what the framer of
/// [JPEGs](mjpeg::Framer) or of [access units](annexb::Framer) holds, and before it is known which, 64 KiB and one read.
///
/// ```
/// use ocelli_media::splitter::{Event, Splitter};
/// let jpeg = include_bytes!("../testdata/baseline.jpg");
/// let mut splitter = Splitter::new(None, 1 << 20);
/// splitter.room().extend_from_slice(jpeg);
/// assert_eq!(splitter.next_event(), Some(Event::Jpeg(jpeg.to_vec().into())));
/// ```
#[derive(Debug)]
pub struct Splitter {
    max_frame_bytes: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// What came so far, in which nothing is recognised.
    Beginning {
        bytes: BytesMut,
        mp4: bool,
    },
    Jpeg(mjpeg::Framer),
    AnnexB(Box<annexb::Framer>),
}

impl Splitter {
    /// A splitter that drops pictures longer than `max_frame_bytes`. `codec` is what the stream carries, where that is known.
    ///
    /// # Panics
    /// `codec` is one of sound.
    pub fn new(codec: Option<Codec>, max_frame_bytes: usize) -> Self {
        let state = match codec {
            None => State::Beginning { bytes: BytesMut::new(), mp4: false },
            Some(codec) => State::of(codec, max_frame_bytes),
        };
        Self { max_frame_bytes, state }
    }

    /// What the stream carries, once that is known.
    pub fn codec(&self) -> Option<Codec> {
        match &self.state {
            State::Beginning { .. } => None,
            State::Jpeg(_) => Some(Codec::Jpeg),
            State::AnnexB(framer) => Some(framer.codec()),
        }
    }

    /// The parameter sets that came so far, of H.264 and H.265.
    pub fn parameter_sets(&self) -> Option<&ParameterSets> {
        match &self.state {
            State::AnnexB(framer) => Some(framer.parameter_sets()),
            _ => None,
        }
    }

    /// The buffer to append the stream's next bytes to; there is always some spare capacity. What is in it already must not be
    /// touched.
    pub fn room(&mut self) -> &mut BytesMut {
        match &mut self.state {
            State::Beginning { bytes, .. } => {
                if bytes.len() == bytes.capacity() {
                    bytes.reserve(BEGINNING_BYTES);
                }
                bytes
            }
            State::Jpeg(framer) => framer.room(),
            State::AnnexB(framer) => framer.room(),
        }
    }

    /// The next finding in what has been read; `None` when more must be read first.
    pub fn next_event(&mut self) -> Option<Event> {
        if let State::Beginning { bytes, mp4 } = &mut self.state {
            *mp4 |= mp4::begins(bytes);
            match recognise(bytes) {
                Recognised::As(codec) if !*mp4 => {
                    let bytes = std::mem::take(bytes);
                    self.state = State::of(codec, self.max_frame_bytes);
                    self.room().extend_from_slice(&bytes);
                }
                Recognised::Later if !*mp4 => return None,
                _ => return Self::pass_over(bytes, *mp4),
            }
        }
        match &mut self.state {
            State::Beginning { .. } => None,
            State::Jpeg(framer) => framer.next_event().map(Event::from),
            State::AnnexB(framer) => framer.next_event().map(Event::from),
        }
    }

    /// Forgets what is no picture's beginning, for the bytes behind it may be.
    fn pass_over(bytes: &mut BytesMut, mp4: bool) -> Option<Event> {
        if bytes.len() < MOST_UNRECOGNISED_BYTES {
            return None;
        }
        let length = MOST_UNRECOGNISED_BYTES - UNTOLD_BYTES;
        bytes.advance(length);
        Some(Event::unknown(length, mp4))
    }

    /// Whether a picture of H.264 or H.265 has begun whose end is not there yet.
    pub fn has_begun(&self) -> bool {
        matches!(&self.state, State::AnnexB(framer) if framer.has_begun())
    }

    /// How many bytes of H.264 or H.265 were read that nothing was said of yet.
    pub fn unsplit_bytes(&self) -> usize {
        match &self.state {
            State::AnnexB(framer) => framer.unsplit_bytes(),
            _ => 0,
        }
    }

    /// Gives out the picture that was read without waiting for the next one: see [`annexb::Framer::settle`].
    pub fn settle(&mut self) -> Option<Event> {
        match &mut self.state {
            State::AnnexB(framer) => framer.settle().map(Event::from),
            _ => None,
        }
    }

    /// Says that the stream has ended: the last access unit is given out, or what is left is dropped. Call
    /// [`next_event`](Self::next_event) first until it has nothing more, and this until it has.
    pub fn finish(&mut self) -> Option<Event> {
        match &mut self.state {
            State::Beginning { bytes, mp4 } => {
                let length = std::mem::take(bytes).len();
                (length > 0).then(|| Event::unknown(length, *mp4))
            }
            State::Jpeg(framer) => framer.finish().map(Event::from),
            State::AnnexB(framer) => framer.finish().map(Event::from),
        }
    }
}

impl State {
    fn of(codec: Codec, max_frame_bytes: usize) -> Self {
        match codec {
            Codec::Jpeg => Self::Jpeg(mjpeg::Framer::new(max_frame_bytes)),
            codec => Self::AnnexB(Box::new(annexb::Framer::new(codec, max_frame_bytes))),
        }
    }
}

impl Event {
    fn unknown(length: usize, mp4: bool) -> Self {
        let reason = if mp4 { DropReason::Mp4 } else { DropReason::Unknown };
        Self::Dropped { reason, bytes: length as u64 }
    }
}

impl From<mjpeg::Event> for Event {
    fn from(event: mjpeg::Event) -> Self {
        match event {
            mjpeg::Event::Frame(data) => Self::Jpeg(data),
            mjpeg::Event::Dropped { reason, bytes } => Self::Dropped { reason: reason.into(), bytes },
        }
    }
}

impl From<annexb::Event> for Event {
    fn from(event: annexb::Event) -> Self {
        match event {
            annexb::Event::Frame(unit) => Self::AccessUnit(unit),
            annexb::Event::Dropped { reason, bytes } => Self::Dropped { reason: reason.into(), bytes },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = include_bytes!("../testdata/baseline.jpg");
    const H264: [u8; 36] = [
        0, 0, 0, 1, 0x67, 0x42, 0xC0, 0x0A, 0xDA, 0x0F, 0x0A, 0x69, 0xA8, 0x10, 0x10, 0, 0, 0, 1, 0x68, 0xCE,
        0, 0, 0, 1, 0x65, 0x88, 1, 0, 0, 0, 1, 0x41, 0x9A, 3, 3,
    ];

    /// What is found in `bytes`, given `chunk` at a time, with the end said.
    fn split(codec: Option<Codec>, bytes: &[u8], chunk: usize) -> Vec<Event> {
        let mut splitter = Splitter::new(codec, 1 << 20);
        let mut events = Vec::new();
        for chunk in bytes.chunks(chunk) {
            assert!(splitter.room().capacity() <= (1 << 21) + (64 << 10));
            splitter.room().extend_from_slice(chunk);
            events.extend(std::iter::from_fn(|| splitter.next_event()));
        }
        events.extend(std::iter::from_fn(|| splitter.finish()));
        events
    }

    #[test]
    fn each_stream_is_split_by_its_own_rules() {
        for chunk in [1, 7, 4096] {
            let jpegs = split(None, &JPEG.repeat(2), chunk);
            assert_eq!(jpegs, vec![Event::Jpeg(Bytes::from_static(JPEG)); 2]);
            let units = split(None, &H264, chunk);
            assert!(
                matches!(&units[..], [Event::AccessUnit(key), Event::AccessUnit(delta)] if key.key && !delta.key),
                "{units:?}"
            );
        }
    }

    #[test]
    fn what_stands_before_the_first_picture_is_garbage() {
        for length in [9, 70_000, 200_000] {
            let bytes = [&vec![b'.'; length][..], JPEG].concat();
            for chunk in [64, 5000, 1 << 20] {
                let events = split(None, &bytes, chunk);
                assert_eq!(events.last(), Some(&Event::Jpeg(Bytes::from_static(JPEG))), "{length}, {chunk}");
                let garbage: u64 = events
                    .iter()
                    .map(|event| if let Event::Dropped { bytes, .. } = event { *bytes } else { 0 })
                    .sum();
                assert_eq!(garbage, length as u64);
            }
        }
    }

    #[test]
    fn a_stated_codec_is_not_looked_for() {
        let events = split(Some(Codec::H264), &[JPEG, &H264].concat(), 4096);
        let units = events.iter().filter(|event| matches!(event, Event::AccessUnit(_)));
        assert_eq!(units.count(), 2, "{events:?}");
        let events = split(Some(Codec::Jpeg), &[&H264, JPEG].concat(), 4096);
        assert!(matches!(&events[..], [Event::Dropped { .. }, Event::Jpeg(_)]), "{events:?}");
    }

    #[test]
    fn mp4_is_named() {
        let mp4 = [&[0, 0, 0, 0x18][..], b"ftypisom", &[0; 12], &JPEG.repeat(100)].concat();
        let events = split(None, &mp4, 1000);
        assert!(!events.is_empty());
        assert!(
            events.iter().all(|event| matches!(event, Event::Dropped { reason: DropReason::Mp4, .. })),
            "{events:?}"
        );
    }
}
