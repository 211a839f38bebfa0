//! Made-up streams in pieces of every length: order of units, damage, limits. What encoders make is in `tests/annexb.rs`.

use proptest::prelude::*;

use super::*;
use crate::nal_units;

const LIMIT: usize = 400;

const SPS: &[u8] = &[0x67, 0x42, 0xC0, 0x0A, 0xDA, 0x0F, 0x0A, 0x69, 0xA8, 0x10, 0x10];
const PPS: &[u8] = &[0x68, 0xCE];
const AUD: &[u8] = &[0x09, 0xF0];
const SEI: &[u8] = &[0x06, 0x05, 0x01, 0x80];
/// First and second slices.
const KEY: &[u8] = &[0x65, 0x88, 1, 1, 1, 1, 1, 1];
const KEY_2: &[u8] = &[0x65, 0x48, 2, 2, 2];
const DELTA: &[u8] = &[0x41, 0x9A, 3, 3, 3, 3];
const DELTA_2: &[u8] = &[0x41, 0x4A, 4, 4];
const FILLER: &[u8] = &[0x0C, 0xFF, 0x80];
const END: &[u8] = &[0x0B];

/// A stream of units behind start codes of four bytes.
fn stream(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit].concat()).collect()
}

/// The same behind start codes of three bytes.
fn short(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&START_CODE, *unit].concat()).collect()
}

fn access_unit(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&(unit.len() as u32).to_be_bytes()[..], unit].concat()).collect()
}

/// Everything that a framer finds in `bytes`, given in chunks of the lengths in `chunks`, over and over.
fn frame(codec: Codec, bytes: &[u8], chunks: &[usize]) -> Vec<Event> {
    let mut framer = Framer::new(codec, LIMIT);
    let mut events = Vec::new();
    let mut left = bytes;
    for chunk in chunks.iter().cycle() {
        if left.is_empty() {
            break;
        }
        let (mut now, later) = left.split_at((*chunk).clamp(1, left.len()));
        while !now.is_empty() {
            now = framer.feed(now);
            events.extend(std::iter::from_fn(|| framer.next_event()));
        }
        left = later;
    }
    events.extend(std::iter::from_fn(|| framer.finish()));
    events
}

fn frames(events: &[Event]) -> Vec<Vec<u8>> {
    let frame = |event: &Event| match event {
        Event::Frame(unit) => Some(unit.data.to_vec()),
        Event::Dropped { .. } => None,
    };
    events.iter().filter_map(frame).collect()
}

fn reasons(events: &[Event]) -> Vec<DropReason> {
    let reason = |event: &Event| match event {
        Event::Frame(_) => None,
        Event::Dropped { reason, .. } => Some(*reason),
    };
    events.iter().filter_map(reason).collect()
}

/// What is found in it, whole and byte by byte.
fn h264(bytes: &[u8]) -> Vec<Event> {
    let whole = frame(Codec::H264, bytes, &[usize::MAX]);
    assert_eq!(whole, frame(Codec::H264, bytes, &[1]));
    whole
}

#[test]
fn pictures_are_told_apart_by_what_stands_in_them() {
    let first = [SPS, PPS, SEI, KEY, KEY_2];
    let (second, third) = ([DELTA, DELTA_2, FILLER], [DELTA]);
    for code in [stream, short] {
        let bytes = [code(&first), code(&second), code(&third)].concat();
        let events = h264(&bytes);
        assert_eq!(frames(&events), [access_unit(&first), access_unit(&second), access_unit(&third)]);
        assert_eq!(events.len(), 3);
        let Event::Frame(key) = &events[0] else { panic!() };
        assert!(key.key && key.new_parameter_sets);
        assert!(matches!(&events[1], Event::Frame(unit) if !unit.key && !unit.new_parameter_sets));
    }
}

#[test]
fn delimiters_sei_and_parameter_sets_begin_a_picture() {
    let pictures: [&[&[u8]]; 5] =
        [&[AUD, SPS, PPS, KEY], &[AUD, DELTA], &[SEI, DELTA], &[PPS, DELTA], &[AUD, SEI, DELTA, END]];
    let bytes: Vec<u8> = pictures.iter().flat_map(|units| stream(units)).collect();
    let expected: Vec<_> = pictures.iter().map(|units| access_unit(units)).collect();
    let found = frames(&h264(&bytes));
    assert_eq!(found[..4], expected[..4]);
    assert_eq!(found[4], access_unit(&[AUD, SEI, DELTA]), "what is too short at the end is left out");
}

#[test]
fn parameter_sets_that_came_once_are_in_every_keyframe() {
    let bytes = [stream(&[AUD, SPS, PPS, KEY]), stream(&[AUD, DELTA]), stream(&[AUD, KEY])].concat();
    let events = h264(&bytes);
    assert_eq!(frames(&events)[2], access_unit(&[AUD, SPS, PPS, KEY]));
    assert!(matches!(&events[2], Event::Frame(unit) if unit.key && !unit.new_parameter_sets));
    let other = &[0x68, 0xCF][..];
    let events = h264(&[stream(&[SPS, PPS, KEY]), stream(&[other, KEY])].concat());
    assert_eq!(frames(&events)[1], access_unit(&[SPS, other, KEY]));
    assert!(matches!(&events[1], Event::Frame(unit) if unit.new_parameter_sets));
}

#[test]
fn a_picture_is_there_three_bytes_behind_the_next_start_code() {
    let picture = stream(&[SPS, PPS, KEY]);
    let next = stream(&[DELTA]);
    let mut framer = Framer::new(Codec::H264, LIMIT);
    framer.room().extend_from_slice(&picture);
    for byte in &next[..5] {
        framer.room().extend_from_slice(&[*byte]);
        assert_eq!(framer.next_event(), None);
    }
    framer.room().extend_from_slice(&next[5..6]);
    assert!(matches!(framer.next_event(), Some(Event::Frame(_))));
}

#[test]
fn who_knows_that_a_picture_is_whole_does_not_wait() {
    let mut framer = Framer::new(Codec::H264, LIMIT);
    let give = |framer: &mut Framer, units: &[&[u8]]| {
        framer.room().extend_from_slice(&stream(units));
        assert_eq!(framer.next_event(), None);
        framer.settle()
    };
    for (index, units) in
        [&[SPS, PPS, KEY, KEY_2][..], &[DELTA], &[AUD, DELTA, DELTA_2]].into_iter().enumerate()
    {
        let Some(Event::Frame(unit)) = give(&mut framer, units) else { panic!("{index}") };
        assert_eq!(unit.data, access_unit(units));
        assert_eq!((framer.settle(), framer.next_event()), (None, None));
    }
    framer.room().extend_from_slice(&[&stream(&[DELTA])[..], &[0, 0, 0, 1]].concat());
    assert_eq!(framer.next_event(), None);
    let Some(Event::Frame(unit)) = framer.settle() else { panic!("it has ended") };
    assert_eq!(unit.data, access_unit(&[DELTA]));
    framer.room().extend_from_slice(AUD);
    assert_eq!(framer.next_event(), None);
    assert_eq!(give(&mut framer, &[SPS, PPS]), None, "no picture yet");
    let Some(Event::Frame(unit)) = give(&mut framer, &[KEY]) else { panic!() };
    assert_eq!(unit.data, access_unit(&[AUD, SPS, PPS, KEY]));
}

#[test]
fn who_settles_too_early_hears_of_it() {
    let mut framer = Framer::new(Codec::H264, LIMIT);
    framer.room().extend_from_slice(&[&stream(&[SPS, PPS, KEY, DELTA])[..], &[0]].concat());
    assert!(framer.next_event().is_some());
    assert_eq!(framer.settle(), None, "a start code may have begun");
    framer.room().extend_from_slice(&[9]);
    assert_eq!(framer.next_event(), None);
    assert!(matches!(framer.settle(), Some(Event::Frame(_))));
    framer.room().extend_from_slice(&[&[5, 6, 7][..], &stream(&[DELTA_2, AUD, DELTA])].concat());
    assert_eq!(framer.next_event(), Some(Event::Dropped { reason: DropReason::Garbage, bytes: 3 }));
    let beheaded = stream(&[DELTA_2]).len() as u64;
    assert_eq!(framer.next_event(), Some(Event::Dropped { reason: DropReason::Beheaded, bytes: beheaded }));
    assert!(framer.keyframe_wanted());
}

#[test]
fn pictures_before_the_first_keyframe_and_behind_damage_are_dropped() {
    let events = h264(&stream(&[DELTA_2, DELTA, SPS, PPS, KEY, DELTA]));
    assert_eq!(reasons(&events), [DropReason::Beheaded, DropReason::NeedsKey]);
    assert_eq!(frames(&events).len(), 2);
    let events = h264(&stream(&[SPS, PPS, KEY, DELTA, &[0xE5, 1, 2], DELTA, KEY]));
    assert_eq!(reasons(&events), [DropReason::Damaged, DropReason::NeedsKey]);
    assert_eq!(frames(&events).len(), 2);
    assert_eq!(reasons(&h264(&stream(&[KEY, DELTA]))), [DropReason::NoParameterSets, DropReason::NeedsKey]);
}

#[test]
fn garbage_is_counted_and_zeros_are_none() {
    let events = h264(
        &[
            &b"rpicam-vid: starting\n\0\0\0"[..],
            &stream(&[SPS, PPS, KEY]),
            &[0; 9],
            &stream(&[DELTA]),
            &[0; 5],
        ]
        .concat(),
    );
    assert_eq!(events[0], Event::Dropped { reason: DropReason::Garbage, bytes: 21 });
    assert_eq!(frames(&events), [access_unit(&[SPS, PPS, KEY]), access_unit(&[DELTA])]);
    assert_eq!(events.len(), 3);
    let events = h264(b"rpicam-vid: no cameras\n");
    assert_eq!(events, [Event::Dropped { reason: DropReason::Garbage, bytes: 23 }]);
    assert_eq!(h264(&[0; 50]), []);
    let events = h264(&[&stream(&[&[0xFF, 7], &[0x1E, 9]])[..], &stream(&[SPS, PPS, KEY])].concat());
    assert_eq!((reasons(&events), frames(&events).len()), (vec![DropReason::Garbage], 1));
    let unknown = h264(&stream(&[SPS, PPS, KEY, &[0x1E, 7, 7], &[], DELTA]));
    assert_eq!(frames(&unknown), [access_unit(&[SPS, PPS, KEY]), access_unit(&[DELTA])]);
}

#[test]
fn a_picture_over_the_limit_costs_what_needs_it() {
    let long = [&[0x41, 0x9A][..], &[7; 2 * LIMIT]].concat();
    let bytes = stream(&[SPS, PPS, KEY, &long, DELTA_2, DELTA_2, DELTA, KEY, DELTA]);
    for chunk in [1, 7, 64, 100_000] {
        let events = frame(Codec::H264, &bytes, &[chunk]);
        assert_eq!(frames(&events).len(), 3, "chunks of {chunk}");
        let pictures: Vec<_> = reasons(&events).into_iter().filter(DropReason::is_picture).collect();
        assert_eq!(pictures, [DropReason::TooLarge, DropReason::NeedsKey], "chunks of {chunk}");
    }
}

#[test]
fn endless_streams_without_a_picture_take_no_memory() {
    for piece in [
        vec![0; 4096],
        vec![0xFF; 4096],
        stream(&[SEI]),
        stream(&[DELTA_2]),
        short(&[&[0x0C]]),
        short(&[&[]]),
        stream(&[PPS]),
    ] {
        let bytes = piece.repeat((64 << 10) / piece.len());
        let mut framer = Framer::new(Codec::H264, 1 << 20);
        for _ in 0..40 {
            let mut left = &bytes[..];
            while !left.is_empty() {
                left = framer.feed(left);
                while framer.next_event().is_some() {}
                assert!(framer.room().capacity() <= (1 << 20) + (64 << 10), "{piece:02X?}");
                assert!(framer.units.capacity() <= 2 * MOST_UNITS);
            }
        }
    }
}

#[test]
fn who_asks_on_after_the_end_is_told_that_there_is_nothing() {
    for damage in [&[][..], DELTA_2] {
        let mut framer = Framer::new(Codec::H264, LIMIT);
        framer.room().extend_from_slice(&stream(&[SPS, PPS, damage, KEY]));
        while framer.next_event().is_some() {}
        assert!(framer.finish().is_some());
        assert_eq!((framer.next_event(), framer.finish(), framer.next_event()), (None, None, None));
    }
}

#[test]
fn start_codes_of_four_bytes_are_replaced_in_place() {
    let mut framer = Framer::new(Codec::H264, LIMIT);
    framer.room().extend_from_slice(&stream(&[SPS, PPS, KEY, AUD]));
    let buffer = framer.room().as_ptr();
    let Some(Event::Frame(unit)) = framer.next_event() else { panic!() };
    assert_eq!(unit.data.as_ptr(), buffer);
}

#[test]
fn h265_is_told_apart_by_its_own_rules() {
    let (vps, sps, pps) =
        (&[0x40, 0x01, 0x0C, 0x01][..], &[0x42, 0x01, 0x01, 0x01][..], &[0x44, 0x01, 0xC1, 0x73][..]);
    let (key, key_2) = (&[0x26, 0x01, 0xAF, 0x08][..], &[0x26, 0x01, 0x2F, 0x08][..]);
    let (delta, suffix, aud) =
        (&[0x02, 0x01, 0xD0, 0x09][..], &[0x50, 0x01, 0x84, 0x80][..], &[0x46, 0x01, 0x10][..]);
    let pictures: [&[&[u8]]; 3] = [&[vps, sps, pps, key, key_2, suffix], &[delta, suffix], &[aud, delta]];
    let bytes: Vec<u8> = pictures.iter().flat_map(|units| stream(units)).collect();
    let events = frame(Codec::H265, &bytes, &[3]);
    let kept = frames(&events);
    assert_eq!(kept.len(), 3, "{events:?}");
    assert_eq!(kept[1..], [access_unit(pictures[1]), access_unit(pictures[2])]);
    let names: Vec<_> = nal_units(&kept[0]).map(|unit| unit[0]).collect();
    assert_eq!(names, [0x40, 0x42, 0x44, 0x26, 0x26, 0x50]);
}

proptest! {
    #[test]
    fn any_split_gives_the_same_and_every_byte_is_accounted_for(
        order in proptest::collection::vec((0_usize..14, any::<bool>(), 0_usize..4), 0..40),
        chunks in proptest::collection::vec(1_usize..90, 1..12),
        damaged in proptest::option::of(any::<(u16, u8)>()),
    ) {
        let units: [&[u8]; 14] = [SPS, PPS, AUD, SEI, KEY, KEY, KEY_2, DELTA, DELTA, DELTA_2, FILLER, END, &[0x1E, 9], &[]];
        let mut bytes = Vec::new();
        for (unit, long, zeros) in order {
            bytes.resize(bytes.len() + zeros, 0);
            bytes.extend(if long { stream(&[units[unit]]) } else { short(&[units[unit]]) });
        }
        if let Some((at, byte)) = damaged.filter(|_| !bytes.is_empty()) {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        let whole = frame(Codec::H264, &bytes, &[usize::MAX]);
        if bytes.len() <= LIMIT {
            prop_assert_eq!(&frame(Codec::H264, &bytes, &[1]), &whole);
            prop_assert_eq!(&frame(Codec::H264, &bytes, &chunks), &whole);
        }
        for data in frames(&whole) {
            let units: usize = nal_units(&data).map(|unit| 4 + unit.len()).sum();
            prop_assert_eq!(units, data.len());
            prop_assert!(nal_units(&data).all(|unit| !unit.is_empty()));
        }
    }

    #[test]
    fn nothing_panics(
        bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0x65), Just(0x26), any::<u8>()], 0..600),
        chunks in proptest::collection::vec(1_usize..90, 1..12),
        h265: bool,
        settle: bool,
    ) {
        let codec = if h265 { Codec::H265 } else { Codec::H264 };
        frame(codec, &bytes, &chunks);
        let mut framer = Framer::new(codec, LIMIT);
        for chunk in bytes.chunks(chunks[0]) {
            framer.room().extend_from_slice(chunk);
            while framer.next_event().is_some() {}
            if settle {
                framer.settle();
            }
        }
    }
}
