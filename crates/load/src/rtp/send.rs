//! `ocelli-load rtp send`: the packets of a clip's pictures, at their pace, to each target in turn, and nothing else.
//!
//! No event loop, no second thread. What is left beside the system calls is the sleep until the next picture and four
//! numbers in each packet's header.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::cli::{SendOptions, StreamOptions, Way};
use super::film::{Film, Numbers};
use super::udp;
use crate::clip::Clip;
use crate::pace::Pace;

/// What one UDP datagram can hold over IPv4, which bounds what the kernel takes to cut.
const MOST_BYTES_A_SEND: usize = 65_507;
/// The fewest pieces that every kernel cuts a send into.
const MOST_SEGMENTS_A_SEND: usize = 64;

/// Sends until it is ended, at the latest with the one who started it.
pub(super) fn run(options: &SendOptions) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let mut film = film(&options.stream)?;
    let mut targets = (0..options.targets)
        .map(|index| Target::new(&options.stream, index))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut reel = options.read.then(|| Reel::open(&options.stream)).transpose()?;
    let mut pace = Pace::new(options.stream.frames_per_second, Instant::now());
    for index in 0.. {
        wait(&mut pace);
        if let Some(reel) = &mut reel {
            reel.read(film.picture(index).file_bytes, film.is_first(index))?;
        }
        for target in &mut targets {
            target.send(&mut film, index)?;
        }
    }
    Ok(())
}

/// Sleeps until the next picture is due.
pub(super) fn wait(pace: &mut Pace) {
    while let Some(left) = pace.wait(Instant::now()) {
        std::thread::sleep(left.min(Duration::from_secs(1)));
    }
}

pub(super) fn film(stream: &StreamOptions) -> anyhow::Result<Film> {
    Film::new(&Clip::load(&stream.file)?, stream.packet_bytes(), stream.frames_per_second)
}

/// One receiver of the pictures.
#[derive(Debug)]
pub(super) struct Target {
    socket: UdpSocket,
    way: Way,
    numbers: Numbers,
}

impl Target {
    pub(super) fn new(stream: &StreamOptions, index: u16) -> anyhow::Result<Self> {
        let to = stream.target(index);
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(to).with_context(|| format!("cannot reach {to}"))?;
        if stream.way == Way::Segments {
            let packet_bytes = u16::try_from(stream.packet_bytes()).context("packets too long")?;
            udp::cut_sends(&socket, packet_bytes).context("the kernel cuts no UDP sends: use another way")?;
        }
        let numbers = Numbers { source: 0x0CE1_0000 + u32::from(index), sequence: 0, timestamp: 0 };
        Ok(Self { socket, way: stream.way, numbers })
    }

    /// Sends picture number `index`. A receiver that is not there is no error.
    pub(super) fn send(&mut self, film: &mut Film, index: usize) -> io::Result<()> {
        let packet_bytes = film.packet_bytes();
        let picture = film.picture(index);
        picture.stamp(packet_bytes, &mut self.numbers);
        let outcome = self.send_packets(&picture.bytes, packet_bytes);
        film.advance(&mut self.numbers);
        outcome.or_else(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Ok(()),
            _ => Err(error),
        })
    }

    fn send_packets(&self, packets: &[u8], packet_bytes: usize) -> io::Result<()> {
        let bytes_a_call = match self.way {
            Way::Batch => return udp::send_batch(&self.socket, packets, packet_bytes),
            Way::Segments => (MOST_BYTES_A_SEND / packet_bytes).min(MOST_SEGMENTS_A_SEND) * packet_bytes,
            Way::Single => packet_bytes,
        };
        packets.chunks(bytes_a_call).try_for_each(|part| self.socket.send(part).map(drop))
    }
}

/// The clip's file, read picture by picture into the same memory.
struct Reel {
    file: File,
    at: u64,
    picture: Vec<u8>,
}

impl Reel {
    fn open(stream: &StreamOptions) -> io::Result<Self> {
        Ok(Self { file: File::open(&stream.file)?, at: 0, picture: Vec::new() })
    }

    fn read(&mut self, bytes: usize, from_start: bool) -> io::Result<()> {
        if from_start {
            self.at = 0;
        }
        if self.picture.len() < bytes {
            self.picture.resize(bytes, 0);
        }
        self.file.read_exact_at(&mut self.picture[..bytes], self.at)?;
        self.at += bytes as u64;
        Ok(())
    }
}
