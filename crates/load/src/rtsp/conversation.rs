//! What a reader says to a server, from DESCRIBE to PLAY (RFC 2326): the first pictures of the description, nothing else.
//!
//! No sockets and no clock. Speaks no passwords: what is measured asks for none.

use std::time::Duration;

use ocelli_proto::rtsp::{Response, session_field};
use ocelli_proto::sdp::{Description, Kind};

/// How packets are to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// On channels 0 and 1 of the connection.
    Tcp,
    /// To these ports, for RTP and RTCP.
    Udp(u16, u16),
}

/// Why it cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("{0}: answered with {1} {2}")]
    Status(&'static str, u16, String),
    #[error("the description cannot be read: {0}")]
    Description(#[from] ocelli_proto::sdp::ReadError),
    #[error("the description has no pictures")]
    NoPictures,
    #[error("SETUP: no session in the answer")]
    NoSession,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Describe,
    Setup,
    Play,
    /// Pictures come.
    Playing,
}

/// One reader's side.
#[derive(Debug)]
pub(super) struct Conversation {
    url: String,
    way: Way,
    step: Step,
    cseq: u32,
    /// What all tracks together are called.
    base: String,
    session: String,
    timeout: Duration,
}

impl Conversation {
    pub(super) fn new(url: &str, way: Way) -> Self {
        Self {
            url: url.to_owned(),
            way,
            step: Step::Describe,
            cseq: 0,
            base: String::new(),
            session: String::new(),
            timeout: Duration::from_secs(60),
        }
    }

    pub(super) fn step(&self) -> Step {
        self.step
    }

    /// After how long without a sign of life the server ends the session.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The first request.
    pub(super) fn begin(&mut self) -> Vec<u8> {
        let url = self.url.clone();
        self.request("DESCRIBE", &url, "Accept: application/sdp\r\n")
    }

    /// A sign of life.
    pub(super) fn alive(&mut self) -> Vec<u8> {
        let base = self.base.clone();
        self.request("OPTIONS", &base, "")
    }

    /// The last request.
    pub(super) fn end(&mut self) -> Vec<u8> {
        let base = self.base.clone();
        self.request("TEARDOWN", &base, "")
    }

    /// Takes an answer; returns what to say next.
    pub(super) fn answer(&mut self, response: &Response) -> Result<Vec<u8>, Refused> {
        let what = match self.step {
            Step::Describe => "DESCRIBE",
            Step::Setup => "SETUP",
            Step::Play => "PLAY",
            Step::Playing => return Ok(Vec::new()),
        };
        if response.status != 200 {
            return Err(Refused::Status(what, response.status, response.reason.clone()));
        }
        match self.step {
            Step::Describe => {
                let base =
                    ["Content-Base", "Content-Location"].iter().find_map(|name| response.fields.first(name));
                let base = base.unwrap_or(&self.url).to_owned();
                let track = track(&base, &Description::parse(&response.body)?)?;
                self.base = base;
                self.step = Step::Setup;
                let transport = match self.way {
                    Way::Tcp => "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n".to_owned(),
                    Way::Udp(rtp, rtcp) => format!("Transport: RTP/AVP;unicast;client_port={rtp}-{rtcp}\r\n"),
                };
                Ok(self.request("SETUP", &track, &transport))
            }
            Step::Setup => {
                let (session, timeout) =
                    response.fields.first("Session").map(session_field).ok_or(Refused::NoSession)?;
                self.session = session.to_owned();
                self.timeout = timeout.unwrap_or(self.timeout);
                self.step = Step::Play;
                let base = self.base.clone();
                Ok(self.request("PLAY", &base, "Range: npt=0.000-\r\n"))
            }
            Step::Play | Step::Playing => {
                self.step = Step::Playing;
                Ok(Vec::new())
            }
        }
    }

    fn request(&mut self, method: &str, url: &str, fields: &str) -> Vec<u8> {
        self.cseq += 1;
        let session = match self.session.as_str() {
            "" => String::new(),
            id => format!("Session: {id}\r\n"),
        };
        format!(
            "{method} {url} RTSP/1.0\r\nCSeq: {}\r\nUser-Agent: ocelli-load\r\n{session}{fields}\r\n",
            self.cseq
        )
        .into_bytes()
    }
}

/// The URL of the first pictures (RFC 2326 C.1.1).
fn track(base: &str, description: &Description) -> Result<String, Refused> {
    let medium =
        description.media.iter().find(|medium| medium.kind == Kind::Video).ok_or(Refused::NoPictures)?;
    Ok(match medium.control.as_deref() {
        None | Some("" | "*") => base.to_owned(),
        Some(absolute) if absolute.contains("://") => absolute.to_owned(),
        Some(relative) => format!("{}/{relative}", base.trim_end_matches('/')),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtsp::wire::{Found, Wire, WireError};

    fn response(text: &str) -> Response {
        let mut found = None;
        let mut wire = Wire::new();
        wire.feed::<WireError>(text.as_bytes(), |item| {
            let Found::Response(response) = item else { panic!() };
            found = Some(response);
            Ok(())
        })
        .unwrap();
        found.unwrap()
    }

    fn description(control: &str) -> Response {
        let sdp = format!(
            "v=0\r\nm=audio 0 RTP/AVP 0\r\na=control:a\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n{control}"
        );
        response(&format!(
            "RTSP/1.0 200 OK\r\nContent-Base: rtsp://h/cam/\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        ))
    }

    #[test]
    fn from_describe_to_play() {
        let mut conversation = Conversation::new("rtsp://h/cam", Way::Udp(6000, 6001));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert!(text(conversation.begin()).starts_with("DESCRIBE rtsp://h/cam RTSP/1.0\r\nCSeq: 1\r\n"));
        let setup = text(conversation.answer(&description("a=control:trackID=1\r\n")).unwrap());
        assert!(setup.starts_with("SETUP rtsp://h/cam/trackID=1 RTSP/1.0\r\n"), "{setup}");
        assert!(setup.contains("Transport: RTP/AVP;unicast;client_port=6000-6001\r\n"), "{setup}");
        let ready = response("RTSP/1.0 200 OK\r\nSession: 42;timeout=20\r\n\r\n");
        let play = text(conversation.answer(&ready).unwrap());
        assert!(
            play.starts_with("PLAY rtsp://h/cam/ RTSP/1.0\r\n") && play.contains("Session: 42\r\n"),
            "{play}"
        );
        assert_eq!(conversation.timeout(), Duration::from_secs(20));
        assert!(conversation.answer(&ready).unwrap().is_empty());
        assert_eq!(conversation.step(), Step::Playing);
        assert!(text(conversation.end()).starts_with("TEARDOWN rtsp://h/cam/ RTSP/1.0\r\nCSeq: 4\r\n"));
    }

    #[test]
    fn what_is_refused_is_said() {
        let mut conversation = Conversation::new("rtsp://h/cam", Way::Tcp);
        let refused = conversation.answer(&response("RTSP/1.0 404 no such camera\r\n\r\n")).unwrap_err();
        assert_eq!(refused.to_string(), "DESCRIBE: answered with 404 no such camera");
        let bare = conversation.answer(&response("RTSP/1.0 200 OK\r\n\r\n"));
        assert!(bare.is_err());
    }

    #[test]
    fn a_tracks_url() {
        for (control, wanted) in [
            ("", "rtsp://h/cam/"),
            ("a=control:*\r\n", "rtsp://h/cam/"),
            ("a=control:rtsp://h/other/1\r\n", "rtsp://h/other/1"),
            ("a=control:video\r\n", "rtsp://h/cam/video"),
        ] {
            let mut conversation = Conversation::new("rtsp://h/cam", Way::Tcp);
            let setup = String::from_utf8(conversation.answer(&description(control)).unwrap()).unwrap();
            assert!(setup.starts_with(&format!("SETUP {wanted} RTSP")), "{setup}");
        }
    }
}
