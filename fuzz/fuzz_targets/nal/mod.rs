//! What the fuzz targets of H.264 and H.265 in RTP share: packets in, access units out, and out again.

use bytes::Bytes;
use ocelli_proto::rtp::nal::{Burst, Depacketiser, Format, LEAST_PACKET_BYTES};
use ocelli_proto::rtp::{HEADER_BYTES, Header, Packet, Stamp};

const MOST_BYTES: usize = 2000;

/// Takes `bytes` as packets of `format`: each is a length, whose highest bit is the marker, a byte of timestamp, and the
/// payload.
pub fn check(format: Format, bytes: &[u8]) {
    let mut depacketiser = Depacketiser::new(format, MOST_BYTES);
    let (mut out, mut sequence, mut rest) = (Vec::new(), 0_u16, bytes);
    while let [length, timestamp, behind @ ..] = rest {
        let (payload, behind) = behind.split_at(behind.len().min((length & 0x7F).into()));
        rest = behind;
        let (marker, timestamp) = (length & 0x80 != 0, u32::from(timestamp & 0x7F));
        // A gap now and then.
        sequence = sequence.wrapping_add(if timestamp == 0x7F { 2 } else { 1 });
        let header = Header { marker, payload_type: 96, sequence, timestamp, ssrc: 1 };
        let packet = [&header.to_bytes()[..], payload].concat();
        depacketiser.push(&Packet::parse(&packet).expect("a packet"), &mut out);
    }
    for unit in out.into_iter().flatten() {
        assert!(unit.data.len() <= MOST_BYTES);
        send_again(format, &unit.data);
    }
}

fn send_again(format: Format, unit: &Bytes) {
    let burst = Burst::new(format, unit, LEAST_PACKET_BYTES).expect("an access unit");
    let mut headers = Vec::new();
    burst.stamp(Stamp { payload_type: 96, sequence: 65_530, timestamp: 1, ssrc: 2 }, &mut headers);
    let mut depacketiser = Depacketiser::new(format, MOST_BYTES + 8);
    let mut out = Vec::new();
    // Parameter sets first: what comes before them is never lost unseen.
    let sets: &[u8] = if format == Format::H264 { &[0x67, 1] } else { &[0x42, 1, 1] };
    let header = Header { marker: false, payload_type: 96, sequence: 65_529, timestamp: 1, ssrc: 2 };
    let first = [&header.to_bytes()[..], sets].concat();
    depacketiser.push(&Packet::parse(&first).expect("a packet"), &mut out);
    for (header, payload) in burst.packets(&headers) {
        assert!(header.len() >= HEADER_BYTES && header.len() + payload.len() <= LEAST_PACKET_BYTES);
        depacketiser.push(&Packet::parse(&[header, payload].concat()).expect("a packet"), &mut out);
    }
    if let Some(Ok(received)) = out.first() {
        assert_eq!(received.data[4 + sets.len()..], unit[..]);
    }
    assert_eq!((out.len(), depacketiser.dropped()), (1, u64::from(out[0].is_err())));
}
