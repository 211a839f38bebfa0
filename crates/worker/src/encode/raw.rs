//! Pictures that are not coded, for programs that want samples: RGB24, or planes of 4:2:0 in limited range.

use ocelli_codec::Range;
use ocelli_codec::worker::protocol::Coding;

use crate::picture::{Layout, Matrix, View};

/// Copies planes without gaps, or makes RGB of them. Keeps its buffer.
#[derive(Debug)]
pub struct RawEncoder {
    coding: Coding,
    output: Vec<u8>,
}

impl RawEncoder {
    /// One of RGB24, or of planes.
    pub fn new(coding: Coding) -> Self {
        Self { coding, output: Vec::new() }
    }

    /// What it makes.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// How pictures of `layout` have to lie for it.
    pub fn layout(&self, layout: Layout) -> Layout {
        if self.coding == Coding::Rgb24 { layout } else { Layout::Yuv420 }
    }

    /// In which range it takes pictures of `range`.
    pub fn range(&self, range: Range) -> Range {
        if self.coding == Coding::Rgb24 { range } else { Range::Limited }
    }

    /// The picture's samples.
    pub fn encode(&mut self, picture: &View<'_>) -> &[u8] {
        self.output.clear();
        if self.coding == Coding::Rgb24 {
            let (width, height) = (usize::from(picture.size.width), usize::from(picture.size.height));
            self.output.resize(width * height * 3, 0);
            rgb(picture, &mut self.output, width * 3);
        } else {
            for plane in 0..3 {
                picture.rows(plane).for_each(|row| self.output.extend_from_slice(row));
            }
        }
        &self.output
    }
}

/// What a sample of colour adds to red, green and blue, and luma's factor, in 1/65536.
struct Factors {
    luma: i32,
    black: i32,
    red_of_red: i32,
    green_of_red: i32,
    green_of_blue: i32,
    blue_of_blue: i32,
}

impl Factors {
    /// Rec. ITU-T H.273, equations of MatrixCoefficients 1 and 6.
    fn of(picture: &View<'_>) -> Self {
        let (red, blue) = match picture.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
        };
        let (luma, colour, black) = match picture.range {
            Range::Full => (1.0, 1.0, 0),
            Range::Limited => (255.0 / 219.0, 255.0 / 224.0, 16),
        };
        let fixed = |value: f64| (value * 65536.0).round() as i32;
        let green = 1.0 - red - blue;
        Self {
            luma: fixed(luma),
            black,
            red_of_red: fixed(colour * 2.0 * (1.0 - red)),
            green_of_red: fixed(colour * 2.0 * (1.0 - red) * red / green),
            green_of_blue: fixed(colour * 2.0 * (1.0 - blue) * blue / green),
            blue_of_blue: fixed(colour * 2.0 * (1.0 - blue)),
        }
    }
}

fn rgb(picture: &View<'_>, to: &mut [u8], row_bytes: usize) {
    let factors = Factors::of(picture);
    let (across, down) = picture.layout.steps();
    let [_, blue, red] = picture.planes;
    for (row, (luma, to)) in picture.rows(0).zip(to.chunks_exact_mut(row_bytes)).enumerate() {
        let colours = |plane: crate::picture::Plane<'_>, column: usize| match picture.layout {
            Layout::Gray => 0,
            _ => i32::from(plane.samples[row / down * plane.stride + column / across]) - 128,
        };
        for (column, (luma, to)) in luma.iter().zip(to.as_chunks_mut::<3>().0).enumerate() {
            let light = (i32::from(*luma) - factors.black) * factors.luma + (1 << 15);
            let (blue, red) = (colours(blue, column), colours(red, column));
            let clip = |value: i32| (value >> 16).clamp(0, 255) as u8;
            *to = [
                clip(light + red * factors.red_of_red),
                clip(light - red * factors.green_of_red - blue * factors.green_of_blue),
                clip(light + blue * factors.blue_of_blue),
            ];
        }
    }
}

#[cfg(test)]
mod tests {
    use ocelli_media::Size;

    use super::*;
    use crate::picture::Buffer;

    fn one(samples: [u8; 3], range: Range, matrix: Matrix) -> Vec<u8> {
        let mut buffer = Buffer::default();
        buffer.reset(Size { width: 1, height: 1 }, Layout::Yuv444);
        (buffer.range, buffer.matrix) = (range, matrix);
        buffer.samples_mut().copy_from_slice(&samples);
        RawEncoder::new(Coding::Rgb24).encode(&buffer.view()).to_vec()
    }

    #[test]
    fn colours_are_those_of_the_standard() {
        assert_eq!(one([16, 128, 128], Range::Limited, Matrix::Bt601), [0, 0, 0]);
        assert_eq!(one([235, 128, 128], Range::Limited, Matrix::Bt709), [255, 255, 255]);
        // Pure red.
        assert_eq!(one([76, 85, 255], Range::Full, Matrix::Bt601), [254, 0, 0]);
        assert_eq!(one([63, 102, 240], Range::Limited, Matrix::Bt709), [255, 1, 0]);
    }
}
