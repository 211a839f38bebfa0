//! RTP packets (RFC 3550 section 5.1): a header that is written, and a packet that is checked once and then read.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                           timestamp                           |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |           synchronization source (SSRC) identifier            |
//! +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
//! |            contributing source (CSRC) identifiers, CC of them |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  extension, if X: profile (16)  |  its length in words (16)   |
//! |                              words                            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  payload; if P, padding, whose last byte says how much it is  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use std::ops::Range;

/// The length of a header without contributing sources and extension: all that is ever written here.
pub const HEADER_BYTES: usize = 12;

/// What a packet is called. Writing it gives version 2, no padding, no extension, no contributing sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The last packet of a picture (for video).
    pub marker: bool,
    /// What the payload is, 0 to 127; 26 is JPEG (RFC 3551).
    pub payload_type: u8,
    /// One more for each packet, from 65535 on to 0.
    pub sequence: u16,
    /// When the payload was sampled, in ticks of the payload's clock (90 kHz for video), from a random start.
    pub timestamp: u32,
    /// The sender.
    pub ssrc: u32,
}

impl Header {
    /// The header's bytes. The highest bit of the payload type is left out.
    pub const fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let [s1, s0] = self.sequence.to_be_bytes();
        let [t3, t2, t1, t0] = self.timestamp.to_be_bytes();
        let [i3, i2, i1, i0] = self.ssrc.to_be_bytes();
        let second = (self.marker as u8) << 7 | self.payload_type & 0x7F;
        [0x80, second, s1, s0, t3, t2, t1, t0, i3, i2, i1, i0]
    }
}

/// What the packets of one picture for one target are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// What the payload is, 0 to 127: a number that RFC 3551 gives, or one of 96 to 127 that the session's description does.
    pub payload_type: u8,
    /// The first packet's number.
    pub sequence: u16,
    /// When the picture was taken, in ticks of the payload's clock, from the target's random start.
    pub timestamp: u32,
    /// The sender.
    pub ssrc: u32,
}

impl Stamp {
    /// The header of the packet with this index, of `count`.
    pub(crate) fn header(self, index: usize, count: usize) -> Header {
        Header {
            marker: index + 1 == count,
            payload_type: self.payload_type,
            sequence: self.sequence.wrapping_add(index as u16),
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        }
    }
}

/// Why bytes are no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The version is not 2.
    #[error("byte 0: RTP version {0}, expected 2 (RFC 3550 5.1)")]
    Version(u8),
    /// The bytes end within what the header says there is.
    #[error("byte {at}: the packet ends within its {part} (RFC 3550 5.1)")]
    CutOff {
        /// How many bytes there are.
        at: usize,
        /// The part that does not fit.
        part: &'static str,
    },
    /// The padding's length is 0, or more than the payload.
    #[error("byte {at}: {padding} bytes of padding, expected 1 to {most} (RFC 3550 5.1)")]
    Padding {
        /// Offset of the padding's length.
        at: usize,
        /// What it says.
        padding: u8,
        /// The most that there is room for.
        most: usize,
    },
}

/// A packet whose header, extension and padding are within its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    bytes: &'a [u8],
    payload: Range<usize>,
}

impl<'a> Packet<'a> {
    /// Checks the bytes of one datagram.
    ///
    /// # Errors
    /// They are no RTP packet.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let cut_off = |part| PacketError::CutOff { at: bytes.len(), part };
        let first = *bytes.first().ok_or_else(|| cut_off("header"))?;
        if first >> 6 != 2 {
            return Err(PacketError::Version(first >> 6));
        }
        let (padded, extended) = (first & 0x20 != 0, first & 0x10 != 0);
        let mut start = HEADER_BYTES;
        if bytes.len() < start {
            return Err(cut_off("header"));
        }
        start += 4 * usize::from(first & 15);
        if bytes.len() < start {
            return Err(cut_off("contributing sources"));
        }
        if extended {
            let Some(&[_, _, high, low]) = bytes.get(start..start + 4) else {
                return Err(cut_off("extension"));
            };
            start += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
            if bytes.len() < start {
                return Err(cut_off("extension"));
            }
        }
        let mut end = bytes.len();
        if padded {
            let most = end - start;
            let padding = if most == 0 { 0 } else { bytes[end - 1] };
            if padding == 0 || usize::from(padding) > most {
                return Err(PacketError::Padding { at: end - 1, padding, most });
            }
            end -= usize::from(padding);
        }
        Ok(Self { bytes, payload: start..end })
    }

    /// Whether it is the last packet of a picture (for video).
    pub fn marker(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    /// What the payload is, 0 to 127.
    pub fn payload_type(&self) -> u8 {
        self.bytes[1] & 0x7F
    }

    /// Its number in the sender's order.
    pub fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.bytes[2], self.bytes[3]])
    }

    /// When the payload was sampled, in ticks of the payload's clock.
    pub fn timestamp(&self) -> u32 {
        self.word(4)
    }

    /// The sender.
    pub fn ssrc(&self) -> u32 {
        self.word(8)
    }

    /// Those whose media a mixer put together, 0 to 15.
    pub fn contributing_sources(&self) -> impl Iterator<Item = u32> {
        (0..usize::from(self.bytes[0] & 15)).map(|index| self.word(HEADER_BYTES + 4 * index))
    }

    /// The header extension: its profile's number and its words.
    pub fn extension(&self) -> Option<(u16, &'a [u8])> {
        let start = HEADER_BYTES + 4 * usize::from(self.bytes[0] & 15);
        let profile = || u16::from_be_bytes([self.bytes[start], self.bytes[start + 1]]);
        (self.bytes[0] & 0x10 != 0).then(|| (profile(), &self.bytes[start + 4..self.payload.start]))
    }

    /// What is carried, without padding.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[self.payload.clone()]
    }

    fn word(&self, at: usize) -> u32 {
        let [a, b, c, d] = [self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]];
        u32::from_be_bytes([a, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_field_is_read_where_the_rfc_has_it() {
        let bytes = [
            0xB2, 0x9A, 0x12, 0x34, 0, 0, 0, 5, 0xDE, 0xAD, 0xBE, 0xEF, 0, 0, 0, 1, 0, 0, 0, 2, 0xBE, 0xDE,
            0, 1, 9, 8, 7, 6, 0xAA, 0xBB, 0, 2,
        ];
        let packet = Packet::parse(&bytes).unwrap();
        assert!(packet.marker());
        assert_eq!((packet.payload_type(), packet.sequence(), packet.timestamp()), (26, 0x1234, 5));
        assert_eq!(packet.ssrc(), 0xDEAD_BEEF);
        assert_eq!(packet.contributing_sources().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(packet.extension(), Some((0xBEDE, &[9, 8, 7, 6][..])));
        assert_eq!(packet.payload(), [0xAA, 0xBB]);
    }

    #[test]
    fn lies_about_lengths_are_refused() {
        let error = |bytes: &[u8]| Packet::parse(bytes).unwrap_err().to_string();
        let header =
            Header { marker: false, payload_type: 26, sequence: 1, timestamp: 2, ssrc: 3 }.to_bytes();
        let first = |first: u8, behind: &[u8]| [&[first], &header[1..], behind].concat();
        assert_eq!(error(&[]), "byte 0: the packet ends within its header (RFC 3550 5.1)");
        assert_eq!(error(&[0x40]), "byte 0: RTP version 1, expected 2 (RFC 3550 5.1)");
        assert_eq!(error(&header[..11]), "byte 11: the packet ends within its header (RFC 3550 5.1)");
        assert!(
            error(&first(0x81, &[0; 3])).contains("byte 15: the packet ends within its contributing sources")
        );
        assert!(error(&first(0x90, &[0; 3])).contains("within its extension"));
        assert!(error(&first(0x90, &[0, 0, 0, 1, 0])).contains("within its extension"));
        assert!(error(&first(0xA0, &[])).contains("0 bytes of padding, expected 1 to 0"));
        assert!(error(&first(0xA0, &[1, 0])).contains("byte 13: 0 bytes of padding, expected 1 to 2"));
        assert!(error(&first(0xA0, &[1, 3])).contains("3 bytes of padding"));
        assert_eq!(Packet::parse(&first(0xA0, &[1, 2])).unwrap().payload(), [0_u8; 0]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            (marker, payload_type, sequence) in (any::<bool>(), 0_u8..128, any::<u16>()),
            (timestamp, ssrc) in any::<(u32, u32)>(),
            payload in proptest::collection::vec(any::<u8>(), 0..50),
        ) {
            let header = Header { marker, payload_type, sequence, timestamp, ssrc };
            let bytes = [&header.to_bytes()[..], &payload].concat();
            let packet = Packet::parse(&bytes).unwrap();
            let read = Header {
                marker: packet.marker(),
                payload_type: packet.payload_type(),
                sequence: packet.sequence(),
                timestamp: packet.timestamp(),
                ssrc: packet.ssrc(),
            };
            prop_assert_eq!(read, header);
            prop_assert_eq!(packet.payload(), &payload[..]);
            prop_assert_eq!(packet.extension(), None);
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
            if let Ok(packet) = Packet::parse(&bytes) {
                let _ = (packet.extension(), packet.contributing_sources().count(), packet.payload());
            }
        }
    }
}
