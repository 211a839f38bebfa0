//! NUT for FFmpeg to read from a pipe: pictures of one track with their times, each whole as soon as it is written.
//!
//! Every frame stands behind a syncpoint, so that it may be of any length, and has one frame code, whose flags and fields it states
//! itself (specification of NUT, sections 3.4 to 3.8).

use bytes::{BufMut, Bytes, BytesMut};

use super::{FILE_ID, MAIN, STREAM, SYNCPOINT};
use crate::{Codec, Frame, MediaTime, Track, nal_units};

const KEY: u64 = 1;
const CODED_TICKS: u64 = 1 << 3;
const LENGTH: u64 = 1 << 5;
const CHECKSUM: u64 = 1 << 6;
const CODED_FLAGS: u64 = 1 << 12;

/// What goes before each frame at most.
const HEAD_BYTES: usize = 64;

/// Writes one stream of pictures.
#[derive(Debug)]
pub struct Writer {
    codec: Codec,
    header: Bytes,
    /// The time that is counted from: none is negative.
    origin: Option<i64>,
}

/// A frame as it is written: one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its time in this stream, at 90 kHz.
    pub ticks: i64,
    /// What goes before its data.
    pub head: Bytes,
    /// Its data.
    pub data: Bytes,
}

impl Writer {
    /// A writer for the pictures of `track`; `None` for codecs that FFmpeg would have to be told more of.
    pub fn new(track: &Track) -> Option<Self> {
        let name = match track.codec {
            Codec::Jpeg => b"MJPG",
            Codec::H264 => b"H264",
            Codec::H265 => b"HEVC",
            _ => return None,
        };
        let size = track.size?;
        let mut main = BytesMut::new();
        // Version, streams, the longest way to a syncpoint, and one clock of 90 kHz.
        for number in [3, 1, 65_536, 1, 1, u64::from(MediaTime::VIDEO_RATE.get())] {
            put_v(&mut main, number);
        }
        // All 255 codes state their flags, and have no ticks, multiplier 1, stream 0 and no reserved fields.
        for number in [CODED_FLAGS, 6, 0, 1, 0, 0, 0, 255] {
            put_v(&mut main, number);
        }
        // Nothing is left out.
        put_v(&mut main, 0);
        let mut stream = BytesMut::new();
        // Number and class: pictures.
        put_v(&mut stream, 0);
        put_v(&mut stream, 0);
        put_v(&mut stream, name.len() as u64);
        stream.put_slice(name);
        // The clock, whole times, any gap, no pictures that FFmpeg would hold back from the beginning (it learns of B-frames by itself),
        // no flags, and no configuration: it is in the keyframes.
        for number in [0, 0, 1 << 40, 0, 0, 0] {
            put_v(&mut stream, number);
        }
        for number in [u64::from(size.width), size.height.into(), 0, 0, 0] {
            put_v(&mut stream, number);
        }
        let mut header = BytesMut::from(&FILE_ID[..]);
        put_packet(&mut header, MAIN, &main);
        put_packet(&mut header, STREAM, &stream);
        Some(Self { codec: track.codec, header: header.freeze(), origin: None })
    }

    /// What stands before the first frame.
    pub fn header(&self) -> Bytes {
        self.header.clone()
    }

    /// Lays out a frame. Of H.264 and H.265 the lengths become start codes, which copies it.
    pub fn frame(&mut self, frame: &Frame) -> Written {
        let ticks = frame.time.rescale(MediaTime::VIDEO_RATE).ticks();
        // Pictures that are shown before the first keyframe come behind it.
        let origin = *self.origin.get_or_insert(ticks.saturating_sub(SLACK_TICKS));
        let ticks = ticks.saturating_sub(origin).max(0);
        let data = match self.codec {
            Codec::H264 | Codec::H265 => with_start_codes(&frame.data),
            _ => frame.data.clone(),
        };
        let mut head = BytesMut::with_capacity(HEAD_BYTES);
        let mut syncpoint = BytesMut::with_capacity(16);
        put_v(&mut syncpoint, ticks.unsigned_abs());
        put_v(&mut syncpoint, 0);
        put_packet(&mut head, SYNCPOINT, &syncpoint);
        let begin = head.len();
        head.put_u8(0);
        put_v(&mut head, CODED_TICKS | LENGTH | CHECKSUM | if frame.key { KEY } else { 0 });
        // A whole time is one more than it is: with no lowest bits coded alone, 0 would be such.
        put_v(&mut head, ticks.unsigned_abs() + 1);
        put_v(&mut head, data.len() as u64);
        let checksum = checksum(&head[begin..]);
        head.put_u32(checksum);
        Written { ticks, head: head.freeze(), data }
    }
}

/// So much earlier than the first keyframe may pictures be shown that come behind it.
const SLACK_TICKS: i64 = 10 * 90_000;

fn with_start_codes(data: &Bytes) -> Bytes {
    let mut laid = BytesMut::with_capacity(data.len());
    for unit in nal_units(data) {
        laid.put_slice(&[0, 0, 0, 1]);
        laid.put_slice(unit);
    }
    laid.freeze()
}

/// A header: its startcode, its length with its checksum, itself, and that.
fn put_packet(out: &mut BytesMut, startcode: u64, body: &[u8]) {
    out.put_u64(startcode);
    put_v(out, body.len() as u64 + 4);
    out.put_slice(body);
    out.put_u32(checksum(body));
}

fn put_v(out: &mut BytesMut, number: u64) {
    let groups = (64 - number.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let more = if group > 0 { 0x80 } else { 0 };
        out.put_u8(more | (number >> (7 * group)) as u8 & 0x7F);
    }
}

/// CRC-32 with the generator 0x04C11DB7, highest bit first, from 0 and as it comes out (section 2.2).
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04C1_1DB7 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mp4::Unpacked;
    use crate::nut::{Event, Reader};
    use crate::{Size, TrackId};

    #[test]
    fn the_checksum_is_the_one_that_ffmpeg_writes() {
        let stream = include_bytes!("../../testdata/nut/lengths.nut");
        // The main header: its body stands between the length, 0x73, and its checksum.
        let at = FILE_ID.len() + 9;
        let body = &stream[at..at + 0x73 - 4];
        assert_eq!(stream[at - 1], 0x73);
        assert_eq!(checksum(body).to_be_bytes(), stream[at + 0x73 - 4..at + 0x73]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let size = Size::new(64, 48);
        let sets = [
            &[0, 0, 0, 11][..],
            &[0x67, 0x42, 0xC0, 0x0A, 0xDA, 0x0F, 0x0A, 0x69, 0xA8, 0x10, 0x10],
            &[0, 0, 0, 2, 0x68, 0xCE],
        ];
        let key = [&sets.concat()[..], &[0, 0, 0, 3], &[0x65, 0x88, 1]].concat();
        let delta = [&[0, 0, 0, 4][..], &[0x41, 0x9A, 3, 3]].concat();
        let mut writer = Writer::new(&Track::video(Codec::H264, size, Vec::new())).expect("it can be");
        let mut stream = writer.header().to_vec();
        let mut expected = Vec::new();
        // The third is shown before the second.
        for (ticks, is_key, data) in
            [(1_000_000, true, &key), (1_007_200, false, &delta), (1_003_600, false, &delta)]
        {
            let time = MediaTime::new(ticks, MediaTime::VIDEO_RATE);
            let data = Bytes::copy_from_slice(data);
            let frame =
                Frame { track: TrackId::VIDEO, time, captured: None, key: is_key, data: data.clone() };
            let written = writer.frame(&frame);
            stream.extend_from_slice(&written.head);
            stream.extend_from_slice(&written.data);
            expected.push((written.ticks, is_key, data));
        }
        let mut reader = Reader::new(1 << 20);
        reader.room().extend_from_slice(&stream);
        let mut found = Vec::new();
        while let Some(event) = reader.next_event().expect("good") {
            let Event::Packet { time, unpacked: Unpacked::AccessUnit(unit), .. } = event else {
                panic!("{event:?}")
            };
            found.push((time.ticks(), unit.key, unit.data));
        }
        assert_eq!(found, expected);
        assert_eq!(found[2].0 - found[0].0, 3600);
    }
}
