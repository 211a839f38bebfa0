//! Planes of samples: colour thinned or repeated from one sampling to another, and edges repeated.
//!
//! Thinning takes the mean, so that a sample of colour stands in the middle of the pixels that it is for, as JFIF has it.

/// What is done in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The mean of each two.
    Halve,
    /// Each so many times, 1 to 4.
    Repeat(usize),
}

/// What is done across and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    across: Step,
    down: Step,
}

impl Change {
    /// Nothing to do.
    pub(super) const NONE: Self = Self { across: Step::Repeat(1), down: Step::Repeat(1) };

    /// From one sample for `from` pixels (across, down: 1, 2 or 4 each) to one for `to` (1 or 2 each).
    pub(super) fn between(from: (usize, usize), to: (usize, usize)) -> Self {
        let step = |from: usize, to: usize| if from < to { Step::Halve } else { Step::Repeat(from / to) };
        Self { across: step(from.0, to.0), down: step(from.1, to.1) }
    }
}

/// One plane, its rows one behind the other.
#[derive(Debug)]
pub(super) struct Plane<'a> {
    pub(super) samples: &'a mut [u8],
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Plane<'_> {
    /// Puts the last of `width` columns and the last of `height` rows into those behind it, which a scaled decode
    /// leaves undefined.
    pub(super) fn repeat_edges(&mut self, width: usize, height: usize) {
        if width < self.columns {
            for row in self.samples.chunks_exact_mut(self.columns) {
                let last = row[width - 1];
                row[width..].fill(last);
            }
        }
        let end = height * self.columns;
        for row in height..self.rows {
            self.samples.copy_within(end - self.columns..end, row * self.columns);
        }
    }

    /// Copies it to `out`, cut or with its last column and row repeated.
    pub(super) fn extended(&self, columns: usize, rows: usize, out: &mut Vec<u8>) {
        out.resize(columns * rows, 0);
        let kept = self.columns.min(columns);
        for (index, out) in out.chunks_exact_mut(columns).enumerate() {
            let row = self.row(index);
            out[..kept].copy_from_slice(&row[..kept]);
            out[kept..].fill(row[kept - 1]);
        }
    }

    /// Makes `columns` x `rows` of it by `change`. What is missing at the edges is repeated.
    pub(super) fn resampled(&self, change: Change, (columns, rows): (usize, usize), out: &mut Vec<u8>) {
        out.resize(columns * rows, 0);
        for (index, out) in out.chunks_exact_mut(columns).enumerate() {
            let (upper, lower) = match change.down {
                Step::Halve => (self.row(2 * index), self.row(2 * index + 1)),
                Step::Repeat(times) => (self.row(index / times), self.row(index / times)),
            };
            match change.across {
                Step::Halve => halve(upper, lower, out),
                Step::Repeat(1) => {
                    for (out, (upper, lower)) in out.iter_mut().zip(upper.iter().zip(lower)) {
                        *out = mean(*upper, *lower);
                    }
                }
                Step::Repeat(times) => {
                    for (out, (upper, lower)) in out.chunks_mut(times).zip(upper.iter().zip(lower)) {
                        out.fill(mean(*upper, *lower));
                    }
                }
            }
        }
    }

    /// A row, or the last if there are not so many.
    fn row(&self, index: usize) -> &[u8] {
        let start = index.min(self.rows - 1) * self.columns;
        &self.samples[start..start + self.columns]
    }
}

fn mean(one: u8, other: u8) -> u8 {
    (u16::from(one) + u16::from(other)).div_ceil(2) as u8
}

/// The mean of each four: two of `upper` and the two below them. The compiler turns shift and mask of whole words into
/// vector instructions.
fn halve(upper: &[u8], lower: &[u8], out: &mut [u8]) {
    let ((upper, upper_rest), (lower, lower_rest)) = (upper.as_chunks::<2>(), lower.as_chunks::<2>());
    for (out, (upper, lower)) in out.iter_mut().zip(upper.iter().zip(lower)) {
        let (upper, lower) = (u16::from_le_bytes(*upper), u16::from_le_bytes(*lower));
        *out = (((upper & 0xff) + (upper >> 8) + (lower & 0xff) + (lower >> 8) + 2) >> 2) as u8;
    }
    if let ([upper], [lower], Some(out)) = (upper_rest, lower_rest, out.last_mut()) {
        *out = mean(*upper, *lower);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resample(
        from: (usize, usize),
        to: (usize, usize),
        columns: usize,
        samples: &[u8],
        target: (usize, usize),
    ) -> Vec<u8> {
        let mut samples = samples.to_vec();
        let rows = samples.len() / columns;
        let mut out = Vec::new();
        Plane { samples: &mut samples, columns, rows }.resampled(Change::between(from, to), target, &mut out);
        out
    }

    #[test]
    fn thinning_takes_the_mean_and_repeats_the_edges() {
        let samples = [10, 20, 30, 30, 40, 50, 100, 100, 200];
        assert_eq!(resample((1, 1), (2, 2), 3, &samples, (2, 2)), [25, 40, 100, 200]);
        assert_eq!(resample((1, 1), (2, 1), 3, &samples, (2, 3)), [15, 30, 35, 50, 100, 200]);
        assert_eq!(resample((2, 1), (2, 2), 3, &samples, (3, 2)), [20, 30, 40, 100, 100, 200]);
    }

    #[test]
    fn what_is_coarser_is_repeated() {
        assert_eq!(resample((4, 1), (2, 2), 2, &[1, 2, 3, 4], (3, 1)), [2, 2, 3]);
        assert_eq!(resample((4, 1), (2, 1), 2, &[1, 2, 3, 4], (4, 2)), [1, 1, 2, 2, 3, 3, 4, 4]);
        assert_eq!(resample((1, 4), (2, 1), 2, &[1, 3], (1, 4)), [2, 2, 2, 2]);
        assert_eq!(resample((2, 2), (2, 1), 1, &[1, 9], (1, 3)), [1, 1, 9]);
        assert_eq!(Change::between((2, 1), (2, 1)), Change::NONE);
    }

    #[test]
    fn edges_are_repeated_in_place_and_in_a_copy() {
        let mut samples = [1, 2, 0, 3, 4, 0, 9, 9, 9];
        let mut plane = Plane { samples: &mut samples, columns: 3, rows: 3 };
        plane.repeat_edges(2, 2);
        let mut out = Vec::new();
        plane.extended(4, 4, &mut out);
        assert_eq!(out, [1, 2, 2, 2, 3, 4, 4, 4, 3, 4, 4, 4, 3, 4, 4, 4]);
        plane.extended(2, 1, &mut out);
        assert_eq!(out, [1, 2]);
        assert_eq!(samples, [1, 2, 2, 3, 4, 4, 3, 4, 4]);
    }
}
