//! Readers whose packets travel by UDP (RFC 2326 section 12.39, RFC 3550 section 11): to their own ports, or to a group.
//!
//! | file | what is in it |
//! |---|---|
//! | `ends` | the server's sockets, and whose reports come |
//! | `begin` | the pictures since the last key, in good time |
//! | `feed` | all readers of a camera, dozens by one system call |
//! | `group` | those that watch by multicast |
//!
//! Packets go to the address of the reader's connection and to no other, so nobody can have them sent to somebody else.

mod begin;
mod ends;
mod feed;
mod group;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use ocelli_hub::{DerivedReader, Stream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use self::begin::Beginning;
use self::ends::{Ends, Routed, WAITING, canonical};
use self::feed::{Audience, Feed, Member};
pub use self::group::Multicast;
pub(super) use self::group::Place;
use self::group::{Group, Seated};
use super::bursts::Piece;
use super::numbers::SoundSeen;
use super::session::Session;
use crate::udp::Destination;

/// What a session's task is told.
#[derive(Clone, Debug)]
pub(super) enum Heard {
    /// RTCP of its client.
    Report {
        /// About which track.
        track: u8,
        /// The packets.
        packet: Bytes,
    },
    /// The first piece that is sent, where it was not there when the session began.
    Begins(Piece),
    /// The camera's stream has ended, or is coded otherwise from here on.
    Closed,
    /// Another session of the same machine has the same ports: they are another program's by now.
    Displaced,
}

/// All that travels by UDP.
#[derive(Debug)]
pub(super) struct Datagrams {
    /// RTP's port, where it is not any free one.
    port: Option<u16>,
    ends: Mutex<[Option<Arc<Ends>>; 2]>,
    feeds: Mutex<Vec<Weak<Feed>>>,
    /// Where groups are, if there are any.
    multicast: Option<Multicast>,
    groups: Mutex<Vec<Weak<Group>>>,
}

/// A reader that is to begin.
pub(super) struct Begin<'a> {
    pub(super) stream: &'a Arc<Stream>,
    pub(super) session: &'a Arc<Session>,
    pub(super) pieces: DerivedReader<Piece>,
    /// Taken from `pieces` already.
    pub(super) first: Option<Piece>,
    /// RTCP that goes before anything else, each with the number of its track.
    pub(super) reports: Vec<(u8, Box<[u8]>)>,
    /// The server's end of the connection, and the client's.
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) to: To<'a>,
}

/// Where packets go.
#[derive(Clone, Copy, Debug)]
pub(super) enum To<'a> {
    /// Each track, and the ports of the client's for its RTP and RTCP.
    Ports(&'a [(u8, (u16, u16))]),
    /// To this group.
    Group(IpAddr),
}

/// A reader to which packets are sent until this is dropped.
#[derive(Debug)]
pub(super) struct Sending {
    heard: mpsc::Receiver<Heard>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Ports {
        reports: Vec<(u8, Destination)>,
        ends: Arc<Ends>,
        left: Arc<AtomicBool>,
        beginning: AbortHandle,
        #[expect(dead_code, reason = "held for its drop")]
        routed: Vec<Routed>,
        #[expect(dead_code, reason = "held for its drop")]
        feed: Arc<Feed>,
    },
    Group(#[expect(dead_code, reason = "held for its drop")] Seated),
}

impl Datagrams {
    /// From `port` and the next one, or from free ones. Nothing is bound before it is needed.
    pub(super) fn new(port: Option<u16>, multicast: Option<Multicast>) -> Self {
        Self { port, multicast, ends: Mutex::default(), feeds: Mutex::default(), groups: Mutex::default() }
    }

    /// Where `track` of the camera with this place in the configuration is sent to; `None` without multicast, or where there are more
    /// cameras than addresses.
    pub(super) fn place(&self, camera: usize, track: u8) -> Option<Place> {
        self.multicast.as_ref()?.place(camera, track)
    }

    /// The ports from which RTP and RTCP come that are sent to `peer`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system's: a port in use.
    pub(super) fn ports(&self, peer: IpAddr) -> io::Result<(u16, u16)> {
        self.ends(peer)?.ports()
    }

    fn ends(&self, peer: IpAddr) -> io::Result<Arc<Ends>> {
        let ipv6 = peer.to_canonical().is_ipv6();
        let mut all = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ends) = &all[usize::from(ipv6)] {
            return Ok(ends.clone());
        }
        // The same port for both families, where it is free.
        let other = all[usize::from(!ipv6)].as_ref().and_then(|ends| ends.ports().ok());
        let ends = match (self.port, other) {
            (None, Some((port, _))) => Ends::bind(ipv6, Some(port)).or_else(|_| Ends::bind(ipv6, None))?,
            (port, _) => Ends::bind(ipv6, port)?,
        };
        all[usize::from(ipv6)] = Some(ends.clone());
        Ok(ends)
    }

    /// Begins to send. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system's: a port in use.
    pub(super) fn begin(&self, begin: Begin<'_>) -> io::Result<Sending> {
        let Begin { stream, session, pieces, first, reports: told, local, peer, to } = begin;
        let tracks = match to {
            To::Ports(tracks) => tracks,
            To::Group(group) => return self.watch(group, stream, session, pieces, first, peer),
        };
        let ends = self.ends(peer.ip())?;
        let (tell, heard) = mpsc::channel(WAITING);
        let left = Arc::<AtomicBool>::default();
        let destination = |port| {
            let mut to = canonical(peer);
            to.set_port(port);
            (to, Destination::new(to, Some(local.ip().to_canonical())))
        };
        let (mut to, mut reports, mut routed) =
            ([const { None }; super::numbers::TRACKS], Vec::new(), Vec::new());
        for (track, (rtp, rtcp)) in tracks {
            if let Some(to) = to.get_mut(usize::from(*track)) {
                *to = Some(destination(*rtp).1);
                let (from, report_to) = destination(*rtcp);
                routed.push(ends.route(from, *track, session, &tell));
                for (_, report) in told.iter().filter(|(number, _)| number == track) {
                    ends.report(&report_to, report);
                }
                reports.push((*track, report_to));
            }
        }
        let feed = self.feed(stream, &pieces);
        let member = Member {
            to,
            ends: ends.clone(),
            audience: Audience::One(session.clone()),
            left: left.clone(),
            begun: first.is_some(),
            needs_key: None,
            sound: SoundSeen::default(),
            tell,
        };
        let beginning = Beginning { stream: stream.clone(), pieces, first, member, feed: feed.clone() };
        let beginning = tokio::spawn(beginning.run()).abort_handle();
        Ok(Sending { heard, way: Way::Ports { reports, ends, left, beginning, routed, feed } })
    }

    /// Lets `session` watch `group`, which is sent to from here on if nobody has watched it.
    fn watch(
        &self,
        group: IpAddr,
        stream: &Arc<Stream>,
        session: &Arc<Session>,
        pieces: DerivedReader<Piece>,
        first: Option<Piece>,
        peer: SocketAddr,
    ) -> io::Result<Sending> {
        let Some(multicast) = &self.multicast else { return Err(io::ErrorKind::Unsupported.into()) };
        let feed = self.feed(stream, &pieces);
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|group| group.strong_count() > 0);
        let known = groups.iter().filter_map(Weak::upgrade).find(|known| known.is_of(group, &pieces));
        let group = match known {
            Some(known) => {
                // Who comes later waits for the next key.
                stream.ask_keyframe();
                known
            }
            None => {
                let started = Group::start(multicast, group, stream, pieces, first, feed)?;
                groups.push(Arc::downgrade(&started));
                started
            }
        };
        let (tell, heard) = mpsc::channel(WAITING);
        Ok(Sending { heard, way: Way::Group(group.seat(session, peer.ip(), tell)) })
    }

    /// What feeds the readers of the ring that `pieces` reads.
    fn feed(&self, stream: &Arc<Stream>, pieces: &DerivedReader<Piece>) -> Arc<Feed> {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|feed| feed.strong_count() > 0);
        let known = feeds.iter().filter_map(Weak::upgrade).find(|feed| feed.is_of(pieces));
        known.unwrap_or_else(|| {
            let feed = Feed::start(stream.clone(), pieces);
            feeds.push(Arc::downgrade(&feed));
            feed
        })
    }
}

impl Sending {
    /// What there is to know next. Cancel-safe.
    pub(super) fn poll_heard(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Heard> {
        self.heard.poll_recv(context).map(|heard| heard.unwrap_or(Heard::Closed))
    }

    /// Sends RTCP about `track`. To a group that is done for all.
    pub(super) fn report(&self, track: u8, report: &[u8]) {
        if let Way::Ports { reports, ends, .. } = &self.way
            && let Some((_, to)) = reports.iter().find(|(number, _)| *number == track)
        {
            ends.report(to, report);
        }
    }

    /// Whether its session reports by itself.
    pub(super) fn reports(&self) -> bool {
        matches!(self.way, Way::Ports { .. })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Way::Ports { left, beginning, .. } = &self.way {
            left.store(true, Ordering::Relaxed);
            beginning.abort();
        }
    }
}
