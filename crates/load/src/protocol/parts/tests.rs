//! The parser of parts: every way the bytes may arrive, every way a server may frame.

use proptest::prelude::*;

use super::*;

fn jpeg(length: usize, tail: &[u8]) -> Vec<u8> {
    let mut picture = vec![0xFF, 0xD8];
    picture.resize(length - 2 - tail.len(), 0x2D); // dashes: the delimiter's own first byte
    picture.extend_from_slice(tail);
    picture.extend_from_slice(&[0xFF, 0xD9]);
    picture
}

fn sized(picture: &[u8]) -> Vec<u8> {
    let mut part = format!(
        "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\nX-Timestamp: 1795212000.000042\r\n\r\n",
        picture.len()
    )
    .into_bytes();
    part.extend_from_slice(picture);
    part.extend_from_slice(b"\r\n");
    part
}

fn plain(picture: &[u8]) -> Vec<u8> {
    [b"--frame\r\nContent-Type: image/jpeg\r\n\r\n", picture, b"\r\n"].concat()
}

/// Feeds `stream` as the engine would: skipping where that is asked for, in steps of at most `step` bytes.
fn run(parts: &mut Parts, mut stream: &[u8], step: usize) -> Result<Vec<Picture>, FramingError> {
    let mut pictures = Vec::new();
    while !stream.is_empty() {
        match parts.wants() {
            Wants::Skip(bytes) => {
                let bytes = bytes.min(step).min(stream.len());
                parts.skipped(bytes);
                stream = &stream[bytes..];
            }
            Wants::Bytes(bytes) => {
                let (now, later) = stream.split_at(bytes.min(step).min(stream.len()));
                parts.received(now, &mut pictures)?;
                stream = later;
            }
        }
    }
    Ok(pictures)
}

proptest! {
    #[test]
    fn pictures_come_out_whole_however_they_arrive(
        lengths in proptest::collection::vec((4_usize..40_000, any::<bool>()), 1..6),
        step in prop_oneof![1_usize..20, 1_usize..100_000],
    ) {
        let mut stream = Vec::new();
        for (length, with_length) in &lengths {
            let picture = jpeg(*length, b"");
            stream.extend(if *with_length { sized(&picture) } else { plain(&picture) });
        }
        stream.extend_from_slice(b"--frame\r\n");
        let pictures = run(&mut Parts::new(Some("frame")), &stream, step).unwrap();
        prop_assert_eq!(pictures.len(), lengths.len());
        for (picture, (length, with_length)) in pictures.iter().zip(&lengths) {
            prop_assert_eq!(picture.bytes, *length as u64);
            prop_assert!(picture.sound);
            prop_assert_eq!(picture.timestamp, with_length.then_some(1_795_212_000_000_042));
        }
    }

    #[test]
    fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2000), step in 1_usize..500) {
        let _ = run(&mut Parts::new(None), &bytes, step);
        let _ = run(&mut Parts::new(None), &[b"--b\r\n\r\n".as_slice(), &bytes].concat(), step);
    }
}

#[test]
fn the_stamp_of_the_camera_is_read_with_and_without_length() {
    let stamp = Stamp { sequence: 7, written_micros: 1_795_212_000_123_456 };
    let picture = jpeg(90_000, &stamp.segment());
    for part in [sized(&picture), plain(&picture)] {
        let stream = [part.as_slice(), b"--frame\r\n"].concat();
        for step in [13, 4096, 200_000] {
            let pictures = run(&mut Parts::new(Some("frame")), &stream, step).unwrap();
            assert_eq!(pictures[0].stamp, Some(stamp), "step {step}");
        }
    }
}

#[test]
fn a_head_sent_ahead_completes_the_picture_before_it() {
    let mut parts = Parts::new(Some("frame"));
    let mut pictures = Vec::new();
    parts.received(b"--frame\r\n\r\n", &mut pictures).unwrap();
    parts.received(&jpeg(5000, b""), &mut pictures).unwrap();
    assert!(pictures.is_empty());
    parts.received(b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n", &mut pictures).unwrap();
    assert_eq!(pictures.len(), 1);
    assert_eq!(pictures[0].bytes, 5000);
}

#[test]
fn unsound_pictures_are_told_apart() {
    let mut truncated = jpeg(1000, b"");
    truncated.truncate(900);
    let pictures =
        run(&mut Parts::new(None), &[sized(&truncated), sized(b""), sized(b"\xFF\xD9")].concat(), 77)
            .unwrap();
    assert_eq!(
        pictures.iter().map(|picture| (picture.bytes, picture.sound)).collect::<Vec<_>>(),
        [(900, false), (0, false), (2, false)]
    );
}

#[test]
fn a_boundary_with_dashes_in_the_parameter_is_taken() {
    let pictures = run(&mut Parts::new(Some("--frame")), &sized(&jpeg(100, b"")), 9).unwrap();
    assert_eq!(pictures.len(), 1);
}

#[test]
fn lost_framing_is_an_error() {
    let wrong = run(&mut Parts::new(Some("other")), &sized(&jpeg(100, b"")), 999);
    assert!(matches!(wrong, Err(FramingError::NoBoundary { .. })), "{wrong:?}");
    let too_short = [sized(&jpeg(100, b"")), b"more bytes than were announced\r\n".to_vec()].concat();
    assert!(matches!(run(&mut Parts::new(None), &too_short, 999), Err(FramingError::NoBoundary { .. })));
    let end = [sized(&jpeg(100, b"")), b"--frame--\r\n".to_vec()].concat();
    assert_eq!(run(&mut Parts::new(None), &end, 999), Err(FramingError::Ended));
    let endless = [b"--frame\r\n".to_vec(), vec![b'x'; 20_000]].concat();
    assert!(run(&mut Parts::new(None), &endless, 999).is_err());
    let length = b"--frame\r\nContent-Length: -1\r\n\r\n";
    assert_eq!(run(&mut Parts::new(None), length, 999), Err(FramingError::BadLength("-1".to_owned())));
}

#[test]
fn times_are_seconds_and_micros() {
    assert_eq!(micros(b"1795212000.000042"), Some(1_795_212_000_000_042));
    assert_eq!(micros(b"12.5"), Some(12_500_000));
    assert_eq!(micros(b"12"), Some(12_000_000));
    assert_eq!(micros(b"12.1234567"), Some(12_123_456));
    assert_eq!(micros(b"yesterday"), None);
}
