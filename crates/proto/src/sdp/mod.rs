//! Session descriptions (SDP, RFC 8866): where a stream's packets go, and what is in them.
//!
//! [`Description::parse`] reads what cameras and programs write, not only what the RFC allows: either line end, lines that
//! are missing or out of order, text that is no UTF-8, attributes that mean nothing here. It refuses what leaves no meaning:
//! an `m=` line without a port, a connection address that is none, an `a=rtpmap` of the described payload that names no
//! encoding. What a medium's packets hold is said by [`Medium::codec`], which refuses, by name, the ways of packing that no
//! depacketiser of [`rtp`](crate::rtp) speaks. Writing is [`Display`](std::fmt::Display), and what is written is strict.

mod carried;
mod codec;
mod read;
mod write;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use ocelli_media::Size;

pub use codec::{Codec, CodecError, Law, PacketizationMode};
pub use read::{MAX_BYTES, ReadError};

/// A session: one or more media.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    /// Who made it (`o=`). Where the line is missing or makes no sense, the default.
    pub origin: Origin,
    /// What people call it (`s=`); empty if it has no name.
    pub name: String,
    /// What RTSP addresses the whole session by (`a=control`, RFC 2326 C.1.1).
    pub control: Option<String>,
    /// In the description's order. Never empty in one that was read.
    pub media: Vec<Medium>,
}

/// Who made a description, and which edition it is (RFC 8866 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Tells the maker's sessions apart.
    pub session: u64,
    /// Grows with every change of the description.
    pub version: u64,
    /// The maker's own address.
    pub address: IpAddr,
}

impl Default for Origin {
    fn default() -> Self {
        Self { session: 0, version: 0, address: IpAddr::V4(Ipv4Addr::UNSPECIFIED) }
    }
}

/// One stream of packets.
#[derive(Clone, Debug, PartialEq)]
pub struct Medium {
    /// What is seen or heard.
    pub kind: Kind,
    /// UDP port that the packets are sent to. 0 where RTSP agrees on it, or where the medium was refused.
    pub port: u16,
    /// How packets travel, as written: `RTP/AVP`.
    pub protocol: String,
    /// Where to, its own or the session's `c=`.
    pub connection: Option<Connection>,
    /// Who sends, seen by the one who reads the description; its own or the session's.
    pub direction: Direction,
    /// What RTSP addresses it by (`a=control`), absolute or relative.
    pub control: Option<String>,
    /// Where its RTCP goes.
    pub rtcp: Rtcp,
    /// Pictures a second, above 0 and up to 1000 (`a=framerate`, RFC 8866 6.13).
    pub framerate: Option<f64>,
    /// The pictures' size (`a=x-dimensions`, read by GStreamer, or `a=framesize`, RFC 6064).
    pub size: Option<Size>,
    /// The sender's names (`a=ssrc` with `cname`, RFC 5576).
    pub source: Option<Source>,
    /// Whose packets are taken (`a=source-filter`, RFC 4570); its own or the session's.
    pub source_filter: Option<SourceFilter>,
    /// What its payload types mean, the one to be used first.
    pub formats: Vec<Format>,
}

impl Medium {
    /// `codec` under `payload_type`, sent to `port` of `connection`, to be received only.
    pub fn sent(codec: &Codec, payload_type: u8, connection: Connection, port: u16) -> Self {
        Self {
            kind: codec.kind(),
            port,
            protocol: "RTP/AVP".to_owned(),
            connection: Some(connection),
            direction: Direction::ReceiveOnly,
            control: None,
            rtcp: Rtcp::NextPort,
            framerate: None,
            size: None,
            source: None,
            source_filter: None,
            formats: vec![codec.format(payload_type)],
        }
    }

    /// The first of its payload types that can be received, and what it carries.
    ///
    /// # Errors
    /// None can: why the first of them cannot.
    pub fn codec(&self) -> Result<(u8, Codec), CodecError> {
        let known = ["RTP/AVP", "RTP/AVPF", "RTP/AVP/UDP", "RTP/AVP/TCP"];
        if !known.iter().any(|known| self.protocol.eq_ignore_ascii_case(known)) {
            return Err(CodecError::Protocol { protocol: self.protocol.clone() });
        }
        let mut first_error = CodecError::NoPayloadType;
        for (index, format) in self.formats.iter().enumerate() {
            match format.codec() {
                Ok(codec) => return Ok((format.payload_type, codec)),
                Err(error) if index == 0 => first_error = error,
                Err(_) => {}
            }
        }
        Err(first_error)
    }

    /// The UDP port of its RTCP, if there is one: the next above its own unless the description says otherwise
    /// (RFC 3550 11, RFC 3605, RFC 5761).
    pub fn rtcp_port(&self) -> Option<u16> {
        match (&self.rtcp, self.port) {
            (Rtcp::At { port, .. }, _) => Some(*port),
            (_, 0) => None,
            (Rtcp::NextPort, port) => port.checked_add(1),
            (Rtcp::SamePort, port) => Some(port),
        }
    }
}

/// What is seen or heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Anything else: events, text, data.
    Other,
}

/// Where packets go (RFC 8866 5.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The receiver, or the group. In RTSP usually the unspecified address.
    pub host: Host,
    /// How many routers a packet for an IPv4 group may pass.
    pub ttl: Option<u8>,
}

impl Connection {
    /// To `address`. An IPv4 group is given `ttl`; nothing else may have one.
    pub fn to(address: IpAddr, ttl: u8) -> Self {
        let is_ipv4_group = address.is_ipv4() && address.is_multicast();
        Self { host: Host::Address(address), ttl: is_ipv4_group.then_some(ttl) }
    }
}

/// An address, or a name that has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A name to look up.
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Who sends, seen by the one who reads the description (RFC 8866 6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both, which is also what a description without a word of it means.
    #[default]
    Both,
    /// The reader of the description only sends.
    SendOnly,
    /// The reader only receives: every description of a stream to be watched.
    ReceiveOnly,
    /// Nobody for now.
    Inactive,
}

/// Where RTCP goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rtcp {
    /// To the port above the medium's own (RFC 3550 11).
    #[default]
    NextPort,
    /// Elsewhere (`a=rtcp`, RFC 3605).
    At {
        /// UDP port.
        port: u16,
        /// The host, if it is not the medium's.
        host: Option<Host>,
    },
    /// To the medium's own port (`a=rtcp-mux`, RFC 5761).
    SamePort,
}

/// A sender's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The one in every packet.
    pub ssrc: u32,
    /// The one that stays the same when the other changes; empty if the description does not say it.
    pub cname: String,
}

/// Whose packets a group's receiver takes (RFC 4570).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFilter {
    /// Only those of `sources`; else all but those.
    pub include: bool,
    /// Senders.
    pub sources: Vec<Host>,
}

/// What a payload type means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// 0 to 127.
    pub payload_type: u8,
    /// Its `a=rtpmap`, or what RFC 3551 says of it. `None` where neither says anything.
    pub encoding: Option<Encoding>,
    /// Its `a=fmtp`: names in lower case, and values, empty for a name alone.
    pub parameters: Vec<(String, String)>,
}

impl Format {
    /// The value of the parameter called `name`, which is in lower case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// How a payload is coded (RFC 8866 6.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// As registered; case means nothing.
    pub name: String,
    /// Ticks a second of the packets' timestamps.
    pub clock_hz: NonZeroU32,
    /// Channels of sound, where the line says so.
    pub channels: Option<u8>,
}

impl Encoding {
    /// Numbers that RFC 3551 section 6 gives a meaning to, as far as cameras use them.
    fn of_static(payload_type: u8) -> Option<Self> {
        let (name, clock_hz, channels) = match payload_type {
            0 => ("PCMU", 8_000, None),
            3 => ("GSM", 8_000, None),
            8 => ("PCMA", 8_000, None),
            9 => ("G722", 8_000, None),
            10 => ("L16", 44_100, Some(2)),
            11 => ("L16", 44_100, Some(1)),
            14 => ("MPA", 90_000, None),
            26 => ("JPEG", 90_000, None),
            32 => ("MPV", 90_000, None),
            33 => ("MP2T", 90_000, None),
            34 => ("H263", 90_000, None),
            _ => return None,
        };
        Some(Self { name: name.to_owned(), clock_hz: NonZeroU32::new(clock_hz)?, channels })
    }
}

#[cfg(test)]
mod tests;
