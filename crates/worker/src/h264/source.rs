//! What is coded: planes of any sampling and range, made into the one kind of picture that every H.264 encoder takes
//! and every player shows as it was meant: 4:2:0 in television's range, with even sides.
//!
//! JPEG files have the full range. H.264 can say so, but not every player listens, and those that do not show too much
//! contrast; narrowing the samples while they are copied costs nothing that can be measured beside the coding.
//! Sides are made even by leaving out the last column or row: H.264 could crop only pairs of them away (7.4.2.1.1).

use ocelli_codec::Range;
use ocelli_media::Size;

use crate::picture::Matrix;

/// Planes of a picture that lie somewhere else, the first Y, then Cb and Cr.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The samples. Those of colour may be empty: a grey picture.
    pub planes: [&'a [u8]; 3],
    /// Bytes from one row to the next, of each plane.
    pub strides: [usize; 3],
    /// Size in pixels.
    pub size: Size,
    /// Pixels for each sample of colour, across and down: 1, 2 or 4.
    pub sampling: (u8, u8),
    /// What its numbers stand for.
    pub range: Range,
    /// What luma and colour are made of. It is named in the stream, not changed.
    pub matrix: Matrix,
}

impl Source<'_> {
    /// The size that is coded: even sides, two pixels at least.
    pub fn coded_size(&self) -> Size {
        let even = |side: u16| (side & !1).max(2);
        Size { width: even(self.size.width), height: even(self.size.height) }
    }

    /// Every row that the size promises is there.
    pub(super) fn is_whole(&self) -> bool {
        let Size { width, height } = self.size;
        let (across, down) = self.sampling;
        if width == 0 || height == 0 || !matches!(across, 1 | 2 | 4) || !matches!(down, 1 | 2 | 4) {
            return false;
        }
        let holds = |plane: &[u8], stride: usize, width: usize, height: usize| {
            stride >= width && plane.len() >= stride * (height - 1) + width
        };
        let (width, height) = (usize::from(width), usize::from(height));
        let colour = (width.div_ceil(across.into()), height.div_ceil(down.into()));
        holds(self.planes[0], self.strides[0], width, height)
            && (self.is_grey()
                || (1..3).all(|plane| holds(self.planes[plane], self.strides[plane], colour.0, colour.1)))
    }

    fn is_grey(&self) -> bool {
        self.planes[1].is_empty() && self.planes[2].is_empty()
    }

    /// Writes the picture of [`Source::coded_size`] into planes Y, Cb and Cr of 4:2:0. The source must be
    /// [whole](Source::is_whole).
    pub(crate) fn write(&self, planes: [&mut [u8]; 3], strides: [usize; 3]) {
        let Size { width, height } = self.coded_size();
        let (width, height) = (usize::from(width), usize::from(height));
        let [luma, blue, red] = planes;
        let rows = self.rows(0, self.size.height.into());
        for (to, from) in luma.chunks_mut(strides[0]).zip(repeat_last(rows)).take(height) {
            narrowed(from, &mut to[..width], self.range, narrow_luma);
        }
        for (plane, to, stride) in [(1, blue, strides[1]), (2, red, strides[2])] {
            let to = to.chunks_mut(stride).take(height / 2).map(|row| &mut row[..width / 2]);
            if self.is_grey() {
                to.for_each(|row| row.fill(128));
            } else {
                self.write_colour(plane, to);
            }
        }
    }

    fn write_colour<'b>(&self, plane: usize, to: impl Iterator<Item = &'b mut [u8]>) {
        let (across, down) = self.sampling;
        let rows = usize::from(self.size.height).div_ceil(down.into());
        let columns = usize::from(self.size.width).div_ceil(across.into());
        let row = |index: usize| {
            let row = &self.planes[plane][index.min(rows - 1) * self.strides[plane]..];
            &row[..columns]
        };
        for (index, to) in to.enumerate() {
            // The two rows that this one stands for: both the same where the picture has no more of them.
            let (first, second) = match down {
                1 => (row(index * 2), row(index * 2 + 1)),
                2 => (row(index), row(index)),
                _ => (row(index / 2), row(index / 2)),
            };
            match (across, down) {
                (2, 2..) => narrowed(first, to, self.range, narrow_colour),
                (2, _) => averaged(first, second, to, self.range),
                _ => resampled(first, second, to, across, self.range),
            }
        }
    }

    fn rows(&self, plane: usize, count: usize) -> impl Iterator<Item = &[u8]> {
        self.planes[plane].chunks(self.strides[plane]).take(count)
    }
}

/// All of `rows`, then the last one for ever.
fn repeat_last<'a>(mut rows: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    let mut last: &[u8] = &[];
    std::iter::repeat_with(move || {
        last = rows.next().unwrap_or(last);
        last
    })
}

/// Copies a row; where it is too short, its last sample is repeated.
fn narrowed(from: &[u8], to: &mut [u8], range: Range, narrow: impl Fn(u8) -> u8) {
    let (with_samples, without) = to.split_at_mut(to.len().min(from.len()));
    match range {
        Range::Limited => with_samples.copy_from_slice(&from[..with_samples.len()]),
        Range::Full => {
            for (to, from) in with_samples.iter_mut().zip(from) {
                *to = narrow(*from);
            }
        }
    }
    if let Some(last) = with_samples.last() {
        without.fill(*last);
    }
}

/// The mean of two rows: 4:2:2, which most webcams give.
fn averaged(first: &[u8], second: &[u8], to: &mut [u8], range: Range) {
    let samples = to.iter_mut().zip(first.iter().zip(second));
    match range {
        Range::Limited => samples.for_each(|(to, (a, b))| *to = mean(*a, *b)),
        Range::Full => samples.for_each(|(to, (a, b))| *to = narrow_colour(mean(*a, *b))),
    }
}

/// Other samplings, sample by sample.
fn resampled(first: &[u8], second: &[u8], to: &mut [u8], across: u8, range: Range) {
    let last = first.len() - 1;
    for (index, to) in to.iter_mut().enumerate() {
        let (left, right) = match across {
            1 => (index * 2, index * 2 + 1),
            2 => (index, index),
            _ => (index / 2, index / 2),
        };
        let column = |index: usize| mean(first[index.min(last)], second[index.min(last)]);
        let sample = mean(column(left), column(right));
        *to = if range == Range::Full { narrow_colour(sample) } else { sample };
    }
}

fn mean(a: u8, b: u8) -> u8 {
    ((u16::from(a) + u16::from(b) + 1) >> 1) as u8
}

/// 0 to 255 becomes 16 to 235. One multiplication of 16 bits: the compiler makes eight at once of it.
fn narrow_luma(sample: u8) -> u8 {
    (((u16::from(sample) * 220 + 128) >> 8) + 16) as u8
}

/// 1 to 255 becomes 16 to 240; 128 stays.
fn narrow_colour(sample: u8) -> u8 {
    ((u16::from(sample) * 225 + 4096) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_range_becomes_limited_within_one_step() {
        for sample in 0..=255_u8 {
            let luma = f64::from(sample) * 219.0 / 255.0 + 16.0;
            assert!((f64::from(narrow_luma(sample)) - luma).abs() < 1.0, "luma {sample}");
            let colour = (f64::from(sample) - 128.0) * 224.0 / 255.0 + 128.0;
            assert!((f64::from(narrow_colour(sample)) - colour).abs() < 1.0, "colour {sample}");
        }
        assert_eq!([0, 255].map(narrow_luma), [16, 235]);
        assert_eq!([0, 128, 255].map(narrow_colour), [16, 128, 240]);
    }

    fn written(source: &Source<'_>) -> [Vec<u8>; 3] {
        assert!(source.is_whole());
        let Size { width, height } = source.coded_size();
        let (width, height) = (usize::from(width), usize::from(height));
        let mut planes = [vec![0; width * height], vec![0; width * height / 4], vec![0; width * height / 4]];
        let [y, u, v] = &mut planes;
        source.write([y, u, v], [width, width / 2, width / 2]);
        planes
    }

    /// A picture whose colour planes hold their own row and column.
    fn picture(width: u16, height: u16, sampling: (u8, u8)) -> [Vec<u8>; 3] {
        let luma = (0..height).flat_map(|y| (0..width).map(move |x| (100 + 10 * y + x) as u8)).collect();
        let (wide, high) = (width.div_ceil(sampling.0.into()), height.div_ceil(sampling.1.into()));
        let colour = |from: u16| -> Vec<u8> {
            (0..high).flat_map(|y| (0..wide).map(move |x| (from + 20 * y + 2 * x) as u8)).collect()
        };
        [luma, colour(50), colour(90)]
    }

    fn source<'a>(planes: &'a [Vec<u8>; 3], width: u16, height: u16, sampling: (u8, u8)) -> Source<'a> {
        let wide = usize::from(width.div_ceil(sampling.0.into()));
        Source {
            planes: planes.each_ref().map(|plane| &plane[..]),
            strides: [width.into(), wide, wide],
            size: Size { width, height },
            sampling,
            range: Range::Limited,
            matrix: Matrix::Bt601,
        }
    }

    #[test]
    fn every_sampling_becomes_420() {
        // Where colour grows by 20 a row and 2 a column of its own, its mean over two of them is in between, rounded up.
        let expected = [
            ((2, 2), [50, 52, 70, 72]),
            ((2, 1), [60, 62, 100, 102]),
            ((1, 2), [51, 55, 71, 75]),
            ((1, 1), [61, 65, 101, 105]),
            ((4, 1), [60, 60, 100, 100]),
            ((4, 2), [50, 50, 70, 70]),
            ((1, 4), [51, 55, 51, 55]),
        ];
        for (sampling, colour) in expected {
            let planes = picture(5, 5, sampling);
            let written = written(&source(&planes, 5, 5, sampling));
            assert_eq!(written[0][..8], [100, 101, 102, 103, 110, 111, 112, 113]);
            assert_eq!(written[1], colour, "{sampling:?}");
            assert_eq!(written[2], colour.map(|sample| sample + 40), "{sampling:?}");
        }
    }

    #[test]
    fn grey_and_tiny_pictures_are_filled_up() {
        let planes = [vec![255, 0, 0], vec![], vec![]];
        let mut grey = source(&planes, 1, 3, (1, 1));
        grey.range = Range::Full;
        assert_eq!(written(&grey), [vec![235, 235, 16, 16], vec![128], vec![128]]);
    }

    #[test]
    fn a_picture_with_too_few_rows_is_not_whole() {
        let planes = picture(4, 4, (2, 2));
        let whole = source(&planes, 4, 4, (2, 2));
        assert!(whole.is_whole());
        assert!(!Source { size: Size { width: 4, height: 5 }, ..whole }.is_whole());
        assert!(!Source { strides: [3, 2, 2], ..whole }.is_whole());
        assert!(!Source { strides: [4, 2, 3], ..whole }.is_whole());
        assert!(!Source { sampling: (1, 2), ..whole }.is_whole());
        assert!(!Source { sampling: (3, 2), ..whole }.is_whole());
        assert!(!Source { size: Size { width: 0, height: 4 }, ..whole }.is_whole());
        assert!(!Source { planes: [whole.planes[0], &[], whole.planes[2]], ..whole }.is_whole());
    }
}
