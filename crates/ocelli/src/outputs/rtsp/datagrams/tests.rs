//! Readers of streams that a test fills itself: what they get, and what they lose.

use std::time::{Duration, Instant};

use ocelli_hub::{Bounds, Publisher, Want};
use ocelli_media::{Codec, Frame, MediaTime, Track, TrackId};
use ocelli_proto::rtp::Packet;

use super::*;
use crate::outputs::rtsp::RtspBursts;
use crate::outputs::rtsp::numbers::SessionDrop;
use crate::outputs::rtsp::session::Sessions;
use crate::viewers::{ViewerKind, Viewers};

const BURSTS: RtspBursts = RtspBursts { packet_bytes: 700, recoder: None };
const GROUP: usize = 30;

fn stream() -> (Arc<Stream>, Publisher) {
    let stream = Stream::new("cam".parse().unwrap(), Bounds { pieces: 32, bytes: 64 << 20 });
    let mut publisher = stream.publish().unwrap();
    publisher.set_tracks(vec![Track::video(Codec::H264, None, Vec::new())]);
    (stream, publisher)
}

/// The picture of this number, one each three milliseconds, every thirtieth of which is a key. Its first slice is one packet, the other three.
fn publish(publisher: &mut Publisher, number: usize) {
    let slice = |kind: u8, length: usize| {
        [&(length as u32).to_be_bytes()[..], &[kind], &vec![number as u8; length - 1]].concat()
    };
    let (key, kind) = (number.is_multiple_of(GROUP), if number.is_multiple_of(GROUP) { 0x65 } else { 0x41 });
    let time = MediaTime::new(270 * number as i64, MediaTime::VIDEO_RATE);
    let data = [slice(kind, 100), slice(kind, 1500)].concat().into();
    publisher.push(Frame { track: TrackId::VIDEO, time, captured: None, key, data });
}

const PACKETS: usize = 4;

fn session(viewers: &Arc<Viewers>) -> Arc<Session> {
    let address = "127.0.0.1:1".parse().unwrap();
    let viewer = viewers.admit(ViewerKind::RtspUdp, "cam".parse().unwrap(), address, Arc::default()).unwrap();
    Arc::<Sessions>::default().enrol(viewer, None).session().clone()
}

/// A client at an address of loopback, and what is sent to it.
struct Client {
    /// All that came, read at once: sockets do not hold much.
    came: std::sync::mpsc::Receiver<Vec<u8>>,
    session: Arc<Session>,
    sending: Option<Sending>,
}

impl Client {
    fn begin(datagrams: &Datagrams, stream: &Arc<Stream>, viewers: &Arc<Viewers>) -> Self {
        let rtp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = rtp.local_addr().unwrap().port();
        let (to, came) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 2000];
            while let Ok(length) = rtp.recv(&mut buffer)
                && to.send(buffer[..length].to_vec()).is_ok()
            {}
        });
        let session = session(viewers);
        let here: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let sending = datagrams.begin(Begin {
            stream,
            session: &session,
            pieces: stream.derive(&BURSTS, Want::Live),
            first: None,
            reports: Vec::new(),
            local: here,
            peer: here,
            to: To::Ports(&[(0, (port, port + 1))]),
        });
        Self { came, session, sending: Some(sending.unwrap()) }
    }

    /// Waits for so many packets, which must follow one another; the number of the picture that each is of.
    async fn packets(&self, count: usize) -> Vec<u8> {
        let (mut pictures, mut expected) = (Vec::new(), None);
        let deadline = Instant::now() + Duration::from_secs(20);
        while pictures.len() < count {
            match self.came.try_recv() {
                Ok(packet) => {
                    let packet = Packet::parse(&packet).unwrap();
                    assert!(expected.is_none_or(|expected| expected == packet.sequence()));
                    expected = Some(packet.sequence().wrapping_add(1));
                    pictures.push(*packet.payload().last().unwrap());
                }
                Err(_) => {
                    assert!(Instant::now() < deadline, "{} of {count} packets came", pictures.len());
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
        pictures
    }
}

fn all_packets(pictures: std::ops::Range<usize>) -> Vec<u8> {
    pictures.flat_map(|number| [number as u8; PACKETS]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_come_at_any_time_get_each_packet_once_from_the_last_key_on() {
    let (stream, mut publisher) = stream();
    let (datagrams, viewers) = (Datagrams::new(None, None), Viewers::new(100));
    let _running = stream.derive(&BURSTS, Want::Live);
    let mut clients = Vec::new();
    for number in 0..80 {
        publish(&mut publisher, number);
        tokio::time::sleep(Duration::from_millis(3)).await;
        if number % 7 == 6 {
            clients.push((number / GROUP * GROUP, Client::begin(&datagrams, &stream, &viewers)));
        }
    }
    for (first, client) in &clients {
        let expected = all_packets(*first..80);
        assert_eq!(client.packets(expected.len()).await, expected);
        let sent = client.session.numbers.tracks_sent()[0];
        assert_eq!(sent.packets, expected.len() as u64);
        assert_eq!(
            (client.session.viewer.stats().frames(), client.session.viewer.stats().skipped()),
            (80 - *first as u64, 0)
        );
    }
    let feeds = || datagrams.feeds.lock().unwrap().iter().filter(|feed| feed.strong_count() > 0).count();
    assert_eq!(feeds(), 1, "one for all");
    clients.clear();
    assert_eq!(feeds(), 0);
}

#[tokio::test]
async fn a_reader_that_is_there_before_the_camera_begins_at_its_first_key_and_is_told() {
    let (stream, mut publisher) = stream();
    let (datagrams, viewers) = (Datagrams::new(None, None), Viewers::new(100));
    let mut client = Client::begin(&datagrams, &stream, &viewers);
    tokio::time::sleep(Duration::from_millis(20)).await;
    (28..32).for_each(|number| publish(&mut publisher, number));
    assert_eq!(client.packets(2 * PACKETS).await, all_packets(30..32));
    let sending = client.sending.as_mut().unwrap();
    let heard = std::future::poll_fn(|context| sending.poll_heard(context)).await;
    let Heard::Begins(piece) = heard else { panic!("{heard:?}") };
    assert!(piece.key);
    assert_eq!(client.session.viewer.stats().skipped(), 0, "what was before is not lost");
    drop(publisher);
    stream_ends(&stream, &mut client).await;
}

/// A camera that comes to be coded otherwise ends the stream.
async fn stream_ends(stream: &Arc<Stream>, client: &mut Client) {
    let mut publisher = stream.publish().unwrap();
    publisher.set_tracks(vec![Track::video(Codec::H265, None, Vec::new())]);
    let data = [&7_u32.to_be_bytes()[..], &[0x26, 1, 0, 0, 0, 0, 0]].concat().into();
    let time = MediaTime::new(0, MediaTime::VIDEO_RATE);
    publisher.push(Frame { track: TrackId::VIDEO, time, captured: None, key: true, data });
    let sending = client.sending.as_mut().unwrap();
    let heard = std::future::poll_fn(|context| sending.poll_heard(context));
    let heard = tokio::time::timeout(Duration::from_secs(20), heard).await.expect("in time");
    assert!(matches!(heard, Heard::Closed), "{heard:?}");
}

#[tokio::test]
async fn what_is_dropped_is_sent_no_more() {
    let (stream, mut publisher) = stream();
    let (datagrams, viewers) = (Datagrams::new(None, None), Viewers::new(100));
    let (mut leaves, stays) =
        (Client::begin(&datagrams, &stream, &viewers), Client::begin(&datagrams, &stream, &viewers));
    publish(&mut publisher, 0);
    leaves.packets(PACKETS).await;
    leaves.sending = None;
    (1..4).for_each(|number| publish(&mut publisher, number));
    assert_eq!(stays.packets(4 * PACKETS).await, all_packets(0..4));
    assert!(leaves.came.try_recv().is_err());
}

#[tokio::test]
async fn a_reader_that_loses_a_picture_loses_those_up_to_the_next_key_and_that_is_counted() {
    let (stream, mut publisher) = stream();
    let mut pieces = stream.derive(&BURSTS, Want::All);
    let session = session(&Viewers::new(1));
    let (tell, _heard) = mpsc::channel(WAITING);
    let here: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let mut member = Member {
        to: [Some(Destination::new(here, None)), None],
        ends: Ends::bind(false, None).unwrap(),
        audience: Audience::One(session.clone()),
        left: Arc::default(),
        begun: true,
        needs_key: None,
        sound: SoundSeen::default(),
        tell,
    };
    let mut wanted = Vec::new();
    for number in 30..61 {
        publish(&mut publisher, number);
        let ocelli_hub::Next::Piece(piece) = pieces.next().await.unwrap() else { panic!() };
        wanted.push(member.wants(&piece));
        if number == 30 {
            member.lose(&piece, SessionDrop::Socket);
        }
    }
    assert_eq!((wanted[0], wanted[30]), (true, true), "keys");
    assert!(wanted[1..30].iter().all(|wanted| !wanted));
    assert_eq!(session.viewer.stats().skipped(), 30);
    let drops = session.numbers.drops();
    assert!(
        drops.iter().all(|(why, count)| *count == if *why == SessionDrop::Socket { 30 } else { 0 }),
        "{drops:?}"
    );
}

#[tokio::test]
async fn reports_that_nobody_reads_in_time_are_counted_and_leave_room_for_the_end() {
    let session = session(&Viewers::new(1));
    let (tell, mut heard) = mpsc::channel(WAITING);
    for _ in 0..WAITING + 4 {
        let report = Heard::Report { track: 0, packet: Bytes::from_static(b"x") };
        super::ends::tell_report(&session, &tell, report);
    }
    assert_eq!(session.numbers.reports_dropped(), 8);
    tell.try_send(Heard::Closed).unwrap();
    let mut reports = 0;
    while let Heard::Report { .. } = heard.recv().await.unwrap() {
        reports += 1;
    }
    assert_eq!(reports, WAITING - 4);
}
