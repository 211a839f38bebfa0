//! Makes frames of sound of RTP packets. A frame of which a part is missing is dropped.
//!
//! Packets must come in the order of their numbers; [`reorder`](crate::rtp::reorder) sorts them. Memory is bounded by the longest
//! frame, 8 KiB.

use bytes::{BufMut, Bytes, BytesMut};

use super::Format;
use crate::rtp::Packet;

/// A frame that came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// An Opus packet, G.711 samples, or an AAC frame without ADTS header.
    pub data: Bytes,
    /// When it is to be heard, in ticks of its format's clock.
    pub timestamp: u32,
}

/// Why sound was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// A part of a frame is missing.
    #[error("a packet was lost")]
    Lost,
    /// The payload ends within its headers or a frame.
    #[error("byte {at}: the payload ends within a header or a frame (RFC 3640 3.2)")]
    CutOff {
        /// How many bytes there are.
        at: usize,
    },
    /// Headers of another mode than AAC-hbr.
    #[error("byte 0: AU headers of {0} bits, expected a multiple of 16 (RFC 3640 3.3.6)")]
    Headers(u16),
    /// Frames in another order than that of time.
    #[error("interleaved frames are not spoken (RFC 3640 3.2.3.2)")]
    Interleaved,
    /// Bytes behind the last frame.
    #[error("byte {at}: bytes behind the last frame (RFC 3640 3.2)")]
    Surplus {
        /// Where they begin.
        at: usize,
    },
}

/// Makes frames of one sender's packets.
#[derive(Debug)]
pub struct Depacketiser {
    format: Format,
    next_sequence: Option<u16>,
    /// The frame whose end has not come.
    partial: Option<Partial>,
    dropped: u64,
}

#[derive(Debug)]
struct Partial {
    timestamp: u32,
    size: usize,
    data: BytesMut,
}

impl Depacketiser {
    /// One that has seen no packet.
    pub fn new(format: Format) -> Self {
        Self { format, next_sequence: None, partial: None, dropped: 0 }
    }

    /// How many frames, or packets that could not be read, were dropped. What never came is not among them.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes the next packet, and adds to `out` the frames that are whole with it, or why something was dropped.
    pub fn push(&mut self, packet: &Packet<'_>, out: &mut Vec<Result<Frame, Dropped>>) {
        let (sequence, timestamp, payload) = (packet.sequence(), packet.timestamp(), packet.payload());
        let in_sequence = self.next_sequence == Some(sequence);
        self.next_sequence = Some(sequence.wrapping_add(1));
        if payload.is_empty() {
            return;
        }
        let Format::Aac { frame_ticks } = self.format else {
            out.push(Ok(Frame { data: Bytes::copy_from_slice(payload), timestamp }));
            return;
        };
        let continues = |partial: &Partial| in_sequence && partial.timestamp == timestamp;
        if self.partial.as_ref().is_some_and(|partial| !continues(partial)) {
            self.partial = None;
            self.drop_frame(Dropped::Lost, out);
        }
        if let Err(reason) = self.take_aac(payload, timestamp, frame_ticks, out) {
            self.partial = None;
            self.drop_frame(reason, out);
        }
    }

    fn drop_frame(&mut self, reason: Dropped, out: &mut Vec<Result<Frame, Dropped>>) {
        self.dropped += 1;
        out.push(Err(reason));
    }

    fn take_aac(
        &mut self,
        payload: &[u8],
        timestamp: u32,
        frame_ticks: u32,
        out: &mut Vec<Result<Frame, Dropped>>,
    ) -> Result<(), Dropped> {
        let cut_off = Dropped::CutOff { at: payload.len() };
        let (bits, behind) = payload.split_first_chunk().ok_or(cut_off)?;
        let bits = u16::from_be_bytes(*bits);
        if bits == 0 || bits % 16 != 0 {
            return Err(Dropped::Headers(bits));
        }
        let (headers, mut rest) = behind.split_at_checked(usize::from(bits / 8)).ok_or(cut_off)?;
        if headers.iter().skip(1).step_by(2).any(|low| low & 7 != 0) {
            return Err(Dropped::Interleaved);
        }
        let size = |header: &[u8]| usize::from(u16::from_be_bytes([header[0], header[1]]) >> 3);
        if headers.len() == 2 && (self.partial.is_some() || size(headers) > rest.len()) {
            return self.take_fragment(rest, size(headers), timestamp, out);
        }
        if self.partial.is_some() {
            return Err(Dropped::Lost);
        }
        for (index, header) in headers.chunks_exact(2).enumerate() {
            let (data, behind) = rest.split_at_checked(size(header)).ok_or(cut_off)?;
            rest = behind;
            if data.is_empty() {
                continue;
            }
            let timestamp = timestamp.wrapping_add(frame_ticks.wrapping_mul(index as u32));
            out.push(Ok(Frame { data: Bytes::copy_from_slice(data), timestamp }));
        }
        if rest.is_empty() { Ok(()) } else { Err(Dropped::Surplus { at: payload.len() - rest.len() }) }
    }

    /// Takes a part of a frame of `size` bytes.
    fn take_fragment(
        &mut self,
        part: &[u8],
        size: usize,
        timestamp: u32,
        out: &mut Vec<Result<Frame, Dropped>>,
    ) -> Result<(), Dropped> {
        let data = || BytesMut::with_capacity(size);
        let partial = self.partial.get_or_insert_with(|| Partial { timestamp, size, data: data() });
        if partial.size != size || partial.data.len() + part.len() > size {
            return Err(Dropped::Lost);
        }
        partial.data.put_slice(part);
        if partial.data.len() == size
            && let Some(Partial { data, .. }) = self.partial.take()
        {
            out.push(Ok(Frame { data: data.freeze(), timestamp }));
        }
        Ok(())
    }
}
