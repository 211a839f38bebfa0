//! Names of methods (RFC 2326 section 10) and versions of the protocol.

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// What can be asked for; also a sign of life.
    Options,
    /// The description of a stream.
    Describe,
    /// The transport of one track.
    Setup,
    /// Let the media come.
    Play,
    /// Let them stop for a while.
    Pause,
    /// End the session.
    Teardown,
    /// Read a value; without one, a sign of life.
    GetParameter,
    /// Set a value.
    SetParameter,
    /// The description of a stream that the client will send.
    Announce,
    /// The client begins to send.
    Record,
    /// Another one.
    Other(String),
}

impl Method {
    /// `name`, which is case-sensitive.
    pub fn new(name: &str) -> Self {
        match name {
            "OPTIONS" => Self::Options,
            "DESCRIBE" => Self::Describe,
            "SETUP" => Self::Setup,
            "PLAY" => Self::Play,
            "PAUSE" => Self::Pause,
            "TEARDOWN" => Self::Teardown,
            "GET_PARAMETER" => Self::GetParameter,
            "SET_PARAMETER" => Self::SetParameter,
            "ANNOUNCE" => Self::Announce,
            "RECORD" => Self::Record,
            other => Self::Other(other.to_owned()),
        }
    }

    /// As it is written.
    pub fn name(&self) -> &str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Pause => "PAUSE",
            Self::Teardown => "TEARDOWN",
            Self::GetParameter => "GET_PARAMETER",
            Self::SetParameter => "SET_PARAMETER",
            Self::Announce => "ANNOUNCE",
            Self::Record => "RECORD",
            Self::Other(name) => name,
        }
    }
}

/// The protocol that a message says it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RTSP/1.0, RFC 2326.
    Rtsp1,
    /// RTSP/2.0, RFC 7826.
    Rtsp2,
    /// Any version of HTTP: a browser, or the beginning of a tunnel.
    Http,
}

impl Version {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "RTSP/1.0" => Some(Self::Rtsp1),
            "RTSP/2.0" => Some(Self::Rtsp2),
            _ => text.starts_with("HTTP/").then_some(Self::Http),
        }
    }
}
