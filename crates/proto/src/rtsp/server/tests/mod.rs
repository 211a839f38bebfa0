//! Whole sessions as tables of bytes in and out, with simulated time; abuse; what real clients send.

mod abuse;
mod clients;
mod limits;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::rtsp::auth::{Access, Gate, Verdict};
use crate::rtsp::{Item, Reader, Status};

const ID: &str = "0123456789abcdef0123456789abcdef";
const NUMBER: u128 = 0x0123_4567_89AB_CDEF_0123_4567_89AB_CDEF;

/// Lets everybody in, or those who know the password.
struct Door(Option<(&'static str, &'static str)>);

impl Gate for Door {
    fn check(&self, access: &Access<'_>) -> Verdict {
        match (self.0, access.credentials) {
            // Streams have names, whatever their tracks are called.
            _ if access.path == "forbidden" || access.path.contains('=') => Verdict::Forbidden,
            (None, _) => Verdict::Allowed,
            (Some((user, password)), Some(shown)) if shown.matches(user, password) => Verdict::Allowed,
            _ => Verdict::Unauthorized,
        }
    }
}

/// A client and the program behind the server, which answers at once.
struct Peer {
    connection: Connection,
    now: Duration,
    events: Vec<Event>,
    output: Vec<u8>,
    next_session: u128,
}

fn settings() -> Settings {
    Settings {
        name: "Test".into(),
        realm: "cam".into(),
        publish: true,
        multicast: true,
        ..Settings::default()
    }
}

impl Peer {
    fn new() -> Self {
        Self::with(settings(), Door(None))
    }

    fn with(settings: Settings, door: Door) -> Self {
        let now = Duration::from_secs(1000);
        let connection = Connection::new(Arc::new(settings), Arc::new(door), NUMBER, now);
        Self { connection, now, events: Vec::new(), output: Vec::new(), next_session: NUMBER }
    }

    /// Gives it bytes, answers what it asks, and takes what it sends.
    fn give(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            while let Some(event) = self.connection.next_event(self.now) {
                if let Some(answer) = self.answer(&event) {
                    self.connection.answer(self.now, answer).expect("it was asked");
                }
                self.events.push(event);
            }
            self.output.extend_from_slice(self.connection.output());
            self.connection.sent(usize::MAX);
            if rest.is_empty() || !self.connection.wants_bytes() {
                return;
            }
            let room = self.connection.room();
            let (now, later) = rest.split_at(rest.len().min(room.capacity() - room.len()));
            room.extend_from_slice(now);
            rest = later;
        }
    }

    fn answer(&mut self, event: &Event) -> Option<Answer> {
        Some(match event {
            Event::Describe { path, .. } if path == "front" => {
                Answer::Description(Description { sdp: "v=0\r\n".to_owned() })
            }
            Event::Describe { path, .. } => {
                Answer::Refused(Refusal::new(Status::NOT_FOUND, format!("no stream {path}")))
            }
            Event::Setup { track, offers, .. } => {
                let grant = match offers[0] {
                    Offer::Interleaved { .. } => Grant::Interleaved,
                    Offer::Udp { .. } => Grant::Udp { rtp: 6000, rtcp: 6001 },
                    Offer::Multicast => {
                        Grant::Multicast { group: [239, 1, 1, 1].into(), rtp: 7000, rtcp: 7001, ttl: 4 }
                    }
                };
                let session = SessionId(self.next_session);
                if self.connection.session_id().is_none() {
                    self.next_session += 1;
                }
                Answer::SetUp(SetUp { track: track.unwrap_or(0), offer: 0, grant, ssrc: Some(0xAB), session })
            }
            Event::Play { .. } => {
                let tracks = vec![TrackStart { track: 0, sequence: 7, rtp_time: 90_000 }];
                Answer::Started(Started { range: None, tracks })
            }
            Event::Announce { sdp, .. } => {
                let sdp = String::from_utf8_lossy(sdp);
                let media = sdp.split("\nm=").skip(1);
                let control =
                    |media: &str| Some(media.split_once("a=control:")?.1.lines().next()?.trim().to_owned());
                Answer::Announced(media.map(|media| control(media).unwrap_or_default()).collect())
            }
            Event::Record => Answer::Recording,
            Event::Pause | Event::Ended(_) | Event::Data { .. } | Event::Close(_) => return None,
        })
    }

    /// Gives it requests, each with the next number, and returns the statuses of what comes back.
    fn ask(&mut self, requests: &[&str]) -> Vec<u16> {
        for request in requests {
            self.give(numbered(request).as_bytes());
        }
        self.statuses()
    }

    /// The statuses of all that was sent since this was called last.
    fn statuses(&mut self) -> Vec<u16> {
        let mut reader = Reader::new(Limits { body_bytes: 1 << 20, ..Limits::default() });
        let output = std::mem::take(&mut self.output);
        reader.room().reserve(output.len());
        reader.room().extend_from_slice(&output);
        std::iter::from_fn(|| reader.next_item().expect("answers can be read"))
            .map(|item| match item {
                Item::Response(response) => response.status,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn text(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.output)).unwrap()
    }

    fn closed(&self) -> Option<Close> {
        match self.events.last() {
            Some(Event::Close(close)) => Some(*close),
            _ => None,
        }
    }

    /// Lets time pass to the next deadline, which must be after this many seconds.
    fn expire_after(&mut self, seconds: u64) {
        let deadline = self.connection.deadline().expect("there is a deadline");
        assert_eq!(deadline - self.now, Duration::from_secs(seconds));
        assert_eq!(self.connection.expire(deadline - Duration::from_nanos(1)), None);
        self.now = deadline;
        let event = self.connection.expire(deadline).expect("the time is over");
        self.events.push(event);
        self.output.extend_from_slice(self.connection.output());
        self.connection.sent(usize::MAX);
        assert_eq!((self.connection.deadline(), self.connection.wants_bytes()), (None, false));
    }
}

/// `METHOD path` as a request; more lines may follow, each as a field.
fn numbered(request: &str) -> String {
    let (first, fields) = request.split_once('\n').unwrap_or((request, ""));
    let (method, path) = first.split_once(' ').unwrap_or((first, "front"));
    let fields: String = fields.lines().map(|field| format!("{field}\r\n")).collect();
    format!("{method} rtsp://h:8554/{path} RTSP/1.0\r\nCSeq: 1\r\n{fields}\r\n")
}

const SETUP: &str = "SETUP front/trackID=0\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1";
const PLAY: &str = "PLAY front\nSession: 0123456789abcdef0123456789abcdef";
