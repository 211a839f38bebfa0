//! Text on a [`Canvas`](crate::Canvas): two bitmap fonts in whole-numbered scale, and the breaking of lines.

use std::convert::Infallible;

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Dimensions, Point, Size as Extent};
use embedded_graphics::mono_font::iso_8859_1::{FONT_6X10, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::Baseline;
use embedded_graphics::text::renderer::TextRenderer;
use ocelli_media::Size;

/// A bitmap font of fixed width, each of its pixels drawn as a square of `scale` pixels.
#[derive(Clone, Copy, Debug)]
pub struct Font {
    face: &'static MonoFont<'static>,
    scale: usize,
}

impl Font {
    /// The font in which at least 26 characters stand beside each other and 8 lines below each other, wherever the
    /// picture is large enough for that at all (160x80).
    pub fn for_size(size: Size) -> Self {
        let scale = (size.width / 320).min(size.height / 180);
        if scale == 0 {
            Self { face: &FONT_6X10, scale: 1 }
        } else {
            Self { face: &FONT_10X20, scale: usize::from(scale) }
        }
    }

    /// Width of a character in pixels.
    pub fn width(self) -> usize {
        self.face.character_size.width as usize * self.scale
    }

    /// Height of a line in pixels.
    pub fn height(self) -> usize {
        self.face.character_size.height as usize * self.scale
    }
}

/// Calls `square` with column, row and side of every square that `text` is made of.
pub(crate) fn draw(text: &str, font: Font, square: impl FnMut(usize, usize, usize)) {
    let mut squares = Squares { scale: font.scale, square };
    let style = MonoTextStyle::new(font.face, BinaryColor::On);
    let Ok(_) = style.draw_string(text, Point::zero(), Baseline::Top, &mut squares);
}

struct Squares<F> {
    scale: usize,
    square: F,
}

impl<F: FnMut(usize, usize, usize)> DrawTarget for Squares<F> {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(at, color) in pixels {
            if let (BinaryColor::On, Ok(x), Ok(y)) = (color, usize::try_from(at.x), usize::try_from(at.y)) {
                (self.square)(x * self.scale, y * self.scale, self.scale);
            }
        }
        Ok(())
    }
}

impl<F> Dimensions for Squares<F> {
    fn bounding_box(&self) -> Rectangle {
        Rectangle::new(Point::zero(), Extent::new(u32::MAX >> 1, u32::MAX >> 1))
    }
}

/// Breaks `text` into at most `lines` lines of at most `columns` characters: between words where possible, within a
/// word that is longer than a line. What does not fit is cut and ends in "...".
pub(crate) fn wrap(text: &str, columns: usize, lines: usize) -> Vec<String> {
    let columns = columns.max(4);
    let mut out: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    // One word more than fits is enough to know that something was cut.
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        let mut word = word;
        while !word.is_empty() {
            if out.len() > lines {
                break;
            }
            let length = word.chars().take(columns + 1).count();
            let space = usize::from(used > 0);
            if used + space + length <= columns {
                line.extend(std::iter::repeat_n(' ', space));
                line.push_str(word);
                used += space + length;
                break;
            }
            if used == 0 {
                let cut = word.char_indices().nth(columns).map_or(word.len(), |(at, _)| at);
                line.push_str(&word[..cut]);
                word = &word[cut..];
            }
            out.push(std::mem::take(&mut line));
            used = 0;
        }
    }
    if used > 0 {
        out.push(line);
    }
    if out.len() > lines {
        out.truncate(lines);
        if let Some(last) = out.last_mut() {
            let keep = last.char_indices().nth(columns - 3).map_or(last.len(), |(at, _)| at);
            last.truncate(keep);
            last.push_str("...");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("the camera  was\nunplugged", 10, 9), ["the camera", "was", "unplugged"]);
        assert_eq!(wrap("", 10, 9), [""; 0]);
    }

    #[test]
    fn long_words_break_anywhere() {
        assert_eq!(wrap("a /dev/v4l/by-id/x", 8, 9), ["a", "/dev/v4l", "/by-id/x"]);
    }

    #[test]
    fn what_does_not_fit_is_cut_visibly() {
        assert_eq!(wrap("one two three four", 9, 2), ["one two", "three..."]);
        assert_eq!(wrap("abcdefghij", 8, 1), ["abcde..."]);
    }

    #[test]
    fn fonts_grow_with_the_picture() {
        let columns = |width, height| usize::from(width) / Font::for_size(Size { width, height }).width();
        for (width, height) in [(160, 120), (320, 240), (640, 480), (1280, 720), (1920, 1080), (3840, 2160)] {
            assert!((26..=64).contains(&columns(width, height)), "{width}x{height}");
        }
    }

    proptest! {
        #[test]
        fn wrapping_keeps_to_its_bounds(text in "(\\PC|\\s){0,200}", columns in 0_usize..30, lines in 0_usize..6) {
            let out = wrap(&text, columns, lines);
            prop_assert!(out.len() <= lines);
            prop_assert!(out.iter().all(|line| line.chars().count() <= columns.max(4)));
        }
    }
}
