//! No datagrams, whoever sends them and whenever they come, make the receiver panic or give out a picture past its limit, and
//! what it counts never goes backwards.

#![no_main]

use std::net::SocketAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ocelli_media::MediaTime;
use ocelli_proto::rtp::audio;
use ocelli_proto::rtp::nal::Format;
use ocelli_proto::rtp::receive::{Event, Payload, Receiver, Setup, Timeline};
use ocelli_proto::rtp::reorder::Limits;

const MOST_BYTES: usize = 2000;
const MOST_HEAD_BYTES: usize = 802;

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, mut rest)) = bytes.split_first() else { return };
    let payload = match first % 6 {
        0 => Payload::Jpeg,
        1 => Payload::Nal(Format::H264),
        2 => Payload::Nal(Format::H265),
        3 => Payload::Sound(audio::Format::Opus),
        4 => Payload::Sound(audio::Format::G711 { channels: 1 }),
        _ => Payload::Sound(audio::Format::Aac { frame_ticks: 1024 }),
    };
    let limits = Limits { wait: Duration::from_millis(50), packets: 8 };
    let mut receiver =
        Receiver::new(Setup { payload, payload_type: 96, from: None, limits, most_bytes: MOST_BYTES });
    let (mut now, mut out, mut timeline) = (Duration::ZERO, Vec::new(), Timeline::new(MediaTime::VIDEO_RATE));
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
            match event {
                Event::Picture(picture) => {
                    assert!(picture.data.len() <= MOST_BYTES + MOST_HEAD_BYTES);
                    assert!(picture.arrived <= now);
                    timeline.time(picture.timestamp, picture.arrived);
                }
                Event::Sound(sound) => {
                    assert!(sound.arrived <= now);
                    timeline.time(sound.timestamp, sound.arrived);
                }
                Event::Started { .. } | Event::Dropped(_) => {}
            }
        }
        let counts = receiver.counts();
        assert!(counts.packets >= taken);
        taken = counts.packets;
    }
});
