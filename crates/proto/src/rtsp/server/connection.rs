//! What a connection does with bytes and time: items one by one, limits, deadlines. What it does with requests is in the files beside.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::reply::Reply;
use super::session::Session;
use super::setup::PendingSetup;
use super::{
    Answer, Close, End, Event, MOST_AHEAD_BYTES, MOST_OUTPUT_BYTES, MOST_STRAY_BYTES, Phase, REQUEST_WINDOW,
    SESSION_GRACE, SessionId, SessionTrack, Settings,
};
use crate::rtp::interleaved;
use crate::rtsp::auth::Gate;
use crate::rtsp::{Data, Item, ReadError, Reader, Status};

/// One connection. All times are since an origin of the caller's choice, the same for all calls.
///
/// While an event waits for its answer nothing that comes is looked at, but some of it may be read ahead, see
/// [`takes_ahead`](Self::takes_ahead).
///
/// Read into [`room`](Self::room), then call [`next_event`](Self::next_event) until it has nothing more, and send
/// [`output`](Self::output) before anything else. [`deadline`](Self::deadline) says when to call [`expire`](Self::expire) if nothing
/// comes; while an event waits for its answer there is none: a camera may take its time to start.
pub struct Connection {
    pub(super) settings: Arc<Settings>,
    pub(super) gate: Arc<dyn Gate>,
    pub(super) nonce: String,
    reader: Reader,
    pub(super) out: Vec<u8>,
    pub(super) state: State,
    pub(super) session: Option<Session>,
    /// What the client has announced, until its session ends.
    pub(super) announced: Option<Announced>,
    /// Events of a request that has several.
    pub(super) events: VecDeque<Event>,
    pub(super) program: Option<String>,
    opened: Duration,
    pub(super) last_request: Option<Duration>,
    /// Since when a message is begun and not whole.
    begun: Option<Duration>,
    window: Window,
    pub(super) wrong_passwords: u32,
}

#[derive(Debug)]
pub(super) enum State {
    Open,
    /// The program has not answered yet.
    Waiting(Pending),
    Closed,
}

/// What an answer is needed for.
#[derive(Debug)]
pub(super) enum Pending {
    Describe { cseq: u32, base: String },
    Setup(Box<PendingSetup>),
    Play { cseq: u32 },
    Announce { cseq: u32, path: String },
    Record { cseq: u32 },
}

#[derive(Debug)]
pub(super) struct Announced {
    pub(super) path: String,
    pub(super) controls: Vec<String>,
}

/// What came since a time.
#[derive(Debug, Default)]
struct Window {
    since: Duration,
    requests: u32,
    stray_bytes: usize,
}

/// An answer to a question that was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer to what was not asked")]
pub struct Unasked;

impl Connection {
    /// A connection that was accepted now. `nonce` is for digests, from a good random generator, another one for each connection.
    pub fn new(settings: Arc<Settings>, gate: Arc<dyn Gate>, nonce: u128, now: Duration) -> Self {
        let reader = Reader::new(settings.limits);
        Self {
            settings,
            gate,
            nonce: format!("{nonce:032x}"),
            reader,
            out: Vec::new(),
            state: State::Open,
            session: None,
            announced: None,
            events: VecDeque::new(),
            program: None,
            opened: now,
            last_request: None,
            begun: None,
            window: Window { since: now, ..Window::default() },
            wrong_passwords: 0,
        }
    }

    /// The buffer to append the next bytes from the client to. Read no more while [`wants_bytes`](Self::wants_bytes) is false.
    pub fn room(&mut self) -> &mut BytesMut {
        self.reader.room()
    }

    /// Whether more bytes would be looked at. Not while the program has not answered, or much waits to be sent, or at the end.
    pub fn wants_bytes(&self) -> bool {
        matches!(self.state, State::Open) && self.out.len() < MOST_OUTPUT_BYTES
    }

    /// Whether bytes may be read ahead: while the program has not answered, so that it notices that the client has gone. They are
    /// looked at once it has.
    pub fn takes_ahead(&self) -> bool {
        matches!(self.state, State::Waiting(_)) && self.reader.unread_bytes() < MOST_AHEAD_BYTES
    }

    /// The bytes to send next, before any packet. At most 64 KiB and one answer.
    pub fn output(&self) -> &[u8] {
        &self.out
    }

    /// Says that the first `bytes` of [`output`](Self::output) were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.out.drain(..bytes.min(self.out.len()));
        if self.out.is_empty() && self.out.capacity() > 4096 {
            self.out = Vec::new();
        }
    }

    /// Puts RTCP of a track behind what is to be sent, if its packets travel within the connection. Left out while much waits.
    pub fn send_report(&mut self, track: u8, report: &[u8]) {
        let tracks = self.session.iter().flat_map(|session| &session.tracks);
        let channels =
            tracks.filter(|known| known.number == track).find_map(|known| known.transport.interleaved);
        let (Some((_, channel)), Ok(length)) = (channels, u16::try_from(report.len())) else { return };
        if self.out.len() < MOST_OUTPUT_BYTES {
            self.out.extend(interleaved::prefix(channel, length));
            self.out.extend_from_slice(report);
        }
    }

    /// What the session does; `None` without one.
    pub fn phase(&self) -> Option<Phase> {
        self.session.as_ref().map(|session| session.phase)
    }

    /// The session's name; `None` without one.
    pub fn session_id(&self) -> Option<SessionId> {
        self.session.as_ref().map(|session| session.id)
    }

    /// The session's tracks, in the order in which they were set up.
    pub fn tracks(&self) -> &[SessionTrack] {
        self.session.as_ref().map_or(&[], |session| &session.tracks)
    }

    /// What the client says it is (User-Agent), without control characters, cut at 128 bytes.
    pub fn program(&self) -> Option<&str> {
        self.program.as_deref()
    }

    /// Says that a packet has shown that the client is there: RTCP of a reader by UDP, any of a sender.
    pub fn alive(&mut self, now: Duration) {
        if let Some(session) = &mut self.session {
            session.alive = now;
        }
    }

    /// The next event in what was read; `None` until more was read, sent or answered.
    pub fn next_event(&mut self, now: Duration) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if !self.wants_bytes() {
                return None;
            }
            let item = self.reader.next_item();
            self.begun = match &item {
                Ok(None) if !self.reader.is_between_items() => Some(self.begun.unwrap_or(now)),
                _ => None,
            };
            let event = match item {
                Ok(None) => return None,
                Ok(Some(Item::Data(data))) => self.take_data(now, data),
                Ok(Some(Item::Request(request))) => self.take_request(now, &request),
                // Nothing was asked of the client.
                Ok(Some(Item::Response(_))) => self.count_request(now, None),
                Err(error) => Some(self.refuse_unreadable(error)),
            };
            if let Some(event) = event {
                return Some(event);
            }
        }
    }

    /// When [`expire`](Self::expire) is to be called at the latest.
    pub fn deadline(&self) -> Option<Duration> {
        self.next_timeout().map(|(at, _)| at)
    }

    /// Closes the connection if its time is over.
    pub fn expire(&mut self, now: Duration) -> Option<Event> {
        let (at, reason) = self.next_timeout()?;
        if now < at {
            return None;
        }
        if matches!(reason, Close::NoRequest(_)) && !self.reader.is_between_items() {
            self.reply(Status::REQUEST_TIMEOUT, "", None).field("Connection", "close").end();
        }
        Some(self.close(reason))
    }

    fn next_timeout(&self) -> Option<(Duration, Close)> {
        if !matches!(self.state, State::Open) {
            return None;
        }
        let Settings { message_timeout, idle_timeout, session_timeout, .. } = *self.settings;
        let message = self.begun.map(|begun| (begun + message_timeout, Close::NoRequest(message_timeout)));
        let silence = match (&self.session, self.last_request) {
            (Some(session), _) if session.is_seen() => None,
            (Some(session), _) => Some((
                session.alive + session_timeout + SESSION_GRACE,
                Close::SessionTimeout(session_timeout),
            )),
            (None, Some(last)) => Some((last + idle_timeout, Close::Idle(idle_timeout))),
            (None, None) => Some((self.opened + message_timeout, Close::NoRequest(message_timeout))),
        };
        [message, silence].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Takes the program's answer to the last event that asks for one; then [`next_event`](Self::next_event) goes on.
    ///
    /// # Errors
    /// No event waits for such an answer; nothing has changed.
    pub fn answer(&mut self, now: Duration, answer: Answer) -> Result<(), Unasked> {
        let State::Waiting(pending) = std::mem::replace(&mut self.state, State::Open) else {
            return Err(Unasked);
        };
        self.last_request = Some(now);
        self.alive(now);
        match (pending, answer) {
            (pending, Answer::Refused(refusal)) => {
                let reply = self.reply(refusal.status, &refusal.reason, Some(pending.cseq()));
                match refusal.retry_after {
                    Some(time) => reply.field("Retry-After", time.as_secs().max(1)).end(),
                    None => reply.end(),
                }
            }
            (Pending::Describe { cseq, base }, Answer::Description(description)) => {
                let reply =
                    self.reply(Status::OK, "", Some(cseq)).field("Content-Base", format_args!("{base}/"));
                reply.body("application/sdp", &description.sdp);
            }
            (Pending::Setup(pending), Answer::SetUp(set_up)) => self.finish_setup(now, *pending, set_up),
            (Pending::Play { cseq }, Answer::Started(started)) => self.finish_play(now, cseq, &started),
            (Pending::Announce { cseq, path }, Answer::Announced(controls)) => {
                self.announced = Some(Announced { path, controls });
                self.reply(Status::OK, "", Some(cseq)).end();
            }
            (Pending::Record { cseq }, Answer::Recording) => self.finish_record(cseq),
            (pending, _) => {
                self.state = State::Waiting(pending);
                return Err(Unasked);
            }
        }
        Ok(())
    }

    fn take_data(&mut self, now: Duration, Data { channel, packet }: Data) -> Option<Event> {
        let found =
            self.session.as_ref().and_then(|session| Some((session.phase, session.find_channel(channel)?)));
        match found {
            Some((Phase::Recording, (track, rtcp))) => {
                self.alive(now);
                Some(Event::Data { track, rtcp, packet })
            }
            found => {
                self.roll_window(now);
                self.window.stray_bytes += packet.len() + 4;
                if self.window.stray_bytes > MOST_STRAY_BYTES {
                    return Some(self.close(Close::Flood));
                }
                match found {
                    Some((Phase::Playing, (track, true))) => {
                        self.alive(now);
                        Some(Event::Data { track, rtcp: true, packet })
                    }
                    _ => None,
                }
            }
        }
    }

    pub(super) fn count_request(&mut self, now: Duration, cseq: Option<u32>) -> Option<Event> {
        self.roll_window(now);
        self.window.requests += 1;
        if self.window.requests <= self.settings.requests {
            return None;
        }
        self.reply(Status::UNAVAILABLE, "too many requests", cseq).field("Connection", "close").end();
        Some(self.close(Close::TooManyRequests(self.settings.requests)))
    }

    fn roll_window(&mut self, now: Duration) {
        if now.saturating_sub(self.window.since) >= REQUEST_WINDOW {
            self.window = Window { since: now, ..Window::default() };
        }
    }

    fn refuse_unreadable(&mut self, error: ReadError) -> Event {
        let status = match error {
            ReadError::HeadTooLong(_) | ReadError::TooManyFields(_) => Status::HEAD_TOO_LARGE,
            ReadError::BodyTooLong { .. } => Status::BODY_TOO_LARGE,
            ReadError::Start(_) | ReadError::Tls | ReadError::Garbage(_) | ReadError::Line { .. } => {
                Status::BAD_REQUEST
            }
        };
        let cseq = self.reader.cseq();
        self.reply(status, &error.to_string(), cseq).field("Connection", "close").end();
        self.close(Close::Unreadable(error))
    }

    pub(super) fn close(&mut self, reason: Close) -> Event {
        self.state = State::Closed;
        (self.session, self.announced) = (None, None);
        self.events.clear();
        Event::Close(reason)
    }

    /// Ends the session, and says why.
    pub(super) fn end_session(&mut self, end: End) -> Event {
        self.session = None;
        Event::Ended(end)
    }

    pub(super) fn reply(&mut self, status: Status, detail: &str, cseq: Option<u32>) -> Reply<'_> {
        Reply::new(&mut self.out, status, detail, cseq, &self.settings.name)
    }

    /// A reply that names the session, if there is one.
    pub(super) fn session_reply(&mut self, status: Status, cseq: u32) -> Reply<'_> {
        let session = self.session.as_ref().map(|session| session.id);
        let timeout = self.settings.session_timeout.as_secs();
        let reply = self.reply(status, "", Some(cseq));
        match session {
            Some(id) => reply.field("Session", format_args!("{id};timeout={timeout}")),
            None => reply,
        }
    }
}

impl Pending {
    fn cseq(&self) -> u32 {
        match self {
            Self::Describe { cseq, .. }
            | Self::Play { cseq }
            | Self::Announce { cseq, .. }
            | Self::Record { cseq } => *cseq,
            Self::Setup(pending) => pending.cseq,
        }
    }
}
