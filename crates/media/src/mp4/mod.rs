//! MP4 and its relatives (ISO/IEC 14496-12, QuickTime): the samples of a file in the order in which they are decoded, with where
//! they stand in the file and when they are shown. Plain files and fragmented ones, with the table of contents at either end.
//!
//! Reads no file: says which bytes it needs ([`Step::Read`]) and is given them. Only the table of contents and one fragment's at a
//! time are held in memory; samples are told by their places. One track of pictures (H.264, H.265, JPEG) and one of sound (AAC,
//! Opus) are taken, the first of each.
//!
//! Of edit lists the beginning counts: an empty edit delays a track, and the first other one says at which of its times it begins.
//! What else they cut or repeat is shown as it stands in the track. Refuses encrypted tracks and compact sample sizes (`stz2`).

mod boxes;
mod error;
mod fragment;
mod sample;
mod table;

use std::collections::VecDeque;
use std::num::{NonZeroU8, NonZeroU32};

use bytes::Bytes;

pub(crate) use self::boxes::Entry;
use self::boxes::TrackBox;
pub(crate) use self::boxes::{avc as avc_record, hevc as hevc_record};
pub use self::error::Mp4Error;
pub(crate) use self::sample::Unpacker;
pub use self::sample::{DropReason, Unpacked};
use self::table::{Cursor, TableSample};
use crate::{MediaTime, ParameterSets, Size, Track, TrackId};

/// The longest table of contents: of a day and a half of 25 pictures a second with sound.
const MOST_CONTENTS_BYTES: u64 = 64 << 20;
/// The longest table of a fragment.
const MOST_FRAGMENT_BYTES: u64 = 8 << 20;
/// Most samples of a fragment.
const MOST_FRAGMENT_SAMPLES: usize = 200_000;
/// Most boxes in a row that bring no sample.
const MOST_IDLE_BOXES: u32 = 100_000;
/// Fragments may hold one track each: so many samples are looked ahead for one of the other.
const LOOK_AHEAD_SAMPLES: usize = 4096;
/// The longest header of a box.
const HEADER_BYTES: u64 = 16;

/// Whether a file or stream begins as MP4 does: with a box that stands first in one (ISO/IEC 14496-12 section 4.3, QuickTime).
pub fn begins(bytes: &[u8]) -> bool {
    let kind = bytes.get(4..8);
    kind.is_some_and(|kind| {
        [b"ftyp", b"moov", b"styp", b"moof", b"wide"].iter().any(|known| kind == &known[..])
    })
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read these bytes of the file and [give](Demuxer::give) them.
    Read {
        /// Where they begin.
        at: u64,
        /// How many; the file may end before.
        bytes: usize,
    },
    /// The next sample.
    Sample(Sample),
    /// A track's samples end here, for the file does.
    CutOff(TrackId),
    /// There are no more.
    End,
}

/// A sample: a picture or a packet of sound, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Whose it is.
    pub track: TrackId,
    /// Where it begins in the file.
    pub at: u64,
    /// Its length.
    pub bytes: u32,
    /// When it is decoded, in nanoseconds since the film's beginning. Negative where the film begins before what is shown of it.
    pub decoded: i64,
    /// When it is shown.
    pub shown: MediaTime,
    /// The sample entry that describes it, counted from 1.
    entry: u32,
}

/// Reads one file, once.
///
/// Call [`step`](Self::step) until it says [`Step::End`], and do what it says.
pub struct Demuxer {
    file_bytes: u64,
    tracks: Vec<Reading>,
    /// Samples may come in fragments.
    fragments: bool,
    place: Place,
    /// Boxes since the last sample.
    idle_boxes: u32,
}

impl std::fmt::Debug for Demuxer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demuxer").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Where the reading of boxes is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Looks for the table of contents in the box that begins there.
    Contents { at: u64 },
    /// The table of contents: where its body begins and ends.
    Movie { from: u64, to: u64 },
    /// Looks for a fragment in the box that begins there.
    Fragments { at: u64 },
    /// A fragment: where it begins, and its body begins and ends.
    Fragment { at: u64, from: u64, to: u64 },
    /// There are no more.
    End,
}

/// One track and its samples.
struct Reading {
    id: TrackId,
    track: TrackBox,
    cursor: Cursor,
    /// The next one of its tables.
    head: Option<TableSample>,
    /// Those of fragments, which come behind.
    queue: VecDeque<TableSample>,
    /// When its first sample was decoded, in nanoseconds.
    begin: Option<i64>,
    /// When the sample behind the last would be decoded, in the track's ticks.
    end: i64,
    unpacker: Unpacker,
    /// Its samples stand behind the end of the file.
    cut_off: bool,
    /// That was said.
    told: bool,
}

impl Demuxer {
    /// Reads a file of so many bytes.
    pub fn new(file_bytes: u64) -> Self {
        Self {
            file_bytes,
            tracks: Vec::new(),
            fragments: false,
            place: Place::Contents { at: 0 },
            idle_boxes: 0,
        }
    }

    /// Whether the tracks are known.
    pub fn is_ready(&self) -> bool {
        !self.tracks.is_empty()
    }

    /// What to do next. Says the same again until that was done, but for samples and [`Step::CutOff`], which are said once.
    ///
    /// # Errors
    /// The file makes no sense, or there is nothing in it to show.
    pub fn step(&mut self) -> Result<Step, Mp4Error> {
        if !self.wants_more()
            && let Some(sample) = self.next_sample()
        {
            self.idle_boxes = 0;
            return Ok(Step::Sample(sample));
        }
        if let Some(reading) = self.tracks.iter_mut().find(|reading| reading.cut_off && !reading.told) {
            reading.told = true;
            return Ok(Step::CutOff(reading.id));
        }
        let read = |at: u64, to: u64| Step::Read { at, bytes: (to - at) as usize };
        Ok(match self.place {
            Place::Contents { at } | Place::Fragments { at } => read(at, at.saturating_add(HEADER_BYTES)),
            Place::Movie { from, to } | Place::Fragment { from, to, .. } => read(from, to),
            Place::End => Step::End,
        })
    }

    /// Takes the bytes that [`Step::Read`] asked for: fewer where the file ends before.
    ///
    /// # Errors
    /// They make no sense, or there is nothing to show.
    pub fn give(&mut self, bytes: &[u8]) -> Result<(), Mp4Error> {
        match self.place {
            Place::Contents { at } => self.place = self.contents(at, bytes)?,
            Place::Movie { to, .. } => {
                let movie = boxes::movie(bytes)?;
                self.fragments = movie.fragments;
                self.tracks = chosen(movie.tracks)?;
                self.fill();
                self.place = if self.fragments { Place::Fragments { at: to } } else { Place::End };
            }
            Place::Fragments { at } => self.place = self.fragments(at, bytes)?,
            Place::Fragment { at, to, .. } => {
                self.take_fragment(bytes, at)?;
                self.place = Place::Fragments { at: to };
            }
            Place::End => {}
        }
        Ok(())
    }

    /// The tracks, as far as they are known: parameter sets may come with the first keyframe only.
    pub fn tracks(&self) -> Vec<Track> {
        self.tracks.iter().filter_map(Reading::track).collect()
    }

    /// The parameter sets of its pictures; `None` of JPEG.
    pub fn parameter_sets(&self) -> Option<&ParameterSets> {
        self.tracks.iter().find_map(|reading| reading.unpacker.parameter_sets())
    }

    /// Makes of a sample's bytes what is passed on.
    ///
    /// # Errors
    /// They are damaged, or a picture that needs one that was not there.
    pub fn unpack(&mut self, sample: &Sample, data: Bytes) -> Result<Unpacked, DropReason> {
        let reading = self.tracks.iter_mut().find(|reading| reading.id == sample.track);
        let reading = reading.expect("samples are of the tracks that were chosen");
        let entry = (sample.entry.max(1) as usize - 1).min(reading.track.entries.len().saturating_sub(1));
        reading.unpacker.unpack(&reading.track.entries[entry], sample.entry, data)
    }

    /// Says that a sample could not be read: nothing can be shown that needs it.
    pub fn lost(&mut self, track: TrackId) {
        if let Some(reading) = self.tracks.iter_mut().find(|reading| reading.id == track) {
            reading.unpacker.lost();
        }
    }

    /// How long the film is, in nanoseconds, as far as it was read: as long as the longest of its tracks.
    pub fn length(&self) -> i64 {
        let length = |reading: &Reading| Some(reading.nanos(reading.end).saturating_sub(reading.begin?));
        self.tracks.iter().filter_map(length).max().unwrap_or(0)
    }

    /// The box that begins at `at`: the table of contents, or another.
    fn contents(&mut self, at: u64, bytes: &[u8]) -> Result<Place, Mp4Error> {
        let (kind, from, to) = match header(at, bytes, self.file_bytes) {
            Some(header) => header,
            None => return Err(Mp4Error::NoContents),
        };
        self.count_box()?;
        if &kind != b"moov" {
            return if to >= self.file_bytes {
                Err(Mp4Error::NoContents)
            } else {
                Ok(Place::Contents { at: to })
            };
        }
        if to > self.file_bytes {
            return Err(Mp4Error::Damaged { kind: "moov" });
        }
        within("moov", from, to, MOST_CONTENTS_BYTES)?;
        Ok(Place::Movie { from, to })
    }

    /// The box that begins at `at`: a fragment, or another.
    fn fragments(&mut self, at: u64, bytes: &[u8]) -> Result<Place, Mp4Error> {
        // What is cut off at the end is no fragment.
        let Some((kind, from, to)) = header(at, bytes, self.file_bytes) else { return Ok(Place::End) };
        self.count_box()?;
        if to > self.file_bytes {
            return Ok(Place::End);
        }
        if &kind != b"moof" {
            return Ok(Place::Fragments { at: to });
        }
        within("moof", from, to, MOST_FRAGMENT_BYTES)?;
        Ok(Place::Fragment { at, from, to })
    }

    fn count_box(&mut self) -> Result<(), Mp4Error> {
        self.idle_boxes += 1;
        if self.idle_boxes > MOST_IDLE_BOXES {
            return Err(if self.tracks.is_empty() {
                Mp4Error::NoContents
            } else {
                Mp4Error::Damaged { kind: "moof" }
            });
        }
        Ok(())
    }

    fn take_fragment(&mut self, moof: &[u8], at: u64) -> Result<(), Mp4Error> {
        let fragments = boxes::fragment(moof, at)?;
        let count = fragments.iter().fold(0_usize, |count, part| count.saturating_add(part.count()));
        if count > MOST_FRAGMENT_SAMPLES {
            return Err(Mp4Error::TooManySamples { most: MOST_FRAGMENT_SAMPLES });
        }
        // Samples without a byte cost time as well: a few bytes state thousands of them. One that has some sets this back.
        self.idle_boxes = self.idle_boxes.saturating_add((count / 128) as u32);
        let mut behind = at;
        for part in fragments {
            let reading = self.tracks.iter_mut().find(|reading| reading.track.id == part.track);
            match reading.filter(|reading| !reading.cut_off) {
                Some(reading) => {
                    let (defaults, end) = (reading.track.defaults, reading.end);
                    let queue = &mut reading.queue;
                    reading.end = part.samples(defaults, &mut behind, end, |sample| queue.push_back(sample));
                }
                None => {
                    part.samples(boxes::Defaults::default(), &mut behind, 0, |_| {});
                }
            }
        }
        Ok(())
    }

    /// Whether a further fragment must be read before the next sample is known.
    fn wants_more(&self) -> bool {
        let queued: usize = self.tracks.iter().map(|reading| reading.queue.len()).sum();
        let lacks = self.tracks.iter().any(|reading| reading.front().is_none() && !reading.cut_off);
        self.fragments && !matches!(self.place, Place::End) && lacks && queued < LOOK_AHEAD_SAMPLES
    }

    /// Has each track's next sample at hand, of those that stand in its tables.
    fn fill(&mut self) {
        for reading in &mut self.tracks {
            if reading.head.is_none()
                && let Some(sample) = reading.cursor.next(&reading.track.table)
            {
                reading.end = sample.decoded.saturating_add(sample.duration.into());
                reading.head = Some(sample);
            }
        }
    }

    /// The sample that is decoded first, of those at hand.
    fn next_sample(&mut self) -> Option<Sample> {
        loop {
            let due = |reading: &Reading| Some(reading.nanos(reading.front()?.decoded));
            let (_, index) = self
                .tracks
                .iter()
                .enumerate()
                .filter_map(|(index, reading)| Some((due(reading)?, index)))
                .min()?;
            let reading = &mut self.tracks[index];
            let sample = reading.head.take().or_else(|| reading.queue.pop_front())?;
            if sample.at.saturating_add(sample.bytes.into()) > self.file_bytes {
                reading.cut_off = true;
                reading.queue.clear();
                reading.cursor = Cursor::default();
                reading.track.table = table::SampleTable::default();
                // Said before anything else is.
                return None;
            }
            let found = reading.sample(&sample);
            reading.begin.get_or_insert(found.decoded);
            self.fill();
            if sample.bytes > 0 {
                return Some(found);
            }
        }
    }
}

impl Reading {
    fn new(id: TrackId, track: TrackBox) -> Self {
        let unpacker = Unpacker::new(track.entries.first());
        Self {
            id,
            track,
            cursor: Cursor::default(),
            head: None,
            queue: VecDeque::new(),
            begin: None,
            end: 0,
            unpacker,
            cut_off: false,
            told: false,
        }
    }

    fn front(&self) -> Option<&TableSample> {
        self.head.as_ref().or_else(|| self.queue.front())
    }

    /// One of its times, in nanoseconds since the film's beginning.
    fn nanos(&self, ticks: i64) -> i64 {
        let ticks = i128::from(ticks) - i128::from(self.track.start);
        let nanos = (ticks * 1_000_000_000).div_euclid(self.track.timescale.into());
        clamp(nanos + i128::from(self.track.delay))
    }

    fn sample(&self, sample: &TableSample) -> Sample {
        let rate = self.rate();
        let ticks = i128::from(sample.shown) - i128::from(self.track.start);
        let shown = (ticks * i128::from(rate.get())).div_euclid(self.track.timescale.into())
            + i128::from(self.track.delay) * i128::from(rate.get()) / 1_000_000_000;
        Sample {
            track: self.id,
            at: sample.at,
            bytes: sample.bytes,
            decoded: self.nanos(sample.decoded),
            shown: MediaTime::new(clamp(shown), rate),
            entry: sample.entry,
        }
    }

    /// Ticks a second of what is passed on.
    fn rate(&self) -> NonZeroU32 {
        let sound = self.track.entries.iter().find_map(|entry| match entry {
            Entry::Sound { rate, .. } => NonZeroU32::new(*rate),
            _ => None,
        });
        sound.unwrap_or(MediaTime::VIDEO_RATE)
    }

    fn track(&self) -> Option<Track> {
        Some(match self.track.entries.first()? {
            Entry::Sound { codec, channels, config, .. } => {
                Track::audio(*codec, self.rate(), NonZeroU8::new(*channels)?, Bytes::copy_from_slice(config))
            }
            Entry::Jpeg => Track::jpeg(self.size()),
            Entry::Nal { codec, .. } => {
                let sets = self.unpacker.parameter_sets()?;
                Track::video(*codec, self.size(), sets.units())
            }
            Entry::Other(_) => return None,
        })
    }

    fn size(&self) -> Option<Size> {
        self.unpacker.parameter_sets().and_then(ParameterSets::size)
    }
}

/// The first track of pictures and the first of sound.
fn chosen(tracks: Vec<TrackBox>) -> Result<Vec<Reading>, Mp4Error> {
    let (mut pictures, mut sound, mut found) = (None, None, Vec::new());
    for track in tracks {
        match track.entries.first() {
            Some(Entry::Nal { .. } | Entry::Jpeg) if pictures.is_none() => pictures = Some(track),
            Some(Entry::Sound { rate, channels, .. }) if sound.is_none() && *rate > 0 && *channels > 0 => {
                sound = Some(track);
            }
            Some(Entry::Other(kind)) => found.push(*kind),
            _ => {}
        }
    }
    let Some(pictures) = pictures else {
        let mut found: Vec<String> = found.iter().map(|kind| kind.escape_ascii().to_string()).collect();
        if let Some(kind) = found.iter().find(|kind| kind.as_str() == "encv") {
            return Err(Mp4Error::Encrypted { kind: kind.clone() });
        }
        found.extend(sound.map(|_| "sound".to_owned()));
        let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
        return Err(Mp4Error::NoVideo { found });
    };
    let pictures = Reading::new(TrackId::VIDEO, pictures);
    Ok(std::iter::once(pictures).chain(sound.map(|sound| Reading::new(TrackId::AUDIO, sound))).collect())
}

/// The kind of the box that begins at `at`, and where its body begins and ends; `None` where none begins there.
fn header(at: u64, bytes: &[u8], file_bytes: u64) -> Option<([u8; 4], u64, u64)> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let kind = [head[4], head[5], head[6], head[7]];
    let (header, length) = match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
        0 => (8, file_bytes.saturating_sub(at)),
        1 => (16, u64::from_be_bytes(*rest.first_chunk::<8>()?)),
        length => (8, length.into()),
    };
    let to = at.checked_add(length)?;
    (length >= header).then_some((kind, at + header, to))
}

fn within(kind: &'static str, from: u64, to: u64, most: u64) -> Result<(), Mp4Error> {
    let bytes = to - from;
    if bytes > most { Err(Mp4Error::TooLong { kind, bytes, most }) } else { Ok(()) }
}

fn clamp(ticks: i128) -> i64 {
    ticks.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}
