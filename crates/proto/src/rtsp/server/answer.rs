//! What the program answers to events.

use std::net::IpAddr;
use std::time::Duration;

use super::SessionId;
use crate::rtsp::{Range, Status};

/// The answer to an event that asks for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Event::Describe`](super::Event::Describe).
    Description(Description),
    /// To [`Event::Setup`](super::Event::Setup).
    SetUp(SetUp),
    /// To [`Event::Play`](super::Event::Play).
    Started(Started),
    /// To [`Event::Announce`](super::Event::Announce): the tracks' names for themselves (`a=control`), in their order; empty text
    /// for one that has none.
    Announced(Vec<String>),
    /// To [`Event::Record`](super::Event::Record).
    Recording,
    /// To any: it cannot be.
    Refused(Refusal),
}

/// A stream's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// SDP, with `a=control:*` for all and [`control`](crate::rtsp::control) for each track.
    pub sdp: String,
}

/// A track that is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetUp {
    /// Its number: by it the program knows it again.
    pub track: u8,
    /// Which of the offers is taken: its place in the list.
    pub offer: usize,
    /// What the server adds to it.
    pub grant: Grant,
    /// The sender of its RTP packets, where it is known.
    pub ssrc: Option<u32>,
    /// The name of the session if this begins one: from a good random generator.
    pub session: SessionId,
}

/// The server's end of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Within the connection.
    Interleaved,
    /// From these ports, for RTP and RTCP.
    Udp {
        /// For RTP.
        rtp: u16,
        /// For RTCP.
        rtcp: u16,
    },
    /// To this group.
    Multicast {
        /// Its address.
        group: IpAddr,
        /// For RTP.
        rtp: u16,
        /// For RTCP.
        rtcp: u16,
        /// How many routers its packets pass.
        ttl: u8,
    },
}

/// Where a stream begins.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Started {
    /// What is played. `None` for a live stream: from the time on since which it has played.
    pub range: Option<Range>,
    /// Where in the packets that is, for each track of which it is known.
    pub tracks: Vec<TrackStart>,
}

/// Where a track begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackStart {
    /// Its number.
    pub track: u8,
    /// The number of its first packet.
    pub sequence: u16,
    /// The RTP timestamp that belongs to the beginning of the range.
    pub rtp_time: u32,
}

/// Why something cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// By number.
    pub status: Status,
    /// In words that the client's user may see.
    pub reason: String,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// One without a time.
    pub fn new(status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), retry_after: None }
    }
}
