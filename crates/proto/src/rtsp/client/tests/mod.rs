//! Whole sessions as tables of bytes out and in, with simulated time; what cameras do that no RFC says.

mod addresses;
mod answers;
mod joined;
mod passwords;
mod sessions;
mod transports;
mod watching;

use std::time::Duration;

use super::*;

/// Seconds.
const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const SDP: &str = "v=0\r\n\
    o=- 1 1 IN IP4 127.0.0.1\r\n\
    s=camera\r\n\
    t=0 0\r\n\
    a=control:*\r\n\
    m=video 0 RTP/AVP 96\r\n\
    a=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1\r\n\
    a=control:trackID=0\r\n\
    m=audio 0 RTP/AVP 8\r\n\
    a=control:trackID=1\r\n";

/// A camera, and the program around the client.
struct Camera {
    client: Client,
    now: Duration,
    events: Vec<Event>,
}

impl Camera {
    fn new(url: &str) -> Self {
        Self::with(url, Settings::default())
    }

    /// A camera to which the connection stands.
    fn with(url: &str, settings: Settings) -> Self {
        let settings = Settings { name: "Test".to_owned(), ..settings };
        let now = s(1000);
        let client = Client::new(Address::parse(url).unwrap(), settings, 0, now);
        let mut camera = Self { client, now, events: Vec::new() };
        camera.connect();
        camera
    }

    /// Takes the wish for a connection, which stands then.
    fn connect(&mut self) -> Place {
        self.take_events();
        let Some(Event::Connect(place)) = self.events.pop() else { panic!("{:?}", self.events) };
        self.input(Input::Connected);
        place
    }

    fn input(&mut self, input: Input) {
        self.client.input(self.now, input);
        self.take_events();
    }

    fn give(&mut self, bytes: impl AsRef<[u8]>) {
        let mut rest = bytes.as_ref();
        while !rest.is_empty() && self.client.wants_bytes() {
            let room = self.client.room();
            let (now, later) = rest.split_at(rest.len().min(room.capacity() - room.len()));
            room.extend_from_slice(now);
            rest = later;
            self.take_events();
        }
    }

    fn take_events(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.client.next_event(self.now)));
    }

    /// Lets time pass, and what is due happen.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.client.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.client.expire(self.now);
            self.take_events();
        }
        self.now = until;
    }

    /// What was sent since.
    fn sent(&mut self) -> String {
        let sent = String::from_utf8_lossy(self.client.output()).into_owned();
        self.client.sent(usize::MAX);
        sent
    }

    /// The request that was sent last: its method, its URL and its number.
    fn asked(&mut self) -> (String, String, String) {
        let sent = self.sent();
        let request =
            sent.split("\r\n\r\n").filter(|request| request.contains(" RTSP/1.0")).last().unwrap_or("");
        let mut words = request.split(' ');
        let (method, url) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let cseq = request.split("\r\nCSeq: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or("");
        (method.to_owned(), url.to_owned(), cseq.to_owned())
    }

    /// Answers the request that was sent last, with this status and these fields; what it was.
    fn answer(&mut self, status: &str, fields: &[&str]) -> String {
        let (method, url, cseq) = self.asked();
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        self.give(format!("RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n{fields}\r\n"));
        format!("{method} {url}")
    }

    /// Describes a stream, with these further fields; what was asked.
    fn describe(&mut self, fields: &[&str], sdp: &str) -> String {
        let (method, url, cseq) = self.asked();
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let length = sdp.len();
        self.give(format!(
            "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n{fields}\r\n{sdp}"
        ));
        format!("{method} {url}")
    }

    /// Answers all that it asks as a camera does that has no oddities, and returns what that was.
    fn agree(&mut self) -> Vec<String> {
        let mut asked = Vec::new();
        for _ in 0..10 {
            let sent = String::from_utf8_lossy(self.client.output()).into_owned();
            let request = match sent.split(' ').next().unwrap_or("") {
                "OPTIONS" => {
                    self.answer("200 OK", &["Public: DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"])
                }
                "DESCRIBE" => self.describe(&[], SDP),
                "SETUP" => self.answer("200 OK", &["Session: 12345678"]),
                "PLAY" | "TEARDOWN" => self.answer("200 OK", &[]),
                _ => break,
            };
            asked.push(request);
        }
        asked
    }

    /// Why it was closed, if it was.
    fn closed(&mut self) -> Option<String> {
        match self.happened().pop() {
            Some(Event::Closed(cause)) => Some(cause.to_string()),
            _ => None,
        }
    }

    /// Plays it without further ado.
    fn playing(url: &str) -> Self {
        let mut camera = Self::new(url);
        camera.agree();
        assert!(camera.client.is_playing(), "{:?}", camera.happened());
        camera.happened();
        camera
    }

    /// What happened since.
    fn happened(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}
