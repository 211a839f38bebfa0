//! Audio in RTP: round trips, loss and damage.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::rtp::{HEADER_BYTES, Header, Packet, Stamp};

const AAC: Format = Format::Aac { frame_ticks: 1024 };
const STAMP: Stamp = Stamp { payload_type: 97, sequence: 65_535, timestamp: 1000, ssrc: 7 };

fn packets(format: Format, frame: &[u8], packet_bytes: usize, stamp: Stamp) -> Vec<Vec<u8>> {
    let burst = Burst::new(format, &Bytes::copy_from_slice(frame), packet_bytes).unwrap();
    let mut headers = Vec::new();
    burst.stamp(stamp, &mut headers);
    assert_eq!(burst.packets(&headers).len(), burst.packet_count());
    burst.packets(&headers).map(|(header, payload)| [header, payload].concat()).collect()
}

fn feed(depacketiser: &mut Depacketiser, packets: &[Vec<u8>]) -> Vec<Result<Frame, Dropped>> {
    let mut out = Vec::new();
    packets.iter().for_each(|packet| depacketiser.push(&Packet::parse(packet).unwrap(), &mut out));
    out
}

fn packet(sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let header = Header { marker: true, payload_type: 97, sequence, timestamp, ssrc: 7 };
    [&header.to_bytes()[..], payload].concat()
}

fn frame(data: &[u8], timestamp: u32) -> Result<Frame, Dropped> {
    Ok(Frame { data: Bytes::copy_from_slice(data), timestamp })
}

#[test]
fn opus_is_a_packet_as_it_is() {
    let sent = packets(Format::Opus, &[1, 2, 3], 100, STAMP);
    assert_eq!(sent, [[0x80, 97, 0xFF, 0xFF, 0, 0, 3, 0xE8, 0, 0, 0, 7, 1, 2, 3]]);
    assert_eq!(feed(&mut Depacketiser::new(Format::Opus), &sent), [frame(&[1, 2, 3], 1000)]);
    let long = Burst::new(Format::Opus, &Bytes::from_static(&[0; 89]), 100);
    assert_eq!(long, Err(BurstError::Length { bytes: 89, most: 88 }));
}

#[test]
fn g711_is_cut_between_samples_and_time_goes_on() {
    let sound: Vec<_> = (0..150).collect();
    let stereo = Format::G711 { channels: 2 };
    let sent = packets(stereo, &sound, 75, STAMP);
    let received = feed(&mut Depacketiser::new(stereo), &sent);
    assert_eq!(
        received,
        [frame(&sound[..62], 1000), frame(&sound[62..124], 1031), frame(&sound[124..], 1062)]
    );
    let odd = Burst::new(stereo, &Bytes::from_static(&[0; 3]), 75);
    assert_eq!(odd, Err(BurstError::Samples { bytes: 3, channels: 2 }));
}

#[test]
fn aac_is_laid_out_as_the_rfc_has_it() {
    let sent = packets(AAC, &[9; 300], 216, STAMP);
    assert_eq!(sent[0][..16], [0x80, 97, 0xFF, 0xFF, 0, 0, 3, 0xE8, 0, 0, 0, 7, 0, 16, 0x09, 0x60]);
    assert_eq!(sent[1][..16], [0x80, 0x80 | 97, 0, 0, 0, 0, 3, 0xE8, 0, 0, 0, 7, 0, 16, 0x09, 0x60]);
    assert_eq!((sent[0].len(), sent[1].len()), (216, 116));
    assert_eq!(feed(&mut Depacketiser::new(AAC), &sent), [frame(&[9; 300], 1000)]);
}

#[test]
fn several_frames_of_aac_in_a_packet_follow_each_other() {
    let payload = [0, 32, 0, 0x10, 0, 0x08, 1, 2, 3];
    let out = feed(&mut Depacketiser::new(AAC), &[packet(0, 5000, &payload)]);
    assert_eq!(out, [frame(&[1, 2], 5000), frame(&[3], 6024)]);
}

#[test]
fn a_part_of_a_frame_is_never_heard() {
    let sent = packets(AAC, &[9; 500], 216, STAMP);
    let mut depacketiser = Depacketiser::new(AAC);
    let out = feed(&mut depacketiser, &[sent[0].clone(), sent[2].clone(), packet(9, 1, &[0, 16, 0, 8, 5])]);
    assert_eq!(out, [Err(Dropped::Lost), Err(Dropped::Lost), frame(&[5], 1)]);
    assert_eq!(depacketiser.dropped(), 2);
}

#[test]
fn lies_are_refused() {
    let error = |payload: &[u8]| {
        let out = feed(&mut Depacketiser::new(AAC), &[packet(0, 0, payload)]);
        out.last().unwrap().clone().unwrap_err()
    };
    assert_eq!(error(&[0]), Dropped::CutOff { at: 1 });
    assert_eq!(error(&[0, 0, 1]), Dropped::Headers(0));
    assert_eq!(error(&[0, 13, 1]), Dropped::Headers(13));
    assert_eq!(error(&[0, 32, 0, 8]), Dropped::CutOff { at: 4 });
    assert_eq!(error(&[0, 32, 0, 8, 0, 9, 1, 2]), Dropped::Interleaved);
    assert_eq!(error(&[0, 32, 0, 8, 0, 16, 1, 2]), Dropped::CutOff { at: 8 });
    assert_eq!(error(&[0, 16, 0, 8, 1, 2]), Dropped::Surplus { at: 5 });
}

proptest! {
    #[test]
    fn everything_comes_back(
        format in prop_oneof![Just(Format::Opus), Just(Format::G711 { channels: 1 }), Just(AAC)],
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..1000), 1..10),
        packet_bytes in 64_usize..1400,
        first in any::<u16>(),
    ) {
        let mut depacketiser = Depacketiser::new(format);
        let (mut stamp, mut all) = (Stamp { sequence: first, ..STAMP }, Vec::new());
        for data in &frames {
            let packet_bytes = if format == Format::Opus { 1400 } else { packet_bytes };
            let sent = packets(format, data, packet_bytes, stamp);
            prop_assert!(sent.iter().all(|packet| packet.len() <= packet_bytes && packet.len() > HEADER_BYTES));
            stamp.sequence = stamp.sequence.wrapping_add(sent.len() as u16);
            stamp.timestamp += 1024;
            let received = feed(&mut depacketiser, &sent);
            if format == AAC {
                prop_assert_eq!(received.len(), 1);
            }
            all.extend(received.into_iter().flat_map(|frame| frame.unwrap().data));
        }
        prop_assert_eq!(all, frames.concat());
    }

    #[test]
    fn nothing_panics(
        payloads in proptest::collection::vec((0_u16..3, proptest::collection::vec(0_u8..40, 0..30)), 0..20),
    ) {
        let mut depacketiser = Depacketiser::new(AAC);
        let mut sequence = 0;
        for (step, payload) in payloads {
            sequence += step;
            feed(&mut depacketiser, &[packet(sequence, 7, &payload)]);
        }
    }
}
