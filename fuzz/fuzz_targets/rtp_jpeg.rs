//! No packets make the depacketiser panic or go past its limit; what it gives out has a sound header; and any scan comes
//! back from its packets as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_media::Size;
use ocelli_media::jpeg::Header;
use ocelli_media::jpeg::rewrite::{QuantisationPair, RtpJpeg, Sampling};
use ocelli_proto::rtp::Packet;
use ocelli_proto::rtp::jpeg::{Burst, Depacketiser, LEAST_PACKET_BYTES, PAYLOAD_TYPE, Stamp};

const MOST_BYTES: usize = 2000;
const MOST_HEAD_BYTES: usize = 802;

fuzz_target!(|bytes: &[u8]| {
    let mut depacketiser = Depacketiser::new(MOST_BYTES);
    let mut rest = bytes;
    while let Some((&length, behind)) = rest.split_first() {
        let (packet, behind) = behind.split_at(behind.len().min(length.into()));
        rest = behind;
        let Ok(packet) = Packet::parse(packet) else { continue };
        if let Ok(Some(file)) = depacketiser.push(&packet) {
            assert!(file.data.len() <= MOST_BYTES + MOST_HEAD_BYTES);
            let header = Header::parse(&file.data).expect("a sound header");
            assert_eq!(header.size, file.size);
        }
    }

    if bytes.is_empty() || bytes.ends_with(&[0xFF, 0xD9]) {
        return;
    }
    let picture = RtpJpeg {
        sampling: if bytes.len() % 2 == 0 { Sampling::Yuv422 } else { Sampling::Yuv420 },
        size: Size { width: 64, height: 48 },
        restart_interval: Some(u16::from(bytes[0])).filter(|interval| *interval > 0),
        quantisation: QuantisationPair { luma: [u16::from(bytes[0]) * 2 + 1; 64], chroma: [7; 64] },
        scan: bytes.to_vec().into(),
    };
    let burst = Burst::new(&picture, LEAST_PACKET_BYTES + bytes.len() % 100).expect("in range");
    let stamp = Stamp { payload_type: PAYLOAD_TYPE, sequence: 65_530, timestamp: 1, ssrc: 2 };
    let mut headers = Vec::new();
    burst.stamp(stamp, &mut headers);
    let mut depacketiser = Depacketiser::new(bytes.len());
    let mut received = None;
    for (header, payload) in burst.packets(&headers) {
        let packet = [header, payload].concat();
        received = depacketiser.push(&Packet::parse(&packet).expect("a packet")).expect("nothing was lost");
    }
    assert_eq!(received.expect("all packets came").data, picture.rebuild());
});
