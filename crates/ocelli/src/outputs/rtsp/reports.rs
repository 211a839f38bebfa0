//! RTCP of one session (RFC 3550 section 6, RFC 4585), whichever way it travels: what its client is told of the streams' clocks, and
//! what it says of their packets.
//!
//! The first report goes out before the first packet, so that a client knows at once when pictures were taken, and which sound
//! belongs to them. What was sent is looked up when a report is due: sending costs nothing more for it. Reports tell the time by a
//! clock that began with the session at the wall clock's time and that nobody sets: its pace is what players go by.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use ocelli_media::TrackId;
use ocelli_proto::rtcp::{SenderSession, SenderSetup, SentPicture};

use super::bursts::Laid;
use super::moments::{Moments, Told};
use super::numbers::{Numbers, TRACKS, TrackHeard, TrackSent};
use crate::variants::Receipts;

/// The reports of one session.
pub(super) struct Reports {
    one_client: bool,
    clock: Clock,
    /// When what was sent was taken.
    moments: Option<Arc<Moments>>,
    /// When what is told was looked at last.
    followed: Instant,
    tracks: Vec<TrackReports>,
    out: Vec<u8>,
}

/// A clock that said `wall` when it began.
#[derive(Clone, Copy, Debug)]
struct Clock {
    began: Instant,
    wall: SystemTime,
}

struct TrackReports {
    number: u8,
    session: SenderSession,
    rate: NonZeroU32,
    /// What `session` knows of.
    sent: TrackSent,
    /// What the client was told of its clock.
    told: Told,
}

impl Reports {
    /// To one client, or to a group of them; about nothing yet.
    pub(super) fn new(one_client: bool) -> Self {
        let began = Instant::now();
        Self {
            one_client,
            clock: Clock { began, wall: SystemTime::now() },
            moments: None,
            followed: began,
            tracks: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Whether there is anything to report about.
    pub(super) fn has_begun(&self) -> bool {
        !self.tracks.is_empty()
    }

    /// Tells the clocks of `tracks` by the piece that the client gets first. What was sent before is nothing of theirs.
    pub(super) fn begin(&mut self, first: &Laid, tracks: &[u8], numbers: &Numbers) {
        let now = Instant::now();
        let taken = first.taken().unwrap_or(now);
        let sent = numbers.tracks_sent();
        self.moments = Some(first.moments.clone());
        self.tracks.retain(|track| {
            first.numbers().any(|at| (at.track, at.ssrc) == (track.number, track.session.ssrc()))
        });
        for at in first.numbers().filter(|at| tracks.contains(&at.track)) {
            let told = Told { timestamp: at.timestamp, taken };
            if let Some(known) = self.tracks.iter_mut().find(|known| known.number == at.track) {
                known.told = told;
                continue;
            }
            let mut session = SenderSession::new(SenderSetup {
                ssrc: at.ssrc,
                cname: cname().to_owned(),
                rate: at.rate,
                unicast: self.one_client,
                often: false,
            });
            session.begin(
                now - self.clock.began,
                at.timestamp,
                self.clock.wall_at(taken),
                &mut fastrand::f64,
            );
            let sent = of(&sent, at.track);
            self.tracks.push(TrackReports { number: at.track, session, rate: at.rate, sent, told });
        }
    }

    /// When [`poll`](Self::poll) has something to do; `None` before the streams have begun.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = self.tracks.iter().map(|track| track.session.due()).min()?;
        self.clock.began.checked_add(due)
    }

    /// Gives `send` the reports that are due, each with the number of its track.
    pub(super) fn poll(&mut self, numbers: &Numbers, mut send: impl FnMut(u8, &[u8])) {
        let moment = Instant::now();
        let (now, wall) = (moment - self.clock.began, self.clock.wall_at(moment));
        if self.tracks.iter().all(|track| track.session.due() > now) {
            return;
        }
        self.note_sent(numbers);
        for track in &mut self.tracks {
            self.out.clear();
            if track.session.poll(now, wall, &mut fastrand::f64, &mut self.out) {
                send(track.number, &self.out);
            }
        }
    }

    /// Gives `send` the farewells.
    pub(super) fn bye(&mut self, numbers: &Numbers, mut send: impl FnMut(u8, &[u8])) {
        self.note_sent(numbers);
        let moment = Instant::now();
        let (now, wall) = (moment - self.clock.began, self.clock.wall_at(moment));
        for track in &mut self.tracks {
            self.out.clear();
            if track.session.bye(now, wall, &mut self.out) {
                send(track.number, &self.out);
            }
        }
    }

    /// Whether `datagram` is of one of these streams' senders.
    pub(super) fn is_own(&self, datagram: &[u8]) -> bool {
        let ssrc =
            datagram.get(4..8).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        self.tracks.iter().any(|track| Some(track.session.ssrc()) == ssrc)
    }

    /// Reads what the client says about track `number`, and adds what it says of pictures to `receipts`. Whether it cannot go on
    /// without a keyframe.
    pub(super) fn read(
        &mut self,
        number: u8,
        datagram: &[u8],
        numbers: &Numbers,
        receipts: &Receipts,
    ) -> bool {
        self.note_sent(numbers);
        let Some(track) = self.tracks.iter_mut().find(|track| track.number == number) else { return false };
        let before = track.session.counts();
        let mut reports = Vec::new();
        let Ok(heard) = track.session.datagram(self.clock.began.elapsed(), datagram, &mut reports) else {
            return false;
        };
        if number == TrackId::VIDEO.0 {
            let now = Instant::now();
            // Whatever sources it reports as, it is one who watches.
            for mut report in reports {
                report.receiver = 0;
                receipts.add(&report, self.clock.began, now);
            }
        }
        let counts = track.session.counts();
        if counts.reports > before.reports {
            let audience = track.session.audience();
            numbers.heard(
                number,
                TrackHeard {
                    loss: audience.worst_loss,
                    lost: audience.lost,
                    jitter: audience.jitter,
                    round_trip: audience.round_trip,
                    at: Instant::now(),
                },
            );
        }
        if counts.keyframes_asked > before.keyframes_asked {
            numbers.keyframe_asked();
        }
        heard.keyframe
    }

    fn note_sent(&mut self, numbers: &Numbers) {
        let (now, all) = (Instant::now(), numbers.tracks_sent());
        for track in &mut self.tracks {
            let sent = of(&all, track.number);
            if sent.packets > track.sent.packets {
                track.told = track.told.at(sent.timestamp, track.rate);
            }
        }
        self.follow(now);
        let clock = self.clock;
        for track in &mut self.tracks {
            let sent = of(&all, track.number);
            if sent.packets > track.sent.packets {
                let since = SentPicture {
                    packets: (sent.packets - track.sent.packets) as u32,
                    payload_bytes: sent.payload_bytes - track.sent.payload_bytes,
                    last_sequence: sent.last_sequence,
                    timestamp: sent.timestamp,
                    captured: clock.wall_at(track.told.taken),
                };
                track.session.sent(now - clock.began, &since, &mut fastrand::f64);
                track.sent = sent;
            }
        }
    }

    /// Brings what the client is told nearer to what is known by `now`.
    fn follow(&mut self, now: Instant) {
        let Some(moments) = &self.moments else { return };
        let passed = now.saturating_duration_since(self.followed);
        self.followed = now;
        for track in &mut self.tracks {
            if let Some(known) = moments.taken(track.number, track.told.timestamp) {
                track.told = track.told.follow(known, passed);
            }
        }
    }
}

impl Clock {
    /// What it says at `moment`.
    fn wall_at(self, moment: Instant) -> SystemTime {
        let Self { began, wall } = self;
        let at = match moment.checked_duration_since(began) {
            Some(since) => wall.checked_add(since),
            None => wall.checked_sub(began.duration_since(moment)),
        };
        at.unwrap_or(wall)
    }
}

fn of(all: &[TrackSent; TRACKS], number: u8) -> TrackSent {
    all.get(usize::from(number)).copied().unwrap_or_default()
}

/// This program's name in reports to RTSP clients: 96 random bits, the same as long as it runs (RFC 7022 section 4.2), so that
/// clients know which sound belongs to which pictures.
fn cname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| format!("{:024x}", fastrand::u128(..) >> 32))
}
