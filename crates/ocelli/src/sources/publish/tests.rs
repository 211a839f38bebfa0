//! Publishers on a stage, in simulated time and over real sockets.

use std::time::Duration;

use bytes::Bytes;
use ocelli_hub::{Bounds, Item, Stream, Subscriber, Want};
use ocelli_media::{Codec, Frame};
use ocelli_proto::rtp::Stamp;
use ocelli_proto::rtp::nal::{Burst, Format};
use ocelli_proto::sdp::Description;
use tokio::task::JoinHandle;

use ocelli_proto::rtsp::auth::Credentials;

use super::*;
use crate::sources::received::{Chosen, choose};
use crate::udp::{Listen, listen};

const VIDEO: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
                     a=fmtp:96 sprop-parameter-sets=Z0LAH9kAUAW7ARAAAAMAEAAAAwPA8YMkgA==,aMuMsg==\r\n";

fn stage(source: &str) -> Arc<Stage> {
    Stage::of(source).expect("a publish source")
}

fn place(ports: Option<Ports>) -> Place {
    let chosen: Vec<Chosen> = choose(&Description::parse(VIDEO.as_bytes()).unwrap()).unwrap();
    let tracks = chosen.into_iter().map(|chosen| PublishedTrack { chosen, ports: None }).collect();
    let mut place = Place {
        from: "127.0.0.1:40000".parse().unwrap(),
        program: Some("a test".to_owned()),
        tracks,
        passed_over: None,
    };
    place.tracks[0].ports = ports;
    place
}

/// The packets of a keyframe of `length` bytes, the `number`th.
fn key(number: u16, length: usize) -> Vec<Bytes> {
    let data: Bytes = [&(length as u32).to_be_bytes()[..], &[0x65], &vec![0x88; length - 1]].concat().into();
    let burst = Burst::new(Format::H264, &data, 1000).unwrap();
    let (sequence, timestamp) = (number * 100, u32::from(number) * 3000);
    let mut headers = Vec::new();
    burst.stamp(Stamp { payload_type: 96, sequence, timestamp, ssrc: 7 }, &mut headers);
    burst.packets(&headers).map(|(header, payload)| [header, payload].concat().into()).collect()
}

/// Runs the source once for `stage`; what it gives, and why it ended.
fn run(stage: &Arc<Stage>) -> (Arc<Stream>, Subscriber, JoinHandle<SourceError>) {
    let stream = Stream::new("cam".parse().unwrap(), Bounds { pieces: 8, bytes: 1 << 20 });
    let (mut out, reader) = (stream.publish().unwrap(), stream.subscribe(Want::All));
    let mut source = stage.source(&SourceOptions::default());
    let task = tokio::spawn(async move { source.run(&mut out).await.unwrap_err() });
    (stream, reader, task)
}

async fn frame(reader: &mut Subscriber) -> Frame {
    loop {
        match tokio::time::timeout(Duration::from_secs(20), reader.next()).await.expect("in time").unwrap() {
            Item::Frame(frame) => return frame,
            Item::Tracks(tracks) => assert_eq!(tracks[0].codec, Codec::H264),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_a_source_may_say_is_checked_and_its_password_is_not_shown() {
    let error = |text| Stage::new(&SourceUrl::parse(text).unwrap()).unwrap_err().to_string();
    assert!(error("publish:?user=u").contains("belong together"));
    assert!(error("publish:?user=u&password=").contains("neither is empty"));
    assert!(error("publish:?pasword=x").contains("did you mean `password`"));
    assert!(error("publish://host/cam").contains("write `publish:` alone"));
    let shown = format!("{:?}", stage("publish:?user=u&password=secret"));
    assert!(!shown.contains("secret"), "{shown}");
    assert!(stage("publish://").is_open_to_all() && Stage::of("pattern:").is_none());
}

#[test]
fn who_may_publish_is_who_has_the_password() {
    let basic = |text: &'static str| Credentials::parse(text, "ANNOUNCE").unwrap();
    // me:secret, and me:wrong.
    let (right, wrong) = (basic("Basic bWU6c2VjcmV0"), basic("Basic bWU6d3Jvbmc="));
    let closed = stage("publish:?user=me&password=secret");
    assert!(closed.admits(Some(&right)) && !closed.admits(Some(&wrong)) && !closed.admits(None));
    let open = stage("publish:");
    assert!(open.admits(None) && open.admits(Some(&wrong)));
}

#[test]
fn few_may_have_ports_before_they_send() {
    let stage = stage("publish:");
    let mut leaves: Vec<_> = (0..8).map(|_| stage.prepare().unwrap()).collect();
    assert!(stage.prepare().is_none());
    leaves.pop();
    assert!(stage.prepare().is_some());
}

#[tokio::test]
async fn where_no_server_runs_nobody_is_waited_for() {
    let stream = Stream::new("cam".parse().unwrap(), Bounds { pieces: 8, bytes: 1 << 20 });
    let mut source = super::super::build("publish:", &SourceOptions::default()).unwrap();
    let error = source.run(&mut stream.publish().unwrap()).await.unwrap_err();
    assert_eq!(error, SourceError::refused("only a running server can be published to"));
}

#[tokio::test]
async fn one_publishes_at_a_time_and_the_next_goes_on() {
    let stage = stage("publish:");
    stage.open("rtsp://h:8554/cam".to_owned());
    let from = place(None).from;
    // The first comes before the source runs.
    let first = stage.enter(place(None)).unwrap();
    for bytes in key(1, 5000) {
        first.give(Packet { track: 0, rtcp: false, bytes }).await;
    }
    let (stream, mut reader, ended) = run(&stage);
    let picture = frame(&mut reader).await;
    assert!(picture.key && picture.data.len() > 5000);
    assert_eq!(stage.enter(place(None)).unwrap_err(), Occupied(from));
    assert_eq!(stage.occupied(), Some(Occupied(from)));
    first.leave("it has said goodbye".to_owned());
    let why = SourceError::silent("the publisher at 127.0.0.1:40000 is gone: it has said goodbye");
    assert_eq!(ended.await.unwrap(), why);
    assert_eq!((stage.occupied(), stream.stats().network.unwrap().packets), (None, 6));

    let second = stage.enter(place(None)).unwrap();
    let (_stream, mut reader, ended) = run(&stage);
    // Packets that belong to no track are passed over.
    second.give(Packet { track: 9, rtcp: false, bytes: Bytes::from_static(&[0x80, 96, 0, 1]) }).await;
    second.give(Packet { track: 9, rtcp: true, bytes: Bytes::from_static(&[0x80, 200]) }).await;
    for bytes in key(1, 1500) {
        second.give(Packet { track: 0, rtcp: false, bytes }).await;
    }
    frame(&mut reader).await;
    drop(second);
    assert_eq!(ended.await.unwrap(), SourceError::silent("the publisher at 127.0.0.1:40000 is gone"));
}

#[tokio::test(start_paused = true)]
async fn one_that_sends_nothing_is_given_up_and_told_why() {
    let stage = stage("publish:");
    stage.open("rtsp://h:8554/cam".to_owned());
    let mut seat = stage.enter(place(None)).unwrap();
    let (_stream, _reader, ended) = run(&stage);
    let why = "the publisher at 127.0.0.1:40000 sent no pictures for 10 s";
    assert_eq!(ended.await.unwrap(), SourceError::silent(why));
    assert_eq!((&mut seat.over).await.as_deref(), Ok(why));
    // Halves of pictures are none.
    drop(seat);
    let seat = stage.enter(place(None)).unwrap();
    let (_stream, _reader, ended) = run(&stage);
    let began = tokio::time::Instant::now();
    for number in 1..100 {
        for bytes in key(number, 5000).into_iter().take(2) {
            seat.give(Packet { track: 0, rtcp: false, bytes }).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        if ended.is_finished() {
            break;
        }
    }
    let SourceError::Silent(why) = ended.await.unwrap() else { panic!("not silent") };
    assert!(
        why.starts_with("packets come from the publisher at 127.0.0.1:40000, but no whole picture in 30 s: "),
        "{why}"
    );
    assert!(began.elapsed() < Duration::from_secs(32), "{:?}", began.elapsed());
}

#[tokio::test]
async fn by_udp_only_the_publishers_own_packets_are_taken() {
    let stage = stage("publish:");
    stage.open("rtsp://h:8554/cam".to_owned());
    let address = "127.0.0.1:0".parse().unwrap();
    let opened = listen(&Listen { address, rtcp_port: None, interface: None, source: None }).unwrap();
    let (own, stranger) =
        ["127.0.0.1:0", "127.0.0.2:0"].map(|address| std::net::UdpSocket::bind(address).unwrap()).into();
    let to = opened.rtp.local_addr().unwrap();
    let rtcp = opened.rtcp.unwrap();
    let peer_rtcp = own.local_addr().unwrap();
    let seat = stage.enter(place(Some(Ports { rtp: opened.rtp, rtcp, peer_rtcp }))).unwrap();
    let (stream, mut reader, ended) = run(&stage);
    for (index, packet) in key(1, 5000).iter().enumerate() {
        stranger.send_to(&key(2, 5000)[index], to).unwrap();
        own.send_to(packet, to).unwrap();
    }
    frame(&mut reader).await;
    assert!(seat.was_heard());
    // It is reported to.
    own.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut report = [0; 200];
    let length = tokio::task::spawn_blocking(move || own.recv(&mut report).map(|length| (length, report)));
    let (length, report) = length.await.unwrap().unwrap();
    assert!(length >= 8 && report[1] == 201, "{:?}", &report[..length]);
    seat.leave("enough".to_owned());
    ended.await.unwrap();
    let path = stream.stats().network.unwrap();
    assert_eq!((path.listens, path.packets, path.strange), (Some(to), 6, 6));
}
