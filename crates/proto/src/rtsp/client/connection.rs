//! What a client does with bytes and time: items one by one, answers found for requests, deadlines. What it asks is in `steps.rs`.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::BytesMut;

use super::request::{Asked, Step};
use super::setup::{Session, TrackSetup};
use super::{
    Address, BODY_TIMEOUT, Cause, Event, Input, Lessons, MOST_OUTPUT_BYTES, MOST_REQUESTS, OPTIONS_TIMEOUT,
    Place, REQUEST_WINDOW, Settings, TEARDOWN_TIMEOUT,
};
use crate::rtsp::auth::Challenge;
use crate::rtsp::{Data, Item, Method, Reader, Response, Version};

/// One try to play a camera's stream. All times are since an origin of the caller's choice, the same for all calls.
///
/// Read into [`room`](Self::room), then call [`next_event`](Self::next_event) until it has nothing more, and send
/// [`output`](Self::output). [`deadline`](Self::deadline) says when to call [`expire`](Self::expire) if nothing comes.
pub struct Client {
    pub(super) settings: Settings,
    pub(super) address: Address,
    random: u64,
    reader: Reader,
    pub(super) out: Vec<u8>,
    pub(super) state: State,
    pub(super) events: VecDeque<Event>,
    pub(super) cseq: u32,
    /// The request that waits for its answer.
    pub(super) asked: Option<Asked>,
    /// The last request whose answer is not waited for any more.
    abandoned: Option<u32>,
    pub(super) login: LoginState,
    /// What the camera says it can do (Public).
    pub(super) methods: Option<Vec<Method>>,
    pub(super) server: Option<String>,
    pub(super) redirects: u32,
    pub(super) reconnects: u32,
    /// The place in [`Settings::carriers`] of the one that is tried.
    pub(super) carrier: usize,
    /// What may name the whole stream, for PLAY and all that is not about one track: the likeliest first, those before
    /// `aggregate` were refused. Not empty once the stream is described.
    pub(super) aggregates: Vec<String>,
    pub(super) aggregate: usize,
    pub(super) session: Option<Session>,
    pub(super) tracks: Vec<TrackSetup>,
    /// PLAY names a range.
    pub(super) ranged: bool,
    /// Since when the rest of a body is missing.
    body_since: Option<Duration>,
    window: Window,
    strays: u64,
    garbage_before: u64,
}

#[derive(Debug)]
pub(super) enum State {
    /// The program was told to connect, or will be.
    Connecting,
    /// From the first request to the answer to PLAY.
    Preparing,
    /// The program binds ports for this track.
    WaitingForPorts(u8),
    Playing(super::play::Play),
    /// TEARDOWN was sent.
    Ending,
    Closed,
}

/// What is known of the camera's password.
#[derive(Debug, Default)]
pub(super) struct LoginState {
    /// What was asked last, and is answered in each request.
    pub(super) challenge: Option<Challenge>,
    /// It was asked on this connection, not on one before.
    pub(super) is_of_connection: bool,
    /// How often it was answered.
    pub(super) count: u32,
    /// A request with an answer was not refused: the password is right.
    pub(super) was_right: bool,
}

#[derive(Debug, Default)]
struct Window {
    since: Duration,
    requests: u32,
}

impl Client {
    /// One that wants to connect. `random` makes the client's part of digests: from a good random generator.
    pub fn new(address: Address, settings: Settings, random: u64, now: Duration) -> Self {
        let reader = Reader::lenient(settings.limits);
        let mut client = Self {
            settings,
            address,
            random,
            reader,
            out: Vec::new(),
            state: State::Connecting,
            events: VecDeque::new(),
            cseq: 0,
            asked: None,
            abandoned: None,
            login: LoginState::default(),
            methods: None,
            server: None,
            redirects: 0,
            reconnects: 0,
            carrier: 0,
            aggregates: Vec::new(),
            aggregate: 0,
            session: None,
            tracks: Vec::new(),
            ranged: true,
            body_since: None,
            window: Window { since: now, ..Window::default() },
            strays: 0,
            garbage_before: 0,
        };
        client.connect();
        client
    }

    /// The buffer to append the next bytes from the camera to. Read no more while [`wants_bytes`](Self::wants_bytes) is false.
    pub fn room(&mut self) -> &mut BytesMut {
        self.reader.room()
    }

    /// Whether more bytes would be looked at. Not while much waits to be sent, without a connection, or at the end.
    pub fn wants_bytes(&self) -> bool {
        !matches!(self.state, State::Connecting | State::Closed) && self.out.len() < MOST_OUTPUT_BYTES
    }

    /// The bytes to send next.
    pub fn output(&self) -> &[u8] {
        &self.out
    }

    /// Says that the first `bytes` of [`output`](Self::output) were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.out.drain(..bytes.min(self.out.len()));
    }

    /// Whether the tracks come.
    pub fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing(_))
    }

    /// What the camera says it is (Server), without control characters, cut at 128 bytes.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// Packets that came within the connection and belong to no track.
    pub fn strays(&self) -> u64 {
        self.strays
    }

    /// Bytes that came within the connection and belong to nothing.
    pub fn garbage(&self) -> u64 {
        self.garbage_before + self.reader.garbage()
    }

    /// What is known of the camera's oddities, for [`Settings::lessons`] of the next client.
    pub fn lessons(&self) -> Lessons {
        self.settings.lessons
    }

    /// Sends an RTCP packet of at most 65 535 bytes for a track that travels within the connection. `false` if it does not, or if
    /// there is no place: it is not sent.
    pub fn report(&mut self, track: u8, packet: &[u8]) -> bool {
        let channels = self.tracks.get(usize::from(track)).and_then(TrackSetup::channels);
        let (Some((_, channel)), Ok(length)) = (channels, u16::try_from(packet.len())) else { return false };
        if !self.wants_bytes() {
            return false;
        }
        self.out.extend_from_slice(&[b'$', channel]);
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(packet);
        true
    }

    /// The next event; `None` until more was read, sent, done or waited for.
    pub fn next_event(&mut self, now: Duration) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if !self.wants_bytes() {
                return None;
            }
            let item = self.reader.next_item();
            self.body_since = self.body_since.filter(|_| matches!(item, Ok(None)));
            match item {
                Ok(None) => {
                    if self.reader.is_in_body() {
                        self.body_since.get_or_insert(now);
                    }
                    return None;
                }
                Ok(Some(Item::Data(data))) => {
                    if let Some(event) = self.take_data(now, data) {
                        return Some(event);
                    }
                }
                Ok(Some(Item::Response(response))) => self.take_response(now, &response),
                Ok(Some(Item::Request(request))) => {
                    if self.count_request(now) {
                        self.take_request(now, &request);
                    }
                }
                Err(error) => self.close(error.into()),
            }
        }
    }

    /// Takes what the program has done; then [`next_event`](Self::next_event) goes on. What does not fit the state is left out.
    pub fn input(&mut self, now: Duration, input: Input) {
        match (input, &mut self.state) {
            (_, State::Closed) => {}
            (Input::Connected, State::Connecting) => self.begin(now),
            (Input::Ports { rtp, rtcp }, State::WaitingForPorts(track)) => {
                let track = *track;
                self.state = State::Preparing;
                self.set_up_to_ports(now, track, (rtp, rtcp));
            }
            (Input::NoPorts, State::WaitingForPorts(_)) => {
                self.state = State::Preparing;
                self.change_carrier(now, "no ports are free here");
            }
            (Input::Heard, State::Playing(play)) => play.heard(now),
            (Input::Disconnected, state) if !matches!(state, State::Connecting) => self.disconnected(),
            (Input::End, _) => self.end(now),
            _ => {}
        }
    }

    /// When [`expire`](Self::expire) is to be called at the latest.
    pub fn deadline(&self) -> Option<Duration> {
        let answer = self.asked.as_ref().map(|asked| asked.at + self.answer_timeout(asked.step));
        let body = self.body_since.map(|since| since + BODY_TIMEOUT);
        match &self.state {
            State::Connecting | State::Closed => None,
            State::Playing(play) => {
                let keepalive = if self.asked.is_none() { Some(play.next_keepalive) } else { None };
                let silence = Some(play.silent_at(&self.settings));
                [answer, keepalive, silence, body].into_iter().flatten().min()
            }
            _ => [answer, body].into_iter().flatten().min(),
        }
    }

    /// Does what is due at `now`; then [`next_event`](Self::next_event) goes on.
    pub fn expire(&mut self, now: Duration) {
        if let State::Playing(play) = &self.state
            && now >= play.silent_at(&self.settings)
        {
            let cause = play.silence(&self.settings);
            return self.close(cause);
        }
        if self.body_since.is_some_and(|since| now >= since + BODY_TIMEOUT) {
            self.body_since = None;
            // What comes then is the answer that is waited for.
            return self.reader.end_body();
        }
        if let Some(asked) = &self.asked
            && now >= asked.at + self.answer_timeout(asked.step)
        {
            let asked = self.asked.take().expect("it was just there");
            self.unanswered(now, &asked);
        }
        if let State::Playing(play) = &self.state
            && self.asked.is_none()
            && now >= play.next_keepalive
        {
            self.keep_alive(now);
        }
    }

    fn answer_timeout(&self, step: Step) -> Duration {
        match step {
            Step::Options => OPTIONS_TIMEOUT.min(self.settings.answer_timeout),
            Step::Teardown | Step::StartOver => TEARDOWN_TIMEOUT.min(self.settings.answer_timeout),
            _ => self.settings.answer_timeout,
        }
    }

    fn take_data(&mut self, now: Duration, Data { channel, packet }: Data) -> Option<Event> {
        let found = self.tracks.iter().zip(0_u8..).find_map(|(setup, track)| {
            let (rtp, rtcp) = setup.channels()?;
            (channel == rtp || channel == rtcp).then_some((track, channel == rtcp))
        });
        let Some((track, rtcp)) = found else {
            self.strays += 1;
            return None;
        };
        if let State::Playing(play) = &mut self.state
            && !rtcp
        {
            play.heard(now);
        }
        Some(Event::Data { track, rtcp, packet })
    }

    fn take_response(&mut self, now: Duration, response: &Response) {
        if response.version != Version::Rtsp1 {
            return self.close(Cause::Version);
        }
        if self.server.is_none() {
            self.server = response.fields.first("Server").map(super::request::program_name);
        }
        let cseq = response.fields.cseq();
        // A provisional answer is none yet (RFC 2326 7.1.1), and one to a request that was given up is none any more.
        let is_of_abandoned = cseq.is_some() && cseq == self.abandoned;
        if response.status < 200 || is_of_abandoned {
            return;
        }
        // Cameras answer with numbers of their own, or without one: what is waited for is one answer.
        if let Some(asked) = self.asked.take() {
            self.answered(now, &asked, response);
        }
    }

    /// Gives the request up that waits for its answer.
    pub(super) fn abandon(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.abandoned = Some(asked.cseq);
        }
    }

    fn count_request(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.window.since) >= REQUEST_WINDOW {
            self.window = Window { since: now, requests: 0 };
        }
        self.window.requests += 1;
        let few = self.window.requests <= MOST_REQUESTS;
        if !few {
            self.close(Cause::TooManyRequests);
        }
        few
    }

    /// Asks the program for a connection.
    pub(super) fn connect(&mut self) {
        if !self.tracks.is_empty() {
            self.events.push_back(Event::StartedOver);
        }
        self.state = State::Connecting;
        self.asked = None;
        self.out.clear();
        self.session = None;
        self.tracks.clear();
        self.login.is_of_connection = false;
        let (host, port, tls) = (self.address.host().to_owned(), self.address.port(), self.address.tls());
        self.events.push_back(Event::Connect(Place { host, port, tls }));
    }

    /// Forgets what the connection before has left.
    pub(super) fn reset_reader(&mut self) {
        self.garbage_before += self.reader.garbage();
        self.reader = Reader::lenient(self.settings.limits);
        self.body_since = None;
        self.abandoned = None;
    }

    pub(super) fn close(&mut self, cause: Cause) {
        if matches!(self.state, State::Closed) {
            return;
        }
        let is_over = matches!(cause, Cause::Asked | Cause::Ended | Cause::Disconnected { .. });
        // A camera goes on with what it is not told to end, and has few sessions.
        if self.session.is_some() && !is_over {
            self.ask(Duration::ZERO, Step::Teardown);
        }
        self.state = State::Closed;
        self.asked = None;
        self.events.push_back(Event::Closed(cause));
    }

    /// A number for the next digest.
    pub(super) fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What waits to be sent may hold a password.
        let (url, state) = (self.address.url(), &self.state);
        f.debug_struct("Client").field("url", &url).field("state", state).finish_non_exhaustive()
    }
}
