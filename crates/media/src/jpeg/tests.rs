//! Real encoders' pictures, broken ones, and arbitrary bytes.

use proptest::prelude::*;

use super::*;
use crate::testdata::{PICTURES, picture};

fn header(name: &str) -> Header {
    Header::parse(picture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_encoders_picture_is_walked_to_its_last_byte() {
    for (name, bytes) in PICTURES {
        assert_eq!(Walker::new().end(bytes), Ok(Some(bytes.len())), "{name}");
        let header = header(name);
        assert_eq!(header.size.to_string(), "64x48", "{name}");
        assert_eq!(header.precision_bits, 8, "{name}");
    }
}

#[test]
fn headers_say_how_a_picture_is_coded() {
    assert_eq!(header("baseline").process, Process::Baseline);
    assert_eq!(header("progressive").process, Process::Progressive);
    assert_eq!(header("baseline").restart_interval, None);
    assert_eq!(header("restart").restart_interval, Some(2));
    assert!(header("baseline").has_dht && !header("no-dht").has_dht);
}

#[test]
fn headers_say_how_colour_is_sampled() {
    for (name, chroma) in [
        ("grey", Chroma::Grey),
        ("yuv444", Chroma::Yuv444),
        ("ffmpeg-yuv422", Chroma::Yuv422),
        ("baseline", Chroma::Yuv420),
        ("gstreamer", Chroma::Yuv420),
    ] {
        assert_eq!(header(name).chroma(), chroma, "{name}");
    }
    let factors: Vec<_> =
        header("ffmpeg-yuv422").components().iter().map(|c| (c.horizontal, c.vertical)).collect();
    assert_eq!(factors, [(2, 2), (1, 2), (1, 2)]);
}

#[test]
fn scans_and_their_restart_markers_are_items() {
    let scans = |name| {
        let items = Items::new(picture(name)).map(|item| item.expect("a sound picture"));
        items
            .filter_map(|item| match item {
                Item::Scan { data, .. } => Some(data),
                Item::Segment { .. } => None,
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(scans("progressive").len(), 10);
    let restarts =
        scans("restart")[0].windows(2).filter(|pair| pair[0] == 0xFF && pair[1] & 0xF8 == 0xD0).count();
    assert_eq!(restarts, 5, "12 units with a marker between every two");
}

#[test]
fn a_header_needs_nothing_behind_the_first_scans_header() {
    let whole = picture("baseline");
    let start = whole.windows(2).position(|pair| pair == [0xFF, marker::SOS]).expect("a scan");
    assert!(Header::parse(&whole[..start + 14]).is_ok());
    assert_eq!(Header::parse(&whole[..start]), Err(JpegError::Truncated { at: start }));
}

#[test]
fn errors_name_the_byte_and_the_rule() {
    let frame = |payload: &[u8]| {
        let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xC0, 0, payload.len() as u8 + 2];
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(&[0xFF, 0xDA, 0, 2, 0xFF, 0xD9]);
        Header::parse(&bytes).expect_err("not a picture").to_string()
    };
    assert_eq!(
        frame(&[8, 0, 0, 0, 64, 1, 1, 0x11, 0]),
        "byte 7: the number of lines Y is 0, expected 1 to 65535 (T.81 B.2.2)"
    );
    assert!(frame(&[8, 0, 1, 0, 0, 1, 1, 0x11, 0]).starts_with("byte 9: the samples a line X is 0"));
    assert!(
        frame(&[8, 0, 1, 0, 1, 1, 1, 0x10, 0]).starts_with("byte 13: a pair of sampling factors HV is 16")
    );
    assert!(frame(&[8, 0, 1, 0, 1, 1, 1, 0x11, 4]).starts_with("byte 14: a table selector Tq is 4"));
    assert!(frame(&[8, 0, 1, 0, 1, 9, 1, 0x11, 0]).starts_with("byte 11: the number of components Nf is 9"));
    assert!(frame(&[8, 0]).contains("Lf is 4, expected 11 or more"));
    let error = |bytes: &[u8]| Walker::new().end(bytes).expect_err("not a picture").to_string();
    assert_eq!(error(b"hello"), "byte 0: a picture begins with SOI, FF D8 (T.81 B.2.1)");
    assert_eq!(
        error(&[0xFF, 0xD8, 0xFF, 0xDB, 0, 1]),
        "byte 2: segment FF DB gives its length as 1, expected 2 to 4096 (T.81 B.1.1.4)"
    );
    assert_eq!(error(&[0xFF, 0xD8, 7]), "byte 2: expected a marker, FF, found 07 (T.81 B.1.1.2)");
    assert_eq!(error(&[0xFF, 0xD8, 0xFF, 0x02]), "byte 2: marker FF 02 has no meaning (T.81 table B.1)");
    assert_eq!(error(&[0xFF, 0xD8, 0xFF, 0xD9]), "byte 2: the image ends without a scan (T.81 B.2.1)");
    assert_eq!(error(&[0xFF, 0xD8, 0xFF, 0xDA]), "byte 2: a scan before the frame header (T.81 B.2.1)");
    assert!(error(&[0xFF, 0xD8, 0xFF, 0xD8]).starts_with("byte 2: a new picture begins"));
}

proptest! {
    #[test]
    fn a_walk_byte_by_byte_ends_where_one_at_once_does(index in 0..PICTURES.len(), flip in 0_usize..3000, with: u8) {
        let mut bytes = PICTURES[index].1.to_vec();
        if let Some(byte) = bytes.get_mut(flip) {
            *byte = with;
        }
        let at_once = Walker::new().end(&bytes);
        let mut walker = Walker::new();
        let mut stepwise = Ok(None);
        for length in 0..=bytes.len() {
            stepwise = walker.end(&bytes[..length]);
            if stepwise != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(at_once, stepwise);
    }

    #[test]
    fn a_marker_is_found_wherever_it_stands(
        scan in proptest::collection::vec(prop::sample::select(vec![0, 0xFF, 0x55, marker::EOI]), 0..200),
        calm in 0_usize..200,
    ) {
        let scan = [vec![0x55; calm], scan].concat();
        let first = (0..scan.len()).find(|at| scan[*at] == 0xFF && scan.get(at + 1) != Some(&0));
        prop_assert_eq!(walk::find_marker(&scan), first);
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Header::parse(&bytes);
        let mut picture = vec![0xFF, 0xD8, 0xFF, 0xC0];
        picture.extend_from_slice(&bytes);
        let _ = Header::parse(&picture);
    }
}
