//! What a camera asks its client (RFC 2326 section 10): that it is there, and that it goes elsewhere.

use std::time::Duration;

use super::Cause;
use super::connection::Client;
use super::request::Head;
use crate::rtsp::{Method, Request, Status};

const METHODS: &str = "OPTIONS, GET_PARAMETER, SET_PARAMETER, ANNOUNCE, TEARDOWN, REDIRECT";

impl Client {
    pub(super) fn take_request(&mut self, _now: Duration, request: &Request) {
        let status = match &request.method {
            Method::Options | Method::Teardown | Method::Announce => Status::OK,
            Method::GetParameter | Method::SetParameter if request.body.trim_ascii().is_empty() => Status::OK,
            Method::GetParameter | Method::SetParameter => Status::PARAMETER_NOT_UNDERSTOOD,
            Method::Other(name) if name == "REDIRECT" => Status::OK,
            _ => Status::NOT_IMPLEMENTED,
        };
        let mut head = Head(&mut self.out);
        head.line(format_args!("RTSP/1.0 {status}"));
        if let Some(cseq) = request.fields.first("CSeq") {
            head.field("CSeq", cseq);
        }
        head.field("User-Agent", &self.settings.name);
        if let Some(session) = request.fields.first("Session") {
            head.field("Session", session);
        }
        if matches!(request.method, Method::Options) || status == Status::NOT_IMPLEMENTED {
            head.field("Public", METHODS);
        }
        self.out.extend_from_slice(b"\r\n");
        match &request.method {
            Method::Teardown => self.close(Cause::Ended),
            Method::Other(name) if name == "REDIRECT" => self.redirect(302, request.fields.first("Location")),
            _ => {}
        }
    }
}
