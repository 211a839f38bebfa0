//! The UDP sockets of a camera's tracks: where their packets come to, whose are heard, where reports go.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ocelli_proto::rtsp::client::Way;
use tokio::net::UdpSocket;

use crate::udp::{Datagram, Inbox, Interface, Listen, Opened, join_group, listen};

/// Tracks of a camera: pictures and sound.
pub(super) const TRACKS: usize = 2;
/// Longest RTCP datagram that is read.
const RTCP_BYTES: usize = 2048;
/// How many batches are taken before somebody else gets a turn.
const MOST_BATCHES: usize = 16;
/// What opens the way for packets through routers between: the shortest RTP packet, of a payload type that is not used here.
const RTP_OPENER: [u8; 12] = [0x80, 127, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The same of RTCP: a report of nobody about nobody.
const RTCP_OPENER: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 0];

/// Sockets by track.
#[derive(Debug, Default)]
pub(super) struct Ports {
    rtp: [Option<Inbox>; TRACKS],
    rtcp: [Option<UdpSocket>; TRACKS],
    peers: [Option<Peer>; TRACKS],
    /// Datagrams of others than the camera.
    pub(super) strange: u64,
}

/// The camera's side of a track.
#[derive(Clone, Copy, Debug)]
struct Peer {
    /// Where packets may come from.
    from: [IpAddr; 2],
    /// The camera's RTP port, if it says it.
    rtp: Option<SocketAddr>,
    /// Where reports go, once that is known.
    rtcp: Option<SocketAddr>,
}

/// What came.
#[derive(Clone, Copy, Debug)]
pub(super) enum Came {
    /// RTP of this track: take it with [`Ports::take`].
    Rtp(usize),
    /// So many bytes of RTCP of this track.
    Rtcp(usize, usize),
}

/// Room for RTCP.
pub(super) type RtcpBuffer = [u8; RTCP_BYTES];
/// Nothing in it.
pub(super) const EMPTY_RTCP: RtcpBuffer = [0; RTCP_BYTES];

impl Ports {
    /// Binds a pair for `track` where the connection ends here: its numbers.
    ///
    /// # Errors
    /// None is free.
    pub(super) fn bind(&mut self, track: usize, local: SocketAddr) -> Result<(u16, u16), String> {
        let mut address = local;
        address.set_port(0);
        let Opened { rtp, rtcp } =
            listen(&Listen { address, rtcp_port: None, interface: None, source: None })?;
        self.keep(track, rtp, rtcp?)
    }

    /// Joins the group that a track is sent to, where the connection to the camera ends here.
    ///
    /// # Errors
    /// Why it cannot be joined.
    pub(super) fn join(
        &mut self,
        track: usize,
        local: SocketAddr,
        group: IpAddr,
        (rtp, rtcp): (u16, u16),
    ) -> Result<(), String> {
        let interface = Interface::Address(local.ip().to_canonical());
        let open = |port| join_group(SocketAddr::new(group, port), Some(&interface));
        self.keep(track, open(rtp)?, open(rtcp)?).map(drop)
    }

    fn keep(
        &mut self,
        track: usize,
        rtp: std::net::UdpSocket,
        rtcp: std::net::UdpSocket,
    ) -> Result<(u16, u16), String> {
        let failed = |error: io::Error| error.to_string();
        let port = |socket: &std::net::UdpSocket| socket.local_addr().map(|address| address.port());
        let numbers = (port(&rtp).map_err(failed)?, port(&rtcp).map_err(failed)?);
        let rtp = Inbox::new(rtp).map_err(failed)?;
        let rtcp = UdpSocket::from_std(rtcp).map_err(failed)?;
        (self.rtp[track], self.rtcp[track]) = (Some(rtp), Some(rtcp));
        Ok(numbers)
    }

    /// Closes all of them.
    pub(super) fn clear(&mut self) {
        *self = Self { strange: self.strange, ..Self::default() };
    }

    /// It is agreed where a track's packets come from: `peer` is the other end of the connection. The way for them is opened.
    pub(super) fn agree(&mut self, track: usize, peer: SocketAddr, way: &Way) {
        let at = |source: Option<IpAddr>, port: u16| {
            let mut address = peer;
            address.set_ip(source.unwrap_or(peer.ip()));
            address.set_port(port);
            address
        };
        let from =
            |source: Option<IpAddr>| [peer.ip().to_canonical(), source.unwrap_or(peer.ip()).to_canonical()];
        self.peers[track] = match *way {
            Way::Interleaved => None,
            Way::Udp { server, source } => Some(Peer {
                from: from(source),
                rtp: server.map(|(rtp, _)| at(source, rtp)),
                rtcp: server.map(|(_, rtcp)| at(source, rtcp)),
            }),
            Way::Multicast { group, rtcp, source, .. } => {
                Some(Peer { from: from(source), rtp: None, rtcp: Some(SocketAddr::new(group, rtcp)) })
            }
        };
        self.open_ways();
    }

    /// Sends the camera something from each port, so that routers between let its packets through.
    pub(super) fn open_ways(&self) {
        for (index, peer) in self.peers.iter().enumerate() {
            let Some(Peer { rtp: Some(rtp), rtcp: Some(rtcp), .. }) = peer else { continue };
            // What is lost of these is repeated, or not needed.
            if let (Some(inbox), Some(socket)) = (&self.rtp[index], &self.rtcp[index]) {
                let _ = inbox.socket().try_send_to(&RTP_OPENER, *rtp);
                let _ = socket.try_send_to(&RTCP_OPENER, *rtcp);
            }
        }
    }

    /// The port that the first track's packets come to.
    pub(super) fn listens(&self) -> Option<SocketAddr> {
        self.rtp.iter().flatten().next()?.socket().local_addr().ok()
    }

    /// Waits for what comes to any of them; for ever where there are none. Cancel-safe.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn receive(&mut self, buffer: &mut RtcpBuffer) -> io::Result<Came> {
        let Self { rtp: [first, second], rtcp, peers, strange } = self;
        loop {
            let (track, length, from) = tokio::select! {
                received = receive_rtp(first) => return received.map(|()| Came::Rtp(0)),
                received = receive_rtp(second) => return received.map(|()| Came::Rtp(1)),
                (track, length, from) = receive_rtcp(rtcp, buffer) => (track, length, from),
            };
            match &mut peers[track] {
                Some(peer) if peer.is_heard(from) => {
                    peer.rtcp.get_or_insert(from);
                    return Ok(Came::Rtcp(track, length));
                }
                _ => *strange += 1,
            }
        }
    }

    /// Gives `each` what has come to RTP's port of `track` from the camera, with when it came, and what comes meanwhile. `now` is the
    /// time since an origin.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn take(
        &mut self,
        track: usize,
        now: impl Fn() -> Duration,
        mut each: impl FnMut(Duration, SocketAddr, &[u8]),
    ) -> io::Result<()> {
        let (Some(inbox), Some(peer)) = (&mut self.rtp[track], &mut self.peers[track]) else { return Ok(()) };
        for batch in 1.. {
            let now = now();
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            for Datagram { from, bytes, arrived } in inbox.datagrams() {
                if !peer.is_heard(from) {
                    self.strange += 1;
                    continue;
                }
                if peer.rtcp.is_none() {
                    // The usual place (RFC 3550 11), until its own RTCP shows another.
                    let port = from.port().saturating_add(1);
                    peer.rtcp = Some(SocketAddr::new(from.ip(), port));
                }
                each(now.saturating_sub(waited(since_1970, arrived)), from, bytes);
            }
            // What was received must be looked at, so the bound comes first.
            if batch == MOST_BATCHES || !inbox.receive_more()? {
                break;
            }
        }
        Ok(())
    }

    /// Sends a report about `track`; what cannot be sent is repeated with the next one.
    pub(super) fn report(&self, track: usize, report: &[u8]) {
        if let (Some(socket), Some(Peer { rtcp: Some(to), .. })) = (&self.rtcp[track], &self.peers[track])
            && let Err(error) = socket.try_send_to(report, *to)
        {
            tracing::debug!(%to, "a report could not be sent: {error}");
        }
    }
}

impl Peer {
    fn is_heard(&self, from: SocketAddr) -> bool {
        self.from.contains(&from.ip().to_canonical())
    }
}

/// How long a datagram has waited in the kernel; a clock that was set meanwhile tells nothing.
fn waited(since_1970: Duration, arrived: Option<Duration>) -> Duration {
    let waited = arrived.map_or(Duration::ZERO, |at| since_1970.saturating_sub(at));
    if waited < Duration::from_secs(1) { waited } else { Duration::ZERO }
}

async fn receive_rtp(inbox: &mut Option<Inbox>) -> io::Result<()> {
    match inbox {
        Some(inbox) => inbox.receive().await,
        None => std::future::pending().await,
    }
}

/// A datagram of RTCP: of which track, how long, and from whom. For ever where there are no sockets.
async fn receive_rtcp(
    sockets: &[Option<UdpSocket>; TRACKS],
    buffer: &mut RtcpBuffer,
) -> (usize, usize, SocketAddr) {
    loop {
        let ready = async |track: usize| match &sockets[track] {
            Some(socket) => socket.readable().await,
            None => std::future::pending().await,
        };
        let track = tokio::select! {
            _ = ready(0) => 0,
            _ = ready(1) => 1,
        };
        // A port where nobody listens may be reported here, and is no reason to stop.
        if let Some(Ok((length, from))) = sockets[track].as_ref().map(|socket| socket.try_recv_from(buffer)) {
            return (track, length, from);
        }
    }
}
