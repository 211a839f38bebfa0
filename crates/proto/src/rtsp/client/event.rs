//! What a client tells the program, and what the program tells it.

use std::net::IpAddr;

use bytes::Bytes;

use super::Cause;
use crate::rtsp::Range;
use crate::sdp;

/// What the program is to do, or what came.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Open a connection to this place: the first, or another one instead of the one there was, which is to be closed. Answer with
    /// [`Input::Connected`]; if it cannot be opened there is nothing more to do. Bytes of an earlier connection are void.
    Connect(Place),
    /// The camera has described its stream. The tracks are set up next.
    Described(Box<Described>),
    /// A track's packets are to come by UDP. Bind two ports, the first even and the second the next, and answer with
    /// [`Input::Ports`].
    PortsNeeded {
        /// The track's place in [`Described::tracks`].
        track: u8,
    },
    /// It is agreed how a track's packets travel. Listen there: they may come at once.
    SetUp {
        /// The track's place in [`Described::tracks`].
        track: u8,
        /// How.
        way: Way,
        /// The name of the sender in its packets, if the camera says it.
        ssrc: Option<u32>,
    },
    /// The camera refuses a track that the others do without. Its ports are free.
    Refused {
        /// The track's place in [`Described::tracks`].
        track: u8,
        /// Why.
        cause: Cause,
    },
    /// No way of those that were agreed holds: all ports are free. The tracks are set up again, in another way or on another
    /// connection.
    StartedOver,
    /// The tracks come. Packets may have come before.
    Playing(Playing),
    /// A packet that came within the connection.
    Data {
        /// The track's place in [`Described::tracks`].
        track: u8,
        /// It is RTCP, not RTP.
        rtcp: bool,
        /// The packet; shares the memory that it was read into.
        packet: Bytes,
    },
    /// Nothing comes any more. Send [`output`](super::Client::output), if the connection stands, and close it.
    Closed(Cause),
}

/// What the program has done, or wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The connection stands.
    Connected,
    /// The other side has closed it, or it broke.
    Disconnected,
    /// Ports are bound, for the track that they were needed for.
    Ports {
        /// For RTP.
        rtp: u16,
        /// For RTCP.
        rtcp: u16,
    },
    /// No ports could be bound: the next way is tried, or none is left.
    NoPorts,
    /// A packet came by UDP.
    Heard,
    /// Enough: TEARDOWN, then [`Event::Closed`].
    End,
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A name, or an address without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// Encrypted from its first byte on.
    pub tls: bool,
}

/// What a camera describes.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// All of it, also what is not asked for.
    pub description: sdp::Description,
    /// What is asked for: the first medium of pictures that can be received, and the first of sound.
    pub tracks: Vec<Track>,
}

/// A medium that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Its place in the description's media.
    pub medium: usize,
    /// The payload type of the packets that hold it; others are not of it.
    pub payload_type: u8,
    /// What they hold.
    pub codec: sdp::Codec,
}

/// What may carry the packets of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The connection itself, between its messages.
    Tcp,
    /// Datagrams to ports of the program.
    Udp,
    /// Datagrams to a group.
    Multicast,
}

/// How the packets of a track travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Within the connection: they are events.
    Interleaved,
    /// To the ports that were bound.
    Udp {
        /// The camera's ports for RTP and RTCP, if it says them: reports go to the second.
        server: Option<(u16, u16)>,
        /// Where they come from, if the camera says that it is not where the connection leads.
        source: Option<IpAddr>,
    },
    /// To this group.
    Multicast {
        /// Its address.
        group: IpAddr,
        /// For RTP.
        rtp: u16,
        /// For RTCP.
        rtcp: u16,
        /// How many routers the program's reports may pass.
        ttl: u8,
        /// Where they come from, if the camera says that it is not where the connection leads.
        source: Option<IpAddr>,
    },
}

/// Where a stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playing {
    /// What is played, if the camera says so, in a unit that is spoken.
    pub range: Option<Range>,
    /// The tracks that come, in the order of [`Described::tracks`].
    pub tracks: Vec<PlayingTrack>,
}

/// Where a track begins, as RTP-Info says. Cameras send wrong numbers: they are a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayingTrack {
    /// The track's place in [`Described::tracks`].
    pub track: u8,
    /// The number of its first packet.
    pub sequence: Option<u16>,
    /// The RTP timestamp that belongs to the beginning of the range.
    pub rtp_time: Option<u32>,
}
