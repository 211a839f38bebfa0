//! A picture as RTP packets. Packetised once; each target gets the headers with its own numbers, and shares the rest.
//!
//! All packets but the last have the same length, the first with its quantisation tables included, so that the kernel can
//! cut them from one buffer (UDP segmentation offload).

use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use ocelli_media::jpeg::rewrite::{RtpJpeg, Sampling};

use crate::rtp::{HEADER_BYTES, Header, Stamp};

/// The shortest packets that every picture goes into: room for all headers with two 16-bit tables, and some payload.
pub const LEAST_PACKET_BYTES: usize = 300;
/// The longest that UDP over IPv4 carries.
const MOST_PACKET_BYTES: usize = 65_507;

/// The tables may change from picture to picture, and come with each (RFC 2435 4.2).
const Q_WITH_EACH_PICTURE: u8 = 255;
/// First and last of a chunk, whose number is not told: receivers put the whole picture together first (RFC 2435 3.1.7).
const WHOLE_PICTURE: u16 = 0xFFFF;
/// Fragment offsets have 24 bits.
const MOST_SCAN_BYTES: usize = 1 << 24;

/// Why a picture cannot be packetised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BurstError {
    /// More than fragment offsets can say.
    #[error("a scan of {0} bytes, expected 1 to {MOST_SCAN_BYTES} (RFC 2435 3.1.2)")]
    ScanLength(usize),
    /// Packets too short for the headers, or longer than UDP's. Pictures without restart markers or with 8-bit tables go into
    /// shorter ones than the shortest that the words name.
    #[error("packets of {0} bytes, expected {LEAST_PACKET_BYTES} to {MOST_PACKET_BYTES}")]
    PacketLength(usize),
    /// More than the fields for them can say, or none.
    #[error("a picture of {0}, expected 1x1 to 2040x2040 (RFC 2435 3.1.5)")]
    Size(ocelli_media::Size),
}

/// The packets of one picture. Cloning shares the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burst {
    /// All headers one behind another: the first, then all others, which are of equal length. Their RTP headers count the
    /// packets from 0 and are of source 0, time 0, type 0.
    headers: Arc<[u8]>,
    scan: Bytes,
    first_header: usize,
    header: usize,
    packet: usize,
    count: usize,
}

impl Burst {
    /// Packetises `picture` into packets of at most `packet_bytes`: RTP header and payload, without what IP and UDP add
    /// (28 bytes with IPv4, 48 with IPv6).
    ///
    /// # Errors
    /// The length of packets, the picture's size or its scan is out of range.
    pub fn new(picture: &RtpJpeg, packet_bytes: usize) -> Result<Self, BurstError> {
        if !(1..=MOST_SCAN_BYTES).contains(&picture.scan.len()) {
            return Err(BurstError::ScanLength(picture.scan.len()));
        }
        let own = OwnHeader::new(picture)?;
        let precision = picture.quantisation.precision();
        let tables = 128 + 64 * precision.count_ones() as usize;
        let header = HEADER_BYTES + own.length();
        let first_header = header + 4 + tables;
        if packet_bytes <= first_header || packet_bytes > MOST_PACKET_BYTES {
            return Err(BurstError::PacketLength(packet_bytes));
        }
        let behind_first = picture.scan.len().saturating_sub(packet_bytes - first_header);
        let count = 1 + behind_first.div_ceil(packet_bytes - header);
        // Of its final length at once: the one allocation that a picture takes here.
        let mut headers: Arc<[u8]> = std::iter::repeat_n(0, first_header + (count - 1) * header).collect();
        let mut out = Arc::get_mut(&mut headers).expect("nobody else knows of it yet");
        for index in 0..count {
            let marker = index + 1 == count;
            let sequence = index as u16;
            out.put_slice(&Header { marker, payload_type: 0, sequence, timestamp: 0, ssrc: 0 }.to_bytes());
            let offset = index * (packet_bytes - header) - if index > 0 { first_header - header } else { 0 };
            own.write(offset as u32, &mut out);
            if index == 0 {
                out.put_slice(&[0, precision]);
                out.put_u16(tables as u16);
                picture.quantisation.write(&mut out);
            }
        }
        let scan = picture.scan.clone();
        Ok(Self { headers, scan, first_header, header, packet: packet_bytes, count })
    }

    /// How many packets there are: 1 or more.
    pub fn packet_count(&self) -> usize {
        self.count
    }

    /// How long each packet is, but for the last, which may be shorter.
    pub fn packet_bytes(&self) -> usize {
        self.packet
    }

    /// How long all packets are together.
    pub fn total_bytes(&self) -> usize {
        self.headers.len() + self.scan.len()
    }

    /// Fills `headers` with a target's own headers, for [`packets`](Self::packets). Allocates nothing once `headers` has room.
    pub fn stamp(&self, stamp: Stamp, headers: &mut Vec<u8>) {
        headers.clear();
        headers.extend_from_slice(&self.headers);
        let mut at = 0;
        for index in 0..self.count {
            let header = stamp.header(index, self.count);
            headers[at..at + HEADER_BYTES].copy_from_slice(&header.to_bytes());
            at += if index == 0 { self.first_header } else { self.header };
        }
    }

    /// Each packet's header and payload, in order, where `headers` is what [`stamp`](Self::stamp) filled from this burst.
    ///
    /// # Panics
    /// `headers` is shorter than that.
    pub fn packets<'a>(&'a self, headers: &'a [u8]) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> {
        let mut at = 0;
        self.pieces().map(move |(length, payload)| {
            let start = at;
            at += length;
            (&headers[start..at], &self.scan[payload])
        })
    }

    /// How long each packet's headers are, and where in [`data`](Self::data) its payload is.
    pub(crate) fn pieces(&self) -> impl ExactSizeIterator<Item = (usize, Range<usize>)> {
        let mut at = 0;
        (0..self.count).map(move |index| {
            let header = if index == 0 { self.first_header } else { self.header };
            let start = at;
            at = self.scan.len().min(start + self.packet - header);
            (header, start..at)
        })
    }

    /// What payloads are parts of.
    pub(crate) fn data(&self) -> &Bytes {
        &self.scan
    }
}

/// The payload header without its offset.
struct OwnHeader {
    kind: u8,
    width: u8,
    height: u8,
    restart_interval: Option<u16>,
}

impl OwnHeader {
    fn new(picture: &RtpJpeg) -> Result<Self, BurstError> {
        let units = |pixels: u16| u8::try_from(pixels.div_ceil(8)).ok().filter(|units| *units > 0);
        let (Some(width), Some(height)) = (units(picture.size.width), units(picture.size.height)) else {
            return Err(BurstError::Size(picture.size));
        };
        let kind = match picture.sampling {
            Sampling::Yuv422 => 0,
            Sampling::Yuv420 => 1,
        };
        let kind = if picture.restart_interval.is_some() { kind + 64 } else { kind };
        Ok(Self { kind, width, height, restart_interval: picture.restart_interval })
    }

    fn length(&self) -> usize {
        if self.restart_interval.is_some() { 12 } else { 8 }
    }

    fn write(&self, offset: u32, out: &mut impl BufMut) {
        // Type-specific is 0: not interlaced.
        out.put_u32(offset);
        out.put_slice(&[self.kind, Q_WITH_EACH_PICTURE, self.width, self.height]);
        if let Some(interval) = self.restart_interval {
            out.put_u16(interval);
            out.put_u16(WHOLE_PICTURE);
        }
    }
}
