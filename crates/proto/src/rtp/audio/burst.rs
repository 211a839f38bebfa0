//! A frame of sound as RTP packets.

use std::ops::Range;

use bytes::Bytes;

use super::{AAC_MOST_BYTES, Format};
use crate::rtp::{HEADER_BYTES, Stamp};

/// The shortest packet length that may be asked for.
const LEAST_PACKET_BYTES: usize = 64;

/// Why a frame cannot be packetised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BurstError {
    /// Packets too short for the headers, or longer than UDP's.
    #[error("packets of {0} bytes, expected {LEAST_PACKET_BYTES} to 65507")]
    PacketLength(usize),
    /// A frame that its format cannot carry.
    #[error("a frame of {bytes} bytes, expected 1 to {most}")]
    Length {
        /// Its length.
        bytes: usize,
        /// The longest.
        most: usize,
    },
    /// G.711 without channels, or that ends between the channels of one sample.
    #[error("{bytes} bytes of G.711 are no whole samples of {channels} channels")]
    Samples {
        /// How many bytes there are.
        bytes: usize,
        /// How many of them make a sample.
        channels: u8,
    },
}

/// The packets of one frame. Cloning shares the memory; nothing is allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burst {
    format: Format,
    frame: Bytes,
    /// The most of the frame that a packet carries.
    room: usize,
}

impl Burst {
    /// Packetises `frame` into packets of at most `packet_bytes`: RTP header and payload. A frame is what the encoder gave: an
    /// Opus packet, an AAC frame without ADTS header, or any number of G.711 samples.
    ///
    /// # Errors
    /// The length of packets or of the frame is out of range.
    pub fn new(format: Format, frame: &Bytes, packet_bytes: usize) -> Result<Self, BurstError> {
        if !(LEAST_PACKET_BYTES..=65_507).contains(&packet_bytes) {
            return Err(BurstError::PacketLength(packet_bytes));
        }
        let mut room = packet_bytes - HEADER_BYTES - format.header_bytes();
        let bytes = frame.len();
        let most = match format {
            // RFC 7587 4.2: a packet of Opus is never split.
            Format::Opus => room,
            Format::Aac { .. } => AAC_MOST_BYTES,
            // A minute and more; sequence numbers tell this many packets apart.
            Format::G711 { .. } => 1 << 20,
        };
        if !(1..=most).contains(&bytes) {
            return Err(BurstError::Length { bytes, most });
        }
        if let Format::G711 { channels } = format {
            let sample = usize::from(channels);
            if sample == 0 || sample > room || !bytes.is_multiple_of(sample) {
                return Err(BurstError::Samples { bytes, channels });
            }
            room -= room % sample;
        }
        Ok(Self { format, frame: frame.clone(), room })
    }

    /// How many packets there are: 1 or more.
    pub fn packet_count(&self) -> usize {
        self.frame.len().div_ceil(self.room)
    }

    /// Fills `headers` with a target's own headers, for [`packets`](Self::packets). Allocates nothing once `headers` has room.
    pub fn stamp(&self, stamp: Stamp, headers: &mut Vec<u8>) {
        headers.clear();
        let count = self.packet_count();
        for index in 0..count {
            let mut header = stamp.header(index, count);
            // The marker ends a frame of AAC. In the others it is for the first sound after silence, which is not known here.
            header.marker &= matches!(self.format, Format::Aac { .. });
            if let Format::G711 { channels } = self.format {
                let samples_before = index * self.room / usize::from(channels);
                header.timestamp = header.timestamp.wrapping_add(samples_before as u32);
            }
            headers.extend(header.to_bytes());
            if let Format::Aac { .. } = self.format {
                headers.extend(16_u16.to_be_bytes());
                headers.extend(((self.frame.len() as u16) << 3).to_be_bytes());
            }
        }
    }

    /// Each packet's headers and payload, in order, where `headers` is what [`stamp`](Self::stamp) filled from this burst.
    pub fn packets<'a>(&'a self, headers: &'a [u8]) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> {
        headers.chunks(HEADER_BYTES + self.format.header_bytes()).zip(self.frame.chunks(self.room))
    }

    /// How long each packet's headers are, and where in [`data`](Self::data) its payload is.
    pub(crate) fn pieces(&self) -> impl ExactSizeIterator<Item = (usize, Range<usize>)> {
        let header = HEADER_BYTES + self.format.header_bytes();
        let bytes = self.frame.len();
        (0..self.packet_count())
            .map(move |index| (header, index * self.room..bytes.min((index + 1) * self.room)))
    }

    /// What payloads are parts of.
    pub(crate) fn data(&self) -> &Bytes {
        &self.frame
    }
}
