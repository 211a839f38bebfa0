//! ANNOUNCE and RECORD (RFC 2326 sections 10.3 and 10.11): a client sends.

use super::connection::{Connection, Pending, State};
use super::{Event, Phase};
use crate::rtsp::{Request, Status, Target};

impl Connection {
    pub(super) fn announce(&mut self, request: &Request, cseq: u32) -> Option<Event> {
        if !self.settings.publish {
            let reply = self.reply(Status::METHOD_NOT_ALLOWED, "nobody may send streams here", Some(cseq));
            reply.field("Allow", "OPTIONS, DESCRIBE, SETUP").end();
            return None;
        }
        if self.session.is_some() {
            self.session_reply(Status::NOT_VALID_IN_STATE, cseq).end();
            return None;
        }
        let Target { path, query, .. } = Target::parse(&request.target);
        if let Err(event) = self.authorise(request, cseq, true, &path) {
            return event;
        }
        let kind = request.fields.first("Content-Type").unwrap_or("application/sdp");
        if !kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/sdp") {
            self.reply(Status::UNSUPPORTED_MEDIA_TYPE, "only application/sdp", Some(cseq)).end();
            return None;
        }
        if request.body.is_empty() {
            self.reply(Status::BAD_REQUEST, "a stream is announced by its description", Some(cseq)).end();
            return None;
        }
        self.state = State::Waiting(Pending::Announce { cseq, path: path.clone() });
        Some(Event::Announce { path, query, sdp: request.body.clone() })
    }

    pub(super) fn record(&mut self, cseq: u32) -> Option<Event> {
        match &self.session {
            Some(session) if session.publish && session.phase == Phase::Recording => {
                self.session_reply(Status::OK, cseq).end();
                None
            }
            Some(session) if session.publish => {
                self.state = State::Waiting(Pending::Record { cseq });
                Some(Event::Record)
            }
            _ => {
                self.reply(Status::NOT_VALID_IN_STATE, "", Some(cseq)).end();
                None
            }
        }
    }

    pub(super) fn finish_record(&mut self, cseq: u32) {
        if let Some(session) = &mut self.session {
            session.phase = Phase::Recording;
        }
        self.session_reply(Status::OK, cseq).end();
    }
}
