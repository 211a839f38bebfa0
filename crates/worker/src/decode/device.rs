//! Hardware that decodes streams, by the names that a configuration gives it.
//!
//! Pictures come from it into memory. `vaapi` is none of it: its pictures stay in the graphics card, and nothing here
//! fetches them.

use std::fmt;
use std::str::FromStr;

/// Something that decodes H.264 and H.265.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// A device of Video4Linux that decodes from memory to memory, as a Raspberry Pi has one.
    V4l2m2m,
    /// A graphics card of NVIDIA.
    Cuda,
}

/// A name that is no decoder's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no decoder: expected v4l2m2m or cuda")]
pub struct UnknownDevice(pub String);

impl Device {
    /// Reads names between commas.
    ///
    /// # Errors
    /// One of them is no decoder's.
    pub fn list(names: &str) -> Result<Vec<Self>, UnknownDevice> {
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(str::parse).collect()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4l2m2m => "v4l2m2m",
            Self::Cuda => "cuda",
        })
    }
}

impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "v4l2m2m" => Ok(Self::V4l2m2m),
            "cuda" | "cuvid" => Ok(Self::Cuda),
            other => Err(UnknownDevice(other.to_owned())),
        }
    }
}
