//! Scaling without a library: slower, and the same to look at.

use std::ops::Range;

use ocelli_media::Size;

use crate::picture::{Buffer, Layout, View};

/// Scales pictures. Keeps its sums.
#[derive(Debug, Default)]
pub(super) struct Plain {
    /// The sums of the columns of the rows that one row of the target covers.
    sums: Vec<u32>,
}

impl Plain {
    /// Makes `to`, whose size and layout are what is wanted.
    pub(super) fn scale(&mut self, from: &View<'_>, to: &mut Buffer) {
        let (size, layout) = (to.size(), to.layout());
        for (plane, (columns, samples)) in to.planes_mut().into_iter().enumerate() {
            if columns == 0 {
                continue;
            }
            if plane > 0 && from.layout == Layout::Gray {
                samples.fill(128);
                continue;
            }
            let (from_columns, from_rows) = own(from.size, from.layout, plane);
            let (own_columns, rows) = own(size, layout, plane);
            let source = from.planes[plane];
            for (row, to) in samples.chunks_exact_mut(columns).enumerate().take(rows) {
                let covered = covered(row, rows, from_rows);
                let count = covered.len() as u32;
                self.sums.clear();
                self.sums.resize(from_columns, 0);
                for from in covered {
                    let from = &source.samples[from * source.stride..][..from_columns];
                    for (sum, sample) in self.sums.iter_mut().zip(from) {
                        *sum += u32::from(*sample);
                    }
                }
                for (column, to) in to.iter_mut().enumerate().take(own_columns) {
                    let sums = &self.sums[self::covered(column, own_columns, from_columns)];
                    let all = u64::from(count) * sums.len() as u64;
                    *to = ((sums.iter().map(|sum| u64::from(*sum)).sum::<u64>() + all / 2) / all) as u8;
                }
            }
        }
    }
}

/// Columns and rows of a plane without those that repeat others.
fn own(size: Size, layout: Layout, plane: usize) -> (usize, usize) {
    let (across, down) = if plane == 0 { (1, 1) } else { layout.steps() };
    (usize::from(size.width).div_ceil(across), usize::from(size.height).div_ceil(down))
}

/// Which of `of` rows or columns one of `count` covers: at least one.
fn covered(index: usize, count: usize, of: usize) -> Range<usize> {
    let start = (index * of / count).min(of - 1);
    start..((index + 1) * of / count).max(start + 1)
}
