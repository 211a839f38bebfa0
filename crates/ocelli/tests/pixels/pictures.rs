//! Decoded pictures, and how near one is to another.

use turbojpeg::{Image, PixelFormat, Subsamp};

/// Red, green and blue of each pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) rgb: Vec<u8>,
}

impl Picture {
    pub(crate) fn of_jpeg(jpeg: &[u8]) -> Self {
        let image = turbojpeg::decompress(jpeg, PixelFormat::RGB).unwrap();
        Self { width: image.width, height: image.height, rgb: image.pixels }
    }

    /// The pictures of binary PPM files, one behind the other.
    pub(crate) fn all_of_ppm(mut bytes: &[u8]) -> Vec<Self> {
        let mut pictures = Vec::new();
        while !bytes.is_empty() {
            let mut number = |first: bool| -> usize {
                let end = bytes.iter().position(u8::is_ascii_whitespace).unwrap();
                let (word, rest) = bytes.split_at(end);
                bytes = &rest[1..];
                if first {
                    usize::from(word == b"P6")
                } else {
                    str::from_utf8(word).unwrap().parse().unwrap()
                }
            };
            assert_eq!(number(true), 1, "a PPM");
            let [width, height, most] = [number(false), number(false), number(false)];
            assert_eq!(most, 255);
            let (rgb, rest) = bytes.split_at(width * height * 3);
            pictures.push(Self { width, height, rgb: rgb.to_vec() });
            bytes = rest;
        }
        pictures
    }

    pub(crate) fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        self.rgb[at..at + 3].try_into().unwrap()
    }

    /// What is left of it when libjpeg-turbo encodes it with half the colour: as near as any JPEG of this quality comes.
    pub(crate) fn through_jpeg(&self, quality: i32) -> Self {
        let image = Image {
            pixels: &self.rgb[..],
            width: self.width,
            pitch: self.width * 3,
            height: self.height,
            format: PixelFormat::RGB,
        };
        Self::of_jpeg(&turbojpeg::compress(image, quality, Subsamp::Sub2x2).unwrap())
    }

    /// Every pixel the mean of those of the larger picture that it covers.
    pub(crate) fn scaled(&self, width: usize, height: usize) -> Self {
        let mut rgb = Vec::with_capacity(width * height * 3);
        let edges = |at: usize, of: usize, whole: usize| {
            let (from, to) =
                (at as f64 * whole as f64 / of as f64, (at + 1) as f64 * whole as f64 / of as f64);
            (from as usize..(to.ceil() as usize).min(whole))
                .map(move |pixel| (pixel, (to.min(pixel as f64 + 1.0) - from.max(pixel as f64)).max(0.0)))
        };
        for y in 0..height {
            for x in 0..width {
                let (mut sum, mut weights) = ([0.0; 3], 0.0);
                for (row, tall) in edges(y, height, self.height) {
                    for (column, wide) in edges(x, width, self.width) {
                        let pixel = self.pixel(column, row);
                        (0..3).for_each(|colour| sum[colour] += f64::from(pixel[colour]) * tall * wide);
                        weights += tall * wide;
                    }
                }
                rgb.extend(sum.map(|sum| (sum / weights).round() as u8));
            }
        }
        Self { width, height, rgb }
    }

    /// Peak signal to noise in dB; without bound where they are the same, 0 where their sizes differ.
    pub(crate) fn psnr(&self, other: &Self) -> f64 {
        if (self.width, self.height) != (other.width, other.height) {
            return 0.0;
        }
        let square = |(a, b): (&u8, &u8)| f64::from(i32::from(*a) - i32::from(*b)).powi(2);
        let squares: f64 = self.rgb.iter().zip(&other.rgb).map(square).sum();
        10.0 * (255.0 * 255.0 * self.rgb.len() as f64 / squares).log10()
    }

    /// Structural similarity of the luma (Wang et al. 2004, over squares of 8 pixels), at most 1; and the least of any square.
    pub(crate) fn ssim(&self, other: &Self) -> (f64, f64) {
        const SQUARE: usize = 8;
        let (a, b) = (self.luma(), other.luma());
        let (mut sum, mut count, mut least) = (0.0, 0.0, 1.0_f64);
        for y in (0..=self.height - SQUARE).step_by(SQUARE / 2) {
            for x in (0..=self.width - SQUARE).step_by(SQUARE / 2) {
                let at = (0..SQUARE * SQUARE).map(|i| (y + i / SQUARE) * self.width + x + i % SQUARE);
                let similar = similarity(at.map(|at| (a[at], b[at])));
                (sum, count, least) = (sum + similar, count + 1.0, least.min(similar));
            }
        }
        (sum / count, least)
    }

    fn luma(&self) -> Vec<f64> {
        let weigh =
            |rgb: &[u8; 3]| 0.299 * f64::from(rgb[0]) + 0.587 * f64::from(rgb[1]) + 0.114 * f64::from(rgb[2]);
        self.rgb.as_chunks().0.iter().map(weigh).collect()
    }
}

fn similarity(pixels: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut n, mut a, mut b, mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (left, right) in pixels {
        n += 1.0;
        (a, b) = (a + left, b + right);
        (aa, bb, ab) = (aa + left * left, bb + right * right, ab + left * right);
    }
    let (a, b) = (a / n, b / n);
    let (var_a, var_b, both) = (aa / n - a * a, bb / n - b * b, ab / n - a * b);
    let (c1, c2) = ((0.01_f64 * 255.0).powi(2), (0.03_f64 * 255.0).powi(2));
    (2.0 * a * b + c1) * (2.0 * both + c2) / ((a * a + b * b + c1) * (var_a + var_b + c2))
}
