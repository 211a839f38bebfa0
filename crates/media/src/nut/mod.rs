//! NUT (the container of FFmpeg and MPlayer, its specification of 2008): the pictures and sound of a stream as FFmpeg writes it to a
//! pipe, each as soon as its last byte is there.
//!
//! NUT says length, time and codec before a packet's bytes, so that nothing waits for what follows. One track of pictures (H.264,
//! H.265, JPEG) and one of sound (AAC, Opus, G.711) are taken, the first of each; what else there is is passed over.
//!
//! [`Writer`] makes such a stream of pictures for FFmpeg to read.
//!
//! The reader reads a pipe from its beginning: it does not look for another place to go on at where the bytes make no sense, does not verify
//! checksums, and refuses version 4's data beside packets, which FFmpeg writes when it is asked to only.

mod error;
mod fields;
mod frame;
mod header;
mod stream;
#[cfg(test)]
mod tests;
mod write;

use std::num::NonZeroU32;

use bytes::{Bytes, BytesMut};

pub use self::error::NutError;
use self::fields::Fields;
use self::frame::FrameHeader;
use self::header::{MainHeader, TimeBase};
use self::stream::Stream;
pub use self::write::{Head, Writer};
use crate::intake::Intake;
use crate::mp4::{DropReason, Unpacked};
use crate::{MediaTime, ParameterSets, Track, TrackId};

/// What stands before everything else.
const FILE_ID: &[u8; 25] = b"nut/multimedia container\0";
const MAIN: u64 = u64::from_be_bytes(*b"NM\x7A\x56\x1F\x5F\x04\xAD");
const STREAM: u64 = u64::from_be_bytes(*b"NS\x11\x40\x5B\xF2\xF9\xDB");
const SYNCPOINT: u64 = u64::from_be_bytes(*b"NK\xE4\xAD\xEE\xCA\x45\x69");
const INFO: u64 = u64::from_be_bytes(*b"NI\xAB\x68\xB5\x96\xBA\x78");
const INDEX: u64 = u64::from_be_bytes(*b"NX\xDD\x67\x2F\x23\xE6\x4E");
/// The longest header: an elision table, and parameter sets of the largest kind.
const MOST_HEADER_BYTES: usize = 1 << 20;
/// Headers of more than this have a checksum of their beginning, too.
const SHORT_HEADER_BYTES: usize = 4096;
const CHECKSUM_BYTES: usize = 4;

/// What a [`Reader`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A picture or a packet of sound.
    Packet {
        /// Whose it is.
        track: TrackId,
        /// When it is shown, on the track's clock.
        time: MediaTime,
        /// What it is.
        unpacked: Unpacked,
    },
    /// A picture that is not coded: 4:2:0, its planes one behind the other, for those who ask for such.
    Raw {
        /// When it is shown, at 90 kHz.
        time: MediaTime,
        /// Its samples.
        data: Bytes,
    },
    /// A packet that is not passed on.
    Dropped {
        /// Whose it would have been.
        track: TrackId,
        /// Why.
        reason: DropReason,
    },
    /// A packet longer than allowed.
    TooLarge {
        /// Whose it would have been.
        track: TrackId,
        /// Its length.
        bytes: u64,
    },
}

/// Reads one stream.
///
/// Read into [`room`](Self::room), then call [`next_event`](Self::next_event) until it has nothing more.
///
/// Memory: never more than the longest packet allowed, one read and a header.
#[derive(Debug)]
pub struct Reader {
    max_frame_bytes: usize,
    intake: Intake,
    place: Place,
    main: Option<MainHeader>,
    /// By number; what they are is known when all are.
    streams: Vec<Option<Stream>>,
    /// Pictures that are not coded are passed on.
    takes_raw: bool,
    /// Of packets of Annex B: where their units are. Kept, so that no packet allocates it anew.
    units: Vec<std::ops::Range<usize>>,
}

/// What the buffer begins with.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// The file's name.
    FileId,
    /// A header or a frame.
    Piece,
    /// So many bytes that nobody wants.
    Skipping(u64),
    /// A frame's data, once it is there.
    Data(FrameHeader),
}

impl Reader {
    /// A reader that drops packets longer than `max_frame_bytes`.
    pub fn new(max_frame_bytes: usize) -> Self {
        Self {
            max_frame_bytes,
            intake: Intake::new(max_frame_bytes),
            place: Place::FileId,
            main: None,
            streams: Vec::new(),
            takes_raw: false,
            units: Vec::new(),
        }
    }

    /// One that passes on pictures that are not coded, too.
    pub fn of_raw_pictures(max_frame_bytes: usize) -> Self {
        Self { takes_raw: true, ..Self::new(max_frame_bytes) }
    }

    /// The buffer to append the stream's next bytes to; there is always some spare capacity. What is in it already must not be
    /// touched.
    pub fn room(&mut self) -> &mut BytesMut {
        self.intake.room()
    }

    /// Copies as much of `bytes` as there is room for and returns the rest: call [`next_event`](Self::next_event) until it has nothing
    /// more, then feed the rest.
    #[must_use = "what is returned has not been fed"]
    pub fn feed<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        self.intake.feed(bytes)
    }

    /// The tracks that are passed on, as far as they are known: all from the first picture on, but sound that says what it is in its
    /// packets alone from its own first packet on.
    pub fn tracks(&self) -> Vec<Track> {
        self.streams.iter().flatten().filter_map(Stream::track).collect()
    }

    /// The parameter sets of the pictures, if they have some.
    pub fn parameter_sets(&self) -> Option<&ParameterSets> {
        self.streams.iter().flatten().find_map(Stream::parameter_sets)
    }

    /// The name of the codec of sound that is not passed on, if there is some and no other.
    pub fn strange_sound(&self) -> Option<String> {
        let mut sound = self.streams.iter().flatten().filter(|stream| stream.is_sound());
        let first = sound.next()?;
        (!first.is_taken() && !sound.any(Stream::is_taken)).then(|| first.codec_name())
    }

    /// The next finding in what has been read; `None` when more must be read first.
    ///
    /// # Errors
    /// What came is no NUT, or holds no pictures that are passed on. Nothing can be read after that.
    pub fn next_event(&mut self) -> Result<Option<Event>, NutError> {
        loop {
            match self.place {
                Place::FileId => {
                    let bytes = self.intake.bytes();
                    let there = bytes.len().min(FILE_ID.len());
                    if bytes[..there] != FILE_ID[..there] {
                        return Err(NutError::NoNut);
                    }
                    if there < FILE_ID.len() {
                        return Ok(None);
                    }
                    self.intake.discard(FILE_ID.len());
                    self.place = Place::Piece;
                }
                Place::Piece => {
                    if !self.piece()? {
                        return Ok(None);
                    }
                }
                Place::Skipping(bytes) => {
                    let there = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.intake.bytes().len());
                    self.intake.discard(there);
                    let left = bytes - there as u64;
                    if left > 0 {
                        self.place = Place::Skipping(left);
                        return Ok(None);
                    }
                    self.place = Place::Piece;
                }
                Place::Data(frame) => {
                    let Some(found) = self.data(frame) else { return Ok(None) };
                    if let Some(event) = found {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    /// Reads a header, or the beginning of a frame; whether it was there.
    fn piece(&mut self) -> Result<bool, NutError> {
        match self.intake.bytes().first() {
            None => Ok(false),
            // No frame begins with an N: that code is invalid in every table (section 3.4.1).
            Some(b'N') => self.header(),
            Some(_) => {
                let Some(main) = &self.main else {
                    return Err(NutError::Damaged("a frame before the header"));
                };
                let mut fields = Fields::new(self.intake.bytes());
                let Some(frame) = frame::read(&mut fields, main, &self.streams)? else { return Ok(false) };
                let header_bytes = fields.at();
                self.intake.discard(header_bytes);
                if let Some(Some(stream)) = self.streams.get_mut(frame.stream) {
                    stream.last_ticks = frame.ticks;
                }
                self.place = Place::Data(frame);
                Ok(true)
            }
        }
    }

    /// Reads a header, once it is there whole.
    fn header(&mut self) -> Result<bool, NutError> {
        let mut fields = Fields::new(self.intake.bytes());
        let Some(code) = fields.u64() else { return Ok(false) };
        let Some(length) = fields.v()? else { return Ok(false) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // A header's own checksum stands behind a length that is worth it; an index may be as long as it likes.
        let begin = fields.at() + if length > SHORT_HEADER_BYTES { CHECKSUM_BYTES } else { 0 };
        match code {
            INFO | INDEX => {
                self.place = Place::Skipping((begin as u64).saturating_add(length as u64));
                return Ok(true);
            }
            MAIN | STREAM | SYNCPOINT => {}
            _ => return Err(NutError::Damaged("an unknown startcode")),
        }
        if length > MOST_HEADER_BYTES {
            return Err(NutError::Damaged("a header of more than 1 MiB"));
        }
        let Some(body) = self.intake.bytes().get(begin..begin + length) else { return Ok(false) };
        let body = body.get(..length.saturating_sub(CHECKSUM_BYTES)).unwrap_or_default();
        match code {
            // The headers are repeated now and then.
            MAIN if self.main.is_none() => {
                let main = header::main(body)?;
                self.streams.resize_with(main.streams, || None);
                self.main = Some(main);
            }
            STREAM => {
                let Some(main) = &self.main else {
                    return Err(NutError::Damaged("a stream's header before the main one"));
                };
                let (number, stream) = stream::read(body, main)?;
                let place = self.streams.get_mut(number).ok_or(NutError::Damaged("a stream too many"))?;
                let is_new = place.is_none();
                place.get_or_insert(stream);
                if is_new && self.streams.iter().all(Option::is_some) {
                    self.choose()?;
                }
            }
            SYNCPOINT => {
                let coded = Fields::new(body).v()?.ok_or(NutError::Damaged("a syncpoint"))?;
                self.syncpoint(coded)?;
            }
            _ => {}
        }
        self.intake.discard(begin + length);
        Ok(true)
    }

    /// All streams are known: chooses what is passed on.
    fn choose(&mut self) -> Result<(), NutError> {
        let streams = || self.streams.iter().flatten();
        let found = streams().filter(|stream| stream.is_video()).map(Stream::codec_name).collect::<Vec<_>>();
        let mut taken = [false; 2];
        for stream in self.streams.iter_mut().flatten() {
            let first = &mut taken[usize::from(stream.is_sound())];
            stream.choose(!*first, self.takes_raw);
            *first |= stream.is_taken();
        }
        if taken[0] { Ok(()) } else { Err(NutError::NoPictures { found: found.join(", ") }) }
    }

    /// Where all streams' clocks stand (section 3.8).
    fn syncpoint(&mut self, coded: u64) -> Result<(), NutError> {
        let main = self.main.as_ref().ok_or(NutError::Damaged("a syncpoint before the header"))?;
        let count = main.time_bases.len() as u64;
        let base = main.time_bases[(coded % count) as usize];
        let ticks = i64::try_from(coded / count).unwrap_or(i64::MAX);
        for stream in self.streams.iter_mut().flatten() {
            stream.last_ticks = base.convert(ticks, stream.time_base);
        }
        Ok(())
    }

    /// Takes a frame's data, once it is there: the outer `None` says that it is not, the inner one that nobody wants it.
    fn data(&mut self, frame: FrameHeader) -> Option<Option<Event>> {
        let stream = self.streams.get_mut(frame.stream).and_then(Option::as_mut);
        let stream = stream.filter(|stream| stream.is_taken() && frame.bytes > 0);
        let Some(stream) = stream else {
            self.place = Place::Skipping(frame.bytes);
            return Some(None);
        };
        let track = stream.id();
        let elided = self.main.as_ref().map_or(&[][..], |main| &main.elided[frame.elided]);
        let length = usize::try_from(frame.bytes).unwrap_or(usize::MAX);
        if length.saturating_add(elided.len()) > self.max_frame_bytes {
            stream.lost();
            self.place = Place::Skipping(frame.bytes);
            return Some(Some(Event::TooLarge { track, bytes: frame.bytes }));
        }
        if self.intake.bytes().len() < length {
            return None;
        }
        self.place = Place::Piece;
        if stream.is_raw() {
            let data = self.intake.take(length);
            let data = if elided.is_empty() { data } else { [elided, &data].concat().into() };
            return Some(Some(Event::Raw { time: stream.time(frame.ticks), data }));
        }
        let unpacked = if elided.is_empty() {
            stream.unpack(&mut self.intake, length, &mut self.units)
        } else {
            // Bytes that many packets begin with are left out of short ones (section 3.4.2).
            let mut whole = Intake::new(self.max_frame_bytes);
            for part in [elided, &self.intake.bytes()[..length]] {
                let mut left = part;
                while !left.is_empty() {
                    left = whole.feed(left);
                }
            }
            self.intake.discard(length);
            stream.unpack(&mut whole, length + elided.len(), &mut self.units)
        };
        let time = stream.time(frame.ticks);
        Some(Some(match unpacked {
            Ok(unpacked) => Event::Packet { track, time, unpacked },
            Err(reason) => Event::Dropped { track, reason },
        }))
    }
}

/// `ticks` of a time base on a clock of `rate` ticks a second.
fn media_time(ticks: i64, base: TimeBase, rate: NonZeroU32) -> MediaTime {
    let ticks = i128::from(ticks) * i128::from(base.numerator) * i128::from(rate.get());
    let ticks = ticks.div_euclid(i128::from(base.denominator.get()));
    MediaTime::new(ticks.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64, rate)
}
