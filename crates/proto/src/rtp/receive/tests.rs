//! The receiver in simulated time: loss, disorder, strangers, restarts, and what is no RTP.

use ocelli_media::Size;
use ocelli_media::jpeg::rewrite::{QuantisationPair, RtpJpeg, Sampling};

use super::*;
use crate::rtp::{Header, Stamp, jpeg, nal};

const LIMITS: Limits = Limits { wait: Duration::from_millis(50), packets: 256 };
const SETUP: Setup =
    Setup { payload: Payload::Jpeg, payload_type: 26, from: None, limits: LIMITS, most_bytes: 1 << 20 };

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn address(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], port))
}

/// A picture whose scan means nothing and takes nine packets.
fn picture() -> RtpJpeg {
    RtpJpeg {
        sampling: Sampling::Yuv420,
        size: Size { width: 640, height: 480 },
        restart_interval: None,
        quantisation: QuantisationPair { luma: [3; 64], chroma: [9; 64] },
        scan: (0..4500).map(|index| (index * 7 % 255) as u8).collect::<Vec<_>>().into(),
    }
}

/// A sender of the same picture again and again.
struct Camera {
    from: SocketAddr,
    stamp: Stamp,
    picture: RtpJpeg,
}

impl Camera {
    fn new(from: SocketAddr, ssrc: u32) -> Self {
        let stamp = Stamp { payload_type: 26, sequence: 65_530, timestamp: u32::MAX - 5000, ssrc };
        Self { from, stamp, picture: picture() }
    }

    fn packets(&mut self) -> Vec<Vec<u8>> {
        let burst = jpeg::Burst::new(&self.picture, jpeg::LEAST_PACKET_BYTES).unwrap();
        let mut headers = Vec::new();
        burst.stamp(self.stamp, &mut headers);
        self.stamp.sequence = self.stamp.sequence.wrapping_add(burst.packet_count() as u16);
        self.stamp.timestamp = self.stamp.timestamp.wrapping_add(3000);
        burst.packets(&headers).map(|(header, payload)| [header, payload].concat()).collect()
    }

    /// Sends a picture at `millis`.
    fn send(&mut self, millis: u64, receiver: &mut Receiver) -> Vec<Event> {
        let mut out = Vec::new();
        for packet in self.packets() {
            receiver.datagram(at(millis), self.from, &packet, &mut out);
        }
        out
    }
}

/// How many pictures came, how many were dropped, how often a sender began.
fn count(events: &[Event]) -> (usize, usize, usize) {
    let of = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count();
    (
        of(|event| matches!(event, Event::Picture(_))),
        of(|event| matches!(event, Event::Dropped(_))),
        of(|event| matches!(event, Event::Started { .. })),
    )
}

#[test]
fn pictures_come_back_as_they_were_with_the_arrival_of_their_first_packet() {
    let mut receiver = Receiver::new(SETUP);
    let mut camera = Camera::new(address(1, 5000), 7);
    let events = camera.send(3, &mut receiver);
    assert_eq!(events[0], Event::Started { ssrc: 7, from: camera.from });
    let [_, Event::Picture(first)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&first.data, first.arrived, first.key), (&camera.picture.rebuild(), at(3), true));
    let mut out = Vec::new();
    for (index, packet) in camera.packets().iter().enumerate() {
        receiver.datagram(at(40 + index as u64), camera.from, packet, &mut out);
    }
    let [Event::Picture(second)] = &out[..] else { panic!("{out:?}") };
    assert_eq!((second.timestamp, second.arrived), (first.timestamp.wrapping_add(3000), at(40)));
    let counts = receiver.counts();
    assert_eq!((counts.lost, counts.late, counts.strange, counts.senders), (0, 0, 0, 1));
    assert_eq!(receiver.sender(), Some((7, camera.from)));
}

#[test]
fn a_packet_that_overtakes_waits_and_a_lost_one_costs_one_picture() {
    let mut receiver = Receiver::new(SETUP);
    let mut camera = Camera::new(address(1, 5000), 7);
    camera.send(0, &mut receiver);
    let mut packets = camera.packets();
    packets.swap(1, 2);
    packets.push(packets[0].clone());
    let mut out = Vec::new();
    for packet in &packets {
        receiver.datagram(at(33), camera.from, packet, &mut out);
    }
    assert_eq!(count(&out), (1, 0, 0));
    assert_eq!((receiver.counts().duplicate, receiver.counts().lost), (1, 0));

    let mut out = Vec::new();
    for packet in &camera.packets()[1..] {
        receiver.datagram(at(66), camera.from, packet, &mut out);
    }
    assert_eq!(out, [], "they wait");
    assert_eq!(receiver.deadline(), Some(at(116)));
    out.extend(camera.send(99, &mut receiver));
    receiver.expire(at(116), &mut out);
    assert_eq!(count(&out), (1, 1, 0));
    let Event::Dropped(reason) = &out[0] else { panic!("{out:?}") };
    assert_eq!(reason.cause(), Cause::Lost);
    assert_eq!(receiver.counts().lost, 1);
}

#[test]
fn who_joins_in_the_middle_has_lost_nothing() {
    let mut receiver = Receiver::new(SETUP);
    let mut camera = Camera::new(address(1, 5000), 7);
    let mut out = Vec::new();
    for packet in &camera.packets()[1..] {
        receiver.datagram(at(0), camera.from, packet, &mut out);
    }
    assert_eq!(count(&out), (0, 0, 1));
    assert_eq!(count(&camera.send(33, &mut receiver)), (1, 0, 0));
}

#[test]
fn a_stranger_is_not_heard_while_the_sender_is_and_takes_over_when_it_is_silent() {
    let mut receiver = Receiver::new(SETUP);
    let mut camera = Camera::new(address(1, 5000), 7);
    // The same name from another address is as strange as another name, or port.
    let mut strangers =
        [Camera::new(address(2, 5000), 9), Camera::new(address(2, 5001), 7), Camera::new(address(1, 9), 8)];
    for time in (0..10_000).step_by(500) {
        assert_eq!(count(&camera.send(time, &mut receiver)).0, 1);
        for stranger in &mut strangers {
            assert_eq!(stranger.send(time + 250, &mut receiver), []);
        }
    }
    assert!(receiver.counts().strange > 0);
    let silent = 9500 + 1000;
    assert_eq!(count(&strangers[0].send(silent, &mut receiver)), (1, 0, 1));
    assert_eq!(receiver.sender(), Some((9, address(2, 5000))));
    assert_eq!(camera.send(silent + 1, &mut receiver), []);
}

#[test]
fn only_the_address_that_was_named_is_heard() {
    let from = Some("10.0.0.1".parse().unwrap());
    let mut receiver = Receiver::new(Setup { from, ..SETUP });
    assert_eq!(Camera::new(address(2, 5000), 9).send(0, &mut receiver), []);
    // As an IPv6 socket shows it.
    let mapped = SocketAddr::new("::ffff:10.0.0.1".parse().unwrap(), 5000);
    assert_eq!(count(&Camera::new(mapped, 9).send(0, &mut receiver)).0, 1);
}

#[test]
fn a_sender_that_begins_anew_is_heard_at_once_and_its_tables_are_its_own() {
    let mut receiver = Receiver::new(SETUP);
    let mut camera = Camera::new(address(1, 5000), 7);
    camera.send(0, &mut receiver);
    camera.stamp.sequence = 30_000;
    camera.stamp.timestamp = 5;
    assert_eq!(count(&camera.send(10, &mut receiver)), (1, 0, 1));
    camera.stamp.ssrc = 8;
    assert_eq!(count(&camera.send(70, &mut receiver)), (1, 0, 1));
    assert_eq!(receiver.counts().senders, 3);
}

#[test]
fn what_is_no_rtp_or_of_another_payload_is_counted_and_nothing_else() {
    let mut receiver = Receiver::new(SETUP);
    let mut out = Vec::new();
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[0; 12]].concat();
    let sender_report = [&[0x80, 200, 0, 6][..], &[0; 24]].concat();
    for bytes in [&[][..], b"hello", &stun, &[0xFF; 40], &[0x90; 14]] {
        assert_eq!(receiver.datagram(at(0), address(1, 1), bytes, &mut out), None);
    }
    assert_eq!(receiver.counts().not_rtp, 5);
    let header = Header { marker: true, payload_type: 96, sequence: 1, timestamp: 2, ssrc: 3 }.to_bytes();
    for bytes in [&sender_report[..], &header] {
        assert_eq!(receiver.datagram(at(0), address(1, 1), bytes, &mut out), None);
    }
    assert_eq!((receiver.counts().other_payload, receiver.other_payload_type()), (2, Some(96)));
    assert_eq!((out, receiver.sender()), (Vec::new(), None));
}

#[test]
fn h264_wants_a_keyframe_until_one_has_come() {
    let setup = Setup { payload: Payload::Nal(nal::Format::H264), payload_type: 96, ..SETUP };
    let mut receiver = Receiver::new(setup);
    assert!(!receiver.keyframe_wanted(), "there is nobody to ask");
    let mut sequence = 10;
    let mut send = |kind: u8, receiver: &mut Receiver| {
        let unit = [&3000_u32.to_be_bytes()[..], &vec![kind; 3000]].concat();
        let burst = nal::Burst::new(nal::Format::H264, &unit.into(), 1000).unwrap();
        let (mut headers, mut out) = (Vec::new(), Vec::new());
        let timestamp = u32::from(sequence) * 1000;
        burst.stamp(Stamp { payload_type: 96, sequence, timestamp, ssrc: 7 }, &mut headers);
        sequence += burst.packet_count() as u16;
        for (header, payload) in burst.packets(&headers) {
            receiver.datagram(at(0), address(1, 1), &[header, payload].concat(), &mut out);
        }
        out
    };
    assert_eq!(count(&send(0x41, &mut receiver)), (0, 0, 1), "who joins has lost nothing");
    let out = send(0x41, &mut receiver);
    assert!(matches!(&out[..], [Event::Dropped(reason)] if reason.cause() == Cause::NeedsKey), "{out:?}");
    assert!(receiver.keyframe_wanted());
    assert_eq!(count(&send(0x65, &mut receiver)).0, 1);
    assert!(!receiver.keyframe_wanted());
    assert_eq!(count(&send(0x41, &mut receiver)).0, 1);
}

/// The same numbers for the same seed.
fn random(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as f64 / (1_u64 << 31) as f64
}

#[test]
fn a_bad_network_costs_pictures_but_damages_none() {
    for seed in 0..20 {
        let mut state = seed;
        let mut receiver = Receiver::new(SETUP);
        let mut camera = Camera::new(address(1, 5000), 7);
        let whole = camera.picture.rebuild();
        // What is on its way: when it arrives, and the packet.
        let mut under_way: Vec<(u64, Vec<u8>)> = Vec::new();
        let (mut sent, mut lost) = (0, 0);
        for picture in 0..200 {
            for packet in camera.packets() {
                sent += 1;
                if random(&mut state) < 0.01 {
                    lost += 1;
                    continue;
                }
                let copies = if random(&mut state) < 0.02 { 2 } else { 1 };
                for _ in 0..copies {
                    let delay = if random(&mut state) < 0.05 { 20.0 * random(&mut state) } else { 0.0 };
                    under_way.push((1000 * picture * 33 + (1000.0 * delay) as u64, packet.clone()));
                }
            }
        }
        under_way.sort_by_key(|(arrival, _)| *arrival);
        let mut out = Vec::new();
        for (arrival, packet) in &under_way {
            receiver.datagram(Duration::from_micros(*arrival), camera.from, packet, &mut out);
        }
        receiver.expire(Duration::from_secs(60), &mut out);
        let (pictures, dropped, started) = count(&out);
        assert_eq!(started, 1);
        assert!(
            pictures + dropped >= 198 && pictures >= 200 - lost - 2,
            "{pictures} and {dropped} of {sent}"
        );
        assert!(receiver.counts().lost as usize <= lost);
        for event in &out {
            if let Event::Picture(picture) = event {
                assert_eq!(picture.data, whole);
            }
        }
    }
}
