//! H.264 and H.265 in RTP: packets as the RFCs draw them, round trips, loss and damage.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::rtp::reorder::{Item, Limits, Reorder};
use crate::rtp::{HEADER_BYTES, Header, Packet, Stamp};

const STAMP: Stamp = Stamp { payload_type: 96, sequence: 65_534, timestamp: 1000, ssrc: 7 };

/// An access unit of these NAL units.
fn access_unit(units: &[&[u8]]) -> Bytes {
    units
        .iter()
        .flat_map(|unit| [&(unit.len() as u32).to_be_bytes()[..], unit].concat())
        .collect::<Vec<_>>()
        .into()
}

fn packets(format: Format, unit: &Bytes, packet_bytes: usize, stamp: Stamp) -> Vec<Vec<u8>> {
    let burst = Burst::new(format, unit, packet_bytes).unwrap();
    let mut headers = Vec::new();
    burst.stamp(stamp, &mut headers);
    let packets: Vec<_> =
        burst.packets(&headers).map(|(header, payload)| [header, payload].concat()).collect();
    assert_eq!(packets.len(), burst.packet_count());
    assert_eq!(packets.iter().map(Vec::len).sum::<usize>(), burst.total_bytes());
    packets
}

fn payloads(format: Format, unit: &Bytes, packet_bytes: usize) -> Vec<Vec<u8>> {
    let packets = packets(format, unit, packet_bytes, STAMP);
    packets.iter().map(|packet| packet[HEADER_BYTES..].to_vec()).collect()
}

fn packet(sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
    let header = Header { marker, payload_type: 96, sequence, timestamp, ssrc: 7 };
    [&header.to_bytes()[..], payload].concat()
}

fn feed(depacketiser: &mut Depacketiser, packets: &[Vec<u8>]) -> Vec<Result<AccessUnit, Dropped>> {
    let mut out = Vec::new();
    packets.iter().for_each(|packet| depacketiser.push(&Packet::parse(packet).unwrap(), &mut out));
    out
}

fn units(results: &[Result<AccessUnit, Dropped>]) -> Vec<Bytes> {
    results.iter().filter_map(|result| result.as_ref().ok()).map(|unit| unit.data.clone()).collect()
}

#[test]
fn h264_is_laid_out_as_the_rfc_has_it() {
    let slice: Vec<_> = (0..120).map(|byte| if byte == 0 { 0x65 } else { byte }).collect();
    let unit = access_unit(&[&[0x67, 1, 2], &[0x28, 3], &slice, &[0x06, 9]]);
    let payloads = payloads(Format::H264, &unit, 64);
    assert_eq!(payloads[0], [0x78, 0, 3, 0x67, 1, 2, 0, 2, 0x28, 3], "STAP-A, of the more important unit");
    assert_eq!(payloads[1][..2], [0x7C, 0x85], "FU-A, start");
    assert_eq!(payloads[1][2..], slice[1..51]);
    assert_eq!(payloads[2][..2], [0x7C, 0x05]);
    assert_eq!(payloads[3][..2], [0x7C, 0x45], "end");
    assert_eq!(payloads[3][2..], slice[101..]);
    assert_eq!(payloads[4], [0x06, 9]);
    let packets = packets(Format::H264, &unit, 64, STAMP);
    assert_eq!(packets[0][..12], [0x80, 96, 0xFF, 0xFE, 0, 0, 3, 0xE8, 0, 0, 0, 7]);
    assert_eq!(packets[4][..4], [0x80, 0x80 | 96, 0, 2]);
}

#[test]
fn h265_is_laid_out_as_the_rfc_has_it() {
    let slice: Vec<_> = (0..60).map(|byte| [0x26, 0x01].get(byte).copied().unwrap_or(byte as u8)).collect();
    let unit = access_unit(&[&[0x40, 0x0A, 1], &[0x42, 0x01, 2], &slice]);
    let payloads = payloads(Format::H265, &unit, 64);
    assert_eq!(
        payloads[0],
        [0x60, 0x01, 0, 3, 0x40, 0x0A, 1, 0, 3, 0x42, 0x01, 2],
        "AP, of the lowest layer"
    );
    assert_eq!(payloads[1][..3], [0x62, 0x01, 0x93], "FU, start");
    assert_eq!(payloads[1][3..], slice[2..51]);
    assert_eq!(payloads[2][..3], [0x62, 0x01, 0x53], "end");
    assert_eq!(payloads[2][3..], slice[51..]);
}

#[test]
fn what_is_no_access_unit_is_no_burst() {
    let error = |bytes: &[u8]| Burst::new(Format::H264, &Bytes::copy_from_slice(bytes), 100).unwrap_err();
    assert_eq!(error(&[]), BurstError::CutOff { at: 0 });
    assert_eq!(error(&[0, 0, 0, 1, 0x65, 0, 0]), BurstError::CutOff { at: 5 });
    assert_eq!(error(&[0, 0, 0, 0]), BurstError::CutOff { at: 0 });
    assert_eq!(error(&[0, 0, 0, 9, 0x65]), BurstError::CutOff { at: 0 });
    assert_eq!(error(&[0, 0, 0, 1, 0x7C]), BurstError::Kind { at: 4, kind: 28 });
    let short = Burst::new(Format::H265, &Bytes::from_static(&[0, 0, 0, 1, 0x26]), 100).unwrap_err();
    assert_eq!(short, BurstError::CutOff { at: 0 });
    let sound = access_unit(&[&[0x65, 1]]);
    assert_eq!(Burst::new(Format::H264, &sound, 63).unwrap_err(), BurstError::PacketLength(63));
}

#[test]
fn stamping_again_allocates_nothing() {
    let unit = access_unit(&[&[0x67, 1], &[0x65; 10_000]]);
    let burst = Burst::new(Format::H264, &unit, 1200).unwrap();
    let mut headers = Vec::new();
    burst.stamp(STAMP, &mut headers);
    let (at, before) = (headers.as_ptr(), headers.clone());
    burst.stamp(Stamp { ssrc: 8, ..STAMP }, &mut headers);
    assert_ne!(headers, before);
    burst.stamp(STAMP, &mut headers);
    assert_eq!((headers.as_ptr(), headers), (at, before));
}

#[test]
fn a_stream_may_begin_with_what_stands_before_its_first_slice() {
    for (format, first, slice) in [
        (Format::H264, &[0x06, 5, 9][..], &[0x65, 0x00, 1][..]),
        (Format::H264, &[0x68, 0xCE], &[0x65, 0x00, 1]),
        (Format::H265, &[0x4E, 0x01, 9], &[0x26, 0x01, 0x00]),
    ] {
        let mut depacketiser = Depacketiser::new(format, 1000);
        let units = feed(&mut depacketiser, &[packet(0, 0, false, first), packet(1, 0, true, slice)]);
        assert_eq!(units.last().unwrap().as_ref().unwrap().data, access_unit(&[first, slice]));
    }
}

#[test]
fn what_is_not_spoken_is_refused_by_name() {
    let errors = |format, payload: &[u8]| {
        let mut depacketiser = Depacketiser::new(format, 1000);
        feed(&mut depacketiser, &[packet(0, 0, true, &[0x67, 0x42]), packet(1, 1, true, payload)])
            .last()
            .unwrap()
            .clone()
            .unwrap_err()
            .to_string()
    };
    for (kind, name) in [(25, "STAP-B"), (26, "MTAP16"), (27, "MTAP24"), (29, "FU-B")] {
        let error = errors(Format::H264, &[kind, 0, 0, 0]);
        assert_eq!(
            error,
            format!(
                "byte 0: {name} (type {kind}) belongs to interleaved mode, which is not spoken (RFC 6184 5.4)"
            )
        );
    }
    assert_eq!(errors(Format::H264, &[30]), "NAL unit type 30 means nothing here");
    assert_eq!(errors(Format::H265, &[0x64, 1, 0]), "byte 0: PACI (type 50) is not spoken (RFC 7798 4.4.4)");
    assert_eq!(
        errors(Format::H264, &[24, 0, 9, 1]),
        "byte 3: the payload ends within a header or a NAL unit"
    );
    assert!(errors(Format::H264, &[24, 0, 0]).contains("a NAL unit without its header"));
    assert!(errors(Format::H264, &[0x7C]).contains("byte 1: the payload ends"));
    assert!(errors(Format::H264, &[0x7C, 0x05, 1]).contains("fragments out of order"));
    assert!(errors(Format::H264, &[0x7C, 0x9C, 1]).contains("type 28 means nothing"));
    assert!(errors(Format::H265, &[0x62, 1]).contains("byte 2: the payload ends"));
}

const KEY: [u8; 3] = [0x65, 1, 2];
const OTHER: [u8; 3] = [0x41, 3, 4];
const SETS: [u8; 2] = [0x67, 5];

#[test]
fn a_timestamp_ends_the_access_unit_before_it() {
    let mut depacketiser = Depacketiser::new(Format::H264, 1000);
    let out = feed(
        &mut depacketiser,
        &[
            packet(9, 1, false, &SETS),
            packet(10, 1, false, &KEY),
            packet(11, 2, false, &OTHER),
            packet(12, 3, true, &OTHER),
        ],
    );
    let times: Vec<_> =
        out.iter().map(|result| result.as_ref().unwrap()).map(|unit| unit.timestamp).collect();
    assert_eq!(times, [1, 2, 3]);
    assert_eq!(units(&out)[0], access_unit(&[&SETS, &KEY]));
    assert!(!depacketiser.keyframe_wanted());
}

#[test]
fn parameter_sets_with_marker_or_time_of_their_own_stay_with_their_picture() {
    let mut depacketiser = Depacketiser::new(Format::H264, 1000);
    let out = feed(
        &mut depacketiser,
        &[packet(9, 1, true, &SETS), packet(10, 2, true, &[0x68, 1]), packet(11, 2, true, &KEY)],
    );
    let expected = AccessUnit { data: access_unit(&[&SETS, &[0x68, 1], &KEY]), timestamp: 2, key: true };
    assert_eq!(out, [Ok(expected)]);
}

#[test]
fn who_joins_in_the_middle_waits_for_a_keyframe() {
    let mut depacketiser = Depacketiser::new(Format::H264, 1000);
    let out = feed(&mut depacketiser, &[packet(9, 1, true, &OTHER)]);
    assert_eq!((out, depacketiser.keyframe_wanted()), (vec![], true));
    let out = feed(&mut depacketiser, &[packet(10, 2, true, &OTHER), packet(11, 3, true, &KEY)]);
    assert_eq!(out[0], Err(Dropped::NeedsKey));
    assert_eq!(units(&out), [access_unit(&[&KEY])]);
    assert!(!depacketiser.keyframe_wanted());
}

#[test]
fn a_loss_costs_everything_up_to_the_next_keyframe() {
    let mut depacketiser = Depacketiser::new(Format::H264, 1000);
    let out = feed(
        &mut depacketiser,
        &[
            packet(0, 1, false, &SETS),
            packet(1, 1, true, &KEY),
            packet(2, 2, false, &OTHER),
            packet(4, 2, true, &OTHER),
            packet(5, 3, true, &OTHER),
        ],
    );
    assert_eq!(out[1..], [Err(Dropped::Lost), Err(Dropped::NeedsKey)]);
    assert_eq!((depacketiser.dropped(), depacketiser.keyframe_wanted()), (2, true));
    // The gap may have had slices of this one, but nothing comes before parameter sets.
    let out = feed(&mut depacketiser, &[packet(7, 4, true, &KEY)]);
    assert_eq!(out, [Err(Dropped::Lost)]);
    let out = feed(&mut depacketiser, &[packet(9, 5, false, &SETS), packet(10, 5, true, &KEY)]);
    assert_eq!(units(&out), [access_unit(&[&SETS, &KEY])]);
    assert_eq!((depacketiser.dropped(), depacketiser.keyframe_wanted()), (3, false));
}

#[test]
fn who_joins_at_a_keyframes_first_slice_has_it() {
    // Cameras that say their parameter sets in the description only begin with a bare slice.
    for (format, first, later) in [
        (Format::H264, &[0x65, 0x88][..], &[0x65, 0x48][..]),
        (Format::H264, &[0x7C, 0x85, 0x88], &[0x7C, 0x85, 0x48]),
        (Format::H265, &[0x26, 1, 0x80], &[0x26, 1, 0x40]),
    ] {
        let mut depacketiser = Depacketiser::new(format, 1000);
        let last = if first[0] == 0x7C { &[0x7C, 0x45, 9][..] } else { first };
        let out = feed(&mut depacketiser, &[packet(0, 1, false, first), packet(1, 1, true, last)]);
        assert_eq!(units(&out).len(), 1, "{format:?}");
        let mut depacketiser = Depacketiser::new(format, 1000);
        let out = feed(&mut depacketiser, &[packet(0, 1, true, later)]);
        assert_eq!(out, [], "another slice may have come before");
    }
}

#[test]
fn a_fragment_without_its_end_is_never_shown() {
    let mut depacketiser = Depacketiser::new(Format::H264, 1000);
    feed(&mut depacketiser, &[packet(0, 1, false, &SETS), packet(1, 1, true, &KEY)]);
    for (sequence, payload) in [(2, &[0x7C, 0x85, 1, 2][..]), (4, &[0x7C, 0x85, 1, 2])] {
        let time = sequence.into();
        let out = feed(
            &mut depacketiser,
            &[packet(sequence, time, false, payload), packet(sequence + 1, time, true, &KEY)],
        );
        assert_eq!(out, [Err(Dropped::Payload(PayloadError::Fragments))]);
    }
}

#[test]
fn padding_is_no_loss_and_length_is_bounded() {
    let mut depacketiser = Depacketiser::new(Format::H264, 20);
    let out = feed(
        &mut depacketiser,
        &[packet(0, 1, false, &SETS), packet(1, 1, false, &[]), packet(2, 1, true, &KEY)],
    );
    assert_eq!(units(&out).len(), 1);
    let out = feed(&mut depacketiser, &[packet(3, 2, false, &[0x65; 10]), packet(4, 2, true, &[0x65; 10])]);
    assert_eq!(out, [Err(Dropped::TooLong(20))]);
}

/// A NAL unit of `kind` that is told from all others by `mark`.
fn unit(format: Format, kind: u8, length: usize, mark: u16) -> Vec<u8> {
    let header = match format {
        Format::H264 => vec![0x60 | kind],
        Format::H265 => vec![kind << 1, 1],
    };
    let filling = (0..length).map(|index| (index * 31 % 251) as u8);
    header.into_iter().chain(mark.to_be_bytes()).chain(filling).collect()
}

/// Access units whose first, and every fourth, is a keyframe with parameter sets.
fn stream(format: Format, slices: &[(usize, usize)]) -> Vec<Bytes> {
    let (sets, key, other) = match format {
        Format::H264 => (&[7, 8, 6][..], 5, 1),
        Format::H265 => (&[32, 33, 34][..], 19, 1),
    };
    let picture = |(index, &(length, count)): (usize, &(usize, usize))| {
        let (before, kind) = if index % 4 == 0 { (sets, key) } else { (&[][..], other) };
        let sets = before.iter().map(|kind| unit(format, *kind, 5, index as u16));
        let slices = (0..count).map(|_| unit(format, kind, length, index as u16));
        let units: Vec<_> = sets.chain(slices).collect();
        access_unit(&units.iter().map(Vec::as_slice).collect::<Vec<_>>())
    };
    slices.iter().enumerate().map(picture).collect()
}

fn all_packets(format: Format, stream: &[Bytes], packet_bytes: usize, first: u16) -> Vec<Vec<u8>> {
    let mut sequence = first;
    let mut all = Vec::new();
    for (index, unit) in stream.iter().enumerate() {
        let timestamp = u32::MAX - 9000 + 3000 * index as u32 % 9000;
        let packets = packets(format, unit, packet_bytes, Stamp { sequence, timestamp, ..STAMP });
        for (index, packet) in packets.iter().enumerate() {
            assert!(packet.len() <= packet_bytes);
            assert_eq!(Packet::parse(packet).unwrap().marker(), index + 1 == packets.len());
        }
        sequence = sequence.wrapping_add(packets.len() as u16);
        all.extend(packets);
    }
    all
}

fn any_format() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::H264), Just(Format::H265)]
}

proptest! {
    #[test]
    fn everything_comes_back(
        format in any_format(),
        slices in proptest::collection::vec((0_usize..500, 1_usize..4), 1..12),
        packet_bytes in LEAST_PACKET_BYTES..400,
        first in any::<u16>(),
    ) {
        let stream = stream(format, &slices);
        let mut depacketiser = Depacketiser::new(format, 1 << 20);
        let out = feed(&mut depacketiser, &all_packets(format, &stream, packet_bytes, first));
        prop_assert_eq!(units(&out), stream);
        for (index, result) in out.iter().enumerate() {
            prop_assert_eq!(result.as_ref().unwrap().key, index % 4 == 0);
        }
    }

    /// Through a network that loses, doubles and delays: what comes out is whole, and nothing that it needs is missing.
    #[test]
    fn nothing_damaged_is_shown(
        format in any_format(),
        slices in proptest::collection::vec((0_usize..300, 1_usize..3), 1..30),
        fates in proptest::collection::vec((0_u8..30, 0_u64..8), 400),
        wait in 0_u64..12,
    ) {
        let stream = stream(format, &slices);
        let (mut arrivals, mut complete) = (Vec::new(), true);
        for (index, packet) in all_packets(format, &stream, 100, 65_500).into_iter().enumerate() {
            let (fate, delay) = fates[index % fates.len()];
            let time = index as u64 + delay;
            if fate > 0 || index < 2 {
                arrivals.push((time, packet.clone()));
            } else {
                complete = false;
            }
            if fate == 1 {
                arrivals.push((time + 3, packet));
            }
        }
        arrivals.sort_by_key(|(time, _)| *time);
        let mut reorder = Reorder::new(Limits { wait: Duration::from_millis(wait), packets: 50 });
        let mut depacketiser = Depacketiser::new(format, 1 << 20);
        let (mut sorted, mut out) = (Vec::new(), Vec::new());
        for (time, bytes) in arrivals {
            let (ssrc, sequence) = {
                let packet = Packet::parse(&bytes).unwrap();
                (packet.ssrc(), packet.sequence())
            };
            reorder.push(Duration::from_millis(time), ssrc, sequence, bytes, &mut sorted);
        }
        reorder.expire(Duration::from_secs(100), &mut sorted);
        for item in &sorted {
            if let Item::Packet { packet, .. } = item {
                depacketiser.push(&Packet::parse(packet).unwrap(), &mut out);
            }
        }
        let mut before = None;
        for received in units(&out) {
            let from = before.map_or(0, |index| index + 1);
            let Some(found) = stream[from..].iter().position(|sent| *sent == received) else {
                return Err(TestCaseError::fail("what was never sent, or out of order"));
            };
            let index = from + found;
            prop_assert!(index % 4 == 0 || before == Some(index - 1), "its reference is missing");
            before = Some(index);
        }
        let wrong = out.iter().filter(|result| result.is_err()).count() as u64;
        prop_assert_eq!(wrong, depacketiser.dropped());
        let counts = reorder.counts();
        // One of the first packets may come behind the two that make a sender.
        if complete && counts.lost + counts.strange + counts.late == 0 {
            prop_assert_eq!(units(&out).len(), stream.len());
        }
    }

    #[test]
    fn nothing_panics(
        format in any_format(),
        packets in proptest::collection::vec(
            (0_u16..4, 0_u32..3, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..40),
    ) {
        let mut depacketiser = Depacketiser::new(format, 100);
        let mut sequence = 0_u16;
        for (step, time, marker, payload) in packets {
            sequence = sequence.wrapping_add(step.max(1) - u16::from(step == 3));
            for unit in units(&feed(&mut depacketiser, &[packet(sequence, time, marker, &payload)])) {
                prop_assert!(Burst::new(format, &unit, 100).is_ok(), "whole units only");
                prop_assert!(unit.len() <= 100);
            }
        }
    }
}
