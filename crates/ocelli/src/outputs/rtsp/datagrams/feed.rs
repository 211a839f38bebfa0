//! A camera's pictures to all of its readers by UDP: one task that gives each picture to the kernel for dozens of readers by one call.
//!
//! A reader that has come joins where the ring is by then ([`Feed::join`]); what was before that it has got by itself
//! ([`begin`](super::begin)). Where the socket takes no more it is waited for as long as pictures are apart. Then the readers that
//! have not got the picture lose it, and those up to the next key with it: counted, and seen by them as missing numbers.

use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ocelli_hub::{DerivedReader, Next, RingId, Stream, Want};
use ocelli_media::TrackId;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Heard;
use super::ends::{Ends, Kind};
use super::group::Seats;
use crate::outputs::rtsp::bursts::{Laid, Piece};
use crate::outputs::rtsp::numbers::{SessionDrop, SoundSeen, TRACKS};
use crate::outputs::rtsp::session::Session;
use crate::udp::{Destination, Parcel, Progress, fan_out, room_in};

/// A full socket is waited for as long as pictures are apart, within these bounds.
const LEAST_PATIENCE: Duration = Duration::from_millis(5);
pub(super) const MOST_PATIENCE: Duration = Duration::from_millis(200);
/// Of a picture with more than this, a reader gets so much each [`ROUND_APART`]: its socket's buffer holds two hundred packets
/// where nobody has asked for more.
const ROUND_BYTES: usize = 48 << 10;
const ROUND_APART: Duration = Duration::from_millis(2);
/// Calls of the system after which others have their turn: about a megabyte, less than a millisecond. After each one it is a tenth more
/// CPU with 100 readers, for the runtime looks at its sockets each time, and no picture comes sooner.
const TURN: usize = 4;
/// How many pictures the feed may be behind the camera when there is a newer key.
const SLACK: u64 = 48;

/// One that pictures are sent to.
#[derive(Debug)]
pub(super) struct Member {
    /// Where the packets of each track go, if they do.
    pub(super) to: [Option<Destination>; TRACKS],
    pub(super) ends: Arc<Ends>,
    pub(super) audience: Audience,
    /// Its session is over.
    pub(super) left: Arc<AtomicBool>,
    /// It has begun: there was a picture that it could begin with.
    pub(super) begun: bool,
    /// Why it lacks a picture, where those up to the next key cannot be shown without it.
    pub(super) needs_key: Option<SessionDrop>,
    pub(super) sound: SoundSeen,
    /// Its session's task.
    pub(super) tell: mpsc::Sender<Heard>,
}

/// Who watches what is sent to a member.
#[derive(Debug)]
pub(super) enum Audience {
    /// One session.
    One(Arc<Session>),
    /// All that watch a group.
    Group(Arc<Seats>),
}

impl Member {
    /// Whether `piece` is for it. If not because of one before, that is counted.
    pub(super) fn wants(&mut self, piece: &Piece) -> bool {
        let has_track = self.to.get(usize::from(piece.track)).is_some_and(Option::is_some);
        if self.left.load(Ordering::Relaxed) || !(self.begun || piece.key) {
            return false;
        }
        if !std::mem::replace(&mut self.begun, true) {
            let _ = self.tell.try_send(Heard::Begins(piece.clone()));
        }
        let missing = self.sound.missing_before(piece);
        if missing > 0 {
            self.lose_sound(missing);
        }
        if !has_track {
            return false;
        }
        if let Some(left_out) = &piece.left_out {
            self.lose(piece, left_out.into());
            return false;
        }
        if piece.key {
            self.needs_key = None;
        }
        match self.needs_key.filter(|_| piece.track == TrackId::VIDEO.0) {
            Some(reason) => {
                self.lose(piece, reason);
                false
            }
            None => true,
        }
    }

    /// It does not get `piece`, or not all of it.
    pub(super) fn lose(&mut self, piece: &Laid, reason: SessionDrop) {
        if piece.track == TrackId::VIDEO.0 {
            self.lose_pictures(1, reason);
            if !piece.alone {
                self.needs_key = Some(reason);
            }
        } else {
            self.lose_sound(1);
        }
    }

    /// Counts sound that it does not get, if it wants any.
    fn lose_sound(&self, frames: u64) {
        if self.to.get(usize::from(TrackId::AUDIO.0)).is_none_or(Option::is_none) {
            return;
        }
        match &self.audience {
            Audience::One(session) => session.lost_sound(frames),
            Audience::Group(seats) => seats.lost_sound(frames),
        }
    }

    pub(super) fn lose_pictures(&self, pictures: u64, reason: SessionDrop) {
        match &self.audience {
            Audience::One(session) => session.lost(pictures, reason),
            Audience::Group(seats) => seats.lost(pictures, reason),
        }
    }

    /// It has got all of `piece`, or a part of it.
    pub(super) fn got(&self, piece: &Laid, packets: usize, bytes: usize) {
        match &self.audience {
            Audience::One(session) => session.got(piece, packets, bytes),
            Audience::Group(seats) => seats.got(piece, packets, bytes),
        }
    }
}

/// The readers of one ring.
#[derive(Debug)]
pub(super) struct Feed {
    ring: RingId,
    doorway: Arc<Mutex<Doorway>>,
    task: AbortHandle,
}

/// Where readers come in.
#[derive(Debug, Default)]
struct Doorway {
    /// The position of the first piece that was not sent yet.
    next: u64,
    /// Those who have come since, each with the position of the piece that it wants next.
    came: Vec<(u64, Member)>,
    closed: bool,
}

/// Why a reader cannot join.
pub(super) enum Refused {
    /// The feed is further than it: there are pieces for it.
    Ahead(Box<Member>),
    /// The stream has ended.
    Closed,
}

impl Feed {
    /// Feeds the readers of the ring that `pieces` reads. Ends when it is dropped. Must be called within a tokio runtime.
    pub(super) fn start(stream: Arc<Stream>, pieces: &DerivedReader<Piece>) -> Arc<Self> {
        let mut own = pieces.sibling(Want::Live);
        own.set_slack(SLACK);
        let doorway = Arc::<Mutex<Doorway>>::default();
        let runner = Runner {
            stream,
            pieces: own,
            doorway: doorway.clone(),
            members: Vec::new(),
            seen: Seen::default(),
            parcel: Parcel::default(),
            who: Vec::new(),
            turn: TURN,
        };
        let task = tokio::spawn(runner.run()).abort_handle();
        Arc::new(Self { ring: pieces.ring_id(), doorway, task })
    }

    /// It feeds the readers of the ring that `pieces` reads.
    pub(super) fn is_of(&self, pieces: &DerivedReader<Piece>) -> bool {
        self.ring == pieces.ring_id() && !lock(&self.doorway).closed
    }

    /// Takes `member`, which wants the piece at position `from` next.
    pub(super) fn join(&self, from: u64, member: Member) -> Result<(), Refused> {
        let mut doorway = lock(&self.doorway);
        if doorway.closed {
            return Err(Refused::Closed);
        }
        if doorway.next > from {
            return Err(Refused::Ahead(Box::new(member)));
        }
        doorway.came.push((from, member));
        Ok(())
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The feed's task.
struct Runner {
    stream: Arc<Stream>,
    pieces: DerivedReader<Piece>,
    doorway: Arc<Mutex<Doorway>>,
    members: Vec<(u64, Member)>,
    seen: Seen,
    parcel: Parcel,
    /// Those that get the piece at hand: indices of `members`.
    who: Vec<usize>,
    /// Calls that are left until others have their turn.
    turn: usize,
}

/// What the last picture left behind.
#[derive(Default)]
struct Seen {
    skipped: u64,
    passed_over: Option<u64>,
    timestamp: Option<u32>,
    patience: Duration,
}

impl Runner {
    async fn run(mut self) {
        loop {
            match self.pieces.next().await {
                Ok(Next::Piece(piece)) => self.take(&piece).await,
                Ok(Next::Lost { pieces }) => self.lose(pieces),
                Err(_) => break self.end(),
            }
        }
    }

    /// The stream is over.
    fn end(&mut self) {
        let came = {
            let mut doorway = lock(&self.doorway);
            doorway.closed = true;
            std::mem::take(&mut doorway.came)
        };
        for (_, member) in self.members.drain(..).chain(came) {
            let _ = member.tell.try_send(Heard::Closed);
        }
    }

    fn lose(&mut self, pieces: u64) {
        for (_, member) in &mut self.members {
            member.lose_pictures(pieces, SessionDrop::Behind);
            member.needs_key = Some(SessionDrop::Behind);
        }
    }

    async fn take(&mut self, piece: &Piece) {
        let position = self.pieces.position() - 1;
        let came = {
            let mut doorway = lock(&self.doorway);
            doorway.next = position + 1;
            std::mem::take(&mut doorway.came)
        };
        self.members.extend(came);
        self.members.retain(|(_, member)| !member.left.load(Ordering::Relaxed));
        self.note_skipped(piece);
        if self.members.is_empty() {
            return;
        }
        self.parcel.lay(piece.ranges().map(|packet| &piece.packets[packet]));
        let until = Instant::now() + self.seen.patience;
        for kind in [Kind::Ipv4, Kind::Ipv6, Kind::Group] {
            self.who.clear();
            for (index, (from, member)) in self.members.iter_mut().enumerate() {
                if *from <= position && member.ends.kind == kind && member.wants(piece) {
                    self.who.push(index);
                }
            }
            self.send(piece, until).await;
        }
    }

    /// Counts what went by unsent, and learns how far pictures are apart.
    fn note_skipped(&mut self, piece: &Laid) {
        if piece.track != TrackId::VIDEO.0 {
            self.seen.patience = self.seen.patience.max(LEAST_PATIENCE);
            return;
        }
        self.pieces.set_want(if piece.alone { Want::Latest } else { Want::Live });
        let skipped = self.pieces.skipped();
        let passed_over =
            piece.passed_over - self.seen.passed_over.unwrap_or(piece.passed_over).min(piece.passed_over);
        let behind = skipped - self.seen.skipped + passed_over;
        (self.seen.skipped, self.seen.passed_over) = (skipped, Some(piece.passed_over));
        if behind > 0 {
            self.members.iter().for_each(|(_, member)| member.lose_pictures(behind, SessionDrop::Behind));
        }
        let before = self.seen.timestamp.replace(piece.timestamp).unwrap_or(piece.timestamp);
        // Pictures of a stream with reordering may be shown before the last one.
        let apart = piece.timestamp.wrapping_sub(before).cast_signed().unsigned_abs();
        let apart = Duration::from_secs_f64(f64::from(apart) / f64::from(piece.rate.get()));
        self.seen.patience = apart.clamp(LEAST_PATIENCE, MOST_PATIENCE);
    }

    /// Sends the parcel, which is `piece`, to those in `who`: to all of them a round, and then the next.
    async fn send(&mut self, piece: &Laid, until: Instant) {
        let mut done = 0;
        while done < self.parcel.packet_count() {
            if done > 0 {
                sleep(ROUND_APART).await;
            }
            let round = self.parcel.round(done, ROUND_BYTES);
            done = round.end;
            self.send_round(piece, round, until).await;
        }
    }

    async fn send_round(&mut self, piece: &Laid, round: Range<usize>, until: Instant) {
        let Self { members, who, parcel, stream, turn, .. } = self;
        let Some(ends) = who.first().map(|first| members[*first].1.ends.clone()) else { return };
        let (track, is_last) = (usize::from(piece.track), round.end == parcel.packet_count());
        let mut progress = Progress::default();
        while progress.destinations < who.len() {
            let before = progress.destinations;
            let destination = |index: usize| {
                members[who[index]].1.to[track].as_ref().expect("who wants a track has a place for it")
            };
            let sent = fan_out(&ends.rtp, parcel, round.clone(), who.len(), destination, &mut progress);
            let reason = match sent {
                Ok(()) => {
                    if is_last {
                        let bytes = parcel.bytes_of(round.end);
                        let got = &who[before..progress.destinations];
                        got.iter().for_each(|index| members[*index].1.got(piece, round.end, bytes));
                    }
                    *turn -= 1;
                    if *turn == 0 {
                        // A thousand readers take milliseconds.
                        *turn = TURN;
                        tokio::task::yield_now().await;
                    }
                    continue;
                }
                Err(error) => match wait_for_room(&ends, &error, until).await {
                    ControlFlow::Continue(()) => continue,
                    ControlFlow::Break(reason) => reason,
                },
            };
            let last = if reason == SessionDrop::Socket { who.len() } else { before + 1 };
            for (at, index) in who.drain(before..last).enumerate() {
                let packets = round.start + if at == 0 { progress.packets } else { 0 };
                let member = &mut members[index].1;
                member.got(piece, packets, parcel.bytes_of(packets));
                member.lose(piece, reason);
            }
            progress.packets = 0;
            // One whom nothing reaches begins anew at the next key there is: none is made for it.
            if !piece.alone && reason == SessionDrop::Socket {
                stream.ask_keyframe();
            }
        }
    }
}

/// Waits until the socket takes more, where that is what is wrong; else, and when the time is over, answers what is.
pub(super) async fn wait_for_room(
    ends: &Ends,
    error: &io::Error,
    until: Instant,
) -> ControlFlow<SessionDrop> {
    if error.kind() == io::ErrorKind::Interrupted {
        return ControlFlow::Continue(());
    }
    let is_blocked = error.kind() == io::ErrorKind::WouldBlock;
    if !is_blocked && !matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM)) {
        tracing::debug!("a reader of RTSP cannot be reached by UDP: {error}");
        return ControlFlow::Break(SessionDrop::Unreachable);
    }
    let now = Instant::now();
    if now >= until {
        return ControlFlow::Break(SessionDrop::Socket);
    }
    if is_blocked {
        return match timeout_at(until, room_in(&ends.rtp)).await {
            Ok(Ok(())) => ControlFlow::Continue(()),
            _ => ControlFlow::Break(SessionDrop::Socket),
        };
    }
    // It is the interface's queue that is full, which nobody tells of when it is not any more.
    sleep_until(until.min(now + ROUND_APART)).await;
    ControlFlow::Continue(())
}

fn lock(doorway: &Mutex<Doorway>) -> MutexGuard<'_, Doorway> {
    doorway.lock().unwrap_or_else(PoisonError::into_inner)
}
