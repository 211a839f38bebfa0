//! Pictures turned and mirrored, plane by plane.

use ocelli_media::Turn;

use crate::picture::{Buffer, View};

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
        let source = from.planes[plane];
        // Of whole steps only: what an odd picture repeats at its edges goes to the new ones.
        let step = if plane == 0 { (1, 1) } else { steps };
        let width = usize::from(from.size.width).div_ceil(step.0);
        let height = usize::from(from.size.height).div_ceil(step.1);
        let at = |x: usize, y: usize| source.samples[y * source.stride + x];
        let (last_x, last_y) = (width - 1, height - 1);
        let rows = samples.chunks_exact_mut(columns).enumerate();
        let limit = if turn.swaps_sides() { (height, width) } else { (width, height) };
        for (y, to) in rows.take(limit.1) {
            for (x, to) in to.iter_mut().enumerate().take(limit.0) {
                *to = match turn {
                    Turn::None => at(x, y),
                    Turn::Clockwise => at(y, last_y - x),
                    Turn::Half => at(last_x - x, last_y - y),
                    Turn::Counterclockwise => at(last_x - y, x),
                    Turn::LeftRight => at(last_x - x, y),
                    Turn::TopBottom => at(x, last_y - y),
                    Turn::Transposed => at(y, x),
                    Turn::Transverse => at(last_x - y, last_y - x),
                };
            }
        }
    }
    to.repeat_edges();
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
}
