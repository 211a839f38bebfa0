//! What became of those who came, counted by why: each connection that was accepted is open, refused, or over.

use std::io;

use crate::tally::Tally;

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many as there may be were open.
    Connections,
    /// Its address had as many as one may have.
    PerAddress,
    /// Its address had too many without a request.
    HalfOpen,
    /// It brought requests for a tunnel through HTTP that is not there or has enough of them, or has a name that another has.
    Tunnel,
}

impl Refused {
    /// Each.
    pub const ALL: [Self; 4] = [Self::Connections, Self::PerAddress, Self::HalfOpen, Self::Tunnel];

    /// The limit's name, or one word for it, as `/stats` and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::PerAddress => "connections_per_address",
            Self::HalfOpen => "half_open_per_address",
            Self::Tunnel => "tunnel",
        }
    }
}

/// Why a session was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionRefused {
    /// Its address had as many as one may have.
    PerAddress,
    /// As many watched, by whatever protocol, as may.
    Viewers,
}

impl SessionRefused {
    /// Each.
    pub const ALL: [Self; 2] = [Self::PerAddress, Self::Viewers];

    /// The limit's name, as `/stats` and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PerAddress => "sessions_per_address",
            Self::Viewers => "viewers",
        }
    }
}

/// Why a session ended, somebody who sent a stream left, or a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client has ended it, or closed its connection.
    Left,
    /// The connection broke.
    Broke,
    /// The client read nothing for too long.
    Stalled,
    /// The client gave no sign of life for too long, or did not go on with what it had begun.
    Silent,
    /// The client sent what it may not.
    Abuse,
    /// The camera's stream has ended, or is coded otherwise; of who sends one: the camera takes no more.
    Camera,
    /// Another program of its machine has taken its ports.
    Displaced,
    /// By the API.
    Asked,
}

impl Ended {
    /// Each.
    pub const ALL: [Self; 8] = [
        Self::Left,
        Self::Broke,
        Self::Stalled,
        Self::Silent,
        Self::Abuse,
        Self::Camera,
        Self::Displaced,
        Self::Asked,
    ];

    /// For a connection that failed: players that end leave unread what is on its way to them.
    pub(super) fn by(error: &io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset => Self::Left,
            _ => Self::Broke,
        }
    }

    /// One word for it, as `/stats` and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Broke => "broke",
            Self::Stalled => "stalled",
            Self::Silent => "silent",
            Self::Abuse => "abuse",
            Self::Camera => "camera",
            Self::Displaced => "displaced",
            Self::Asked => "asked",
        }
    }
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was refused.
    Refused(Refused),
    /// It was served, and is over.
    Over(Ended),
}

/// How many connections were refused, by why.
pub type Refusals = Tally<{ Refused::ALL.len() }>;
/// How many sessions were refused, by why.
pub type SessionRefusals = Tally<{ SessionRefused::ALL.len() }>;
/// How many of something are over, by why.
pub type Endings = Tally<{ Ended::ALL.len() }>;

impl Refusals {
    /// How many were refused, by why.
    pub fn refused(&self) -> [(Refused, u64); Refused::ALL.len()] {
        self.of(Refused::ALL)
    }
}

impl SessionRefusals {
    /// How many were refused, by why.
    pub fn refused(&self) -> [(SessionRefused, u64); SessionRefused::ALL.len()] {
        self.of(SessionRefused::ALL)
    }
}

impl Endings {
    /// How many are over, by why.
    pub fn ended(&self) -> [(Ended, u64); Ended::ALL.len()] {
        self.of(Ended::ALL)
    }
}
