//! A clip of H.264 as RTP packets, made before the time that counts: laid as they stand in a connection, and as datagrams.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use ocelli_media::Codec;
use ocelli_media::annexb::{AccessUnit, Event, Framer};
use ocelli_proto::rtp::interleaved::PREFIX_BYTES;
use ocelli_proto::rtp::nal::{Burst, CLOCK_HZ, Format};
use ocelli_proto::rtp::{HEADER_BYTES, Interleaved, Stamp as Numbers};
use ocelli_proto::sdp;

use super::mark;
use crate::stamp::Stamp;

pub(super) const PAYLOAD_TYPE: u8 = 96;
pub(super) const SSRC: u32 = 0x0CE1_0264;
const MOST_PICTURE_BYTES: usize = 16 << 20;

/// All pictures of a clip, over and over, with numbers that go on.
#[derive(Debug)]
pub(super) struct Film {
    pictures: Vec<Picture>,
    packet_bytes: usize,
    ticks: u32,
    sets: Vec<Bytes>,
    marked: bool,
    next: usize,
    sequence: u16,
}

/// The packets of one picture.
#[derive(Debug)]
pub(super) struct Picture {
    /// Between the messages of a connection, on channel 0.
    pub(super) framed: Vec<u8>,
    /// One datagram behind the other.
    pub(super) bare: Vec<u8>,
    /// How long each is.
    pub(super) lengths: Vec<usize>,
    /// Where the mark goes in `framed` and in `bare`.
    mark_at: Option<(usize, usize)>,
}

impl Film {
    pub(super) fn load(
        path: &Path,
        packet_bytes: usize,
        per_second: f64,
        marked: bool,
    ) -> anyhow::Result<Self> {
        let clip = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::new(&clip, packet_bytes, per_second, marked).with_context(|| path.display().to_string())
    }

    /// Of a clip in Annex B, which has to begin with a keyframe.
    pub(super) fn new(
        clip: &[u8],
        packet_bytes: usize,
        per_second: f64,
        marked: bool,
    ) -> anyhow::Result<Self> {
        let (units, sets) = access_units(clip)?;
        let pictures = units
            .iter()
            .map(|unit| Picture::new(&unit.data, packet_bytes))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let ticks = (f64::from(CLOCK_HZ) / per_second.max(0.01)).round() as u32;
        Ok(Self { pictures, packet_bytes, ticks, sets, marked, next: 0, sequence: 0 })
    }

    pub(super) fn packet_bytes(&self) -> usize {
        self.packet_bytes
    }

    /// The line of a description that says what it is.
    pub(super) fn codec(&self) -> sdp::Codec {
        sdp::Codec::h264(self.sets.clone())
    }

    /// The timestamp of the picture that comes next.
    pub(super) fn timestamp(&self) -> u32 {
        (self.next as u32).wrapping_mul(self.ticks)
    }

    /// The number of the next packet.
    pub(super) fn sequence(&self) -> u16 {
        self.sequence
    }

    /// The next picture, sent at this time since 1970.
    pub(super) fn advance(&mut self, now: Duration) -> &Picture {
        let timestamp = self.timestamp();
        let count = self.pictures.len();
        let picture = &mut self.pictures[self.next % count];
        picture.number(self.sequence, timestamp);
        if self.marked {
            picture.mark(Stamp { sequence: self.next as u32, written_micros: now.as_micros() as u64 });
        }
        self.sequence = self.sequence.wrapping_add(picture.lengths.len() as u16);
        self.next += 1;
        picture
    }
}

fn access_units(clip: &[u8]) -> anyhow::Result<(Vec<AccessUnit>, Vec<Bytes>)> {
    let mut framer = Framer::new(Codec::H264, MOST_PICTURE_BYTES);
    let mut units = Vec::new();
    let mut take = |event| match event {
        Event::Frame(unit) => {
            units.push(unit);
            Ok(())
        }
        Event::Dropped { reason, .. } => Err(anyhow::anyhow!("not a whole clip of H.264: {reason}")),
    };
    let mut rest = clip;
    while !rest.is_empty() {
        rest = framer.feed(rest);
        while let Some(event) = framer.next_event() {
            take(event)?;
        }
    }
    while let Some(event) = framer.finish() {
        take(event)?;
    }
    anyhow::ensure!(!units.is_empty(), "there is no picture in it");
    Ok((units, framer.parameter_sets().units()))
}

impl Picture {
    fn new(access_unit: &Bytes, packet_bytes: usize) -> anyhow::Result<Self> {
        let burst = Burst::new(Format::H264, access_unit, packet_bytes)?;
        let numbers = Numbers { payload_type: PAYLOAD_TYPE, sequence: 0, timestamp: 0, ssrc: SSRC };
        let mut headers = Vec::new();
        let interleaved = Interleaved::from(&burst);
        interleaved.stamp(0, numbers, &mut headers);
        let framed = interleaved.slices(&headers, 0).collect::<Vec<_>>().concat();
        burst.stamp(numbers, &mut headers);
        let packets: Vec<Vec<u8>> =
            burst.packets(&headers).map(|(header, payload)| [header, payload].concat()).collect();
        let lengths: Vec<usize> = packets.iter().map(Vec::len).collect();
        let mut picture = Self { framed, bare: packets.concat(), mark_at: None, lengths };
        let mark_at = picture.starts().find_map(|(framed, bare, length)| {
            let first = *picture.bare.get(bare + HEADER_BYTES)? & 0x1F;
            let header_bytes = match first {
                1 | 5 => 1,
                28 => 2,
                _ => return None,
            };
            let skipped = HEADER_BYTES + header_bytes + mark::SKIPPED_BYTES;
            // A slice that ends before the mark does goes without.
            (skipped + Stamp::TEXT_BYTES < length).then_some((framed + skipped, bare + skipped))
        });
        picture.mark_at = mark_at;
        Ok(picture)
    }

    /// Where each packet begins, framed and bare, and how long it is.
    fn starts(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let mut bare = 0;
        self.lengths.iter().enumerate().map(move |(index, length)| {
            let start = bare;
            bare += length;
            (start + (index + 1) * PREFIX_BYTES, start, *length)
        })
    }

    fn number(&mut self, first: u16, timestamp: u32) {
        let mut at = 0;
        for (index, length) in self.lengths.iter().enumerate() {
            let sequence = first.wrapping_add(index as u16).to_be_bytes();
            let framed = at + (index + 1) * PREFIX_BYTES;
            for header in [&mut self.framed[framed..framed + 8], &mut self.bare[at..at + 8]] {
                header[2..4].copy_from_slice(&sequence);
                header[4..8].copy_from_slice(&timestamp.to_be_bytes());
            }
            at += length;
        }
    }

    fn mark(&mut self, stamp: Stamp) {
        if let Some((framed, bare)) = self.mark_at {
            let text = stamp.text();
            self.framed[framed..framed + text.len()].copy_from_slice(&text);
            self.bare[bare..bare + text.len()].copy_from_slice(&text);
        }
    }

    /// The datagrams in as few rows as the kernel takes to cut: all of a row but the last are `packet_bytes` long.
    pub(super) fn rows(&self, packet_bytes: usize, most_packets: usize) -> impl Iterator<Item = &[u8]> {
        let (mut index, mut at) = (0, 0);
        std::iter::from_fn(move || {
            let start = at;
            let first = index;
            while let Some(length) = self.lengths.get(index) {
                at += length;
                index += 1;
                if *length < packet_bytes || index - first == most_packets {
                    break;
                }
            }
            (at > start).then(|| &self.bare[start..at])
        })
    }
}

/// A clip of three pictures with parameter sets, the first one a keyframe, of `bytes` each.
#[cfg(test)]
pub(super) fn test_clip(bytes: usize) -> Vec<u8> {
    let unit = |header: u8, length: usize| [&[0, 0, 0, 1, header][..], &vec![0x9A; length]].concat();
    [unit(0x67, 20), unit(0x68, 4), unit(0x65, bytes), unit(0x41, bytes), unit(0x41, bytes)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::flow::Flow;

    fn film(bytes: usize) -> Film {
        Film::new(&test_clip(bytes), 1000, 30.0, true).unwrap()
    }

    #[test]
    fn numbers_and_marks_go_on_over_the_clips_end() {
        let (mut film, mut flow) = (film(2500), Flow::default());
        for index in 0..7_u32 {
            let timestamp = film.timestamp();
            let picture = film.advance(Duration::from_micros(5000 + u64::from(index)));
            let mut stamps = Vec::new();
            for (framed, bare, length) in picture.starts() {
                let packet = &picture.bare[bare..bare + length];
                assert_eq!(packet, &picture.framed[framed..framed + length]);
                assert_eq!(picture.framed[framed - 4..framed], [b'$', 0, (length >> 8) as u8, length as u8]);
                assert_eq!(packet[4..8], timestamp.to_be_bytes());
                flow.packet(packet, length);
                stamps.extend(mark::look(packet).stamp);
            }
            assert_eq!(stamps, [Stamp { sequence: index, written_micros: 5000 + u64::from(index) }]);
        }
        assert_eq!((flow.counts.pictures, flow.counts.lost, flow.counts.damaged), (7, 0, 0));
        assert_eq!(film.timestamp(), 21_000);
    }

    #[test]
    fn rows_can_be_cut_by_the_kernel() {
        let mut film = film(2500);
        let lengths = |picture: &Picture| picture.rows(1000, 64).map(<[u8]>::len).collect::<Vec<_>>();
        // Parameter sets share a packet of their own.
        let key = lengths(film.advance(Duration::ZERO));
        assert_eq!(key.len(), 2);
        assert!(key[0] < 100 && key[1] > 2500, "{key:?}");
        let other = film.advance(Duration::ZERO);
        assert_eq!(lengths(other).len(), 1);
        assert_eq!(other.rows(1000, 2).map(<[u8]>::len).collect::<Vec<_>>()[0], 2000);
    }

    #[test]
    fn what_is_no_clip_is_refused() {
        for wrong in [&b"GIF89a"[..], &[], &[0, 0, 0, 1, 0x41, 1, 2, 3]] {
            assert!(Film::new(wrong, 1000, 30.0, true).is_err());
        }
    }
}
