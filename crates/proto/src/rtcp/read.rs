//! Compound RTCP packets (RFC 3550 sections 6.1 and A.2), checked once and then read.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P| count   |     kind      |  length in words less one     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! SR:  SSRC, NTP time (2 words), RTP timestamp, packets, bytes, blocks of 6 words, count of them
//! RR:  SSRC, blocks of 6 words, count of them
//! SDES: count chunks of SSRC and items (kind, length, text), ended by zero bytes up to the next word
//! BYE: count SSRCs, and perhaps a reason (length, text)
//! PSFB: SSRC of who asks, SSRC of the media; count is the format; FIR: entries of SSRC, number, 3 zero bytes
//! ```

use super::{
    BYE, CNAME, DESCRIPTION, FULL_INTRA, NtpTime, PAYLOAD_FEEDBACK, PICTURE_LOSS, RECEIVER_REPORT,
    ReportBlock, SENDER_REPORT, SenderInfo,
};

const BLOCK_BYTES: usize = 24;

/// What a datagram may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// A report comes first (RFC 3550 6.1).
    Compound,
    /// Any packet may come first, if that was agreed upon (RFC 5506).
    ReducedSize,
}

/// Why bytes are no compound RTCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtcpError {
    /// The version is not 2.
    #[error("byte {at}: RTCP version {version}, expected 2 (RFC 3550 6.4.1)")]
    Version {
        /// Its offset.
        at: usize,
        /// What it says.
        version: u8,
    },
    /// It begins with no report.
    #[error("byte 1: packet type {0} comes first, expected 200 or 201 (RFC 3550 6.1)")]
    First(u8),
    /// A packet ends behind the datagram, or within what it says it has.
    #[error("byte {at}: a packet of type {kind} ends too early (RFC 3550 6.4)")]
    CutOff {
        /// Offset of the packet.
        at: usize,
        /// Its type.
        kind: u8,
    },
    /// Padding in another packet than the last, or of a length that cannot be.
    #[error("byte {at}: padding that cannot be (RFC 3550 6.4.1)")]
    Padding {
        /// Offset of the packet.
        at: usize,
    },
}

/// One datagram of RTCP packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compound<'a> {
    bytes: &'a [u8],
}

/// A packet of a known kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// SR.
    SenderReport {
        /// The sender.
        ssrc: u32,
        /// What it says of itself.
        info: SenderInfo,
        /// What it says of others.
        blocks: Blocks<'a>,
    },
    /// RR.
    ReceiverReport {
        /// The receiver.
        ssrc: u32,
        /// What it says of senders.
        blocks: Blocks<'a>,
    },
    /// SDES.
    Description(Descriptions<'a>),
    /// BYE.
    Bye {
        /// The first that leaves, if it names any.
        ssrc: Option<u32>,
    },
    /// PLI: a keyframe is asked for.
    PictureLoss {
        /// Who asks.
        ssrc: u32,
        /// Who is asked.
        media: u32,
    },
    /// FIR: a keyframe is asked for, by the first entry.
    FullIntraRequest {
        /// Who asks.
        ssrc: u32,
        /// Who is asked.
        media: u32,
        /// The same again is a repetition, not another request.
        number: u8,
    },
    /// Any other.
    Other {
        /// Its type.
        kind: u8,
    },
}

/// The blocks of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks<'a>(&'a [u8]);

/// The names of participants: SSRC and CNAME, whose bytes are meant to be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptions<'a> {
    rest: &'a [u8],
    chunks: u8,
}

impl<'a> Compound<'a> {
    /// Checks one datagram.
    ///
    /// # Errors
    /// It is no RTCP by `rules`.
    pub fn parse(bytes: &'a [u8], rules: Rules) -> Result<Self, RtcpError> {
        let mut at = 0;
        loop {
            let Some(&[first, kind, high, low]) = bytes.get(at..at + 4) else {
                return Err(RtcpError::CutOff { at, kind: bytes.get(at + 1).copied().unwrap_or(0) });
            };
            if first >> 6 != 2 {
                return Err(RtcpError::Version { at, version: first >> 6 });
            }
            if at == 0 && rules == Rules::Compound && !matches!(kind, SENDER_REPORT | RECEIVER_REPORT) {
                return Err(RtcpError::First(kind));
            }
            let end = at + 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
            let packet = bytes.get(at..end).ok_or(RtcpError::CutOff { at, kind })?;
            let mut length = packet.len();
            if first & 0x20 != 0 {
                let padding = usize::from(packet[length - 1]);
                if end != bytes.len() || padding == 0 || padding % 4 != 0 || padding > length - 4 {
                    return Err(RtcpError::Padding { at });
                }
                length -= padding;
            }
            if length < least_bytes(first & 31, kind) {
                return Err(RtcpError::CutOff { at, kind });
            }
            at = end;
            if at == bytes.len() {
                return Ok(Self { bytes });
            }
        }
    }

    /// Its packets in order.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'a>> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let &[first, kind, high, low, ..] = rest else { return None };
            let length = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
            let (packet, behind) = rest.split_at_checked(length)?;
            rest = behind;
            let padding = if first & 0x20 != 0 { usize::from(packet[length - 1]) } else { 0 };
            Some(read(first & 31, kind, &packet[4..length - padding]))
        })
    }
}

/// The shortest that a packet can be with what its header says.
fn least_bytes(count: u8, kind: u8) -> usize {
    let count_of = usize::from(count);
    match (kind, count) {
        (SENDER_REPORT, _) => 28 + BLOCK_BYTES * count_of,
        (RECEIVER_REPORT, _) => 8 + BLOCK_BYTES * count_of,
        (DESCRIPTION, _) => 4 + 8 * count_of,
        (BYE, _) => 4 + 4 * count_of,
        (PAYLOAD_FEEDBACK, FULL_INTRA) => 20,
        (PAYLOAD_FEEDBACK, _) => 12,
        _ => 4,
    }
}

/// `body` is at least as long as [`least_bytes`] has it, less the header.
fn read(count: u8, kind: u8, body: &[u8]) -> Packet<'_> {
    let word = |index: usize| word(body, index);
    let blocks = |from: usize| Blocks(&body[from..from + BLOCK_BYTES * usize::from(count)]);
    match (kind, count) {
        (SENDER_REPORT, _) => Packet::SenderReport {
            ssrc: word(0),
            info: SenderInfo {
                ntp: NtpTime(u64::from(word(1)) << 32 | u64::from(word(2))),
                timestamp: word(3),
                packets: word(4),
                bytes: word(5),
            },
            blocks: blocks(24),
        },
        (RECEIVER_REPORT, _) => Packet::ReceiverReport { ssrc: word(0), blocks: blocks(4) },
        (DESCRIPTION, _) => Packet::Description(Descriptions { rest: body, chunks: count }),
        (BYE, _) => Packet::Bye { ssrc: (count > 0).then(|| word(0)) },
        (PAYLOAD_FEEDBACK, PICTURE_LOSS) => Packet::PictureLoss { ssrc: word(0), media: word(1) },
        (PAYLOAD_FEEDBACK, FULL_INTRA) => {
            Packet::FullIntraRequest { ssrc: word(0), media: word(2), number: body[12] }
        }
        _ => Packet::Other { kind },
    }
}

fn word(bytes: &[u8], index: usize) -> u32 {
    let at = 4 * index;
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl Iterator for Blocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.0.split_at_checked(BLOCK_BYTES)?;
        self.0 = rest;
        let word = |index| word(block, index);
        Some(ReportBlock {
            ssrc: word(0),
            fraction_lost: block[4],
            // The sign is the 24-bit number's.
            lost: (word(1) << 8) as i32 >> 8,
            highest: word(2),
            jitter: word(3),
            last_report: word(4),
            delay: word(5),
        })
    }
}

impl<'a> Iterator for Descriptions<'a> {
    type Item = (u32, &'a [u8]);

    /// The next participant that has a CNAME. One whose items run past the packet ends the iteration.
    fn next(&mut self) -> Option<(u32, &'a [u8])> {
        while self.chunks > 0 && self.rest.len() >= 8 {
            self.chunks -= 1;
            let (ssrc, chunk) = (word(self.rest, 0), self.rest);
            let (mut at, mut name) = (4, None);
            while let Some(&[kind, length]) = chunk.get(at..at + 2).filter(|item| item[0] != 0) {
                let Some(text) = chunk.get(at + 2..at + 2 + usize::from(length)) else {
                    self.rest = &[];
                    return None;
                };
                if kind == CNAME {
                    name = Some(text);
                }
                at += 2 + text.len();
            }
            self.rest = chunk.get((at + 1).next_multiple_of(4)..).unwrap_or(&[]);
            if let Some(name) = name {
                return Some((ssrc, name));
            }
        }
        None
    }
}
