//! The picture that stands in for a lost camera: which camera, what happened, when it is tried again.

use bytes::Bytes;
use ocelli_media::Size;

use crate::text::{Font, wrap};
use crate::{Canvas, Color, EncodeError, Encoder};

/// What a notice says. Line breaks and control characters count as spaces; characters outside ISO 8859-1 show as `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice<'a> {
    /// The camera's name: one line, cut if it is too long.
    pub title: &'a str,
    /// What happened, in words. As many lines as there is room for.
    pub cause: &'a str,
    /// When it is tried again: "trying again at 14:03:05".
    pub retry: Option<&'a str>,
    /// The time at which this was written: "2026-11-20 14:02:35".
    pub time: &'a str,
}

const BACKGROUND: Color = Color::rgb(24, 26, 32);
const STRIPE: Color = Color::rgb(214, 86, 60);
const BRIGHT: Color = Color::rgb(245, 245, 245);
const PLAIN: Color = Color::rgb(205, 208, 214);
const HINT: Color = Color::rgb(240, 190, 90);
const FAINT: Color = Color::rgb(130, 135, 145);

/// The notice as a whole JPEG file of `size`. Legible from 160x120 on; at 1280x720 it takes about 2 ms.
///
/// # Errors
/// The size is none that a JPEG can have, or `quality` is outside 1 to 100.
pub fn picture(size: Size, notice: &Notice<'_>, quality: u8) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new(quality)?;
    if size.width == 0 || size.height == 0 {
        return Err(EncodeError::Size(size));
    }
    encoder.encode_canvas(&draw(size, notice))
}

/// The notice as a drawing.
pub fn draw(size: Size, notice: &Notice<'_>) -> Canvas {
    let mut canvas = Canvas::new(size);
    canvas.fill(BACKGROUND);
    let font = Font::for_size(size);
    let (width, height) = (usize::from(size.width), usize::from(size.height));
    let margin = font.width();
    let columns = (width.saturating_sub(2 * margin) / font.width()).max(4);
    canvas.rectangle(0..width, 0..font.height() / 4, STRIPE);

    // Title, a gap, the cause, a gap, when it is tried again; the time stands alone at the bottom.
    let rows = (height / font.height()).max(1);
    let retry = notice.retry.map(|text| wrap(text, columns, 2)).unwrap_or_default();
    let room = rows.saturating_sub(5 + retry.len()).max(1);
    let cause = wrap(notice.cause, columns, room);
    let used = 3 + cause.len() + retry.len();
    let mut row = (rows.saturating_sub(used + 1) / 2).max(1) * font.height();

    for line in wrap(notice.title, columns, 1) {
        canvas.text(margin, row, &line, font, BRIGHT);
    }
    let rule = row + font.height() + font.height() / 3;
    canvas.rectangle(margin..width.saturating_sub(margin), rule..rule + (font.height() / 10).max(1), STRIPE);
    row += 2 * font.height();
    for line in &cause {
        canvas.text(margin, row, line, font, PLAIN);
        row += font.height();
    }
    row += font.height() / 2;
    for line in &retry {
        canvas.text(margin, row, line, font, HINT);
        row += font.height();
    }
    let bottom = height.saturating_sub(font.height() + font.height() / 4);
    if bottom >= row {
        for line in wrap(notice.time, columns, 1) {
            canvas.text(margin, bottom, &line, font, FAINT);
        }
    }
    canvas
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTICE: Notice<'_> = Notice {
        title: "front door",
        cause: "the camera /dev/video0 was unplugged",
        retry: Some("trying again at 14:03:05"),
        time: "2026-11-20 14:02:35",
    };

    fn light_pixels(canvas: &Canvas, from: usize, to: usize) -> usize {
        (from..to).map(|row| canvas.luma_row(row).iter().filter(|y| **y > 120).count()).sum()
    }

    #[test]
    fn every_size_gets_a_picture_of_that_size() {
        for (width, height) in
            [(1, 1), (17, 9), (160, 120), (161, 121), (1280, 720), (3840, 2160), (720, 1280)]
        {
            let jpeg = picture(Size { width, height }, &NOTICE, 80).unwrap();
            let header = turbojpeg::read_header(&jpeg).unwrap();
            assert_eq!((header.width, header.height), (usize::from(width), usize::from(height)));
        }
    }

    #[test]
    fn it_is_dark_with_text_in_the_middle_and_the_time_below() {
        for (width, height) in [(160, 120), (640, 480), (1920, 1080), (3840, 2160)] {
            let canvas = draw(Size { width, height }, &NOTICE);
            let rows = usize::from(height);
            let pixels = usize::from(width) * rows;
            let light = light_pixels(&canvas, 0, rows);
            assert!(light > pixels / 100 && light < pixels / 4, "{width}x{height}: {light} of {pixels}");
            assert!(light_pixels(&canvas, rows * 85 / 100, rows) > 0, "{width}x{height}");
        }
    }

    #[test]
    fn a_cause_without_end_keeps_to_the_picture() {
        let cause = "no such device ".repeat(10_000);
        let canvas = draw(Size { width: 160, height: 120 }, &Notice { cause: &cause, ..NOTICE });
        assert!(light_pixels(&canvas, 100, 120) > 0, "the time still stands at the bottom");
    }

    #[test]
    fn impossible_sizes_and_qualities_are_refused() {
        assert!(picture(Size { width: 0, height: 5 }, &NOTICE, 80).is_err());
        assert!(picture(Size { width: 5, height: 5 }, &NOTICE, 101).is_err());
    }
}
