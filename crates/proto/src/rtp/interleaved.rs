//! Packets between the messages of an RTSP connection (RFC 2326 section 10.12): a picture for one `writev`.
//!
//! ```text
//! +-----+---------+-----------------+- - - - - -+- - - - -+
//! | '$' | channel | length (16 bit) | RTP header | payload |  for each packet
//! +-----+---------+-----------------+- - - - - -+- - - - -+
//! ```
//!
//! Lengths, markers and what comes between RTP header and payload are laid once for all readers. Each reader has a copy of the headers
//! with its own channel, numbers and sender in them, and shares the payload.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{HEADER_BYTES, Stamp, audio, jpeg, nal};

/// What stands before each packet.
pub const PREFIX_BYTES: usize = 4;

/// What stands before a packet of `length` bytes.
pub const fn prefix(channel: u8, length: u16) -> [u8; PREFIX_BYTES] {
    let [high, low] = length.to_be_bytes();
    [b'$', channel, high, low]
}

/// The packets of one picture, or of one frame of sound, as they stand in a connection. Cloning shares the memory.
///
/// ```
/// use bytes::Bytes;
/// use ocelli_proto::rtp::nal::{Burst, Format};
/// use ocelli_proto::rtp::{Interleaved, Stamp};
/// let access_unit = Bytes::from_static(&[0, 0, 0, 3, 0x65, 1, 2]);
/// let burst = Interleaved::from(&Burst::new(Format::H264, &access_unit, 1400)?);
/// let mut headers = Vec::new();
/// burst.stamp(6, Stamp { payload_type: 96, sequence: 1, timestamp: 2, ssrc: 3 }, &mut headers);
/// let slices: Vec<&[u8]> = burst.slices(&headers, 0).collect();
/// assert_eq!(slices[0], [b'$', 6, 0, 15, 0x80, 0xE0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
/// assert_eq!(slices[1], [0x65, 1, 2]);
/// # Ok::<(), ocelli_proto::rtp::nal::BurstError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Interleaved {
    layout: Arc<Layout>,
    data: Bytes,
}

#[derive(Debug)]
struct Layout {
    /// All that is no payload, one packet behind the other. Channels and senders are zero, numbers and timestamps count from zero.
    headers: Vec<u8>,
    packets: Vec<Piece>,
    total_bytes: usize,
}

/// One packet.
#[derive(Debug)]
struct Piece {
    /// Where its headers end; they begin where those before end.
    headers_end: u32,
    /// Where its payload is.
    payload: Range<u32>,
}

/// Numbers that change nothing when others are added to them.
const ZERO: Stamp = Stamp { payload_type: 0, sequence: 0, timestamp: 0, ssrc: 0 };

impl Interleaved {
    /// Of what was stamped with [`ZERO`], and how long the headers of each packet are, and where its payload is in `data`.
    fn lay(
        stamped: &[u8],
        pieces: impl ExactSizeIterator<Item = (usize, Range<usize>)>,
        data: &Bytes,
    ) -> Self {
        let mut headers = Vec::with_capacity(stamped.len() + pieces.len() * PREFIX_BYTES);
        let mut packets = Vec::with_capacity(pieces.len());
        let (mut rest, mut total_bytes) = (stamped, 0);
        for (header_bytes, payload) in pieces {
            let (header, behind) = rest.split_at(header_bytes);
            rest = behind;
            // Bursts have packets of at most 65507 bytes, of data whose offsets have 32 bits.
            headers.extend(prefix(0, (header_bytes + payload.len()) as u16));
            headers.extend_from_slice(header);
            total_bytes += PREFIX_BYTES + header_bytes + payload.len();
            let payload = payload.start as u32..payload.end as u32;
            packets.push(Piece { headers_end: headers.len() as u32, payload });
        }
        Self { layout: Arc::new(Layout { headers, packets, total_bytes }), data: data.clone() }
    }

    /// How many packets there are: 1 or more.
    pub fn packet_count(&self) -> usize {
        self.layout.packets.len()
    }

    /// How long all packets are together, with what stands before them.
    pub fn total_bytes(&self) -> usize {
        self.layout.total_bytes
    }

    /// Fills `headers` with a reader's own headers, for [`slices`](Self::slices). Allocates nothing once `headers` has room.
    pub fn stamp(&self, channel: u8, stamp: Stamp, headers: &mut Vec<u8>) {
        headers.clear();
        headers.extend_from_slice(&self.layout.headers);
        let mut at = 0;
        for piece in &self.layout.packets {
            let packet = &mut headers[at..at + PREFIX_BYTES + HEADER_BYTES];
            packet[1] = channel;
            packet[5] |= stamp.payload_type & 0x7F;
            let sequence = u16::from_be_bytes([packet[6], packet[7]]).wrapping_add(stamp.sequence);
            packet[6..8].copy_from_slice(&sequence.to_be_bytes());
            let ticks = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
            packet[8..12].copy_from_slice(&ticks.wrapping_add(stamp.timestamp).to_be_bytes());
            packet[12..16].copy_from_slice(&stamp.ssrc.to_be_bytes());
            at = piece.headers_end as usize;
        }
    }

    /// What is to be written, in order, without the first `written` bytes: what is left when a socket has taken no more. `headers`
    /// is what [`stamp`](Self::stamp) filled from this burst. Two slices a packet, less where one is empty; none is empty.
    ///
    /// # Panics
    /// `headers` is shorter than that.
    pub fn slices<'a>(&'a self, headers: &'a [u8], written: usize) -> impl Iterator<Item = &'a [u8]> {
        let (mut at, mut skip) = (0, written);
        let slices = self.layout.packets.iter().flat_map(move |piece| {
            let start = std::mem::replace(&mut at, piece.headers_end as usize);
            let payload = piece.payload.start as usize..piece.payload.end as usize;
            [&headers[start..at], &self.data[payload]]
        });
        slices.filter_map(move |slice| {
            let skipped = skip.min(slice.len());
            skip -= skipped;
            Some(&slice[skipped..]).filter(|slice| !slice.is_empty())
        })
    }
}

impl From<&nal::Burst> for Interleaved {
    fn from(burst: &nal::Burst) -> Self {
        let mut stamped = Vec::new();
        burst.stamp(ZERO, &mut stamped);
        Self::lay(&stamped, burst.pieces(), burst.data())
    }
}

impl From<&jpeg::Burst> for Interleaved {
    fn from(burst: &jpeg::Burst) -> Self {
        let mut stamped = Vec::new();
        burst.stamp(ZERO, &mut stamped);
        Self::lay(&stamped, burst.pieces(), burst.data())
    }
}

impl From<&audio::Burst> for Interleaved {
    fn from(burst: &audio::Burst) -> Self {
        let mut stamped = Vec::new();
        burst.stamp(ZERO, &mut stamped);
        Self::lay(&stamped, burst.pieces(), burst.data())
    }
}

#[cfg(test)]
mod tests {
    use ocelli_media::jpeg::rewrite::Rewriter;
    use proptest::prelude::*;

    use super::*;
    use crate::rtsp::{Item, Limits, Reader};

    const STAMP: Stamp =
        Stamp { payload_type: 97, sequence: 65_534, timestamp: u32::MAX - 5, ssrc: 0xDEAD_BEEF };

    /// What a client reads of it, on this channel.
    fn read(burst: &Interleaved, channel: u8, stamp: Stamp) -> Vec<Vec<u8>> {
        let mut headers = vec![9; 3];
        burst.stamp(channel, stamp, &mut headers);
        let bytes = burst.slices(&headers, 0).collect::<Vec<_>>().concat();
        assert_eq!(bytes.len(), burst.total_bytes());
        for written in [1, 4, 17, bytes.len() / 2, bytes.len() - 1, bytes.len()] {
            assert_eq!(burst.slices(&headers, written).collect::<Vec<_>>().concat(), bytes[written..]);
        }
        assert!(burst.slices(&headers, 0).all(|slice| !slice.is_empty()));
        let mut reader = Reader::new(Limits::default());
        reader.room().reserve(bytes.len());
        reader.room().extend_from_slice(&bytes);
        let packets: Vec<_> = std::iter::from_fn(|| reader.next_item().unwrap())
            .map(|item| match item {
                Item::Data(data) if data.channel == channel => data.packet.to_vec(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(reader.is_between_items());
        assert_eq!(packets.len(), burst.packet_count());
        packets
    }

    macro_rules! datagrams {
        ($burst:expr) => {{
            let mut headers = Vec::new();
            $burst.stamp(STAMP, &mut headers);
            $burst.packets(&headers).map(|(header, payload)| [header, payload].concat()).collect::<Vec<_>>()
        }};
    }

    #[test]
    fn pictures_are_the_same_packets_as_in_datagrams() {
        for file in [
            &include_bytes!("../../../media/testdata/baseline.jpg")[..],
            include_bytes!("../../../media/testdata/optimised.jpg"),
        ] {
            let picture = Rewriter::new().rewrite(&Bytes::from_static(file)).unwrap().0;
            let burst = jpeg::Burst::new(&picture, 576).unwrap();
            assert!(burst.packet_count() > 1);
            assert_eq!(read(&Interleaved::from(&burst), 0, STAMP), datagrams!(burst));
        }
    }

    #[test]
    fn sound_is_the_same_packets_as_in_datagrams() {
        let frame = Bytes::from((0..250).collect::<Vec<u8>>());
        for format in [
            audio::Format::Opus,
            audio::Format::G711 { channels: 2 },
            audio::Format::Aac { frame_ticks: 1024 },
        ] {
            let packet_bytes = if format == audio::Format::Opus { 1400 } else { 100 };
            let burst = audio::Burst::new(format, &frame, packet_bytes).unwrap();
            assert_eq!(read(&Interleaved::from(&burst), 255, STAMP), datagrams!(burst), "{format:?}");
        }
    }

    proptest! {
        #[test]
        fn access_units_are_the_same_packets_as_in_datagrams(
            units in proptest::collection::vec((prop_oneof![Just(0x67_u8), Just(0x68), Just(0x06), Just(0x65)], 0_usize..3000), 1..8),
            packet_bytes in prop_oneof![64_usize..2000, Just(65_507)],
            channel: u8,
        ) {
            let access_unit: Vec<u8> = units
                .iter()
                .flat_map(|(kind, length)| {
                    let unit = [&[*kind][..], &vec![*length as u8; *length]].concat();
                    [&(unit.len() as u32).to_be_bytes()[..], &unit].concat()
                })
                .collect();
            let burst = nal::Burst::new(nal::Format::H264, &access_unit.into(), packet_bytes).unwrap();
            prop_assert_eq!(read(&Interleaved::from(&burst), channel, STAMP), datagrams!(burst));
        }
    }
}
