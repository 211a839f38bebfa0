//! JPEG by libjpeg-turbo, from planes where they lie: baseline, the standard Huffman tables, 4:2:0 or 4:2:2, which every
//! viewer and RTP take.

use turbojpeg::{Compressor, Subsamp, YuvPlanesImage};

use super::EncodeError;
use crate::picture::{Layout, View};

/// Quality where nobody says any.
const USUAL_QUALITY: u8 = 85;

/// An encoder of JPEG files. Keeps its buffer.
#[derive(Debug)]
pub struct JpegEncoder {
    compressor: Compressor,
    quality: Option<u8>,
    output: Vec<u8>,
}

impl JpegEncoder {
    /// One of `quality` 1 to 100; `None` for about the source's own.
    ///
    /// # Errors
    /// There is no memory for libjpeg-turbo's state.
    pub fn new(quality: Option<u8>) -> Result<Self, EncodeError> {
        Ok(Self { compressor: Compressor::new()?, quality, output: Vec::new() })
    }

    /// Changes the quality of the pictures that follow.
    pub fn set_quality(&mut self, quality: Option<u8>) {
        self.quality = quality;
    }

    /// Encodes planes of full range in 4:2:0 or 4:2:2.
    ///
    /// # Errors
    /// libjpeg-turbo refuses.
    pub fn encode(&mut self, picture: &View<'_>, source_quality: Option<u8>) -> Result<&[u8], EncodeError> {
        let quality = self.quality.or(source_quality).unwrap_or(USUAL_QUALITY);
        self.compressor.set_quality(quality.into())?;
        let subsamp = if picture.layout == Layout::Yuv422 { Subsamp::Sub2x1 } else { Subsamp::Sub2x2 };
        let (width, height) = (usize::from(picture.size.width), usize::from(picture.size.height));
        // Zeroed memory comes untouched from the system: room for the worst case costs what is written to it.
        let most = turbojpeg::compressed_buf_len(width, height, subsamp)?;
        if self.output.len() != most {
            self.output = Vec::new();
            self.output = vec![0; most];
        }
        let [y, u, v] = picture.planes;
        let image = YuvPlanesImage {
            y_plane: y.samples,
            u_plane: u.samples,
            v_plane: v.samples,
            width,
            height,
            y_stride: y.stride,
            u_stride: u.stride,
            v_stride: v.stride,
            subsamp,
        };
        let length = self.compressor.compress_yuv_planes_to_slice(&image, &mut self.output)?;
        Ok(&self.output[..length])
    }
}

impl From<turbojpeg::Error> for EncodeError {
    fn from(error: turbojpeg::Error) -> Self {
        Self::Library(format!("libjpeg-turbo: {error}"))
    }
}
