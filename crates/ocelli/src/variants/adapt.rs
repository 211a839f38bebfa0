//! How good a variant's pictures are, by what its viewers' networks take: first a lower quality, then smaller pictures, then
//! fewer, and back up the same way.
//!
//! All viewers of a variant see the same pictures, so one step is chosen for all of them. The rules:
//!
//! - **What a viewer misses** is the share of the pictures that its connection had no room for, or of the packets that it
//!   reports as lost; judged over 3 seconds and at least 10 pictures (or 10 seconds, where so few come), or over 100 packets.
//!   What it got in its first two seconds says nothing: its connection is still finding its pace.
//! - **More than half decide.** It is lowered while more than half of the viewers miss too much, and as far as leaves at most
//!   half of them with too little; raised where at least half of them take everything. So one slow viewer, of however few, takes
//!   nothing from the others: it skips pictures, or loses packets, and may ask for a smaller variant of its own.
//! - **Up to 3 %** missed is well, 5 % or more is too much: twice in a row, or once from 30 % on. In between all stays, and so it
//!   does for a radio link that stands still for a moment now and then.
//! - **The first time** it goes down one step only; if that was not enough, as many at once as make up for what is missed.
//! - **It is raised** by one step after 5 s of calm and two good judgements of half of the viewers. Within 10 s of that one
//!   judgement of 3.5 % already takes it back to the step before, which was known to be good.
//! - **What was lowered less than a minute after a raise** is not tried again soon: the wait doubles from 5 s to 2 minutes, and is
//!   5 s again once the step held for a minute, or those who could not take it are no longer more than half. Once raised, it
//!   has to hold for half that wait before the next better step is tried: buffers on the way can hide for long that it is too
//!   much. So behind a link of constant capacity there are at most two changes a minute in the long run.
//! - **What was seen before the last change** and a second or a round trip after it says nothing of the step, and is left out.
//!   Viewers who say nothing for 30 s are not counted: FFmpeg reports each 10 s, and a report may be lost.
//! - **Who is helped otherwise** is not counted either ([`Taken::Apart`]). While nobody else watches, all stays. Who has too
//!   much of it and cannot be helped by it is [left alone](Adaptation::leaves_alone), and may be helped otherwise from then on.
//! - **Loss that does not come from sending too much** lowers to the least too, from 5 % on: nobody can tell the two apart.
//!
//! It reads no clock: every time is an argument, counted from any fixed moment.

use std::collections::BTreeMap;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Widths that are stepped through, in pixels.
const WIDTHS: [u16; 12] = [160, 240, 320, 480, 640, 800, 960, 1280, 1600, 1920, 2560, 3840];
/// Rates that are stepped through, in pictures a second.
const RATES: [f64; 12] = [1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 60.0];
/// How far apart two qualities are.
const QUALITY_STEP: u8 = 10;
/// What one such step leaves of a picture's bytes, about.
const QUALITY_BYTES: f64 = 0.82;
/// Bytes grow with the width to this power, about: less than the area does, as small pictures have more detail a pixel.
const WIDTH_BYTES: f64 = 1.7;
/// A step to a smaller size or rate that saves less than this part of the bytes is not worth being seen.
const WORTH_IT: f64 = 0.85;

/// What is missed without harm, and what is too much: at any time, just after a raise, and without a second look.
const GOOD: f64 = 0.03;
const BAD: f64 = 0.05;
const BAD_RAISED: f64 = 0.035;
const BAD_AT_ONCE: f64 = 0.3;
/// What may be missed by chance must not look like more, up to so many standard deviations of it.
const CHANCE: f64 = 0.02;
const DEVIATIONS: f64 = 3.0;
/// What one judgement is about.
const WINDOW: Duration = Duration::from_secs(3);
const LONGEST_WINDOW: Duration = Duration::from_secs(10);
const LEAST_PICTURES: u32 = 10;
const LEAST_PACKETS: u32 = 100;
/// Judgements in a row that lower, and that raise.
const BAD_TO_LOWER: u32 = 2;
const GOOD_TO_RAISE: u32 = 2;
/// The shortest and the longest wait before a raise.
const SHORTEST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// How long a raise is on trial, and when it is trusted.
const HOLDS: Duration = Duration::from_secs(10);
const TRUSTED: Duration = Duration::from_secs(60);
/// Until a change is seen in what a viewer takes, at least; and until a new viewer's connection has its pace.
const SETTLES: Duration = Duration::from_secs(1);
const JOINS: Duration = Duration::from_secs(2);
/// A viewer that has said nothing for so long is not counted.
const SILENT: Duration = Duration::from_secs(30);
/// A measured rate that differs by less is the same rate.
const SAME_RATE: f64 = 0.1;

/// How far down it may go. What is above what the variant gives anyway leaves that as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The least JPEG quality, 1 to 100.
    pub quality_min: u8,
    /// The least width in pixels.
    pub width_min: u16,
    /// The fewest pictures a second.
    pub fps_min: f64,
}

/// What the variant gives when nothing is lowered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Top {
    /// JPEG quality, 1 to 100. For a codec with a bit rate, any: the steps down to `quality_min` are steps of
    /// [`Step::bytes`].
    pub quality: u8,
    /// In pixels.
    pub width: u16,
    /// Pictures a second; 0 while nobody knows, which leaves the rate alone.
    pub fps: f64,
}

/// What the variant is to give.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// JPEG quality, 1 to 100.
    pub quality: u8,
    /// In pixels.
    pub width: u16,
    /// Pictures a second at most; `None`: as many as there are.
    pub fps: Option<f64>,
    /// What is left of the bytes, about, above 0 and up to 1. An encoder with a bit rate gets this part of it.
    pub bytes: f64,
}

/// What one viewer took of the pictures since it was looked at last.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Who; no other has this number.
    pub viewer: u64,
    /// The beginning of the time that it tells of.
    pub since: Duration,
    /// What came through.
    pub taken: Taken,
}

/// What came through to a viewer, in the unit that is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Pictures that its connection took, and that it had no room for. Of a viewer whose connection took nothing, all that
    /// there were count as skipped. Both 0 where there were none.
    Pictures {
        /// Written whole.
        sent: u32,
        /// Passed over.
        skipped: u32,
    },
    /// Packets, as a receiver reports them by RTCP (RFC 3550, 6.4.1). Both 0 while no new report came.
    Packets {
        /// That it should have got.
        expected: u32,
        /// Of those, that did not come.
        lost: u32,
        /// To it and back, where it is known.
        round_trip: Option<Duration>,
    },
    /// It is given less of the variant for itself alone, or wants nothing for now, so what comes through says nothing of the variant.
    Apart,
}

/// Why less is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cause {
    /// Viewers to whom too much did not come through when it was lowered last.
    pub viewers: usize,
    /// Of so many.
    pub of: usize,
    /// The part of it that more than half of all lacked at least, 0 to 1.
    pub missed: f64,
}

/// Decides for one variant.
#[derive(Clone, Debug)]
pub struct Adaptation {
    bounds: Bounds,
    top: Top,
    /// All steps, the best first; never empty.
    steps: Vec<Step>,
    /// Index of the step that is given.
    level: usize,
    /// When the step was last changed, and when last up.
    changed: Duration,
    raised: Option<Duration>,
    /// It was lowered, and since then no majority took everything.
    still_bad: bool,
    /// When the step was last changed or too little came through to more than half.
    calm_since: Duration,
    failure: Option<Failure>,
    /// Why it was lowered last.
    cause: Option<Cause>,
    /// The wait before a step is tried again that did not hold.
    wait: Duration,
    /// Calls of [`period`](Self::period).
    periods: u64,
    viewers: BTreeMap<u64, Viewer>,
}

/// A raise that was taken back.
#[derive(Clone, Debug)]
struct Failure {
    /// The step that did not hold.
    level: usize,
    /// Those who could not take it.
    viewers: Vec<u64>,
}

/// What is known of a viewer at this step.
#[derive(Clone, Copy, Debug)]
struct Viewer {
    came: Duration,
    heard: Duration,
    /// The last period in which it was there.
    present: u64,
    /// It is helped otherwise.
    apart: bool,
    /// What is not judged yet.
    window: Option<Window>,
    /// The share that it missed in the last judgement, 0 to 1.
    missed: f64,
    /// Judgements in a row.
    bad: u32,
    good: u32,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Duration,
    offered: u32,
    missed: u32,
}

impl Adaptation {
    /// One that lowers nothing yet.
    pub fn new(bounds: Bounds, top: Top) -> Self {
        Self {
            bounds,
            top,
            steps: ladder(bounds, top),
            level: 0,
            changed: Duration::ZERO,
            raised: None,
            still_bad: false,
            calm_since: Duration::ZERO,
            failure: None,
            cause: None,
            wait: SHORTEST_WAIT,
            periods: 0,
            viewers: BTreeMap::new(),
        }
    }

    /// What is to be given.
    pub fn step(&self) -> Step {
        self.steps[self.level]
    }

    /// Whether anything is lowered.
    pub fn is_lowered(&self) -> bool {
        self.level > 0
    }

    /// Why it is lowered, while it is.
    pub fn cause(&self) -> Option<Cause> {
        self.cause.filter(|_| self.is_lowered())
    }

    /// Whether too much does not come through to `viewer` and nothing is done about it here: the step is the last one, or the others
    /// take all of it. Who might still come to be of the majority is not left alone before his third judgement.
    pub fn leaves_alone(&self, viewer: u64) -> bool {
        let patience = if self.level + 1 == self.steps.len() { BAD_TO_LOWER } else { BAD_TO_LOWER + 1 };
        let known = self.viewers.get(&viewer);
        known.is_some_and(|viewer| viewer.bad >= patience && viewer.misses_too_much(false))
    }

    /// The camera's pictures are of another size, or come at another rate. Whether [`step`](Self::step) is another.
    pub fn set_top(&mut self, top: Top) -> bool {
        let same_rate = (top.fps - self.top.fps).abs() <= self.top.fps * SAME_RATE;
        if (top.quality, top.width) == (self.top.quality, self.top.width) && same_rate {
            return false;
        }
        let before = self.step();
        self.top = top;
        self.steps = ladder(self.bounds, top);
        self.level = self.level.min(self.steps.len() - 1);
        before != self.step()
    }

    /// Is told what everybody who watches took, once a second or so while there are pictures; who is not among `samples`
    /// has left. Whether [`step`](Self::step) is another.
    pub fn period(&mut self, now: Duration, samples: &[Sample]) -> bool {
        self.periods += 1;
        for sample in samples {
            self.take(now, sample);
        }
        let period = self.periods;
        self.viewers
            .retain(|_, viewer| viewer.present == period && now.saturating_sub(viewer.heard) < SILENT);
        self.forgive(now);
        let on_trial = self.raised == Some(self.changed) && now.saturating_sub(self.changed) < HOLDS;
        let count = |of: &dyn Fn(&Viewer) -> bool| {
            self.viewers.values().filter(|viewer| !viewer.apart && of(viewer)).count()
        };
        let bad = count(&|viewer| viewer.misses_too_much(on_trial));
        let well = count(&|viewer| viewer.good >= 1);
        let calm = count(&|viewer| viewer.good >= GOOD_TO_RAISE);
        let all = count(&|_| true);
        if all == 0 && !self.viewers.is_empty() {
            self.calm_since = now;
            return false;
        }
        self.still_bad &= well * 2 < all;
        if bad * 2 > all {
            self.calm_since = now;
            let missed = 1.0 - self.share_for_half();
            let lowers = self.lower(now, on_trial);
            if lowers {
                self.cause = Some(Cause { viewers: bad, of: all, missed });
            }
            return lowers;
        }
        if calm * 2 >= all && self.level > 0 && now.saturating_sub(self.calm_since) >= self.wait_here() {
            self.move_to(self.level - 1, now);
            return true;
        }
        false
    }

    fn take(&mut self, now: Duration, sample: &Sample) {
        let viewer = self.viewers.entry(sample.viewer).or_insert_with(|| Viewer::new(sample.since, now));
        viewer.present = self.periods;
        let (offered, missed, enough, delay) = match sample.taken {
            Taken::Pictures { sent, skipped } => {
                (sent.saturating_add(skipped), skipped, LEAST_PICTURES, SETTLES)
            }
            Taken::Packets { expected, lost, round_trip } => {
                (expected, lost.min(expected), LEAST_PACKETS, round_trip.unwrap_or_default().max(SETTLES))
            }
            Taken::Apart => {
                *viewer = Viewer { present: viewer.present, apart: true, ..Viewer::new(viewer.came, now) };
                return;
            }
        };
        if std::mem::take(&mut viewer.apart) {
            // As one that has just come.
            (viewer.came, viewer.heard) = (sample.since, now);
        }
        if offered == 0 {
            return;
        }
        viewer.heard = now;
        let of_before = self.changed > Duration::ZERO && sample.since < self.changed.saturating_add(delay);
        if of_before || sample.since < viewer.came.saturating_add(JOINS) {
            return;
        }
        let window = viewer.window.get_or_insert(Window { since: sample.since, offered: 0, missed: 0 });
        window.offered = window.offered.saturating_add(offered);
        window.missed = window.missed.saturating_add(missed);
        let long = now.saturating_sub(window.since);
        if long >= WINDOW && window.offered >= enough || long >= LONGEST_WINDOW {
            let window = *window;
            viewer.judge(window);
        }
    }

    /// Forgets that a step failed, where that says nothing any more.
    fn forgive(&mut self, now: Duration) {
        let held = now.saturating_sub(self.changed);
        let Some(failure) = &self.failure else {
            if held >= TRUSTED {
                self.wait = SHORTEST_WAIT;
            }
            return;
        };
        let counted = |viewer: &&Viewer| !viewer.apart;
        let there = failure.viewers.iter().filter_map(|viewer| self.viewers.get(viewer));
        let (still_there, all) =
            (there.filter(counted).count(), self.viewers.values().filter(counted).count());
        if still_there * 2 <= all && all > 0 {
            self.failure = None;
            self.wait = SHORTEST_WAIT;
        } else if self.level <= failure.level && held >= HOLDS.max(self.wait / 2) {
            self.failure = None;
        }
    }

    /// How long it has to be calm at this step before the next better one is tried.
    fn wait_here(&self) -> Duration {
        let tried = self.failure.as_ref().is_some_and(|failure| self.level <= failure.level + 1);
        if tried { self.wait } else { SHORTEST_WAIT }
    }

    /// Whether there was a step to go down.
    fn lower(&mut self, now: Duration, on_trial: bool) -> bool {
        let last = self.steps.len() - 1;
        if self.level == last {
            return false;
        }
        let mut to = self.level + 1;
        if self.raised.is_some_and(|raised| now.saturating_sub(raised) < TRUSTED) {
            let failed =
                |(number, viewer): (&u64, &Viewer)| viewer.misses_too_much(on_trial).then_some(*number);
            let viewers = self.viewers.iter().filter_map(failed).collect();
            self.failure = Some(Failure { level: self.level, viewers });
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
        }
        if self.still_bad {
            let enough = self.step().bytes * self.share_for_half();
            while to < last && self.steps[to].bytes > enough {
                to += 1;
            }
        }
        self.move_to(to, now);
        self.still_bad = true;
        true
    }

    /// What must be left, of what is given, so that at most half of the viewers still miss something; 0 to 1.
    fn share_for_half(&self) -> f64 {
        let counted = self.viewers.values().filter(|viewer| !viewer.apart);
        let mut shares: Vec<f64> = counted.map(|viewer| 1.0 - viewer.missed).collect();
        shares.sort_unstable_by(f64::total_cmp);
        shares.get(shares.len() / 2).copied().unwrap_or(1.0)
    }

    fn move_to(&mut self, level: usize, now: Duration) {
        if level < self.level {
            self.raised = Some(now);
        }
        (self.level, self.changed, self.calm_since) = (level, now, now);
        for viewer in self.viewers.values_mut() {
            *viewer = Viewer {
                came: viewer.came,
                present: viewer.present,
                apart: viewer.apart,
                ..Viewer::new(viewer.came, viewer.heard)
            };
        }
    }
}

impl Viewer {
    fn new(came: Duration, heard: Duration) -> Self {
        Self { came, heard, present: 0, apart: false, window: None, missed: 0.0, bad: 0, good: 0 }
    }

    fn judge(&mut self, window: Window) {
        self.window = None;
        self.missed = f64::from(window.missed) / f64::from(window.offered.max(1));
        let by_chance = f64::from(window.offered) * CHANCE;
        let no_chance = f64::from(window.missed) >= by_chance + DEVIATIONS * by_chance.sqrt();
        let bad = self.missed >= BAD_RAISED && no_chance;
        self.bad = if bad { self.bad.saturating_add(1) } else { 0 };
        self.good = if self.missed <= GOOD { self.good.saturating_add(1) } else { 0 };
    }

    /// `on_trial`: the step was just raised.
    fn misses_too_much(&self, on_trial: bool) -> bool {
        if on_trial {
            return self.bad >= 1;
        }
        self.bad >= BAD_TO_LOWER && self.missed >= BAD || self.bad >= 1 && self.missed >= BAD_AT_ONCE
    }
}

/// All steps from `top` down: the quality, then the width, then the rate.
fn ladder(bounds: Bounds, top: Top) -> Vec<Step> {
    let mut step = Step { quality: top.quality, width: top.width, fps: None, bytes: 1.0 };
    let mut steps = vec![step];
    while step.quality > bounds.quality_min {
        let quality = step.quality.saturating_sub(QUALITY_STEP).max(bounds.quality_min);
        let part = f64::from(step.quality - quality) / f64::from(QUALITY_STEP);
        step = Step { quality, bytes: step.bytes * QUALITY_BYTES.powf(part), ..step };
        steps.push(step);
    }
    for width in WIDTHS.into_iter().rev().filter(|width| *width >= bounds.width_min) {
        let part = (f64::from(width) / f64::from(step.width.max(1))).powf(WIDTH_BYTES);
        if part <= WORTH_IT {
            step = Step { width, bytes: step.bytes * part, ..step };
            steps.push(step);
        }
    }
    for fps in RATES.into_iter().rev().filter(|fps| *fps >= bounds.fps_min) {
        let part = fps / step.fps.unwrap_or(top.fps);
        if part <= WORTH_IT {
            step = Step { fps: Some(fps), bytes: step.bytes * part, ..step };
            steps.push(step);
        }
    }
    steps
}
