//! ANNOUNCE, SETUP and RECORD of a client that sends a camera's stream: from its description to a place on the camera's [`Stage`].
//!
//! Packets within the connection are given to the camera by a short queue; while that is full nothing more is read, so that the
//! client waits. Packets by UDP go to ports that are the session's alone, which the camera's source reads. Who has set a track up and
//! does not send within [`PREPARATION`] is closed: the ports are few.
//!
//! Refused: cameras that take their pictures from elsewhere, a second publisher, streams without pictures. What else a stream has
//! that is not understood is set up and passed over, and the camera says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ocelli_proto::rtsp::Status;
use ocelli_proto::rtsp::server::{Answer, Connection, Grant, Offer, Refusal, SessionId, SessionTrack, SetUp};
use ocelli_proto::sdp::{Description, Kind};
use tokio::sync::OwnedSemaphorePermit;

use super::{Server, unguessable};
use crate::app::App;
use crate::sources::publish::{Occupied, Packet, Place, Ports, PublishedTrack, Seat, Stage};
use crate::sources::received::{Chosen, choose};
use crate::udp::{Listen, Opened, listen};

/// Most tracks of a stream that is published, those among them that are passed over.
const MOST_TRACKS: usize = 4;

/// How long after its first SETUP a client may take until it sends: clients that mean it do that at once.
pub(super) const PREPARATION: Duration = Duration::from_secs(10);

/// A client that sends, or is about to.
pub(super) struct Recording {
    stage: Arc<Stage>,
    chosen: Vec<Chosen>,
    passed_over: Option<String>,
    /// Ports of what is set up by UDP, by its place in the description.
    ports: Vec<(u8, Ports)>,
    /// Leave to have them before anything is sent.
    preparing: Option<OwnedSemaphorePermit>,
    /// By when it has to send, once it has set something up.
    send_by: Option<Instant>,
    sending: Option<Sending>,
}

/// A client that sends.
struct Sending {
    seat: Seat,
    /// The place in the description of each track that the camera takes.
    media: Vec<u8>,
}

impl Server {
    /// Answers ANNOUNCE.
    pub(super) fn announce(&self, path: &str, sdp: &[u8]) -> Result<(Recording, Answer), Refusal> {
        let stage = stage(&self.app, path)?;
        if let Some(occupied) = stage.occupied() {
            return Err(taken(path, occupied));
        }
        let description = Description::parse(sdp)
            .map_err(|error| Refusal::new(Status::BAD_REQUEST, format!("the description: {error}")))?;
        let media = &description.media;
        if media.len() > MOST_TRACKS {
            let reason = format!("the stream has {} tracks, and {MOST_TRACKS} are taken", media.len());
            return Err(Refusal::new(Status::FORBIDDEN, reason));
        }
        let chosen = choose(&description).map_err(|why| Refusal::new(Status::UNSUPPORTED_MEDIA_TYPE, why))?;
        if chosen.iter().all(|chosen| chosen.codec.kind() != Kind::Video) {
            let reason = "the stream has sound, and no pictures that Ocelli understands";
            return Err(Refusal::new(Status::UNSUPPORTED_MEDIA_TYPE, reason));
        }
        let passed_over = (media.len() > chosen.len()).then(|| passed_over(&description, &chosen));
        let controls = media.iter().map(|medium| medium.control.clone().unwrap_or_default()).collect();
        let recording = Recording {
            stage,
            chosen,
            passed_over,
            ports: Vec::new(),
            preparing: None,
            send_by: None,
            sending: None,
        };
        Ok((recording, Answer::Announced(controls)))
    }
}

/// Where the publishers of the camera that `path` names come.
fn stage(app: &App, path: &str) -> Result<Arc<Stage>, Refusal> {
    if let Some(camera) = app.camera(path) {
        return camera.stage().cloned().ok_or_else(|| {
            let reason = format!(
                "camera `{}` takes its pictures from elsewhere, and is not published to",
                camera.name()
            );
            Refusal::new(Status::METHOD_NOT_ALLOWED, reason)
        });
    }
    let path: String = path.chars().take(64).collect();
    let open = app.cameras.iter().filter(|camera| camera.stage().is_some());
    let known: Vec<&str> = open.map(|camera| camera.name().as_str()).collect();
    let reason = format!("there is no camera `{path}`; those that are published to: {}", known.join(", "));
    Err(Refusal::new(Status::NOT_FOUND, reason))
}

fn taken(camera: &str, Occupied(by): Occupied) -> Refusal {
    let reason = format!("camera `{camera}` is published by {} already", by.ip().to_canonical());
    Refusal::new(Status::NOT_VALID_IN_STATE, reason)
}

/// What of a description is not received, in words.
fn passed_over(description: &Description, chosen: &[Chosen]) -> String {
    let others = description.media.iter().enumerate();
    let others = others.filter(|(index, _)| chosen.iter().all(|chosen| chosen.medium != *index));
    let names: Vec<String> = others
        .map(|(_, medium)| match medium.codec() {
            Ok(_) => "a second track of a kind".to_owned(),
            Err(error) => error.to_string(),
        })
        .collect();
    format!("a part of what is published is passed over: {}", names.join("; "))
}

impl Recording {
    /// Answers SETUP of the `medium`th of the announced tracks, for a client at `peer` that has come to `local`.
    pub(super) fn set_up(
        &mut self,
        medium: Option<u8>,
        offers: &[Offer],
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Result<SetUp, Refusal> {
        let Some(medium) = medium else {
            return Err(Refusal::new(Status::NO_AGGREGATE, "which of its tracks?"));
        };
        let session = unguessable()
            .map_err(|error| Refusal::new(Status::INTERNAL_ERROR, format!("no random numbers: {error}")))?;
        let granted = offers.iter().enumerate().find_map(|(index, offer)| match *offer {
            Offer::Interleaved { .. } => {
                self.ports.retain(|(other, _)| *other != medium);
                if self.ports.is_empty() {
                    self.preparing = None;
                }
                Some(Ok((index, Grant::Interleaved)))
            }
            Offer::Udp { rtcp, .. } => {
                Some(self.listen(medium, local, peer, rtcp).map(|grant| (index, grant)))
            }
            Offer::Multicast => None,
        });
        let Some(granted) = granted else {
            return Err(Refusal::new(Status::UNSUPPORTED_TRANSPORT, "nobody sends to a group here"));
        };
        let (offer, grant) = granted?;
        self.send_by.get_or_insert_with(|| Instant::now() + PREPARATION);
        Ok(SetUp { track: medium, offer, grant, ssrc: None, session: SessionId(session) })
    }

    /// Opens ports for a track whose client takes RTCP at `peer_port`.
    fn listen(
        &mut self,
        medium: u8,
        local: SocketAddr,
        peer: SocketAddr,
        peer_port: u16,
    ) -> Result<Grant, Refusal> {
        let refused = |why| Refusal::new(Status::UNAVAILABLE, format!("no ports for its packets: {why}"));
        if self.preparing.is_none() {
            let busy = || Refusal::new(Status::UNAVAILABLE, "too many have announced this stream at once");
            self.preparing = Some(self.stage.prepare().ok_or_else(busy)?);
        }
        let address = with_port(local, 0);
        let options = Listen { address, rtcp_port: None, interface: None, source: None };
        let Opened { rtp, rtcp } = listen(&options).map_err(refused)?;
        let rtcp = rtcp.map_err(refused)?;
        let port = |socket: &std::net::UdpSocket| socket.local_addr().map(|address| address.port());
        let ports = port(&rtp).and_then(|own| Ok((own, port(&rtcp)?)));
        let (own, own_rtcp) = ports.map_err(|error| refused(error.to_string()))?;
        self.ports.retain(|(other, _)| *other != medium);
        self.ports.push((medium, Ports { rtp, rtcp, peer_rtcp: with_port(peer, peer_port) }));
        Ok(Grant::Udp { rtp: own, rtcp: own_rtcp })
    }

    /// Answers RECORD of what is set up, for a client called `program` at `peer`.
    pub(super) fn record(
        &mut self,
        path: &str,
        set_up: &[SessionTrack],
        program: Option<&str>,
        peer: SocketAddr,
    ) -> Result<Answer, Refusal> {
        if self.sending.is_some() {
            return Ok(Answer::Recording);
        }
        let number = |chosen: &Chosen| u8::try_from(chosen.medium).unwrap_or(u8::MAX);
        let is_set_up = |chosen: &&Chosen| set_up.iter().any(|track| track.number == number(chosen));
        let taken_up: Vec<Chosen> = self.chosen.iter().filter(is_set_up).cloned().collect();
        if taken_up.iter().all(|chosen| chosen.codec.kind() != Kind::Video) {
            return Err(Refusal::new(Status::NOT_VALID_IN_STATE, "the pictures are not set up"));
        }
        if let Some(occupied) = self.stage.occupied() {
            return Err(taken(path, occupied));
        }
        let media: Vec<u8> = taken_up.iter().map(number).collect();
        let tracks = taken_up.into_iter().map(|chosen| {
            let found = self.ports.iter().position(|(medium, _)| *medium == number(&chosen));
            PublishedTrack { chosen, ports: found.map(|index| self.ports.swap_remove(index).1) }
        });
        let place = Place {
            from: peer,
            program: program.map(str::to_owned),
            tracks: tracks.collect(),
            passed_over: self.passed_over.take(),
        };
        let seat = self.stage.enter(place).map_err(|occupied| taken(path, occupied))?;
        self.sending = Some(Sending { seat, media });
        // Of what was passed over nothing is read.
        self.ports.clear();
        (self.preparing, self.send_by) = (None, None);
        Ok(Answer::Recording)
    }

    /// Gives the camera a packet of the `medium`th of the announced tracks; waits while it has not taken those before.
    pub(super) async fn give(&self, medium: u8, rtcp: bool, bytes: Bytes) {
        let Some(Sending { seat, media }) = &self.sending else { return };
        if let Some(track) = media.iter().position(|known| *known == medium) {
            seat.give(Packet { track, rtcp, bytes }).await;
        }
    }

    /// Puts what is to be reported to the client on its way. Ready when the camera takes no more, with why.
    pub(super) fn poll(&mut self, machine: &mut Connection, context: &mut Context<'_>) -> Poll<String> {
        let Some(Sending { seat, media }) = &mut self.sending else { return Poll::Pending };
        while let Poll::Ready(Some(report)) = seat.reports.poll_recv(context) {
            if let Some(medium) = media.get(report.track) {
                machine.send_report(*medium, &report.bytes);
            }
        }
        std::pin::Pin::new(&mut seat.over)
            .poll(context)
            .map(|why| why.unwrap_or_else(|_| "the camera was stopped".to_owned()))
    }

    /// By when it has to send; `None` if it does, or has nothing that others might want.
    pub(super) fn send_by(&self) -> Option<Instant> {
        self.send_by
    }

    /// Whether packets have come by UDP since this was asked last.
    pub(super) fn was_heard(&self) -> bool {
        self.sending.as_ref().is_some_and(|sending| sending.seat.was_heard())
    }

    /// Forgets what was set up. Whether the client was sending.
    pub(super) fn begin_again(&mut self) -> bool {
        self.ports.clear();
        (self.preparing, self.send_by) = (None, None);
        self.sending.take().is_some()
    }

    /// Leaves the camera, and says why. Whether the client was sending.
    pub(super) fn end(self, why: String) -> bool {
        self.sending.map(|sending| sending.seat.leave(why)).is_some()
    }
}

/// The same machine's other port. A mapped address is the IPv4 one that it stands for.
fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    if address.ip().to_canonical().is_ipv4() {
        return SocketAddr::new(address.ip().to_canonical(), port);
    }
    address.set_port(port);
    address
}
