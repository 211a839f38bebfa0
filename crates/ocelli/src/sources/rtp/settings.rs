//! `rtp://address:port?…` as what it says, checked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use ocelli_media::Codec;
use ocelli_proto::rtp::jpeg;
use ocelli_proto::rtp::nal::Format;
use ocelli_proto::rtp::receive::{Payload, Setup};
use ocelli_proto::rtp::reorder::Limits;

use crate::sources::{SourceUrl, SpecError};
use crate::udp::{Interface, Listen};

/// Every parameter of `rtp:`.
const PARAMETERS: &[&str] = &["codec", "payload_type", "interface", "from", "wait", "packets", "rtcp"];

/// How long a packet is waited for. A network that lets packets overtake each other, or sends lost ones again (Wi-Fi), is done
/// within some tens of milliseconds; where the order is kept nobody waits.
const USUAL_WAIT: Duration = Duration::from_millis(50);
/// How many packets may wait: half of that time at 160 Mbit/s.
const USUAL_PACKETS: usize = 512;
/// What senders take for H.264 and H.265 where nobody told them otherwise.
const USUAL_DYNAMIC_TYPE: u8 = 96;

/// What is to be received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) listen: Listen,
    /// The only sender that is heard; else whoever comes first.
    pub(super) from: Option<IpAddr>,
    pub(super) codec: Codec,
    pub(super) payload_type: u8,
    pub(super) limits: Limits,
    pub(super) rtcp: bool,
    /// RTCP has no port of its own (RFC 5761).
    pub(super) rtcp_on_rtp: bool,
    /// Those that were told beside the stream.
    pub(super) parameter_sets: Vec<Bytes>,
}

impl Settings {
    pub(super) fn parse(url: &SourceUrl) -> Result<Self, SpecError> {
        url.only(PARAMETERS)?;
        let address = address(url.rest()).ok_or_else(|| {
            SpecError::new(format!(
                "`{url}` names no address to listen on: expected one of this machine or of a group, and a port, as in \
                 rtp://0.0.0.0:5000"
            ))
        })?;
        let codec = match url.text("codec") {
            None | Some("jpeg" | "mjpeg") => Codec::Jpeg,
            Some("h264") => Codec::H264,
            Some("h265") => Codec::H265,
            Some(other) => return Err(SpecError::new(format!("codec={other}: expected jpeg, h264 or h265"))),
        };
        let from = from(url)?;
        if let Some(from) = from
            && address.is_ipv4()
            && from.is_ipv6()
        {
            return Err(SpecError::new(format!(
                "from={from}: nobody at an IPv6 address can send to {address}"
            )));
        }
        let usual_type = if codec == Codec::Jpeg { jpeg::PAYLOAD_TYPE } else { USUAL_DYNAMIC_TYPE };
        Ok(Self {
            listen: Listen {
                address,
                rtcp_port: None,
                interface: url.text("interface").map(Interface::from),
                source: from,
            },
            from,
            codec,
            payload_type: url.number("payload_type", 0..=127_u8)?.unwrap_or(usual_type),
            limits: limits(url)?,
            rtcp: url.flag("rtcp")?.unwrap_or(true),
            rtcp_on_rtp: false,
            parameter_sets: Vec::new(),
        })
    }

    /// The same for the receiver's state machine.
    pub(super) fn setup(&self, most_bytes: usize) -> Setup {
        let payload = match self.codec {
            Codec::H264 => Payload::Nal(Format::H264),
            Codec::H265 => Payload::Nal(Format::H265),
            _ => Payload::Jpeg,
        };
        let (payload_type, from, limits) = (self.payload_type, self.from, self.limits);
        Setup { payload, payload_type, from, limits, most_bytes }
    }

    /// What the packets should carry, in words.
    pub(super) fn payload(&self) -> &'static str {
        match self.codec {
            Codec::H264 => "H.264",
            Codec::H265 => "H.265",
            _ => "JPEG",
        }
    }
}

/// The sender that `from=` names.
pub(super) fn from(url: &SourceUrl) -> Result<Option<IpAddr>, SpecError> {
    let Some(text) = url.text("from") else { return Ok(None) };
    let address = text.trim_matches(['[', ']']).parse::<IpAddr>();
    let address = address.map_err(|_| SpecError::new(format!("from={text}: expected an IP address")))?;
    Ok(Some(address.to_canonical()))
}

/// How long, and how much, `wait=` and `packets=` let wait.
pub(super) fn limits(url: &SourceUrl) -> Result<Limits, SpecError> {
    let wait = url.number("wait", 0..=10_000_u64)?.map(Duration::from_millis);
    let packets = url.number("packets", 1..=3000_usize)?;
    Ok(Limits { wait: wait.unwrap_or(USUAL_WAIT), packets: packets.unwrap_or(USUAL_PACKETS) })
}

/// `//0.0.0.0:5000`, `//[::]:5000`, and, as players write it, `//@239.1.2.3:5000` and `//:5000`.
fn address(rest: &str) -> Option<SocketAddr> {
    let authority = rest.strip_prefix("//")?;
    let authority = authority.strip_prefix('@').unwrap_or(authority);
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    match authority.strip_prefix(':') {
        Some(port) => Some((Ipv4Addr::UNSPECIFIED, port.parse().ok()?).into()),
        None => authority.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, SpecError> {
        Settings::parse(&SourceUrl::parse(text).unwrap())
    }

    #[test]
    fn what_is_left_out_is_as_usual() {
        let settings = parse("rtp://0.0.0.0:5000").unwrap();
        assert_eq!(settings.listen.address, "0.0.0.0:5000".parse().unwrap());
        assert_eq!((settings.codec, settings.payload_type, settings.rtcp), (Codec::Jpeg, 26, true));
        assert_eq!(settings.limits, Limits { wait: USUAL_WAIT, packets: USUAL_PACKETS });
        assert_eq!(parse("rtp://[::]:5000?codec=h265").unwrap().payload_type, 96);
        for text in ["rtp://:5000", "rtp://@:5000", "rtp://0.0.0.0:5000/"] {
            assert_eq!(parse(text).unwrap().listen.address, settings.listen.address, "{text}");
        }
    }

    #[test]
    fn all_can_be_said() {
        let text = "rtp://239.1.2.3:6000?codec=h264&payload_type=97&interface=eth0&from=10.0.0.7&wait=20&packets=64&rtcp=0";
        let settings = parse(text).unwrap();
        let from = Some("10.0.0.7".parse().unwrap());
        let listen = Listen {
            address: "239.1.2.3:6000".parse().unwrap(),
            rtcp_port: None,
            interface: Some(Interface::Name("eth0".to_owned())),
            source: from,
        };
        assert_eq!((settings.listen, settings.from), (listen, from));
        assert_eq!((settings.codec, settings.payload_type, settings.rtcp), (Codec::H264, 97, false));
        assert_eq!(settings.limits, Limits { wait: Duration::from_millis(20), packets: 64 });
        assert_eq!(parse("rtp://[::]:5000?from=[::ffff:10.0.0.7]").unwrap().from, from);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text| parse(text).unwrap_err().to_string();
        for text in ["rtp://camera:5000", "rtp://0.0.0.0", "rtp:5000", "rtp://"] {
            assert!(error(text).contains("as in rtp://0.0.0.0:5000"), "{text}");
        }
        assert_eq!(error("rtp://:5000?codec=vp8"), "codec=vp8: expected jpeg, h264 or h265");
        assert!(error("rtp://:5000?payload=96").contains("has no parameter `payload`"));
        assert_eq!(error("rtp://:5000?from=camera"), "from=camera: expected an IP address");
        assert!(error("rtp://0.0.0.0:5000?from=::1").contains("nobody at an IPv6 address"));
        assert!(error("rtp://:5000?wait=1s").contains("0 to 10000"));
    }
}
