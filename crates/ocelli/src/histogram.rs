//! A small histogram of durations that favours the recent ones.

use std::time::Duration;

/// Eight buckets for each doubling, from 8 µs to 17 minutes: quantiles are right to within 7 %, in 868 bytes. What is
/// shorter or longer counts as the shortest or longest.
const BUCKETS: usize = 8 * 27;
/// When so many values are counted, all counts are halved: after a few minutes of a stream, what was is forgotten.
const FULL: u32 = 4096;

/// A histogram of durations.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u32; BUCKETS],
    total: u32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], total: 0 }
    }
}

impl Histogram {
    /// Counts `value`.
    pub fn add(&mut self, value: Duration) {
        if self.total >= FULL {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        self.counts[bucket(value)] += 1;
        self.total += 1;
    }

    /// Counts what `other` has counted as well.
    pub fn merge(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum = sum.saturating_add(*count);
        }
        self.total = self.total.saturating_add(other.total);
    }

    /// The value under which a share `q` (0 to 1) of all values lies; `None` if there is none.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = ((f64::from(self.total) * q).ceil() as u32).clamp(1, self.total.max(1));
        let mut seen = 0;
        let index = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(middle(index))
    }
}

/// Three bits below the highest one set choose the bucket within its doubling.
fn bucket(value: Duration) -> usize {
    let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX).max(8);
    let doubling = micros.ilog2() - 3;
    let within = (micros >> doubling) & 7;
    (doubling as usize * 8 + within as usize).min(BUCKETS - 1)
}

fn middle(index: usize) -> Duration {
    let (doubling, within) = (index / 8, index as u64 % 8);
    let low = (8 + within) << doubling;
    Duration::from_micros(low + (1 << doubling) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_within_seven_percent() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=1000).for_each(|n| histogram.add(Duration::from_micros(n * 100)));
        for (q, expected) in [(0.5, 50_000.0), (0.99, 99_000.0), (1.0, 100_000.0)] {
            let found = histogram.quantile(q).unwrap().as_micros() as f64;
            assert!((found / expected - 1.0).abs() < 0.07, "{q}: {found} instead of {expected}");
        }
    }

    #[test]
    fn the_past_is_forgotten_and_extremes_have_a_bucket() {
        let mut histogram = Histogram::default();
        (0..10_000).for_each(|_| histogram.add(Duration::from_millis(1)));
        (0..10_000).for_each(|_| histogram.add(Duration::from_millis(100)));
        assert!(histogram.quantile(0.5).unwrap() > Duration::from_millis(90));
        histogram.add(Duration::MAX);
        histogram.add(Duration::ZERO);
        assert!(histogram.total <= FULL);
    }

    #[test]
    fn two_merged_are_as_if_one_had_counted_all() {
        let (mut fast, mut slow, mut both) = <(Histogram, Histogram, Histogram)>::default();
        (1..=100).for_each(|n| fast.add(Duration::from_micros(n * 10)));
        (1..=300).for_each(|n| slow.add(Duration::from_millis(n)));
        (1..=100).for_each(|n| both.add(Duration::from_micros(n * 10)));
        (1..=300).for_each(|n| both.add(Duration::from_millis(n)));
        fast.merge(&slow);
        for q in [0.0, 0.2, 0.5, 0.99, 1.0] {
            assert_eq!(fast.quantile(q), both.quantile(q));
        }
    }
}
