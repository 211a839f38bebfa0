//! Targets of a stream that a test fills itself.

use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use bytes::Bytes;
use ocelli_hub::{Bounds, Publisher, StreamName};
use ocelli_media::jpeg::rewrite::Rewriter;
use ocelli_media::{Codec, Frame, MediaTime, Track, TrackId};
use ocelli_proto::rtp::{Packet, Stamp, jpeg, nal};

use super::line::Line;
use super::*;
use crate::udp::Pair;
use crate::variants::Rules;

const BASELINE: &[u8] = include_bytes!("../../../../media/testdata/baseline.jpg");

fn stream(codec: Codec) -> (Arc<Stream>, Publisher) {
    let name: StreamName = "cam".parse().unwrap();
    let stream = Stream::new(name, Bounds { pieces: 32, bytes: 64 << 20 });
    let mut publisher = stream.publish().unwrap();
    publisher.set_tracks(vec![Track::video(codec, None, Vec::new())]);
    (stream, publisher)
}

fn receiver() -> (tokio::net::UdpSocket, PushAddress) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = PushAddress::parse(&format!("rtp://{}?mtu=700", socket.local_addr().unwrap())).unwrap();
    (tokio::net::UdpSocket::from_std(socket).unwrap(), address)
}

fn publish(publisher: &mut Publisher, ticks: i64, key: bool, data: &Bytes) {
    let time = MediaTime::new(ticks, MediaTime::VIDEO_RATE);
    publisher.push(Frame { track: TrackId::VIDEO, time, captured: None, key, data: data.clone() });
}

/// A slice of a picture of this type, behind its length.
fn slice(kind: u8, length: usize) -> Bytes {
    [&(length as u32).to_be_bytes()[..], &[kind], &vec![0x55; length - 1]].concat().into()
}

async fn until(mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "not in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn h264_begins_at_a_keyframe_and_goes_on_with_every_frame() {
    let (stream, mut publisher) = stream(Codec::H264);
    let (socket, address) = receiver();
    let push = Push::start(
        &stream,
        address,
        &Shape::default(),
        RtpOptions::default(),
        &Pixels::with_program(stream.clone(), "/none".into(), Rules::default()),
        None,
    );
    until(|| push.stats().state() == PushState::Sending).await;
    publish(&mut publisher, 0, false, &slice(0x41, 100));
    let key: Bytes = [slice(0x67, 20), slice(0x68, 4), slice(0x65, 3000)].concat().into();
    publish(&mut publisher, 3000, true, &key);
    publish(&mut publisher, 9000, false, &slice(0x41, 100));
    publish(&mut publisher, 6000, false, &slice(0x01, 100));
    let mut depacketiser = nal::Depacketiser::new(nal::Format::H264, 1 << 20);
    let (mut units, mut datagram) = (Vec::new(), [0; 2000]);
    while units.len() < 3 {
        let received = tokio::time::timeout(Duration::from_secs(20), socket.recv(&mut datagram));
        let length = received.await.expect("in time").unwrap();
        let packet = Packet::parse(&datagram[..length]).unwrap();
        assert_eq!(packet.payload_type(), 96);
        depacketiser.push(&packet, &mut units);
    }
    let units: Vec<_> = units.into_iter().map(|unit| unit.unwrap()).collect();
    let expected = [key, slice(0x41, 100), slice(0x01, 100)];
    assert!(units.iter().map(|unit| &unit.data).eq(&expected));
    let after = |index: usize| units[index].timestamp.wrapping_sub(units[0].timestamp);
    assert_eq!((after(1), after(2)), (6000, 3000));
    let stats = push.stats();
    until(|| stats.pictures() == 3).await;
    assert_eq!(stats.dropped().iter().map(|(_, count)| count).sum::<u64>(), 0);
}

#[tokio::test]
async fn behind_a_damaged_picture_of_h264_nothing_goes_out_up_to_the_next_keyframe() {
    let (stream, mut publisher) = stream(Codec::H264);
    let (socket, address) = receiver();
    let push = Push::start(
        &stream,
        address,
        &Shape::default(),
        RtpOptions::default(),
        &Pixels::with_program(stream.clone(), "/none".into(), Rules::default()),
        None,
    );
    until(|| push.stats().state() == PushState::Sending).await;
    publish(&mut publisher, 0, true, &slice(0x65, 200));
    assert_eq!(next_length(&socket).await, 12 + 200);
    publish(&mut publisher, 3000, false, &slice(0x41, 100).slice(..50));
    publish(&mut publisher, 6000, false, &slice(0x41, 100));
    until(|| push.stats().dropped()[PushDrop::Damaged as usize] == (PushDrop::Damaged, 2)).await;
    publish(&mut publisher, 9000, true, &slice(0x65, 300));
    assert_eq!(next_length(&socket).await, 12 + 300);
}

#[tokio::test]
async fn sound_between_the_pictures_is_not_pushed() {
    let (stream, mut publisher) = stream(Codec::H264);
    let sound = Track::audio(Codec::Opus, MediaTime::VIDEO_RATE, std::num::NonZeroU8::MIN, Bytes::new());
    publisher.set_tracks(vec![sound, Track::video(Codec::H264, None, Vec::new())]);
    let (socket, address) = receiver();
    let push = Push::start(
        &stream,
        address,
        &Shape::default(),
        RtpOptions::default(),
        &Pixels::with_program(stream.clone(), "/none".into(), Rules::default()),
        None,
    );
    until(|| push.stats().state() == PushState::Sending).await;
    for (ticks, kind) in [(0, 0x65), (3000, 0x41), (6000, 0x41)] {
        let time = MediaTime::new(ticks, MediaTime::VIDEO_RATE);
        let data = Bytes::from_static(b"sound");
        publisher.push(Frame { track: TrackId::AUDIO, time, captured: None, key: false, data });
        publish(&mut publisher, ticks, ticks == 0, &slice(kind, 200));
        assert_eq!(next_length(&socket).await, 12 + 200);
    }
    assert_eq!(push.stats().dropped().iter().map(|(_, count)| count).sum::<u64>(), 0);
}

#[tokio::test]
async fn a_variant_that_cannot_be_made_is_said_and_asked_for_again() {
    let stream = Stream::new("cam".parse().unwrap(), Bounds { pieces: 32, bytes: 64 << 20 });
    let mut publisher = stream.publish().unwrap();
    let (socket, address) = receiver();
    let shape = Shape { codec: Some(Codec::H265), ..Shape::default() };
    let pixels = Pixels::with_program(stream.clone(), "/none".into(), Rules::default());
    let push = Push::start(&stream, address, &shape, RtpOptions::default(), &pixels, None);
    until(|| push.state() == PushState::Sending).await;
    publisher.set_tracks(vec![Track::video(Codec::Jpeg, None, Vec::new())]);
    publish(&mut publisher, 0, true, &Bytes::from_static(BASELINE));
    let words = "nothing here encodes h265";
    until(|| push.cause().is_some_and(|cause| cause.contains(words))).await;
    assert!(matches!(push.state(), PushState::Waiting { cause } if cause.contains(words)));
    publisher.set_tracks(vec![Track::video(Codec::H265, None, Vec::new())]);
    // It asks again after a second or two.
    until(|| push.state() == PushState::Sending).await;
    publish(&mut publisher, 3000, true, &slice(0x26, 200));
    // What is the camera's own begins with its last picture, which was a JPEG.
    while next_length(&socket).await != 12 + 200 {}
    assert_eq!(push.cause(), None);
}

async fn next_length(socket: &tokio::net::UdpSocket) -> usize {
    let received = tokio::time::timeout(Duration::from_secs(20), socket.recv(&mut [0; 2000])).await;
    received.expect("in time").unwrap()
}

#[tokio::test]
async fn targets_that_stay_go_on_and_others_end_and_begin() {
    let entry = |push| {
        let setup = crate::app::CameraSetup {
            name: "cam".parse().unwrap(),
            source_text: String::new(),
            source: crate::sources::build("pattern:?width=64&height=48&fps=50", &Default::default()).unwrap(),
            policy: ocelli_hub::Policy { on_demand: true, ..Default::default() },
            on_lost: ocelli_hub::OnLost::Picture,
            stage: None,
            bounds: Bounds { pieces: 4, bytes: 1 << 20 },
            push,
            rtp: RtpOptions::default(),
            pixels: Rules::default(),
            pixel_options: crate::config::PixelOptions::default(),
        };
        crate::app::CameraEntry::start(setup)
    };
    let ((_a, first), (_b, second)) = (receiver(), receiver());
    let camera = entry(vec![first.clone(), second.clone()]);
    let before = camera.pushes();
    until(|| before.iter().all(|push| push.stats().pictures() > 2)).await;
    let (_c, third) = receiver();
    camera.set_push(vec![third.clone(), second.clone()]);
    let after = camera.pushes();
    assert!(Arc::ptr_eq(&before[1], &after[1]));
    assert_eq!(after.iter().map(|push| push.address()).collect::<Vec<_>>(), [&third, &second]);
    let ended = Arc::downgrade(before[0].stats());
    drop(before);
    until(|| after.iter().all(|push| push.stats().pictures() > 5) && ended.strong_count() == 0).await;
    drop(after);
    camera.set_push(Vec::new());
    until(|| camera.stream().viewers() == 0).await;
}

/// A line whose socket is one that, unlike UDP's on loopback, is full at some time.
fn blocked_line() -> (Line, UnixDatagram, Burst) {
    let (from, to) = UnixDatagram::pair().unwrap();
    from.set_nonblocking(true).unwrap();
    to.set_nonblocking(true).unwrap();
    while from.send(&[0; 100]).is_ok() {}
    let pair = Pair { rtp: OwnedFd::from(from).into(), rtcp: None };
    let address = PushAddress::parse("rtp://127.0.0.1:5000").unwrap();
    let (picture, _) = Rewriter::new().rewrite(&Bytes::from_static(BASELINE)).unwrap();
    let burst = Burst::Jpeg(jpeg::Burst::new(&picture, 60_000).unwrap());
    (Line::new(pair, ([127, 0, 0, 1], 5000).into(), &address), to, burst)
}

const STAMP: Stamp = Stamp { payload_type: 26, sequence: 1, timestamp: 2, ssrc: 3 };

#[tokio::test]
async fn a_full_socket_is_waited_for_no_longer_than_a_picture_is_worth() {
    let (mut line, _to, burst) = blocked_line();
    let stats = PushStats::new(3);
    let began = std::time::Instant::now();
    let sent = line.send(&burst, STAMP, Duration::from_millis(30), &stats).await.unwrap();
    assert!(!sent.whole && stats.packets() == 0);
    assert!((Duration::from_millis(25)..Duration::from_secs(5)).contains(&began.elapsed()));
}

#[tokio::test]
async fn a_picture_goes_out_when_the_socket_has_room_again() {
    let (mut line, to, burst) = blocked_line();
    let stats = PushStats::new(3);
    let reading = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        while to.recv(&mut [0; 100]).is_ok() {}
    };
    let sending = line.send(&burst, STAMP, Duration::from_secs(20), &stats);
    let (sent, ()) = tokio::join!(sending, reading);
    assert!(sent.unwrap().whole && stats.packets() == 1);
    let mut packet = vec![0; 65_536];
    let length = to.recv(&mut packet).unwrap();
    assert_eq!((stats.bytes(), Packet::parse(&packet[..length]).unwrap().ssrc()), (length as u64, 3));
}
