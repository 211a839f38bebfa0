//! Bodies as cameras write them, whole and broken, in pieces of every length.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::mjpeg::DropReason;
use crate::testdata::{PICTURES, picture};

const LIMIT: usize = 8 << 10;

fn read(bytes: &[u8], chunk: usize) -> Vec<Event> {
    let mut reader = Reader::new("frame", LIMIT);
    let mut events = Vec::new();
    for mut now in bytes.chunks(chunk) {
        while !now.is_empty() {
            now = reader.feed(now);
            events.extend(std::iter::from_fn(|| reader.next_event()));
        }
    }
    events
}

fn pictures(events: &[Event]) -> Vec<Bytes> {
    let data = |event: &Event| match event {
        Event::Part(part) => Some(part.data.clone()),
        Event::Dropped { .. } | Event::End => None,
    };
    events.iter().filter_map(data).collect()
}

fn lost(events: &[Event]) -> usize {
    let is_lost = |event: &&Event| matches!(event, Event::Dropped { reason, .. } if reason.is_picture());
    events.iter().filter(is_lost).count()
}

#[test]
fn boundaries_are_found_as_cameras_write_them() {
    for (content_type, boundary) in [
        ("multipart/x-mixed-replace;boundary=frame", Some("frame")),
        ("multipart/x-mixed-replace; boundary=\"--my frame\"", Some("my frame")),
        ("Multipart/X-Mixed-Replace; charset=x; Boundary = --frame ; q=1", Some("frame")),
        ("multipart/x-mixed-replace", Some("")),
        ("image/jpeg", None),
        ("", None),
        ("multipärt/x", None),
    ] {
        assert_eq!(boundary_of(content_type), boundary, "{content_type}");
    }
}

/// Bodies that all hold the pictures `baseline` and `exif-thumbnail`, as different cameras write them.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let (first, second) = (picture("baseline"), picture("exif-thumbnail"));
    let body = |head: &dyn Fn(usize) -> String, tail: &str| {
        [
            head(first.len()).as_bytes(),
            first,
            tail.as_bytes(),
            head(second.len()).as_bytes(),
            second,
            tail.as_bytes(),
        ]
        .concat()
    };
    let with_length =
        |length| format!("--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n");
    vec![
        ("as the RFC has it", body(&with_length, "\r\n")),
        ("with a preamble", [b"HTTP garbage\r\n--- \r\n\r\n".to_vec(), body(&with_length, "\r\n")].concat()),
        ("LF alone", body(&|length| format!("--frame\ncontent-length:{length}\n\n"), "\n")),
        ("without length", body(&|_| "--frame\r\nContent-Type: image/jpeg\r\n\r\n".into(), "\r\n")),
        ("without head", body(&|_| "--frame\r\n\r\n".into(), "\r\n")),
        ("without head or empty line", body(&|_| "--frame\r\n".into(), "\r\n")),
        ("two empty lines", body(&|_| "--frame\r\nA: b\r\n\r\n\r\n".into(), "\r\n")),
        ("no line end before the delimiter", body(&with_length, "")),
        ("no dashes", body(&|length| format!("frame\r\nContent-Length: {length}\r\n\r\n"), "\r\n")),
        ("another boundary", body(&|length| format!("--other\r\nContent-Length: {length}\r\n\r\n"), "\r\n")),
        (
            "length counts padding",
            body(&|length| format!("--frame\r\nContent-Length: {}\r\n\r\n", length + 6), "\0\0\0\0\r\n"),
        ),
        ("senseless length", body(&|_| "--frame\r\nContent-Length: -1\r\n\r\n".into(), "\r\n")),
    ]
}

#[test]
fn every_cameras_parts_are_read_whatever_the_chunks() {
    for (name, bytes) in bodies() {
        for chunk in [1, 2, 3, 50, 997, 100_000] {
            let events = read(&bytes, chunk);
            let expected = [picture("baseline"), picture("exif-thumbnail")];
            assert_eq!(pictures(&events), expected, "{name}, chunks of {chunk}");
            assert_eq!(lost(&events), 0, "{name}, chunks of {chunk}");
        }
    }
}

#[test]
fn a_part_is_there_with_its_last_byte() {
    let bytes = [b"--frame\r\n\r\n", picture("baseline")].concat();
    assert_eq!(pictures(&read(&bytes[..bytes.len() - 1], 100)).len(), 0);
    assert_eq!(pictures(&read(&bytes, 100)).len(), 1);
}

#[test]
fn the_time_of_the_picture_is_read() {
    let bytes = [b"--frame\r\nX-Timestamp: 1700000000.250000\r\n\r\n", picture("grey")].concat();
    let Some(Event::Part(part)) = read(&bytes, 10).pop() else { panic!("no part") };
    assert_eq!(part.timestamp, Some(Duration::new(1_700_000_000, 250_000_000)));
    assert_eq!(part.data, picture("grey"));
}

#[test]
fn the_closing_delimiter_is_the_end() {
    let bytes = [b"--frame\r\n\r\n", picture("grey"), b"\r\n--frame--\r\n"].concat();
    assert_eq!(read(&bytes, 10).last(), Some(&Event::End));
}

#[test]
fn a_cut_off_part_costs_only_itself() {
    let (broken, whole) = (&picture("baseline")[..1000], picture("grey"));
    let open = [b"--frame\r\n\r\n", broken, b"\r\n--frame\r\n\r\n", whole].concat();
    let measured =
        [b"--frame\r\nContent-Length: 1000\r\n\r\n", broken, b"\r\n--frame\r\n\r\n", whole].concat();
    let text = [b"--frame\r\nContent-Length: 5\r\n\r\nsorry\r\n--frame\r\n\r\n", whole].concat();
    for bytes in [open, measured, text] {
        for chunk in [1, 64, 10_000] {
            let events = read(&bytes, chunk);
            assert_eq!(pictures(&events), [whole]);
            assert_eq!(lost(&events), 1);
        }
    }
}

#[test]
fn parts_and_heads_over_their_limits_are_dropped() {
    let whole = picture("grey");
    let mut long = picture("baseline").to_vec();
    long.resize(20_000, 0x55);
    let announced =
        [b"--frame\r\nContent-Length: 20000\r\n\r\n", &long[..], b"\r\n--frame\r\n\r\n", whole].concat();
    let events = read(&announced, 1000);
    assert_eq!(events[0], Event::Dropped { reason: DropReason::TooLarge, bytes: 20_000 });
    assert_eq!(pictures(&events), [whole]);
    let mut endless = [b"--frame\r\n\r\n", &picture("baseline")[..1400]].concat();
    endless.resize(100_000, b'x');
    endless.extend_from_slice(&[b"\r\n--frame\r\n\r\n", whole].concat());
    let events = read(&endless, 1000);
    assert!(matches!(events[0], Event::Dropped { reason: DropReason::TooLarge, .. }));
    assert_eq!(pictures(&events), [whole]);
    let mut head = b"--frame\r\nX: ".to_vec();
    head.resize(1 << 20, b'x');
    head.extend_from_slice(&[b"\r\n--frame\r\n\r\n", whole].concat());
    assert_eq!(pictures(&read(&head, 1000)), [whole]);
}

#[test]
fn endless_garbage_is_counted_and_takes_no_memory() {
    for garbage in [vec![b'\n'; 64 << 10], vec![b'x'; 64 << 10], vec![0xFF; 64 << 10]] {
        let mut reader = Reader::new("frame", LIMIT);
        for _ in 0..1600 {
            let mut left = &garbage[..];
            while !left.is_empty() {
                left = reader.feed(left);
                while reader.next_event().is_some() {}
                assert!(reader.room().capacity() <= 64 << 10);
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        parts in proptest::collection::vec((0..PICTURES.len(), any::<bool>(), any::<Option<u32>>()), 1..12),
        chunk in 1_usize..3000,
    ) {
        let mut bytes = Vec::new();
        for (index, with_length, timestamp) in &parts {
            let data = PICTURES[*index].1;
            bytes.extend_from_slice(b"--frame\r\nContent-Type: image/jpeg\r\n");
            if *with_length {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n", data.len()).as_bytes());
            }
            if let Some(seconds) = timestamp {
                bytes.extend_from_slice(format!("X-Timestamp: {seconds}.000001\r\n").as_bytes());
            }
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(data);
            bytes.extend_from_slice(b"\r\n");
        }
        let expected: Vec<_> = parts.iter().map(|(index, _, timestamp)| Event::Part(Part {
            data: Bytes::from_static(PICTURES[*index].1),
                timestamp: timestamp.map(|seconds| Duration::new(seconds.into(), 1000)),
        })).collect();
        prop_assert_eq!(read(&bytes, chunk), expected);
    }

    #[test]
    fn nothing_panics_and_every_picture_is_whole(bytes in proptest::collection::vec(any::<u8>(), 0..2000), chunk in 1_usize..500) {
        for data in pictures(&read(&bytes, chunk)) {
            prop_assert!(data.starts_with(&[0xFF, 0xD8]) && data.ends_with(&[0xFF, 0xD9]));
        }
    }
}
