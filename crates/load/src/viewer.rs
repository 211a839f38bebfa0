//! One viewer: a connection, what is spoken on it, and the record of what came.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mio::net::TcpStream;
use socket2::{Domain, Protocol as Ip, Socket, Type};

use crate::protocol::{Picture, Protocol, Wants};
use crate::record::Record;

/// How a viewer treats what the server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Reads all there is, at once.
    Prompt,
    /// Reads at a steady rate, as over a slow line.
    Slow { bytes_per_second: u64, receive_buffer: usize },
    /// Asks and never reads.
    Stalled,
}

/// Where a viewer is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting,
    Watching,
    Over,
}

/// A viewer and all its state.
pub(crate) struct Viewer {
    pub(crate) manner: Manner,
    pub(crate) phase: Phase,
    pub(crate) record: Record,
    pub(crate) socket: TcpStream,
    protocol: Box<dyn Protocol>,
    /// What is left of the request.
    request: Vec<u8>,
    opened: Instant,
    /// Bytes a slow viewer may read now.
    allowance: f64,
}

/// What a thread's viewers share, so that a viewer itself stays small.
pub(crate) struct Scratch {
    buffer: Vec<u8>,
    pictures: Vec<Picture>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; 1 << 20], pictures: Vec::new() }
    }
}

impl Viewer {
    pub(crate) fn connect(
        address: SocketAddr,
        protocol: Box<dyn Protocol>,
        manner: Manner,
    ) -> io::Result<Self> {
        let opened = Instant::now();
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Ip::TCP))?;
        if let Manner::Slow { receive_buffer, .. } = manner {
            socket.set_recv_buffer_size(receive_buffer)?;
        }
        socket.set_nonblocking(true)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        let socket = TcpStream::from_std(socket.into());
        let request = protocol.request();
        let record = Record::default();
        let phase = Phase::Connecting;
        Ok(Self { manner, phase, record, socket, protocol, request, opened, allowance: 0.0 })
    }

    /// The socket can be written: sends what is left of the request. The viewer watches once it is out.
    pub(crate) fn writable(&mut self) -> io::Result<()> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        while !self.request.is_empty() {
            match self.socket.write(&self.request) {
                Ok(written) => drop(self.request.drain(..written)),
                Err(error) if waits(&error) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.socket.peer_addr()?;
        self.phase = Phase::Watching;
        Ok(())
    }

    /// Gives a slow viewer its due for the time that has passed. A tenth of a second's worth can be saved up.
    pub(crate) fn allow(&mut self, seconds: f64) {
        if let Manner::Slow { bytes_per_second, .. } = self.manner {
            let rate = bytes_per_second as f64;
            self.allowance = (self.allowance + rate * seconds).min(rate / 10.0);
        }
    }

    /// Reads what its manner lets it read now; returns the pictures and bytes of pictures that came.
    pub(crate) fn readable(&mut self, scratch: &mut Scratch, measured: bool) -> io::Result<(u64, u64)> {
        let mut budget = match self.manner {
            Manner::Prompt => usize::MAX,
            Manner::Slow { .. } => self.allowance as usize,
            Manner::Stalled => 0,
        };
        let mut came = (0, 0);
        while budget > 0 {
            let wants = self.protocol.wants();
            let asked = match wants {
                Wants::Bytes(bytes) | Wants::Skip(bytes) => bytes.min(budget).min(scratch.buffer.len()),
            };
            let buffer = &mut scratch.buffer[..asked];
            let read = match wants {
                Wants::Bytes(_) => self.socket.read(buffer),
                Wants::Skip(_) => discard(&self.socket, buffer),
            };
            let read = match read {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the server closed the connection",
                    ));
                }
                Ok(read) => read,
                Err(error) if waits(&error) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            budget = budget.saturating_sub(read);
            self.allowance -= read as f64;
            match wants {
                Wants::Skip(_) => self.protocol.skipped(read),
                Wants::Bytes(_) => {
                    let outcome = self.protocol.received(&scratch.buffer[..read], &mut scratch.pictures);
                    let now = Instant::now();
                    for picture in scratch.pictures.drain(..) {
                        came = (came.0 + 1, came.1 + picture.bytes);
                        self.record.first_picture.get_or_insert(now - self.opened);
                        self.record.picture(&picture, now, wall_micros(), measured);
                    }
                    outcome.map_err(io::Error::other)?;
                }
            }
            // Less than asked for: the socket is empty, and its next bytes raise a new event.
            if read < asked {
                break;
            }
        }
        Ok(came)
    }

    /// No more from this one.
    pub(crate) fn fail(&mut self, cause: &io::Error) {
        self.phase = Phase::Over;
        self.record.failure = Some(cause.to_string());
    }
}

/// Takes bytes off the socket without copying them: Linux drops them in the kernel (`MSG_TRUNC`, tcp(7)).
fn discard(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let flags = if cfg!(target_os = "linux") {
        rustix::net::RecvFlags::TRUNC
    } else {
        rustix::net::RecvFlags::empty()
    };
    let (_, read) = rustix::net::recv(socket, buffer, flags)?;
    Ok(read)
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}

fn wall_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}
