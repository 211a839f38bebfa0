//! Which encoders there are, by the names that a configuration gives them, and in which order they are tried.
//!
//! `vaapi` is none of them: it takes pictures that are in the graphics card's memory already, and nothing here puts them
//! there.

use std::fmt;
use std::str::FromStr;

use crate::program::Named;

/// Something that makes H.264.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A device of Video4Linux that codes from memory to memory, as a Raspberry Pi up to 4 has one.
    V4l2m2m,
    /// A graphics card of NVIDIA.
    Nvenc,
    /// The library x264, through FFmpeg's.
    X264,
    /// The library OpenH264.
    Openh264,
    /// One of the others, by the FFmpeg program.
    Program(&'static Named),
}

/// A name that is no encoder's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no encoder: expected v4l2m2m, nvenc, x264 or openh264")]
pub struct UnknownEncoder(pub String);

impl Kind {
    /// What is tried where nobody has said anything: what needs no device.
    pub const USUAL: &[Self] =
        if cfg!(feature = "libav") { &[Self::X264, Self::Openh264] } else { &[Self::Openh264] };

    /// What is tried of the FFmpeg program's where nobody has said anything.
    pub const OF_PROGRAM: &[Self] = &[Self::X264, Self::Openh264];

    /// The name in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Program(named) => named.kind.name(),
            Self::V4l2m2m => "v4l2m2m",
            Self::Nvenc => "nvenc",
            Self::X264 => "x264",
            Self::Openh264 => "openh264",
        }
    }

    /// It needs to open devices.
    pub const fn is_hardware(self) -> bool {
        match self {
            Self::V4l2m2m | Self::Nvenc => true,
            Self::X264 | Self::Openh264 => false,
            Self::Program(named) => named.kind.is_hardware(),
        }
    }

    /// Whether it works is not tried before there is a picture for it.
    pub(crate) const fn is_believed(self) -> bool {
        self.is_hardware() || matches!(self, Self::Program(_))
    }

    /// Reads names between commas.
    ///
    /// # Errors
    /// One of them is no encoder's.
    pub fn list(names: &str) -> Result<Vec<Self>, UnknownEncoder> {
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        let mut kinds = Vec::new();
        for kind in names.map(str::parse) {
            let kind = kind?;
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        Ok(kinds)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if matches!(self, Self::Program(_)) { f.write_str(" by FFmpeg's program") } else { Ok(()) }
    }
}

impl FromStr for Kind {
    type Err = UnknownEncoder;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name.strip_prefix("h264_").unwrap_or(name) {
            "v4l2m2m" => Ok(Self::V4l2m2m),
            "nvenc" => Ok(Self::Nvenc),
            "x264" | "libx264" => Ok(Self::X264),
            "openh264" | "libopenh264" => Ok(Self::Openh264),
            other => Err(UnknownEncoder(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_their_order() {
        let kinds = Kind::list("v4l2m2m, h264_nvenc,,x264,libx264,openh264").unwrap();
        assert_eq!(kinds, [Kind::V4l2m2m, Kind::Nvenc, Kind::X264, Kind::Openh264]);
        for kind in kinds {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!(Kind::list(""), Ok(vec![]));
        assert_eq!(Kind::list("qsv"), Err(UnknownEncoder("qsv".to_owned())));
    }
}
