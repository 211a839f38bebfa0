//! A variant as its task has it: where its pictures go, which of the camera's it wants, and how they are described.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ocelli_codec::worker::protocol::{self as worker, Coding, Piece};
use ocelli_hub::{DropReason, Publisher};
use ocelli_media::{
    Codec, Frame, ParameterSets, Size, Track, TrackId, Tracks, audio_track, nal_units, video_track,
};
use tokio::time::Instant;

use super::adapt::{Bounds, Cause, Top};
use super::expected::Expected;
use super::grid::Grid;
use super::lowering::Lowering;
use super::shape::{Fps, Shape};
use super::variant::{Lowered, Missed, Standing, Variant};
use crate::log::Told;

/// A keyframe that somebody asks for comes no sooner than this after the one before it: each costs many others' bits.
const KEYFRAME_APART: Duration = Duration::from_millis(500);

/// From where the quality is lowered of JPEGs of which none was asked.
const USUAL_QUALITY: u8 = 80;
/// A bit rate is not lowered further, in kbit/s.
const LEAST_KBPS: u32 = 50;

/// A variant at work.
pub(super) struct Output {
    pub(super) variant: Arc<Variant>,
    pub(super) publisher: Publisher,
    pub(super) way: Way,
    /// What it waits for of the worker.
    pub(super) expected: Expected,
    grid: Grid,
    /// What its stream was said to be.
    tracks: Option<Tracks>,
    sets: ParameterSets,
    /// How far it is lowered, where that is allowed.
    pub(super) lowering: Option<Lowering>,
    /// Pictures come of it.
    works: bool,
    wants_key: bool,
    last_key: Option<Instant>,
    pub(super) warnings: Told,
}

/// How its pictures come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// What the camera gives is not known yet.
    Unknown,
    /// They are the camera's own.
    Own,
    /// The worker makes them.
    Made(Coding),
    /// They cannot be made, which its readers were told.
    Nothing,
}

/// A frame that the worker was given, for the pictures that it makes of it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) number: u32,
    pub(super) frame: Frame,
}

impl Output {
    /// `None` if its stream has another publisher.
    pub(super) fn new(variant: Arc<Variant>) -> Option<Self> {
        let publisher = variant.stream.publish()?;
        let grid = Grid::new(variant.shape.fps);
        Some(Self {
            variant,
            publisher,
            way: Way::Unknown,
            expected: Expected::default(),
            grid,
            tracks: None,
            sets: ParameterSets::new(Codec::H264),
            lowering: None,
            works: false,
            wants_key: false,
            last_key: None,
            warnings: Told::default(),
        })
    }

    /// Says how it stands. Whether that is new.
    pub(super) fn stand(&mut self, standing: Standing) -> bool {
        self.works = standing == Standing::Works;
        self.variant.stand(standing)
    }

    /// Says why no pictures come of it for now, or that nothing speaks against them any more.
    pub(super) fn ail(&mut self, trouble: Option<&Arc<str>>) {
        match trouble {
            Some(why) => _ = self.stand(Standing::Ails(why.clone())),
            None if self.works => {}
            None => {
                let ailed = matches!(&*self.variant.standing.borrow(), Standing::Ails(_));
                if ailed {
                    self.stand(Standing::Begins);
                }
            }
        }
    }

    /// It may be made after all.
    pub(super) fn revive(&mut self) {
        if self.variant.has_ended() {
            self.stand(Standing::Begins);
        }
    }

    /// A picture has come, or one that says why none does.
    pub(super) fn begins(&mut self) {
        let has_begun = self.works || *self.variant.standing.borrow() != Standing::Begins;
        if !has_begun {
            self.stand(Standing::Works);
        }
    }

    /// What the worker makes of the camera's pictures for it.
    pub(super) fn coding(&self) -> Option<Coding> {
        match self.way {
            Way::Made(coding) => Some(coding),
            _ => None,
        }
    }

    /// How its pictures come of what the camera gives, as far as that can be told without a place.
    pub(super) fn way_from(&self, track: &Track) -> Way {
        let Shape { codec, .. } = self.variant.shape.of(track);
        match codec.and_then(Coding::of_codec) {
            _ if self.variant.shape.is_given_by(track) => Way::Own,
            Some(coding) => Way::Made(coding),
            None => Way::Nothing,
        }
    }

    /// Whether its viewers can be shown notices.
    pub(super) fn shows_notices(&self) -> bool {
        let codec = match &self.tracks {
            Some(tracks) => video_track(tracks).map(|track| track.codec),
            None => self.variant.shape.codec,
        };
        codec == Some(Codec::Jpeg)
    }

    /// The size of its pictures, where it is known; `camera` is that of the camera's.
    pub(super) fn size(&self, camera: Option<Size>) -> Option<Size> {
        let own = self.tracks.as_deref().and_then(video_track).and_then(|track| track.size);
        own.or_else(|| camera.map(|camera| self.variant.shape.size(camera, Codec::Jpeg)))
    }

    /// Looks whether its viewers take what it gives, and lowers or raises it. `camera` is the size of the camera's pictures, and
    /// `fps` their rate. Whether the worker is to be told.
    pub(super) fn adapt(&mut self, bounds: Bounds, camera: Size, fps: f64, now: Instant) -> bool {
        let Some(coding) = self.coding() else { return false };
        let shape = &self.variant.shape;
        let top = Top {
            quality: shape.quality.unwrap_or(USUAL_QUALITY),
            width: shape.size(camera, codec(coding)).width,
            fps: shape
                .fps
                .map_or(fps, |most| if fps > 0.0 { fps.min(most.per_second()) } else { most.per_second() }),
        };
        let lowering = self.lowering.get_or_insert_with(|| Lowering::new(bounds, top, now));
        if !lowering.look(&self.variant, top, now) {
            return false;
        }
        let lowered = self.asked(coding).1;
        self.grid = Grid::new(lowered.as_ref().map_or(self.variant.shape.fps, |lowered| lowered.fps));
        let cause = self.lowering.as_ref().and_then(Lowering::cause);
        let lowered = lowered.map(|lowered| Lowered {
            to: lowered.to_string(),
            because: cause.map(in_words).unwrap_or_default(),
        });
        let (camera, variant) = (self.publisher.name(), &self.variant.shape);
        match &lowered {
            Some(Lowered { to, because }) => {
                tracing::debug!(%camera, %variant, "given as {to}: {because}");
            }
            None => tracing::debug!(%camera, %variant, "given whole"),
        }
        self.variant.numbers.lowered(lowered);
        true
    }

    /// What the worker is asked for, and what of it is lowered.
    pub(super) fn asked(&self, coding: Coding) -> (worker::Output, Option<Shape>) {
        let shape = self.variant.shape;
        let Some((step, kbps)) = self.lowering.as_ref().and_then(Lowering::step) else {
            return (shape.output(coding), None);
        };
        let is_jpeg = coding == Coding::Jpeg;
        let lowered = Shape {
            width: Some(step.width),
            quality: is_jpeg.then_some(step.quality),
            fps: step.fps.and_then(Fps::new).or(shape.fps),
            bit_rate_kbps: (coding == Coding::H264).then_some(kbps.max(LEAST_KBPS)),
            ..shape
        };
        (lowered.output(coding), Some(lowered))
    }

    /// Whether a picture of the camera is wanted at this rate, and it is given.
    pub(super) fn takes(&mut self, frame: &Frame) -> bool {
        self.grid.keeps(micros(frame))
    }

    /// Whether a picture of the camera that it is not given would have been wanted at this rate.
    pub(super) fn would_take(&self, frame: &Frame) -> bool {
        self.grid.would_keep(micros(frame))
    }

    /// How many of the camera's pictures that it is not given, the next ones, would have been wanted at this rate.
    pub(super) fn would_take_of(&self, frames: &[Frame]) -> u64 {
        let mut grid = self.grid;
        frames.iter().filter(|frame| grid.keeps(micros(frame))).count() as u64
    }

    /// Whether the picture that is made next should be a keyframe, because somebody has asked for one.
    pub(super) fn take_keyframe_wanted(&mut self, now: Instant) -> bool {
        self.wants_key |= self.publisher.is_keyframe_wanted();
        let is_due = self.last_key.is_none_or(|last| now.duration_since(last) >= KEYFRAME_APART);
        let takes = self.wants_key && is_due;
        if takes {
            self.wants_key = false;
            self.last_key = Some(now);
        }
        takes
    }

    /// Passes on what the camera gives.
    pub(super) fn pass(&mut self, frame: Frame, tracks: &Tracks) {
        if frame.is_picture() {
            self.variant.numbers.wanted();
            self.describe(tracks);
            self.note_picture();
            self.variant.numbers.came_out(frame.captured, SystemTime::now());
        } else if self.tracks.is_none() {
            return;
        }
        self.publisher.push(frame);
    }

    fn note_picture(&mut self) {
        if !self.works {
            self.stand(Standing::Works);
        }
    }

    /// Passes on sound that goes with pictures that are made.
    pub(super) fn pass_sound(&mut self, frame: Frame) {
        if self.tracks.as_deref().and_then(audio_track).is_some() {
            self.publisher.push(frame);
        }
    }

    /// Publishes a picture that the worker has made of `shown`. Whether it is one.
    pub(super) fn publish(
        &mut self,
        piece: &Piece,
        data: Bytes,
        shown: &Shown,
        camera: &Tracks,
        now: Instant,
    ) -> bool {
        self.expected.came(piece.number);
        let Some(coding) = self.coding().filter(|coding| is_sound(*coding, piece.size, &data)) else {
            self.publisher.dropped(1, DropReason::Damaged);
            self.variant.numbers.missed(1, Missed::Damaged);
            return false;
        };
        let key = piece.key || coding != Coding::H264;
        if key && coding == Coding::H264 {
            self.last_key = Some(now);
            self.sets.take_all(&data);
        }
        if key && !self.is_described(coding, piece.size, camera) {
            let sets = if coding == Coding::H264 { self.sets.units() } else { Vec::new() };
            let video = Track::video(codec(coding), Some(piece.size), sets);
            let tracks = [Some(video), audio_track(camera).cloned()].into_iter().flatten().collect();
            self.describe(&tracks);
        }
        self.note_picture();
        let numbers = &self.variant.numbers;
        let us = |micros: u32| Duration::from_micros(micros.into());
        numbers.made(us(piece.scale_us), us(piece.encode_us));
        numbers.came_out(shown.frame.captured, SystemTime::now());
        self.publisher.push(Frame { track: TrackId::VIDEO, key, data, ..shown.frame });
        true
    }

    /// Whether its stream was said to be of such pictures, with the camera's sound.
    fn is_described(&self, coding: Coding, size: Size, camera: &Tracks) -> bool {
        let Some(tracks) = &self.tracks else { return false };
        let same_video = video_track(tracks).is_some_and(|track| {
            let same_sets = coding != Coding::H264 || self.sets.are(&track.parameter_sets);
            track.codec == codec(coding) && track.size == Some(size) && same_sets
        });
        same_video && audio_track(tracks) == audio_track(camera)
    }

    fn describe(&mut self, tracks: &Tracks) {
        if self.tracks.as_ref() != Some(tracks) {
            self.publisher.set_tracks(tracks.clone());
            self.tracks = Some(tracks.clone());
        }
    }
}

/// Why a variant is lowered, for the person who owns the camera.
fn in_words(cause: Cause) -> String {
    let Cause { viewers, of, missed } = cause;
    let percent = (missed * 100.0).round();
    match (viewers, of) {
        (1, 1) => format!("its viewer's network did not take {percent} % of it"),
        (all, of) if all == of => {
            format!("its {of} viewers' networks did not take {percent} % of it or more")
        }
        _ => format!("the networks of {viewers} of its {of} viewers did not take {percent} % of it or more"),
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(lowering) = self.lowering.take() {
            lowering.give_back(&self.variant);
            self.variant.numbers.lowered(None);
        }
    }
}

fn codec(coding: Coding) -> Codec {
    match coding {
        Coding::Jpeg => Codec::Jpeg,
        Coding::H264 => Codec::H264,
        Coding::Rgb24 => Codec::Rgb24,
        Coding::Yuv420 => Codec::Yuv420,
    }
}

/// When a picture is shown, in microseconds of its own clock.
pub(super) fn micros(frame: &Frame) -> i64 {
    const MICROS: std::num::NonZeroU32 = std::num::NonZeroU32::new(1_000_000).expect("not zero");
    frame.time.rescale(MICROS).ticks()
}

/// Whether what a worker gives has the form that frames have. It decodes strangers' bytes, and is believed as little.
pub(super) fn is_sound(coding: Coding, size: Size, data: &[u8]) -> bool {
    let (width, height) = (usize::from(size.width), usize::from(size.height));
    if width == 0 || height == 0 {
        return false;
    }
    match coding {
        Coding::Jpeg => data.starts_with(&[0xFF, 0xD8]) && data.ends_with(&[0xFF, 0xD9]),
        Coding::H264 => {
            let bytes: usize = nal_units(data).map(|unit| unit.len() + 4).sum();
            bytes == data.len() && nal_units(data).all(|unit| !unit.is_empty()) && bytes > 0
        }
        Coding::Rgb24 => data.len() == width * height * 3,
        Coding::Yuv420 => data.len() == width * height + 2 * width.div_ceil(2) * height.div_ceil(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_the_form_of_a_picture_is_none() {
        let size = Size { width: 3, height: 3 };
        for (coding, good, bad) in [
            (Coding::Jpeg, &b"\xff\xd8..\xff\xd9"[..], &b"\xff\xd8.."[..]),
            (Coding::H264, b"\0\0\0\x01\x65\0\0\0\x02ab", b"\0\0\0\x01\x65\0\0\0\x03ab"),
            (Coding::Rgb24, &[0; 27], &[0; 26]),
            (Coding::Yuv420, &[0; 17], &[0; 13]),
        ] {
            assert!(is_sound(coding, size, good), "{coding}");
            assert!(!is_sound(coding, size, bad) && !is_sound(coding, size, b""), "{coding}");
            assert!(!is_sound(coding, Size { width: 0, height: 3 }, good), "{coding}");
        }
        assert!(!is_sound(Coding::H264, size, b"\0\0\0\0"));
    }
}
