//! JPEG in RTP (RFC 2435): [`Burst`] is a picture as packets, [`Depacketiser`] makes a file of packets again.
//!
//! Behind each RTP header:
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! | Type-specific |              Fragment Offset                  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |      Type     |       Q       |     Width     |     Height    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |       Restart Interval        |F|L|       Restart Count       |  if Type is 64 to 127
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |      MBZ      |   Precision   |             Length            |  if Q is 128 to 255
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  and the offset is 0
//! |                    Quantization Table Data                    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Width and height count 8 pixels; a picture whose size is no multiple of 8 is sent as the next larger one that is, and
//! receivers see what its encoder filled its last blocks with.

mod burst;
mod depacketise;
mod header;
mod quality;

pub use crate::rtp::Stamp;
pub use burst::{Burst, BurstError, LEAST_PACKET_BYTES};
pub use depacketise::{Depacketiser, Dropped, File};
pub use header::HeaderError;

/// The payload type that RFC 3551 gives JPEG.
pub const PAYLOAD_TYPE: u8 = 26;
/// Ticks a second of its timestamps.
pub const CLOCK_HZ: u32 = 90_000;

#[cfg(test)]
mod tests;
