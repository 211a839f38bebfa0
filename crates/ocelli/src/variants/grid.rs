//! Which pictures are left out so that no more than so many a second remain, evenly.
//!
//! Reads no clock: it goes by the pictures' own times, so that what a network or a busy machine does to them changes
//! nothing. Pictures are kept that are nearest to the marks of a regular grid.

use super::Fps;

/// A hole longer than this, or a jump back, begins a new grid, in microseconds.
const HOLE_US: i64 = 2_000_000;

/// A regular grid on one stream of pictures.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Grid {
    /// Between two of its marks; `None` lets all pass.
    every_us: Option<i64>,
    /// The next mark.
    next_us: Option<i64>,
    /// The last picture that was looked at, and the usual time between two.
    last_us: Option<i64>,
    usual_us: i64,
}

impl Grid {
    pub(super) fn new(fps: Option<Fps>) -> Self {
        let every_us = fps.map(|fps| 1_000_000_000 / i64::from(fps.millihertz()));
        Self { every_us, ..Self::default() }
    }

    /// Whether the picture of `time_us` is one of those that are kept, and that is then so. To be asked in the order of the
    /// pictures.
    pub(super) fn keeps(&mut self, time_us: i64) -> bool {
        let Some(every_us) = self.every_us else { return true };
        self.learn(time_us);
        if !self.would_keep(time_us) {
            return false;
        }
        self.next_us = Some(match self.mark_near(time_us) {
            // Behind a hole the marks that lie in it are passed over.
            Some(next) => {
                let passed = time_us.saturating_sub(next).max(0) / every_us + 1;
                next.saturating_add(passed.saturating_mul(every_us))
            }
            None => time_us.saturating_add(every_us),
        });
        true
    }

    /// Whether the picture of `time_us` would be kept if it were the next.
    pub(super) fn would_keep(&self, time_us: i64) -> bool {
        // Of two pictures the one that is nearer to the mark.
        self.mark_near(time_us).is_none_or(|next| time_us.saturating_add(self.usual_us / 2) >= next)
    }

    /// The next mark, unless the pictures have jumped away from it.
    fn mark_near(&self, time_us: i64) -> Option<i64> {
        let every_us = self.every_us?;
        let around = |next: i64| next.saturating_sub(every_us + HOLE_US)..=next.saturating_add(HOLE_US);
        self.next_us.filter(|next| around(*next).contains(&time_us))
    }

    fn learn(&mut self, time_us: i64) {
        let gap = self.last_us.map_or(0, |last| time_us.saturating_sub(last));
        self.last_us = Some(time_us);
        if (1..HOLE_US).contains(&gap) {
            self.usual_us = if self.usual_us == 0 { gap } else { (self.usual_us * 7 + gap) / 8 };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many of `times` are kept at `fps`.
    fn kept(fps: f64, times: impl Iterator<Item = i64>) -> Vec<i64> {
        let mut grid = Grid::new(Fps::new(fps));
        times.filter(|time| grid.keeps(*time)).collect()
    }

    #[test]
    fn a_part_of_the_rate_is_every_so_manieth_picture() {
        let thirty = || (0..300).map(|index| index * 1_000_000 / 30);
        assert_eq!(kept(10.0, thirty()), thirty().step_by(3).collect::<Vec<_>>());
        assert_eq!(kept(30.0, thirty()).len(), 300);
        assert_eq!(kept(60.0, thirty()).len(), 300);
        assert_eq!(kept(25.0, thirty()).len(), 250);
        assert_eq!(kept(1.0, thirty()).len(), 10);
        assert_eq!(Grid::new(None).every_us, None);
    }

    #[test]
    fn holes_and_jumps_begin_anew() {
        let times = [0, 33, 66, 100, 60_000, 60_033, 60_066, 60_100, 5, 38, 71, 105];
        let kept = kept(10.0, times.into_iter().map(|ms| ms * 1000));
        assert_eq!(kept, [0, 100, 60_000, 60_100, 5, 105].map(|ms| ms * 1000));
    }

    proptest! {
        #[test]
        fn unrest_changes_nothing_of_the_rate(jitter in proptest::collection::vec(-5_000_i64..5_000, 300)) {
            let times = jitter.iter().enumerate().map(|(index, jitter)| index as i64 * 33_333 + jitter);
            let kept = kept(10.0, times);
            prop_assert!((99..=101).contains(&kept.len()), "{}", kept.len());
            for pair in kept.windows(2) {
                prop_assert!((55_000..150_000).contains(&(pair[1] - pair[0])), "{pair:?}");
            }
        }

        #[test]
        fn no_times_break_it(times in proptest::collection::vec(-(1_i64 << 60)..1 << 60, 50), fps in 0.01..1000.0) {
            kept(fps, times.into_iter());
        }
    }
}
