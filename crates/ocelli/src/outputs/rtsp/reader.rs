//! What a client that plays gets next.
//!
//! It begins at the newest key there is, at once, with the pictures' own times, and goes on with every picture while it keeps up. One
//! that is behind goes on at the newest key: whole groups of pictures are left out with the sound between them, and counted.

use std::task::{Context, Poll};

use ocelli_hub::{Closed, DerivedReader, Next, Want};
use ocelli_media::TrackId;
use ocelli_proto::rtsp::server::SessionTrack;

use super::bursts::Piece;
use super::numbers::{SessionDrop, SoundSeen};
use super::session::Session;

/// How many pictures a reader may be behind when there is a newer key: about a second. A thousand readers on a busy machine are not
/// all served within a picture's time, and that is no reason to leave one out.
const SLACK: u64 = 30;

/// The pieces of a camera, as one client wants them.
pub(super) struct Reader {
    pieces: DerivedReader<Piece>,
    /// Taken already, to know where the client begins.
    first: Option<Piece>,
    routes: Vec<Route>,
    alone: bool,
    passed_over: Option<u64>,
    /// How many were passed over for newer ones, as far as that is counted.
    skipped: u64,
    sound: SoundSeen,
}

/// Where the pieces of a track go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    track: u8,
    /// The channel of its RTP packets in the connection.
    channel: u8,
    /// The channel of its RTCP.
    rtcp_channel: u8,
}

impl Route {
    pub(super) fn of(track: &SessionTrack) -> Option<Self> {
        let (channel, rtcp_channel) = track.transport.interleaved?;
        Some(Self { track: track.number, channel, rtcp_channel })
    }
}

impl Reader {
    pub(super) fn new(mut pieces: DerivedReader<Piece>, first: Option<Piece>, routes: Vec<Route>) -> Self {
        pieces.set_slack(SLACK);
        let skipped = pieces.skipped();
        Self { pieces, first, routes, alone: false, passed_over: None, skipped, sound: SoundSeen::default() }
    }

    /// Gives back what it reads from.
    pub(super) fn into_pieces(self) -> DerivedReader<Piece> {
        self.pieces
    }

    /// The channel of a track's RTCP.
    pub(super) fn rtcp_channel(&self, track: u8) -> Option<u8> {
        self.routes.iter().find(|route| route.track == track).map(|route| route.rtcp_channel)
    }

    /// The next piece, and the channel that it belongs on. `held_up`: for want of room in the connection others went by, if any did.
    ///
    /// # Errors
    /// The stream has ended.
    pub(super) fn poll_next(
        &mut self,
        session: &Session,
        held_up: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Piece, u8), Closed>> {
        loop {
            let piece = match self.first.take() {
                Some(first) => first,
                None => match self.pieces.poll_next(context) {
                    Poll::Ready(Ok(Next::Piece(piece))) => piece,
                    Poll::Ready(Ok(Next::Lost { pieces })) => {
                        // By so many for want of room, or this machine can do no more either.
                        session.behind(pieces, true);
                        continue;
                    }
                    Poll::Ready(Err(closed)) => return Poll::Ready(Err(closed)),
                    Poll::Pending => return Poll::Pending,
                },
            };
            if let Some(channel) = self.take(&piece, session, held_up) {
                return Poll::Ready(Ok((piece, channel)));
            }
        }
    }

    /// A newer one in the place of a piece that stands for itself and of which nothing was sent.
    pub(super) fn newer(&mut self, session: &Session) -> Option<(Piece, u8)> {
        if !self.alone {
            return None;
        }
        match self.pieces.try_next() {
            Ok(Some(Next::Piece(piece))) => {
                let channel = self.take(&piece, session, true)?;
                session.behind(1, true);
                Some((piece, channel))
            }
            _ => None,
        }
    }

    /// Counts what goes by, and answers on which channel the piece is to be sent, if it is.
    fn take(&mut self, piece: &Piece, session: &Session, held_up: bool) -> Option<u8> {
        if piece.alone != self.alone {
            self.alone = piece.alone;
            self.pieces.set_want(if piece.alone { Want::Latest } else { Want::Live });
        }
        let missing = self.sound.missing_before(piece);
        if self.routes.iter().any(|route| route.track != TrackId::VIDEO.0) {
            session.lost_sound(missing);
        }
        if piece.track == TrackId::VIDEO.0 {
            let before = self.passed_over.replace(piece.passed_over).unwrap_or(piece.passed_over);
            session.lost(piece.passed_over.saturating_sub(before), SessionDrop::Behind);
            let skipped = self.pieces.skipped();
            session.behind(skipped - std::mem::replace(&mut self.skipped, skipped), held_up);
        }
        if let Some(left_out) = &piece.left_out {
            session.lost(1, left_out.into());
            return None;
        }
        self.routes.iter().find(|route| route.track == piece.track).map(|route| route.channel)
    }
}
