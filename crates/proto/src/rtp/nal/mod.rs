//! H.264 (RFC 6184) and H.265 (RFC 7798) in RTP: [`Burst`] is an access unit as packets, [`Depacketiser`] makes access units
//! of packets again.
//!
//! Access units are NAL units, each behind its length as 4 bytes, big endian. A NAL unit that fits is a packet; one that does
//! not is fragmented; neighbouring ones that are no picture (parameter sets, SEI) share a packet. Interleaved packets are
//! refused.

mod burst;
mod depacketise;

pub use burst::{Burst, BurstError, LEAST_PACKET_BYTES, Packetiser};
pub use depacketise::{AccessUnit, Depacketiser, Dropped};

use super::{h264, h265};

/// Ticks a second of the timestamps of both.
pub const CLOCK_HZ: u32 = 90_000;

/// How the pictures are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// H.264: NAL units begin with one byte of header.
    H264,
    /// H.265: NAL units begin with two bytes of header.
    H265,
}

impl Format {
    /// The name in `a=rtpmap`, before `/90000`.
    pub const fn encoding_name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::H265 => "H265",
        }
    }

    fn header_bytes(self) -> usize {
        match self {
            Self::H264 => 1,
            Self::H265 => 2,
        }
    }

    fn kind(self, first: u8) -> u8 {
        match self {
            Self::H264 => h264::kind(first),
            Self::H265 => h265::kind(first),
        }
    }

    fn is_picture(self, kind: u8) -> bool {
        match self {
            Self::H264 => h264::is_picture(kind),
            Self::H265 => h265::is_picture(kind),
        }
    }

    fn is_key(self, kind: u8) -> bool {
        match self {
            Self::H264 => h264::is_key(kind),
            Self::H265 => h265::is_key(kind),
        }
    }

    fn begins(self, kind: u8) -> bool {
        match self {
            Self::H264 => h264::begins(kind),
            Self::H265 => h265::begins(kind),
        }
    }

    fn is_unit(self, kind: u8) -> bool {
        match self {
            Self::H264 => h264::is_unit(kind),
            Self::H265 => h265::is_unit(kind),
        }
    }

    fn parse(self, payload: &[u8]) -> Result<Payload<'_>, PayloadError> {
        match self {
            Self::H264 => h264::parse(payload),
            Self::H265 => h265::parse(payload),
        }
    }
}

/// What one packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload<'a> {
    /// A NAL unit.
    Single(&'a [u8]),
    /// NAL units, each behind its length as 16 bits.
    Aggregate(&'a [u8]),
    /// A part of one.
    Fragment(Fragment<'a>),
}

/// A part of a NAL unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment<'a> {
    pub(super) start: bool,
    pub(super) end: bool,
    /// The unit's own header, of which H.264 has only the first byte.
    pub(super) header: [u8; 2],
    pub(super) data: &'a [u8],
}

/// Why a payload cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It ends within what its headers say there is.
    #[error("byte {at}: the payload ends within a header or a NAL unit")]
    CutOff {
        /// How many bytes there are.
        at: usize,
    },
    /// A NAL unit without a byte in an aggregate.
    #[error("a NAL unit without its header (RFC 6184 5.7.1, RFC 7798 4.4.2)")]
    Empty,
    /// The sender interleaves although no one has asked it to.
    #[error("byte 0: {name} (type {kind}) belongs to interleaved mode, which is not spoken (RFC 6184 5.4)")]
    Interleaved {
        /// Its type.
        kind: u8,
        /// The RFC's name of it.
        name: &'static str,
    },
    /// A packet with extended headers.
    #[error("byte 0: PACI (type 50) is not spoken (RFC 7798 4.4.4)")]
    Paci,
    /// A type that means nothing.
    #[error("NAL unit type {0} means nothing here")]
    Reserved(u8),
    /// A part of a NAL unit whose start was not there, or another one begins before its end.
    #[error("fragments out of order (RFC 6184 5.8, RFC 7798 4.4.3)")]
    Fragments,
}

#[cfg(test)]
mod tests;
