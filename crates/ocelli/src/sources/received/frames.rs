//! What came becomes frames: their tracks announced, their parameter sets kept, their time told.

use std::time::SystemTime;

use bytes::Bytes;
use ocelli_hub::{DropReason, Publisher};
use ocelli_media::{Codec, Frame, ParameterSets, Track, TrackId, Tracks};
use ocelli_proto::rtp::nal::{self, PayloadError};
use ocelli_proto::rtp::receive::{Cause, Dropped, Picture, Sound, Timeline};

/// What a camera's frames are, as far as it is known, for all its tracks together.
#[derive(Debug)]
pub struct Announced {
    tracks: Tracks,
    /// There will be pictures, of which nothing is known before the first.
    expects_pictures: bool,
    told: bool,
}

impl Announced {
    /// For these tracks. What is known of pictures before the first of them is not announced.
    pub fn new<'t>(tracks: impl IntoIterator<Item = &'t Track>) -> Self {
        let (pictures, sound): (Vec<&Track>, Vec<&Track>) =
            tracks.into_iter().partition(|track| track.codec.is_video());
        let tracks = sound.into_iter().cloned().collect();
        Self { tracks, expects_pictures: !pictures.is_empty(), told: false }
    }

    /// Announces a track of pictures, or what it has become.
    fn pictures(&mut self, track: Track, out: &mut Publisher) {
        self.tracks.retain(|known| known.id != track.id);
        self.tracks.insert(0, track);
        (self.expects_pictures, self.told) = (false, true);
        out.set_tracks(self.tracks.clone());
    }

    /// Announces sound, unless it has to wait for the first picture. Whether it is announced.
    fn sound(&mut self, out: &mut Publisher) -> bool {
        if !self.expects_pictures && !std::mem::replace(&mut self.told, true) {
            out.set_tracks(self.tracks.clone());
        }
        !self.expects_pictures
    }

    /// This track will not come.
    pub(super) fn forget(&mut self, codec: Codec) {
        self.expects_pictures &= !codec.is_video();
        self.tracks.retain(|track| track.codec != codec);
    }
}

/// What one track's frames need to become frames.
#[derive(Debug)]
pub(super) struct Frames {
    id: TrackId,
    codec: Codec,
    /// Parameter sets that were told beside the stream.
    described: Vec<Bytes>,
    timeline: Timeline,
    sets: ParameterSets,
    /// What was announced.
    track: Option<Track>,
    /// Somebody who watches wants a keyframe.
    pub(super) wanted: bool,
    /// What was wrong with what became no frame, if none came since.
    pub(super) fault: Option<String>,
    refused: bool,
}

impl Frames {
    /// Of a track of which this was described.
    pub(super) fn new(track: &Track) -> Self {
        let described = if track.codec.is_video() { track.parameter_sets.clone() } else { Vec::new() };
        let mut frames = Self {
            id: track.id,
            codec: track.codec,
            described,
            timeline: Timeline::new(track.clock_rate),
            sets: ParameterSets::new(track.codec),
            track: None,
            wanted: false,
            fault: None,
            refused: false,
        };
        frames.restart();
        frames
    }

    /// How they are coded.
    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// What follows is another sender's.
    pub(super) fn restart(&mut self) {
        self.timeline.restart();
        self.sets = ParameterSets::new(self.codec);
        for set in &self.described {
            self.sets.take(set);
        }
    }

    /// Publishes a picture, and whether it did.
    pub(super) fn picture(
        &mut self,
        picture: Picture,
        captured: SystemTime,
        announced: &mut Announced,
        out: &mut Publisher,
    ) -> bool {
        let Picture { mut data, mut size, timestamp, key, arrived } = picture;
        if self.codec != Codec::Jpeg {
            self.sets.take_all(&data);
            if !self.sets.is_complete() {
                self.fault = Some("the sender sends no parameter sets".to_owned());
                out.dropped(1, DropReason::NeedsKeyframe);
                return false;
            }
            size = self.sets.size();
            if key {
                data = self.sets.complete(data);
            }
        }
        let known = self.track.as_ref();
        if known.is_none_or(|track| track.size != size || !self.sets.are(&track.parameter_sets)) {
            let track = Track { id: self.id, ..Track::video(self.codec, size, self.sets.units()) };
            tracing::debug!(camera = %out.name(), codec = %track.codec, ?size, "pictures");
            announced.pictures(track.clone(), out);
            self.track = Some(track);
        }
        self.wanted &= !key;
        self.fault = None;
        let time = self.timeline.time(timestamp, arrived);
        out.push(Frame { track: self.id, time, captured: Some(captured), key, data });
        true
    }

    /// Publishes sound, and whether it did. Before a camera's first picture there is nobody to hear it, and it is passed over.
    pub(super) fn sound(
        &mut self,
        sound: Sound,
        captured: SystemTime,
        announced: &mut Announced,
        out: &mut Publisher,
    ) -> bool {
        if !announced.sound(out) {
            out.sound_dropped(1);
            return false;
        }
        let Sound { data, timestamp, arrived } = sound;
        self.fault = None;
        let time = self.timeline.time(timestamp, arrived);
        out.push(Frame { track: self.id, time, captured: Some(captured), key: false, data });
        true
    }

    /// Counts what became no frame.
    pub(super) fn dropped(&mut self, reason: Dropped, out: &mut Publisher) {
        if !self.codec.is_video() {
            // Nothing is wrong with the pictures.
            return out.sound_dropped(1);
        }
        out.dropped(
            1,
            match reason.cause() {
                Cause::Lost => DropReason::Lost,
                Cause::NeedsKey => DropReason::NeedsKeyframe,
                Cause::TooLong => DropReason::TooLarge,
                Cause::Damaged => DropReason::Damaged,
            },
        );
        let words = reason.to_string();
        if let Dropped::Nal(nal::Dropped::Payload(PayloadError::Interleaved { .. } | PayloadError::Paci)) =
            reason
            && !std::mem::replace(&mut self.refused, true)
        {
            tracing::warn!(camera = %out.name(), "the sender's packets are not understood: {words}");
            out.note(&words);
        }
        self.fault = Some(words);
    }
}
