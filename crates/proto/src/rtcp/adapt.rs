//! How much of a stream is sent, by what its receivers say they lost: first fewer pictures, then a lower quality.
//!
//! It is for streams whose pictures are each whole in themselves (JPEG), so that any may be left out.
//!
//! The rules, all of them about the loss that one receiver reports of at least 400 packets or 3 seconds:
//!
//! - **Up to 3 %** is what a radio link or a poor cable loses whatever is sent; it never lowers anything. Twice this in a row,
//!   with nothing worse for 5 s, raises by one step.
//! - **5 % or more** lowers by one step, if it is more than chance makes of 2 %; if the same receiver says so again of the time
//!   since, by as many steps as make up for its loss. In between, all stays.
//! - **After a raise** 3.5 % is already too much: back to the step before, which was known to be good.
//! - **What was lowered less than a minute after a raise is not tried again soon**: the wait doubles from 5 s to 2 minutes, and is
//!   5 s again once the step held for a minute. So behind a bottleneck there are at most two changes a minute in the long run.
//! - **Reports of time before the last change** and one round trip say nothing of it, and are left out. A report that does not
//!   come says nothing either; nor does a receiver that is gone. Where nobody reports any more, it rises as if all were well.
//! - **The worst receiver decides**, and is believed as far as [`SenderSession`](super::SenderSession) believes it; the least
//!   rate and the least quality are what a liar can reach.
//!
//! Loss of more than 5 % that does not come from sending too much lowers to the least too: nobody can tell the two apart from
//! one stream.

use std::time::Duration;

use super::Report;

/// Parts of the camera's pictures, of which those are used that leave enough.
const FRACTIONS: [Fraction; 11] = [
    Fraction { send: 1, of: 1 },
    Fraction { send: 3, of: 4 },
    Fraction { send: 1, of: 2 },
    Fraction { send: 1, of: 3 },
    Fraction { send: 1, of: 4 },
    Fraction { send: 1, of: 6 },
    Fraction { send: 1, of: 8 },
    Fraction { send: 1, of: 12 },
    Fraction { send: 1, of: 16 },
    Fraction { send: 1, of: 24 },
    Fraction { send: 1, of: 32 },
];
/// The best quality that re-encoding gives; the steps below are this far apart.
const BEST_QUALITY: u8 = 70;
const QUALITY_STEP: u8 = 10;
/// What one such step leaves of a JPEG's bytes, about.
const QUALITY_BYTES: f64 = 0.82;

/// Loss that nothing is done about.
const GOOD: f64 = 0.03;
/// Loss that lowers, and that lowers after a raise.
const BAD: f64 = 0.05;
const BAD_RAISED: f64 = 0.035;
/// The loss by chance that must not look like more, and how many standard deviations of it are none.
const CHANCE: f64 = 0.02;
const DEVIATIONS: f64 = 4.0;
const DEVIATIONS_RAISED: f64 = 3.0;
/// How much one judgement is about: so many packets, or so long and a few.
const PACKETS: u32 = 400;
const LEAST_PACKETS: u32 = 20;
const LONGEST: Duration = Duration::from_secs(3);
/// Good judgements that a raise takes.
const GOOD_TO_RAISE: u32 = 2;
/// The shortest and the longest wait before a raise.
const SHORTEST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// A step that failed once has to hold this long for the next to be tried, and this long to be trusted.
const HOLDS: Duration = Duration::from_secs(10);
const TRUSTED: Duration = Duration::from_secs(60);
/// Taken for a round trip that is not known.
const ROUND_TRIP: Duration = Duration::from_millis(200);
/// A measured rate may be this much under a round number.
const RATE_TOLERANCE: f64 = 1.02;
/// Receivers that are judged at a time; the one heard least recently makes room.
const MOST_RECEIVERS: usize = 64;

/// How far it may go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Pictures a second that are left at least, above 0. A camera that gives fewer is sent whole.
    pub min_fps: f64,
    /// The least JPEG quality, 1 to 100; `None` leaves the quality alone.
    pub min_quality: Option<u8>,
}

/// A part of the pictures: the first of two numbers out of the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// Pictures that are sent.
    pub send: u32,
    /// Of so many.
    pub of: u32,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The part of the camera's pictures.
    pub fraction: Fraction,
    /// The quality to encode them in; `None`: as they are.
    pub quality: Option<u8>,
}

/// Leaves out pictures, evenly.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gate {
    sum: u32,
}

/// Decides what is sent to one target.
#[derive(Clone, Debug)]
pub struct Adaptation {
    bounds: Bounds,
    camera_fps: f64,
    /// Index in [`FRACTIONS`].
    rate: usize,
    /// Steps of quality that were gone down; the first of them at the least rate.
    quality: usize,
    /// When the step was last changed, and whether up.
    changed: Duration,
    up: bool,
    /// When the step was last changed or the loss last too much.
    calm_since: Duration,
    /// Steps from the top to the one that did not hold.
    failed: Option<usize>,
    /// The wait before that one is tried again.
    wait: Duration,
    /// The receiver whose loss lowered last, until it reports less.
    lowered_by: Option<u32>,
    /// The loss that was last too much, 0 to 1.
    bad_loss: f64,
    /// Good judgements since it is calm.
    good: u32,
    windows: Vec<Window>,
}

/// What one receiver has reported since the last judgement.
#[derive(Clone, Copy, Debug)]
struct Window {
    receiver: u32,
    since: Duration,
    heard: Duration,
    expected: u32,
    lost: u32,
}

impl Fraction {
    /// From 0 to 1.
    pub fn part(self) -> f64 {
        f64::from(self.send) / f64::from(self.of.max(1))
    }
}

impl Gate {
    /// Whether the next picture is sent.
    pub fn passes(&mut self, fraction: Fraction) -> bool {
        self.sum += fraction.send;
        let passes = self.sum >= fraction.of;
        if passes {
            self.sum = (self.sum - fraction.of).min(fraction.of);
        }
        passes
    }
}

impl Window {
    fn loss(&self) -> f64 {
        f64::from(self.lost) / f64::from(self.expected.max(1))
    }

    fn is_full(&self) -> bool {
        self.expected >= PACKETS
            || self.expected >= LEAST_PACKETS && self.heard.saturating_sub(self.since) >= LONGEST
    }

    /// Whether the loss is at least `least`, and no chance.
    fn exceeds(&self, least: f64, deviations: f64) -> bool {
        let by_chance = f64::from(self.expected) * CHANCE;
        self.loss() >= least && f64::from(self.lost) >= by_chance + deviations * by_chance.sqrt()
    }
}

impl Adaptation {
    /// One that sends everything. The rate is not lowered before [`poll`](Self::poll) has told the camera's.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            camera_fps: 0.0,
            rate: 0,
            quality: 0,
            changed: Duration::ZERO,
            up: false,
            calm_since: Duration::ZERO,
            failed: None,
            wait: SHORTEST_WAIT,
            lowered_by: None,
            bad_loss: 0.0,
            good: 0,
            windows: Vec::new(),
        }
    }

    /// The part of the packets that the receiver had lost by whose reports the step was last lowered, 0 to 1.
    pub fn bad_loss(&self) -> f64 {
        self.bad_loss
    }

    /// What is to be sent.
    pub fn step(&self) -> Step {
        let quality = self.bounds.min_quality.filter(|_| self.quality > 0).map(|least| {
            let below = QUALITY_STEP.saturating_mul((self.quality - 1).min(25) as u8);
            BEST_QUALITY.saturating_sub(below).max(least)
        });
        Step { fraction: FRACTIONS[self.rate], quality }
    }

    /// Takes a report that came at `now`. Whether [`step`](Self::step) is another.
    pub fn report(&mut self, now: Duration, report: &Report) -> bool {
        if report.since < self.changed.saturating_add(report.round_trip.unwrap_or(ROUND_TRIP)) {
            return false;
        }
        let before = self.step();
        if let Some(window) = self.collect(now, report) {
            self.judge(now, &window);
        }
        before != self.step()
    }

    /// Is told the camera's measured rate and how many receivers report, once a second or so. Whether [`step`](Self::step) is
    /// another.
    pub fn poll(&mut self, now: Duration, camera_fps: f64, receivers: u32) -> bool {
        let before = self.step();
        self.camera_fps = camera_fps;
        self.rate = self.rate.min(self.least_rate());
        let held = now.saturating_sub(self.changed);
        let well = self.good >= GOOD_TO_RAISE || receivers == 0;
        if held >= HOLDS && well && self.failed.is_some_and(|failed| self.level() <= failed) {
            self.failed = None;
        }
        if held >= TRUSTED && self.failed.is_none() {
            self.wait = SHORTEST_WAIT;
        }
        let tried_before = self.failed.is_some_and(|failed| self.level() <= failed + 1);
        let wait = if tried_before { self.wait } else { SHORTEST_WAIT };
        if self.level() > 0 && well && now.saturating_sub(self.calm_since) >= wait {
            self.raise();
            self.note_change(now, true);
        }
        before != self.step()
    }

    /// Adds a report to what its receiver said before; gives out what is enough to judge by.
    fn collect(&mut self, now: Duration, report: &Report) -> Option<Window> {
        let known = self.windows.iter().position(|window| window.receiver == report.receiver);
        let index = known.unwrap_or_else(|| {
            if self.windows.len() >= MOST_RECEIVERS {
                let oldest = (0..self.windows.len()).min_by_key(|index| self.windows[*index].heard);
                self.windows.swap_remove(oldest.unwrap_or(0));
            }
            self.windows.push(Window {
                receiver: report.receiver,
                since: report.since,
                heard: now,
                expected: 0,
                lost: 0,
            });
            self.windows.len() - 1
        });
        let window = &mut self.windows[index];
        window.heard = now;
        window.expected = window.expected.saturating_add(report.expected);
        window.lost = window.lost.saturating_add(report.lost);
        window.is_full().then(|| self.windows.swap_remove(index))
    }

    fn judge(&mut self, now: Duration, window: &Window) {
        let since_raise = self.up.then(|| now.saturating_sub(self.changed));
        let bad = if since_raise.is_some_and(|time| time < HOLDS) {
            window.exceeds(BAD_RAISED, DEVIATIONS_RAISED)
        } else {
            window.exceeds(BAD, DEVIATIONS)
        };
        if !bad {
            self.lowered_by.take_if(|receiver| *receiver == window.receiver);
            self.good += u32::from(window.loss() <= GOOD);
            return;
        }
        (self.calm_since, self.good) = (now, 0);
        let from = self.level();
        if since_raise.is_some_and(|time| time < TRUSTED) {
            self.failed = Some(from);
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
            self.lower();
        } else if self.lowered_by == Some(window.receiver) {
            let enough = self.part() * (1.0 - window.loss());
            while self.lower() && self.part() > enough {}
        } else {
            self.lower();
        }
        self.lowered_by = Some(window.receiver);
        self.bad_loss = window.loss();
        if self.level() != from {
            self.note_change(now, false);
        }
    }

    fn note_change(&mut self, now: Duration, up: bool) {
        (self.changed, self.calm_since, self.up, self.good) = (now, now, up, 0);
        self.windows.clear();
    }

    /// Whether there was a step to go down.
    fn lower(&mut self) -> bool {
        if self.rate < self.least_rate() {
            self.rate += 1;
        } else if self.quality < self.qualities() {
            self.quality += 1;
        } else {
            return false;
        }
        true
    }

    fn raise(&mut self) {
        if self.quality > 0 {
            self.quality -= 1;
        } else {
            self.rate = self.rate.saturating_sub(1);
        }
    }

    /// Steps from the top.
    fn level(&self) -> usize {
        self.rate + self.quality
    }

    /// What is left of the camera's bytes, about.
    fn part(&self) -> f64 {
        FRACTIONS[self.rate].part() * QUALITY_BYTES.powi(self.quality as i32)
    }

    /// Index of the least fraction that the camera's rate allows.
    fn least_rate(&self) -> usize {
        let allowed =
            |fraction: &&Fraction| self.camera_fps * fraction.part() * RATE_TOLERANCE >= self.bounds.min_fps;
        FRACTIONS.iter().skip(1).take_while(allowed).count()
    }

    /// How many steps of quality there are.
    fn qualities(&self) -> usize {
        let steps = |least: u8| usize::from(BEST_QUALITY.saturating_sub(least).div_ceil(QUALITY_STEP)) + 1;
        self.bounds.min_quality.map_or(0, steps)
    }
}

#[cfg(test)]
mod tests;
