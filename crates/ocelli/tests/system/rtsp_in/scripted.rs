//! A camera whose answers are written here: one that agrees to what it does not do.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ocelli_media::jpeg::rewrite::Rewriter;
use ocelli_proto::rtp::jpeg::{Burst, PAYLOAD_TYPE};
use ocelli_proto::rtp::{Header, Stamp};

use crate::server::picture;

/// What it sends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Sends {
    /// It agrees to TCP, and then sends nothing.
    ByUdpOnly,
    /// It refuses TCP by a status that means something else.
    ByUdpAndRefusesTcp,
    /// Its first keyframe comes after seven seconds.
    AKeyframeLate,
    /// Somebody at another address sends to the same port.
    ByUdpBesideAStranger,
    /// What nobody reads.
    SomethingElse,
}

/// A camera that runs until it is dropped.
pub(super) struct Scripted {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    connections: AtomicUsize,
    asked_for_tcp: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

impl Scripted {
    pub(super) fn start(sends: Sends) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let camera = Self { address, shared: shared.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.over.load(Ordering::Relaxed) {
                    return;
                }
                shared.connections.fetch_add(1, Ordering::Relaxed);
                shared.open.lock().unwrap().push(stream.try_clone().unwrap());
                let shared = shared.clone();
                thread::spawn(move || serve(stream, sends, &shared));
            }
        });
        camera
    }

    pub(super) fn address(&self) -> String {
        format!("rtsp://{}/stream", self.address)
    }

    /// Connections that it has had.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How often it was asked to send within the connection.
    pub(super) fn asked_for_tcp(&self) -> usize {
        self.shared.asked_for_tcp.load(Ordering::Relaxed)
    }

    /// Closes all connections.
    pub(super) fn close(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.close();
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers one connection until it ends.
fn serve(mut stream: TcpStream, sends: Sends, shared: &Shared) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let sending = Arc::<AtomicBool>::default();
    let mut to = None;
    while let Some(first) = lines.next() {
        let fields: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let field = |name: &str| fields.iter().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let (mut status, mut more, mut body) = ("200 OK", String::new(), "");
        match first.split(' ').next().unwrap_or_default() {
            "DESCRIBE" => {
                body = description(sends);
                more = "Content-Type: application/sdp\r\n".to_owned();
            }
            "SETUP" => {
                let transport = field("Transport: ");
                more = format!("Session: 1;timeout=60\r\nTransport: {transport}");
                match transport.split_once("client_port=") {
                    Some((_, ports)) => {
                        let port = ports.split(['-', ';']).next().unwrap().parse().unwrap();
                        to = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
                        more.push_str(";server_port=6970-6971");
                    }
                    None if sends == Sends::ByUdpAndRefusesTcp => status = "400 Bad Request",
                    None => drop(shared.asked_for_tcp.fetch_add(1, Ordering::Relaxed)),
                }
                more.push_str("\r\n");
            }
            "PLAY" => {
                if let Some(to) = to {
                    send(to, sends, sending.clone());
                }
            }
            _ => {}
        }
        let length = body.len();
        let answer = format!(
            "RTSP/1.0 {status}\r\nCSeq: {}\r\n{more}Content-Length: {length}\r\n\r\n{body}",
            field("CSeq: ")
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            break;
        }
    }
    sending.store(true, Ordering::Relaxed);
}

fn description(sends: Sends) -> &'static str {
    match sends {
        Sends::SomethingElse => {
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 MP4V-ES/90000\r\n\
             m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n"
        }
        Sends::AKeyframeLate => {
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
             a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAH9kAUAW7ARAAAAMAEAAAAwPA8YMkgA==,aMuMsg==\r\n"
        }
        Sends::ByUdpOnly | Sends::ByUdpAndRefusesTcp | Sends::ByUdpBesideAStranger => {
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:track1\r\n"
        }
    }
}

/// Sends the same picture, twenty times a second, until it is `over`.
fn send(to: SocketAddr, sends: Sends, over: Arc<AtomicBool>) {
    let mut senders = vec![UdpSocket::bind("127.0.0.1:0").unwrap()];
    if sends == Sends::ByUdpBesideAStranger {
        // Of the same machine, at another address.
        senders.push(UdpSocket::bind("127.0.0.2:0").unwrap());
    }
    let start = Instant::now();
    let jpeg = jpeg();
    thread::spawn(move || {
        let payload_type = if sends == Sends::AKeyframeLate { 96 } else { PAYLOAD_TYPE };
        let mut stamp = Stamp { payload_type, sequence: 1, timestamp: 0, ssrc: 7 };
        while !over.load(Ordering::Relaxed) {
            let packets = match sends {
                Sends::AKeyframeLate => vec![slice(stamp, start.elapsed() > Duration::from_secs(7))],
                _ => stamped(&jpeg, stamp),
            };
            for packet in &packets {
                for socket in &senders {
                    let _ = socket.send_to(packet, to);
                }
            }
            stamp.sequence = stamp.sequence.wrapping_add(packets.len() as u16);
            stamp.timestamp = stamp.timestamp.wrapping_add(4500);
            thread::sleep(Duration::from_millis(50));
        }
    });
}

fn jpeg() -> Burst {
    let jpeg = std::fs::read(picture("baseline.jpg")).unwrap();
    let (picture, _) = Rewriter::new().rewrite(&Bytes::from(jpeg)).unwrap();
    Burst::new(&picture, 1200).unwrap()
}

fn stamped(burst: &Burst, stamp: Stamp) -> Vec<Vec<u8>> {
    let mut headers = Vec::new();
    burst.stamp(stamp, &mut headers);
    burst.packets(&headers).map(|(header, payload)| [header, payload].concat()).collect()
}

/// A picture of H.264 in one packet, whose slice means nothing.
fn slice(stamp: Stamp, key: bool) -> Vec<u8> {
    let Stamp { payload_type, sequence, timestamp, ssrc } = stamp;
    let header = Header { marker: true, payload_type, sequence, timestamp, ssrc }.to_bytes();
    [&header[..], &[if key { 0x65 } else { 0x41 }, 0x88, 1, 2, 3]].concat()
}
