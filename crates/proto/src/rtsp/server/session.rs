//! A session: the tracks that a client has set up, and what they do.

use std::fmt;
use std::time::Duration;

use crate::rtsp::Transport;

/// A session's name, which nobody can guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub u128);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing yet, or nothing for now.
    Ready,
    /// The client receives.
    Playing,
    /// The client sends.
    Recording,
}

/// A track of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionTrack {
    /// As the program has numbered it.
    pub number: u8,
    /// How its packets travel.
    pub transport: Transport,
    /// The URL that the client knows it by.
    pub(super) url: String,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) path: String,
    pub(super) phase: Phase,
    pub(super) publish: bool,
    pub(super) tracks: Vec<SessionTrack>,
    /// When it was played first.
    pub(super) played: Option<Duration>,
    /// When the client has shown last that it is there.
    pub(super) alive: Duration,
}

impl Session {
    /// The track with this channel, and whether the channel is for its RTCP.
    pub(super) fn find_channel(&self, channel: u8) -> Option<(u8, bool)> {
        self.tracks.iter().find_map(|track| {
            let (rtp, rtcp) = track.transport.interleaved?;
            (channel == rtp || channel == rtcp).then_some((track.number, channel == rtcp))
        })
    }

    /// Whether the system sees by itself that the client has gone: packets to it travel within the connection.
    pub(super) fn is_seen(&self) -> bool {
        self.phase == Phase::Playing && self.tracks.iter().all(|track| track.transport.tcp)
    }

    /// Whether one of these channels is another track's.
    pub(super) fn uses(&self, (rtp, rtcp): (u8, u8), except: Option<&str>) -> bool {
        self.tracks.iter().filter(|track| Some(&track.url[..]) != except).any(|track| {
            track
                .transport
                .interleaved
                .is_some_and(|(own, own_rtcp)| [own, own_rtcp].iter().any(|own| *own == rtp || *own == rtcp))
        })
    }
}
