//! Sound in RTP: Opus (RFC 7587), G.711 (RFC 3551 section 4.5.14) and AAC (RFC 3640, mode AAC-hbr).
//!
//! A frame of Opus is a packet, and G.711 is cut wherever a packet is full. AAC has a header before it; one frame is a packet, or
//! fragments where it is too long:
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! | bits of all AU headers: 16 n  |       AU size         |  ...
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//!   AU header, n times: size in bytes (13), index or, from the second on, its difference less one (3)
//! ```
//!
//! Packets whose frames are interleaved are refused.

mod burst;
mod config;
mod depacketise;

pub use burst::{Burst, BurstError};
pub use config::AacConfig;
pub use depacketise::{Depacketiser, Dropped, Frame};

/// How the sound is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Opus; timestamps have 48 000 ticks a second, whatever the sound's rate.
    Opus,
    /// G.711, A-law or µ-law: a byte a sample and channel.
    G711 {
        /// Channels, 1 or more; nearly always 1.
        channels: u8,
    },
    /// AAC, frames without ADTS headers; timestamps have as many ticks a second as the sound has samples.
    Aac {
        /// Ticks from one frame to the next: 1024, with spectral band replication 2048.
        frame_ticks: u32,
    },
}

impl Format {
    /// Between the RTP header and the sound.
    const fn header_bytes(self) -> usize {
        match self {
            Self::Aac { .. } => AAC_HEADER_BYTES,
            Self::Opus | Self::G711 { .. } => 0,
        }
    }
}

/// The header of a packet with one frame, or a part of one.
const AAC_HEADER_BYTES: usize = 4;
/// The longest frame whose size has 13 bits.
const AAC_MOST_BYTES: usize = (1 << 13) - 1;

#[cfg(test)]
mod tests;
