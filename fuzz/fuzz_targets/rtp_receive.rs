//! No datagrams, whoever sends them and whenever they come, make the receiver panic or give out a picture past its limit, and
//! what it counts never goes backwards.

#![no_main]

use std::net::SocketAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ocelli_proto::rtp::nal::Format;
use ocelli_proto::rtp::receive::{Event, Payload, Receiver, Setup, Timeline};
use ocelli_proto::rtp::reorder::Limits;

const MOST_BYTES: usize = 2000;
const MOST_HEAD_BYTES: usize = 802;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, mut rest)) = bytes.split_first() else { return };
    let payload = match first % 3 {
        0 => Payload::Jpeg,
        1 => Payload::Nal(Format::H264),
        _ => Payload::Nal(Format::H265),
    };
    let limits = Limits { wait: Duration::from_millis(50), packets: 8 };
    let mut receiver =
        Receiver::new(Setup { payload, payload_type: 96, from: None, limits, most_bytes: MOST_BYTES });
    let (mut now, mut out, mut timeline) = (Duration::ZERO, Vec::new(), Timeline::default());
    let mut taken = 0;
    // Each datagram stands behind its length, how long it took, and from which of two it comes.
    while let Some((&[length, wait], behind)) = rest.split_first_chunk() {
        let (datagram, behind) = behind.split_at(behind.len().min(length.into()));
        rest = behind;
        now += Duration::from_millis(u64::from(wait) * u64::from(wait) / 8);
        let from = SocketAddr::from(([10, 0, 0, wait & 1], 5000));
        receiver.datagram(now, from, datagram, &mut out);
        if receiver.deadline().is_some_and(|deadline| deadline <= now) {
            receiver.expire(now, &mut out);
        }
        for event in out.drain(..) {
            if let Event::Picture(picture) = event {
                assert!(picture.data.len() <= MOST_BYTES + MOST_HEAD_BYTES);
                assert!(picture.arrived <= now);
                timeline.time(picture.timestamp, picture.arrived);
            }
        }
        let counts = receiver.counts();
        assert!(counts.packets >= taken);
        taken = counts.packets;
    }
});
