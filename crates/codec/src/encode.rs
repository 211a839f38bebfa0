//! JPEG from raw pictures, by libjpeg-turbo, with no more chroma than the camera gave: 4:2:2 stays 4:2:2 and 4:2:0
//! stays 4:2:0, baseline, with the standard Huffman tables, in the sampling that RFC 2435 calls types 0 and 1.
//!
//! Memory: an [`Encoder`] keeps its buffers from picture to picture: room for the longest JPEG of the last size
//! (untouched pages of it cost nothing) and, for packed formats, the separated planes. The compressed picture is copied
//! once, into a [`Bytes`] of exactly its length: 100 KB are copied in about 5 µs, where encoding them takes
//! milliseconds, and a queue of pictures then holds no slack.

use bytes::Bytes;
use ocelli_media::Size;
use turbojpeg::{Compressor, Image, Subsamp, YuvPlanesImage};

use crate::Canvas;
use crate::planes::{self, Planes, Scratch};

/// Longest side of a picture, in pixels: what libjpeg takes.
pub const MAX_SIDE: u16 = 65_500;

/// How a raw picture's bytes are laid out. Names as in V4L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Packed 4:2:2, Y U Y V. An odd last column still has its whole four bytes.
    Yuyv,
    /// Packed 4:2:2, U Y V Y. An odd last column still has its whole four bytes.
    Uyvy,
    /// 4:2:0: a plane of Y, then one of pairs U V, half as many rows of the same stride.
    Nv12,
    /// 4:2:0: a plane of Y, then one of U, then one of V, each half as many rows of half the stride. Also called I420.
    Yu12,
    /// Packed R G B, 3 bytes a pixel. Encoded as 4:2:0.
    Rgb24,
}

impl PixelFormat {
    /// Bytes of a row of the first plane that hold picture: the least possible stride.
    pub fn row_bytes(self, width: u16) -> usize {
        let width = usize::from(width);
        match self {
            Self::Yuyv | Self::Uyvy => width.next_multiple_of(2) * 2,
            Self::Nv12 | Self::Yu12 => width.next_multiple_of(2),
            Self::Rgb24 => width * 3,
        }
    }

    /// Least length in bytes of a picture whose rows are `stride` bytes apart. The last row needs no padding.
    pub fn picture_bytes(self, size: Size, stride: usize) -> usize {
        let rows = usize::from(size.height);
        let half = rows.div_ceil(2);
        let row = self.row_bytes(size.width);
        match self {
            Self::Yuyv | Self::Uyvy | Self::Rgb24 => stride * (rows - 1) + row,
            Self::Nv12 => stride * (rows + half - 1) + row,
            Self::Yu12 => stride * rows + stride / 2 * (2 * half - 1) + row / 2,
        }
    }
}

/// What numbers stand for black and white. JPEG files have the full range only: the other is widened on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Range {
    /// 0 and 255, and as much for the colours.
    Full,
    /// 16 and 235, and 16 to 240 for the colours: television's, and most raw cameras'. Means nothing for RGB.
    Limited,
}

/// A raw picture that somebody else owns: straight out of a camera's own buffer. Colours are taken as BT.601, the only
/// ones that JPEG files have.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// How `data` is laid out.
    pub format: PixelFormat,
    /// What its numbers stand for.
    pub range: Range,
    /// Size in pixels, each side 1 to [`MAX_SIDE`].
    pub size: Size,
    /// Bytes from one row to the next in the first plane, at least [`PixelFormat::row_bytes`].
    pub stride: usize,
    /// At least [`PixelFormat::picture_bytes`]; what is more is not looked at.
    pub data: &'a [u8],
}

/// Why a picture was not encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A side is zero or longer than [`MAX_SIDE`].
    #[error("a picture of {0} cannot be a JPEG: each side must be 1 to {MAX_SIDE}")]
    Size(Size),
    /// Quality outside 1 to 100.
    #[error("quality {0}: expected 1 to 100")]
    Quality(u8),
    /// The rows are too close together to hold the picture, or absurdly far apart.
    #[error("rows {found} bytes apart: expected {least} to {most}")]
    Stride {
        /// What the picture says.
        found: usize,
        /// The least that holds a row.
        least: usize,
        /// The most that is taken.
        most: usize,
    },
    /// The picture is cut off.
    #[error("the picture has {found} bytes where its size needs {needed}")]
    Short {
        /// Bytes that are there.
        found: usize,
        /// Bytes that its size, format and stride need.
        needed: usize,
    },
    /// libjpeg-turbo refused, in its own words.
    #[error("libjpeg-turbo: {0}")]
    Library(String),
}

impl From<turbojpeg::Error> for EncodeError {
    fn from(error: turbojpeg::Error) -> Self {
        Self::Library(error.to_string())
    }
}

/// Makes JPEG files, one after the other, at one quality. Reuses its buffers: keep one for each camera.
#[derive(Debug)]
pub struct Encoder {
    compressor: Compressor,
    scratch: Scratch,
    output: Vec<u8>,
}

impl Encoder {
    /// An encoder of `quality` 1 (least) to 100 (best).
    ///
    /// # Errors
    /// The quality is outside its range, or there is no memory for libjpeg-turbo's state.
    pub fn new(quality: u8) -> Result<Self, EncodeError> {
        let mut encoder =
            Self { compressor: Compressor::new()?, scratch: Scratch::default(), output: Vec::new() };
        encoder.set_quality(quality)?;
        Ok(encoder)
    }

    /// Changes the quality of the pictures that follow.
    ///
    /// # Errors
    /// The quality is outside 1 to 100.
    pub fn set_quality(&mut self, quality: u8) -> Result<(), EncodeError> {
        if !(1..=100).contains(&quality) {
            return Err(EncodeError::Quality(quality));
        }
        Ok(self.compressor.set_quality(i32::from(quality))?)
    }

    /// Encodes a raw picture into a whole JPEG file.
    ///
    /// # Errors
    /// Size, stride or length do not fit together; never for what the pixels are.
    pub fn encode(&mut self, picture: &Picture<'_>) -> Result<Bytes, EncodeError> {
        check(picture)?;
        if picture.format == PixelFormat::Rgb24 {
            return self.encode_rgb(picture);
        }
        let planes = planes::separate(&mut self.scratch, picture);
        let length = compress_into(&mut self.compressor, &mut self.output, picture.size, &planes)?;
        Ok(Bytes::copy_from_slice(&self.output[..length]))
    }

    /// Encodes a drawing into a whole JPEG file, 4:2:0.
    ///
    /// # Errors
    /// The canvas is larger than [`MAX_SIDE`].
    pub fn encode_canvas(&mut self, canvas: &Canvas) -> Result<Bytes, EncodeError> {
        check_size(canvas.size())?;
        let length = compress_into(&mut self.compressor, &mut self.output, canvas.size(), &canvas.planes())?;
        Ok(Bytes::copy_from_slice(&self.output[..length]))
    }

    fn encode_rgb(&mut self, picture: &Picture<'_>) -> Result<Bytes, EncodeError> {
        let (width, height) = (usize::from(picture.size.width), usize::from(picture.size.height));
        let image = Image {
            pixels: picture.data,
            width,
            pitch: picture.stride,
            height,
            format: turbojpeg::PixelFormat::RGB,
        };
        make_room(&mut self.output, width, height, Subsamp::Sub2x2)?;
        self.compressor.set_subsamp(Subsamp::Sub2x2)?;
        let length = self.compressor.compress_to_slice(image, &mut self.output)?;
        Ok(Bytes::copy_from_slice(&self.output[..length]))
    }
}

/// Encodes planes into `output`, which it makes large enough, and gives the JPEG's length in bytes.
pub(crate) fn compress_into(
    compressor: &mut Compressor,
    output: &mut Vec<u8>,
    size: Size,
    planes: &Planes<'_>,
) -> Result<usize, EncodeError> {
    let (width, height) = (usize::from(size.width), usize::from(size.height));
    let subsamp = if planes.half_rows { Subsamp::Sub2x2 } else { Subsamp::Sub2x1 };
    make_room(output, width, height, subsamp)?;
    let image = YuvPlanesImage {
        y_plane: planes.y,
        u_plane: planes.u,
        v_plane: planes.v,
        width,
        height,
        y_stride: planes.y_stride,
        u_stride: planes.chroma_stride,
        v_stride: planes.chroma_stride,
        subsamp,
    };
    Ok(compressor.compress_yuv_planes_to_slice(&image, output)?)
}

/// Zeroed memory comes untouched from the system, so that room for the worst case costs only what is written to it.
pub(crate) fn make_room(
    output: &mut Vec<u8>,
    width: usize,
    height: usize,
    subsamp: Subsamp,
) -> Result<(), EncodeError> {
    let needed = turbojpeg::compressed_buf_len(width, height, subsamp)?;
    if output.len() != needed {
        *output = Vec::new();
        *output = vec![0; needed];
    }
    Ok(())
}

fn check(picture: &Picture<'_>) -> Result<(), EncodeError> {
    check_size(picture.size)?;
    let least = picture.format.row_bytes(picture.size.width);
    // Drivers round rows up to cache lines or pages; beyond that the number is damaged.
    let most = least + (1 << 16);
    if !(least..=most).contains(&picture.stride) {
        return Err(EncodeError::Stride { found: picture.stride, least, most });
    }
    let needed = picture.format.picture_bytes(picture.size, picture.stride);
    if picture.data.len() < needed {
        return Err(EncodeError::Short { found: picture.data.len(), needed });
    }
    Ok(())
}

fn check_size(size: Size) -> Result<(), EncodeError> {
    let sides = 1..=MAX_SIDE;
    if sides.contains(&size.width) && sides.contains(&size.height) {
        Ok(())
    } else {
        Err(EncodeError::Size(size))
    }
}

#[cfg(test)]
mod tests;
