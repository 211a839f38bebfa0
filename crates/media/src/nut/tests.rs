//! Streams as FFmpeg writes them, whole, in pieces and damaged.

use std::num::NonZeroU8;

use proptest::prelude::*;

use super::*;
use crate::{Codec, nal_units};

const LENGTHS: &[u8] = include_bytes!("../../testdata/nut/lengths.nut");
const START_CODES: &[u8] = include_bytes!("../../testdata/nut/start_codes.nut");
const JPEG: &[u8] = include_bytes!("../../testdata/nut/jpeg.nut");
const HEVC: &[u8] = include_bytes!("../../testdata/nut/hevc.nut");

/// Reads `stream` in pieces of `piece` bytes: what was found, and the reader.
fn read(stream: &[u8], piece: usize, most: usize) -> (Result<Vec<Event>, NutError>, Reader) {
    let mut reader = Reader::new(most);
    let mut events = Vec::new();
    for piece in stream.chunks(piece) {
        let mut left = piece;
        while !left.is_empty() {
            left = reader.feed(left);
        }
        loop {
            match reader.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (Err(error), reader),
            }
        }
    }
    (Ok(events), reader)
}

type Pictures = Vec<(i64, bool)>;
type Sound = Vec<(i64, usize)>;

/// The pictures' times in milliseconds and whether they stand for themselves, and the packets of sound.
fn split(events: &[Event]) -> (Pictures, Sound) {
    let (mut pictures, mut sound) = (Vec::new(), Vec::new());
    for event in events {
        let Event::Packet { time, unpacked, .. } = event else { panic!("{event:?}") };
        let millis = time.ticks() * 1000 / i64::from(time.rate().get());
        match unpacked {
            Unpacked::AccessUnit(unit) => pictures.push((millis, unit.key)),
            Unpacked::Jpeg(_) => pictures.push((millis, true)),
            Unpacked::Sound(data) => sound.push((millis, data.len())),
        }
    }
    (pictures, sound)
}

#[test]
fn pictures_and_sound_come_at_their_times_however_they_were_packed() {
    for (stream, video, audio, keys) in [
        (LENGTHS, Codec::H264, Codec::Aac, 2),
        (START_CODES, Codec::H264, Codec::Aac, 2),
        (JPEG, Codec::Jpeg, Codec::Pcma, 10),
        (HEVC, Codec::H265, Codec::Opus, 2),
    ] {
        let (events, reader) = read(stream, stream.len(), 1 << 20);
        let (mut pictures, sound) = split(&events.expect("a good stream"));
        let tracks = reader.tracks();
        assert_eq!((tracks[0].codec, tracks[1].codec), (video, audio));
        assert_eq!(tracks[0].size.map(|size| size.to_string()).as_deref(), Some("64x48"), "{video}");
        assert_eq!(pictures.iter().filter(|(_, key)| *key).count(), keys, "{video}");
        pictures.sort_unstable();
        let first = pictures[0].0;
        let apart: Vec<i64> = pictures.iter().map(|(at, _)| (at - first + 20) / 40).collect();
        assert_eq!(apart, (0..10).collect::<Vec<_>>(), "{video}: {pictures:?}");
        assert!(sound.len() > 3 && sound.windows(2).all(|pair| pair[0].0 < pair[1].0), "{audio}: {sound:?}");
        let last = sound.last().expect("some").0;
        assert!((250..=650).contains(&last), "{audio}: {last} ms");
        assert_eq!(reader.strange_sound(), None);
    }
}

#[test]
fn start_codes_and_lengths_and_adts_or_not_come_to_the_same() {
    let (with_lengths, first) = read(LENGTHS, 4096, 1 << 20);
    let (with_codes, second) = read(START_CODES, 4096, 1 << 20);
    let units = |events: Result<Vec<Event>, NutError>| -> Vec<Vec<u8>> {
        let events = events.expect("a good stream");
        let pictures = events.iter().filter_map(|event| match event {
            Event::Packet { unpacked: Unpacked::AccessUnit(unit), .. } => Some(unit.data.clone()),
            _ => None,
        });
        // The slices, without what MPEG-TS adds.
        pictures
            .flat_map(|data| nal_units(&data).map(<[u8]>::to_vec).collect::<Vec<_>>())
            .filter(|unit| unit[0] & 0x1F < 6)
            .collect()
    };
    assert_eq!(units(with_lengths), units(with_codes));
    let sound = |reader: &Reader| {
        let track = reader.tracks().swap_remove(1);
        (track.clock_rate.get(), track.channels.map(NonZeroU8::get), track.parameter_sets[0][..2].to_vec())
    };
    assert_eq!(sound(&first), (48_000, Some(1), vec![0x11, 0x88]));
    assert_eq!(sound(&first), sound(&second));
}

#[test]
fn what_is_too_long_is_passed_over_and_counted() {
    let (events, _) = read(LENGTHS, 100, 1000);
    let events = events.expect("a good stream");
    let long = events.iter().filter(|event| matches!(event, Event::TooLarge { bytes: 1001.., .. })).count();
    let needs = |event: &&Event| matches!(event, Event::Dropped { reason: DropReason::NeedsKey, .. });
    // The first keyframe, and what needs it.
    assert_eq!((long, events.iter().filter(needs).count()), (1, 4), "{events:?}");
}

#[test]
fn what_is_no_nut_and_what_has_no_pictures_is_told() {
    assert_eq!(read(b"hello world", 4, 1000).0, Err(NutError::NoNut));
    assert_eq!(
        read(b"nut/multimedia container\0garbage", 40, 1000).0.err().map(|error| error.to_string()),
        Some("damaged NUT: a frame before the header".into())
    );
    // FFmpeg says mp4v of MPEG-4's second part alone, and MJPG of JPEGs out of MP4.
    for codec in ["VP90", "mp4v"] {
        let mut foreign = LENGTHS.to_vec();
        let at = foreign.windows(4).position(|four| four == b"H264").expect("its codec");
        foreign[at..at + 4].copy_from_slice(codec.as_bytes());
        let error = read(&foreign, 4096, 1 << 20).0.expect_err("no codec of ours");
        assert_eq!(error.to_string(), format!("no H.264, H.265 or JPEG in it, but {codec}"));
    }
    let mut foreign = LENGTHS.to_vec();
    let at = foreign.windows(3).position(|three| three == [4, 0xFF, 0]).expect("its codec");
    foreign[at + 1] = 0x55;
    let (events, reader) = read(&foreign, 4096, 1 << 20);
    assert!(split(&events.expect("its pictures are good")).1.is_empty());
    assert_eq!(reader.strange_sound().as_deref(), Some("MP3"));
}

proptest! {
    #[test]
    fn the_same_is_found_however_it_is_cut(piece in 1_usize..2000, which in 0_usize..4) {
        let stream = [LENGTHS, START_CODES, JPEG, HEVC][which];
        prop_assert_eq!(read(stream, piece, 1 << 20).0, read(stream, stream.len(), 1 << 20).0);
    }

    #[test]
    fn damage_is_borne(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20), which in 0_usize..4) {
        let mut stream = [LENGTHS, START_CODES, JPEG, HEVC][which].to_vec();
        for (at, byte) in changes {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let (_, reader) = read(&stream, 512, 1 << 16);
        prop_assert!(reader.intake.bytes().len() <= MOST_HEADER_BYTES + (1 << 17));
    }
}
