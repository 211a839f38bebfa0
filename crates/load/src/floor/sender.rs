//! The bare sender: at every beat one `writev` of head and picture a connection, and nothing else.
//!
//! No event loop, no tasks, no shared state. A connection that did not take its picture whole is polled for room until
//! the next beat; one that has still not taken it then misses that beat, as with any server that stays live.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockRef, Socket, Type};

use crate::cli::SenderOptions;
use crate::pace::Pace;
use crate::stamp::Stamp;

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n";

/// Serves until stdin ends.
pub(crate) fn run(options: &SenderOptions) -> anyhow::Result<()> {
    let clip = options.clip()?;
    let listener = listen(options).context("cannot listen on loopback")?;
    println!("{}", listener.local_addr()?.port());
    let mut connections: Vec<Connection> = Vec::new();
    let mut pace = Pace::new(options.frames_per_second, Instant::now());
    let mut part = Part::default();
    for sequence in 0.. {
        while let Some(left) = pace.wait(Instant::now()) {
            if !wait_for_room(&listener, &mut connections, &part, left)? {
                return Ok(());
            }
        }
        connections.iter_mut().for_each(|connection| connection.keep_rest(&part));
        part.fill(clip.picture(sequence as usize), sequence);
        accept(&listener, &mut connections, options)?;
        for connection in &mut connections {
            connection.begin(&part);
        }
        connections.retain(|connection| !connection.closed);
    }
    Ok(())
}

fn listen(options: &SenderOptions) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    if options.send_buffer > 0 {
        socket.set_send_buffer_size(options.send_buffer)?; // inherited by what is accepted
    }
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn accept(
    listener: &TcpListener,
    connections: &mut Vec<Connection>,
    options: &SenderOptions,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((socket, _)) => connections.push(Connection::new(socket, options)?),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Until the next beat: sends on where a connection has room again, takes new connections. False once stdin has ended.
fn wait_for_room(
    listener: &TcpListener,
    connections: &mut [Connection],
    part: &Part,
    left: Duration,
) -> io::Result<bool> {
    let stdin = io::stdin();
    let behind: Vec<usize> = (0..connections.len()).filter(|at| connections[*at].left > 0).collect();
    let mut waits = vec![PollFd::new(&stdin, PollFlags::IN), PollFd::new(listener, PollFlags::empty())];
    waits.extend(behind.iter().map(|at| PollFd::new(&connections[*at].socket, PollFlags::OUT)));
    let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    match poll(&mut waits, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let stdin_ready = !waits[0].revents().is_empty();
    let ready: Vec<usize> = behind
        .iter()
        .zip(&waits[2..])
        .filter(|(_, wait)| !wait.revents().is_empty())
        .map(|(at, _)| *at)
        .collect();
    for at in ready {
        connections[at].send(part);
    }
    Ok(!stdin_ready || stdin.lock().read(&mut [0; 64])? > 0)
}

/// What every connection is sent at a beat.
#[derive(Debug, Default)]
struct Part {
    head: Vec<u8>,
    picture: Vec<u8>,
}

impl Part {
    fn fill(&mut self, picture: &[u8], sequence: u32) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stamp = Stamp { sequence, written_micros: now.as_micros() as u64 }.segment();
        let (body, end) = picture.split_at(picture.len() - 2);
        self.picture.clear();
        for bytes in [body, &stamp, end, b"\r\n"] {
            self.picture.extend_from_slice(bytes);
        }
        self.head.clear();
        // A write into a Vec cannot fail.
        let _ = write!(
            self.head,
            "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\nX-Timestamp: {}.{:06}\r\n\r\n",
            self.picture.len() - 2,
            now.as_secs(),
            now.subsec_micros()
        );
    }

    fn length(&self) -> usize {
        self.head.len() + self.picture.len()
    }
}

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    /// Bytes of its part that the socket has not taken.
    left: usize,
    /// Those bytes, once the next beat has come before they went: they have to be finished, unchanged.
    rest: Vec<u8>,
    closed: bool,
}

impl Connection {
    fn new(socket: TcpStream, options: &SenderOptions) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        if options.not_sent_low_water > 0 {
            SockRef::from(&socket).set_tcp_notsent_lowat(options.not_sent_low_water)?;
        }
        (&socket).write_all(RESPONSE)?;
        Ok(Self { socket, left: 0, rest: Vec::new(), closed: false })
    }

    fn begin(&mut self, part: &Part) {
        if self.left == 0 {
            self.left = part.length();
            self.send(part);
        }
    }

    fn keep_rest(&mut self, part: &Part) {
        if self.left > 0 && self.rest.is_empty() {
            let whole = [part.head.as_slice(), &part.picture].concat();
            self.rest = whole[whole.len() - self.left..].to_vec();
        }
    }

    fn send(&mut self, part: &Part) {
        if !self.rest.is_empty() {
            let outcome = self.socket.write_vectored(&[IoSlice::new(&self.rest)]);
            let written = self.written(outcome);
            self.rest.drain(..written);
            return;
        }
        let sent = part.length() - self.left;
        let head = part.head.get(sent..).unwrap_or_default();
        let picture = part.picture.get(sent.saturating_sub(part.head.len())..).unwrap_or_default();
        let outcome = self.socket.write_vectored(&[IoSlice::new(head), IoSlice::new(picture)]);
        self.written(outcome);
    }

    fn written(&mut self, outcome: io::Result<usize>) -> usize {
        let written = match outcome {
            Ok(written) => written,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(_) => {
                self.closed = true;
                0
            }
        };
        self.left -= written;
        written
    }
}
