//! No packets of AAC make the depacketiser panic or give out a frame that is longer than one can be; and any sound comes back from
//! its packets as it was.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ocelli_proto::rtp::audio::{Burst, Depacketiser, Format};
use ocelli_proto::rtp::{Header, Packet, Stamp};

const AAC: Format = Format::Aac { frame_ticks: 1024 };
const MOST_BYTES: usize = 8191;

// Each packet is a length, a byte of timestamp, whose highest value is a gap, and the payload.
fuzz_target!(|bytes: &[u8]| {
    let mut depacketiser = Depacketiser::new(AAC);
    let (mut out, mut sequence, mut rest) = (Vec::new(), 0_u16, bytes);
    while let [length, timestamp, behind @ ..] = rest {
        let (payload, behind) = behind.split_at(behind.len().min((*length).into()));
        rest = behind;
        sequence = sequence.wrapping_add(if *timestamp == 0xFF { 2 } else { 1 });
        let timestamp = (*timestamp).into();
        let header = Header { marker: true, payload_type: 97, sequence, timestamp, ssrc: 1 };
        let packet = [&header.to_bytes()[..], payload].concat();
        depacketiser.push(&Packet::parse(&packet).expect("a packet"), &mut out);
    }
    assert!(out.iter().flatten().all(|frame| (1..=MOST_BYTES).contains(&frame.data.len())));

    if bytes.is_empty() {
        return;
    }
    let sound = Bytes::copy_from_slice(&bytes[..bytes.len().min(MOST_BYTES)]);
    for format in [AAC, Format::G711 { channels: 1 }] {
        let burst = Burst::new(format, &sound, 64 + sound.len() % 100).expect("in range");
        let mut headers = Vec::new();
        burst.stamp(Stamp { payload_type: 97, sequence: 65_530, timestamp: 1, ssrc: 2 }, &mut headers);
        let (mut depacketiser, mut out) = (Depacketiser::new(format), Vec::new());
        for (header, payload) in burst.packets(&headers) {
            depacketiser.push(&Packet::parse(&[header, payload].concat()).expect("a packet"), &mut out);
        }
        let heard: Vec<u8> =
            out.into_iter().flat_map(|frame| frame.expect("nothing was lost").data).collect();
        assert_eq!(heard, sound);
    }
});
