//! Makes access units of RTP packets. One with a packet missing is dropped whole, and so are those behind it up to the next that
//! can be decoded on its own: a damaged picture is never given out.
//!
//! Packets must come in the order of their numbers; [`reorder`](crate::rtp::reorder) sorts them. Memory is bounded by the limit.
//! A stream that refreshes its picture bit by bit and has no keyframes is not shown.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Format, Fragment, Payload, PayloadError};
use crate::rtp::Packet;

/// An access unit that came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// NAL units, each behind its length as 4 bytes, big endian.
    pub data: Bytes,
    /// When it is to be shown, in ticks of 90 kHz.
    pub timestamp: u32,
    /// It can be decoded on its own.
    pub key: bool,
}

/// Why an access unit was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// A payload cannot be read.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// A packet is missing.
    #[error("a packet was lost")]
    Lost,
    /// It needs a picture that was lost.
    #[error("a keyframe must come first")]
    NeedsKey,
    /// It is longer than the limit.
    #[error("an access unit of more than {0} bytes")]
    TooLong(usize),
}

/// Puts one sender's access units together.
#[derive(Debug)]
pub struct Depacketiser {
    format: Format,
    /// Longest access unit that is put together, in bytes.
    most_bytes: usize,
    state: State,
    /// The number that the next packet should have.
    next_sequence: Option<u16>,
    /// Nothing can be decoded before the next keyframe.
    needs_key: bool,
    /// Length of the last access unit: likely that of the next.
    last_length: usize,
    dropped: u64,
}

#[derive(Debug)]
enum State {
    /// Between access units.
    Idle,
    /// The packets so far have come.
    Building(Building),
    /// The rest of what has this timestamp is of no use.
    Skipping { timestamp: u32 },
}

#[derive(Debug)]
struct Building {
    timestamp: u32,
    data: BytesMut,
    /// Where the length goes of the NAL unit whose end has not come.
    open: Option<usize>,
    picture: bool,
    key: bool,
}

impl Depacketiser {
    /// One that has seen no packet and takes access units of up to `most_bytes`.
    pub fn new(format: Format, most_bytes: usize) -> Self {
        Self {
            format,
            most_bytes,
            state: State::Idle,
            next_sequence: None,
            needs_key: true,
            last_length: 0,
            dropped: 0,
        }
    }

    /// How many access units were dropped. One of which no packet came at all is not among them.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether nothing can be shown before the sender sends a keyframe: it should be asked for one.
    pub fn keyframe_wanted(&self) -> bool {
        self.needs_key
    }

    /// Takes the next packet, and adds to `out` the access units that it ends (two at most), or why one was dropped. What is left
    /// of a dropped one is swallowed, and the next call goes on.
    pub fn push(&mut self, packet: &Packet<'_>, out: &mut Vec<Result<AccessUnit, Dropped>>) {
        let (sequence, timestamp) = (packet.sequence(), packet.timestamp());
        let first_of_all = self.next_sequence.is_none();
        let in_sequence = self.next_sequence == Some(sequence);
        if packet.payload().is_empty() && in_sequence {
            // Only padding, as senders send to measure the network.
            self.next_sequence = Some(sequence.wrapping_add(1));
            return;
        }
        self.next_sequence = Some(sequence.wrapping_add(1));
        self.needs_key |= !in_sequence;
        match &mut self.state {
            State::Skipping { timestamp: skipped } if *skipped == timestamp => return,
            State::Skipping { .. } => self.state = State::Idle,
            State::Building(unit) if unit.timestamp == timestamp => {
                if !in_sequence {
                    self.drop_unit(timestamp, Dropped::Lost, out);
                    return;
                }
            }
            State::Building(_) if !in_sequence => {
                self.drop_unit(timestamp, Dropped::Lost, out);
                self.state = State::Idle;
            }
            // Parameter sets with a timestamp of their own belong to the picture behind them.
            State::Building(unit) if !unit.picture && unit.open.is_none() => unit.timestamp = timestamp,
            State::Building(_) => self.end(out),
            State::Idle => {}
        }
        match self.take(packet, in_sequence) {
            Ok(()) => {}
            // Who joins in the middle has lost nothing.
            Err(_) if first_of_all => self.state = State::Skipping { timestamp },
            Err(reason) => self.drop_unit(timestamp, reason, out),
        }
        // Some cameras mark parameter sets too.
        if packet.marker() && matches!(&self.state, State::Building(unit) if unit.picture) {
            self.end(out);
        }
    }

    /// Gives up the access unit, and waits for one with another timestamp than this.
    fn drop_unit(&mut self, timestamp: u32, reason: Dropped, out: &mut Vec<Result<AccessUnit, Dropped>>) {
        self.state = State::Skipping { timestamp };
        self.count(reason, out);
    }

    fn count(&mut self, reason: Dropped, out: &mut Vec<Result<AccessUnit, Dropped>>) {
        self.needs_key |= reason != Dropped::NeedsKey;
        self.dropped += 1;
        out.push(Err(reason));
    }

    fn take(&mut self, packet: &Packet<'_>, in_sequence: bool) -> Result<(), Dropped> {
        let payload = packet.payload();
        if payload.is_empty() {
            return Err(Dropped::Lost);
        }
        let payload = self.format.parse(payload)?;
        if matches!(self.state, State::Idle) {
            if !in_sequence && !self.begins(payload) {
                return Err(Dropped::Lost);
            }
            let data = BytesMut::with_capacity(self.last_length);
            let timestamp = packet.timestamp();
            self.state =
                State::Building(Building { timestamp, data, open: None, picture: false, key: false });
        }
        let State::Building(unit) = &mut self.state else { return Ok(()) };
        match payload {
            Payload::Single(data) => unit.put(self.format, data)?,
            Payload::Aggregate(mut rest) => {
                while !rest.is_empty() {
                    let (data, behind) = split_unit(rest)?;
                    unit.put(self.format, data)?;
                    rest = behind;
                }
            }
            Payload::Fragment(fragment) => unit.put_fragment(self.format, fragment)?,
        }
        if unit.data.len() > self.most_bytes {
            return Err(Dropped::TooLong(self.most_bytes));
        }
        Ok(())
    }

    /// Whether no slice of its access unit comes before it. Where parameter sets did, they are nearly always the same as before.
    fn begins(&self, payload: Payload<'_>) -> bool {
        let header_bytes = self.format.header_bytes();
        let (first, behind_header) = match payload {
            Payload::Single(unit) => (unit.first(), unit.get(header_bytes)),
            Payload::Aggregate(units) => (units.get(2), units.get(2 + header_bytes)),
            Payload::Fragment(Fragment { start: true, ref header, data, .. }) => {
                (header.first(), data.first())
            }
            Payload::Fragment(_) => (None, None),
        };
        first.is_some_and(|first| {
            let kind = self.format.kind(*first);
            // H.264 7.3.3 `first_mb_in_slice` is 0, H.265 7.3.6.1 `first_slice_segment_in_pic_flag`: both have this bit.
            let first_slice = || behind_header.is_some_and(|byte| byte & 0x80 != 0);
            self.format.begins(kind) || self.format.is_key(kind) && first_slice()
        })
    }

    fn end(&mut self, out: &mut Vec<Result<AccessUnit, Dropped>>) {
        let State::Building(unit) = std::mem::replace(&mut self.state, State::Idle) else { return };
        let Building { timestamp, data, open, key, .. } = unit;
        let reason = if open.is_some() {
            Dropped::Payload(PayloadError::Fragments)
        } else if self.needs_key && !key {
            Dropped::NeedsKey
        } else {
            self.needs_key = false;
            self.last_length = data.len() + data.len() / 8;
            out.push(Ok(AccessUnit { data: data.freeze(), timestamp, key }));
            return;
        };
        self.count(reason, out);
    }
}

/// The first unit of an aggregate, and the rest.
fn split_unit(units: &[u8]) -> Result<(&[u8], &[u8]), PayloadError> {
    let cut_off = PayloadError::CutOff { at: units.len() };
    let (length, behind) = units.split_first_chunk().ok_or(cut_off)?;
    behind.split_at_checked(u16::from_be_bytes(*length).into()).ok_or(cut_off)
}

impl Building {
    fn put(&mut self, format: Format, unit: &[u8]) -> Result<(), PayloadError> {
        if self.open.is_some() {
            return Err(PayloadError::Fragments);
        }
        if unit.len() < format.header_bytes() {
            return Err(PayloadError::Empty);
        }
        self.note(format, unit[0])?;
        self.data.put_u32(unit.len() as u32);
        self.data.put_slice(unit);
        Ok(())
    }

    fn put_fragment(&mut self, format: Format, fragment: Fragment<'_>) -> Result<(), PayloadError> {
        if fragment.start == self.open.is_some() {
            return Err(PayloadError::Fragments);
        }
        if fragment.start {
            self.note(format, fragment.header[0])?;
            self.open = Some(self.data.len());
            self.data.put_u32(0);
            self.data.put_slice(&fragment.header[..format.header_bytes()]);
        }
        self.data.put_slice(fragment.data);
        if fragment.end
            && let Some(at) = self.open.take()
        {
            let length = (self.data.len() - at - 4) as u32;
            self.data[at..at + 4].copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    /// Notes what kind of unit begins.
    fn note(&mut self, format: Format, first: u8) -> Result<(), PayloadError> {
        let kind = format.kind(first);
        if !format.is_unit(kind) {
            return Err(PayloadError::Reserved(kind));
        }
        self.picture |= format.is_picture(kind);
        self.key |= format.is_key(kind);
        Ok(())
    }
}
