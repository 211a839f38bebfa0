//! Separate planes of Y, U and V, as libjpeg-turbo takes them, out of whatever a camera packs.
//!
//! Planes that are already there are used where they lie. The rest is separated row by row into buffers that are kept.

use crate::encode::{Picture, PixelFormat, Range};

/// Planes of one picture. Each row of Y holds an even number of pixels; with `half_rows` so does each column.
#[derive(Debug)]
pub(crate) struct Planes<'a> {
    pub(crate) y: &'a [u8],
    pub(crate) u: &'a [u8],
    pub(crate) v: &'a [u8],
    pub(crate) y_stride: usize,
    pub(crate) chroma_stride: usize,
    /// 4:2:0; otherwise 4:2:2.
    pub(crate) half_rows: bool,
}

/// Buffers for planes, kept from picture to picture.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    y: Vec<u8>,
    u: Vec<u8>,
    v: Vec<u8>,
    /// One row of U and V.
    pairs: Vec<u8>,
}

/// The planes, in full range, of a picture whose stride and length have been checked, and which is not RGB.
pub(crate) fn separate<'a>(scratch: &'a mut Scratch, picture: &Picture<'a>) -> Planes<'a> {
    match (picture.format, picture.range) {
        (PixelFormat::Yuyv, Range::Full) => packed::<0>(scratch, picture, same, same),
        (PixelFormat::Yuyv, Range::Limited) => packed::<0>(scratch, picture, wide_luma, wide_chroma),
        (PixelFormat::Uyvy, Range::Full) => packed::<1>(scratch, picture, same, same),
        (PixelFormat::Uyvy, Range::Limited) => packed::<1>(scratch, picture, wide_luma, wide_chroma),
        (PixelFormat::Nv12, Range::Full) => nv12(scratch, picture, same, same),
        (PixelFormat::Nv12, Range::Limited) => nv12(scratch, picture, wide_luma, wide_chroma),
        (PixelFormat::Yu12 | PixelFormat::Rgb24, _) => yu12(scratch, picture),
    }
}

fn same(sample: u16) -> u8 {
    sample as u8
}

/// 16 to 235 becomes 0 to 255; what is outside is cut off. `sample` is 0 to 255. One subtraction, one multiplication
/// and one minimum for each eight samples in SSE2: widening 1280x720 costs 70 µs more than separating it.
fn wide_luma(sample: u16) -> u8 {
    let high = (sample << 8).saturating_sub(16 << 8);
    ((u32::from(high) * 299) >> 16).min(255) as u8
}

/// 16 to 240 becomes 1 to 255, 128 stays; what is outside is cut off. `sample` is 0 to 255.
fn wide_chroma(sample: u16) -> u8 {
    let wide = ((u32::from(sample << 8) * 291) >> 16) as u16;
    wide.saturating_sub(17).min(255) as u8
}

/// 4:2:2 with Y at bytes `FIRST_Y` and `FIRST_Y + 2` of each four.
fn packed<'a, const FIRST_Y: usize>(
    scratch: &'a mut Scratch,
    picture: &Picture<'a>,
    luma: impl Fn(u16) -> u8 + Copy,
    chroma: impl Fn(u16) -> u8 + Copy,
) -> Planes<'a> {
    let width = usize::from(picture.size.width).next_multiple_of(2);
    let rows = usize::from(picture.size.height);
    scratch.y.resize(width * rows, 0);
    scratch.u.resize(width / 2 * rows, 0);
    scratch.v.resize(width / 2 * rows, 0);
    scratch.pairs.resize(width, 0);
    let lines = scratch
        .y
        .chunks_exact_mut(width)
        .zip(scratch.u.chunks_exact_mut(width / 2))
        .zip(scratch.v.chunks_exact_mut(width / 2));
    for (((y, u), v), row) in lines.zip(picture.data.chunks(picture.stride)) {
        // In two steps of every other byte, for the sake of `split_pairs`.
        if FIRST_Y == 0 {
            split_pairs(&row[..width * 2], y, &mut scratch.pairs, luma, same);
        } else {
            split_pairs(&row[..width * 2], &mut scratch.pairs, y, same, luma);
        }
        split_pairs(&scratch.pairs, u, v, chroma, chroma);
    }
    Planes {
        y: &scratch.y,
        u: &scratch.u,
        v: &scratch.v,
        y_stride: width,
        chroma_stride: width / 2,
        half_rows: false,
    }
}

/// The compiler turns the shift and the narrowing of whole words into SSE2 and NEON: 43 µs for 1280x720 in 4:2:2, where
/// indexing the bytes took 330 µs and a plain copy takes 24.
fn split_pairs(
    pairs: &[u8],
    even: &mut [u8],
    odd: &mut [u8],
    make_even: impl Fn(u16) -> u8,
    make_odd: impl Fn(u16) -> u8,
) {
    for ((even, odd), pair) in even.iter_mut().zip(odd).zip(pairs.as_chunks::<2>().0) {
        let word = u16::from_le_bytes(*pair);
        *even = make_even(word & 0xff);
        *odd = make_odd(word >> 8);
    }
}

fn nv12<'a>(
    scratch: &'a mut Scratch,
    picture: &Picture<'a>,
    make_luma: impl Fn(u16) -> u8,
    make_chroma: impl Fn(u16) -> u8 + Copy,
) -> Planes<'a> {
    let (width, rows) = (usize::from(picture.size.width), usize::from(picture.size.height));
    let (half_width, half_rows) = (width.div_ceil(2), rows.div_ceil(2));
    let Scratch { y, u, v, .. } = scratch;
    u.resize(half_width * half_rows, 0);
    v.resize(half_width * half_rows, 0);
    let (luma, chroma) = picture.data.split_at(picture.stride * rows);
    let lines = u.chunks_exact_mut(half_width).zip(v.chunks_exact_mut(half_width));
    for ((u, v), row) in lines.zip(chroma.chunks(picture.stride)) {
        split_pairs(row, u, v, make_chroma, make_chroma);
    }
    let (y, y_stride) = even_luma(y, luma, picture, make_luma);
    Planes { y, u, v, y_stride, chroma_stride: half_width, half_rows: true }
}

fn yu12<'a>(scratch: &'a mut Scratch, picture: &Picture<'a>) -> Planes<'a> {
    let (width, rows) = (usize::from(picture.size.width), usize::from(picture.size.height));
    let (half_width, half_rows) = (width.div_ceil(2), rows.div_ceil(2));
    let stride = picture.stride / 2;
    let (luma, chroma) = picture.data.split_at(picture.stride * rows);
    let (u, v) = chroma.split_at(stride * half_rows);
    let Scratch { y, u: wide_u, v: wide_v, .. } = scratch;
    if picture.range == Range::Full {
        let (y, y_stride) = even_luma(y, luma, picture, same);
        return Planes { y, u, v, y_stride, chroma_stride: stride, half_rows: true };
    }
    let (y, y_stride) = even_luma(y, luma, picture, wide_luma);
    for (from, to) in [(u, &mut *wide_u), (v, &mut *wide_v)] {
        to.resize(half_width * half_rows, 0);
        for (from, to) in from.chunks(stride).zip(to.chunks_exact_mut(half_width)) {
            copy_row(from, to, wide_chroma);
        }
    }
    Planes { y, u: wide_u, v: wide_v, y_stride, chroma_stride: half_width, half_rows: true }
}

/// The luma plane itself where it is in full range and both sides are even, else a copy, whose last column and row are
/// doubled where a side is odd: libjpeg-turbo reads whole 2x2 blocks.
fn even_luma<'a>(
    copy: &'a mut Vec<u8>,
    luma: &'a [u8],
    picture: &Picture<'_>,
    make: impl Fn(u16) -> u8,
) -> (&'a [u8], usize) {
    let (width, rows) = (usize::from(picture.size.width), usize::from(picture.size.height));
    if picture.range == Range::Full && width.is_multiple_of(2) && rows.is_multiple_of(2) {
        return (luma, picture.stride);
    }
    let (even_width, even_rows) = (width.next_multiple_of(2), rows.next_multiple_of(2));
    copy.resize(even_width * even_rows, 0);
    for (from, to) in luma.chunks(picture.stride).zip(copy.chunks_exact_mut(even_width)) {
        copy_row(&from[..width], to, &make);
        to[even_width - 1] = to[width - 1];
    }
    if rows != even_rows {
        copy.copy_within((rows - 1) * even_width..rows * even_width, rows * even_width);
    }
    (copy, even_width)
}

fn copy_row(from: &[u8], to: &mut [u8], make: impl Fn(u16) -> u8) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = make((*from).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limited_range_becomes_full_within_one_step() {
        for sample in 0..=255_u16 {
            let value = f64::from(sample);
            let luma = ((value - 16.0) * 255.0 / 219.0).clamp(0.0, 255.0);
            assert!((f64::from(wide_luma(sample)) - luma).abs() < 1.01, "luma {sample}");
            let chroma = ((value - 128.0) * 255.0 / 224.0 + 128.0).clamp(0.0, 255.0);
            assert!((f64::from(wide_chroma(sample)) - chroma).abs() < 1.01, "chroma {sample}");
        }
        assert_eq!([16, 235].map(wide_luma), [0, 255]);
        assert_eq!([16, 128, 240].map(wide_chroma), [1, 128, 255]);
    }
}
