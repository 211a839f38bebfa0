//! A clip's pictures as RTP/JPEG packets, made before the time that counts.

use anyhow::Context;
use bytes::Bytes;
use ocelli_media::jpeg::rewrite::Rewriter;
use ocelli_proto::rtp::HEADER_BYTES;
use ocelli_proto::rtp::jpeg::{Burst, CLOCK_HZ, PAYLOAD_TYPE, Stamp};

use crate::clip::Clip;

/// All pictures of a clip, packet behind packet.
#[derive(Debug)]
pub(super) struct Film {
    pictures: Vec<Packets>,
    packet_bytes: usize,
    ticks: u32,
}

/// The packets of one picture: each [`Film::packet_bytes`] long but for the last.
#[derive(Debug)]
pub(super) struct Packets {
    pub(super) bytes: Vec<u8>,
    /// What its file weighs.
    pub(super) file_bytes: usize,
}

/// How far one receiver's numbers have come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) source: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
}

impl Film {
    pub(super) fn new(clip: &Clip, packet_bytes: usize, frames_per_second: f64) -> anyhow::Result<Self> {
        let mut rewriter = Rewriter::new();
        let mut headers = Vec::new();
        let mut packets = |file: &[u8]| -> anyhow::Result<Packets> {
            let (picture, _) = rewriter.rewrite(&Bytes::copy_from_slice(file))?;
            let burst = Burst::new(&picture, packet_bytes)?;
            burst.stamp(
                Stamp { payload_type: PAYLOAD_TYPE, sequence: 0, timestamp: 0, ssrc: 0 },
                &mut headers,
            );
            let mut bytes = Vec::with_capacity(burst.total_bytes());
            for (header, payload) in burst.packets(&headers) {
                bytes.extend_from_slice(header);
                bytes.extend_from_slice(payload);
            }
            Ok(Packets { bytes, file_bytes: file.len() })
        };
        let pictures = (0..clip.count())
            .map(|index| packets(clip.picture(index)).with_context(|| format!("picture {index} of the clip")))
            .collect::<anyhow::Result<_>>()?;
        let ticks = (f64::from(CLOCK_HZ) / frames_per_second.max(0.01)).round() as u32;
        Ok(Self { pictures, packet_bytes, ticks })
    }

    pub(super) fn packet_bytes(&self) -> usize {
        self.packet_bytes
    }

    /// Picture number `index`, over and over.
    pub(super) fn picture(&mut self, index: usize) -> &mut Packets {
        let count = self.pictures.len();
        &mut self.pictures[index % count]
    }

    /// Whether picture number `index` is the clip's first.
    pub(super) fn is_first(&self, index: usize) -> bool {
        index.is_multiple_of(self.pictures.len())
    }

    /// One picture further.
    pub(super) fn advance(&self, numbers: &mut Numbers) {
        numbers.timestamp = numbers.timestamp.wrapping_add(self.ticks);
    }
}

impl Packets {
    /// Writes the numbers into all packets and counts them on.
    pub(super) fn stamp(&mut self, packet_bytes: usize, numbers: &mut Numbers) {
        for packet in self.bytes.chunks_mut(packet_bytes) {
            packet[2..4].copy_from_slice(&numbers.sequence.to_be_bytes());
            packet[4..8].copy_from_slice(&numbers.timestamp.to_be_bytes());
            packet[8..HEADER_BYTES].copy_from_slice(&numbers.source.to_be_bytes());
            numbers.sequence = numbers.sequence.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::flow::Flow;

    #[test]
    fn pictures_follow_each_other_without_a_gap() {
        let mut film = Film::new(&Clip::cut(crate::rtp::TEST_JPEG.repeat(2)).unwrap(), 600, 30.0).unwrap();
        let mut numbers = Numbers { source: 5, sequence: u16::MAX, timestamp: 0 };
        let mut flow = Flow::default();
        for index in 0..5 {
            let packet_bytes = film.packet_bytes();
            let picture = film.picture(index);
            assert_eq!(picture.file_bytes, crate::rtp::TEST_JPEG.len());
            picture.stamp(packet_bytes, &mut numbers);
            let markers =
                picture.bytes.chunks(packet_bytes).filter(|packet| flow.packet(packet, 600)).count();
            assert_eq!(markers, 1);
            film.advance(&mut numbers);
        }
        assert_eq!((flow.counts.pictures, flow.counts.lost, numbers.timestamp), (5, 0, 15_000));
    }
}
