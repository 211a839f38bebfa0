//! SETUP and PLAY: places, and where a reader begins.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ocelli_hub::{Closed, DerivedReader, Next, Stream};
use ocelli_media::Track;
use ocelli_proto::rtsp::Status;
use ocelli_proto::rtsp::server::{
    Answer, Grant, Offer, Refusal, SessionId, SessionTrack, SetUp, Started, TrackStart,
};

use super::bursts::{LeftOut, Piece};
use super::datagrams::{Begin, Place, Sending, To};
use super::describe::Chosen;
use super::outcomes::SessionRefused;
use super::reader::{Reader, Route};
use super::reports::Reports;
use super::session::Enrolled;
use super::{Server, unguessable};
use crate::viewers::ViewerKind;

/// How long PLAY waits for a first picture. One that is not there by then, of a camera that is lost, comes without having been
/// announced.
const FIRST_PICTURE: Duration = Duration::from_secs(5);
/// When a client is to try again for which there was no place.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A session: a client's place, and what it plays.
pub(super) struct Playback {
    pub(super) enrolled: Enrolled,
    pub(super) chosen: Chosen,
    /// How its packets travel.
    kind: ViewerKind,
    /// The packets on their way, while it plays.
    pub(super) way: Option<Way>,
    pub(super) reports: Reports,
    /// The tracks that it plays.
    tracks: Vec<u8>,
}

/// How packets travel to a client that plays.
pub(super) enum Way {
    /// Within the connection.
    Within(Box<Reader>),
    /// By UDP, as soon as the client has its answer.
    Ready(Box<Ready>),
    /// By UDP.
    Datagrams(Sending),
}

/// What is sent by UDP, and to which ports.
pub(super) struct Ready {
    pieces: DerivedReader<Piece>,
    first: Option<Piece>,
    to: Receivers,
}

/// Where packets go.
enum Receivers {
    /// For each track, to these ports of the client's.
    Ports(Vec<(u8, (u16, u16))>),
    Group(IpAddr),
}

impl Server {
    /// Answers SETUP of a track of `chosen`, which has `tracks`, for the client at `peer`, whose other tracks travel as `kind` has it.
    /// Answers how this one does too.
    pub(super) fn set_up(
        &self,
        chosen: &Chosen,
        tracks: &[Track],
        track: Option<u8>,
        offers: &[Offer],
        peer: SocketAddr,
        kind: Option<ViewerKind>,
    ) -> Result<(SetUp, ViewerKind), Refusal> {
        let track = match (track, tracks) {
            (None, [only]) => only.id.0,
            (None, _) => {
                return Err(Refusal::new(Status::NO_AGGREGATE, "the stream has several tracks: name one"));
            }
            (Some(track), _) => track,
        };
        if !tracks.iter().any(|known| known.id.0 == track) {
            let reason = format!("camera `{}` has no track {track}", chosen.camera.name());
            return Err(Refusal::new(Status::NOT_FOUND, reason));
        }
        let kinds = offers.iter().enumerate().filter_map(|(index, offer)| Some((index, kind_of(offer)?)));
        let taken = kinds.clone().find(|(_, offered)| kind.is_none_or(|kind| kind == *offered));
        let Some((offer, kind)) = taken else {
            let reason = "all tracks of a session travel in the same way";
            return Err(Refusal::new(Status::UNSUPPORTED_TRANSPORT, reason));
        };
        let grant = self.grant(kind, peer, chosen, track)?;
        let session = unguessable()
            .map_err(|error| Refusal::new(Status::INTERNAL_ERROR, format!("no random numbers: {error}")))?;
        Ok((SetUp { track, offer, grant, ssrc: None, session: SessionId(session) }, kind))
    }

    /// The server's end of a way of `kind` to `peer`.
    fn grant(
        &self,
        kind: ViewerKind,
        peer: SocketAddr,
        chosen: &Chosen,
        track: u8,
    ) -> Result<Grant, Refusal> {
        if kind == ViewerKind::RtspTcp {
            return Ok(Grant::Interleaved);
        }
        if kind == ViewerKind::RtspMulticast {
            // A group has one camera's packets, and one form of them.
            if !chosen.is_own() {
                let reason = "by multicast there are only the camera's own pictures";
                return Err(Refusal::new(Status::UNSUPPORTED_TRANSPORT, reason));
            }
            let place = self.place(chosen, track).ok_or_else(|| {
                Refusal::new(Status::UNSUPPORTED_TRANSPORT, "there are more cameras than multicast addresses")
            })?;
            let Place { group, rtp, rtcp, ttl } = place;
            return Ok(Grant::Multicast { group, rtp, rtcp, ttl });
        }
        let (rtp, rtcp) = self.datagrams.ports(peer.ip()).map_err(|error| {
            tracing::warn!("RTSP by UDP is not possible: {error}");
            Refusal::new(Status::UNSUPPORTED_TRANSPORT, format!("by UDP it is not possible: {error}"))
        })?;
        Ok(Grant::Udp { rtp, rtcp })
    }

    /// Where a track is sent to for all that watch by multicast.
    fn place(&self, chosen: &Chosen, track: u8) -> Option<Place> {
        let camera = self.app.cameras.iter().position(|camera| Arc::ptr_eq(camera, &chosen.camera))?;
        self.datagrams.place(camera, track)
    }

    /// A place for a session of the client at `peer`.
    pub(super) fn admit(
        &self,
        chosen: &Chosen,
        kind: ViewerKind,
        peer: SocketAddr,
        program: Option<&str>,
    ) -> Result<Enrolled, Refusal> {
        let sessions = &self.app.rtsp.sessions;
        let full = |why: SessionRefused, reason: String| {
            sessions.refused.count(why as usize);
            Refusal { retry_after: Some(RETRY_AFTER), ..Refusal::new(Status::UNAVAILABLE, reason) }
        };
        let most = self.options.sessions_per_address;
        if sessions.of_address(peer.ip()) >= most {
            let reason = format!("this address has {most} sessions already");
            return Err(full(SessionRefused::PerAddress, reason));
        }
        let camera = &chosen.camera;
        let name = camera.name().clone();
        let viewer = self.app.viewers.admit(kind, name, peer, camera.totals.clone());
        let viewer = viewer.map_err(|error| full(SessionRefused::Viewers, error.to_string()))?;
        chosen.watched_by(&viewer);
        Ok(sessions.enrol(viewer, program))
    }
}

/// How packets would travel, if in a way that there is.
fn kind_of(offer: &Offer) -> Option<ViewerKind> {
    match offer {
        Offer::Interleaved { .. } => Some(ViewerKind::RtspTcp),
        Offer::Udp { .. } => Some(ViewerKind::RtspUdp),
        Offer::Multicast => Some(ViewerKind::RtspMulticast),
    }
}

impl Playback {
    /// A session that plays nothing yet.
    pub(super) fn new(enrolled: Enrolled, chosen: Chosen, kind: ViewerKind) -> Self {
        Self { enrolled, chosen, kind, way: None, reports: Reports::new(true), tracks: Vec::new() }
    }

    /// How its packets travel.
    pub(super) fn kind(&self) -> ViewerKind {
        self.kind
    }

    /// Answers PLAY for `tracks`: begins with `first`, and goes on with `pieces`.
    pub(super) fn play(
        &mut self,
        pieces: DerivedReader<Piece>,
        first: Option<Piece>,
        tracks: &[SessionTrack],
    ) -> Answer {
        let camera = &self.chosen.camera;
        if !self.chosen.is_as_told() {
            let reason = format!("camera `{}` is coded otherwise since: describe it again", camera.name());
            return Answer::Refused(Refusal::new(Status::UNSUPPORTED_MEDIA_TYPE, reason));
        }
        if let Some(LeftOut::Refused(why)) = first.as_ref().and_then(|first| first.left_out.as_ref()) {
            let reason = format!("the pictures of camera `{}` are not sent: {why}", camera.name());
            return Answer::Refused(Refusal::new(Status::UNSUPPORTED_MEDIA_TYPE, reason));
        }
        // Others may watch the group already, so where its packets are is not known.
        let is_known = self.kind != ViewerKind::RtspMulticast;
        let starts = first.as_ref().filter(|_| is_known).map(starts).unwrap_or_default();
        self.enrolled.viewer.stats().set_rests(false);
        self.tracks = tracks.iter().map(|track| track.number).collect();
        if let Some(first) = &first {
            self.begins(first);
        }
        let group = tracks.iter().find_map(|track| track.transport.destination);
        self.way = Some(match (self.kind, group) {
            (ViewerKind::RtspTcp, _) => {
                let routes = tracks.iter().filter_map(Route::of).collect();
                Way::Within(Box::new(Reader::new(pieces, first, routes)))
            }
            (ViewerKind::RtspMulticast, Some(group)) => {
                Way::Ready(Box::new(Ready { pieces, first, to: Receivers::Group(group) }))
            }
            _ => {
                let ports = tracks.iter().filter_map(|of| Some((of.number, of.transport.client_port?)));
                Way::Ready(Box::new(Ready { pieces, first, to: Receivers::Ports(ports.collect()) }))
            }
        });
        Answer::Started(Started { range: None, tracks: starts })
    }

    /// The client gets `first` before anything else.
    pub(super) fn begins(&mut self, first: &Piece) {
        self.reports.begin(first, &self.tracks, &self.enrolled.numbers);
    }

    /// The next piece for within the connection, and the channel that it belongs on. `held_up`: what went by, if anything did, went by
    /// for want of room.
    ///
    /// # Errors
    /// The stream has ended.
    pub(super) fn poll_next(
        &mut self,
        held_up: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Piece, u8), Closed>> {
        match &mut self.way {
            Some(Way::Within(reader)) => reader.poll_next(&self.enrolled, held_up, context),
            _ => Poll::Pending,
        }
    }

    /// The client gets `piece` next, within the connection. Whether it begins with it, because there was no picture when it wanted to.
    pub(super) fn begins_late(&mut self, piece: &Piece) -> bool {
        let begins = piece.key && !self.reports.has_begun();
        if begins {
            self.begins(piece);
        }
        begins
    }

    /// Sends by UDP what is ready for it, from the end `local` of the connection to the client's, `peer`.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn send(&mut self, server: &Server, local: SocketAddr, peer: SocketAddr) -> io::Result<()> {
        match self.way.take() {
            Some(Way::Ready(ready)) => {
                let Ready { pieces, first, to } = *ready;
                let (stream, session) = (self.chosen.stream(), self.enrolled.session());
                let to = match &to {
                    Receivers::Ports(ports) => To::Ports(ports),
                    Receivers::Group(group) => To::Group(*group),
                };
                let mut reports = Vec::new();
                if matches!(to, To::Ports(_)) {
                    let report = |track, report: &[u8]| reports.push((track, report.into()));
                    self.reports.poll(&self.enrolled.numbers, report);
                }
                let begin = Begin { stream, session, pieces, first, reports, local, peer, to };
                self.way = Some(Way::Datagrams(server.datagrams.begin(begin)?));
            }
            way => self.way = way,
        }
        Ok(())
    }

    /// Answers PAUSE: nothing more is sent, and the camera goes on.
    pub(super) fn pause(&mut self) {
        self.enrolled.viewer.stats().set_rests(true);
        if let Some(Way::Within(reader)) = self.way.take() {
            self.chosen.pieces = reader.into_pieces();
        }
    }
}

/// The picture that a reader of `pieces` begins with; `None` where there is none for a while.
pub(super) async fn first_picture(
    stream: &Stream,
    pieces: &mut DerivedReader<Piece>,
) -> Result<Option<Piece>, Refusal> {
    if let Ok(Some(Next::Piece(piece))) = pieces.try_next() {
        return Ok(Some(piece));
    }
    stream.ask_keyframe();
    match tokio::time::timeout(FIRST_PICTURE, pieces.next()).await {
        Ok(Ok(Next::Piece(piece))) => Ok(Some(piece)),
        Ok(Err(_)) => {
            let reason = format!("the stream of camera `{}` has ended", stream.name());
            Err(Refusal::new(Status::UNAVAILABLE, reason))
        }
        Ok(Ok(Next::Lost { .. })) | Err(_) => Ok(None),
    }
}

fn starts(first: &Piece) -> Vec<TrackStart> {
    let start = |numbers: super::TrackNumbers| TrackStart {
        track: numbers.track,
        sequence: numbers.sequence,
        rtp_time: numbers.timestamp,
    };
    first.numbers().map(start).collect()
}
