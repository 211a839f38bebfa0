//! The requests that a client sends: what each asks for, and their bytes.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use super::connection::Client;

/// The longest name of a camera's program that is kept.
const MOST_NAME_BYTES: usize = 128;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Options,
    Describe,
    /// Of the track with this place.
    Setup(u8),
    Play,
    KeepAlive(Keepalive),
    /// TEARDOWN, and then no more.
    Teardown,
    /// TEARDOWN, and then SETUP of the first track in another way.
    StartOver,
}

/// What says that the client is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keepalive {
    GetParameter,
    Options,
    SetParameter,
}

impl Keepalive {
    /// What is tried if this is refused.
    pub(super) fn next(self) -> Self {
        match self {
            Self::GetParameter => Self::Options,
            Self::Options => Self::SetParameter,
            Self::SetParameter => Self::GetParameter,
        }
    }
}

impl Step {
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Options | Self::KeepAlive(Keepalive::Options) => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Setup(_) => "SETUP",
            Self::Play => "PLAY",
            Self::KeepAlive(Keepalive::GetParameter) => "GET_PARAMETER",
            Self::KeepAlive(Keepalive::SetParameter) => "SET_PARAMETER",
            Self::Teardown | Self::StartOver => "TEARDOWN",
        }
    }
}

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) cseq: u32,
    pub(super) step: Step,
    pub(super) at: Duration,
    /// How often it was sent again because of a password.
    pub(super) logins: u32,
}

impl Client {
    /// Sends a request, and waits for its answer.
    pub(super) fn ask(&mut self, now: Duration, step: Step) {
        self.ask_again(now, step, 0);
    }

    /// The same, after `logins` tries that were refused for want of a password.
    pub(super) fn ask_again(&mut self, now: Duration, step: Step, logins: u32) {
        self.abandon();
        self.cseq = self.cseq.wrapping_add(1);
        let (cseq, method, url) = (self.cseq, step.method(), self.url(step));
        let authorization = self.authorization(method, &url);
        let mut head = Head(&mut self.out);
        head.line(format_args!("{method} {url} RTSP/1.0"));
        head.field("CSeq", cseq);
        head.field("User-Agent", &self.settings.name);
        if let Some(authorization) = authorization {
            head.field("Authorization", authorization);
        }
        if let Some(session) = self.session.as_ref().and_then(|session| session.id.as_ref()) {
            head.field("Session", session);
        }
        match step {
            Step::Describe => head.field("Accept", "application/sdp"),
            Step::Setup(track) => {
                let transport = self.tracks.get(usize::from(track)).and_then(|track| track.wanted.as_ref());
                if let Some(transport) = transport {
                    head.field("Transport", transport);
                }
            }
            Step::Play if self.ranged => head.field("Range", "npt=0.000-"),
            _ => {}
        }
        self.out.extend_from_slice(b"\r\n");
        self.asked = Some(Asked { cseq, step, at: now, logins });
    }

    /// What a request is about.
    fn url(&self, step: Step) -> String {
        match step {
            Step::Options | Step::Describe => self.address.url().to_owned(),
            Step::Setup(track) => {
                let track = self.tracks.get(usize::from(track));
                track.map_or_else(|| self.address.url().to_owned(), |track| track.url().to_owned())
            }
            _ => self.aggregates.get(self.aggregate).map_or(self.address.url(), |url| url).to_owned(),
        }
    }

    fn authorization(&mut self, method: &str, url: &str) -> Option<String> {
        let random = self.next_random();
        let (challenge, login) = (self.login.challenge.as_ref()?, self.address.login()?);
        self.login.count += 1;
        Some(challenge.answer(login, method, url, random, self.login.count))
    }
}

/// A head that is being written.
pub(super) struct Head<'a>(pub(super) &'a mut Vec<u8>);

impl Head<'_> {
    pub(super) fn field(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("{name}: {value}"));
    }

    /// Writes a line, and no second one: what was taken over from somewhere cannot end it.
    pub(super) fn line(&mut self, text: std::fmt::Arguments<'_>) {
        let mut line = String::new();
        let _ = line.write_fmt(text);
        self.0.extend(line.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
        self.0.extend_from_slice(b"\r\n");
    }
}

/// A program's name from a field, fit for a log.
pub(super) fn program_name(text: &str) -> String {
    let end = (0..=MOST_NAME_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text[..end.unwrap_or(0)].replace(char::is_control, " ")
}
