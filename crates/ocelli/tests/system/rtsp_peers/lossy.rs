//! A bad network between an RTSP client and a server, in front of which it stands: it exchanges the ports of their transports for
//! its own, and loses, delays and repeats the RTP packets that then come through it. RTCP passes untouched, both ways.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::programs::free_port;
use crate::relay::{Counts, Faults, Relay};

/// One between any number of clients and a server, until it is dropped.
pub(super) struct Lossy {
    port: u16,
    state: Arc<State>,
}

struct State {
    server: SocketAddr,
    faults: Faults,
    relays: Mutex<Vec<Relay>>,
    ended: AtomicBool,
}

/// The ports of one track, RTP's and RTCP's, on the server's side and on the client's.
struct Track {
    client: [u16; 2],
    to_server: [UdpSocket; 2],
    to_client: [UdpSocket; 2],
}

impl Lossy {
    pub(super) fn start(server: SocketAddr, faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state =
            Arc::new(State { server, faults, relays: Mutex::default(), ended: AtomicBool::default() });
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                connect(&shared, &client);
            }
        });
        Self { port, state }
    }

    /// Where clients find it.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What it has done with the RTP packets of all tracks.
    pub(super) fn counts(&self) -> Counts {
        let relays = self.state.relays.lock().unwrap();
        relays.iter().map(Relay::counts).fold(Counts::default(), |sum, counts| Counts {
            passed: sum.passed + counts.passed,
            lost: sum.lost + counts.lost,
            late: sum.late + counts.late,
            ..sum
        })
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn connect(state: &Arc<State>, client: &TcpStream) {
    let Ok(server) = TcpStream::connect(state.server) else { return };
    // Set up by a request, and to be completed by its answer.
    let pending = Arc::<Mutex<Option<Track>>>::default();
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let asked = pending.clone();
    std::thread::spawn(move || {
        each_head(from, to, |line| match ports(line, "client_port=") {
            Some(client) => {
                let track = Track { client, to_server: pair(), to_client: pair() };
                let line = exchange(line, "client_port=", of(&track.to_server));
                *asked.lock().unwrap() = Some(track);
                line
            }
            None => line.to_owned(),
        });
    });
    let (from, to, state) = (server, client.try_clone().unwrap(), state.clone());
    std::thread::spawn(move || {
        each_head(from, to, |line| {
            let Some(server) = ports(line, "server_port=") else { return line.to_owned() };
            let Some(track) = pending.lock().unwrap().take() else { return line.to_owned() };
            let line = exchange(line, "client_port=", track.client);
            let line = exchange(&line, "server_port=", of(&track.to_client));
            relay(&state, track, server);
            line
        });
    });
}

fn relay(state: &Arc<State>, track: Track, server: [u16; 2]) {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let [rtp, rtcp] = track.to_server;
    let [by, rtcp_by] = track.to_client;
    state.relays.lock().unwrap().push(Relay::between(
        rtp,
        by,
        None,
        vec![local(track.client[0])],
        state.faults,
    ));
    forward(state, &rtcp, &rtcp_by, local(track.client[1]));
    forward(state, &rtcp_by, &rtcp, local(server[1]));
}

/// Sends on what comes to `from`, as it is.
fn forward(state: &Arc<State>, from: &UdpSocket, by: &UdpSocket, to: SocketAddr) {
    let (from, by, state) = (from.try_clone().unwrap(), by.try_clone().unwrap(), state.clone());
    from.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while !state.ended.load(Ordering::Relaxed) {
            if let Ok(length) = from.recv(&mut buffer) {
                let _ = by.send_to(&buffer[..length], to);
            }
        }
    });
}

/// Passes on all messages, their lines exchanged by `line`, until one side closes.
fn each_head(mut from: TcpStream, mut to: TcpStream, mut line: impl FnMut(&str) -> String) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(length) if length > 0 => bytes.extend_from_slice(&buffer[..length]),
            _ => break,
        }
        while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let is_length = |name: &&str| name.to_ascii_lowercase().starts_with("content-length:");
            let length = head.split("\r\n").find(is_length).map(|line| line[15..].trim().parse().unwrap());
            let all = end + 4 + length.unwrap_or(0);
            if bytes.len() < all {
                break;
            }
            let lines: Vec<_> = head.split("\r\n").map(&mut line).collect();
            let mut message = (lines.join("\r\n") + "\r\n\r\n").into_bytes();
            message.extend_from_slice(&bytes[end + 4..all]);
            if to.write_all(&message).is_err() {
                break;
            }
            bytes.drain(..all);
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// The two ports behind `name` in a line.
fn ports(line: &str, name: &str) -> Option<[u16; 2]> {
    let (_, rest) = line.split_once(name)?;
    let (first, second) = rest.split(';').next()?.split_once('-')?;
    Some([first.trim().parse().ok()?, second.trim().parse().ok()?])
}

fn exchange(line: &str, name: &str, [first, second]: [u16; 2]) -> String {
    let Some((before, rest)) = line.split_once(name) else { return line.to_owned() };
    let behind = rest.find(';').map_or("", |at| &rest[at..]);
    format!("{before}{name}{first}-{second}{behind}")
}

/// Two sockets at neighbouring ports, the first even.
fn pair() -> [UdpSocket; 2] {
    let port = free_port();
    [port, port + 1].map(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap())
}

fn of(sockets: &[UdpSocket; 2]) -> [u16; 2] {
    sockets.each_ref().map(|socket| socket.local_addr().unwrap().port())
}
