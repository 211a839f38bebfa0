//! Our sender, a bad network, our receiver: what is shown was sent so, whatever is lost, late or comes twice.

use std::collections::HashSet;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ocelli_media::jpeg::rewrite::Rewriter;
use tempfile::TempDir;

use super::corpus;
use crate::client::Viewer;
use crate::programs::{directory, free_port, installed};
use crate::relay::{Faults, Relay};
use crate::server::Server;

/// A folder of pictures, and the files that they are when they have been sent.
fn film(directory: &TempDir, size: (usize, usize)) -> HashSet<Vec<u8>> {
    let folder = directory.path().join("film");
    fs::create_dir(&folder).unwrap();
    let mut files = HashSet::new();
    for quality in 60..68 {
        let jpeg = corpus::of_quality(directory, size, quality);
        fs::write(folder.join(format!("{quality}.jpg")), &jpeg).unwrap();
        let (picture, _) = Rewriter::new().rewrite(&jpeg.into()).unwrap();
        files.insert(picture.rebuild().to_vec());
    }
    assert_eq!(files.len(), 8);
    files
}

/// A server that shows the film 25 times a second and pushes it to each address.
fn sender(directory: &TempDir, push: &[String]) -> Server {
    let folder = directory.path().join("film");
    Server::configured(&format!(
        "[cameras.sent]\nsource = \"file:{}?fps=25&loop=1\"\npush = {push:?}\n",
        folder.display()
    ))
}

fn receiver(port: u16) -> Server {
    Server::configured(&format!(
        "[cameras.shown]\nsource = \"rtp://127.0.0.1:{port}?codec=jpeg\"\non_lost = \"hold\"\n"
    ))
}

/// Watches for so long. How many pictures were shown.
fn watch(server: &Server, sent: &HashSet<Vec<u8>>, time: Duration) -> u64 {
    server.until_state("shown", "ready");
    let mut viewer: Viewer = server.watch("shown");
    let (end, mut shown) = (Instant::now() + time, 0);
    while let Some(part) = viewer.next_before(end) {
        assert!(sent.contains(&part.data[..]), "picture {shown}, of {} bytes, was not sent", part.data.len());
        shown += 1;
    }
    shown
}

#[test]
fn only_whole_pictures_come_through_a_bad_network() {
    if !installed(&["cjpeg"]) {
        return;
    }
    let directory = directory();
    let sent = film(&directory, (320, 240));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let push = format!("rtp://{}?mtu=700", socket.local_addr().unwrap());
    let port = free_port();
    let shown_at = SocketAddr::from(([127, 0, 0, 1], port));
    let receiver = receiver(port);
    let relay = Relay::start(socket, None, vec![shown_at], Faults { lost: 5, late: 60, twice: 20 });
    let sender = sender(&directory, &[push]);

    let shown = watch(&receiver, &sent, Duration::from_secs(4));
    let (counts, stats) = (relay.counts(), receiver.stats_of("shown"));
    assert!(counts.lost > 5 && shown > 20, "{shown} shown, {counts:?}, {stats}");
    let network = &stats["network"];
    let number = |name: &str| network[name].as_u64().unwrap();
    assert!(number("lost") > 0 && number("duplicate") > 0, "{stats}");
    assert_eq!((number("strange"), number("unusable"), number("senders")), (0, 0, 1), "{stats}");
    assert!(stats["dropped_by_reason"]["lost"].as_u64().unwrap() > 0, "{stats}");
    assert_eq!(stats["restarts"], 0, "{stats}");
    sender.stop();
    receiver.stop();
}

/// Begins each sender's numbers anew until one has a timestamp at most four minutes before its wrap, and gives its SSRC.
fn begin_near_the_wrap(directory: &TempDir, socket: &UdpSocket) -> (Server, u32) {
    const FOUR_MINUTES: u32 = 240 * 90_000;
    let to = socket.local_addr().unwrap();
    let push: Vec<_> = (1..=64).map(|ssrc| format!("rtp://{to}?ssrc={ssrc}")).collect();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut buffer = vec![0; 65_536];
    for _ in 0..100 {
        let server = sender(directory, &push);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(500) {
            let Ok(length) = socket.recv(&mut buffer) else { continue };
            let word = |at: usize| u32::from_be_bytes(buffer[at..at + 4].try_into().unwrap());
            if length > 12 && word(4) > u32::MAX - FOUR_MINUTES {
                return (server, word(8));
            }
        }
        server.stop();
    }
    panic!("no sender began near the wrap of its timestamps");
}

/// Sequence numbers wrap every minute here, timestamps once in thirteen hours: of many senders, whose numbers begin at
/// random, one is soon found that is about to.
#[test]
#[ignore = "takes ten minutes: cargo test -p ocelli --test system -- --ignored ten_minutes"]
fn ten_minutes_across_both_wraps() {
    let directory = directory();
    let sent = film(&directory, (640, 480));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (sender, ssrc) = begin_near_the_wrap(&directory, &socket);
    // The others are no longer needed; this one goes on.
    let kept = format!("{{\"push\": [\"rtp://{}?ssrc={ssrc}\"]}}", socket.local_addr().unwrap());
    let answer = crate::client::request(
        sender.address(),
        &format!(
            "PATCH /api/v1/cameras/sent HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{kept}",
            kept.len()
        ),
    );
    assert_eq!(answer.status, 200, "{}", answer.error());

    let port = free_port();
    let receiver = receiver(port);
    let shown_at = SocketAddr::from(([127, 0, 0, 1], port));
    let relay = Relay::start(socket, Some(ssrc), vec![shown_at], Faults { lost: 1, late: 20, twice: 10 });
    let shown = watch(&receiver, &sent, Duration::from_secs(600));
    let (counts, stats) = (relay.counts(), receiver.stats_of("shown"));
    eprintln!("{shown} of 15000 pictures shown, {counts:?}\n{stats:#}");
    assert!(counts.timestamp_wraps == 1 && counts.sequence_wraps >= 3, "{counts:?}");
    assert!(shown > 12_000, "{shown} shown, {counts:?}, {stats}");
    let network = &stats["network"];
    assert_eq!((&network["senders"], &network["strange"]), (&1.into(), &0.into()), "{stats}");
    assert_eq!(stats["restarts"], 0, "{stats}");
    sender.stop();
    receiver.stop();
}
