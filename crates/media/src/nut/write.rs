//! NUT for FFmpeg to read from a pipe: pictures of one track with their times, each whole as soon as it is written.
//!
//! Every frame stands behind a syncpoint, so that it may be of any length, and has one frame code, whose flags and fields it states
//! itself (specification of NUT, sections 3.4 to 3.8).

use bytes::{BufMut, Bytes, BytesMut};

use super::{FILE_ID, MAIN, STREAM, SYNCPOINT};
use crate::{Codec, MediaTime, Track};

const KEY: u64 = 1;
const CODED_TICKS: u64 = 1 << 3;
const LENGTH: u64 = 1 << 5;
const CHECKSUM: u64 = 1 << 6;
const CODED_FLAGS: u64 = 1 << 12;

/// What goes before each frame at most: a syncpoint of 24 bytes and a frame's header of 27.
const HEAD_BYTES: usize = 64;

/// Writes one stream of pictures. Allocates nothing for a picture.
#[derive(Debug)]
pub struct Writer {
    header: Bytes,
    /// The time that is counted from: none is negative.
    origin: Option<i64>,
}

/// What goes before a frame's own bytes.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The frame's time in this stream, at 90 kHz.
    pub ticks: i64,
    bytes: [u8; HEAD_BYTES],
    length: usize,
}

impl Head {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Writer {
    /// A writer for the pictures of `track`; `None` for codecs that FFmpeg would have to be told more of.
    pub fn new(track: &Track) -> Option<Self> {
        let name = match track.codec {
            Codec::Jpeg => b"MJPG",
            Codec::H264 => b"H264",
            Codec::H265 => b"HEVC",
            Codec::Yuv420 => b"I420",
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
        Some(Self { header: header.freeze(), origin: None })
    }

    /// What stands before the first frame.
    pub fn header(&self) -> Bytes {
        self.header.clone()
    }

    /// What goes before a frame of `bytes` bytes, which follow: of H.264 and H.265 NAL units behind start codes.
    ///
    /// `None` if it is shown more than ten seconds before the first one, because somebody has set the clock back: a stream cannot say
    /// that, and has to begin anew.
    pub fn head(&mut self, time: MediaTime, key: bool, bytes: usize) -> Option<Head> {
        let ticks = time.rescale(MediaTime::VIDEO_RATE).ticks();
        // Pictures that are shown before the first keyframe come behind it.
        let origin = *self.origin.get_or_insert(ticks.saturating_sub(SLACK_TICKS));
        let ticks = ticks.saturating_sub(origin);
        let counted = u64::try_from(ticks).ok()?;
        let (syncpoint, length) = laid::<16>(|mut out| {
            put_v(&mut out, counted);
            put_v(&mut out, 0);
            out.len()
        });
        let (frame, frame_length) = laid::<HEAD_BYTES>(|mut out| {
            out.put_u8(0);
            put_v(&mut out, CODED_TICKS | LENGTH | CHECKSUM | if key { KEY } else { 0 });
            // A whole time is one more than it is: with no lowest bits coded alone, 0 would be such.
            put_v(&mut out, counted + 1);
            put_v(&mut out, bytes as u64);
            out.len()
        });
        let (bytes, length) = laid(|mut out| {
            put_packet(&mut out, SYNCPOINT, &syncpoint[..length]);
            let frame = &frame[..frame_length];
            out.put_slice(frame);
            out.put_u32(checksum(frame));
            out.len()
        });
        Some(Head { ticks, bytes, length })
    }
}

/// So much earlier than the first keyframe may pictures be shown that come behind it.
const SLACK_TICKS: i64 = 10 * 90_000;

/// What `fill`, which returns how much room is left, puts at the beginning of so much room, and how long it is.
fn laid<const ROOM: usize>(fill: impl FnOnce(&mut [u8]) -> usize) -> ([u8; ROOM], usize) {
    let mut room = [0; ROOM];
    let left = fill(&mut room);
    (room, ROOM - left)
}

/// A header: its startcode, its length with its checksum, itself, and that.
fn put_packet(out: &mut impl BufMut, startcode: u64, body: &[u8]) {
    out.put_u64(startcode);
    put_v(out, body.len() as u64 + 4);
    out.put_slice(body);
    out.put_u32(checksum(body));
}

fn put_v(out: &mut impl BufMut, number: u64) {
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
    use crate::nut::{Event, NutError, Reader};
    use crate::{Size, nal_units};

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
            let head = writer.head(time, is_key, data.len()).expect("not long before the first");
            stream.extend_from_slice(head.as_bytes());
            stream.extend_from_slice(&with_start_codes(data));
            expected.push((head.ticks, is_key, Bytes::copy_from_slice(data)));
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

    fn with_start_codes(unit: &[u8]) -> Vec<u8> {
        nal_units(unit).flat_map(|unit| [&[0, 0, 0, 1][..], unit].concat()).collect()
    }

    #[test]
    fn a_clock_that_is_set_back_needs_another_stream() {
        let track = Track::video(Codec::H265, Size::new(64, 48), Vec::new());
        let mut writer = Writer::new(&track).expect("it can be");
        let mut ticks = |seconds: i64| {
            let time = MediaTime::new(seconds * 90_000, MediaTime::VIDEO_RATE);
            writer.head(time, true, 1).map(|head| head.ticks / 90_000)
        };
        let times = [1000, 1001, 990, 989, -5, 1002].map(&mut ticks);
        assert_eq!(times, [Some(10), Some(11), Some(0), None, None, Some(12)]);
    }

    #[test]
    fn the_longest_head_has_room() {
        let track = Track::video(Codec::Jpeg, Size::new(64, 48), Vec::new());
        let mut writer = Writer::new(&track).expect("it can be");
        writer.head(MediaTime::new(i64::MIN, MediaTime::VIDEO_RATE), true, usize::MAX);
        let last = writer.head(MediaTime::new(i64::MAX, MediaTime::VIDEO_RATE), true, usize::MAX);
        assert!(last.expect("later").as_bytes().len() <= HEAD_BYTES);
    }

    #[test]
    fn pictures_that_are_not_coded_are_read_by_those_who_ask_for_them() {
        let track = Track::video(Codec::Yuv420, Size::new(4, 2), Vec::new());
        let mut writer = Writer::new(&track).expect("it can be");
        let picture = Bytes::from_static(b"luma8888BbRr");
        let time = MediaTime::new(7, MediaTime::VIDEO_RATE);
        let head = writer.head(time, true, picture.len()).expect("the first");
        let stream = [&writer.header()[..], head.as_bytes(), &picture].concat();
        let mut reader = Reader::new(1 << 10);
        reader.room().extend_from_slice(&stream);
        assert!(matches!(reader.next_event(), Err(NutError::NoPictures { found }) if found == "I420"));
        let mut reader = Reader::of_raw_pictures(1 << 10);
        reader.room().extend_from_slice(&stream);
        let time = MediaTime::new(head.ticks, MediaTime::VIDEO_RATE);
        assert_eq!(reader.next_event(), Ok(Some(Event::Raw { time, data: picture })));
        assert_eq!(reader.tracks(), [track]);
    }
}
