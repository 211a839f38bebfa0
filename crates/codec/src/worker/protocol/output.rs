//! What goes in and what is to come out.

use std::fmt;

use ocelli_media::{Codec, Size, Turn};

use super::fields::Fields;
use super::{OUTPUT, ProtocolError};

/// How the pictures that a worker is given are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Whole JPEG files.
    Jpeg,
    /// Access units of H.264.
    H264,
    /// Access units of H.265.
    H265,
}

impl Input {
    /// All of them, by their numbers.
    pub const ALL: [Self; 3] = [Self::Jpeg, Self::H264, Self::H265];

    /// `None` for sound and for what is not coded.
    pub fn of_codec(codec: Codec) -> Option<Self> {
        match codec {
            Codec::Jpeg => Some(Self::Jpeg),
            Codec::H264 => Some(Self::H264),
            Codec::H265 => Some(Self::H265),
            _ => None,
        }
    }

    pub(super) const fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::H264 => "H.264",
            Self::H265 => "H.265",
        })
    }
}

/// How the pictures that a worker makes are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Baseline JPEG files.
    Jpeg,
    /// H.264: NAL units behind their lengths, parameter sets before each keyframe.
    H264,
    /// Three bytes a pixel: red, green, blue.
    Rgb24,
    /// Planes of Y, U and V, 4:2:0.
    Yuv420,
}

impl Coding {
    /// All of them, by their numbers.
    pub const ALL: [Self; 4] = [Self::Jpeg, Self::H264, Self::Rgb24, Self::Yuv420];

    /// `None` for what no worker makes.
    pub fn of_codec(codec: Codec) -> Option<Self> {
        match codec {
            Codec::Jpeg => Some(Self::Jpeg),
            Codec::H264 => Some(Self::H264),
            Codec::Rgb24 => Some(Self::Rgb24),
            Codec::Yuv420 => Some(Self::Yuv420),
            _ => None,
        }
    }

    pub(super) const fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::H264 => "H.264",
            Self::Rgb24 => "RGB24",
            Self::Yuv420 => "YUV420",
        })
    }
}

/// Names an output of a worker. Chosen by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutputId(pub u16);

impl fmt::Display for OutputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output {}", self.0)
    }
}

/// What an output is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Output {
    /// How it is coded.
    pub coding: Coding,
    /// Greatest width of the turned picture; `None` for any. Pictures keep their shape and are never made larger. The
    /// codings but JPEG and RGB24 round both sides down to even numbers.
    pub width: Option<u16>,
    /// Greatest height of the turned picture; `None` for any.
    pub height: Option<u16>,
    /// How it is turned.
    pub turn: Turn,
    /// Quality of JPEGs, 1 to 100. `None`: about the source's own where that is JPEG, so that a picture that is only
    /// turned loses nothing; else 85.
    pub quality: Option<u8>,
    /// Bit rate of H.264 in kbit/s; 0 for what suits size and rate.
    pub bit_rate_kbps: u32,
    /// Pictures in 1000 s that are to be expected, for the encoder to share its bits among; 0 where nobody knows.
    pub rate_mhz: u32,
    /// A keyframe of H.264 at least every so many milliseconds of the pictures' own time; 0 for each second one.
    pub keyframe_ms: u32,
}

impl Output {
    /// The source's own size, as it lies, with all else left to the encoder.
    pub const fn new(coding: Coding) -> Self {
        Self {
            coding,
            width: None,
            height: None,
            turn: Turn::None,
            quality: None,
            bit_rate_kbps: 0,
            rate_mhz: 0,
            keyframe_ms: 0,
        }
    }

    /// The size that pictures of `source` get: turned, no larger than asked, their shape kept, each side rounded to the
    /// nearest pixel and at least 1; for codings that need it to an even one and at least 2.
    pub fn size(&self, source: Size) -> Size {
        let turned = self.turn.of(source);
        let (width, height) = (u64::from(turned.width), u64::from(turned.height));
        let most_width = u64::from(self.width.unwrap_or(u16::MAX)).min(width);
        let most_height = u64::from(self.height.unwrap_or(u16::MAX)).min(height);
        let scaled = |side: u64, most: u64, whole: u64| (side * most + whole / 2) / whole;
        // Whichever side binds: most_width / width against most_height / height.
        let (width, height) = if most_width * height <= most_height * width {
            (most_width, scaled(height, most_width, width))
        } else {
            (scaled(width, most_height, height), most_height)
        };
        let side = |length: u64| match self.coding {
            Coding::Jpeg | Coding::Rgb24 => length.max(1) as u16,
            Coding::H264 | Coding::Yuv420 => (length as u16 & !1).max(2),
        };
        Size { width: side(width), height: side(height) }
    }

    /// Bytes of the message.
    pub(super) const BYTES: usize = 4 + 1 + 2 + 1 + 2 + 2 + 1 + 1 + 4 + 4 + 4;

    /// The whole message that makes or changes `id`.
    pub(super) fn write(&self, id: OutputId) -> [u8; Self::BYTES] {
        let mut message = [0; Self::BYTES];
        message[..4].copy_from_slice(&(Self::BYTES as u32 - 4).to_be_bytes());
        message[4] = OUTPUT;
        message[5..7].copy_from_slice(&id.0.to_be_bytes());
        message[7] = self.coding.number();
        message[8..10].copy_from_slice(&self.width.unwrap_or(0).to_be_bytes());
        message[10..12].copy_from_slice(&self.height.unwrap_or(0).to_be_bytes());
        message[12] = self.turn.number();
        message[13] = self.quality.unwrap_or(0);
        message[14..18].copy_from_slice(&self.bit_rate_kbps.to_be_bytes());
        message[18..22].copy_from_slice(&self.rate_mhz.to_be_bytes());
        message[22..].copy_from_slice(&self.keyframe_ms.to_be_bytes());
        message
    }

    pub(super) fn read(mut fields: Fields<'_>) -> Result<(OutputId, Self), ProtocolError> {
        let id = OutputId(fields.u16()?);
        let output = Self {
            coding: fields.choice("the coding", Coding::of_number)?,
            width: Some(fields.u16()?).filter(|side| *side > 0),
            height: Some(fields.u16()?).filter(|side| *side > 0),
            turn: fields.choice("the turn", Turn::from_number)?,
            quality: fields.choice("the quality", quality)?,
            bit_rate_kbps: fields.u32()?,
            rate_mhz: fields.u32()?,
            keyframe_ms: fields.u32()?,
        };
        fields.end()?;
        Ok((id, output))
    }
}

/// 1 to 100, and 0 for none.
pub(super) fn quality(number: u8) -> Option<Option<u8>> {
    (number <= 100).then_some(Some(number).filter(|quality| *quality > 0))
}
