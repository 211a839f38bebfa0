//! A session's numbers beside those that all viewers have: what was sent of each track, why pictures were dropped, and what its
//! client reports (RFC 3550 section 6.4).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ocelli_media::TrackId;
use ocelli_proto::rtp::HEADER_BYTES;

use super::bursts::{Laid, LeftOut};
use crate::tally::Tally;

/// Tracks of a session that have numbers: pictures and sound.
pub(super) const TRACKS: usize = 2;

/// Why a picture did not go to a reader, or not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionDrop {
    /// It was too slow, or this machine was: newer pictures were there.
    Behind,
    /// The network took no more for too long.
    Socket,
    /// The system knows no way to it.
    Unreachable,
    /// RTP cannot carry it.
    Refused,
    /// It is damaged.
    Damaged,
    /// It is longer than RTP can say.
    Oversized,
}

impl SessionDrop {
    /// Each.
    pub const ALL: [Self; 6] =
        [Self::Behind, Self::Socket, Self::Unreachable, Self::Refused, Self::Damaged, Self::Oversized];

    /// One word for it, as `/stats` and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Socket => "socket",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
            Self::Oversized => "oversized",
        }
    }
}

impl From<&LeftOut> for SessionDrop {
    fn from(left_out: &LeftOut) -> Self {
        match left_out {
            LeftOut::Refused(_) => Self::Refused,
            LeftOut::Damaged => Self::Damaged,
            LeftOut::Oversized => Self::Oversized,
        }
    }
}

/// Which sound has gone by a reader.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SoundSeen(Option<u64>);

impl SoundSeen {
    /// How many frames of sound the reader lacks between the piece before and `piece`.
    pub(super) fn missing_before(&mut self, piece: &Laid) -> u64 {
        let is_sound = piece.track != TrackId::VIDEO.0;
        let expected = self.0.replace(piece.sounds + u64::from(is_sound)).unwrap_or(piece.sounds);
        piece.sounds.saturating_sub(expected)
    }
}

/// What was sent of a track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackSent {
    /// Packets.
    pub packets: u64,
    /// What was in them behind the RTP headers.
    pub payload_bytes: u64,
    /// The number of the last one.
    pub last_sequence: u16,
    /// Its timestamp.
    pub timestamp: u32,
}

/// What the client reports of a track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackHeard {
    /// The part of the packets that it has lost, by its last report: 0 to 1.
    pub loss: f64,
    /// Packets that it has lost since it began; below zero where packets came twice.
    pub lost: i32,
    /// Mean deviation of the packets' spacing.
    pub jitter: Duration,
    /// How long a packet takes there and back, where that is known.
    pub round_trip: Option<Duration>,
    /// When the last report came.
    pub at: Instant,
}

/// The numbers of one session.
#[derive(Debug, Default)]
pub struct Numbers {
    dropped: Tally<{ SessionDrop::ALL.len() }>,
    sound_dropped: AtomicU64,
    sent: Mutex<[TrackSent; TRACKS]>,
    heard: Mutex<[Option<TrackHeard>; TRACKS]>,
    reports: AtomicU64,
    reports_dropped: AtomicU64,
    keyframes_asked: AtomicU64,
}

impl Numbers {
    /// The first `packets` of `piece`, with `bytes` together, RTP headers included, went out.
    pub(super) fn sent(&self, piece: &Laid, packets: usize, bytes: usize) {
        if packets == 0 {
            return;
        }
        if let Some(track) = lock(&self.sent).get_mut(usize::from(piece.track)) {
            track.packets += packets as u64;
            track.payload_bytes += (bytes - packets * HEADER_BYTES) as u64;
            track.last_sequence = piece.first_sequence.wrapping_add(packets as u16).wrapping_sub(1);
            track.timestamp = piece.timestamp;
        }
    }

    /// `pictures` did not go out.
    pub(super) fn dropped(&self, reason: SessionDrop, pictures: u64) {
        self.dropped.add(reason as usize, pictures);
    }

    /// So many frames of sound did not go out.
    pub(super) fn sound_dropped(&self, frames: u64) {
        self.sound_dropped.fetch_add(frames, Ordering::Relaxed);
    }

    /// The client has reported.
    pub(super) fn heard(&self, track: u8, heard: TrackHeard) {
        self.reports.fetch_add(1, Ordering::Relaxed);
        if let Some(of) = lock(&self.heard).get_mut(usize::from(track)) {
            *of = Some(heard);
        }
    }

    /// A report was not read, or not sent: too many waited already.
    pub(super) fn report_dropped(&self) {
        self.reports_dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// The client has asked for a keyframe.
    pub(super) fn keyframe_asked(&self) {
        self.keyframes_asked.fetch_add(1, Ordering::Relaxed);
    }

    /// What was sent of each track so far.
    pub fn tracks_sent(&self) -> [TrackSent; TRACKS] {
        *lock(&self.sent)
    }

    /// What the client has reported last of each track.
    pub fn tracks_heard(&self) -> [Option<TrackHeard>; TRACKS] {
        *lock(&self.heard)
    }

    /// Pictures that did not go out, by reason.
    pub fn drops(&self) -> [(SessionDrop, u64); SessionDrop::ALL.len()] {
        self.dropped.of(SessionDrop::ALL)
    }

    /// Frames of sound that did not go out.
    pub fn sound_drops(&self) -> u64 {
        self.sound_dropped.load(Ordering::Relaxed)
    }

    /// Reports that came.
    pub fn reports(&self) -> u64 {
        self.reports.load(Ordering::Relaxed)
    }

    /// Reports, the client's and ours, that were dropped because too many waited already.
    pub fn reports_dropped(&self) -> u64 {
        self.reports_dropped.load(Ordering::Relaxed)
    }

    /// Keyframes that the client has asked for.
    pub fn keyframes_asked(&self) -> u64 {
        self.keyframes_asked.load(Ordering::Relaxed)
    }
}

/// A lock whose holders only ever assign.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
