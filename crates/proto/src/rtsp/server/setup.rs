//! SETUP (RFC 2326 section 10.4): which track, to where, and in which session.

use std::time::Duration;

use super::connection::{Connection, Pending, State};
use super::session::{Session, SessionTrack};
use super::{End, Event, Grant, MOST_TRACKS, Offer, Phase, SetUp};
use crate::rtsp::{Request, Status, Target, Transport, TransportError};

/// Ports below are the system's.
const LEAST_CLIENT_PORT: u16 = 1024;

/// What is known of a SETUP while the program thinks.
#[derive(Debug)]
pub(super) struct PendingSetup {
    pub(super) cseq: u32,
    url: String,
    path: String,
    publish: bool,
    offers: Vec<Offer>,
}

impl Connection {
    pub(super) fn setup(&mut self, request: &Request, cseq: u32, names_session: bool) -> Option<Event> {
        let target = Target::parse(&request.target);
        if self.session.as_ref().is_some_and(|session| session.phase != Phase::Ready) {
            self.session_reply(Status::NOT_VALID_IN_STATE, cseq).end();
            return None;
        }
        let (path, track) = match &self.announced {
            None => (target.path.clone(), target.track),
            Some(announced) => {
                match target.find(&announced.controls).and_then(|index| u8::try_from(index).ok()) {
                    Some(index) => (announced.path.clone(), Some(index)),
                    None => {
                        self.reply(Status::NOT_FOUND, "no such track was announced", Some(cseq)).end();
                        return None;
                    }
                }
            }
        };
        let publish = self.announced.is_some();
        if let Err(event) = self.authorise(request, cseq, publish, &path) {
            return event;
        }
        // Who names no session may have forgotten to, or begins again: FFmpeg does so to change from UDP to TCP.
        let again = self.session.as_ref().is_some_and(|session| {
            let known = session.path == path && session.tracks.iter().all(|track| track.url != target.url);
            !(names_session || known && session.played.is_none())
        });
        if let Err((status, reason)) = self.check_setup(&path, &target.url, again) {
            self.reply(status, reason, Some(cseq)).end();
            return None;
        }
        let offers = match self.offers(request, &target.url, publish, again) {
            Ok(offers) => offers,
            Err((status, reason)) => {
                self.reply(status, &reason, Some(cseq)).end();
                return None;
            }
        };
        let ended = again.then(|| self.end_session(End::Replaced));
        let event =
            Event::Setup { path: path.clone(), query: target.query, track, offers: offers.clone(), publish };
        self.state = State::Waiting(Pending::Setup(Box::new(PendingSetup {
            cseq,
            url: target.url,
            path,
            publish,
            offers,
        })));
        self.events.extend(ended);
        self.events.push_back(event);
        self.events.pop_front()
    }

    /// Whether the session can have this track.
    fn check_setup(&self, path: &str, url: &str, again: bool) -> Result<(), (Status, &'static str)> {
        let Some(session) = self.session.as_ref().filter(|_| !again) else { return Ok(()) };
        if session.path != path {
            return Err((Status::NO_AGGREGATE, "the session is of another stream"));
        }
        let others = session.tracks.iter().filter(|track| track.url != url).count();
        if others >= MOST_TRACKS { Err((Status::FORBIDDEN, "too many tracks")) } else { Ok(()) }
    }

    /// What the client offers and the server could do.
    fn offers(
        &self,
        request: &Request,
        url: &str,
        publish: bool,
        again: bool,
    ) -> Result<Vec<Offer>, (Status, String)> {
        let (mut offers, mut why) = (Vec::new(), None);
        for transport in request.fields.all("Transport").flat_map(Transport::parse_list) {
            let offer = transport.and_then(|transport| {
                if transport.record && !publish {
                    return Ok(None);
                }
                self.offer(&transport, url, publish, again).map(Some)
            });
            match offer {
                Ok(Some(offer)) => offers.push(offer),
                Ok(None) => return Err((Status::NOT_VALID_IN_STATE, "nothing was announced".to_owned())),
                Err(error) => why = why.or(Some(error)),
            }
        }
        match why {
            _ if !offers.is_empty() => Ok(offers),
            Some(error @ (TransportError::Ports(_) | TransportError::Channels)) => {
                Err((Status::BAD_REQUEST, error.to_string()))
            }
            Some(error) => Err((Status::UNSUPPORTED_TRANSPORT, error.to_string())),
            None => Err((Status::BAD_REQUEST, "Transport is missing".to_owned())),
        }
    }

    fn offer(
        &self,
        transport: &Transport,
        url: &str,
        publish: bool,
        again: bool,
    ) -> Result<Offer, TransportError> {
        let settings = &self.settings;
        if transport.tcp {
            let session = self.session.as_ref().filter(|_| !again);
            let used = |pair| session.is_some_and(|session| session.uses(pair, Some(url)));
            let wanted = transport.interleaved.filter(|pair| !used(*pair));
            let free = || (0..=254).step_by(2).map(|rtp| (rtp, rtp + 1)).find(|pair| !used(*pair));
            let (rtp, rtcp) = wanted.or_else(free).ok_or(TransportError::Channels)?;
            return if settings.tcp {
                Ok(Offer::Interleaved { rtp, rtcp })
            } else {
                Err(TransportError::Disabled)
            };
        }
        if transport.multicast {
            return match (publish, settings.multicast) {
                (true, _) => Err(TransportError::RecordToGroup),
                (false, false) => Err(TransportError::Disabled),
                (false, true) => Ok(Offer::Multicast),
            };
        }
        let (rtp, rtcp) = transport.client_port.ok_or(TransportError::NoPorts)?;
        if rtp < LEAST_CLIENT_PORT || rtcp < LEAST_CLIENT_PORT {
            return Err(TransportError::SystemPorts);
        }
        if settings.udp { Ok(Offer::Udp { rtp, rtcp }) } else { Err(TransportError::Disabled) }
    }

    pub(super) fn finish_setup(&mut self, now: Duration, pending: PendingSetup, set_up: SetUp) {
        let PendingSetup { cseq, url, path, publish, offers } = pending;
        let Some(transport) = offers.get(set_up.offer).and_then(|offer| granted(*offer, &set_up, publish))
        else {
            self.reply(Status::INTERNAL_ERROR, "", Some(cseq)).end();
            return;
        };
        let session = self.session.get_or_insert_with(|| Session {
            id: set_up.session,
            path,
            phase: Phase::Ready,
            publish,
            tracks: Vec::new(),
            played: None,
            alive: now,
        });
        session.tracks.retain(|track| track.url != url);
        let field = transport.to_string();
        session.tracks.push(SessionTrack { number: set_up.track, transport, url });
        self.session_reply(Status::OK, cseq).field("Transport", field).end();
    }
}

/// The transport that both have agreed on; `None` if the grant is of another kind than the offer.
fn granted(offer: Offer, set_up: &SetUp, publish: bool) -> Option<Transport> {
    let transport = Transport { ssrc: set_up.ssrc, record: publish, ..Transport::default() };
    match (offer, set_up.grant) {
        (Offer::Interleaved { rtp, rtcp }, Grant::Interleaved) => {
            Some(Transport { tcp: true, interleaved: Some((rtp, rtcp)), ..transport })
        }
        (Offer::Udp { rtp, rtcp }, Grant::Udp { rtp: own_rtp, rtcp: own_rtcp }) => {
            let (client_port, server_port) = (Some((rtp, rtcp)), Some((own_rtp, own_rtcp)));
            Some(Transport { client_port, server_port, ..transport })
        }
        (Offer::Multicast, Grant::Multicast { group, rtp, rtcp, ttl }) => {
            let (destination, port) = (Some(group), Some((rtp, rtcp)));
            Some(Transport { multicast: true, destination, port, ttl: Some(ttl), ..transport })
        }
        _ => None,
    }
}
