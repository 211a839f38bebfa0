//! A drawing surface in 4:2:0, the form in which a JPEG takes it: filled rectangles, and text in whole-numbered scale.
//!
//! Drawing outside of the surface is cut off, never an error.

use std::ops::Range;

use ocelli_media::Size;

use crate::planes::Planes;
use crate::text::{self, Font};

/// A colour in full-range BT.601, as JPEG files have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color {
    y: u8,
    u: u8,
    v: u8,
}

impl Color {
    /// Black.
    pub const BLACK: Self = Self::rgb(0, 0, 0);
    /// White.
    pub const WHITE: Self = Self::rgb(255, 255, 255);

    /// From red, green and blue (ITU-T T.871 §7).
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        let (r, g, b) = (red as i32, green as i32, blue as i32);
        Self {
            y: ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8,
            u: clamp(128_500 + (-169 * r - 331 * g + 500 * b)),
            v: clamp(128_500 + (500 * r - 419 * g - 81 * b)),
        }
    }
}

const fn clamp(thousandths: i32) -> u8 {
    let whole = thousandths / 1000;
    if whole > 255 { 255 } else { whole as u8 }
}

/// The surface. Rows and columns are counted from the upper left corner, in pixels.
#[derive(Clone, Debug)]
pub struct Canvas {
    size: Size,
    /// Columns and rows of the luma plane: the size, each side rounded up to an even number.
    width: usize,
    height: usize,
    y: Vec<u8>,
    u: Vec<u8>,
    v: Vec<u8>,
}

impl Canvas {
    /// A black surface.
    pub fn new(size: Size) -> Self {
        let width = usize::from(size.width).next_multiple_of(2);
        let height = usize::from(size.height).next_multiple_of(2);
        let quarter = width / 2 * (height / 2);
        Self { size, width, height, y: vec![0; width * height], u: vec![128; quarter], v: vec![128; quarter] }
    }

    /// Its size in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Paints everything in one colour.
    pub fn fill(&mut self, color: Color) {
        self.y.fill(color.y);
        self.u.fill(color.u);
        self.v.fill(color.v);
    }

    /// Becomes the same picture as `other`, by plain copies: 1.4 MB, about 0.1 ms, at 1280x720.
    pub fn copy_from(&mut self, other: &Self) {
        self.clone_from(other);
    }

    /// Paints a rectangle. Colour has half the resolution of light, so an odd edge shares its colour with the pixel
    /// beyond it.
    pub fn rectangle(&mut self, columns: Range<usize>, rows: Range<usize>, color: Color) {
        let columns = columns.start.min(self.width)..columns.end.min(self.width);
        let rows = rows.start.min(self.height)..rows.end.min(self.height);
        if columns.is_empty() || rows.is_empty() {
            return;
        }
        for row in self.y.chunks_exact_mut(self.width).take(rows.end).skip(rows.start) {
            row[columns.clone()].fill(color.y);
        }
        let half_columns = columns.start / 2..columns.end.div_ceil(2);
        let half_rows = rows.start / 2..rows.end.div_ceil(2);
        for (plane, value) in [(&mut self.u, color.u), (&mut self.v, color.v)] {
            for row in plane.chunks_exact_mut(self.width / 2).take(half_rows.end).skip(half_rows.start) {
                row[half_columns.clone()].fill(value);
            }
        }
    }

    /// Writes one line of text with its upper left corner at `column`, `row`. Characters outside ISO 8859-1 become `?`.
    pub fn text(&mut self, column: usize, row: usize, text: &str, font: Font, color: Color) {
        text::draw(text, font, |x, y, side| {
            self.rectangle(column + x..column + x + side, row + y..row + y + side, color);
        });
    }

    /// One row of luma, 0 to 255; empty below the picture.
    pub fn luma_row(&self, row: usize) -> &[u8] {
        self.y.chunks_exact(self.width).nth(row).map_or(&[], |row| &row[..usize::from(self.size.width)])
    }

    pub(crate) fn planes(&self) -> Planes<'_> {
        Planes {
            y: &self.y,
            u: &self.u,
            v: &self.v,
            y_stride: self.width,
            chroma_stride: self.width / 2,
            half_rows: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 5, height: 3 };

    #[test]
    fn primary_colours_are_those_of_jpeg() {
        assert_eq!(Color::WHITE, Color { y: 255, u: 128, v: 128 });
        assert_eq!(Color::BLACK, Color { y: 0, u: 128, v: 128 });
        assert_eq!(Color::rgb(255, 0, 0), Color { y: 76, u: 85, v: 255 });
        assert_eq!(Color::rgb(0, 0, 255), Color { y: 29, u: 255, v: 107 });
    }

    #[test]
    fn rectangles_are_cut_at_the_edges() {
        let mut canvas = Canvas::new(SIZE);
        canvas.rectangle(3..90, 1..2, Color::WHITE);
        canvas.rectangle(70..90, 0..9, Color::WHITE);
        canvas.rectangle(0..1, 70..90, Color::WHITE);
        assert_eq!(canvas.luma_row(0), [0; 5]);
        assert_eq!(canvas.luma_row(1), [0, 0, 0, 255, 255]);
        assert_eq!(canvas.luma_row(2), [0; 5]);
        assert_eq!(canvas.luma_row(99), []);
    }

    #[test]
    fn text_reaches_past_every_edge_without_harm() {
        let mut canvas = Canvas::new(SIZE);
        canvas.text(2, 0, "Çamera \u{1F4F7} 門", Font::for_size(SIZE), Color::WHITE);
        assert!(canvas.luma_row(2).len() == 5);
    }
}
