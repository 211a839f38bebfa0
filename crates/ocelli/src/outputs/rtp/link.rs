//! The way to a target: its address looked up, its sockets opened, and both again when they fail.
//!
//! A host name is looked up again when sending fails, soon after the host has refused packets, and once a minute all the
//! same: an address that has moved away is silent. Tries wait longer and longer, as cameras' do.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ocelli_hub::{Backoff, BoxFuture};
use tokio::time::Sleep;

use super::address::PushAddress;
use super::line::Line;
use crate::udp::{Pair, bind_pair};

/// How often a name is looked up while all is well.
const LOOK_UP_EVERY: Duration = Duration::from_secs(60);
/// How soon it is looked up while the host refuses packets.
const LOOK_UP_SOON: Duration = Duration::from_secs(5);
/// A name server that takes longer has failed.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(15);

/// A port that a target has just given back may be in use for so long.
const PORT_TRIES: u32 = 10;
const PORT_WAIT: Duration = Duration::from_millis(20);

/// How a host's addresses are found.
type LookUp = fn(PushAddress) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// What happened to a link.
#[derive(Debug)]
pub(super) enum Change {
    /// It leads to an address: the first one, or another one than before.
    Up,
    /// The host's address is another one, which is being opened. Its ports are free once whoever took the line's socket for
    /// RTCP has dropped it.
    Moving,
    /// It leads nowhere, for this cause, until it is tried again.
    Down(Arc<str>),
}

/// A link in one of its phases.
pub(super) struct Link {
    address: PushAddress,
    look_up: LookUp,
    phase: Phase,
    failures: u32,
}

enum Phase {
    Opening(BoxFuture<'static, Result<Line, Arc<str>>>),
    Up { line: Line, since: Instant, check: Check },
    Waiting(Pin<Box<Sleep>>),
}

/// When the host's address is looked up again.
enum Check {
    Never,
    At(Pin<Box<Sleep>>),
    Running(BoxFuture<'static, io::Result<Vec<SocketAddr>>>),
}

impl Link {
    /// One that is being opened.
    pub(super) fn new(address: &PushAddress) -> Self {
        Self::with(address, |address| Box::pin(look_up(address)))
    }

    /// One that is being opened, from `port` if it is free and the address names no other.
    pub(super) fn from_port(address: &PushAddress, port: Option<u16>) -> Self {
        let mut kept = address.clone();
        kept.socket.local_port = address.socket.local_port.or(port);
        let look_up: LookUp = |address| Box::pin(look_up(address));
        let address = address.clone();
        let opening = {
            let address = address.clone();
            async move {
                match open(kept, look_up).await {
                    Ok(line) => Ok(line),
                    Err(_) => open(address, look_up).await,
                }
            }
        };
        Self { address, look_up, phase: Phase::Opening(Box::pin(opening)), failures: 0 }
    }

    fn with(address: &PushAddress, look_up: LookUp) -> Self {
        let phase = Phase::Opening(Box::pin(open(address.clone(), look_up)));
        Self { address: address.clone(), look_up, phase, failures: 0 }
    }

    /// What is sent through, while it is up.
    pub(super) fn line(&mut self) -> Option<&mut Line> {
        match &mut self.phase {
            Phase::Up { line, .. } => Some(line),
            _ => None,
        }
    }

    /// Waits until it changes. Cancel-safe: what it waits for is kept.
    pub(super) async fn change(&mut self) -> Change {
        loop {
            match &mut self.phase {
                Phase::Opening(opening) => match opening.await {
                    Ok(line) => {
                        let check = next_check(&self.address);
                        self.phase = Phase::Up { line, since: Instant::now(), check };
                        return Change::Up;
                    }
                    Err(cause) => {
                        self.fail();
                        return Change::Down(cause);
                    }
                },
                Phase::Waiting(over) => {
                    over.await;
                    self.phase = Phase::Opening(Box::pin(open(self.address.clone(), self.look_up)));
                }
                Phase::Up { line, check, .. } => match check {
                    Check::Never => std::future::pending().await,
                    Check::At(due) => {
                        due.await;
                        *check = Check::Running((self.look_up)(self.address.clone()));
                    }
                    Check::Running(looking) => match looking.await {
                        Ok(found) if !found.contains(&line.target()) => {
                            self.phase = Phase::Opening(Box::pin(open_first(found, self.address.clone())));
                            return Change::Moving;
                        }
                        // A name server that fails is no reason to leave an address that may work.
                        _ => *check = next_check(&self.address),
                    },
                },
            }
        }
    }

    /// Gives it up for now; it is tried again after a while.
    pub(super) fn fail(&mut self) {
        let backoff = Backoff::default();
        if let Phase::Up { since, .. } = &self.phase
            && since.elapsed() >= backoff.reset_after
        {
            self.failures = 0;
        }
        self.failures += 1;
        let wait = backoff.wait(self.failures, fastrand::f64());
        self.phase = Phase::Waiting(Box::pin(tokio::time::sleep(wait)));
    }

    /// The host refuses packets: perhaps its name means another address by now.
    pub(super) fn doubt(&mut self) {
        if let Phase::Up { check: Check::At(due), .. } = &mut self.phase {
            let soon = tokio::time::Instant::now() + LOOK_UP_SOON;
            if due.deadline() > soon {
                due.as_mut().reset(soon);
            }
        }
    }
}

fn next_check(address: &PushAddress) -> Check {
    if address.is_literal() { Check::Never } else { Check::At(Box::pin(tokio::time::sleep(LOOK_UP_EVERY))) }
}

async fn open(address: PushAddress, look_up: LookUp) -> Result<Line, Arc<str>> {
    let found = look_up(address.clone()).await.map_err(|error| -> Arc<str> {
        format!("the name {} cannot be looked up: {}", address.label(), in_words(&error)).into()
    })?;
    open_first(found, address).await
}

/// Opens the first address that there is a way to.
async fn open_first(found: Vec<SocketAddr>, address: PushAddress) -> Result<Line, Arc<str>> {
    let mut cause: Arc<str> = format!("the name {} has no address", address.label()).into();
    for target in found {
        match bound_soon(target, &address).await {
            Ok(pair) => return Ok(Line::new(pair, target, &address)),
            Err(error) => cause = in_words(&error).into(),
        }
    }
    Err(cause)
}

async fn bound_soon(target: SocketAddr, address: &PushAddress) -> io::Result<Pair> {
    for _ in 1..PORT_TRIES {
        match bind_pair(target, &address.socket) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => tokio::time::sleep(PORT_WAIT).await,
            bound => return bound,
        }
    }
    bind_pair(target, &address.socket)
}

async fn look_up(address: PushAddress) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = address.host().parse() {
        return Ok(vec![SocketAddr::new(ip, address.port())]);
    }
    let looking = tokio::net::lookup_host((address.host(), address.port()));
    match tokio::time::timeout(LOOK_UP_LIMIT, looking).await {
        Ok(found) => found.map(Iterator::collect),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the name server does not answer")),
    }
}

/// An error for the person who owns the camera.
pub(super) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NetworkUnreachable => "there is no route to its network".to_owned(),
        io::ErrorKind::HostUnreachable => "there is no route to the host".to_owned(),
        io::ErrorKind::NetworkDown => "the network is down".to_owned(),
        io::ErrorKind::PermissionDenied => "this machine does not permit packets there".to_owned(),
        io::ErrorKind::AddrNotAvailable => "the interface's address is not this machine's".to_owned(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        /// What the name server says.
        static FOUND: RefCell<Vec<SocketAddr>> = const { RefCell::new(Vec::new()) };
    }

    fn says(addresses: &[&str]) {
        FOUND.set(addresses.iter().map(|address| address.parse().unwrap()).collect());
    }

    fn link(text: &str) -> Link {
        let known: LookUp = |_| Box::pin(async { Ok(FOUND.with_borrow(Clone::clone)) });
        Link::with(&PushAddress::parse(text).unwrap(), known)
    }

    /// Where the link leads once it has changed, and after how many seconds of simulated time.
    async fn changed(link: &mut Link) -> (Option<SocketAddr>, u64) {
        let began = tokio::time::Instant::now();
        let change = link.change().await;
        let target = link.line().map(|line| line.target());
        assert_eq!(matches!(change, Change::Up), target.is_some(), "{change:?}");
        (target, began.elapsed().as_secs())
    }

    fn at(address: &str) -> Option<SocketAddr> {
        Some(address.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_moves_is_followed_and_one_that_stays_is_kept() {
        says(&["127.0.0.1:5000", "127.0.0.2:5000"]);
        let mut link = link("rtp://name:5000");
        assert_eq!(changed(&mut link).await, (at("127.0.0.1:5000"), 0));
        // Another order is no move.
        says(&["127.0.0.2:5000", "127.0.0.1:5000"]);
        assert!(tokio::time::timeout(Duration::from_secs(150), link.change()).await.is_err());
        says(&["127.0.0.3:5000"]);
        assert_eq!(changed(&mut link).await, (None, 30));
        assert_eq!(changed(&mut link).await, (at("127.0.0.3:5000"), 0));
        link.doubt();
        says(&["127.0.0.4:5000"]);
        assert_eq!(changed(&mut link).await, (None, 5));
        assert_eq!(changed(&mut link).await, (at("127.0.0.4:5000"), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_moves_keeps_both_ports() {
        let free = bind_pair("127.0.0.1:5000".parse().unwrap(), &Default::default()).unwrap();
        let port = free.local_address().unwrap().port();
        drop(free);
        says(&["127.0.0.1:5000"]);
        let mut link = link(&format!("rtp://name:5000?local_port={port}"));
        assert_eq!(changed(&mut link).await.0, at("127.0.0.1:5000"));
        let rtcp = link.line().and_then(Line::take_rtcp);
        assert_eq!(rtcp.as_ref().unwrap().local_addr().unwrap().port(), port + 1);
        says(&["127.0.0.2:5000"]);
        assert!(matches!(link.change().await, Change::Moving));
        drop(rtcp);
        assert_eq!(changed(&mut link).await.0, at("127.0.0.2:5000"));
        assert!(link.line().and_then(Line::take_rtcp).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_tried_again_after_longer_and_longer_waits() {
        says(&[]);
        let mut link = link("rtp://name:5000");
        let mut waits = Vec::new();
        for _ in 0..9 {
            let (target, wait) = changed(&mut link).await;
            assert_eq!(target, None);
            waits.push(wait);
        }
        assert!(waits.is_sorted_by(|a, b| a <= b || *a >= 22), "{waits:?}");
        assert!(waits[8] >= 22 && waits[8] <= 30, "{waits:?}");
        says(&["127.0.0.1:5000"]);
        assert_eq!(changed(&mut link).await.0, at("127.0.0.1:5000"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_address_that_can_be_reached_is_taken() {
        // An interface's IPv4 address leads to no IPv6 address.
        says(&["[::1]:5000", "127.0.0.1:5000"]);
        let mut link = link("rtp://name:5000?interface=127.0.0.1");
        assert_eq!(changed(&mut link).await.0, at("127.0.0.1:5000"));
    }

    #[tokio::test]
    async fn a_port_that_is_given_back_soon_is_waited_for() {
        let taken = bind_pair("127.0.0.1:5000".parse().unwrap(), &Default::default()).unwrap();
        let port = taken.local_address().unwrap().port();
        says(&["127.0.0.1:5000"]);
        let mut link = link(&format!("rtp://name:5000?local_port={port}"));
        let giving_back = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(taken);
        };
        let (change, ()) = tokio::join!(link.change(), giving_back);
        assert!(matches!(change, Change::Up), "{change:?}");
    }
}
