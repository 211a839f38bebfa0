//! The worker's side of the feed: what it is told of the stream, which pictures it is given and for whom, and where what it makes
//! goes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ocelli_codec::worker::protocol::{self, Coding, FrameHead, Input, Outcome, Piece, Request};
use ocelli_media::{Codec, Frame};
use tokio::time::Instant;

use super::super::super::intake::{LeftOut, Taken, Unshown};
use super::super::super::output::{Output, Shown, micros};
use super::super::super::variant::Missed;
use super::Feed;
use crate::transcode::Head;

/// How many frames that the worker was given are remembered: more than any decoder keeps before it shows them.
const REMEMBERED: usize = 96;

/// A picture for the worker: its number, for how many outputs it is wanted, and the message.
type Given = (u32, usize, Head, Bytes);

impl Feed {
    /// There is a new worker, which knows nothing.
    pub(in super::super) fn introduce(&mut self) {
        self.is_new_to_worker = true;
    }

    /// What the worker has to decode, if it has to.
    pub(in super::super) fn input_codec(&self) -> Option<Input> {
        self.track().filter(|_| self.is_decoding()).and_then(|track| Input::of_codec(track.codec))
    }

    /// What the worker has to be told before the next picture.
    pub(in super::super) fn introductions(&mut self) -> Vec<Vec<u8>> {
        let Some(input) = self.track().and_then(|track| Input::of_codec(track.codec)) else {
            return Vec::new();
        };
        let mut said = Vec::new();
        if self.is_new_to_worker && self.is_decoding() {
            let decodes = self.shared.orders().means.decodes(input);
            if let Err(why) = decodes {
                self.refuse_made(&why);
                return said;
            }
            self.is_new_to_worker = false;
            let made = self.outputs.iter().filter(|output| output.coding().is_some());
            self.unknown = made.map(|output| output.variant.id).collect();
            said.push(Request::write_input(input));
        }
        for id in std::mem::take(&mut self.unknown) {
            let Some(output) = self.outputs.iter().find(|output| output.variant.id == id) else { continue };
            said.push(match output.coding() {
                Some(coding) => Request::write_output(id, &self.asks(output, coding)),
                None => Request::write_end(id),
            });
        }
        said
    }

    fn asks(&self, output: &Output, coding: Coding) -> protocol::Output {
        let (asked, lowered) = output.asked(coding);
        let fps = lowered.map_or(output.variant.shape.fps, |lowered| lowered.fps);
        let measured = (self.shared.camera.stats().rate.frames_per_second * 1000.0) as u32;
        let rate_mhz = match fps {
            Some(fps) if measured == 0 => fps.millihertz(),
            Some(fps) => fps.millihertz().min(measured),
            None => measured,
        };
        let is_film = self.track().is_some_and(|track| track.codec != Codec::Jpeg);
        let usual = (coding == Coding::Jpeg && is_film).then_some(self.shared.rules.quality);
        let quality = asked.quality.or(usual);
        protocol::Output { rate_mhz, quality, ..asked }
    }

    /// The next picture for the worker, if it is to be given one now.
    pub(in super::super) fn next(&mut self, number: &mut u32) -> Option<Given> {
        if self.is_new_to_worker {
            return None;
        }
        let now = Instant::now();
        loop {
            let Taken { frame, unshown } = self.intake.take(now)?;
            self.wanted.clear();
            for output in self.outputs.iter_mut().filter(|output| output.coding().is_some()) {
                match unshown {
                    None if output.takes(&frame) => {
                        output.variant.numbers.wanted();
                        self.wanted.push((output.variant.id, output.take_keyframe_wanted(now)));
                    }
                    Some(Unshown::Late) if output.would_take(&frame) => {
                        output.variant.numbers.missed(1, Missed::Late);
                    }
                    _ => {}
                }
            }
            let alone = self.track().is_none_or(|track| track.codec == Codec::Jpeg);
            if alone && self.wanted.is_empty() {
                self.intake.put_back();
                continue;
            }
            let next = number.wrapping_add(1);
            let count = self.wanted.len();
            let wanted = self.wanted.iter().copied();
            let head = FrameHead::new(next, micros(&frame), frame.key, wanted, frame.data.len());
            for output in &mut self.outputs {
                if self.wanted.iter().any(|(id, _)| *id == output.variant.id) {
                    output.expected.add(next);
                }
            }
            *number = next;
            let Some(head) = head else {
                // Longer than any message. What needs it cannot be decoded either.
                self.intake.put_back();
                self.gave_none_up_to(next, Missed::Damaged);
                let left_out = LeftOut { pictures: self.intake.leave_out(), wants_key: true };
                self.missed(&left_out);
                continue;
            };
            let data = frame.data.clone();
            self.shown.push_back(Shown { number: next, frame: Frame { data: Bytes::new(), ..frame } });
            if self.shown.len() > REMEMBERED
                && let Some(forgotten) = self.shown.pop_front()
            {
                self.gave_none_up_to(forgotten.number, Missed::Damaged);
            }
            return Some((next, count, Head::Frame(head), data));
        }
    }

    /// A picture that the worker has made. `Err` if it cannot have been.
    pub(in super::super) fn take_piece(&mut self, piece: &Piece, data: Bytes) -> Result<(), &'static str> {
        let shown = self.shown.iter().rev().find(|shown| shown.number == piece.number);
        let shown = shown.ok_or("a picture of a frame that it was not given")?;
        // One that ended while its picture was on the way is no more.
        if let Some(output) = self.outputs.iter_mut().find(|output| output.variant.id == piece.id) {
            output.publish(piece, data, shown, &self.tracks, Instant::now());
        }
        self.note_decoded();
        Ok(())
    }

    /// Why no picture is decoded, where that has to be told. Says so in the log once.
    pub(in super::super) fn why_undecoded(&mut self) -> Option<Arc<str>> {
        let (why, is_new) = self.undecoded.told(Instant::now()).filter(|_| self.is_decoding())?;
        let words = format!("no picture can be decoded: {why}");
        if is_new {
            tracing::warn!(camera = %self.shared.camera.name(), "{words}");
        }
        Some(words.into())
    }

    fn note_decoded(&mut self) {
        if self.undecoded.shown() {
            tracing::info!(camera = %self.shared.camera.name(), "pictures are decoded again");
        }
    }

    /// The worker has finished the picture of this number, which was wanted for so many outputs: what came of it, what
    /// decoding and the outputs took, and what is wrong with it in words, if something is.
    pub(in super::super) fn done(
        &mut self,
        number: u32,
        wanted: usize,
        outcome: Outcome,
        (decode, outputs): (Duration, Duration),
        words: &str,
    ) {
        match outcome {
            Outcome::Shown => self.note_decoded(),
            Outcome::Later | Outcome::Damaged | Outcome::NeedsKeyframe if words.is_empty() => {}
            _ => self.undecoded.failed(words, Instant::now()),
        }
        self.intake.done((wanted > 0).then_some(decode + outputs));
        let made = || self.outputs.iter().filter(|output| output.coding().is_some());
        made().for_each(|output| output.variant.numbers.decoded(decode));
        let why = match outcome {
            Outcome::Shown | Outcome::Later => return,
            Outcome::Damaged => Missed::Damaged,
            Outcome::NeedsKeyframe => Missed::NeedsKeyframe,
        };
        // What the decoder has kept back for its order is gone with it.
        self.gave_none_up_to(number, why);
        self.ask_keyframe();
    }

    /// The worker does not give the picture of this number any more, nor one before it.
    fn gave_none_up_to(&mut self, number: u32, why: Missed) {
        for output in &mut self.outputs {
            output.variant.numbers.missed(output.expected.none_up_to(number), why);
        }
    }

    /// The worker is gone, or there is none: the stream goes on at the next picture that stands for itself.
    pub(in super::super) fn lost(&mut self) {
        let left_out = self.intake.lose();
        self.is_new_to_worker = true;
        self.missed_all(&left_out, Missed::NoWorker);
        for output in &mut self.outputs {
            output.variant.numbers.missed(output.expected.none(), Missed::NoWorker);
        }
        if self.is_decoding() {
            self.ask_keyframe();
        }
    }
}
