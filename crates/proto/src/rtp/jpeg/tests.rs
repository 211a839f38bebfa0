//! JPEG in RTP: packets as the RFC draws them, round trips, loss and damage.

use bytes::Bytes;
use ocelli_media::Size;
use ocelli_media::jpeg::rewrite::{QuantisationPair, Rewriter, RtpJpeg, Sampling};
use proptest::prelude::*;

use super::*;
use crate::rtp::{HEADER_BYTES, Header, Packet};

macro_rules! testdata {
    ($name:literal) => {
        include_bytes!(concat!("../../../../media/testdata/", $name, ".jpg"))
    };
}

const STAMP: Stamp = Stamp { payload_type: PAYLOAD_TYPE, sequence: 65_534, timestamp: 1000, ssrc: 7 };

fn picture(file: &'static [u8]) -> RtpJpeg {
    Rewriter::new().rewrite(&Bytes::from_static(file)).unwrap().0
}

/// A picture whose scan is `scan_bytes` long and means nothing.
fn sized(scan_bytes: usize, sampling: Sampling, restart_interval: Option<u16>, widest: u16) -> RtpJpeg {
    let scan: Vec<_> = (0..scan_bytes).map(|index| (index * 7 % 255) as u8).collect();
    RtpJpeg {
        sampling,
        size: Size { width: 2040, height: 1080 },
        restart_interval,
        quantisation: QuantisationPair { luma: [widest; 64], chroma: [9; 64] },
        scan: scan.into(),
    }
}

fn packets(picture: &RtpJpeg, packet_bytes: usize, stamp: Stamp) -> Vec<Vec<u8>> {
    let burst = Burst::new(picture, packet_bytes).unwrap();
    let mut headers = Vec::new();
    burst.stamp(stamp, &mut headers);
    burst.packets(&headers).map(|(header, payload)| [header, payload].concat()).collect()
}

/// What came of each packet.
fn feed(depacketiser: &mut Depacketiser, packets: &[Vec<u8>]) -> Vec<Result<Option<File>, Dropped>> {
    packets.iter().map(|packet| depacketiser.push(&Packet::parse(packet).unwrap())).collect()
}

fn payload_packet(sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
    let header = Header { marker, payload_type: PAYLOAD_TYPE, sequence, timestamp, ssrc: 7 };
    [&header.to_bytes()[..], payload].concat()
}

#[test]
fn headers_are_laid_out_as_the_rfc_has_them() {
    let packets = packets(&sized(1500, Sampling::Yuv420, Some(5), 300), 576, STAMP);
    let first: [u8; 28] = packets[0][..28].try_into().unwrap();
    assert_eq!(
        first,
        [
            0x80, 26, 0xFF, 0xFE, 0, 0, 3, 0xE8, 0, 0, 0, 7, // RTP
            0, 0, 0, 0, 65, 255, 255, 135, // type-specific, offset, type, Q, width, height
            0, 5, 0xFF, 0xFF, // restart interval, F, L, count
            0, 1, 0, 192, // zero, precision, length
        ]
    );
    assert_eq!(packets[0][28..30], [300_u16.to_be_bytes()[0], 44]);
    let in_first = 576 - 28 - 192;
    assert_eq!(packets[1][..2], [0x80, 26]);
    assert_eq!(packets[1][2..4], [0xFF, 0xFF]);
    assert_eq!(
        packets[1][12..24],
        [0, 0, (in_first >> 8) as u8, in_first as u8, 65, 255, 255, 135, 0, 5, 0xFF, 0xFF]
    );
    let last = packets.last().unwrap();
    assert_eq!(last[..4], [0x80, 0x80 | 26, 0, 1]);
    assert!(packets[..packets.len() - 1].iter().all(|packet| packet.len() == 576));
}

#[test]
fn what_is_out_of_range_is_no_burst() {
    let sound = sized(100, Sampling::Yuv422, None, 1);
    // The headers of RTP and RFC 2435, and two tables of 8 bits, leave no room in 152 bytes.
    assert_eq!(Burst::new(&sound, 152), Err(BurstError::PacketLength(152)));
    assert_eq!(Burst::new(&sound, 153).map(|burst| burst.packet_count()), Ok(2));
    assert_eq!(Burst::new(&sound, 65_508), Err(BurstError::PacketLength(65_508)));
    let size = Size { width: 2048, height: 8 };
    assert_eq!(Burst::new(&RtpJpeg { size, ..sound.clone() }, 1400), Err(BurstError::Size(size)));
    assert_eq!(Burst::new(&RtpJpeg { scan: Bytes::new(), ..sound }, 1400), Err(BurstError::ScanLength(0)));
}

#[test]
fn stamping_again_allocates_nothing() {
    let burst = Burst::new(&sized(100_000, Sampling::Yuv422, None, 1), 1400).unwrap();
    let mut headers = Vec::new();
    burst.stamp(STAMP, &mut headers);
    let (at, before) = (headers.as_ptr(), headers.clone());
    burst.stamp(Stamp { ssrc: 8, ..STAMP }, &mut headers);
    assert_ne!(headers, before);
    burst.stamp(STAMP, &mut headers);
    assert_eq!((headers.as_ptr(), &headers), (at, &before));
    assert_eq!(burst.packets(&headers).map(|(a, b)| a.len() + b.len()).sum::<usize>(), burst.total_bytes());
    assert_eq!(burst.packets(&headers).len(), burst.packet_count());
}

#[test]
fn real_pictures_come_back_as_the_files_that_a_rewrite_gives() {
    for file in [
        &testdata!("baseline")[..],
        testdata!("restart"),
        testdata!("ffmpeg-yuv422"),
        testdata!("rewrite/wide-tables"),
    ] {
        let sent = picture(file);
        let mut depacketiser = Depacketiser::new(1 << 20);
        let results = feed(&mut depacketiser, &packets(&sent, 576, STAMP));
        let received = results.into_iter().map(Result::unwrap).next_back().flatten().unwrap();
        let up = |pixels: u16| pixels.next_multiple_of(8);
        let size = Size { width: up(sent.size.width), height: up(sent.size.height) };
        assert_eq!((received.timestamp, received.size), (1000, size));
        assert_eq!(received.data, RtpJpeg { size, ..sent }.rebuild());
        assert_eq!(depacketiser.dropped(), 0);
    }
}

#[test]
fn tables_computed_from_q_are_those_of_libjpegs_quality() {
    assert_eq!(quality::computed(60), picture(testdata!("baseline")).quantisation);
    assert_eq!(quality::computed(1).luma[0], 255);
    assert_eq!(quality::computed(99).luma[..2], [1, 1]);
    assert_eq!(quality::computed(50).luma[..4], [16, 11, 12, 14]);
}

#[test]
fn tables_are_read_as_senders_are_known_to_send_them() {
    let read = |precision, data: &[u8]| quality::sent(header::SentTables { precision, data });
    let ffmpegs_one = read(0, &[5; 64]).unwrap();
    assert_eq!((ffmpegs_one.luma, ffmpegs_one.chroma), ([5; 64], [5; 64]));
    let ffmpegs_wide = read(0, &[1; 256]).unwrap();
    assert_eq!((ffmpegs_wide.luma, ffmpegs_wide.chroma), ([257; 64], [257; 64]));
    let mixed = read(2, &[1; 192]).unwrap();
    assert_eq!((mixed.luma, mixed.chroma), ([1; 64], [257; 64]));
    for (precision, length) in [(0, 63), (0, 65), (0, 192), (3, 128 + 64), (1, 64)] {
        let error = read(precision, &[1; 256][..length]).unwrap_err();
        assert_eq!(error, HeaderError::Tables { length: length as u16, precision });
    }
    assert!(read(0, &[0; 128]).is_err());
}

#[test]
fn tables_are_remembered_by_q_but_not_for_255() {
    for (q, remembered) in [(128, true), (254, true), (255, false)] {
        let mut depacketiser = Depacketiser::new(1 << 20);
        let with = [&[0, 0, 0, 0, 1, q, 8, 6, 0, 0, 0, 128][..], &[3; 128], &[1, 2, 3]].concat();
        let without = [0, 0, 0, 0, 1, q, 8, 6, 0, 0, 0, 0, 1, 2, 3];
        let results = feed(
            &mut depacketiser,
            &[
                payload_packet(1, 10, true, &without),
                payload_packet(2, 20, true, &with),
                payload_packet(3, 30, true, &without),
            ],
        );
        assert_eq!(results[0], Err(Dropped::NoTables(q)));
        let data = |index: usize| results[index].clone().map(|file| file.unwrap().data);
        let expected = if remembered { data(1) } else { Err(Dropped::NoTables(q)) };
        assert_eq!(data(2), expected);
    }
}

#[test]
fn payloads_that_mean_nothing_are_dropped_with_the_reason() {
    let reason = |payload: &[u8]| {
        let mut depacketiser = Depacketiser::new(100);
        let result = feed(&mut depacketiser, &[payload_packet(1, 10, true, payload)]).remove(0);
        assert_eq!(depacketiser.dropped(), 1);
        result.unwrap_err()
    };
    assert_eq!(reason(&[0; 7]), HeaderError::CutOff(7).into());
    assert_eq!(reason(&[1, 0, 0, 0, 1, 50, 8, 6, 1]), HeaderError::Interlaced(1).into());
    assert_eq!(reason(&[0, 0, 0, 0, 2, 50, 8, 6, 1]), HeaderError::Type(2).into());
    assert_eq!(reason(&[0, 0, 0, 0, 1, 0, 8, 6, 1]), HeaderError::Quality(0).into());
    assert_eq!(reason(&[0, 0, 0, 0, 1, 100, 8, 6, 1]), HeaderError::Quality(100).into());
    assert_eq!(
        reason(&[0, 0, 0, 0, 1, 50, 0, 6, 1]),
        HeaderError::Size(Size { width: 0, height: 48 }).into()
    );
    assert_eq!(reason(&[0, 0, 0, 0, 65, 50, 8, 6, 0]), HeaderError::CutOff(9).into());
    assert_eq!(reason(&[0, 0, 0, 0, 65, 50, 8, 6, 0, 0, 0xFF, 0xFF]), HeaderError::RestartInterval.into());
    assert_eq!(reason(&[0, 0, 0, 0, 1, 255, 8, 6, 0, 0, 0, 128, 5]), HeaderError::CutOff(13).into());
    assert_eq!(reason(&[0, 0, 0, 0, 1, 50, 8, 6]), Dropped::Empty);
    assert_eq!(reason(&[0, 0, 0, 0, 1, 50, 8, 6, 0xFF, 0xD9]), Dropped::Empty);
    assert_eq!(reason(&[0, 0, 0, 9, 1, 50, 8, 6, 1]), Dropped::Lost);
    assert_eq!(reason(&[[0, 0, 0, 0, 1, 50, 8, 6].as_slice(), &[1; 101]].concat()), Dropped::TooLong(100));
}

#[test]
fn packets_of_one_picture_that_contradict_each_other_drop_it_once() {
    let mut depacketiser = Depacketiser::new(1 << 20);
    let results = feed(
        &mut depacketiser,
        &[
            payload_packet(1, 10, false, &[0, 0, 0, 0, 1, 50, 8, 6, 1]),
            payload_packet(2, 10, false, &[0, 0, 0, 1, 1, 51, 8, 6, 1]),
            payload_packet(3, 10, true, &[0, 0, 0, 2, 1, 50, 8, 6, 1]),
            payload_packet(4, 20, true, &[0, 0, 0, 0, 1, 50, 8, 6, 1, 0xFF, 0xD9]),
        ],
    );
    assert_eq!(results[..3], [Ok(None), Err(Dropped::Contradiction), Ok(None)]);
    let file = results[3].clone().unwrap().unwrap();
    assert!(file.data.ends_with(&[1, 0xFF, 0xD9]), "one end marker, not two");
    assert_eq!(depacketiser.dropped(), 1);
}

#[test]
fn chunks_of_restart_intervals_are_put_together() {
    let mut depacketiser = Depacketiser::new(1 << 20);
    let results = feed(
        &mut depacketiser,
        &[
            payload_packet(1, 10, false, &[0, 0, 0, 0, 64, 50, 8, 6, 0, 4, 0xC0, 0, 1, 2]),
            payload_packet(2, 10, true, &[0, 0, 0, 2, 64, 50, 8, 6, 0, 4, 0xC0, 1, 3]),
        ],
    );
    let file = results[1].clone().unwrap().unwrap();
    assert!(file.data.ends_with(&[1, 2, 3, 0xFF, 0xD9]));
}

proptest! {
    #[test]
    fn every_burst_keeps_its_promises_and_comes_back(
        scan_bytes in 1_usize..9000,
        packet_bytes in LEAST_PACKET_BYTES..1600,
        is_420: bool,
        restart_interval in proptest::option::of(1_u16..),
        widest in prop_oneof![Just(255_u16), Just(256)],
    ) {
        let sampling = if is_420 { Sampling::Yuv420 } else { Sampling::Yuv422 };
        let picture = sized(scan_bytes, sampling, restart_interval, widest);
        let packets = packets(&picture, packet_bytes, STAMP);
        let (last, others) = packets.split_last().unwrap();
        prop_assert!(others.iter().all(|packet| packet.len() == packet_bytes));
        prop_assert!(last.len() <= packet_bytes && last.len() > HEADER_BYTES + 8);
        for (index, packet) in packets.iter().enumerate() {
            let packet = Packet::parse(packet).unwrap();
            prop_assert_eq!(packet.sequence(), 65_534_u16.wrapping_add(index as u16));
            prop_assert_eq!(packet.marker(), index + 1 == packets.len());
        }
        let results = feed(&mut Depacketiser::new(1 << 20), &packets);
        let file = results.into_iter().map(Result::unwrap).next_back().flatten().unwrap();
        prop_assert_eq!(file.data, picture.rebuild());
    }

    /// Whatever is lost, what is given out is whole, and each picture of which something came is given out or counted.
    #[test]
    fn a_picture_with_a_lost_packet_is_never_shown(
        lost in proptest::collection::vec(proptest::bool::weighted(0.1), 60),
        scans in proptest::collection::vec(1_usize..3000, 1..12),
    ) {
        let mut depacketiser = Depacketiser::new(1 << 20);
        let (mut sequence, mut lost) = (60_u16, lost.into_iter());
        let (mut whole, mut torn, mut shown) = (Vec::new(), 0, Vec::new());
        for (index, scan_bytes) in scans.iter().enumerate() {
            let picture = sized(*scan_bytes, Sampling::Yuv420, None, 1);
            let stamp = Stamp { sequence, timestamp: 3000 * index as u32, ..STAMP };
            let packets = packets(&picture, 576, stamp);
            sequence = sequence.wrapping_add(packets.len() as u16);
            let kept: Vec<_> = packets.iter().filter(|_| !lost.next().unwrap_or(false)).cloned().collect();
            if kept.len() == packets.len() {
                whole.push(picture.rebuild());
            } else if !kept.is_empty() {
                torn += 1;
            }
            shown.extend(feed(&mut depacketiser, &kept).into_iter().filter_map(|result| result.ok().flatten()));
        }
        let shown: Vec<_> = shown.into_iter().map(|file| file.data).collect();
        prop_assert_eq!(shown, whole);
        // The last one may be waiting for more.
        prop_assert!(depacketiser.dropped() == torn || depacketiser.dropped() + 1 == torn);
    }

    #[test]
    fn nothing_panics(
        payloads in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..40), any::<bool>(), 0_u32..2, 0_u8..4), 0..30),
    ) {
        let mut depacketiser = Depacketiser::new(200);
        for (index, (mut payload, marker, timestamp, kind)) in payloads.into_iter().enumerate() {
            if kind > 0 && payload.len() >= 8 {
                let kind = [1, 64, 0][usize::from(kind) - 1];
                let start = [0, 0, 0, payload[3] % 4, kind, payload[5] | 128];
                payload[..6].copy_from_slice(&start);
            }
            let packet = payload_packet(index as u16, timestamp, marker, &payload);
            if let Ok(Some(file)) = depacketiser.push(&Packet::parse(&packet).unwrap()) {
                prop_assert!(file.data.len() <= 200 + 802);
            }
        }
    }
}
