//! What is the same for all requests: version, number, required extensions, session, credentials; and which method does what.

use std::time::Duration;

use super::connection::Connection;
use super::{Close, Event, MOST_WRONG_PASSWORDS};
use crate::rtsp::auth::{Access, Answers, Credentials, Verdict};
use crate::rtsp::{Method, Request, Status, Target, Version, session_field};

/// The longest name of a client's program that is kept.
const MOST_NAME_BYTES: usize = 128;

impl Connection {
    pub(super) fn take_request(&mut self, now: Duration, request: &Request) -> Option<Event> {
        let cseq = request.fields.cseq();
        if let Some(event) = self.count_request(now, cseq) {
            return Some(event);
        }
        if request.version != Version::Rtsp1 {
            self.reply(Status::VERSION_NOT_SUPPORTED, "", cseq).field("Connection", "close").end();
            return Some(self.close(Close::Version));
        }
        let Some(cseq) = cseq else {
            self.reply(Status::BAD_REQUEST, "CSeq is missing or no number", None).end();
            return None;
        };
        self.last_request = Some(now);
        if let Some(program) = request.fields.first("User-Agent").filter(|_| self.program.is_none()) {
            let end = (0..=MOST_NAME_BYTES.min(program.len())).rev().find(|at| program.is_char_boundary(*at));
            self.program = Some(program[..end.unwrap_or(0)].replace(char::is_control, " "));
        }
        let required = request.fields.first("Require").or_else(|| request.fields.first("Proxy-Require"));
        if let Some(tags) = required {
            self.reply(Status::OPTION_NOT_SUPPORTED, "", Some(cseq)).field("Unsupported", tags).end();
            return None;
        }
        let named =
            request.fields.first("Session").map(|value| session_field(value).0).filter(|id| !id.is_empty());
        let own = self.session.as_ref().map(|session| session.id.to_string());
        if named.is_some_and(|named| own.as_deref() != Some(named)) {
            self.reply(Status::SESSION_NOT_FOUND, "", Some(cseq)).end();
            return None;
        }
        self.alive(now);
        self.dispatch(request, cseq, named.is_some())
    }

    fn dispatch(&mut self, request: &Request, cseq: u32, names_session: bool) -> Option<Event> {
        match &request.method {
            Method::Options => {
                let methods = self.methods();
                self.session_reply(Status::OK, cseq).field("Public", methods).end();
                None
            }
            Method::Describe => self.describe(request, cseq),
            Method::Setup => self.setup(request, cseq, names_session),
            Method::Play => self.play(request, cseq),
            Method::Pause => self.pause(cseq),
            Method::Teardown => self.teardown(cseq),
            Method::GetParameter | Method::SetParameter => {
                let empty = request.body.trim_ascii().is_empty();
                let status = if empty { Status::OK } else { Status::PARAMETER_NOT_UNDERSTOOD };
                self.session_reply(status, cseq).end();
                None
            }
            Method::Announce => self.announce(request, cseq),
            Method::Record => self.record(cseq),
            Method::Other(_) => {
                let methods = self.methods();
                self.reply(Status::NOT_IMPLEMENTED, "", Some(cseq)).field("Allow", methods).end();
                None
            }
        }
    }

    fn methods(&self) -> &'static str {
        if self.settings.publish {
            "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER, ANNOUNCE, RECORD"
        } else {
            "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER"
        }
    }

    /// Whether the request about the stream called `path` may go on: asks the gate, and answers if not.
    pub(super) fn authorise(
        &mut self,
        request: &Request,
        cseq: u32,
        publish: bool,
        path: &str,
    ) -> Result<(), Option<Event>> {
        let shown = request.fields.first("Authorization");
        let shown = shown.and_then(|value| Credentials::parse(value, request.method.name()));
        let known = shown.filter(|shown| self.settings.schemes.iter().any(|scheme| shown.is_of(*scheme)));
        let asked = Target::parse(&request.target).path;
        let answers = known.as_ref().map(|shown| shown.answers(&self.settings.realm, &self.nonce, &asked));
        let credentials = known.as_ref().filter(|_| answers == Some(Answers::Yes));
        match self.gate.check(&Access { publish, path, credentials }) {
            Verdict::Allowed => return Ok(()),
            Verdict::Forbidden => {
                self.reply(Status::FORBIDDEN, "", Some(cseq)).end();
                return Err(None);
            }
            Verdict::Unauthorized => {}
        }
        self.wrong_passwords += u32::from(credentials.is_some());
        let stale = answers == Some(Answers::AnotherNonce);
        let challenges: Vec<_> = self
            .settings
            .schemes
            .iter()
            .map(|scheme| scheme.challenge(&self.settings.realm, &self.nonce, stale))
            .collect();
        let reply = self.reply(Status::UNAUTHORIZED, "", Some(cseq));
        challenges.iter().fold(reply, |reply, challenge| reply.field("WWW-Authenticate", challenge)).end();
        Err((self.wrong_passwords >= MOST_WRONG_PASSWORDS).then(|| self.close(Close::WrongPasswords)))
    }
}
