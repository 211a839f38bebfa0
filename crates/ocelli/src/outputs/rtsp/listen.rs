//! Connections come: counted, and refused where there are too many.
//!
//! One address has so many connections and no more, whatever they are for. A connection is half open until its first whole
//! request, which must come in ten seconds. Who opens many at once is served: only those that have been half open for more than
//! a second count against the limit of their address.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Outcome, Refused, RtspOptions, Server, connection};
use crate::app::App;
use crate::http::tune;

/// How long to wait when the machine has no file descriptor left for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may be half open before it counts.
const PROMPT: Duration = Duration::from_secs(1);

/// Serves the cameras of `app` on `listener`. Dropping the future closes every connection.
pub async fn serve(listener: TcpListener, app: Arc<App>, options: RtspOptions) {
    let server = Server::new(app, options);
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                accept_failed(&error).await;
                continue;
            }
        };
        server.app.rtsp.connections.accept();
        let (place, half_open) = match server.enter(peer.ip()) {
            Ok(places) => places,
            Err(why) => {
                server.app.rtsp.count(Outcome::Refused(why));
                tracing::debug!(%peer, limit = why.as_str(), "RTSP connection refused: too many are open");
                continue;
            }
        };
        if let Err(error) = tune(&stream) {
            tracing::debug!(%peer, "socket options refused: {error}");
        }
        let open = server.app.rtsp.connections.clone().enter();
        let server = server.clone();
        tasks.spawn(async move {
            let outcome = connection::run(server.clone(), stream, peer, half_open).await;
            server.app.rtsp.count(outcome);
            drop((place, open));
        });
    }
}

async fn accept_failed(error: &io::Error) {
    // What the kernel reports of one connection that is gone already says nothing of the next.
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!("an RTSP connection could not be accepted: {error}");
    tokio::time::sleep(EXHAUSTED_PAUSE).await;
}

impl Server {
    /// Places for a connection of `address`.
    ///
    /// # Errors
    /// There is none: which limit is reached.
    fn enter(&self, address: IpAddr) -> Result<(Place, HalfOpen), Refused> {
        if self.app.rtsp.connections.open() >= self.options.connections {
            return Err(Refused::Connections);
        }
        let place = self.addresses.enter(address).ok_or(Refused::PerAddress)?;
        let half_open = self.doorway.enter(address, Instant::now()).ok_or(Refused::HalfOpen)?;
        Ok((place, half_open))
    }
}

/// How many connections each address has.
pub(super) struct Addresses {
    most: usize,
    /// Those that have one.
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place among those of its address, until it is dropped.
struct Place {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    /// None yet, and `most` of one address.
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: Mutex::default() }
    }

    /// A place for a connection of `address`; `None` if it has as many as it may have.
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = site(address);
        let mut open = self.lock();
        let count = open.entry(address).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { addresses: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.addresses.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// The half-open connections.
pub(super) struct Doorway {
    per_address: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next_id: u64,
    /// In the order in which they came.
    half_open: BTreeMap<u64, (IpAddr, Instant)>,
}

/// A connection's place among the half-open ones, until it is dropped.
pub(super) struct HalfOpen {
    doorway: Arc<Doorway>,
    id: u64,
}

impl Doorway {
    pub(super) fn new(per_address: usize) -> Self {
        Self { per_address, waiting: Mutex::default() }
    }

    /// A place for a connection of `address`; `None` if too many of that address are half open.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<HalfOpen> {
        let address = site(address);
        let mut waiting = self.lock();
        let old = waiting.half_open.values().take_while(|(_, since)| now.duration_since(*since) > PROMPT);
        if old.filter(|(of, _)| *of == address).count() >= self.per_address {
            return None;
        }
        let id = waiting.next_id;
        waiting.next_id += 1;
        waiting.half_open.insert(id, (address, now));
        Some(HalfOpen { doorway: self.clone(), id })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.doorway.lock().half_open.remove(&self.id);
    }
}

/// What counts as one address: of IPv6 the network that one site has.
pub(super) fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_that_stay_half_open_count_and_only_for_their_address() {
        let doorway = Arc::new(Doorway::new(2));
        let start = Instant::now();
        let [one, other] = ["10.0.0.1", "::ffff:10.0.0.2"].map(|address| address.parse().unwrap());
        let mut many: Vec<_> = (0..100).map(|_| doorway.enter(one, start).unwrap()).collect();
        let later = start + Duration::from_millis(1100);
        assert!(doorway.enter(one, later).is_none());
        assert!(doorway.enter(other, later).is_some());
        many.truncate(1);
        assert!(doorway.enter(one, later).is_some());
        drop(many);
        assert!(doorway.lock().half_open.is_empty());
    }

    #[test]
    fn an_address_has_so_many_connections_and_nothing_is_left_of_those_that_went() {
        let addresses = Arc::new(Addresses::new(2));
        let [one, same, other] =
            ["2001:db8:1:2::5", "2001:db8:1:2::6", "10.0.0.2"].map(|address| address.parse().unwrap());
        let mut places = vec![addresses.enter(one).unwrap(), addresses.enter(same).unwrap()];
        assert!(addresses.enter(one).is_none());
        assert!(addresses.enter(other).is_some());
        places.pop();
        places.push(addresses.enter(one).unwrap());
        drop(places);
        assert!(addresses.lock().is_empty());
    }

    #[test]
    fn addresses_of_one_network_are_one_site() {
        let site = |text: &str| super::site(text.parse().unwrap());
        assert_eq!(site("2001:db8:1:2::5"), site("2001:db8:1:2:ffff::1"));
        assert_ne!(site("2001:db8:1:2::5"), site("2001:db8:1:3::5"));
        assert_eq!(site("::ffff:10.0.0.2"), site("10.0.0.2"));
        assert_ne!(site("10.0.0.3"), site("10.0.0.2"));
    }
}
