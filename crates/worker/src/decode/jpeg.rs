//! JPEG by libjpeg-turbo, no larger than needed: an M/8 of its size costs less to decode than all of it.
//!
//! A picture of a kind that has no planes of its own (RGB, 12 bits a sample) or in a rare sampling is re-encoded first;
//! no camera known makes such.

use ocelli_codec::Range;
use ocelli_codec::recode::{self, RecodeError, Recoder, Wish};
use ocelli_media::Size;
use ocelli_media::jpeg::rewrite::Sampling;
use ocelli_media::jpeg::{Header, JpegError};
use turbojpeg::{Decompressor, ScalingFactor, Subsamp, YuvImage};

use super::DecodeError;
use crate::picture::{Buffer, Layout, Matrix, View};

/// A decoder of JPEG files. Keeps its buffers.
#[derive(Debug)]
pub struct JpegDecoder {
    decompressor: Decompressor,
    /// The last picture had Huffman tables, which libjpeg-turbo would take for those of one that has none.
    has_tables: bool,
    buffer: Buffer,
}

impl JpegDecoder {
    /// One without buffers yet.
    ///
    /// # Errors
    /// There is no memory for libjpeg-turbo's state.
    pub fn new() -> Result<Self, DecodeError> {
        Ok(Self { decompressor: decompressor()?, has_tables: false, buffer: Buffer::default() })
    }

    /// The size of a whole JPEG file's picture, if it is one that is decoded.
    ///
    /// # Errors
    /// It is damaged, or of a kind that is not decoded.
    pub fn size(jpeg: &[u8]) -> Result<Size, DecodeError> {
        let header = Header::parse(jpeg)?;
        recode::check(&header)?;
        Ok(header.size)
    }

    /// Decodes a whole JPEG file to the least M/8 of its size at which no side is less than `least`'s. `recoder` is for
    /// rare kinds.
    ///
    /// # Errors
    /// It is damaged, or of a kind that is not decoded.
    pub fn decode(
        &mut self,
        jpeg: &[u8],
        least: Size,
        recoder: &mut Recoder,
    ) -> Result<View<'_>, DecodeError> {
        let header = Header::parse(jpeg)?;
        recode::check(&header)?;
        if !header.has_dht && std::mem::take(&mut self.has_tables) {
            self.decompressor = decompressor()?;
        }
        self.has_tables |= header.has_dht;
        let found = self.decompressor.read_header(jpeg)?;
        let is_plain = recode::has_planes(&found)? && header.precision_bits == 8;
        let Some(layout) = layout(found.subsamp).filter(|_| is_plain) else {
            let wish = Wish {
                quality: Some(95),
                sampling: Some(Sampling::Yuv420),
                most: Size { width: u16::MAX, height: u16::MAX },
            };
            let (_, plain) = recoder.recode(jpeg, &wish)?;
            self.has_tables = true;
            let found = self.decompressor.read_header(plain)?;
            let size = Size::new(found.width as u32, found.height as u32).unwrap_or(header.size);
            return self.planes(plain, size, least, Layout::Yuv420, Subsamp::Sub2x2);
        };
        self.planes(jpeg, header.size, least, layout, found.subsamp)
    }

    fn planes(
        &mut self,
        jpeg: &[u8],
        size: Size,
        least: Size,
        layout: Layout,
        subsamp: Subsamp,
    ) -> Result<View<'_>, DecodeError> {
        let factor = factor(size, least);
        self.decompressor.set_scaling_factor(factor)?;
        let [width, height] = [size.width, size.height].map(|side| factor.scale(side.into()));
        let size = Size::new(width as u32, height as u32).ok_or(DecodeError::Nothing)?;
        self.buffer.reset(size, layout);
        (self.buffer.range, self.buffer.matrix) = (Range::Full, Matrix::Bt601);
        let pixels = self.buffer.samples_mut();
        let image = YuvImage { pixels, width, align: 1, height, subsamp };
        recode::sound(self.decompressor.decompress_to_yuv(jpeg, image))?;
        self.buffer.repeat_edges();
        Ok(self.buffer.view())
    }
}

fn decompressor() -> Result<Decompressor, DecodeError> {
    let mut decompressor = Decompressor::new()?;
    decompressor.set_scan_limit(recode::MOST_SCANS)?;
    Ok(decompressor)
}

fn layout(subsamp: Subsamp) -> Option<Layout> {
    match subsamp {
        Subsamp::Sub2x2 => Some(Layout::Yuv420),
        Subsamp::Sub2x1 => Some(Layout::Yuv422),
        Subsamp::None => Some(Layout::Yuv444),
        Subsamp::Gray => Some(Layout::Gray),
        _ => None,
    }
}

/// The least M/8 at which a picture of `size` is no smaller than `least`.
fn factor(size: Size, least: Size) -> ScalingFactor {
    (1..8)
        .map(|eighths| ScalingFactor::new(eighths, 8))
        .find(|factor| {
            factor.scale(size.width.into()) >= least.width.into()
                && factor.scale(size.height.into()) >= least.height.into()
        })
        .unwrap_or(ScalingFactor::ONE)
}

impl From<turbojpeg::Error> for DecodeError {
    fn from(error: turbojpeg::Error) -> Self {
        Self::Refused(format!("libjpeg-turbo: {error}"))
    }
}

impl From<RecodeError> for DecodeError {
    fn from(error: RecodeError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<JpegError> for DecodeError {
    fn from(error: JpegError) -> Self {
        Self::Refused(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_decoded_than_is_needed() {
        let full = Size { width: 1920, height: 1080 };
        let eighths = |width, height| factor(full, Size { width, height }).scale(8);
        assert_eq!([eighths(240, 135), eighths(241, 135), eighths(640, 360)], [1, 2, 3]);
        assert_eq!([eighths(960, 540), eighths(1920, 1080), eighths(4000, 4000)], [4, 8, 8]);
    }
}
