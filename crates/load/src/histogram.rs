//! Counts of durations in buckets about 1.6 % wide: bounded memory however long a run is, percentiles to that precision.

/// Linear buckets in each power of two.
const STEPS: u64 = 64;

/// Durations in microseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    counts: Vec<u32>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn add(&mut self, micros: u64) {
        let bucket = bucket(micros);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.total += 1;
        self.max = self.max.max(micros);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum = sum.saturating_add(*count);
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// The longest, exactly.
    pub(crate) fn max(&self) -> Option<u64> {
        (self.total > 0).then_some(self.max)
    }

    /// The duration that `share` (0 to 1) of all do not exceed: the lower edge of its bucket.
    pub(crate) fn percentile(&self, share: f64) -> Option<u64> {
        let wanted = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        })?;
        Some(lower_edge(at).min(self.max))
    }

    /// How many were longer than `micros`.
    pub(crate) fn above(&self, micros: u64) -> u64 {
        self.counts.iter().skip(bucket(micros) + 1).map(|count| u64::from(*count)).sum()
    }
}

fn bucket(micros: u64) -> usize {
    let octave = (micros | (STEPS - 1)).ilog2() + 1 - STEPS.ilog2();
    let step = if octave == 0 { micros } else { (micros >> (octave - 1)) - STEPS };
    (u64::from(octave) * STEPS + step) as usize
}

fn lower_edge(bucket: usize) -> u64 {
    let (octave, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    if octave == 0 { step } else { (STEPS + step) << (octave - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        let mut last = 0;
        for micros in (0..5000).chain((5000..50_000_000).step_by(997)).chain([u64::MAX >> 1, u64::MAX]) {
            let at = bucket(micros);
            assert!(at >= last && lower_edge(at) <= micros, "{micros}");
            assert!((micros - lower_edge(at)) as f64 <= micros as f64 / 63.0, "{micros} {}", lower_edge(at));
            last = at;
        }
    }

    #[test]
    fn percentiles_of_a_known_row() {
        let mut row = Histogram::default();
        assert_eq!((row.percentile(0.5), row.max()), (None, None));
        (1..=1000).for_each(|millis| row.add(millis * 1000));
        let near = |share, expected: f64| {
            let found = row.percentile(share).unwrap() as f64;
            assert!((found / expected - 1.0).abs() < 0.02, "{share}: {found}");
        };
        near(0.5, 500_000.0);
        near(0.99, 990_000.0);
        near(1.0, 1_000_000.0);
        assert_eq!(row.max(), Some(1_000_000));
        assert!((240..=260).contains(&row.above(750_000)), "{}", row.above(750_000));
        let mut twice = row.clone();
        twice.merge(&row);
        assert_eq!((twice.total, twice.max), (2000, 1_000_000));
    }
}
