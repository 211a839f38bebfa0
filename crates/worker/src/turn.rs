//! Pictures turned and mirrored, plane by plane.

use ocelli_media::Turn;

use crate::picture::{Buffer, Plane, View};

/// Samples that are moved at once where columns become rows: so many rows of so many samples stay in the processor's first
/// cache, which whole columns do not.
const TILE: usize = 32;

/// Copies a picture into `to`, turned. Where its sides change places, its layout must have colour as coarse across as
/// down, which 4:2:2 has not.
pub fn turn(from: &View<'_>, turn: Turn, to: &mut Buffer) {
    to.reset(turn.of(from.size), from.layout);
    (to.range, to.matrix) = (from.range, from.matrix);
    let steps = from.layout.steps();
    for (plane, (columns, samples)) in to.planes_mut().into_iter().enumerate() {
        if columns == 0 {
            continue;
        }
        // Of whole steps only: what an odd picture repeats at its edges goes to the new ones.
        let step = if plane == 0 { (1, 1) } else { steps };
        let width = usize::from(from.size.width).div_ceil(step.0);
        let height = usize::from(from.size.height).div_ceil(step.1);
        if turn.swaps_sides() {
            exchange(&from.planes[plane], (width, height), turn, samples, columns);
        } else {
            mirror(&from.planes[plane], (width, height), turn, samples, columns);
        }
    }
    to.repeat_edges();
}

/// Rows stay rows.
fn mirror(from: &Plane<'_>, (width, height): (usize, usize), turn: Turn, to: &mut [u8], columns: usize) {
    for (y, to) in to.chunks_exact_mut(columns).take(height).enumerate() {
        let y = if matches!(turn, Turn::Half | Turn::TopBottom) { height - 1 - y } else { y };
        let row = &from.samples[y * from.stride..][..width];
        if matches!(turn, Turn::Half | Turn::LeftRight) {
            to.iter_mut().zip(row.iter().rev()).for_each(|(to, from)| *to = *from);
        } else {
            to[..width].copy_from_slice(row);
        }
    }
}

/// Rows become columns.
fn exchange(from: &Plane<'_>, (width, height): (usize, usize), turn: Turn, to: &mut [u8], columns: usize) {
    let from_right = matches!(turn, Turn::Counterclockwise | Turn::Transverse);
    let from_bottom = matches!(turn, Turn::Clockwise | Turn::Transverse);
    for top in (0..width).step_by(TILE) {
        for left in (0..height).step_by(TILE) {
            let right = (left + TILE).min(height);
            for y in top..(top + TILE).min(width) {
                let column = if from_right { width - 1 - y } else { y };
                let to = &mut to[y * columns..][left..right];
                if from_bottom {
                    let rows = from.samples[(height - right) * from.stride + column..].chunks(from.stride);
                    to.iter_mut().rev().zip(rows).for_each(|(to, row)| *to = row[0]);
                } else {
                    let rows = from.samples[left * from.stride + column..].chunks(from.stride);
                    to.iter_mut().zip(rows).for_each(|(to, row)| *to = row[0]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ocelli_media::Size;

    use super::*;
    use crate::picture::Layout;

    /// Rows of luma, a letter a pixel.
    fn picture(rows: &[&str]) -> Buffer {
        let size = Size { width: rows[0].len() as u16, height: rows.len() as u16 };
        let mut buffer = Buffer::default();
        buffer.reset(size, Layout::Gray);
        buffer.samples_mut().copy_from_slice(rows.concat().as_bytes());
        buffer
    }

    #[test]
    fn each_turn_does_what_it_says() {
        let from = picture(&["abc", "def"]);
        let turned: [(Turn, &[&str]); 8] = [
            (Turn::None, &["abc", "def"]),
            (Turn::Clockwise, &["da", "eb", "fc"]),
            (Turn::Half, &["fed", "cba"]),
            (Turn::Counterclockwise, &["cf", "be", "ad"]),
            (Turn::LeftRight, &["cba", "fed"]),
            (Turn::TopBottom, &["def", "abc"]),
            (Turn::Transposed, &["ad", "be", "cf"]),
            (Turn::Transverse, &["fc", "eb", "da"]),
        ];
        for (how, rows) in turned {
            let mut to = Buffer::default();
            turn(&from.view(), how, &mut to);
            assert_eq!(to.size(), how.of(from.size()));
            assert_eq!(String::from_utf8_lossy(to.samples()), rows.concat(), "{how:?}");
        }
    }

    #[test]
    fn large_pictures_are_turned_as_small_ones() {
        let size = Size { width: 77, height: 101 };
        let mut from = Buffer::default();
        from.reset(size, Layout::Gray);
        from.samples_mut()
            .iter_mut()
            .enumerate()
            .for_each(|(index, sample)| *sample = (index * 7 % 251) as u8);
        let at = |x: usize, y: usize| from.samples()[y * 77 + x];
        for how in Turn::ALL {
            let mut to = Buffer::default();
            turn(&from.view(), how, &mut to);
            let (wide, high) = (usize::from(to.size().width), usize::from(to.size().height));
            for (index, sample) in to.samples().iter().enumerate() {
                let (x, y) = (index % wide, index / wide);
                let expected = match how {
                    Turn::None => at(x, y),
                    Turn::Clockwise => at(y, wide - 1 - x),
                    Turn::Half => at(wide - 1 - x, high - 1 - y),
                    Turn::Counterclockwise => at(high - 1 - y, x),
                    Turn::LeftRight => at(wide - 1 - x, y),
                    Turn::TopBottom => at(x, high - 1 - y),
                    Turn::Transposed => at(y, x),
                    Turn::Transverse => at(high - 1 - y, wide - 1 - x),
                };
                assert_eq!(*sample, expected, "{how:?} {x} {y}");
            }
        }
    }
}
