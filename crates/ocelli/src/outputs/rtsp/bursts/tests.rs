//! Pieces of streams that a test fills itself.

use std::num::NonZeroU8;
use std::time::Duration;

use ocelli_hub::{Bounds, Closed, DerivedReader, Next, Publisher, Stream};
use ocelli_media::jpeg::rewrite::Rewriter;
use ocelli_proto::rtp::{Packet, jpeg, nal};

use super::*;
use crate::outputs::rtsp::numbers::SoundSeen;

const BASELINE: &[u8] = include_bytes!("../../../../../media/testdata/baseline.jpg");
const BURSTS: RtspBursts = RtspBursts { packet_bytes: 700, recoder: None };

fn stream(tracks: Tracks) -> (Arc<Stream>, Publisher) {
    let stream = Stream::new("cam".parse().unwrap(), Bounds { pieces: 32, bytes: 64 << 20 });
    let mut publisher = stream.publish().unwrap();
    publisher.set_tracks(tracks);
    (stream, publisher)
}

fn opus() -> Track {
    Track::audio(Codec::Opus, OPUS_RATE, NonZeroU8::new(2).unwrap(), Bytes::new())
}

fn video(codec: Codec) -> Track {
    Track::video(codec, None, Vec::new())
}

fn publish(publisher: &mut Publisher, track: TrackId, ticks: i64, key: bool, data: Bytes) {
    let rate = if track == TrackId::VIDEO { MediaTime::VIDEO_RATE } else { OPUS_RATE };
    let time = MediaTime::new(ticks, rate);
    publisher.push(Frame { track, time, captured: None, key, data });
}

/// A slice of a picture of this type, behind its length.
fn slice(kind: u8, length: usize) -> Bytes {
    [&(length as u32).to_be_bytes()[..], &[kind], &vec![0x55; length - 1]].concat().into()
}

async fn next(reader: &mut DerivedReader<Piece>) -> Piece {
    let next = tokio::time::timeout(Duration::from_secs(20), reader.next());
    match next.await.expect("in time").unwrap() {
        Next::Piece(piece) => piece,
        Next::Lost { pieces } => panic!("{pieces} lost"),
    }
}

/// The packets of a piece, with its framing and numbers looked at.
fn packets(piece: &Piece) -> Vec<Vec<u8>> {
    let ranges: Vec<_> = piece.ranges().collect();
    assert_eq!(ranges.len(), piece.packet_count());
    let mut at = 0;
    for (index, range) in ranges.iter().enumerate() {
        assert_eq!(piece.packets[at..range.start], prefix(piece.track * 2, range.len() as u16));
        at = range.end;
        let packet = Packet::parse(&piece.packets[range.clone()]).unwrap();
        assert_eq!(packet.sequence(), piece.first_sequence.wrapping_add(index as u16));
        assert_eq!((packet.timestamp(), packet.ssrc()), (piece.timestamp, piece.ssrc));
        assert!(range.len() <= 700);
    }
    assert_eq!(at, piece.packets.len());
    ranges.into_iter().map(|range| piece.packets[range].to_vec()).collect()
}

#[tokio::test]
async fn access_units_and_sound_are_laid_in_their_order_on_lines_of_their_own() {
    let (stream, mut publisher) = stream(vec![video(Codec::H264), opus()]);
    let mut reader = stream.derive(&BURSTS, Want::Live);
    let sound = Bytes::from_static(&[7; 40]);
    let whole: Bytes = [slice(0x67, 20), slice(0x68, 4), slice(0x65, 3000)].concat().into();
    publish(&mut publisher, TrackId::AUDIO, 0, false, sound.clone());
    publish(&mut publisher, TrackId::VIDEO, 0, true, whole.clone());
    publish(&mut publisher, TrackId::AUDIO, 960, false, sound.clone());
    publish(&mut publisher, TrackId::VIDEO, 3000, false, slice(0x41, 100));
    publish(&mut publisher, TrackId::AUDIO, 1920, false, sound.clone());

    let (key, first, picture, second) =
        (next(&mut reader).await, next(&mut reader).await, next(&mut reader).await, next(&mut reader).await);
    assert_eq!(
        [key.track, first.track, picture.track, second.track],
        [TrackId::VIDEO.0, TrackId::AUDIO.0, TrackId::VIDEO.0, TrackId::AUDIO.0]
    );
    assert!(key.key && !first.key && !picture.key);
    let mut depacketiser = nal::Depacketiser::new(nal::Format::H264, 1 << 20);
    let mut units = Vec::new();
    let both: Vec<_> = packets(&key).into_iter().chain(packets(&picture)).collect();
    both.iter().for_each(|packet| depacketiser.push(&Packet::parse(packet).unwrap(), &mut units));
    let units: Vec<_> = units.into_iter().map(|unit| unit.unwrap().data).collect();
    assert_eq!(units, [whole, slice(0x41, 100)]);
    assert_eq!(picture.timestamp.wrapping_sub(key.timestamp), 3000);
    assert_eq!(picture.first_sequence.wrapping_sub(key.first_sequence) as usize, key.packet_count());

    let payload = packets(&first).concat();
    assert_eq!((payload[1] & 0x7F, &payload[12..]), (97, &sound[..]));
    assert_eq!(second.timestamp.wrapping_sub(first.timestamp), 960);
    assert_eq!(second.first_sequence, first.first_sequence.wrapping_add(1));
    assert_ne!(first.ssrc, key.ssrc);

    let begins: Vec<_> = key.numbers().collect();
    assert_eq!(begins[0].sequence, key.first_sequence);
    assert_eq!((begins[1].track, begins[1].sequence), (TrackId::AUDIO.0, first.first_sequence));
    // Both began now.
    let apart = begins[1].timestamp.wrapping_sub(first.timestamp).cast_signed();
    assert!(apart.abs() < 48_000, "{apart}");
}

#[tokio::test]
async fn equal_readers_share_numbers_and_memory() {
    let (stream, mut publisher) = stream(vec![video(Codec::H265)]);
    let mut readers = [stream.derive(&BURSTS, Want::Live), stream.derive(&BURSTS, Want::Live)];
    publish(&mut publisher, TrackId::VIDEO, 0, true, slice(0x26, 900));
    let [first, second] = &mut readers;
    let (first, second) = (next(first).await, next(second).await);
    assert_eq!(first.packets.as_ptr(), second.packets.as_ptr());
    assert_eq!(first.numbers().count(), 1);
}

#[tokio::test]
async fn of_jpegs_the_newest_is_wanted_and_what_rtp_cannot_carry_is_said() {
    let (stream, mut publisher) = stream(vec![video(Codec::Jpeg)]);
    let mut reader = stream.derive(&BURSTS, Want::Live);
    publish(&mut publisher, TrackId::VIDEO, 0, true, Bytes::from_static(BASELINE));
    let picture = next(&mut reader).await;
    assert!(picture.alone && picture.key);
    let burst =
        jpeg::Burst::new(&Rewriter::new().rewrite(&Bytes::from_static(BASELINE)).unwrap().0, 700).unwrap();
    let stamp = Stamp {
        payload_type: 26,
        sequence: picture.first_sequence,
        timestamp: picture.timestamp,
        ssrc: picture.ssrc,
    };
    let mut headers = Vec::new();
    burst.stamp(stamp, &mut headers);
    let expected: Vec<_> =
        burst.packets(&headers).map(|(header, payload)| [header, payload].concat()).collect();
    assert_eq!(packets(&picture), expected);

    let yuv444 = include_bytes!("../../../../../media/testdata/yuv444.jpg");
    publish(&mut publisher, TrackId::VIDEO, 3000, true, Bytes::from_static(yuv444));
    let refused = next(&mut reader).await;
    assert!(
        matches!(&refused.left_out, Some(LeftOut::Refused(why)) if !why.is_empty()),
        "{:?}",
        refused.left_out
    );
    assert!(refused.packets.is_empty());
}

#[tokio::test]
async fn behind_a_damaged_access_unit_nothing_is_laid_up_to_the_next_key() {
    let (stream, mut publisher) = stream(vec![video(Codec::H264)]);
    let mut reader = stream.derive(&BURSTS, Want::Live);
    publish(&mut publisher, TrackId::VIDEO, 0, true, slice(0x65, 100));
    publish(&mut publisher, TrackId::VIDEO, 3000, false, Bytes::from_static(&[0, 0, 0, 9, 0x41]));
    publish(&mut publisher, TrackId::VIDEO, 6000, false, slice(0x41, 100));
    publish(&mut publisher, TrackId::VIDEO, 9000, true, slice(0x65, 100));
    let (first, damaged, last) = (next(&mut reader).await, next(&mut reader).await, next(&mut reader).await);
    assert_eq!(damaged.left_out, Some(LeftOut::Damaged));
    assert!(last.key);
    assert_eq!((first.passed_over, last.passed_over), (0, 1));
    assert_eq!(last.first_sequence, first.first_sequence.wrapping_add(1));
}

#[tokio::test]
async fn sound_that_a_reader_does_not_get_is_missed_and_is_no_picture() {
    let (stream, mut publisher) = stream(vec![video(Codec::H264), opus()]);
    let mut reader = stream.derive(&BURSTS, Want::Live);
    reader.set_slack(1);
    let mut seen = SoundSeen::default();
    publish(&mut publisher, TrackId::VIDEO, 0, true, slice(0x65, 100));
    assert_eq!(seen.missing_before(&*next(&mut reader).await), 0);
    let too_long = Bytes::from_static(&[7; 2000]);
    publish(&mut publisher, TrackId::AUDIO, 960, false, too_long);
    publish(&mut publisher, TrackId::AUDIO, 1920, false, Bytes::from_static(&[7; 40]));
    assert_eq!(seen.missing_before(&*next(&mut reader).await), 1, "RTP cannot carry it");
    publish(&mut publisher, TrackId::VIDEO, 3000, false, slice(0x41, 100));
    let picture = next(&mut reader).await;
    assert_eq!((seen.missing_before(&picture), picture.passed_over), (0, 0));
    let mut watching = stream.derive(&BURSTS, Want::All);
    for _ in 0..3 {
        next(&mut watching).await;
    }
    for number in 2..6 {
        publish(&mut publisher, TrackId::VIDEO, 3000 * number, number == 5, slice(0x41, 100));
        next(&mut watching).await;
        publish(&mut publisher, TrackId::AUDIO, 1600 * number, false, Bytes::from_static(&[7; 40]));
        next(&mut watching).await;
    }
    // The reader is far behind, and goes on at the last key.
    let key = loop {
        match reader.next().await.unwrap() {
            Next::Piece(piece) => break piece,
            Next::Lost { .. } => {}
        }
    };
    assert_eq!((key.key, seen.missing_before(&key)), (true, 3));
    assert_eq!(seen.missing_before(&*next(&mut reader).await), 0);
}

#[tokio::test]
async fn sound_that_goes_by_before_it_is_laid_is_missed_too() {
    let (stream, mut publisher) = stream(vec![video(Codec::H264), opus()]);
    let mut reader = stream.derive(&BURSTS, Want::Live);
    let mut seen = SoundSeen::default();
    publish(&mut publisher, TrackId::VIDEO, 0, true, slice(0x65, 100));
    assert_eq!(seen.missing_before(&*next(&mut reader).await), 0);
    // All at once: who lays them is far behind, and goes on at the last key.
    for number in 1..30 {
        publish(&mut publisher, TrackId::VIDEO, 3000 * number, number == 29, slice(0x41, 100));
        publish(&mut publisher, TrackId::AUDIO, 1600 * number, false, Bytes::from_static(&[7; 40]));
    }
    let key = next(&mut reader).await;
    assert_eq!((key.key, key.passed_over, seen.missing_before(&key)), (true, 28, 28));
    assert_eq!(seen.missing_before(&*next(&mut reader).await), 0);
}

#[tokio::test]
async fn another_codec_ends_the_stream_and_other_parameters_do_not() {
    let (stream, mut publisher) = stream(vec![video(Codec::H264)]);
    let mut reader = stream.derive(&BURSTS, Want::Live);
    publish(&mut publisher, TrackId::VIDEO, 0, true, slice(0x65, 100));
    next(&mut reader).await;
    publisher.set_tracks(vec![Track::video(Codec::H264, None, vec![Bytes::from_static(&[0x67, 1])])]);
    publish(&mut publisher, TrackId::VIDEO, 3000, true, slice(0x65, 100));
    next(&mut reader).await;
    publisher.set_tracks(vec![video(Codec::H265)]);
    publish(&mut publisher, TrackId::VIDEO, 6000, true, slice(0x26, 100));
    let ended = tokio::time::timeout(Duration::from_secs(20), reader.next()).await.expect("in time");
    assert_eq!(ended.unwrap_err(), Closed);
}
