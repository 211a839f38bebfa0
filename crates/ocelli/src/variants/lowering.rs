//! What a variant's viewers take of it, looked at once a second, and how far it is lowered because of that. The rules are
//! [`Adaptation`]'s; here are only its clock and its figures.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::Instant;

use super::adapt::{Adaptation, Bounds, Sample, Step, Taken, Top};
use super::variant::Variant;
use crate::viewers::ViewerStats;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Lowers one variant, and raises it again.
#[derive(Debug)]
pub(super) struct Lowering {
    began: Instant,
    looked: Instant,
    adaptation: Adaptation,
    top: Top,
    viewers: Vec<Viewer>,
    /// Pictures that the variant had when it was looked at last.
    frames: u64,
    /// What it takes when nothing is lowered, in kbit/s.
    whole_kbps: u32,
}

#[derive(Debug)]
struct Viewer {
    stats: Weak<ViewerStats>,
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
            viewers: Vec::new(),
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
        let came = variant.take_new_viewers().into_iter().map(|stats| Viewer { stats, sent: 0, skipped: 0 });
        self.viewers.extend(came);
        let mut samples = Vec::with_capacity(self.viewers.len());
        self.viewers.retain_mut(|viewer| {
            let Some(stats) = viewer.stats.upgrade() else { return false };
            let taken = viewer.taken(&stats, frames);
            samples.push(Sample { viewer: stats.id, since, taken });
            true
        });
        let moved = self.set_top(top);
        self.adaptation.period(now.duration_since(self.began), &samples) | moved
    }

    fn set_top(&mut self, top: Top) -> bool {
        if top == self.top {
            return false;
        }
        self.top = top;
        self.adaptation.set_top(top)
    }
}

impl Viewer {
    /// What came through to it since it was looked at last, of `frames`.
    fn taken(&mut self, stats: &ViewerStats, frames: u64) -> Taken {
        let all = (stats.frames(), stats.skipped());
        let (sent, skipped) = (all.0.saturating_sub(self.sent), all.1.saturating_sub(self.skipped));
        (self.sent, self.skipped) = all;
        let few = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        // In the midst of one picture all others are passed by, and not counted before it is done.
        let skipped = if sent == 0 && skipped == 0 && self.sent > 0 { frames } else { skipped };
        Taken::Pictures { sent: few(sent), skipped: few(skipped) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
        variant.watched_by(&viewer);
        let mut now = Instant::now();
        let mut lowering = Lowering::new(BOUNDS, TOP, now);
        assert!(lowering.step().is_none());
        let mut second = |lowering: &mut Lowering, skipped: u64| {
            for _ in 0..30 - skipped {
                viewer.sent(1000, None, 0);
            }
            viewer.skipped(skipped);
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
    }
}
