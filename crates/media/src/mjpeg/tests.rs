//! Runs of real pictures, whole, cut and mixed with garbage, in pieces of every length.

use proptest::prelude::*;

use super::*;
use crate::testdata::{PICTURES, picture};

const LIMIT: usize = 8 << 10;

/// Everything that a framer finds in `bytes`, given in chunks of the lengths in `chunks`, over and over.
fn frame(bytes: &[u8], chunks: &[usize], max_frame_bytes: usize) -> Vec<Event> {
    let mut framer = Framer::new(max_frame_bytes);
    let mut events = Vec::new();
    let mut left = bytes;
    for chunk in chunks.iter().cycle() {
        if left.is_empty() {
            break;
        }
        let (now, later) = left.split_at((*chunk).clamp(1, left.len()));
        let mut now = now;
        while !now.is_empty() {
            now = framer.feed(now);
            events.extend(std::iter::from_fn(|| framer.next_event()));
        }
        left = later;
    }
    events.extend(framer.finish());
    events
}

fn frames(events: &[Event]) -> Vec<Bytes> {
    let frame = |event: &Event| match event {
        Event::Frame(data) => Some(data.clone()),
        Event::Dropped { .. } => None,
    };
    events.iter().filter_map(frame).collect()
}

fn dropped_bytes(events: &[Event], wanted: impl Fn(&DropReason) -> bool) -> u64 {
    let bytes = |event: &Event| match event {
        Event::Dropped { reason, bytes } if wanted(reason) => *bytes,
        _ => 0,
    };
    events.iter().map(bytes).sum()
}

#[test]
fn a_picture_is_there_with_its_last_byte_and_not_before() {
    for (name, bytes) in PICTURES {
        let mut framer = Framer::new(LIMIT);
        for (index, byte) in bytes.iter().enumerate() {
            assert_eq!(framer.next_event(), None, "{name}, byte {index}");
            framer.room().extend_from_slice(&[*byte]);
        }
        assert_eq!(framer.next_event(), Some(Event::Frame(Bytes::from_static(bytes))), "{name}");
        assert_eq!(framer.finish(), None);
    }
}

#[test]
fn pictures_are_split_off_without_copying() {
    let mut framer = Framer::new(LIMIT);
    framer.room().extend_from_slice(picture("baseline"));
    let buffer = framer.room().as_ptr();
    let Some(Event::Frame(data)) = framer.next_event() else { panic!("no picture") };
    assert_eq!(data.as_ptr(), buffer);
}

#[test]
fn a_picture_cut_off_in_its_scan_costs_only_itself() {
    let (broken, whole) = (picture("baseline"), picture("restart"));
    let cut = broken.len() - 100;
    let bytes = [&broken[..cut], whole, whole].concat();
    let events = frame(&bytes, &[100], LIMIT);
    let reason = DropReason::Damaged(JpegError::CutOff { at: cut });
    assert_eq!(events[0], Event::Dropped { reason, bytes: cut as u64 });
    assert_eq!(frames(&events), [whole, whole]);
}

#[test]
fn a_picture_cut_off_in_a_table_costs_only_itself() {
    let (broken, whole) = (picture("baseline"), picture("restart"));
    for cut in 20..broken.len() - 2 {
        let bytes = [&broken[..cut], whole, whole].concat();
        assert_eq!(frames(&frame(&bytes, &[4096], LIMIT)), [whole, whole], "cut at {cut}");
    }
}

#[test]
fn a_thumbnail_is_never_taken_for_a_picture_even_when_its_owner_is_damaged() {
    let owner = picture("exif-thumbnail");
    assert!(memchr::memmem::find_iter(owner, b"\xFF\xD8\xFF").count() == 2, "there is a thumbnail");
    let mut broken = owner.to_vec();
    let scan = broken.windows(2).rposition(|pair| pair == [0xFF, 0xDA]).expect("a scan");
    broken[scan + 30..scan + 32].copy_from_slice(&[0xFF, 0x07]);
    let events = frame(&[&broken[..], owner].concat(), &[1000], LIMIT);
    assert_eq!(frames(&events), [owner]);
    assert!(dropped_bytes(&events, |reason| matches!(reason, DropReason::Damaged(_))) > 0);
}

#[test]
fn a_picture_over_the_limit_is_dropped_and_the_next_one_found() {
    let (long, short) = (picture("exif-thumbnail"), picture("grey"));
    let bytes = [long, short, long, short].concat();
    for chunk in [1, 7, 64, 100_000] {
        let events = frame(&bytes, &[chunk], 1000);
        assert_eq!(frames(&events), [short, short], "chunks of {chunk}");
        let large = events.iter().filter(
            |event| matches!(event, Event::Dropped { reason: DropReason::TooLarge, bytes } if *bytes >= 1000),
        );
        assert_eq!(large.count(), 2);
        assert_eq!(dropped_bytes(&events, |_| true), 2 * long.len() as u64);
    }
}

#[test]
fn endless_garbage_is_counted_and_takes_no_memory() {
    let scan_without_end = {
        let mut bytes = picture("baseline")[..700].to_vec();
        bytes.resize(64 << 10, 0x55);
        bytes
    };
    for garbage in
        [vec![0_u8; 64 << 10], vec![0xFF; 64 << 10], b"\xFF\xD8".repeat(32 << 10), scan_without_end]
    {
        let mut framer = Framer::new(1 << 20);
        let mut dropped = 0;
        for _ in 0..3200 {
            let mut left = &garbage[..];
            while !left.is_empty() {
                left = framer.feed(left);
                while let Some(event) = framer.next_event() {
                    dropped += dropped_bytes(&[event], |_| true);
                }
                assert!(framer.room().capacity() <= (1 << 20) + (64 << 10));
            }
        }
        dropped += framer.finish().map_or(0, |event| dropped_bytes(&[event], |_| true));
        assert_eq!(dropped, 3200 * garbage.len() as u64);
        let whole = picture("baseline");
        framer.room().extend_from_slice(whole);
        assert_eq!(framer.next_event(), Some(Event::Frame(Bytes::from_static(whole))));
    }
}

#[test]
fn what_is_left_at_the_end_of_the_stream_is_dropped() {
    let whole = picture("baseline");
    let events = frame(&whole[..500], &[500], LIMIT);
    let reason = DropReason::Damaged(JpegError::Truncated { at: 500 });
    assert_eq!(events, [Event::Dropped { reason, bytes: 500 }]);
    assert_eq!(
        frame(b"rpicam-vid: no cameras\n\xFF", &[3], LIMIT),
        [Event::Dropped { reason: DropReason::Garbage, bytes: 24 }]
    );
}

proptest! {
    #[test]
    fn any_chunking_and_any_garbage_between_give_the_same_pictures(
        parts in proptest::collection::vec((0..PICTURES.len(), "[\\x00-\\x7F]{0,40}", any::<bool>()), 1..12),
        chunks in proptest::collection::vec(1_usize..3000, 1..20),
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        let mut garbage = 0;
        for (index, text, ends_in_half_a_marker) in &parts {
            bytes.extend_from_slice(text.as_bytes());
            bytes.extend(ends_in_half_a_marker.then_some(0xFF));
            garbage += text.len() as u64 + u64::from(*ends_in_half_a_marker);
            bytes.extend_from_slice(PICTURES[*index].1);
            expected.push(Bytes::from_static(PICTURES[*index].1));
        }
        let events = frame(&bytes, &chunks, LIMIT);
        prop_assert_eq!(frames(&events), expected);
        prop_assert_eq!(dropped_bytes(&events, |reason| *reason == DropReason::Garbage), garbage);
        prop_assert_eq!(dropped_bytes(&events, DropReason::is_picture), 0);
    }

    #[test]
    fn every_byte_is_accounted_for(
        pieces in proptest::collection::vec((0..PICTURES.len(), 0_usize..2500, 0_usize..2500), 1..10),
        chunks in proptest::collection::vec(1_usize..3000, 1..10),
    ) {
        let mut bytes = Vec::new();
        for (index, from, to) in pieces {
            let whole = PICTURES[index].1;
            let to = to.min(whole.len());
            bytes.extend_from_slice(&whole[from.min(to)..to]);
        }
        let events = frame(&bytes, &chunks, LIMIT);
        let framed: u64 = frames(&events).iter().map(|data| data.len() as u64).sum();
        prop_assert_eq!(framed + dropped_bytes(&events, |_| true), bytes.len() as u64);
        for data in frames(&events) {
            prop_assert_eq!(Walker::new().end(&data), Ok(Some(data.len())));
        }
    }
}
