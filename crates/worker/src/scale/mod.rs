//! Scaling, and the thinning of colour: a picture of any size and layout becomes one of another. Each pixel becomes the mean
//! of what it covers: the sharpest that does not flicker.
//!
//! By libswscale where it is, and without a library where it is not or would write beyond a row.

#[cfg(feature = "libav")]
mod libav;
#[cfg(not(feature = "libav"))]
mod none;
mod plain;

use ocelli_media::Size;

#[cfg(feature = "libav")]
use self::libav::Library;
#[cfg(not(feature = "libav"))]
use self::none::Library;
use self::plain::Plain;
use crate::picture::{Buffer, Layout, View};

/// Scales pictures. Keeps what it needs for those of the sizes that are in use.
#[derive(Debug, Default)]
pub struct Scaling {
    library: Library,
    plain: Plain,
}

impl Scaling {
    /// Makes a picture of `size` and `layout` of another.
    ///
    /// # Errors
    /// There is no memory, or one of the sizes is beyond what the library takes.
    pub fn scale(
        &mut self,
        from: &View<'_>,
        size: Size,
        layout: Layout,
        to: &mut Buffer,
    ) -> Result<(), ScaleError> {
        to.reset(size, layout);
        (to.range, to.matrix) = (from.range, from.matrix);
        if Library::takes(size, layout) {
            self.library.scale(from, to).ok_or(ScaleError { from: from.size, to: size })?;
        } else {
            self.plain.scale(from, to);
        }
        to.repeat_edges();
        Ok(())
    }
}

/// Why a picture was not scaled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a picture of {from} cannot be made one of {to}")]
pub struct ScaleError {
    from: Size,
    to: Size,
}

#[cfg(test)]
mod tests {
    use ocelli_codec::Range;

    use super::*;

    /// Columns of luma that grow from 0 to 240, with colours of one tone.
    fn slope(size: Size, layout: Layout) -> Buffer {
        let mut buffer = Buffer::default();
        buffer.reset(size, layout);
        buffer.range = Range::Limited;
        let [(columns, luma), (_, blue), (_, red)] = buffer.planes_mut();
        for row in luma.chunks_exact_mut(columns) {
            for (column, sample) in row.iter_mut().enumerate() {
                *sample = (column * 240 / columns) as u8;
            }
        }
        blue.fill(90);
        red.fill(170);
        buffer
    }

    #[test]
    fn any_size_and_layout_becomes_any_other() {
        let mut scaling = Scaling::default();
        let mut to = Buffer::default();
        for layout in [Layout::Yuv420, Layout::Yuv422, Layout::Yuv444, Layout::Gray] {
            let from = slope(Size { width: 130, height: 74 }, layout);
            for (width, height) in [(65, 37), (130, 74), (31, 17), (2, 2), (100, 30)] {
                let size = Size { width, height };
                scaling.scale(&from.view(), size, Layout::Yuv420, &mut to).unwrap();
                let view = to.view();
                assert_eq!((view.size, view.layout, view.range), (size, Layout::Yuv420, Range::Limited));
                let column = usize::from(width) / 2;
                let found = view.rows(0).nth(usize::from(height) / 2).unwrap()[column];
                let right = ((2 * column + 1) * 120 / usize::from(width)) as u8;
                // Of very few pixels libswscale's are not quite the mean.
                let most = if width == 2 { 15 } else { 4 };
                assert!(found.abs_diff(right) <= most, "{layout:?} {size}: {found}, not {right}");
                let tones = [1, 2].map(|plane| view.rows(plane).next().unwrap()[0]);
                let right = if layout == Layout::Gray { [128, 128] } else { [90, 170] };
                for (tone, right) in tones.into_iter().zip(right) {
                    assert!(tone.abs_diff(right) <= 1, "{layout:?} {size}: {tones:?}");
                }
            }
        }
    }

    /// libswscale writes whole vectors: at small sizes, into the rows, planes and memory behind.
    #[test]
    fn nothing_is_written_where_it_does_not_belong() {
        let from = slope(Size { width: 130, height: 74 }, Layout::Yuv420);
        let (mut scaling, mut plain) = (Scaling::default(), Plain::default());
        let (mut to, mut right) = (Buffer::default(), Buffer::default());
        let heights = [2, 3, 4, 5, 6, 7, 8, 9, 16, 37];
        for (width, height) in (2..=130).flat_map(|width| heights.map(|height| (width, height))) {
            let size = Size { width, height };
            scaling.scale(&from.view(), size, Layout::Yuv420, &mut to).unwrap();
            right.reset(size, Layout::Yuv420);
            plain.scale(&from.view(), &mut right);
            right.repeat_edges();
            let differences =
                to.samples().iter().zip(right.samples()).map(|(one, other)| one.abs_diff(*other));
            let most = differences.max();
            assert!(most <= Some(16), "{size}: {most:?}");
            assert!(to.padding().iter().all(|byte| *byte == 0), "{size}: {:?}", to.padding());
        }
    }
}
