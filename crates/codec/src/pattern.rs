//! The moving test picture: colour bars, a square that wanders, the wall clock and the picture's number in letters, and
//! the wall clock once more in a form that a program can read back out of a photographed or decoded picture.
//!
//! # The clock strip
//! The topmost rows ([`strip_height`]) hold 32 cells of equal width: cell `i` reaches from column `i * width / 32` to
//! column `(i + 1) * width / 32`. A cell is white (1) or black (0):
//!
//! ```text
//!   cell    0    1    2 … 28                                        29 … 31
//!           1    0    milliseconds since midnight UTC, 27 bits,     check: the nine groups of three bits of the
//!                     the most significant first                    milliseconds, XORed
//! ```
//!
//! Cells 0 and 1 give the levels to compare with. A reader samples the middle of each cell, halfway down the strip:
//! [`read_clock`] does so for one row of luma. A reader that shows the picture at the moment T has seen a latency of
//! T minus the strip's milliseconds, modulo a day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ocelli_media::Size;

use crate::text::Font;
use crate::{Canvas, Color};

const CELLS: usize = 32;
const BITS: usize = 27;
const DAY_MILLIS: u128 = 86_400_000;

/// The bars of a test picture, left to right.
const BARS: [Color; 7] = [
    Color::rgb(191, 191, 191),
    Color::rgb(191, 191, 0),
    Color::rgb(0, 191, 191),
    Color::rgb(0, 191, 0),
    Color::rgb(191, 0, 191),
    Color::rgb(191, 0, 0),
    Color::rgb(0, 0, 191),
];

/// Paints one test picture after the other. What stands still is painted once and copied.
#[derive(Debug)]
pub struct Pattern {
    still: Canvas,
    canvas: Canvas,
    font: Font,
}

impl Pattern {
    /// A painter of pictures of `size`. The strip can be read from 128 columns and 16 rows on.
    pub fn new(size: Size) -> Self {
        let mut still = Canvas::new(size);
        let (width, height) = (usize::from(size.width), usize::from(size.height));
        let ramp = height * 3 / 4;
        for (i, color) in BARS.iter().enumerate() {
            let columns = i * width / BARS.len()..(i + 1) * width / BARS.len();
            still.rectangle(columns, 0..ramp, *color);
        }
        for step in 0..64 {
            let grey = (step * 255 / 63) as u8;
            let columns = step * width / 64..(step + 1) * width / 64;
            still.rectangle(columns, ramp..height, Color::rgb(grey, grey, grey));
        }
        Self { canvas: still.clone(), still, font: Font::for_size(size) }
    }

    /// Paints picture `number` as of `now`. About 0.2 ms at 1280x720.
    pub fn paint(&mut self, now: SystemTime, number: u64) -> &Canvas {
        self.canvas.copy_from(&self.still);
        let millis = millis_of_day(now);
        self.paint_strip(millis);
        self.paint_square(millis);
        self.paint_text(millis, number);
        &self.canvas
    }

    fn paint_strip(&mut self, millis: u32) {
        let width = usize::from(self.canvas.size().width);
        let rows = 0..strip_height(self.canvas.size());
        for (i, white) in cells(millis).into_iter().enumerate() {
            let color = if white { Color::WHITE } else { Color::BLACK };
            self.canvas.rectangle(i * width / CELLS..(i + 1) * width / CELLS, rows.clone(), color);
        }
    }

    /// There and back in four seconds along the seam between bars and greys, and up and down in three.
    fn paint_square(&mut self, millis: u32) {
        let (width, height) = (usize::from(self.canvas.size().width), usize::from(self.canvas.size().height));
        let side = (height / 8).max(2);
        let swing = |period: u32, span: usize| {
            let phase = (millis % period) as usize;
            let period = period as usize;
            span * phase.min(period - phase) * 2 / period
        };
        let x = swing(4000, width.saturating_sub(side));
        let y = height * 5 / 8 + swing(3000, height / 4);
        self.canvas.rectangle(x..x + side, y..y + side, Color::WHITE);
        let inset = side / 4;
        self.canvas.rectangle(x + inset..x + side - inset, y + inset..y + side - inset, Color::BLACK);
    }

    fn paint_text(&mut self, millis: u32, number: u64) {
        let size = self.canvas.size();
        let (seconds, millis) = (millis / 1000, millis % 1000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let lines = [
            format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03} UTC"),
            format!("picture {number}"),
            format!("ocelli test {size}"),
        ];
        let font = self.font;
        let longest = lines.iter().map(String::len).max().unwrap_or(0);
        let box_width = (longest + 2) * font.width();
        let left = usize::from(size.width).saturating_sub(box_width) / 2;
        let top = usize::from(size.height) / 5;
        let box_height = lines.len() * font.height() + font.height();
        self.canvas.rectangle(left..left + box_width, top..top + box_height, Color::BLACK);
        for (i, line) in lines.iter().enumerate() {
            let row = top + font.height() / 2 + i * font.height();
            self.canvas.text(left + font.width(), row, line, font, Color::WHITE);
        }
    }
}

/// Rows of the clock strip in a picture of `size`: a sixteenth of the height, at least 8.
pub fn strip_height(size: Size) -> usize {
    (usize::from(size.height) / 16).max(8)
}

/// Reads milliseconds since midnight UTC, 0 to 86 399 999, out of one row of luma across the strip. The picture may
/// have been scaled. `None` where there is no strip, or its check does not hold.
pub fn read_clock(row: &[u8]) -> Option<u32> {
    let luma = |cell: usize| row.get((2 * cell + 1) * row.len() / (2 * CELLS)).copied().map(u32::from);
    let (white, black) = (luma(0)?, luma(1)?);
    if white < black + 64 {
        return None;
    }
    let mut bits = 0_u32;
    for cell in 2..CELLS {
        bits = bits << 1 | u32::from(luma(cell)? * 2 > white + black);
    }
    let (millis, found) = (bits >> 3, bits & 7);
    (found == check(millis) && u128::from(millis) < DAY_MILLIS).then_some(millis)
}

/// Milliseconds since midnight UTC.
pub fn millis_of_day(now: SystemTime) -> u32 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    (since.as_millis() % DAY_MILLIS) as u32
}

fn cells(millis: u32) -> [bool; CELLS] {
    let bits = 1 << 31 | (millis & ((1 << BITS) - 1)) << 3 | check(millis);
    std::array::from_fn(|cell| bits >> (31 - cell) & 1 == 1)
}

fn check(millis: u32) -> u32 {
    (0..BITS).step_by(3).fold(0, |sum, shift| sum ^ (millis >> shift & 7))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoder;

    fn at(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    fn decoded_strip(jpeg: &[u8], size: Size) -> Vec<u8> {
        let image = turbojpeg::decompress(jpeg, turbojpeg::PixelFormat::GRAY).unwrap();
        assert_eq!((image.width, image.height), (usize::from(size.width), usize::from(size.height)));
        let row = strip_height(size) / 2;
        image.pixels[row * image.pitch..][..image.width].to_vec()
    }

    #[test]
    fn the_clock_survives_jpeg() {
        for (width, height) in [(128, 64), (160, 120), (641, 479), (1280, 720), (1920, 1080)] {
            let size = Size { width, height };
            let mut pattern = Pattern::new(size);
            for quality in [10, 80] {
                let mut encoder = Encoder::new(quality).unwrap();
                for millis in [0, 1, 43_210_987, 86_399_999, 0x555_5555 % 86_400_000, 0x2aa_aaaa] {
                    let canvas = pattern.paint(at(1_700_000_000_000 / 86_400_000 * 86_400_000 + millis), 7);
                    let jpeg = encoder.encode_canvas(canvas).unwrap();
                    let read = read_clock(&decoded_strip(&jpeg, size));
                    assert_eq!(read, Some(millis as u32), "{size} quality {quality}");
                }
            }
        }
    }

    #[test]
    fn one_wrong_cell_is_noticed() {
        let mut pattern = Pattern::new(Size { width: 320, height: 240 });
        let row = pattern.paint(at(12_345_678), 0).luma_row(4).to_vec();
        assert_eq!(read_clock(&row), Some(12_345_678));
        for cell in 0..32 {
            let mut wrong = row.clone();
            wrong[cell * 10..][..10].iter_mut().for_each(|y| *y = 255 - *y);
            assert_eq!(read_clock(&wrong), None, "cell {cell}");
        }
        assert_eq!(read_clock(&[]), None);
        assert_eq!(read_clock(&[90; 320]), None);
    }

    #[test]
    fn pictures_differ_from_one_to_the_next() {
        let mut pattern = Pattern::new(Size { width: 320, height: 240 });
        let mut encoder = Encoder::new(80).unwrap();
        let first = encoder.encode_canvas(pattern.paint(at(1000), 0)).unwrap();
        let second = encoder.encode_canvas(pattern.paint(at(1033), 1)).unwrap();
        assert_ne!(first, second);
    }

    #[test]
    fn any_size_can_be_painted() {
        for (width, height) in [(1, 1), (2, 7), (31, 9), (65, 3)] {
            Pattern::new(Size { width, height }).paint(at(999), u64::MAX);
        }
    }
}
