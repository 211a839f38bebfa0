//! SETUP and PLAY: places, and where a reader begins.

use std::net::SocketAddr;
use std::time::Duration;

use ocelli_hub::{Next, Want};
use ocelli_proto::rtsp::Status;
use ocelli_proto::rtsp::server::{
    Answer, Grant, Offer, Refusal, SessionId, SessionTrack, SetUp, Started, TrackStart,
};

use super::bursts::{LeftOut, Piece};
use super::describe::Chosen;
use super::reader::{Reader, Route};
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
    pub(super) reader: Option<Reader>,
}

impl Server {
    /// Answers SETUP of a track of `chosen`. Without a session it begins one, which has a place among the viewers.
    pub(super) async fn set_up(
        &self,
        chosen: &Chosen,
        track: Option<u8>,
        offers: &[Offer],
    ) -> Result<SetUp, Refusal> {
        let tracks = chosen.tracks().await?;
        let track = match (track, &tracks[..]) {
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
        let offer = offers.iter().position(|offer| matches!(offer, Offer::Interleaved { .. }));
        let Some(offer) = offer else {
            return Err(Refusal::new(Status::UNSUPPORTED_TRANSPORT, "only RTP/AVP/TCP is there yet"));
        };
        let session = unguessable()
            .map_err(|error| Refusal::new(Status::INTERNAL_ERROR, format!("no random numbers: {error}")))?;
        Ok(SetUp { track, offer, grant: Grant::Interleaved, ssrc: None, session: SessionId(session) })
    }

    /// A place for a session of the client at `peer`.
    pub(super) fn admit(
        &self,
        chosen: &Chosen,
        peer: SocketAddr,
        program: Option<&str>,
    ) -> Result<Enrolled, Refusal> {
        let full = |reason: String| Refusal {
            retry_after: Some(RETRY_AFTER),
            ..Refusal::new(Status::UNAVAILABLE, reason)
        };
        let sessions = &self.app.rtsp.sessions;
        let most = self.options.sessions_per_address;
        if sessions.of_address(peer.ip()) >= most {
            return Err(full(format!("this address has {most} sessions already")));
        }
        let camera = &chosen.camera;
        let name = camera.name().clone();
        let viewer = self.app.viewers.admit(ViewerKind::RtspTcp, name, peer, camera.totals.clone());
        let viewer = viewer.map_err(|error| full(error.to_string()))?;
        Ok(sessions.enrol(viewer, program))
    }
}

impl Playback {
    /// Answers PLAY for `tracks`: begins, or goes on.
    pub(super) async fn play(&mut self, server: &Server, tracks: &[SessionTrack]) -> Answer {
        if self.reader.is_some() {
            return Answer::Started(Started::default());
        }
        let camera = &self.chosen.camera;
        let mut pieces = camera.stream().derive(&server.bursts(camera), Want::Live);
        let first = match pieces.try_next() {
            Ok(Some(Next::Piece(piece))) => Some(piece),
            _ => {
                camera.stream().ask_keyframe();
                match tokio::time::timeout(FIRST_PICTURE, pieces.next()).await {
                    Ok(Ok(Next::Piece(piece))) => Some(piece),
                    Ok(Err(_)) => {
                        let reason = format!("the stream of camera `{}` has ended", camera.name());
                        return Answer::Refused(Refusal::new(Status::UNAVAILABLE, reason));
                    }
                    Ok(Ok(Next::Lost { .. })) | Err(_) => None,
                }
            }
        };
        if !self.chosen.is_as_told() {
            let reason = format!("camera `{}` is coded otherwise since: describe it again", camera.name());
            return Answer::Refused(Refusal::new(Status::UNSUPPORTED_MEDIA_TYPE, reason));
        }
        if let Some(LeftOut::Refused(why)) = first.as_ref().and_then(|first| first.left_out.as_ref()) {
            let reason = format!("the pictures of camera `{}` are not sent: {why}", camera.name());
            return Answer::Refused(Refusal::new(Status::UNSUPPORTED_MEDIA_TYPE, reason));
        }
        let starts = first.as_ref().map(starts).unwrap_or_default();
        let routes = tracks.iter().filter_map(Route::of).collect();
        self.reader = Some(Reader::new(pieces, first, routes));
        Answer::Started(Started { range: None, tracks: starts })
    }

    /// Answers PAUSE: nothing more is sent, and the camera goes on.
    pub(super) fn pause(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.chosen.pieces = reader.into_pieces();
        }
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
