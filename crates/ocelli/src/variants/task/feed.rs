//! From a camera's stream to its variants': what is read of it, and for which of them.
//!
//! | file | does |
//! |---|---|
//! | `outputs.rs` | which variants there are, and how their pictures come to be |
//! | `worker.rs` | what the worker is given, for whom, and where its pictures go |

mod outputs;
mod worker;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ocelli_codec::worker::protocol::OutputId;
use ocelli_hub::{Closed, Item, Subscriber, Want};
use ocelli_media::{Codec, Frame, Size, Track, Tracks, audio_track, video_track};
use tokio::time::Instant;

use super::super::intake::{Intake, LeftOut};
use super::super::orders::Shared;
use super::super::output::{Output, Shown, Way};
use super::super::undecoded::Undecoded;
use super::super::variant::Missed;

/// A camera is asked for a keyframe no more often.
const KEYFRAME_APART: Duration = Duration::from_secs(1);

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
    undecoded: Undecoded,
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
            undecoded: Undecoded::default(),
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

    /// Reads from the camera's last keyframe on.
    fn subscribe(&mut self) {
        self.input = Some(self.shared.camera.subscribe(Want::Live));
        self.is_backlog = true;
        self.restart();
    }

    /// The worker's decoder begins anew.
    fn restart(&mut self) {
        let alone = self.track().is_none_or(|track| track.codec == Codec::Jpeg);
        let left_out = self.intake.restart(alone);
        self.missed_all(&left_out, Missed::Late);
        self.undecoded = Undecoded::default();
        self.is_new_to_worker = true;
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
                let pictures = self.intake.leave_out();
                self.missed(&LeftOut { pictures, wants_key: true });
                for output in self.outputs.iter().filter(|output| output.coding().is_some()) {
                    output.variant.numbers.missed(frames, Missed::Late);
                }
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
            self.missed(&left_out);
        }
    }

    fn missed_by(&self, why: Missed, who: impl Fn(&Output) -> bool) {
        for output in self.outputs.iter().filter(|output| output.coding().is_some() && who(output)) {
            output.variant.numbers.missed(1, why);
        }
    }

    fn missed_all(&self, frames: &[Frame], why: Missed) {
        for output in self.outputs.iter().filter(|output| output.coding().is_some()) {
            output.variant.numbers.missed(output.would_take_of(frames), why);
        }
    }

    fn take_sound(&mut self, frame: &Frame) {
        for output in &mut self.outputs {
            match output.way {
                Way::Own => output.pass(frame.clone(), &self.tracks),
                Way::Made(_) => output.pass_sound(frame.clone()),
                Way::Unknown | Way::Nothing => {}
            }
        }
    }

    /// Pictures that the variants will not show, because they came too fast.
    fn missed(&mut self, left_out: &LeftOut) {
        self.missed_all(&left_out.pictures, Missed::Late);
        if left_out.wants_key {
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
