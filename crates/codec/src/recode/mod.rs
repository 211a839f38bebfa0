//! JPEG to JPEG through pixels: any JPEG that libjpeg-turbo decodes becomes the plain baseline one that everybody takes:
//! 4:2:0 or 4:2:2, the standard Huffman tables, one scan, no restart markers, no larger than asked.
//!
//! The picture stays in Y, Cb and Cr: its planes are decoded, colour is thinned or repeated where the sampling differs,
//! and they are encoded. Only RGB pictures, odd samplings (4:1:0) and pictures of 12 bits a sample go through RGB. A picture that is too large is
//! decoded at the greatest M/8 of its size that fits, which costs less than decoding all of it.
//!
//! Refuses, before any memory is taken: more than [`MOST_PIXELS`], CMYK, other than 8 and 12 bits a sample, hierarchical
//! coding.
//! A damaged picture is an error, never a picture with grey in it.
//!
//! This calls a C decoder. Bytes of strangers get here in the worker's process only.

mod chroma;
mod twelve;

use ocelli_media::Size;
use ocelli_media::jpeg::rewrite::Sampling;
use ocelli_media::jpeg::{Chroma, Header, JpegError, Process, estimate_quality};
use turbojpeg::{
    Colorspace, Compressor, DecompressHeader, Decompressor, Image, ScalingFactor, Subsamp, YuvImage,
};

use self::chroma::{Change, Plane};
use crate::encode::{EncodeError, compress_into, make_room};
use crate::planes::Planes;

/// Most pixels of a picture that is taken: 8192x4608. A progressive one of so many takes about 350 MB to decode.
pub const MOST_PIXELS: u32 = 8192 * 4608;
/// Scans of a progressive picture that are followed. Encoders make about ten; thousands in a few KB are an attack.
pub const MOST_SCANS: u32 = 200;
/// Quality of a picture whose own cannot be told.
const USUAL_QUALITY: u8 = 85;

/// What is wanted of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    /// 1 to 100; `None` for about the picture's own ([`estimate_quality`]; 85 where that cannot be told).
    pub quality: Option<u8>,
    /// How colour is to be sampled; `None` for 4:2:2 where the picture is so, else 4:2:0.
    pub sampling: Option<Sampling>,
    /// Greatest width and height, each 1 or more. Larger pictures are made smaller, with their shape kept.
    pub most: Size,
}

/// Why a picture was not re-encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecodeError {
    /// Its segments break the rules.
    #[error(transparent)]
    Segments(#[from] JpegError),
    /// More than [`MOST_PIXELS`].
    #[error("a picture of {0} is not decoded: only up to {MOST_PIXELS} pixels")]
    TooLarge(Size),
    /// It cannot be made small enough.
    #[error("a picture of {size} cannot be made to fit into {most}")]
    NoFit {
        /// Its size.
        size: Size,
        /// What was asked.
        most: Size,
    },
    /// Neither 8 nor 12 bits a sample.
    #[error("{0} bits a sample are not decoded, only 8 and 12")]
    Precision(u8),
    /// Not grey, YCbCr or RGB.
    #[error("pictures of {0} components are not decoded, only grey, YCbCr and RGB")]
    Components(u8),
    /// CMYK in three components, or another space that has no way to YCbCr.
    #[error("colours that are not grey, YCbCr or RGB are not decoded")]
    Colours,
    /// Hierarchical coding and others that no decoder has.
    #[error("{0} coding is not decoded")]
    Process(Process),
    /// The wish is outside its range.
    #[error("{what} {found}: expected 1 to {most}")]
    Wish {
        /// What was wished.
        what: &'static str,
        /// Its value.
        found: u16,
        /// The greatest that is taken.
        most: u16,
    },
    /// libjpeg-turbo refused, in its own words: mostly damage.
    #[error("libjpeg-turbo: {0}")]
    Library(String),
}

impl From<turbojpeg::Error> for RecodeError {
    fn from(error: turbojpeg::Error) -> Self {
        Self::Library(error.to_string())
    }
}

impl From<EncodeError> for RecodeError {
    fn from(error: EncodeError) -> Self {
        Self::Library(error.to_string())
    }
}

/// Re-encodes pictures, one after the other. Keeps its buffers: pictures of one size make no more memory.
#[derive(Debug)]
pub struct Recoder {
    decompressor: Decompressor,
    /// Since the first picture of 12 bits.
    twelve: Option<twelve::Decoder>,
    compressor: Compressor,
    /// Decoded: planes Y, Cb, Cr one behind the other, or RGB.
    decoded: Vec<u8>,
    /// Y of an odd size, with its last row and column repeated.
    luma: Vec<u8>,
    /// Cb and Cr as they are encoded.
    chroma: [Vec<u8>; 2],
    output: Vec<u8>,
}

impl Recoder {
    /// One without buffers yet.
    ///
    /// # Errors
    /// There is no memory for libjpeg-turbo's state.
    pub fn new() -> Result<Self, RecodeError> {
        let mut decompressor = Decompressor::new()?;
        decompressor.set_scan_limit(MOST_SCANS)?;
        Ok(Self {
            decompressor,
            twelve: None,
            compressor: Compressor::new()?,
            decoded: Vec::new(),
            luma: Vec::new(),
            chroma: [Vec::new(), Vec::new()],
            output: Vec::new(),
        })
    }

    /// Re-encodes one whole JPEG file. The result lies in this recoder's own memory.
    ///
    /// # Errors
    /// The picture is damaged or of a kind that is not decoded, or the wish is outside its range.
    pub fn recode(&mut self, jpeg: &[u8], wish: &Wish) -> Result<(Size, &[u8]), RecodeError> {
        check_wish(wish)?;
        let header = Header::parse(jpeg)?;
        check(&header)?;
        let found = self.decompressor.read_header(jpeg)?;
        let factor = fit(&header, found.is_lossless, wish.most)?;
        self.decompressor.set_scaling_factor(factor)?;
        let sampling = wish.sampling.unwrap_or(match header.chroma() {
            Chroma::Yuv422 => Sampling::Yuv422,
            _ => Sampling::Yuv420,
        });
        let quality = wish.quality.or_else(|| estimate_quality(jpeg)).unwrap_or(USUAL_QUALITY);
        self.compressor.set_quality(quality.into())?;
        let scaled = found.scaled(factor);
        let length = if header.precision_bits == 12 {
            self.through_narrowed(jpeg, &scaled, factor, sampling)?
        } else if has_planes(&found)? {
            self.decode_planes(jpeg, &scaled)?;
            self.encode_planes(&scaled, sampling)?
        } else {
            self.through_rgb(jpeg, &scaled, sampling)?
        };
        let size = Size { width: scaled.width as u16, height: scaled.height as u16 };
        Ok((size, &self.output[..length]))
    }

    fn decode_planes(&mut self, jpeg: &[u8], scaled: &DecompressHeader) -> Result<(), RecodeError> {
        let DecompressHeader { width, height, subsamp, .. } = *scaled;
        let length = turbojpeg::yuv_pixels_len(width, 1, height, subsamp)?;
        self.decoded.resize(length, 0);
        let image = YuvImage { pixels: &mut self.decoded[..], width, align: 1, height, subsamp };
        sound(self.decompressor.decompress_to_yuv(jpeg, image))
    }

    fn encode_planes(&mut self, scaled: &DecompressHeader, sampling: Sampling) -> Result<usize, RecodeError> {
        let DecompressHeader { width, height, subsamp, .. } = *scaled;
        let (across, down) = subsamp.size();
        let (columns, rows) = (width.next_multiple_of(across), height.next_multiple_of(down));
        let (luma, chroma) = self.decoded.split_at_mut(columns * rows);
        let mut luma = Plane { samples: luma, columns, rows };
        luma.repeat_edges(width, height);
        let (target_across, target_down) = sampling.luma_blocks();
        let (target_across, target_down) = (usize::from(target_across), usize::from(target_down));
        let (wide, high) = (width.next_multiple_of(target_across), height.next_multiple_of(target_down));
        let (y, y_stride) = if columns < wide || rows < high {
            luma.extended(wide, high, &mut self.luma);
            (&self.luma[..], wide)
        } else {
            (&*luma.samples, columns)
        };
        let target = (wide / target_across, high / target_down);
        let (u, v) = if subsamp == Subsamp::Gray {
            // Neutral, once for both.
            self.chroma[0].clear();
            self.chroma[0].resize(target.0 * target.1, 128);
            (&self.chroma[0][..], &self.chroma[0][..])
        } else {
            let (from_columns, from_rows) = (columns / across, rows / down);
            let (blue, red) = chroma.split_at_mut(from_columns * from_rows);
            let change = Change::between((across, down), (target_across, target_down));
            let [blue, red] =
                [blue, red].map(|samples| Plane { samples, columns: from_columns, rows: from_rows });
            if change == Change::NONE {
                (&*blue.samples, &*red.samples)
            } else {
                let [u, v] = &mut self.chroma;
                blue.resampled(change, target, u);
                red.resampled(change, target, v);
                (&u[..], &v[..])
            }
        };
        let planes =
            Planes { y, u, v, y_stride, chroma_stride: target.0, half_rows: sampling == Sampling::Yuv420 };
        let size = Size { width: width as u16, height: height as u16 };
        Ok(compress_into(&mut self.compressor, &mut self.output, size, &planes)?)
    }

    fn through_rgb(
        &mut self,
        jpeg: &[u8],
        scaled: &DecompressHeader,
        sampling: Sampling,
    ) -> Result<usize, RecodeError> {
        let DecompressHeader { width, height, .. } = *scaled;
        let pitch = width * 3;
        self.decoded.resize(pitch * height, 0);
        let format = turbojpeg::PixelFormat::RGB;
        let image = Image { pixels: &mut self.decoded[..], width, pitch, height, format };
        sound(self.decompressor.decompress(jpeg, image))?;
        self.encode_rgb(scaled, sampling)
    }

    fn through_narrowed(
        &mut self,
        jpeg: &[u8],
        scaled: &DecompressHeader,
        factor: ScalingFactor,
        sampling: Sampling,
    ) -> Result<usize, RecodeError> {
        let mut twelve = match self.twelve.take() {
            Some(twelve) => twelve,
            None => twelve::Decoder::new(MOST_SCANS)?,
        };
        let result = twelve.decode(jpeg, factor, (scaled.width, scaled.height), &mut self.decoded);
        self.twelve = Some(twelve);
        result?;
        self.encode_rgb(scaled, sampling)
    }

    fn encode_rgb(&mut self, scaled: &DecompressHeader, sampling: Sampling) -> Result<usize, RecodeError> {
        let DecompressHeader { width, height, .. } = *scaled;
        let subsamp = match sampling {
            Sampling::Yuv420 => Subsamp::Sub2x2,
            Sampling::Yuv422 => Subsamp::Sub2x1,
        };
        make_room(&mut self.output, width, height, subsamp)?;
        self.compressor.set_subsamp(subsamp)?;
        let format = turbojpeg::PixelFormat::RGB;
        let image = Image { pixels: &self.decoded[..], width, pitch: width * 3, height, format };
        Ok(self.compressor.compress_to_slice(image, &mut self.output)?)
    }
}

fn check_wish(wish: &Wish) -> Result<(), RecodeError> {
    let in_range = |what, found, most| {
        if (1..=most).contains(&found) { Ok(()) } else { Err(RecodeError::Wish { what, found, most }) }
    };
    in_range("quality", wish.quality.unwrap_or(USUAL_QUALITY).into(), 100)?;
    in_range("width", wish.most.width, u16::MAX)?;
    in_range("height", wish.most.height, u16::MAX)
}

/// Refuses by the header alone what would cost too much, or what the decoder would refuse in words that help nobody.
///
/// # Errors
/// Why it is not decoded.
pub fn check(header: &Header) -> Result<(), RecodeError> {
    if u32::from(header.size.width) * u32::from(header.size.height) > MOST_PIXELS {
        return Err(RecodeError::TooLarge(header.size));
    }
    if !matches!(header.precision_bits, 8 | 12)
        || header.precision_bits == 12 && header.process == Process::Lossless
    {
        return Err(RecodeError::Precision(header.precision_bits));
    }
    if !matches!(header.components().len(), 1 | 3) {
        return Err(RecodeError::Components(header.components().len() as u8));
    }
    match header.process {
        // 9 and 10 are sequential and progressive with arithmetic coding.
        Process::Baseline
        | Process::Extended
        | Process::Progressive
        | Process::Lossless
        | Process::Other(9 | 10) => Ok(()),
        other => Err(RecodeError::Process(other)),
    }
}

/// The greatest M/8 at which the picture is no larger than `most`. A lossless one cannot be scaled.
fn fit(header: &Header, is_lossless: bool, most: Size) -> Result<ScalingFactor, RecodeError> {
    let (width, height) = (usize::from(header.size.width), usize::from(header.size.height));
    let least = if is_lossless { 8 } else { 1 };
    (least..=8)
        .rev()
        .map(|eighths| ScalingFactor::new(eighths, 8))
        .find(|factor| {
            factor.scale(width) <= usize::from(most.width) && factor.scale(height) <= usize::from(most.height)
        })
        .ok_or(RecodeError::NoFit { size: header.size, most })
}

/// Whether the decoder can give the picture's own planes. If not, it can give RGB.
///
/// # Errors
/// It can give neither.
pub fn has_planes(found: &DecompressHeader) -> Result<bool, RecodeError> {
    match found.colorspace {
        Colorspace::YCbCr | Colorspace::Gray => {
            Ok(!found.is_lossless && !matches!(found.subsamp, Subsamp::Unknown))
        }
        Colorspace::RGB => Ok(false),
        Colorspace::CMYK | Colorspace::YCCK => Err(RecodeError::Colours),
    }
}

/// Damage is an error. A few bytes too many before the end marker are none: many webcams write them, and the picture
/// is whole. libjpeg-turbo tells the first thing that was wrong, so nothing was before.
///
/// # Errors
/// What is damaged.
pub fn sound(result: turbojpeg::Result<()>) -> Result<(), RecodeError> {
    match result {
        Err(turbojpeg::Error::TurboJpegError(words))
            if words.ends_with("extraneous bytes before marker 0xd9") =>
        {
            Ok(())
        }
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests;
