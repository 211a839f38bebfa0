//! From a camera's stream to its variants': what is read of it, what of that the worker is given and for whom, and where its
//! pictures go.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ocelli_codec::worker::protocol::{Coding, FrameHead, Input, Outcome, OutputId, Piece, Request};
use ocelli_hub::{Closed, Item, Subscriber, Want};
use ocelli_media::{Codec, Frame, Size, Track, Tracks, audio_track, video_track};
use tokio::time::Instant;

use super::super::Unshaped;
use super::super::intake::{Intake, LeftOut, Taken, Unshown};
use super::super::orders::{Shared, no_decoder};
use super::super::output::{Output, Shown, Way, micros};
use super::super::variant::{Missed, Variant};
use crate::transcode::Head;

/// How many frames that the worker was given are remembered: more than any decoder keeps before it shows them.
const REMEMBERED: usize = 96;
/// How often it is looked whether there is a place for what had none, for those who hold it all the same, as a push does.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// A camera is asked for a keyframe no more often.
const KEYFRAME_APART: Duration = Duration::from_secs(1);

/// A picture for the worker: its number, for how many outputs it is wanted, and the message.
type Given = (u32, usize, Head, Bytes);

pub(super) struct Feed {
    shared: Arc<Shared>,
    pub(super) outputs: Vec<Output>,
    /// What is read of the camera, while somebody wants something of it.
    pub(super) input: Option<Subscriber>,
    /// What is read was there before.
    is_backlog: bool,
    tracks: Arc<Tracks>,
    intake: Intake,
    /// The worker has to be told what comes and what is wanted of it.
    is_new_to_worker: bool,
    /// Those of which it has to be told.
    unknown: Vec<OutputId>,
    shown: VecDeque<Shown>,
    /// For whom the picture that is given is wanted: kept so that giving one allocates nothing.
    wanted: Vec<(OutputId, bool)>,
    keyframe_asked: Option<Instant>,
    tried_again: Option<Instant>,
    /// There is no worker and it is too early to try another: a keyframe would be for nobody.
    pub(super) lacks_worker: bool,
}

impl Feed {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            outputs: Vec::new(),
            input: None,
            is_backlog: false,
            tracks: Arc::default(),
            intake: Intake::new(shared.rules.max_latency),
            is_new_to_worker: true,
            unknown: Vec::new(),
            shown: VecDeque::new(),
            wanted: Vec::new(),
            keyframe_asked: None,
            tried_again: None,
            lacks_worker: false,
            shared,
        }
    }

    /// The pictures of the camera, where they are known.
    fn track(&self) -> Option<&Track> {
        video_track(&self.tracks)
    }

    /// The size of the camera's pictures, where it is known.
    pub(super) fn camera_size(&self) -> Option<Size> {
        self.track().and_then(|track| track.size)
    }

    /// Some variant needs a worker.
    pub(super) fn is_decoding(&self) -> bool {
        self.outputs.iter().any(|output| output.coding().is_some())
    }

    /// Variants that somebody wants from here on.
    pub(super) fn begin(&mut self, begun: Vec<Arc<Variant>>) {
        for variant in begun {
            let Some(output) = Output::new(variant) else { continue };
            self.outputs.push(output);
            if self.input.is_none() {
                self.subscribe();
            }
            let was_decoding = self.is_decoding();
            self.decide(self.outputs.len() - 1);
            if self.is_decoding() && !was_decoding {
                self.restart();
            }
        }
    }

    /// A variant that nobody wants any more. Whether the worker knows of it.
    pub(super) fn end(&mut self, id: OutputId) -> bool {
        let Some(at) = self.outputs.iter().position(|output| output.variant.id == id) else { return false };
        let output = self.outputs.swap_remove(at);
        self.unknown.retain(|unknown| *unknown != id);
        if self.outputs.is_empty() {
            self.input = None;
            self.tracks = Arc::default();
        }
        if !self.is_decoding() {
            self.intake.lose();
        }
        output.coding().is_some()
    }

    /// Reads from the camera's last keyframe on.
    fn subscribe(&mut self) {
        self.input = Some(self.shared.camera.subscribe(Want::Live));
        self.is_backlog = true;
        self.restart();
    }

    /// The worker's decoder begins anew.
    fn restart(&mut self) {
        let alone = self.track().is_none_or(|track| track.codec == Codec::Jpeg);
        self.intake.restart(alone);
        self.is_new_to_worker = true;
    }

    /// There is a new worker, which knows nothing.
    pub(super) fn introduce(&mut self) {
        self.is_new_to_worker = true;
    }

    /// What the worker has to be told before the next picture.
    pub(super) fn introductions(&mut self) -> Vec<Vec<u8>> {
        let Some(input) = self.track().and_then(|track| Input::of_codec(track.codec)) else {
            return Vec::new();
        };
        let mut said = Vec::new();
        if self.is_new_to_worker && self.is_decoding() {
            if !self.shared.orders().may_decode(input) {
                self.refuse_made(&no_decoder(input));
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

    fn asks(&self, output: &Output, coding: Coding) -> ocelli_codec::worker::protocol::Output {
        let (asked, lowered) = output.asked(coding);
        let fps = lowered.map_or(output.variant.shape.fps, |lowered| lowered.fps);
        let measured = (self.shared.camera.stats().rate.frames_per_second * 1000.0) as u32;
        let rate_mhz = match fps {
            Some(fps) if measured == 0 => fps.millihertz(),
            Some(fps) => fps.millihertz().min(measured),
            None => measured,
        };
        ocelli_codec::worker::protocol::Output { rate_mhz, ..asked }
    }

    /// Lowers variants that are too much for more than half of their viewers, and raises them again.
    pub(super) fn adapt(&mut self) {
        let (Some(bounds), Some(size)) = (self.shared.rules.lowest, self.camera_size()) else { return };
        let fps = self.shared.camera.stats().rate.frames_per_second;
        let now = Instant::now();
        for output in &mut self.outputs {
            if output.adapt(bounds, size, fps, now) {
                self.unknown.push(output.variant.id);
            }
        }
    }

    /// Tries again to make what had no place.
    pub(super) fn try_again(&mut self) {
        let now = Instant::now();
        if self.tried_again.is_some_and(|tried| now.duration_since(tried) < TRY_AGAIN) {
            return;
        }
        self.tried_again = Some(now);
        for at in 0..self.outputs.len() {
            if self.outputs[at].way == Way::Placeless {
                self.decide(at);
            }
        }
    }

    /// Settles how the pictures of an output come to be, as far as that is known.
    fn decide(&mut self, at: usize) {
        let Some(track) = self.track().cloned() else { return };
        let output = &mut self.outputs[at];
        let before = output.way;
        output.way = output.way_from(&track);
        let variant = output.variant.clone();
        match output.way {
            Way::Own => variant.numbers.path("the camera's own pictures".to_owned()),
            Way::Made(_) => {
                if let Err(why) = self.take_place(&variant, &track) {
                    self.refuse(at, &why.to_string());
                    self.outputs[at].way = Way::Placeless;
                    return;
                }
                if before == Way::Placeless {
                    variant.numbers.note(None);
                }
                self.unknown.push(variant.id);
            }
            Way::Nothing => self.refuse(at, "nothing here encodes that"),
            Way::Unknown | Way::Placeless => {}
        }
        if matches!(before, Way::Made(_)) && self.outputs[at].coding().is_none() {
            // The worker is to end it.
            self.unknown.push(variant.id);
            self.leave_place(&variant);
            if !self.is_decoding() {
                self.intake.lose();
            }
        }
    }

    /// Takes a place for a variant that turns out to need one.
    fn take_place(&self, variant: &Variant, track: &Track) -> Result<(), Unshaped> {
        let mut place = variant.place.lock().unwrap_or_else(PoisonError::into_inner);
        let mut orders = self.shared.orders();
        // Whom nobody holds any more has given his back, and is about to end.
        if place.is_none() && orders.is_living(variant.id) {
            *place = Some(self.shared.place_for(&orders, variant.id, &variant.shape.of(track), track)?);
            orders.lives(variant.id, true);
        }
        Ok(())
    }

    /// Gives the place of a variant back that needs none any more.
    fn leave_place(&self, variant: &Variant) {
        let mut place = variant.place.lock().unwrap_or_else(PoisonError::into_inner);
        let mut orders = self.shared.orders();
        if place.take().is_some() && orders.is_living(variant.id) {
            orders.lives(variant.id, false);
        }
    }

    /// An output that cannot be made: its viewers are sent away, and the next who asks is told why.
    pub(super) fn refuse(&mut self, at: usize, why: &str) {
        self.leave_place(&self.outputs[at].variant);
        let output = &mut self.outputs[at];
        let (camera, shape) = (self.shared.camera.name(), &output.variant.shape);
        if output.variant.numbers.note(Some(why.to_owned())) {
            tracing::warn!(%camera, "there is no variant `{shape}`: {why}");
        }
        output.way = Way::Nothing;
        output.publisher.send_away();
    }

    /// Refuses all that the worker would make.
    fn refuse_made(&mut self, why: &str) {
        for at in 0..self.outputs.len() {
            if self.outputs[at].coding().is_some() {
                self.refuse(at, why);
            }
        }
        self.intake.lose();
    }

    /// Takes all that is there.
    pub(super) fn read_all(&mut self) {
        while let Some(input) = &mut self.input {
            match input.try_next() {
                Ok(Some(item)) => self.take(Ok(item)),
                Ok(None) => break,
                Err(closed) => {
                    self.take(Err(closed));
                    break;
                }
            }
        }
        self.is_backlog = false;
    }

    /// Something of the camera.
    pub(super) fn take(&mut self, item: Result<Item, Closed>) {
        match item {
            Ok(Item::Tracks(tracks)) => self.set_tracks(tracks),
            Ok(Item::Frame(frame)) if frame.is_picture() => self.take_picture(frame),
            Ok(Item::Frame(frame)) => self.take_sound(&frame),
            // Those of variants are drawn in their own sizes.
            Ok(Item::Notice(_)) => {}
            Ok(Item::Lost { frames }) => {
                let left_out = LeftOut { pictures: frames + self.intake.lose(), wants_key: true };
                self.missed(left_out);
            }
            // The camera sends its viewers away.
            Err(Closed) => {
                self.outputs.iter_mut().for_each(|output| output.publisher.send_away());
                self.subscribe();
            }
        }
    }

    fn set_tracks(&mut self, tracks: Arc<Tracks>) {
        let codec = |tracks: &Tracks| video_track(tracks).map(|track| track.codec);
        let same = |a: &Tracks, b: &Tracks| {
            let of = |tracks: &Tracks| video_track(tracks).map(|track| (track.codec, track.size));
            of(a) == of(b)
        };
        let (is_same, is_same_codec) = (same(&self.tracks, &tracks), codec(&self.tracks) == codec(&tracks));
        self.tracks = tracks;
        if let Some(input) = &mut self.input {
            // Of pictures that stand for themselves the newest is enough, and sound is to be whole.
            let newest = codec(&self.tracks) == Some(Codec::Jpeg) && audio_track(&self.tracks).is_none();
            input.set_want(if newest { Want::Latest } else { Want::Live });
        }
        if !is_same_codec {
            self.restart();
        }
        if !is_same {
            (0..self.outputs.len()).for_each(|at| self.decide(at));
        }
    }

    fn take_picture(&mut self, frame: Frame) {
        let tracks = self.tracks.clone();
        for output in self.outputs.iter_mut().filter(|output| output.way == Way::Own) {
            if output.takes(&frame) {
                output.pass(frame.clone(), &tracks);
            }
        }
        if !self.is_decoding() {
            return;
        }
        if self.intake.lacks_key(&frame) {
            self.missed_by(Missed::NeedsKeyframe, |output| output.would_take(&frame));
            self.ask_keyframe();
            return;
        }
        if let Some(replaced) = self.intake.replaced() {
            self.missed_by(Missed::Late, |output| output.would_take(replaced));
            self.intake.push(frame, Instant::now(), false);
        } else {
            let left_out = self.intake.push(frame, Instant::now(), self.is_backlog);
            self.missed(left_out);
        }
    }

    fn missed_by(&self, why: Missed, who: impl Fn(&Output) -> bool) {
        for output in self.outputs.iter().filter(|output| output.coding().is_some() && who(output)) {
            output.variant.numbers.missed(1, why);
        }
    }

    fn take_sound(&mut self, frame: &Frame) {
        for output in &mut self.outputs {
            match output.way {
                Way::Own => output.pass(frame.clone(), &self.tracks),
                Way::Made(_) => output.pass_sound(frame.clone()),
                Way::Unknown | Way::Placeless | Way::Nothing => {}
            }
        }
    }

    /// Pictures that the variants will not show, because they came too fast.
    fn missed(&mut self, left_out: LeftOut) {
        if left_out.pictures > 0 {
            for output in self.outputs.iter().filter(|output| output.coding().is_some()) {
                output.variant.numbers.missed(left_out.pictures, Missed::Late);
            }
        }
        if left_out.wants_key {
            self.ask_keyframe();
        }
    }

    /// The next picture for the worker, if it is to be given one now.
    pub(super) fn next(&mut self, number: &mut u32) -> Option<Given> {
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
            let Some(head) = head else {
                // Longer than any message. What needs it cannot be decoded either.
                self.intake.put_back();
                self.intake.lose();
                continue;
            };
            *number = next;
            let data = frame.data.clone();
            self.shown.push_back(Shown { number: next, frame: Frame { data: Bytes::new(), ..frame } });
            if self.shown.len() > REMEMBERED {
                self.shown.pop_front();
            }
            return Some((next, count, Head::Frame(head), data));
        }
    }

    /// A picture that the worker has made. `Err` if it cannot have been.
    pub(super) fn take_piece(&mut self, piece: &Piece, data: Bytes) -> Result<(), &'static str> {
        let shown = self.shown.iter().rev().find(|shown| shown.number == piece.number);
        let shown = shown.ok_or("a picture of a frame that it was not given")?;
        // One that ended while its picture was on the way is no more.
        if let Some(output) = self.outputs.iter_mut().find(|output| output.variant.id == piece.id) {
            output.publish(piece, data, shown, &self.tracks, Instant::now());
        }
        Ok(())
    }

    /// The worker has finished a picture that was wanted for so many outputs.
    pub(super) fn done(&mut self, wanted: usize, outcome: Outcome, decode: Duration, outputs: Duration) {
        self.intake.done((wanted > 0).then_some(decode + outputs));
        let made = || self.outputs.iter().filter(|output| output.coding().is_some());
        made().for_each(|output| output.variant.numbers.decoded(decode));
        if matches!(outcome, Outcome::Damaged | Outcome::NeedsKeyframe) {
            if wanted > 0 {
                made().for_each(|output| output.variant.numbers.missed(1, Missed::Damaged));
            }
            self.ask_keyframe();
        }
    }

    /// The worker is gone, or there is none: the stream goes on at the next picture that stands for itself.
    pub(super) fn lost(&mut self) {
        let left_out = self.intake.lose();
        self.is_new_to_worker = true;
        if left_out > 0 {
            for output in self.outputs.iter().filter(|output| output.coding().is_some()) {
                output.variant.numbers.missed(left_out, Missed::NoWorker);
            }
        }
        if self.is_decoding() {
            self.ask_keyframe();
        }
    }

    fn ask_keyframe(&mut self) {
        let now = Instant::now();
        let is_due = self.keyframe_asked.is_none_or(|asked| now.duration_since(asked) >= KEYFRAME_APART);
        let Some(input) = self.input.as_ref().filter(|_| is_due && !self.lacks_worker) else { return };
        if self.track().is_some_and(|track| track.codec != Codec::Jpeg) {
            self.keyframe_asked = Some(now);
            input.ask_keyframe();
        }
    }
}
