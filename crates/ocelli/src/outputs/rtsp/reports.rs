//! RTCP of one session (RFC 3550 section 6, RFC 4585), whichever way it travels: what its client is told of the streams' clocks, and
//! what it says of their packets.
//!
//! The first report goes out before the first packet, so that a client knows at once when pictures were taken, and which sound
//! belongs to them. What was sent is looked up when a report is due: sending costs nothing more for it.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use ocelli_proto::rtcp::{SenderSession, SenderSetup, SentPicture};

use super::bursts::Laid;
use super::numbers::{Numbers, TRACKS, TrackHeard, TrackSent};

/// The reports of one session.
pub(super) struct Reports {
    one_client: bool,
    began: Instant,
    tracks: Vec<TrackReports>,
    out: Vec<u8>,
}

struct TrackReports {
    number: u8,
    session: SenderSession,
    /// What `session` knows of.
    told: TrackSent,
}

impl Reports {
    /// To one client, or to a group of them; about nothing yet.
    pub(super) fn new(one_client: bool) -> Self {
        Self { one_client, began: Instant::now(), tracks: Vec::new(), out: Vec::new() }
    }

    /// Tells the clocks of `tracks` by the piece that the client gets first. What was sent before is nothing of theirs.
    pub(super) fn begin(&mut self, first: &Laid, tracks: &[u8], numbers: &Numbers) {
        let (now, captured) = (self.began.elapsed(), first.captured.unwrap_or_else(SystemTime::now));
        let sent = numbers.tracks_sent();
        self.tracks.retain(|track| {
            first.numbers().any(|at| (at.track, at.ssrc) == (track.number, track.session.ssrc()))
        });
        for at in first.numbers().filter(|at| tracks.contains(&at.track)) {
            if self.tracks.iter().any(|known| known.number == at.track) {
                continue;
            }
            let mut session = SenderSession::new(SenderSetup {
                ssrc: at.ssrc,
                cname: cname().to_owned(),
                rate: at.rate,
                unicast: self.one_client,
                often: false,
            });
            session.begin(now, at.timestamp, captured, &mut fastrand::f64);
            self.tracks.push(TrackReports { number: at.track, session, told: of(&sent, at.track) });
        }
    }

    /// When [`poll`](Self::poll) has something to do; `None` before the streams have begun.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = self.tracks.iter().map(|track| track.session.due()).min()?;
        self.began.checked_add(due)
    }

    /// Gives `send` the reports that are due, each with the number of its track.
    pub(super) fn poll(&mut self, numbers: &Numbers, mut send: impl FnMut(u8, &[u8])) {
        let now = self.began.elapsed();
        if self.tracks.iter().all(|track| track.session.due() > now) {
            return;
        }
        self.note_sent(numbers);
        for track in &mut self.tracks {
            self.out.clear();
            if track.session.poll(now, SystemTime::now(), &mut fastrand::f64, &mut self.out) {
                send(track.number, &self.out);
            }
        }
    }

    /// Gives `send` the farewells.
    pub(super) fn bye(&mut self, numbers: &Numbers, mut send: impl FnMut(u8, &[u8])) {
        self.note_sent(numbers);
        for track in &mut self.tracks {
            self.out.clear();
            if track.session.bye(self.began.elapsed(), SystemTime::now(), &mut self.out) {
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

    /// Reads what the client says about track `number`. Whether it cannot go on without a keyframe.
    pub(super) fn read(&mut self, number: u8, datagram: &[u8], numbers: &Numbers) -> bool {
        self.note_sent(numbers);
        let Some(track) = self.tracks.iter_mut().find(|track| track.number == number) else { return false };
        let before = track.session.counts();
        let mut reports = Vec::new();
        let Ok(heard) = track.session.datagram(self.began.elapsed(), datagram, &mut reports) else {
            return false;
        };
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
        let (now, all) = (self.began.elapsed(), numbers.tracks_sent());
        for track in &mut self.tracks {
            let sent = of(&all, track.number);
            if sent.packets > track.told.packets {
                let since = SentPicture {
                    packets: (sent.packets - track.told.packets) as u32,
                    payload_bytes: sent.payload_bytes - track.told.payload_bytes,
                    last_sequence: sent.last_sequence,
                    timestamp: sent.timestamp,
                    // What was taken at an unknown time is taken for something of this moment.
                    captured: sent.captured.unwrap_or_else(SystemTime::now),
                };
                track.session.sent(now, &since, &mut fastrand::f64);
                track.told = sent;
            }
        }
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
