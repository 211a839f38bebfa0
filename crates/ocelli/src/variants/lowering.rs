//! What a variant's viewers take of it, looked at once a second, and how far it is lowered because of that. The rules are
//! [`Adaptation`]'s; here are only its clock and its figures.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::adapt::{Adaptation, Bounds, Cause, Sample, Step, Taken, Top};
use super::variant::Variant;
use super::watcher::{Heard, Receipt, Watcher};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Lowers one variant, and raises it again.
#[derive(Debug)]
pub(super) struct Lowering {
    began: Instant,
    looked: Instant,
    adaptation: Adaptation,
    top: Top,
    watching: Vec<Watching>,
    /// The number of the next who comes.
    next: u32,
    /// What came through to each since the last look: kept so that looking allocates nothing.
    samples: Vec<Sample>,
    /// Pictures that the variant had when it was looked at last.
    frames: u64,
    /// What it takes when nothing is lowered, in kbit/s.
    whole_kbps: u32,
}

/// One who watches, by what was known of him at the last look.
#[derive(Debug)]
struct Watching {
    watcher: Weak<dyn Watcher>,
    number: u32,
    sent: u64,
    skipped: u64,
}

impl Lowering {
    pub(super) fn new(bounds: Bounds, top: Top, now: Instant) -> Self {
        Self {
            began: now,
            looked: now,
            adaptation: Adaptation::new(bounds, top),
            top,
            watching: Vec::new(),
            next: 0,
            samples: Vec::new(),
            frames: 0,
            whole_kbps: 0,
        }
    }

    /// What the variant is to give, while that is less than was asked, and the bit rate of that.
    pub(super) fn step(&self) -> Option<(Step, u32)> {
        let step = self.adaptation.step();
        let kbps = (f64::from(self.whole_kbps) * step.bytes) as u32;
        self.adaptation.is_lowered().then_some((step, kbps))
    }

    /// Why it is to give less, while it is.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.adaptation.cause()
    }

    /// Looks at the viewers of `variant`, if it is time to. Whether something else is to be given from here on.
    pub(super) fn look(&mut self, variant: &Variant, top: Top, now: Instant) -> bool {
        if now.duration_since(self.looked) < LOOK {
            return false;
        }
        let since = self.looked.duration_since(self.began);
        self.looked = now;
        let stats = variant.stream.stats();
        let frames = stats.frames - std::mem::replace(&mut self.frames, stats.frames);
        if !self.adaptation.is_lowered() {
            self.whole_kbps = (stats.rate.bits_per_second / 1000.0) as u32;
        }
        self.welcome(variant.take_new_watchers(), now);
        self.samples.clear();
        let Self { began, watching, samples, .. } = self;
        watching.retain_mut(|watching| {
            let Some(watcher) = watching.watcher.upgrade() else { return false };
            watching.sample(&*watcher, since, (*began, now), frames, samples);
            true
        });
        let moved = self.set_top(top);
        let moved = self.adaptation.period(now.duration_since(self.began), &self.samples) | moved;
        self.leave_alone();
        moved
    }

    /// Those who come. What is known of them already is of another time.
    fn welcome(&mut self, came: Vec<Weak<dyn Watcher>>, now: Instant) {
        for watcher in came {
            let Some(known) = watcher.upgrade() else { continue };
            // Who comes back to what he watched already is one all the same.
            let is = |watching: &Watching| std::ptr::addr_eq(watching.watcher.as_ptr(), watcher.as_ptr());
            if self.watching.iter().any(is) {
                continue;
            }
            let (mut sent, mut skipped) = (0, 0);
            match known.heard() {
                Heard::Pictures { sent: before, skipped: without } => (sent, skipped) = (before, without),
                Heard::Receipts(receipts) => receipts.take(now.into_std(), |_| {}),
                Heard::Apart => {}
            }
            self.watching.push(Watching { watcher, number: self.next, sent, skipped });
            self.next = self.next.wrapping_add(1);
        }
    }

    /// Gives back who watches: what is made of `variant` ends, and may begin anew.
    pub(super) fn give_back(self, variant: &Variant) {
        self.watching.into_iter().for_each(|watching| variant.watched_by(watching.watcher));
    }

    /// Tells those for whom nothing is done.
    fn leave_alone(&self) {
        for sample in &self.samples {
            if self.adaptation.leaves_alone(sample.viewer)
                && let Some(watcher) = self.watcher(sample.viewer)
            {
                watcher.left_alone();
            }
        }
    }

    /// Who has this number, as a viewer.
    fn watcher(&self, viewer: u64) -> Option<Arc<dyn Watcher>> {
        let known = self.watching.iter().find(|watching| u64::from(watching.number) == viewer >> 32)?;
        known.watcher.upgrade()
    }

    fn set_top(&mut self, top: Top) -> bool {
        if top == self.top {
            return false;
        }
        self.top = top;
        self.adaptation.set_top(top)
    }
}

impl Watching {
    /// Adds what came through to him since `since`, of `frames`, to `samples`. `began` is when time begins, and `now` now.
    fn sample(
        &mut self,
        watcher: &dyn Watcher,
        since: Duration,
        (began, now): (Instant, Instant),
        frames: u64,
        samples: &mut Vec<Sample>,
    ) {
        let viewer = u64::from(self.number) << 32;
        match watcher.heard() {
            Heard::Pictures { sent, skipped } => {
                let taken = self.pictures(sent, skipped, frames);
                samples.push(Sample { viewer, since, taken });
            }
            // Each of its receivers counts as one.
            Heard::Receipts(receipts) => receipts.take(now.into_std(), |receipt| {
                let Receipt { receiver, since: from, expected, lost, round_trip, .. } = receipt;
                let from = from.saturating_duration_since(began.into_std());
                let since = if expected > 0 { from } else { since };
                let taken = Taken::Packets { expected, lost, round_trip };
                samples.push(Sample { viewer: viewer | u64::from(receiver), since, taken });
            }),
            Heard::Apart => samples.push(Sample { viewer, since, taken: Taken::Apart }),
        }
    }

    fn pictures(&mut self, all_sent: u64, all_skipped: u64, frames: u64) -> Taken {
        let (sent, skipped) = (all_sent.saturating_sub(self.sent), all_skipped.saturating_sub(self.skipped));
        (self.sent, self.skipped) = (all_sent, all_skipped);
        let few = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        // In the midst of one picture all others are passed by, and not counted before it is done.
        let skipped = if sent == 0 && skipped == 0 && self.sent > 0 { frames } else { skipped };
        Taken::Pictures { sent: few(sent), skipped: few(skipped) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;
    use crate::viewers::{SentTotals, Viewers};

    const BOUNDS: Bounds = Bounds { quality_min: 40, width_min: 320, fps_min: 5.0 };
    const TOP: Top = Top { quality: 80, width: 640, fps: 30.0 };

    fn variant() -> Arc<Variant> {
        let bounds = ocelli_hub::Bounds { pieces: 4, bytes: 1 << 20 };
        Arc::new(Variant::new(
            ocelli_codec::worker::protocol::OutputId(1),
            Shape::default(),
            Stream::new("cam".parse().unwrap(), bounds),
            None,
            variant::Numbers::default(),
        ))
    }

    #[test]
    fn a_viewer_that_takes_half_has_it_lowered_until_it_takes_all() {
        let variant = variant();
        let (viewers, totals) = (Viewers::new(9), Arc::<SentTotals>::default());
        let kind = crate::viewers::ViewerKind::HttpMjpeg;
        let viewer =
            viewers.admit(kind, "cam".parse().unwrap(), "127.0.0.1:1".parse().unwrap(), totals).unwrap();
        let stats: Arc<dyn Watcher> = viewer.stats().clone();
        variant.watched_by(Arc::downgrade(&stats));
        let mut now = Instant::now();
        let mut lowering = Lowering::new(BOUNDS, TOP, now);
        assert!(lowering.step().is_none());
        let mut second = |lowering: &mut Lowering, skipped: u64| {
            for _ in 0..30 - skipped {
                viewer.sent(1000, None, 0);
            }
            viewer.no_room(skipped);
            now += LOOK;
            assert!(!lowering.look(&variant, TOP, now - LOOK / 2), "not before its time");
            lowering.look(&variant, TOP, now)
        };
        let lowered = (0..30).find(|_| second(&mut lowering, 15));
        assert!(lowered.is_some_and(|after| after > 3), "{lowered:?}");
        let (step, _) = lowering.step().unwrap();
        assert!(step.quality < 80 && step.bytes < 1.0, "{step:?}");
        let raised = (0..200).any(|_| second(&mut lowering, 0) && lowering.step().is_none());
        assert!(raised, "{:?}", lowering.step());
        // The task ends by a fault, and begins anew.
        let looked = lowering.looked;
        lowering.give_back(&variant);
        let mut lowering = Lowering::new(BOUNDS, TOP, looked);
        assert!((0..30).any(|_| second(&mut lowering, 15)) && lowering.step().is_some());
    }
}
