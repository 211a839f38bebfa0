//! `ocelli-load rtsp camera`: plays a clip to whoever asks, at its pace, and does nothing else.
//!
//! The floor of an RTSP server: packets are made beforehand and are the same for all, each picture costs each reader one `write` of
//! its connection, or as few sends as the kernel takes to cut (UDP_SEGMENT) of a socket of its own. One thread; between two
//! pictures it answers requests. A connection that has not taken a picture whole misses those that come until it has.
//!
//! For loopback and for tests: no password, one stream whatever the path, and what readers report is not read.

mod client;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use ocelli_proto::rtsp::auth::{Access, Gate, Verdict};
use ocelli_proto::rtsp::server::Settings;
use ocelli_proto::rtsp::{Limits, control};
use ocelli_proto::sdp::{Connection as Address, Description, Medium, Origin};
use rustix::process::{Signal, set_parent_process_death_signal};
use socket2::{Domain, Socket, Type};

use self::client::{Client, Outgoing};
use super::cli::CameraOptions;
use super::film::{Film, PAYLOAD_TYPE};
use crate::run::raise_file_limit;

const LISTENER: Token = Token(0);
const REPORTS: Token = Token(1);
const BACKLOG: i32 = 4096;

/// What all clients have in common.
struct Stage {
    film: Film,
    settings: Arc<Settings>,
    gate: Arc<Open>,
    /// RTCP is taken and left unread: a closed port would cost the answers.
    reports: UdpSocket,
    started: Instant,
}

/// Everybody may watch.
struct Open;

impl Gate for Open {
    fn check(&self, access: &Access<'_>) -> Verdict {
        if access.publish { Verdict::Forbidden } else { Verdict::Allowed }
    }
}

/// Serves until it is ended, at the latest with the one who started it.
pub(super) fn run(options: &CameraOptions) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    raise_file_limit();
    let film = &options.film;
    let film = Film::load(&film.file, film.packet_bytes(), film.frames_per_second, !film.unmarked)?;
    let listener = listen(options.listen).with_context(|| format!("cannot listen on {}", options.listen))?;
    println!("{}", listener.local_addr()?.port());
    let reports = UdpSocket::bind((options.listen.ip(), 0))?;
    reports.set_nonblocking(true)?;
    let stage = Stage {
        film,
        settings: Arc::new(settings()),
        gate: Arc::new(Open),
        reports,
        started: Instant::now(),
    };
    let interval = Duration::from_secs_f64(1.0 / options.film.frames_per_second.clamp(0.01, 10_000.0));
    Camera { stage, listener, poll: Poll::new()?, clients: HashMap::new(), next_token: 2 }.serve(interval)
}

fn settings() -> Settings {
    Settings {
        name: concat!("ocelli-load/", env!("CARGO_PKG_VERSION")).to_owned(),
        limits: Limits::default(),
        ..Settings::default()
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl Stage {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn description(&self, address: SocketAddr, base: &str, query: Option<&str>) -> String {
        let nowhere = Address::to(std::net::Ipv4Addr::UNSPECIFIED.into(), 0);
        let medium = Medium {
            control: Some(control(base, query, 0)),
            ..Medium::sent(&self.film.codec(), PAYLOAD_TYPE, nowhere, 0)
        };
        let description = Description {
            origin: Origin { session: 1, version: 1, address: address.ip() },
            name: "clip".to_owned(),
            control: Some("*".to_owned()),
            media: vec![medium],
        };
        description.to_string()
    }
}

struct Camera {
    stage: Stage,
    listener: TcpListener,
    poll: Poll,
    clients: HashMap<usize, Client>,
    next_token: usize,
}

impl Camera {
    /// A picture that is late is sent at once, and the next one when it was due anyway: as many are sent as ought to be.
    fn serve(mut self, interval: Duration) -> anyhow::Result<()> {
        use std::os::fd::AsRawFd;
        let descriptors = [(self.listener.as_raw_fd(), LISTENER), (self.stage.reports.as_raw_fd(), REPORTS)];
        for (descriptor, token) in descriptors {
            self.poll.registry().register(&mut SourceFd(&descriptor), token, Interest::READABLE)?;
        }
        let mut events = Events::with_capacity(1024);
        let mut due = Instant::now();
        loop {
            loop {
                // Who is ready is served even where every picture is late.
                let left = due.saturating_duration_since(Instant::now());
                match self.poll.poll(&mut events, Some(left)) {
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
                    _ => {}
                }
                for event in &events {
                    match event.token() {
                        LISTENER => self.accept()?,
                        REPORTS => self.forget_reports(),
                        Token(index) => self.event(index),
                    }
                }
                if Instant::now() >= due {
                    break;
                }
            }
            self.send();
            due += interval;
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((socket, from)) => {
                    let token = self.next_token;
                    self.next_token += 1;
                    let mut client = Client::new(socket, from, token, &self.stage)?;
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    self.poll.registry().register(&mut client.socket, Token(token), interest)?;
                    self.clients.insert(token, client);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Gone before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn forget_reports(&self) {
        let mut report = [0; 1500];
        while self.stage.reports.recv(&mut report).is_ok() {}
    }

    fn event(&mut self, index: usize) {
        let Some(client) = self.clients.get_mut(&index) else { return };
        if client.serve(&self.stage).is_err() {
            self.clients.remove(&index);
        }
    }

    /// The next picture, to everybody who plays.
    fn send(&mut self) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = self.stage.film.timestamp();
        let packet_bytes = self.stage.film.packet_bytes();
        let picture = self.stage.film.advance(wall);
        let outgoing = Outgoing { picture, packet_bytes, timestamp, wall };
        self.clients.retain(|_, client| client.send(&outgoing).is_ok());
    }
}
