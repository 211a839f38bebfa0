//! DESCRIBE, PLAY, PAUSE and TEARDOWN (RFC 2326 sections 10.2, 10.5, 10.6 and 10.7).
//!
//! PLAY and PAUSE are for all tracks of the session, whatever their URL names: live555, GStreamer and VLC differ in what they put
//! there.

use std::time::Duration;

use super::connection::{Connection, Pending, State};
use super::{End, Event, Phase, Started};
use crate::rtsp::{Range, RangeError, Request, RtpInfo, Status, Target};

impl Connection {
    pub(super) fn describe(&mut self, request: &Request, cseq: u32) -> Option<Event> {
        let Target { path, query, base, .. } = Target::parse(&request.target);
        if let Err(event) = self.authorise(request, cseq, false, &path) {
            return event;
        }
        let mut kinds = request.fields.all("Accept").flat_map(|value| value.split(',')).peekable();
        let any = kinds.peek().is_none();
        let mut named = kinds.map(|kind| kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase());
        if !any && !named.any(|kind| matches!(&kind[..], "application/sdp" | "application/*" | "*/*")) {
            self.reply(Status::NOT_ACCEPTABLE, "only application/sdp", Some(cseq)).end();
            return None;
        }
        self.state = State::Waiting(Pending::Describe { cseq, base: base.clone() });
        Some(Event::Describe { path, query, base })
    }

    pub(super) fn play(&mut self, request: &Request, cseq: u32) -> Option<Event> {
        if self.session.as_ref().is_none_or(|session| session.publish) {
            self.reply(Status::NOT_VALID_IN_STATE, "", Some(cseq)).end();
            return None;
        }
        let range = match request.fields.first("Range").map(Range::parse) {
            Some(Err(RangeError::Npt)) => {
                self.session_reply(Status::INVALID_RANGE, cseq).end();
                return None;
            }
            Some(Ok(range)) => Some(range),
            Some(Err(RangeError::Unit)) | None => None,
        };
        self.state = State::Waiting(Pending::Play { cseq });
        Some(Event::Play { range })
    }

    pub(super) fn finish_play(&mut self, now: Duration, cseq: u32, started: &Started) {
        let Some(session) = &mut self.session else { return };
        session.phase = Phase::Playing;
        let since = now.saturating_sub(*session.played.get_or_insert(now));
        let range = started.range.unwrap_or(Range::From { start: since, end: None });
        let infos: Vec<_> = started
            .tracks
            .iter()
            .filter_map(|start| {
                let url = session.tracks.iter().find(|track| track.number == start.track)?.url.clone();
                let (sequence, rtp_time) = (Some(start.sequence), Some(start.rtp_time));
                Some(RtpInfo { url, sequence, rtp_time }.to_string())
            })
            .collect();
        let reply = self.session_reply(Status::OK, cseq).field("Range", range);
        if infos.is_empty() { reply.end() } else { reply.field("RTP-Info", infos.join(",")).end() }
    }

    pub(super) fn pause(&mut self, cseq: u32) -> Option<Event> {
        let Some(session) = &mut self.session else {
            self.reply(Status::NOT_VALID_IN_STATE, "", Some(cseq)).end();
            return None;
        };
        let before = std::mem::replace(&mut session.phase, Phase::Ready);
        self.session_reply(Status::OK, cseq).end();
        (before != Phase::Ready).then_some(Event::Pause)
    }

    pub(super) fn teardown(&mut self, cseq: u32) -> Option<Event> {
        if self.session.is_none() {
            self.reply(Status::NOT_VALID_IN_STATE, "", Some(cseq)).end();
            return None;
        }
        self.session_reply(Status::OK, cseq).end();
        self.announced = None;
        Some(self.end_session(End::Asked))
    }
}
