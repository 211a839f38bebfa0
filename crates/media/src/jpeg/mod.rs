//! JPEG as a container (ITU-T T.81 annex B): its segments, and what its headers say. Decodes no picture.
//!
//! Everything here takes untrusted bytes: no input panics, and each byte is looked at a bounded number of times.

mod error;
mod header;
mod quality;
pub mod rewrite;
mod walk;

pub use error::JpegError;
pub use header::{Chroma, Component, Header, Process};
pub use quality::{LUMA_QUANTISATION, estimate_quality};
pub(crate) use walk::find_start;
pub use walk::{Item, Items, Step, Walker};

/// Codes of the markers that are named here: the byte that follows `FF` (T.81 table B.1).
pub mod marker {
    /// Baseline frame header; the frame headers of the other processes lie at `C1` to `CF`.
    pub const SOF0: u8 = 0xC0;
    /// Huffman tables.
    pub const DHT: u8 = 0xC4;
    /// Reserved for extensions.
    pub const JPG: u8 = 0xC8;
    /// Arithmetic coding conditions.
    pub const DAC: u8 = 0xCC;
    /// Restart marker 0; the last is `D7`.
    pub const RST0: u8 = 0xD0;
    /// Restart marker 7.
    pub const RST7: u8 = 0xD7;
    /// Start of image.
    pub const SOI: u8 = 0xD8;
    /// End of image.
    pub const EOI: u8 = 0xD9;
    /// Start of scan.
    pub const SOS: u8 = 0xDA;
    /// Quantisation tables.
    pub const DQT: u8 = 0xDB;
    /// Restart interval.
    pub const DRI: u8 = 0xDD;
    /// Application segment 0 (JFIF); EXIF, which may hold a whole other JPEG, is in 1.
    pub const APP0: u8 = 0xE0;
    /// Application segment 15.
    pub const APP15: u8 = 0xEF;
    /// Comment.
    pub const COM: u8 = 0xFE;

    /// Whether `code` starts a frame header (SOF0 to SOF15, which skip DHT, JPG and DAC).
    pub const fn is_frame(code: u8) -> bool {
        matches!(code, 0xC0..=0xCF) && !matches!(code, DHT | JPG | DAC)
    }

    /// Whether `code` starts a segment of tables or parameters, as opposed to one of free contents (COM, APPn, JPGn).
    pub const fn holds_tables(code: u8) -> bool {
        matches!(code, 0xC0..=0xDF)
    }

    /// Whether `code` is a marker without a segment that may stand anywhere between segments: TEM, RST0 to RST7.
    pub const fn is_bare(code: u8) -> bool {
        matches!(code, 0x01 | RST0..=RST7)
    }
}

#[cfg(test)]
mod tests;
