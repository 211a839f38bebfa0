//! The server's ends: a port for RTP and one for RTCP, of each family of addresses, shared by all readers.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::Heard;
use crate::outputs::rtsp::session::Session;
use crate::udp::{Destination, Interface, PairOptions, Parcel, Progress, bind_shared, fan_out};

/// A compound packet of 31 blocks and a name of 255 bytes fits.
pub(super) const DATAGRAM_BYTES: usize = 1500;
/// Reports that wait for their session; the newest is lost where there are more.
pub(super) const WAITING: usize = 16;
/// Of these, what reports leave free.
const KEPT_FREE: usize = 4;

/// Sockets of one family.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) kind: Kind,
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: Arc<tokio::net::UdpSocket>,
    routes: Arc<Mutex<HashMap<SocketAddr, Route>>>,
    listening: Option<AbortHandle>,
}

/// To whom packets go from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// To readers with addresses of IPv4.
    Ipv4,
    /// To readers with addresses of IPv6.
    Ipv6,
    /// To a group.
    Group,
}

/// To whom what an address sends is given.
#[derive(Debug)]
struct Route {
    track: u8,
    session: Arc<Session>,
    to: mpsc::Sender<Heard>,
}

/// An address whose RTCP is given to a session, until it is dropped.
#[derive(Debug)]
pub(super) struct Routed {
    ends: Arc<Ends>,
    from: SocketAddr,
    to: mpsc::Sender<Heard>,
}

impl Ends {
    /// Binds them. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn bind(ipv6: bool, port: Option<u16>) -> io::Result<Arc<Self>> {
        let any: IpAddr = if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let options = PairOptions { local_port: port, ..PairOptions::default() };
        let (rtp, rtcp) = bind_shared((any, 0).into(), &options)?;
        let rtcp = Arc::new(tokio::net::UdpSocket::from_std(rtcp)?);
        let routes = Arc::<Mutex<HashMap<SocketAddr, Route>>>::default();
        let listening = Some(tokio::spawn(listen(rtcp.clone(), routes.clone())).abort_handle());
        let kind = if ipv6 { Kind::Ipv6 } else { Kind::Ipv4 };
        Ok(Arc::new(Self { kind, rtp, rtcp, routes, listening }))
    }

    /// Binds those from which a group is sent to.
    ///
    /// # Errors
    /// The system's: an interface that is not there.
    pub(super) fn to_group(
        group: SocketAddr,
        interface: Option<&Interface>,
        ttl: u8,
    ) -> io::Result<Arc<Self>> {
        let options = PairOptions { interface: interface.cloned(), ttl: Some(ttl), ..PairOptions::default() };
        let (rtp, rtcp) = bind_shared(group, &options)?;
        let rtcp = Arc::new(tokio::net::UdpSocket::from_std(rtcp)?);
        Ok(Arc::new(Self { kind: Kind::Group, rtp, rtcp, routes: Arc::default(), listening: None }))
    }

    /// The ports of RTP and RTCP.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn ports(&self) -> io::Result<(u16, u16)> {
        Ok((self.rtp.local_addr()?.port(), self.rtcp.local_addr()?.port()))
    }

    /// Gives what comes from `from` to `to`, about `track` of `session`. Who had it before has lost its ports to another program of its machine,
    /// and is told.
    pub(super) fn route(
        self: &Arc<Self>,
        from: SocketAddr,
        track: u8,
        session: &Arc<Session>,
        to: &mpsc::Sender<Heard>,
    ) -> Routed {
        let route = Route { track, session: session.clone(), to: to.clone() };
        let before = lock(&self.routes).insert(from, route);
        if let Some(before) = before.filter(|before| !before.to.same_channel(to)) {
            let _ = before.to.try_send(Heard::Displaced);
        }
        Routed { ends: self.clone(), from, to: to.clone() }
    }

    /// Sends a report. One that cannot go at once is not worth waiting for.
    pub(super) fn report(&self, to: &Destination, report: &[u8]) {
        let mut parcel = Parcel::default();
        parcel.lay(std::iter::once(report));
        if let Err(error) = fan_out(&*self.rtcp, &parcel, 0..1, 1, |_| to, &mut Progress::default()) {
            tracing::debug!("a report was not sent: {error}");
        }
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

impl Drop for Routed {
    fn drop(&mut self) {
        let mut routes = lock(&self.ends.routes);
        if routes.get(&self.from).is_some_and(|route| route.to.same_channel(&self.to)) {
            routes.remove(&self.from);
        }
    }
}

/// Gives out what comes. Strangers' is thrown away.
async fn listen(socket: Arc<tokio::net::UdpSocket>, routes: Arc<Mutex<HashMap<SocketAddr, Route>>>) {
    let mut datagram = [0; DATAGRAM_BYTES];
    loop {
        let received = match socket.recv_from(&mut datagram).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!("no report could be read: {error}");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let (length, from) = received;
        let routes = lock(&routes);
        if let Some(Route { track, session, to }) = routes.get(&canonical(from)) {
            let packet = Bytes::copy_from_slice(&datagram[..length]);
            tell_report(session, to, Heard::Report { track: *track, packet });
        }
    }
}

/// Gives a session's task a report, if there is room for it: reports are repeated. What says that a session is over is not, and room is
/// kept for it.
pub(super) fn tell_report(session: &Session, to: &mpsc::Sender<Heard>, report: Heard) {
    if to.capacity() <= KEPT_FREE || to.try_send(report).is_err() {
        session.numbers.report_dropped();
    }
}

/// As a connection's address is known: without the name of a flow.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(mut address) => {
            address.set_flowinfo(0);
            match address.ip().to_canonical() {
                IpAddr::V4(ip) => (ip, address.port()).into(),
                IpAddr::V6(_) => address.into(),
            }
        }
        address => address,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
