//! How a reader by UDP begins: with the newest key there is, at once, and all since, with their own times; then it joins the others.
//!
//! What is behind is sent faster than it was taken, but not all at once: a player that nobody has told otherwise has room for two
//! hundred packets or so. FFmpeg, the one that is watched here, reads almost thirty pictures to know the stream, as they come. Then
//! it opens its decoder, and decodes what it has read; for half a second it reads nothing more. From then on it decodes between two
//! looks at its socket. So there are three [`Stage`]s.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use ocelli_hub::{DerivedReader, Next, Stream, Want};
use ocelli_media::TrackId;
use tokio::time::{Instant, sleep, sleep_until};

use super::Heard;
use super::feed::{Feed, MOST_PATIENCE, Member, Refused, wait_for_room};
use crate::outputs::rtsp::bursts::{Laid, Piece};
use crate::outputs::rtsp::numbers::SessionDrop;
use crate::udp::{Parcel, Progress, fan_out};

/// How much faster pictures that are behind are sent than they were taken, at most.
const MOST_SPEED: f64 = 4.0;
/// So many bits a second are sent, where that is faster than they were taken by [`LEAST_SPEED`] at least.
const BITS_PER_SECOND: f64 = 20e6;
const LEAST_SPEED: f64 = 1.25;
/// How many pictures a player wants to see before it opens its decoder.
const PROBED: u32 = 28;
/// How long it reads nothing then, and how much goes into its room meanwhile.
const OPENING: Duration = Duration::from_millis(800);
const OPENING_BITS_PER_SECOND: f64 = 3.2e6;
/// So much of a picture goes at once, and the next so much later.
const ROUND_BYTES: usize = 32 << 10;
const ROUND_APART: Duration = Duration::from_millis(4);
/// Pictures that are further apart, in seconds, are not waited for.
const MOST_APART: f64 = 1.0;

/// What a reader begins with.
pub(super) struct Beginning {
    pub(super) stream: Arc<Stream>,
    pub(super) pieces: DerivedReader<Piece>,
    /// Taken from `pieces` already.
    pub(super) first: Option<Piece>,
    pub(super) member: Member,
    pub(super) feed: Arc<Feed>,
}

impl Beginning {
    /// Runs until the reader has joined the others.
    pub(super) async fn run(mut self) {
        let mut pace = Pace {
            stage: Stage::Probing,
            due: Instant::now(),
            first_timestamp: None,
            latest: 0.0,
            pictures: 0,
            bytes: 0,
        };
        let tell = self.member.tell.clone();
        // What is behind is not to be left out because a newer key comes meanwhile.
        self.pieces.set_want(Want::All);
        loop {
            let piece = match self
                .first
                .take()
                .map(Next::Piece)
                .map_or_else(|| self.pieces.try_next(), |next| Ok(Some(next)))
            {
                Ok(Some(Next::Piece(piece))) => piece,
                Ok(Some(Next::Lost { pieces })) => {
                    self.member.lose_pictures(pieces, SessionDrop::Behind);
                    continue;
                }
                Ok(None) => match self.feed.join(self.pieces.position(), self.member) {
                    Err(Refused::Ahead(member)) => {
                        self.member = *member;
                        // What the others have had is there, or there for a moment at least.
                        sleep(Duration::from_millis(1)).await;
                        continue;
                    }
                    Ok(()) => return,
                    Err(Refused::Closed) => break,
                },
                Err(_) => break,
            };
            if piece.alone {
                self.pieces.set_want(Want::Latest);
            }
            if self.member.wants(&piece) {
                pace.send(&piece, &mut self.member, &self.stream).await;
            }
        }
        let _ = tell.try_send(Heard::Closed);
    }
}

/// What goes out when.
struct Pace {
    stage: Stage,
    /// When the last picture was due.
    due: Instant,
    /// Of the first picture, and how far behind it, in seconds, the latest is.
    first_timestamp: Option<u32>,
    latest: f64,
    /// How many went.
    pictures: u32,
    /// Of the last picture.
    bytes: usize,
}

/// What the player does meanwhile.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// It looks what the stream is.
    Probing,
    /// It opens its decoder, until then.
    Opening(Instant),
    /// It plays.
    Playing,
}

impl Stage {
    /// How long after the picture before, which had `bits`, one may go that was taken so much later.
    fn apart(self, taken_apart: f64, bits: f64) -> f64 {
        let fast = (taken_apart / MOST_SPEED).max(bits / BITS_PER_SECOND);
        match self {
            Self::Probing => fast.min(taken_apart),
            Self::Opening(_) => taken_apart.max(bits / OPENING_BITS_PER_SECOND),
            Self::Playing => fast.min(taken_apart / LEAST_SPEED),
        }
    }

    fn next(self, now: Instant, pictures: u32) -> Self {
        match self {
            Self::Probing if pictures >= PROBED => Self::Opening(now + OPENING),
            Self::Opening(end) if now >= end => Self::Playing,
            stage => stage,
        }
    }
}

impl Pace {
    async fn send(&mut self, piece: &Piece, member: &mut Member, stream: &Stream) {
        let Some(to) = member.to[usize::from(piece.track)].as_ref() else { return };
        self.wait_for_its_time(piece).await;
        let until = Instant::now() + MOST_PATIENCE;
        let (mut sent, mut bytes, mut lost) = (0, 0, None);
        while sent < piece.packet_count() && lost.is_none() {
            if sent > 0 {
                sleep(ROUND_APART).await;
            }
            // No longer than it takes to send it: a thousand who begin together would hold a keyframe each.
            let mut parcel = Parcel::default();
            parcel.lay(round(piece, sent));
            let mut progress = Progress::default();
            while progress.destinations == 0 && lost.is_none() {
                if let Err(error) =
                    fan_out(&member.ends.rtp, &parcel, 0..parcel.packet_count(), 1, |_| to, &mut progress)
                    && let ControlFlow::Break(reason) = wait_for_room(&member.ends, &error, until).await
                {
                    lost = Some(reason);
                }
            }
            let went = if lost.is_some() { progress.packets } else { parcel.packet_count() };
            sent += went;
            bytes += parcel.bytes_of(went);
        }
        if piece.track == TrackId::VIDEO.0 {
            // The first is what everything waits for; it went by rounds.
            self.bytes = if piece.timestamp == self.first_timestamp.unwrap_or_default() { 0 } else { bytes };
        }
        member.got(piece, sent, bytes);
        if let Some(reason) = lost {
            member.lose(piece, reason);
            if reason == SessionDrop::Socket {
                stream.ask_keyframe();
            }
        }
    }

    async fn wait_for_its_time(&mut self, piece: &Piece) {
        if piece.track != TrackId::VIDEO.0 {
            return;
        }
        let first = *self.first_timestamp.get_or_insert(piece.timestamp);
        let behind = piece.timestamp.wrapping_sub(first).cast_signed();
        let behind = f64::from(behind) / f64::from(piece.rate.get());
        // One that is shown before another that went already is due at once.
        let apart = (behind - self.latest).clamp(0.0, MOST_APART);
        self.latest = self.latest.max(behind);
        let apart = self.stage.apart(apart, self.bytes as f64 * 8.0);
        self.due = (self.due + Duration::from_secs_f64(apart)).max(Instant::now());
        sleep_until(self.due).await;
        self.pictures += 1;
        self.stage = self.stage.next(self.due, self.pictures);
    }
}

/// The packets from index `from` on that go at once: one at least.
fn round(piece: &Laid, from: usize) -> impl Iterator<Item = &[u8]> {
    let mut bytes = 0;
    let packets = piece.ranges().skip(from).take_while(move |packet| {
        let is_first = bytes == 0;
        bytes += packet.len();
        is_first || bytes <= ROUND_BYTES
    });
    packets.map(|packet| &piece.packets[packet])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When pictures of so many bits, thirty a second, are due, in seconds.
    fn due(bits: f64, pictures: usize) -> Vec<f64> {
        let start = Instant::now();
        let (mut stage, mut at, mut all) = (Stage::Probing, 0.0, vec![0.0]);
        for index in 1..pictures {
            at += stage.apart(1.0 / 30.0, if index == 1 { 0.0 } else { bits });
            stage = stage.next(start + Duration::from_secs_f64(at), index as u32 + 1);
            all.push(at);
        }
        all
    }

    #[test]
    fn what_goes_out_while_a_player_opens_its_decoder_fits_into_its_room() {
        for mbit_s in [1.0, 4.0, 16.0, 60.0] {
            let bits = mbit_s * 1e6 / 30.0;
            let due = due(bits, 600);
            let sent_within = |from: f64, to: f64| {
                due.iter().filter(|at| (from..to).contains(*at)).count() as f64 * bits / 8.0
            };
            let probed = due[PROBED as usize - 1];
            assert!(probed < 1.0, "{mbit_s} Mbit/s: {probed}");
            assert!(sent_within(probed + 0.001, probed + 0.6) < 250e3, "{mbit_s} Mbit/s");
            // Half a second later it is faster than the camera again.
            let (early, late) = (due[300], due[599]);
            assert!(late - early < 299.0 / 30.0 / 1.2, "{mbit_s} Mbit/s: {early} to {late}");
        }
        assert!(due(4e6 / 30.0, 30)[27] < 0.25, "slow cameras' players know soon what they get");
    }
}
