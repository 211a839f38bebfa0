//! Makes JPEG files of RTP packets. A picture with a packet missing is dropped whole: a damaged picture is never given out.
//!
//! Packets must come in the order of their numbers; what sorts them is elsewhere. Memory is bounded by the limit and by
//! 127 pairs of tables.

use bytes::{BufMut, Bytes, BytesMut};
use ocelli_media::Size;
use ocelli_media::jpeg::marker;
use ocelli_media::jpeg::rewrite::{FileHead, QuantisationPair};

use super::header::{Common, Fragment, HeaderError};
use super::quality;
use crate::rtp::Packet;

/// A picture that came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The JPEG file.
    pub data: Bytes,
    /// Width and height, multiples of 8.
    pub size: Size,
    /// When it was taken, in ticks of 90 kHz.
    pub timestamp: u32,
}

/// Why a picture was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// A payload is no JPEG that can be shown.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A packet is missing.
    #[error("a packet was lost")]
    Lost,
    /// A packet contradicts the first of its picture.
    #[error("a packet has other type, Q or size than the first of its picture (RFC 2435 3.1)")]
    Contradiction,
    /// The sender relies on tables that it has not sent, or that were lost.
    #[error("no quantisation tables were sent for Q {0} (RFC 2435 4.2)")]
    NoTables(u8),
    /// The scan is longer than the limit.
    #[error("a picture of more than {0} bytes")]
    TooLong(usize),
    /// The picture ended without a byte of scan.
    #[error("a picture without a scan (RFC 2435 3.1.9)")]
    Empty,
}

/// Puts one sender's pictures together.
#[derive(Debug)]
pub struct Depacketiser {
    /// Longest scan that is put together, in bytes.
    most_bytes: usize,
    state: State,
    /// The number that the next packet should have.
    next_sequence: Option<u16>,
    /// Tables sent for a Q of 128 to 254, which do not change (RFC 2435 4.2).
    tables: Vec<(u8, QuantisationPair)>,
    /// Length of the last file: likely that of the next.
    last_length: usize,
    dropped: u64,
}

#[derive(Debug)]
enum State {
    /// Between pictures.
    Idle,
    /// The packets so far have come.
    Building { timestamp: u32, common: Common, file: BytesMut, scan_bytes: usize, head_bytes: usize },
    /// The rest of the picture with this timestamp is of no use.
    Skipping { timestamp: u32 },
}

impl Depacketiser {
    /// One that has seen no packet and takes pictures of up to `most_bytes`.
    pub fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            state: State::Idle,
            next_sequence: None,
            tables: Vec::new(),
            last_length: 0,
            dropped: 0,
        }
    }

    /// How many pictures were dropped. One of which no packet came at all is not among them.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes the next packet: the picture, if it was its last.
    ///
    /// # Errors
    /// Why a picture was dropped; the packets that are left of it are swallowed, and the next call goes on. A packet that shows
    /// that the picture before it was cut off is taken all the same.
    pub fn push(&mut self, packet: &Packet<'_>) -> Result<Option<File>, Dropped> {
        let (sequence, timestamp) = (packet.sequence(), packet.timestamp());
        let is_next = self.next_sequence.is_none_or(|next| next == sequence);
        self.next_sequence = Some(sequence.wrapping_add(1));
        let mut cut_off = false;
        match self.state {
            State::Skipping { timestamp: skipped } if skipped == timestamp => {
                self.leave(packet);
                return Ok(None);
            }
            State::Building { timestamp: building, .. } if building == timestamp => {}
            State::Building { .. } => {
                cut_off = true;
                self.state = State::Idle;
            }
            State::Skipping { .. } | State::Idle => self.state = State::Idle,
        }
        let taken = if is_next || matches!(self.state, State::Idle) {
            let fragment = Fragment::parse(packet.payload()).map_err(Dropped::Header);
            fragment.and_then(|fragment| self.take(&fragment, timestamp, packet.marker()))
        } else {
            Err(Dropped::Lost)
        };
        if taken.is_err() {
            self.leave(packet);
        }
        self.dropped += u64::from(cut_off) + u64::from(taken.is_err());
        match taken {
            Ok(None) if cut_off => Err(Dropped::Lost),
            other => other,
        }
    }

    /// Waits for the picture behind that of `packet`.
    fn leave(&mut self, packet: &Packet<'_>) {
        let timestamp = packet.timestamp();
        self.state = if packet.marker() { State::Idle } else { State::Skipping { timestamp } };
    }

    fn take(&mut self, fragment: &Fragment<'_>, timestamp: u32, last: bool) -> Result<Option<File>, Dropped> {
        if matches!(self.state, State::Idle) {
            self.begin(fragment, timestamp)?;
        }
        let State::Building { common, file, scan_bytes, .. } = &mut self.state else {
            return Ok(None);
        };
        if *common != fragment.common {
            return Err(Dropped::Contradiction);
        }
        if fragment.offset as usize != *scan_bytes {
            return Err(Dropped::Lost);
        }
        if *scan_bytes + fragment.data.len() > self.most_bytes {
            return Err(Dropped::TooLong(self.most_bytes));
        }
        file.put_slice(fragment.data);
        *scan_bytes += fragment.data.len();
        if last { self.end().map(Some) } else { Ok(None) }
    }

    fn begin(&mut self, fragment: &Fragment<'_>, timestamp: u32) -> Result<(), Dropped> {
        if fragment.offset != 0 {
            return Err(Dropped::Lost);
        }
        let common = fragment.common;
        let head = FileHead {
            sampling: common.sampling,
            size: common.size,
            restart_interval: common.restart_interval,
            quantisation: self.quantisation(fragment)?,
        };
        let mut file =
            BytesMut::with_capacity(self.last_length.max(FileHead::MOST_BYTES + fragment.data.len() + 2));
        head.write(&mut file);
        let head_bytes = file.len();
        self.state = State::Building { timestamp, common, file, scan_bytes: 0, head_bytes };
        Ok(())
    }

    fn quantisation(&mut self, fragment: &Fragment<'_>) -> Result<QuantisationPair, Dropped> {
        let q = fragment.common.q;
        let Some(sent) = fragment.tables else { return Ok(quality::computed(q)) };
        let cached = self.tables.iter().position(|(of, _)| *of == q);
        if sent.data.is_empty() {
            return cached.map(|index| self.tables[index].1).ok_or(Dropped::NoTables(q));
        }
        let tables = quality::sent(sent)?;
        match cached {
            _ if q == 255 => {}
            Some(index) => self.tables[index].1 = tables,
            None => self.tables.push((q, tables)),
        }
        Ok(tables)
    }

    fn end(&mut self) -> Result<File, Dropped> {
        let State::Building { timestamp, common, mut file, head_bytes, .. } =
            std::mem::replace(&mut self.state, State::Idle)
        else {
            return Err(Dropped::Lost);
        };
        const END: [u8; 2] = [0xFF, marker::EOI];
        if file.len() == head_bytes || file[head_bytes..] == END {
            return Err(Dropped::Empty);
        }
        // Some senders send the end marker too.
        if !file.ends_with(&END) {
            file.put_slice(&END);
        }
        self.last_length = file.len() + file.len() / 8;
        Ok(File { data: file.freeze(), size: common.size, timestamp })
    }
}
