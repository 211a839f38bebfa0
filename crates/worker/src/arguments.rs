//! What the worker is told when it is started: `ocelli-codec CAMERA [--encoders NAME,…] [--decoders NAME,…] [--ffmpeg
//! PROGRAM [--ffmpeg-first]]`.
//!
//! The camera's name is for those who look at a list of processes. Anything else is an error.

use std::path::PathBuf;

use crate::confine::Freedom;
use crate::decode::{Device, UnknownDevice};
use crate::h264::{Kind, UnknownEncoder};
use crate::program::Program;

/// The arguments, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Encoders of H.264, in the order in which they are tried.
    pub(crate) encoders: Vec<Kind>,
    /// Hardware that decodes, in the order in which it is tried.
    pub(crate) decoders: Vec<Device>,
    /// The FFmpeg program that decodes and encodes what the libraries cannot.
    pub(crate) ffmpeg: Option<PathBuf>,
    /// It does so with all that it can.
    pub(crate) ffmpeg_first: bool,
}

/// Why the arguments are not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// Nobody knows it.
    #[error("the argument {0:?} is not known")]
    Unknown(String),
    /// It stands at the end.
    #[error("the argument {0} needs a value")]
    NoValue(&'static str),
    /// A name in it.
    #[error(transparent)]
    Encoder(#[from] UnknownEncoder),
    /// A name in it.
    #[error(transparent)]
    Decoder(#[from] UnknownDevice),
}

impl Arguments {
    /// Reads what follows the program's name.
    ///
    /// # Errors
    /// Something in it is not understood.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, ArgumentError> {
        let mut read = Self { encoders: Vec::new(), decoders: Vec::new(), ffmpeg: None, ffmpeg_first: false };
        arguments.next();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--encoders" => {
                    let names = arguments.next().ok_or(ArgumentError::NoValue("--encoders"))?;
                    read.encoders = Kind::list(&names)?;
                }
                "--decoders" => {
                    let names = arguments.next().ok_or(ArgumentError::NoValue("--decoders"))?;
                    read.decoders = Device::list(&names)?;
                }
                "--ffmpeg" => {
                    let program = arguments.next().ok_or(ArgumentError::NoValue("--ffmpeg"))?;
                    read.ffmpeg = Some(program.into());
                }
                "--ffmpeg-first" => read.ffmpeg_first = true,
                _ => return Err(ArgumentError::Unknown(argument)),
            }
        }
        Ok(read)
    }

    /// The encoders of H.264 in the order in which they are tried: the libraries', and those of `program` behind them or before.
    pub(crate) fn kinds(&self, program: Option<&Program>) -> Vec<Kind> {
        let or =
            |usual: &[Kind]| if self.encoders.is_empty() { usual.to_vec() } else { self.encoders.clone() };
        let libraries = or(Kind::USUAL);
        let programs = program.map_or_else(Vec::new, |program| program.encoders(&or(Kind::OF_PROGRAM)));
        if self.ffmpeg_first { [programs, libraries].concat() } else { [libraries, programs].concat() }
    }

    /// What is done while pictures come that a confined process cannot.
    pub(crate) fn freedom(&self) -> Freedom {
        let needs_devices = !self.decoders.is_empty() || self.encoders.iter().any(|kind| kind.is_hardware());
        match (&self.ffmpeg, needs_devices) {
            (Some(_), _) => Freedom::Programs,
            (None, true) => Freedom::Devices,
            (None, false) => Freedom::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Arguments, ArgumentError> {
        Arguments::read(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn encoders_are_named_in_their_order() {
        let usual = Arguments { encoders: vec![], decoders: vec![], ffmpeg: None, ffmpeg_first: false };
        for none in [&[][..], &["front"], &["front", "--encoders", ""]] {
            assert_eq!(read(none), Ok(usual.clone()));
        }
        let device = read(&["front", "--encoders", "v4l2m2m,x264"]).unwrap();
        assert_eq!(device.encoders, [Kind::V4l2m2m, Kind::X264]);
        let decoder = read(&["front", "--decoders", "v4l2m2m,cuda"]).unwrap();
        assert!(decoder.freedom() == Freedom::Devices && decoder.kinds(None) == Kind::USUAL);
        assert_eq!(decoder.decoders, [Device::V4l2m2m, Device::Cuda]);
        assert!(device.freedom() == Freedom::Devices && usual.freedom() == Freedom::None);
        assert_eq!(read(&["front", "--encoders"]), Err(ArgumentError::NoValue("--encoders")));
        let program = read(&["front", "--ffmpeg", "/bin/ffmpeg", "--ffmpeg-first"]).unwrap();
        assert_eq!((program.ffmpeg.clone(), program.ffmpeg_first), (Some("/bin/ffmpeg".into()), true));
        assert_eq!(program.freedom(), Freedom::Programs);
        let unknown = UnknownEncoder("x265".to_owned());
        assert_eq!(read(&["front", "--encoders", "x265"]), Err(unknown.into()));
        assert_eq!(read(&["front", "more"]), Err(ArgumentError::Unknown("more".to_owned())));
    }
}
