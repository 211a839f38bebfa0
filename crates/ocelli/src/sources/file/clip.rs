//! A film as MP4: its table of contents is read when it is opened, its samples one by one as they are shown.
//!
//! Shown at its own times. Pictures and sound come in the order in which they are decoded; the file may be longer than any memory.

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use ocelli_hub::{DropReason, SourceError};
use ocelli_media::mp4::{self, Demuxer, Mp4Error, Sample, Step, Unpacked};
use ocelli_media::splitter::Event;
use ocelli_media::{MediaTime, ParameterSets, Track, TrackId, audio_track};

use super::read::{From, read, read_at_hand};
use super::reel::{Next, in_words};

/// A film that is read on as it is shown.
pub(super) struct Clip {
    path: PathBuf,
    file: File,
    limit: usize,
    demuxer: Demuxer,
    /// What is being read.
    reading: Option<Reading>,
    /// When the first sample is decoded, in nanoseconds of the file's own time.
    begins: Option<i64>,
    /// By how much all times are later than the file says, in nanoseconds: so long were those that were shown before.
    later: i64,
}

/// Bytes that are read for something.
struct Reading {
    at: u64,
    bytes: usize,
    room: BytesMut,
    /// What they are; else the demuxer's.
    sample: Option<Sample>,
}

/// What a clip shows next.
pub(super) struct Shown {
    /// What it is.
    pub(super) what: What,
    /// When it is due, in nanoseconds since the first film's beginning.
    pub(super) due: i64,
}

/// A sample that was read, or was not.
pub(super) enum What {
    Picture(Event, MediaTime),
    Sound(Bytes, MediaTime),
    /// A picture that is not shown, and why.
    Dropped(DropReason, String),
    /// Sound that is not heard.
    SoundDropped,
    /// Nothing, but the film is not over before that.
    Nothing,
}

impl Clip {
    /// Opens it and reads its table of contents.
    pub(super) fn open(path: &Path, limit: usize) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|error| in_words(path, &error))?;
        let length = file.metadata().map_err(|error| in_words(path, &error))?.len();
        let demuxer = Demuxer::new(length);
        let mut clip =
            Self { path: path.to_owned(), file, limit, demuxer, reading: None, begins: None, later: 0 };
        while !clip.demuxer.is_ready() {
            let Step::Read { at, bytes } = clip.step()? else { break };
            clip.begin(at, bytes, None);
            clip.read()?;
            clip.give()?;
        }
        Ok(clip)
    }

    /// The same from its beginning, on the same line of time.
    pub(super) fn rewind(&self) -> Result<Self, SourceError> {
        let mut next = Self::open(&self.path, self.limit)?;
        next.later = self.over_at();
        Ok(next)
    }

    /// Of H.264 and H.265.
    pub(super) fn parameter_sets(&self) -> Option<&ParameterSets> {
        self.demuxer.parameter_sets()
    }

    /// The track of sound, if it has one.
    pub(super) fn sound(&self) -> Option<Track> {
        audio_track(&self.demuxer.tracks()).cloned()
    }

    /// What is next; waits for the disk.
    pub(super) fn next(&mut self) -> Result<Next, SourceError> {
        loop {
            if let Some(next) = self.prepare()? {
                return Ok(next);
            }
            self.read()?;
            if let Some(next) = self.finish()? {
                return Ok(next);
            }
        }
    }

    /// As [`next`](Self::next); `None` where the disk is to be waited for.
    pub(super) fn next_at_hand(&mut self) -> Result<Option<Next>, SourceError> {
        loop {
            if let Some(next) = self.prepare()? {
                return Ok(Some(next));
            }
            if !self.read_at_hand()? {
                return Ok(None);
            }
            if let Some(next) = self.finish()? {
                return Ok(Some(next));
            }
        }
    }

    /// Has something to read, unless there is something to say at once.
    fn prepare(&mut self) -> Result<Option<Next>, SourceError> {
        if self.reading.is_some() {
            return Ok(None);
        }
        match self.step()? {
            Step::Read { at, bytes } => self.begin(at, bytes, None),
            Step::Sample(sample) if sample.bytes as usize > self.limit => {
                self.demuxer.lost(sample.track);
                let fault = format!("a picture has more than {} bytes", self.limit);
                return Ok(Some(self.shown(&sample, dropped(sample.track, DropReason::TooLarge, fault))));
            }
            Step::Sample(sample) => self.begin(sample.at, sample.bytes as usize, Some(sample)),
            Step::CutOff(track) => {
                let fault = "it is cut off: samples of its table of contents are not in it".to_owned();
                let what = dropped(track, DropReason::Damaged, fault);
                return Ok(Some(Next::Shown(Shown { what, due: self.later })));
            }
            Step::End => return Ok(Some(Next::End)),
        }
        Ok(None)
    }

    fn begin(&mut self, at: u64, bytes: usize, sample: Option<Sample>) {
        // Never past the end: a table of contents may state any length.
        let room = BytesMut::with_capacity(bytes);
        self.reading = Some(Reading { at, bytes, room, sample });
    }

    fn step(&mut self) -> Result<Step, SourceError> {
        let step = self.demuxer.step();
        step.map_err(|error| self.refused(&error))
    }

    /// Reads what is wanted, to its end or the file's.
    fn read(&mut self) -> Result<(), SourceError> {
        let Some(reading) = &mut self.reading else { return Ok(()) };
        while reading.room.len() < reading.bytes {
            let from = From::At(reading.at + reading.room.len() as u64);
            let count = read(&self.file, from, &mut reading.room);
            if count.map_err(|error| in_words(&self.path, &error))? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// The same without waiting; whether it was all there.
    fn read_at_hand(&mut self) -> Result<bool, SourceError> {
        let Some(reading) = &mut self.reading else { return Ok(true) };
        while reading.room.len() < reading.bytes {
            let from = From::At(reading.at + reading.room.len() as u64);
            let read = read_at_hand(&self.file, from, &mut reading.room);
            match read.map_err(|error| in_words(&self.path, &error))? {
                None => return Ok(false),
                Some(0) => break,
                Some(_) => {}
            }
        }
        Ok(true)
    }

    /// Does what was to be done with what was read.
    fn finish(&mut self) -> Result<Option<Next>, SourceError> {
        if self.reading.as_ref().is_none_or(|reading| reading.sample.is_none()) {
            self.give()?;
            return Ok(None);
        }
        let Some(Reading { bytes, room, sample: Some(sample), .. }) = self.reading.take() else {
            return Ok(None);
        };
        let mut data = room.freeze();
        if data.len() < bytes {
            self.demuxer.lost(sample.track);
            let fault = "the file became shorter".to_owned();
            return Ok(Some(self.shown(&sample, dropped(sample.track, DropReason::Damaged, fault))));
        }
        data.truncate(bytes);
        let time = self.moved(sample.shown);
        let what = match self.demuxer.unpack(&sample, data) {
            Ok(Unpacked::AccessUnit(unit)) => What::Picture(Event::AccessUnit(unit), time),
            Ok(Unpacked::Jpeg(jpeg)) => What::Picture(Event::Jpeg(jpeg), time),
            Ok(Unpacked::Sound(packet)) => What::Sound(packet, time),
            Err(reason) => {
                let counted = match reason {
                    mp4::DropReason::NeedsKey => DropReason::NeedsKeyframe,
                    _ => DropReason::Damaged,
                };
                dropped(sample.track, counted, reason.to_string())
            }
        };
        Ok(Some(self.shown(&sample, what)))
    }

    fn give(&mut self) -> Result<(), SourceError> {
        let Some(reading) = self.reading.take() else { return Ok(()) };
        let wanted = reading.room.len().min(reading.bytes);
        let given = self.demuxer.give(&reading.room[..wanted]);
        given.map_err(|error| self.refused(&error))
    }

    fn shown(&mut self, sample: &Sample, what: What) -> Next {
        self.begins.get_or_insert(sample.decoded);
        Next::Shown(Shown { what, due: self.due(sample.decoded) })
    }

    /// When the film is over.
    pub(super) fn over(&self) -> Shown {
        Shown { what: What::Nothing, due: self.over_at() }
    }

    fn over_at(&self) -> i64 {
        self.later.saturating_add(self.demuxer.length().max(0))
    }

    fn due(&self, nanos: i64) -> i64 {
        nanos.saturating_sub(self.begins.unwrap_or(nanos)).saturating_add(self.later)
    }

    fn moved(&self, time: MediaTime) -> MediaTime {
        let rate = time.rate();
        let later = i128::from(self.later) * i128::from(rate.get()) / 1_000_000_000;
        MediaTime::new(time.ticks().saturating_add(i64::try_from(later).unwrap_or(i64::MAX)), rate)
    }

    fn refused(&self, error: &Mp4Error) -> SourceError {
        SourceError::refused(format!("{}: {error}", self.path.display()))
    }
}

/// A sample of `track` that is not shown.
fn dropped(track: TrackId, reason: DropReason, fault: String) -> What {
    if track == TrackId::VIDEO { What::Dropped(reason, fault) } else { What::SoundDropped }
}
