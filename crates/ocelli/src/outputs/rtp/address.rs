//! Where a camera is pushed to, and how: `rtp://host:port?mtu=1400&dscp=46&…`, parsed once.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use crate::config::PixelOptions;
use crate::sources::{SourceUrl, SpecError, hide_user};
use crate::udp::{Interface, PairOptions};
use crate::variants::{Asked, BadAddress, Shape};

/// Whole IP packets of this length pass Ethernet, and most tunnels over it.
const USUAL_MTU: u16 = 1400;
/// IP's header and UDP's (RFC 791, RFC 8200, RFC 768).
const IPV4_OVERHEAD_BYTES: usize = 20 + 8;
const IPV6_OVERHEAD_BYTES: usize = 40 + 8;

/// Longest name of a host (RFC 1035 2.3.4, without what stands for lengths).
const MOST_NAME_BYTES: usize = 253;

/// Every parameter.
const PARAMETERS: &[&str] = &[
    "mtu",
    "dscp",
    "ssrc",
    "ttl",
    "interface",
    "local_port",
    "pace",
    "payload_type",
    "min_fps",
    "min_quality",
    "rtcp",
    "variant",
    "width",
    "height",
    "quality",
    "fps",
    "codec",
    "bitrate",
    "rotate",
    "flip",
];

/// A target of a camera's pictures. What it says was checked; two that say the same are equal.
#[derive(Clone, PartialEq, Eq)]
pub struct PushAddress {
    shown: String,
    /// A name or an IP address, an IPv6 one without its brackets.
    host: String,
    port: u16,
    mtu: u16,
    /// How the sockets are to be.
    pub socket: PairOptions,
    /// The sender's number (RFC 3550 section 3); else a random one.
    pub ssrc: Option<u32>,
    /// 0 to 127; else 26 for JPEG and 96 for everything else.
    pub payload_type: Option<u8>,
    /// Packets of one picture are spread so that no more bits a second go out, counted with IP's headers. At least 8000.
    pub pace_bits_per_second: Option<u64>,
    /// The frame rate is not lowered below this for a receiver that loses packets; else as `[rtp]` has it.
    pub min_fps: Option<u16>,
    /// The quality is not lowered below this for a receiver that loses packets; else as `[rtp]` has it.
    pub min_quality: Option<u8>,
    /// Whether reports are sent and listened to (RFC 3550 section 6).
    pub rtcp: bool,
    /// What is asked of the pictures: names and values of [`PARAMETERS`](crate::variants::PARAMETERS).
    asks: Vec<(String, String)>,
}

impl PushAddress {
    /// Reads `text`.
    ///
    /// # Errors
    /// It is no `rtp://host:port`, has a parameter that is not known, or one outside its range.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let shown = hide_user(text);
        let wrong = |why: &str| SpecError::new(format!("found {shown:?}{why}"));
        if !text.split_once("://").is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("rtp")) {
            return Err(wrong(", which does not begin with rtp://"));
        }
        let url = SourceUrl::parse(text)?;
        let (host, port) = host_and_port(url.path()).map_err(|why| wrong(&format!(": {why}")))?;
        url.only(PARAMETERS)?;
        let asks: Vec<(String, String)> = url
            .parameters()
            .iter()
            .filter(|(name, _)| crate::variants::PARAMETERS.contains(&name.as_str()))
            .cloned()
            .collect();
        Shape::parse(pairs(&asks)).map_err(|bad| SpecError::new(bad.to_string()))?;
        let local_port = number(&url, "local_port", 0..=65_534)?.filter(|port| *port > 0);
        Ok(Self {
            host,
            port,
            mtu: number(&url, "mtu", 256..=65_535)?.unwrap_or(USUAL_MTU),
            socket: PairOptions {
                local_port,
                interface: interface(&url)?,
                dscp: number(&url, "dscp", 0..=63)?,
                ttl: number(&url, "ttl", 0..=255)?,
            },
            ssrc: number(&url, "ssrc", 0..=u32::MAX)?,
            payload_type: number(&url, "payload_type", 0..=127)?,
            pace_bits_per_second: number(&url, "pace", 8_000..=1_000_000_000_000)?,
            min_fps: number(&url, "min_fps", 1..=1000)?,
            min_quality: number(&url, "min_quality", 1..=100)?,
            rtcp: url.flag("rtcp")?.unwrap_or(true),
            asks,
            shown,
        })
    }

    /// What it asks of the pictures of a camera with `options`.
    ///
    /// # Errors
    /// It names a variant that the camera has not, says something twice, or asks for what RTP does not carry.
    pub fn asked(&self, options: &PixelOptions) -> Result<Asked, BadAddress> {
        Asked::read(options, pairs(&self.asks))?.by_rtp()
    }

    /// The same, shown as `shown`: with the names of variables in the place of their values.
    #[must_use]
    pub fn shown_as(self, shown: &str) -> Self {
        Self { shown: hide_user(shown), ..self }
    }

    /// A name or an IP address, an IPv6 one without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Where RTP goes, 1 to 65535; RTCP goes to the next.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the host is an address, so that there is nothing to look up.
    pub fn is_literal(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }

    /// How long RTP packets may be, header included, so that the whole IP packet to `target` keeps within the MTU.
    pub fn packet_bytes(&self, target: SocketAddr) -> usize {
        usize::from(self.mtu) - Self::overhead_bytes(target)
    }

    /// What IP and UDP add to each packet to `target`.
    pub fn overhead_bytes(target: SocketAddr) -> usize {
        if target.is_ipv4() { IPV4_OVERHEAD_BYTES } else { IPV6_OVERHEAD_BYTES }
    }

    /// Host and port as they may be shown: what labels this target.
    pub fn label(&self) -> &str {
        let authority = self.shown.split_once("//").map_or(&self.shown[..], |(_, rest)| rest);
        authority.split('?').next().unwrap_or(authority)
    }
}

/// As written, without user and password, and with the names of variables in the place of their values.
impl fmt::Display for PushAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PushAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown, f)
    }
}

fn pairs(asks: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> + Clone {
    asks.iter().map(|(name, value)| (&**name, &**value))
}

/// `host:port` or `[address]:port`. An error says what is wrong with it.
fn host_and_port(authority: &str) -> Result<(String, u16), String> {
    if authority.contains('@') {
        return Err("RTP has no user and password".to_owned());
    }
    if authority.contains(['/', '#', ' ']) {
        return Err("behind the port there is nothing but `?` and parameters".to_owned());
    }
    let in_brackets = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match in_brackets {
        Some((inner, port)) => {
            let address = inner.parse::<Ipv6Addr>().map_err(|_| format!("{inner} is no IPv6 address"))?;
            (address.to_string(), port.strip_prefix(':'))
        }
        None if authority.contains(['[', ']']) || authority.matches(':').count() > 1 => {
            return Err("an IPv6 address stands in brackets, as in [fd00::1]:5000".to_owned());
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (authority.to_owned(), None),
        },
    };
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    // Not only for name servers: what stands here is shown in logs and session descriptions, line by line.
    let may_be_named = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if in_brackets.is_none() && (host.len() > MOST_NAME_BYTES || !host.bytes().all(may_be_named)) {
        return Err("a host's name has letters, digits, dots and hyphens, 253 at most".to_owned());
    }
    let looks_like_ipv4 = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if looks_like_ipv4 && host.parse::<Ipv4Addr>().is_err() {
        return Err(format!("{host} is no IPv4 address"));
    }
    if host.parse().is_ok_and(|address: IpAddr| address.is_unspecified()) {
        return Err(format!("{host} stands for every address of this machine and names no receiver"));
    }
    let port = port.filter(|port| !port.is_empty()).ok_or("the port is missing")?;
    match port.parse() {
        Ok(port) if port > 0 => Ok((host, port)),
        _ => Err(format!("{port} is no port from 1 to 65535")),
    }
}

fn interface(url: &SourceUrl) -> Result<Option<Interface>, SpecError> {
    match url.text("interface") {
        Some(text) if text.is_empty() || text.contains(|c: char| c.is_control() || c.is_whitespace()) => {
            Err(SpecError::new("interface=: expected a network interface's name or address"))
        }
        text => Ok(text.map(Interface::from)),
    }
}

/// A whole number, in decimal or, behind `0x`, in hexadecimal digits.
fn number<T>(url: &SourceUrl, name: &str, range: RangeInclusive<T>) -> Result<Option<T>, SpecError>
where
    T: TryFrom<u64> + PartialOrd + fmt::Display,
{
    let Some(text) = url.text(name) else { return Ok(None) };
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            u64::from_str_radix(digits, 16).ok()
        }
        Some(_) => None,
        None if text.bytes().all(|digit| digit.is_ascii_digit()) => text.parse().ok(),
        None => None,
    };
    match number.and_then(|number| T::try_from(number).ok()) {
        Some(number) if range.contains(&number) => Ok(Some(number)),
        _ => {
            let (least, most) = (range.start(), range.end());
            Err(SpecError::new(format!("{name}={text}: not a whole number from {least} to {most}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> PushAddress {
        PushAddress::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_parameter_is_read() {
        let address = parsed(
            "rtp://192.168.1.100:5000?mtu=1200&dscp=46&ssrc=0x12345678&ttl=4&interface=eth0&local_port=6000\
             &pace=2000000&payload_type=97&min_fps=5&min_quality=40&rtcp=0",
        );
        assert_eq!((address.host(), address.port()), ("192.168.1.100", 5000));
        assert_eq!(address.packet_bytes(([1, 2, 3, 4], 5).into()), 1172);
        assert_eq!(address.packet_bytes(([0; 8], 5).into()), 1152);
        let socket = &address.socket;
        assert_eq!((socket.dscp, socket.ttl, socket.local_port), (Some(46), Some(4), Some(6000)));
        assert_eq!(socket.interface, Some(Interface::Name("eth0".into())));
        assert_eq!((address.ssrc, address.payload_type), (Some(0x1234_5678), Some(97)));
        assert_eq!(address.pace_bits_per_second, Some(2_000_000));
        assert_eq!((address.min_fps, address.min_quality, address.rtcp), (Some(5), Some(40), false));
        assert_eq!(address.label(), "192.168.1.100:5000");
    }

    #[test]
    fn other_pictures_than_the_cameras_own_may_be_asked_for() {
        let small = Shape { height: Some(480), ..Shape::default() };
        let options =
            PixelOptions { variants: vec![("small".parse().unwrap(), small)], ..PixelOptions::default() };
        let asked = |text: &str| parsed(text).asked(&options).map(|asked| asked.exact.to_string());
        assert_eq!(asked("rtp://h:1?codec=h264&width=641&dscp=46").unwrap(), "codec=h264&width=641");
        assert_eq!(asked("rtp://h:1?variant=small&fps=7").unwrap(), "height=480&fps=7");
        assert_eq!(asked("rtp://h:1?mtu=700").unwrap(), "");
        let unknown = asked("rtp://h:1?variant=tiny").unwrap_err().to_string();
        assert_eq!(unknown, "there is no variant `tiny`: expected one of small");
        let raw = asked("rtp://h:1?codec=rgb24").unwrap_err().to_string();
        assert!(raw.starts_with("codec=rgb24: expected mjpeg, h264 or the camera's own"), "{raw}");
        assert!(asked("rtp://h:1?fps=7&fps=8").is_err());
        let wrong = PushAddress::parse("rtp://h:1?quality=9000").unwrap_err().to_string();
        assert_eq!(wrong, "quality=9000: expected 1 to 100");
    }

    #[test]
    fn nothing_but_host_and_port_is_needed() {
        let address = parsed("rtp://viewer.example:5004");
        assert_eq!(address.packet_bytes(([1, 2, 3, 4], 5).into()), 1372);
        assert_eq!(address.socket, PairOptions::default());
        assert!(address.rtcp && !address.is_literal());
        assert_eq!((address.ssrc, address.payload_type, address.pace_bits_per_second), (None, None, None));
        // 0 means any port, as in the files that had a key for it.
        assert_eq!(parsed("rtp://h:1?local_port=0").socket.local_port, None);
    }

    #[test]
    fn ipv6_stands_in_brackets() {
        let address = parsed("rtp://[fd00::1]:5000?interface=[fd00::2]");
        assert_eq!((address.host(), address.port(), address.label()), ("fd00::1", 5000, "[fd00::1]:5000"));
        assert_eq!(address.socket.interface, Some(Interface::Address("fd00::2".parse().unwrap())));
        assert!(address.is_literal());
        for wrong in ["rtp://fd00::1:5000", "rtp://[fd00::1:5000", "rtp://[name]:5000"] {
            assert!(PushAddress::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn errors_name_the_range_or_the_nearest_name() {
        let error = |text| PushAddress::parse(text).unwrap_err().to_string();
        assert_eq!(error("udp://1.2.3.4:5"), "found \"udp://1.2.3.4:5\", which does not begin with rtp://");
        assert!(error("1.2.3.4:5").ends_with("which does not begin with rtp://"));
        for (text, why) in [
            ("rtp://host", ": the port is missing"),
            ("rtp://host:", ": the port is missing"),
            ("rtp://[fd00::1]", ": the port is missing"),
            ("rtp://host:0", ": 0 is no port from 1 to 65535"),
            ("rtp://host:70000", ": 70000 is no port from 1 to 65535"),
            ("rtp://:5000", ": the host is missing"),
            ("rtp://a\nb:5000", ": a host's name has letters, digits, dots and hyphens, 253 at most"),
            ("rtp://a\0b:5000", ": a host's name has letters, digits, dots and hyphens, 253 at most"),
            ("rtp://host:5000/cam", ": behind the port there is nothing but `?` and parameters"),
            ("rtp://fd00::1:5000", ": an IPv6 address stands in brackets, as in [fd00::1]:5000"),
            ("rtp://[name]:5000", ": name is no IPv6 address"),
            ("rtp://192.168.1.256:5000", ": 192.168.1.256 is no IPv4 address"),
            ("rtp://[::]:5000", ": :: stands for every address of this machine and names no receiver"),
        ] {
            assert_eq!(error(text), format!("found {text:?}{why}"));
        }
        assert_eq!(error("rtp://me:pw@h:5"), "found \"rtp://***@h:5\": RTP has no user and password");
        assert_eq!(error("rtp://h:5?dscp=99"), "dscp=99: not a whole number from 0 to 63");
        assert_eq!(
            error("rtp://h:5?ssrc=0x123456789"),
            "ssrc=0x123456789: not a whole number from 0 to 4294967295"
        );
        assert_eq!(error("rtp://h:5?ttl=-1"), "ttl=-1: not a whole number from 0 to 255");
        assert_eq!(error("rtp://h:5?mtu=100"), "mtu=100: not a whole number from 256 to 65535");
        assert_eq!(error("rtp://h:5?mtu=+900"), "mtu=+900: not a whole number from 256 to 65535");
        assert!(error("rtp://h:5?dcsp=4").contains("did you mean `dscp`?"));
        assert!(error("rtp://h:5?rtcp=perhaps").contains("expected 1 or 0"));
    }

    #[test]
    fn variables_are_shown_by_their_names() {
        let address = parsed("rtp://10.1.2.3:5000?ssrc=7").shown_as("rtp://${STUDIO}:5000?ssrc=7");
        assert_eq!(
            (address.label(), &address.to_string()[..]),
            ("${STUDIO}:5000", "rtp://${STUDIO}:5000?ssrc=7")
        );
        assert!(!format!("{address:?}").contains("10.1"));
        assert_ne!(address, parsed("rtp://10.1.2.3:5000?ssrc=7"));
    }
}
