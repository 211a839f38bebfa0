//! Planes in, coded pictures out: an [`Encoder`] for each output.
//!
//! Whoever adds a coding adds a file beside `jpeg.rs` and an arm to each `match` here.

mod h264;
mod jpeg;
mod raw;

use ocelli_codec::Range;
use ocelli_codec::worker::protocol::{Coding, Output};

pub use self::h264::H264Encoder;
pub use self::jpeg::JpegEncoder;
pub use self::raw::RawEncoder;
use crate::h264::Kind;
use crate::picture::{Layout, Matrix, View};

/// What this worker encodes whatever libraries there are.
pub const CODINGS: &[Coding] = &[Coding::Jpeg, Coding::Rgb24, Coding::Yuv420];

/// Number and time of the frame that a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The server's number.
    pub number: u32,
    /// In microseconds of a clock of the server's.
    pub time_us: i64,
}

/// What an encoder is told beside the picture.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// What the picture shows.
    pub moment: Moment,
    /// A keyframe is wanted.
    pub keyframe: bool,
    /// Quality of the source's JPEG, 1 to 100, where it is one and that can be told.
    pub source_quality: Option<u8>,
}

/// A coded picture, in the encoder's memory.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    /// The picture that it shows, which need not be the one given last.
    pub moment: Moment,
    /// It stands for itself.
    pub key: bool,
    /// Its bytes.
    pub data: &'a [u8],
}

/// Why a picture was not encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// No encoder of it works, and none will: the reasons in words.
    #[error("{0}")]
    NoEncoder(String),
    /// The encoder refused, in its own words.
    #[error("{0}")]
    Library(String),
}

/// Makes the pictures of one output, all of one size.
#[derive(Debug)]
pub enum Encoder {
    /// Baseline JPEG.
    Jpeg(JpegEncoder),
    /// H.264.
    H264(Box<H264Encoder>),
    /// Not coded.
    Raw(RawEncoder),
}

impl Encoder {
    /// One for pictures of one size; of H.264 by the first of `kinds` that works.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn new(output: &Output, kinds: &[Kind]) -> Result<Self, EncodeError> {
        match output.coding {
            Coding::Jpeg => JpegEncoder::new(output.quality).map(Self::Jpeg),
            Coding::Rgb24 | Coding::Yuv420 => Ok(Self::Raw(RawEncoder::new(output.coding))),
            Coding::H264 => Ok(Self::H264(Box::new(H264Encoder::new(output, kinds)))),
        }
    }

    /// Takes other settings for the same coding and size from the next picture on. `false` where it cannot, and has to be
    /// made anew.
    pub fn change(&mut self, output: &Output) -> bool {
        match (self, output.coding) {
            (Self::Jpeg(encoder), Coding::Jpeg) => {
                encoder.set_quality(output.quality);
                true
            }
            (Self::H264(encoder), Coding::H264) => {
                encoder.change(output);
                true
            }
            _ => false,
        }
    }

    /// By what it encodes, in words.
    pub fn words(&self) -> String {
        match self {
            Self::Jpeg(_) => "JPEG by libjpeg-turbo".to_owned(),
            Self::H264(encoder) => encoder.words().to_owned(),
            Self::Raw(encoder) => format!("{}", encoder.coding()),
        }
    }

    /// [`Encoder::words`] have changed since this was asked last.
    pub fn has_news(&mut self) -> bool {
        match self {
            Self::H264(encoder) => encoder.has_news(),
            Self::Jpeg(_) | Self::Raw(_) => false,
        }
    }

    /// How pictures of `layout` have to lie for it.
    pub fn layout(&self, layout: Layout) -> Layout {
        match self {
            Self::Jpeg(_) if layout == Layout::Yuv422 => Layout::Yuv422,
            Self::Jpeg(_) => Layout::Yuv420,
            Self::H264(_) => layout,
            Self::Raw(encoder) => encoder.layout(layout),
        }
    }

    fn range(&self, range: Range) -> Range {
        match self {
            Self::Jpeg(_) => Range::Full,
            Self::H264(_) => range,
            Self::Raw(encoder) => encoder.range(range),
        }
    }

    /// In which range and of what it takes a picture.
    pub fn colours(&self, picture: &View<'_>) -> (Range, Matrix) {
        let matrix = if matches!(self, Self::Jpeg(_)) { Matrix::Bt601 } else { picture.matrix };
        (self.range(picture.range), matrix)
    }

    /// Encodes a picture that has the layout, colours and size that it takes. `None`: one comes of it later.
    ///
    /// # Errors
    /// The encoder refuses. It may be tried with the next picture.
    pub fn encode(&mut self, picture: &View<'_>, shot: &Shot) -> Result<Option<Encoded<'_>>, EncodeError> {
        let moment = shot.moment;
        match self {
            Self::Jpeg(encoder) => {
                let data = encoder.encode(picture, shot.source_quality)?;
                Ok(Some(Encoded { moment, key: true, data }))
            }
            Self::H264(encoder) => encoder.encode(picture, shot),
            Self::Raw(encoder) => Ok(Some(Encoded { moment, key: true, data: encoder.encode(picture) })),
        }
    }
}
