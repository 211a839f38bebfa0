//! The targets of a sender: sockets that are emptied every few milliseconds, and what came to each.

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use anyhow::Context;

use super::cli::WatchOptions;
use super::flow::{Counts, Flow};
use super::udp::{self, Inbox, Wait};

/// Half a second of 1080p at 30 pictures a second, as the kernel counts memory: twice the bytes.
pub(super) const RECEIVE_BUFFER_BYTES: libc::c_int = 8 << 20;
/// How often the sockets are emptied: often enough for 300 pictures of 150 KB a second by far.
pub(super) const EMPTIED_EVERY: Duration = Duration::from_millis(5);
/// As much of a packet as its RTP header.
const HEADER_BYTES: usize = 12;

/// All targets.
pub(super) struct Sink {
    targets: Vec<Target>,
    inbox: Inbox,
    /// RTCP is taken and left unread: a closed port would cost the sender the refusals.
    reports: Vec<UdpSocket>,
    /// When pictures' last packets came to the first target, in microseconds since 1970; if that is asked for.
    pub(super) arrivals: Option<Vec<u64>>,
}

struct Target {
    socket: UdpSocket,
    flow: Flow,
    dropped_before: u64,
}

impl Sink {
    pub(super) fn open(options: &WatchOptions) -> anyhow::Result<Self> {
        let (mut targets, mut reports) = (Vec::new(), Vec::new());
        for index in 0..options.targets {
            let [packets, control] = options.target(index).map(|address| {
                let socket = UdpSocket::bind(address).with_context(|| format!("cannot bind {address}"))?;
                anyhow::Ok(socket)
            });
            let socket = packets?;
            udp::set_receive_buffer(&socket, RECEIVE_BUFFER_BYTES)?;
            if options.joined {
                udp::take_joined(&socket)?;
            }
            if options.camera_log.is_some() {
                udp::note_arrivals(&socket)?;
            }
            targets.push(Target { socket, flow: Flow::default(), dropped_before: 0 });
            reports.push(control?);
        }
        // Joined datagrams have to be read whole to find the headers in them; of others the header is enough.
        let inbox =
            if options.joined { Inbox::new(8, usize::from(u16::MAX)) } else { Inbox::new(64, HEADER_BYTES) };
        let arrivals = options.camera_log.as_ref().map(|_| Vec::new());
        Ok(Self { targets, inbox, reports, arrivals })
    }

    /// Takes what is there.
    pub(super) fn empty(&mut self) -> io::Result<()> {
        for (index, target) in self.targets.iter_mut().enumerate() {
            let arrivals = if index == 0 { self.arrivals.as_mut() } else { None };
            target.empty(&mut self.inbox, arrivals)?;
        }
        Ok(())
    }

    /// Takes the reports that came.
    pub(super) fn empty_reports(&mut self) -> io::Result<()> {
        for socket in &self.reports {
            while self.inbox.receive(socket, Wait::No)? > 0 {}
        }
        Ok(())
    }

    /// Counts from here.
    pub(super) fn begin(&mut self) {
        for target in &mut self.targets {
            target.flow.counts = Counts::default();
            target.dropped_before = udp::dropped(&target.socket).unwrap_or(0);
        }
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.clear();
        }
    }

    /// What came to each target since then, and how many packets its socket had no room for.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Counts, u64)> {
        self.targets.iter().map(|target| {
            let dropped = udp::dropped(&target.socket).unwrap_or(0).saturating_sub(target.dropped_before);
            (target.flow.counts, dropped)
        })
    }
}

impl Target {
    fn empty(&mut self, inbox: &mut Inbox, mut arrivals: Option<&mut Vec<u64>>) -> io::Result<()> {
        loop {
            let count = inbox.receive(&self.socket, Wait::No)?;
            if count == 0 {
                return Ok(());
            }
            for datagram in inbox.datagrams(count) {
                let Some(segment) = datagram.segment else {
                    self.packet(datagram.bytes, datagram.length, datagram.arrived, arrivals.as_deref_mut());
                    continue;
                };
                for packet in datagram.bytes.chunks(segment.max(1)) {
                    self.packet(packet, packet.len(), datagram.arrived, arrivals.as_deref_mut());
                }
            }
        }
    }

    fn packet(
        &mut self,
        bytes: &[u8],
        length: usize,
        arrived: Option<Duration>,
        arrivals: Option<&mut Vec<u64>>,
    ) {
        let last_of_picture = self.flow.packet(bytes, length);
        if let (true, Some(arrivals), Some(arrived)) = (last_of_picture, arrivals, arrived) {
            arrivals.push(arrived.as_micros() as u64);
        }
    }
}
