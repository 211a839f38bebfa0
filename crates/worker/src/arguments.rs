//! What the worker is told when it is started: `ocelli-codec CAMERA [--encoders NAME,…] [--decoders NAME,…] [--ffmpeg PROGRAM]`.
//!
//! The camera's name is for those who look at a list of processes. Anything else is an error.

use std::path::PathBuf;

use crate::decode::{Device, UnknownDevice};
use crate::h264::{Kind, UnknownEncoder};

/// The arguments, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Encoders of H.264, in the order in which they are tried.
    pub(crate) encoders: Vec<Kind>,
    /// Hardware that decodes, in the order in which it is tried.
    pub(crate) decoders: Vec<Device>,
    /// The FFmpeg program that does it all in the worker's stead.
    pub(crate) ffmpeg: Option<PathBuf>,
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
        let mut read = Self { encoders: Vec::new(), decoders: Vec::new(), ffmpeg: None };
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
                _ => return Err(ArgumentError::Unknown(argument)),
            }
        }
        if read.encoders.is_empty() {
            read.encoders = Kind::USUAL.to_vec();
        }
        Ok(read)
    }

    /// Devices are opened while pictures come, which a confined process cannot.
    pub(crate) fn needs_devices(&self) -> bool {
        !self.decoders.is_empty() || self.encoders.iter().any(|kind| kind.is_hardware())
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
        let usual = Arguments { encoders: Kind::USUAL.to_vec(), decoders: vec![], ffmpeg: None };
        for none in [&[][..], &["front"], &["front", "--encoders", ""]] {
            assert_eq!(read(none), Ok(usual.clone()));
        }
        let device = read(&["front", "--encoders", "v4l2m2m,x264"]).unwrap();
        assert_eq!(device.encoders, [Kind::V4l2m2m, Kind::X264]);
        let decoder = read(&["front", "--decoders", "v4l2m2m,cuda"]).unwrap();
        assert!(decoder.needs_devices() && decoder.encoders == Kind::USUAL);
        assert_eq!(decoder.decoders, [Device::V4l2m2m, Device::Cuda]);
        assert!(device.needs_devices() && !usual.needs_devices());
        assert_eq!(read(&["front", "--encoders"]), Err(ArgumentError::NoValue("--encoders")));
        assert_eq!(read(&["front", "--ffmpeg", "/bin/ffmpeg"]).unwrap().ffmpeg, Some("/bin/ffmpeg".into()));
        let unknown = UnknownEncoder("x265".to_owned());
        assert_eq!(read(&["front", "--encoders", "x265"]), Err(unknown.into()));
        assert_eq!(read(&["front", "more"]), Err(ArgumentError::Unknown("more".to_owned())));
    }
}
