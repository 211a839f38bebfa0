//! An access unit as RTP packets. Packetised once; each target gets the headers with its own numbers, and shares the rest.

use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes};

use super::Format;
use crate::rtp::{HEADER_BYTES, Stamp, h264, h265};

/// The shortest packet length that may be asked for.
pub const LEAST_PACKET_BYTES: usize = 64;

/// The length before each NAL unit of an access unit.
const LENGTH_BYTES: usize = 4;

/// The longest access unit: offsets in it, and all headers together, have 32 bits.
const MOST_BYTES: usize = 1 << 30;

/// Why an access unit cannot be packetised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BurstError {
    /// Packets too short for the headers, or longer than UDP's.
    #[error("packets of {0} bytes, expected {LEAST_PACKET_BYTES} to 65507")]
    PacketLength(usize),
    /// The lengths before NAL units do not add up to the access unit, or it has none.
    #[error("byte {at}: the access unit ends within a NAL unit")]
    CutOff {
        /// Offset of the length.
        at: usize,
    },
    /// What RTP means by this type is no NAL unit.
    #[error("byte {at}: NAL unit type {kind} cannot be carried")]
    Kind {
        /// Offset of the NAL unit.
        at: usize,
        /// Its type.
        kind: u8,
    },
    /// More than offsets can say.
    #[error("an access unit of {0} bytes, expected at most {MOST_BYTES}")]
    TooLong(usize),
}

/// The packets of one access unit. Cloning shares the memory.
#[derive(Clone, Debug)]
pub struct Burst {
    /// All headers one behind another, with NAL units that share a packet. Their RTP headers are zero.
    headers: Arc<[u8]>,
    packets: Arc<[Piece]>,
    data: Bytes,
}

/// Packetises the access units of one stream. Keeps the memory that it works in.
#[derive(Debug, Default)]
pub struct Packetiser {
    layout: Layout,
}

/// Headers and packets as in [`Burst`].
#[derive(Debug, Default)]
struct Layout {
    headers: Vec<u8>,
    packets: Vec<Piece>,
}

/// One packet.
#[derive(Clone, Debug)]
struct Piece {
    /// Where its headers end; they begin where those before end.
    headers_end: u32,
    /// Where its payload is in the access unit.
    payload: Range<u32>,
}

impl Packetiser {
    /// Packetises `access_unit` into packets of at most `packet_bytes`: RTP header and payload, without what IP and UDP add
    /// (28 bytes with IPv4, 48 with IPv6).
    ///
    /// # Errors
    /// The length of packets is out of range, or the access unit is none.
    pub fn packetise(
        &mut self,
        format: Format,
        access_unit: &Bytes,
        packet_bytes: usize,
    ) -> Result<Burst, BurstError> {
        if !(LEAST_PACKET_BYTES..=65_507).contains(&packet_bytes) {
            return Err(BurstError::PacketLength(packet_bytes));
        }
        if access_unit.len() > MOST_BYTES {
            return Err(BurstError::TooLong(access_unit.len()));
        }
        self.layout.headers.clear();
        self.layout.packets.clear();
        Writer { format, data: access_unit, packet_bytes, layout: &mut self.layout }.write()?;
        Ok(Burst {
            headers: Arc::from(&self.layout.headers[..]),
            packets: Arc::from(&self.layout.packets[..]),
            data: access_unit.clone(),
        })
    }
}

impl Burst {
    /// Packetises one access unit as a [`Packetiser`] does.
    ///
    /// # Errors
    /// As [`Packetiser::packetise`].
    pub fn new(format: Format, access_unit: &Bytes, packet_bytes: usize) -> Result<Self, BurstError> {
        Packetiser::default().packetise(format, access_unit, packet_bytes)
    }

    /// How many packets there are: 1 or more.
    pub fn packet_count(&self) -> usize {
        self.packets.len()
    }

    /// How long all packets are together.
    pub fn total_bytes(&self) -> usize {
        let payload: usize = self.packets.iter().map(|piece| piece.payload.len()).sum();
        self.headers.len() + payload
    }

    /// Fills `headers` with a target's own headers, for [`packets`](Self::packets). Allocates nothing once `headers` has room.
    pub fn stamp(&self, stamp: Stamp, headers: &mut Vec<u8>) {
        headers.clear();
        headers.extend_from_slice(&self.headers);
        let (mut at, count) = (0, self.packet_count());
        for (index, piece) in self.packets.iter().enumerate() {
            headers[at..at + HEADER_BYTES].copy_from_slice(&stamp.header(index, count).to_bytes());
            at = piece.headers_end as usize;
        }
    }

    /// Each packet's headers and payload, in order, where `headers` is what [`stamp`](Self::stamp) filled from this burst. The
    /// payload of packets that are shared by NAL units is among the headers.
    ///
    /// # Panics
    /// `headers` is shorter than that.
    pub fn packets<'a>(&'a self, headers: &'a [u8]) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> {
        let mut at = 0;
        self.pieces().map(move |(length, payload)| {
            let start = at;
            at += length;
            (&headers[start..at], &self.data[payload])
        })
    }

    /// How long each packet's headers are, and where in [`data`](Self::data) its payload is.
    pub(crate) fn pieces(&self) -> impl ExactSizeIterator<Item = (usize, Range<usize>)> {
        let mut at = 0;
        self.packets.iter().map(move |piece| {
            let start = std::mem::replace(&mut at, piece.headers_end as usize);
            (at - start, piece.payload.start as usize..piece.payload.end as usize)
        })
    }

    /// What payloads are parts of.
    pub(crate) fn data(&self) -> &Bytes {
        &self.data
    }
}

struct Writer<'a> {
    format: Format,
    data: &'a [u8],
    packet_bytes: usize,
    layout: &'a mut Layout,
}

impl Writer<'_> {
    fn write(mut self) -> Result<(), BurstError> {
        // Units that may share a packet, with their lengths, and how many they are.
        let (mut shared, mut units) = (0..0, 0);
        let mut at = 0;
        while at < self.data.len() || at == 0 {
            let unit = self.unit(at)?;
            let kind = self.format.kind(self.data[unit.start]);
            let share = !self.format.is_picture(kind);
            let with_unit = shared.start..unit.end;
            // In the packet lengths have half the bytes.
            let bytes = HEADER_BYTES + self.format.header_bytes() + with_unit.len() - 2 * (units + 1);
            if units > 0 && share && bytes <= self.packet_bytes {
                (shared, units) = (with_unit, units + 1);
            } else {
                self.put_shared(shared, units);
                (shared, units) = (at..unit.end, usize::from(share));
                if !share {
                    self.put_unit(unit.clone());
                }
            }
            at = unit.end;
        }
        self.put_shared(shared, units);
        Ok(())
    }

    /// The NAL unit whose length is at `at`.
    fn unit(&self, at: usize) -> Result<Range<usize>, BurstError> {
        let cut_off = BurstError::CutOff { at };
        let length = self.data.get(at..at + LENGTH_BYTES).ok_or(cut_off)?;
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let start = at + LENGTH_BYTES;
        let unit = self.data[start..].get(..length).ok_or(cut_off)?;
        if unit.len() < self.format.header_bytes() {
            return Err(cut_off);
        }
        match self.format.kind(unit[0]) {
            kind if self.format.is_unit(kind) => Ok(start..start + length),
            kind => Err(BurstError::Kind { at: start, kind }),
        }
    }

    fn put_shared(&mut self, shared: Range<usize>, units: usize) {
        match units {
            0 => {}
            1 => self.put_unit(shared.start + LENGTH_BYTES..shared.end),
            _ => {
                self.layout.headers.put_bytes(0, HEADER_BYTES);
                let data = &self.data[shared];
                match self.format {
                    Format::H264 => self.layout.headers.put_u8(h264::aggregate_header(each(data))),
                    Format::H265 => self.layout.headers.put_slice(&h265::aggregate_header(each(data))),
                }
                for unit in each(data) {
                    self.layout.headers.put_u16(unit.len() as u16);
                    self.layout.headers.put_slice(unit);
                }
                self.end_packet(0..0);
            }
        }
    }

    fn put_unit(&mut self, unit: Range<usize>) {
        if HEADER_BYTES + unit.len() <= self.packet_bytes {
            self.layout.headers.put_bytes(0, HEADER_BYTES);
            self.end_packet(unit);
            return;
        }
        let own = self.format.header_bytes();
        let room = self.packet_bytes - HEADER_BYTES - own - 1;
        let header = [self.data[unit.start], self.data[unit.start + 1]];
        let mut at = unit.start + own;
        while at < unit.end {
            let end = unit.end.min(at + room);
            let (first, last) = (at == unit.start + own, end == unit.end);
            self.layout.headers.put_bytes(0, HEADER_BYTES);
            match self.format {
                Format::H264 => {
                    self.layout.headers.put_slice(&h264::fragment_header(header[0], first, last));
                }
                Format::H265 => self.layout.headers.put_slice(&h265::fragment_header(header, first, last)),
            }
            self.end_packet(at..end);
            at = end;
        }
    }

    fn end_packet(&mut self, payload: Range<usize>) {
        // The access unit has at most 1 GiB, and headers at most twice that, in the shortest packets.
        let payload = payload.start as u32..payload.end as u32;
        let headers_end = self.layout.headers.len() as u32;
        self.layout.packets.push(Piece { headers_end, payload });
    }
}

/// The NAL units of `data`, whose lengths were checked.
fn each(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<LENGTH_BYTES>()?;
        let (unit, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = behind;
        Some(unit)
    })
}
