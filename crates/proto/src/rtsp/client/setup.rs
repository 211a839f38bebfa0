//! SETUP (RFC 2326 section 10.4): one track after the other, by the carrier that the camera does not refuse.

use std::time::Duration;

use super::connection::{Client, State};
use super::request::Step;
use super::steps::refusal;
use super::{Address, Carrier, Cause, Event, SESSION_TIMEOUT, Way, control};
use crate::rtsp::{Response, Transport, session_field};
use crate::sdp::{Host, Medium};

/// A session of the camera's.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// What to call it; `None` where the camera does not say.
    pub(super) id: Option<String>,
    /// How long it lives without a sign of life.
    pub(super) timeout: Duration,
}

/// A track that is, or is to be, set up.
#[derive(Clone, Debug)]
pub(super) struct TrackSetup {
    /// What may be its URL: the likeliest first, those before `tried` were refused. Never empty.
    urls: Vec<String>,
    tried: usize,
    /// The group that the description says it is sent to, with its port.
    group: Option<(std::net::IpAddr, u16, Option<u8>)>,
    /// What was asked for.
    pub(super) wanted: Option<Transport>,
    pub(super) state: TrackState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrackState {
    Missing,
    /// Within the connection, on these channels; or elsewhere.
    Ready(Option<(u8, u8)>),
    Refused,
}

impl TrackSetup {
    pub(super) fn new(asked: &Address, base: &str, medium: &Medium) -> Self {
        let control = medium.control.as_deref().unwrap_or("*");
        let mut urls = vec![control::resolve(asked, base, control)];
        for other in [
            control::resolve(asked, asked.url(), control),
            control::resolve_strictly(asked, base, control),
            control::resolve_strictly(asked, asked.url(), control),
        ] {
            if !urls.contains(&other) {
                urls.push(other);
            }
        }
        let group = medium.connection.as_ref().and_then(|connection| match connection.host {
            Host::Address(address) if address.is_multicast() => Some((address, medium.port, connection.ttl)),
            _ => None,
        });
        Self { urls, tried: 0, group, wanted: None, state: TrackState::Missing }
    }

    pub(super) fn url(&self) -> &str {
        &self.urls[self.tried]
    }

    /// The channels of a track that travels within the connection.
    pub(super) fn channels(&self) -> Option<(u8, u8)> {
        match self.state {
            TrackState::Ready(channels) => channels,
            TrackState::Missing | TrackState::Refused => None,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, TrackState::Ready(_))
    }
}

impl Client {
    /// Sets up the next track, or plays if there is none.
    pub(super) fn set_up_next(&mut self, now: Duration) {
        let missing = self.tracks.iter().zip(0_u8..).find(|(track, _)| track.state == TrackState::Missing);
        let Some((_, track)) = missing else { return self.ask(now, Step::Play) };
        let carrier = self.settings.carriers.get(self.carrier).copied().unwrap_or(Carrier::Tcp);
        let transport = match carrier {
            Carrier::Udp => {
                self.state = State::WaitingForPorts(track);
                return self.events.push_back(Event::PortsNeeded { track });
            }
            Carrier::Tcp => {
                let rtp = 2 * track;
                Transport { tcp: true, interleaved: Some((rtp, rtp + 1)), ..Transport::default() }
            }
            Carrier::Multicast => Transport { multicast: true, ..Transport::default() },
        };
        self.ask_for_track(now, track, transport);
    }

    pub(super) fn set_up_to_ports(&mut self, now: Duration, track: u8, ports: (u16, u16)) {
        self.ask_for_track(now, track, Transport { client_port: Some(ports), ..Transport::default() });
    }

    fn ask_for_track(&mut self, now: Duration, track: u8, transport: Transport) {
        if let Some(setup) = self.tracks.get_mut(usize::from(track)) {
            setup.wanted = Some(transport);
        }
        self.ask(now, Step::Setup(track));
    }

    pub(super) fn set_up(&mut self, now: Duration, track: u8, response: &Response) {
        self.take_session(response);
        let answer = response.fields.first("Transport").map(Transport::parse_answer);
        let used: Vec<_> = self.tracks.iter().filter_map(TrackSetup::channels).collect();
        let Some(setup) = self.tracks.get_mut(usize::from(track)) else { return };
        let Some(wanted) = setup.wanted.clone() else { return };
        let answer = answer.unwrap_or_else(|| wanted.clone());
        let ssrc = answer.ssrc;
        let way = match agreed(&wanted, &answer, setup.group, &used) {
            Some((way, channels)) => {
                setup.state = TrackState::Ready(channels);
                way
            }
            None => return self.change_carrier(now, &format!("it answers with {answer}")),
        };
        self.events.push_back(Event::SetUp { track, way, ssrc });
        self.set_up_next(now);
    }

    /// Takes what an answer says of the session.
    pub(super) fn take_session(&mut self, response: &Response) {
        let field = response.fields.first("Session").map(session_field);
        let (id, timeout) = field.unwrap_or(("", None));
        let session = self.session.get_or_insert(Session { id: None, timeout: SESSION_TIMEOUT });
        // Another one in a later answer is none: H264DVR gives one for each track, and plays all in the first.
        if !id.is_empty() {
            session.id.get_or_insert_with(|| id.to_owned());
        }
        if let Some(timeout) = timeout.filter(|timeout| !timeout.is_zero()) {
            session.timeout = timeout;
        }
    }

    pub(super) fn set_up_refused(&mut self, now: Duration, track: u8, response: &Response) {
        if response.status == 461 {
            return self.change_carrier(now, &response.reason);
        }
        let Some(setup) = self.tracks.get_mut(usize::from(track)) else { return };
        if matches!(response.status, 400 | 404 | 500) && setup.tried + 1 < setup.urls.len() {
            setup.tried += 1;
            return self.ask(now, Step::Setup(track));
        }
        setup.state = TrackState::Refused;
        let cause = refusal(Step::Setup(track), response);
        if self.tracks.iter().all(|track| track.state == TrackState::Refused) {
            return self.close(cause);
        }
        self.events.push_back(Event::Refused { track, cause });
        self.set_up_next(now);
    }

    /// Begins again with the next carrier, or ends if there is none.
    pub(super) fn change_carrier(&mut self, now: Duration, why: &str) {
        if self.carrier + 1 >= self.settings.carriers.len() {
            return self.close(Cause::Transport(why.to_owned()));
        }
        self.carrier += 1;
        if self.session.is_some() {
            self.ask(now, Step::StartOver);
        } else {
            self.start_over(now);
        }
    }

    /// The tracks anew, in a new session.
    pub(super) fn start_over(&mut self, now: Duration) {
        self.session = None;
        self.tracks.iter_mut().for_each(|track| track.state = TrackState::Missing);
        self.events.push_back(Event::StartedOver);
        self.set_up_next(now);
    }
}

/// What an answer means for what was asked; `None` if it is another carrier that cannot be used.
fn agreed(
    wanted: &Transport,
    answer: &Transport,
    group: Option<(std::net::IpAddr, u16, Option<u8>)>,
    used: &[(u8, u8)],
) -> Option<(Way, Option<(u8, u8)>)> {
    let source = answer.source;
    if answer.multicast && !wanted.tcp {
        let described = group.map(|(address, ..)| address);
        let address = answer.destination.filter(std::net::IpAddr::is_multicast).or(described)?;
        let described =
            group.and_then(|(_, port, _)| Some((port, port.checked_add(1)?))).filter(|(port, _)| *port > 0);
        let (rtp, rtcp) = answer.port.or(answer.client_port).or(answer.server_port).or(described)?;
        let ttl = answer.ttl.or(group.and_then(|(.., ttl)| ttl)).unwrap_or(1);
        return Some((Way::Multicast { group: address, rtp, rtcp, ttl, source }, None));
    }
    if wanted.tcp {
        // Who answers with ports would send there; who answers with neither means what was asked for.
        if !answer.tcp && (answer.multicast || answer.server_port.is_some()) {
            return None;
        }
        let is_free = |pair: &(u8, u8)| {
            used.iter().all(|used| ![used.0, used.1].iter().any(|channel| [pair.0, pair.1].contains(channel)))
        };
        let channels = answer.interleaved.filter(is_free).or(wanted.interleaved)?;
        return Some((Way::Interleaved, Some(channels)));
    }
    if answer.tcp || wanted.multicast {
        return None;
    }
    Some((Way::Udp { server: answer.server_port, source }, None))
}
