//! One reader: a connection, perhaps two ports, what is said, and the record of what came.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

use super::conversation::{Conversation, Refused, Step, Way};
use super::mark::HEAD_BYTES;
use super::record::{Now, Record, Times};
use super::wire::{Found, Wire, WireError};
use crate::rtp::udp::{self, Inbox, Wait};

/// Two seconds of 4 Mbit/s as the kernel counts memory, with as much again to spare: a server may begin with all that came
/// since the last keyframe.
const RECEIVE_BUFFER_BYTES: i32 = 4 << 20;
const DATAGRAMS_AT_ONCE: usize = 64;
/// Pairs of ports to try.
const MOST_PORTS: usize = 100;

/// How a reader treats what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Reads all there is.
    Prompt,
    /// Reads its connection at a steady rate, as over a slow line.
    Slow { bytes_per_second: u64 },
    /// Reads nothing any more once it plays.
    Stalled,
}

/// What a reader is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) manner: Manner,
    /// Packets come in datagrams.
    pub(super) udp: bool,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// A reader and all its state.
pub(super) struct Reader {
    pub(super) job: Job,
    pub(super) record: Record,
    pub(super) socket: TcpStream,
    pub(super) datagrams: Option<Datagrams>,
    pub(super) is_over: bool,
    wire: Wire,
    conversation: Conversation,
    out: Vec<u8>,
    opened: Instant,
    last_said: Instant,
    connected: bool,
    /// Bytes that a slow reader may read now.
    allowance: f64,
}

/// What the readers of a thread share.
pub(super) struct Scratch {
    buffer: Vec<u8>,
    inbox: Inbox,
    pub(super) times: Times,
}

impl Scratch {
    pub(super) fn new() -> Self {
        let inbox = Inbox::new(DATAGRAMS_AT_ONCE, HEAD_BYTES);
        Self { buffer: vec![0; 256 << 10], inbox, times: Times::default() }
    }
}

impl Reader {
    pub(super) fn connect(url: &str, address: SocketAddr, job: Job) -> io::Result<Self> {
        let opened = Instant::now();
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if let Manner::Slow { .. } | Manner::Stalled = job.manner {
            // Small, so that what a server does about it is seen soon.
            socket.set_recv_buffer_size(64 << 10)?;
        }
        socket.set_nonblocking(true)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        let datagrams = job.udp.then(|| Datagrams::open(address.ip())).transpose()?;
        let way = datagrams.as_ref().map_or(Way::Tcp, |ports| Way::Udp(ports.port, ports.port + 1));
        let mut conversation = Conversation::new(url, way);
        let out = conversation.begin();
        Ok(Self {
            job,
            record: Record::default(),
            socket: TcpStream::from_std(socket.into()),
            datagrams,
            is_over: false,
            wire: Wire::new(),
            conversation,
            out,
            opened,
            last_said: opened,
            connected: false,
            allowance: 0.0,
        })
    }

    /// Whether pictures are asked for and none has been refused.
    pub(super) fn is_playing(&self) -> bool {
        !self.is_over && self.conversation.step() == Step::Playing
    }

    /// The socket takes bytes.
    pub(super) fn writable(&mut self) -> io::Result<()> {
        if !self.connected {
            if let Some(error) = self.socket.take_error()? {
                return Err(error);
            }
            match self.socket.peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
                outcome => drop(outcome?),
            }
            self.connected = true;
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.socket.write(&self.out) {
                Ok(written) => drop(self.out.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives a slow reader its due for the time that has passed. A tenth of a second's worth can be saved up.
    pub(super) fn allow(&mut self, seconds: f64) {
        if let Manner::Slow { bytes_per_second } = self.job.manner {
            let rate = bytes_per_second as f64;
            self.allowance = (self.allowance + rate * seconds).min(rate / 10.0);
        }
    }

    /// Reads what its manner lets it read of the connection.
    pub(super) fn readable(&mut self, scratch: &mut Scratch, now: Now) -> io::Result<()> {
        loop {
            let budget = match self.job.manner {
                Manner::Slow { .. } if self.is_playing() => self.allowance as usize,
                Manner::Stalled if self.is_playing() => 0,
                _ => usize::MAX,
            };
            let most = scratch.buffer.len().min(budget);
            if most == 0 {
                return Ok(());
            }
            let read = match self.socket.read(&mut scratch.buffer[..most]) {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the server closed the connection",
                    ));
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.allowance -= read as f64;
            self.take(&scratch.buffer[..read], now, &mut scratch.times).map_err(io::Error::other)?;
            self.flush()?;
            // Less than asked for: the socket is empty, and its next bytes raise a new event.
            if read < most {
                return Ok(());
            }
        }
    }

    fn take(&mut self, bytes: &[u8], now: Now, times: &mut Times) -> Result<(), Failure> {
        let Self { wire, record, conversation, out, opened, last_said, .. } = self;
        wire.feed(bytes, |found| {
            match found {
                // Odd channels carry RTCP.
                Found::Packet { channel, head, length } if channel & 1 == 0 => {
                    record.packet(head, length, now.at - *opened, now, times);
                }
                Found::Packet { .. } => {}
                Found::Response(response) => {
                    out.extend(conversation.answer(&response)?);
                    *last_said = now.at;
                }
            }
            Ok(())
        })
    }

    /// Takes the datagrams that came.
    pub(super) fn datagrams(&mut self, scratch: &mut Scratch, now: Now) -> io::Result<()> {
        let (Some(ports), opened) = (&self.datagrams, self.opened) else { return Ok(()) };
        loop {
            let count = scratch.inbox.receive(&ports.rtp, Wait::No)?;
            for datagram in scratch.inbox.datagrams(count) {
                let (head, length) = (datagram.bytes, datagram.length);
                self.record.packet(head, length, now.at - opened, now, &mut scratch.times);
            }
            if count < DATAGRAMS_AT_ONCE {
                return Ok(());
            }
        }
    }

    /// Once a second or so: shows the server that somebody is there, and throws its reports away.
    pub(super) fn tend(&mut self, scratch: &mut Scratch, now: Instant) -> io::Result<()> {
        if self.is_playing() && now - self.last_said > self.conversation.timeout() / 3 {
            self.last_said = now;
            let request = self.conversation.alive();
            self.out.extend(request);
            self.flush()?;
        }
        if let Some(ports) = &self.datagrams {
            while scratch.inbox.receive(&ports.rtcp, Wait::No)? > 0 {}
        }
        Ok(())
    }

    /// Says goodbye, as far as the socket takes it at once.
    pub(super) fn say_goodbye(&mut self) {
        let request = self.conversation.end();
        self.out.extend(request);
        // It leaves anyway.
        let _ = self.flush();
    }

    /// Counts from here.
    pub(super) fn begin(&mut self) {
        self.record.begin();
        if let Some(ports) = &mut self.datagrams {
            ports.dropped_before = udp::dropped(&ports.rtp).unwrap_or(0);
        }
    }

    /// No more from this one.
    pub(super) fn end(&mut self, failure: Option<&io::Error>) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        self.record.failure = failure.map(io::Error::to_string);
        if let Some(ports) = &self.datagrams {
            let dropped = udp::dropped(&ports.rtp).unwrap_or(0);
            self.record.dropped_by_reader = dropped.saturating_sub(ports.dropped_before);
        }
    }

    /// Since the call to connect.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now - self.opened
    }
}

/// Two neighbouring ports.
pub(super) struct Datagrams {
    pub(super) rtp: UdpSocket,
    rtcp: UdpSocket,
    port: u16,
    dropped_before: u64,
}

impl Datagrams {
    fn open(server: IpAddr) -> io::Result<Self> {
        let any = if server.is_ipv4() { "127.0.0.1" } else { "::1" };
        let any: IpAddr = any.parse().map_err(io::Error::other)?;
        for _ in 0..MOST_PORTS {
            let rtp = UdpSocket::bind((any, 0))?;
            let port = rtp.local_addr()?.port();
            if port % 2 == 1 {
                continue;
            }
            let Ok(rtcp) = UdpSocket::bind((any, port + 1)) else { continue };
            udp::set_receive_buffer(&rtp, RECEIVE_BUFFER_BYTES)?;
            rtp.set_nonblocking(true)?;
            rtcp.set_nonblocking(true)?;
            return Ok(Self { rtp, rtcp, port, dropped_before: 0 });
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no two free neighbouring ports"))
    }
}
