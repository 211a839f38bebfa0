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
use crate::udp::bind_pair;

/// How often a name is looked up while all is well.
const LOOK_UP_EVERY: Duration = Duration::from_secs(60);
/// How soon it is looked up while the host refuses packets.
const LOOK_UP_SOON: Duration = Duration::from_secs(5);
/// A name server that takes longer has failed.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(15);

/// What happened to a link.
#[derive(Debug)]
pub(super) enum Change {
    /// It leads to an address: the first one, or another one than before.
    Up,
    /// It leads nowhere, for this cause, until it is tried again.
    Down(Arc<str>),
}

/// A link in one of its phases.
pub(super) struct Link {
    address: PushAddress,
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
        Self { address: address.clone(), phase: Phase::Opening(Box::pin(open(address.clone()))), failures: 0 }
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
                    self.phase = Phase::Opening(Box::pin(open(self.address.clone())));
                }
                Phase::Up { line, check, .. } => match check {
                    Check::Never => std::future::pending().await,
                    Check::At(due) => {
                        due.await;
                        *check = Check::Running(Box::pin(look_up(self.address.clone())));
                    }
                    Check::Running(looking) => match looking.await {
                        Ok(found) if !found.contains(&line.target()) => {
                            self.phase = Phase::Opening(Box::pin(open_first(found, self.address.clone())));
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

async fn open(address: PushAddress) -> Result<Line, Arc<str>> {
    let found = look_up(address.clone()).await.map_err(|error| -> Arc<str> {
        format!("the name {} cannot be looked up: {}", address.label(), in_words(&error)).into()
    })?;
    open_first(found, address).await
}

/// Opens the first address that there is a way to.
async fn open_first(found: Vec<SocketAddr>, address: PushAddress) -> Result<Line, Arc<str>> {
    let mut cause: Arc<str> = format!("the name {} has no address", address.label()).into();
    for target in found {
        match bind_pair(target, &address.socket) {
            Ok(pair) => return Ok(Line::new(pair, target, &address)),
            Err(error) => cause = in_words(&error).into(),
        }
    }
    Err(cause)
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
