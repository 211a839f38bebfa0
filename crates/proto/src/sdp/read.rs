//! Reads session descriptions as they are found (RFC 8866 section 5), line by line.
//!
//! Only what is meant by `v=`, `o=`, `s=`, `c=`, `m=` and the attributes named in [`Medium`] is looked at. Memory is bounded
//! by [`MAX_BYTES`] and 32 media.

use std::net::IpAddr;
use std::num::NonZeroU32;

use ocelli_media::Size;

use super::{
    Connection, Description, Direction, Encoding, Format, Host, Kind, Medium, Origin, Rtcp, Source,
    SourceFilter,
};

/// The longest description that is read, in bytes; real ones have a few hundred.
pub const MAX_BYTES: usize = 64 << 10;
/// Media of one description.
const MAX_MEDIA: usize = 32;
/// Senders of one filter.
const MAX_SOURCES: usize = 32;
/// How much of a line an error shows, in characters.
const SHOWN: usize = 80;

/// Why bytes are no session description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Far longer than any.
    #[error("{bytes} bytes, expected at most {MAX_BYTES}")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// Another kind of text.
    #[error("no session description: neither a line `v=0` nor one that begins with `m=` (RFC 8866 5)")]
    Foreign,
    /// Nothing to receive.
    #[error("no `m=` line: the description names no medium (RFC 8866 5.14)")]
    NoMedium,
    /// More than any sender has.
    #[error("line {line}: more than {MAX_MEDIA} media")]
    TooManyMedia {
        /// Counted from 1.
        line: usize,
    },
    /// A line that is needed and means nothing.
    #[error("line {line}: `{text}`: expected {expected}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// Its first 80 characters.
        text: String,
        /// What would be right, and where that stands.
        expected: &'static str,
    },
}

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    /// The bytes are none, or one of its necessary lines makes no sense.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        Self::read(bytes, false)
    }

    /// Reads what an RTSP server describes. Lines that make no sense are left out: where packets go is agreed on otherwise, and
    /// what is wrong with one medium says nothing of the others.
    ///
    /// # Errors
    /// The bytes are no description, or one of no medium.
    pub fn parse_of_server(bytes: &[u8]) -> Result<Self, ReadError> {
        Self::read(bytes, true)
    }

    fn read(bytes: &[u8], lenient: bool) -> Result<Self, ReadError> {
        if bytes.len() > MAX_BYTES {
            return Err(ReadError::TooLong { bytes: bytes.len() });
        }
        let text = String::from_utf8_lossy(bytes).replace(|c: char| c.is_control() && c != '\n', " ");
        let mut reader = Reader { lenient, ..Reader::default() };
        for (index, text) in text.trim_start_matches('\u{FEFF}').split('\n').enumerate() {
            let text = text.trim();
            if let Some((kind, value)) = text.split_once('=') {
                reader.line(&Line { number: index + 1, text, value: value.trim() }, kind)?;
            }
        }
        reader.finish()
    }
}

/// One line.
struct Line<'a> {
    number: usize,
    text: &'a str,
    /// What is behind the first `=`.
    value: &'a str,
}

impl Line<'_> {
    fn wrong(&self, expected: &'static str) -> ReadError {
        ReadError::Line { line: self.number, text: self.text.chars().take(SHOWN).collect(), expected }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    description: Description,
    lenient: bool,
    is_versioned: bool,
    connection: Option<Connection>,
    direction: Direction,
    source_filter: Option<SourceFilter>,
}

impl Reader {
    fn line(&mut self, line: &Line<'_>, kind: &str) -> Result<(), ReadError> {
        match kind {
            "v" if line.value != "0" => return Err(line.wrong("`v=0` (RFC 8866 5.1)")),
            "v" => self.is_versioned = true,
            "o" => self.description.origin = origin(line.value).unwrap_or_default(),
            "s" if line.value != "-" => line.value.clone_into(&mut self.description.name),
            "c" => {
                let connection = self.bear(connection(line))?.flatten();
                match self.description.media.last_mut() {
                    // A medium in layers has several groups, the first of which is enough to see something.
                    Some(medium) if medium.connection.is_some() => {}
                    Some(medium) => medium.connection = connection,
                    None => self.connection = connection,
                }
            }
            "m" if self.description.media.len() == MAX_MEDIA => {
                return Err(ReadError::TooManyMedia { line: line.number });
            }
            "m" => {
                let medium = self.medium(line);
                // Its attributes are none of the medium before.
                let medium = self.bear(medium)?.unwrap_or_else(|| self.empty_medium());
                self.description.media.push(medium);
            }
            "a" => {
                let (name, value) = line.value.split_once(':').unwrap_or((line.value, ""));
                match self.description.media.last_mut() {
                    Some(medium) => {
                        let done = medium_attribute(medium, line, name.trim(), value.trim());
                        self.bear(done)?;
                    }
                    None => self.session_attribute(name.trim(), value.trim()),
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What a line says, or nothing if it makes no sense and need not.
    fn bear<T>(&self, read: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
        match read {
            Err(_) if self.lenient => Ok(None),
            read => read.map(Some),
        }
    }

    fn session_attribute(&mut self, name: &str, value: &str) {
        match name {
            "control" => self.description.control = Some(value.to_owned()),
            "source-filter" => self.source_filter = source_filter(value),
            name => self.direction = direction(name).unwrap_or(self.direction),
        }
    }

    /// `m=<media> <port>[/<number of ports>] <proto> <fmt> ...`
    fn medium(&self, line: &Line<'_>) -> Result<Medium, ReadError> {
        let wrong = || line.wrong("`m=KIND PORT PROTOCOL PAYLOAD-TYPE`, the port 0 to 65535 (RFC 8866 5.14)");
        let mut words = line.value.split_ascii_whitespace();
        let (Some(kind), Some(port), Some(protocol)) = (words.next(), words.next(), words.next()) else {
            return Err(wrong());
        };
        let port = port.split('/').next().unwrap_or_default().parse().map_err(|_| wrong())?;
        let mut formats: Vec<Format> = Vec::new();
        for payload_type in words.filter_map(payload_type) {
            if formats.iter().all(|known| known.payload_type != payload_type) {
                let encoding = Encoding::of_static(payload_type);
                formats.push(Format { payload_type, encoding, parameters: Vec::new() });
            }
        }
        let kind = match kind {
            "video" => Kind::Video,
            "audio" => Kind::Audio,
            _ => Kind::Other,
        };
        Ok(Medium { kind, port, protocol: protocol.to_owned(), formats, ..self.empty_medium() })
    }

    fn empty_medium(&self) -> Medium {
        Medium {
            kind: Kind::Other,
            port: 0,
            protocol: String::new(),
            connection: None,
            direction: self.direction,
            control: None,
            rtcp: Rtcp::NextPort,
            framerate: None,
            size: None,
            source: None,
            source_filter: None,
            formats: Vec::new(),
        }
    }

    /// Gives each medium what the session says for all, wherever those lines stood.
    fn finish(mut self) -> Result<Description, ReadError> {
        if self.description.media.is_empty() {
            return Err(if self.is_versioned { ReadError::NoMedium } else { ReadError::Foreign });
        }
        for medium in &mut self.description.media {
            if medium.connection.is_none() {
                medium.connection.clone_from(&self.connection);
            }
            if medium.source_filter.is_none() {
                medium.source_filter.clone_from(&self.source_filter);
            }
        }
        Ok(self.description)
    }
}

fn medium_attribute(medium: &mut Medium, line: &Line<'_>, name: &str, value: &str) -> Result<(), ReadError> {
    match name {
        "rtpmap" | "fmtp" => {
            let (number, rest) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
            let of_number = |format: &&mut Format| payload_type(number) == Some(format.payload_type);
            let Some(format) = medium.formats.iter_mut().find(of_number) else { return Ok(()) };
            match name {
                "rtpmap" => format.encoding = Some(encoding(line, rest.trim())?),
                _ => format.parameters.extend(parameters(rest)),
            }
        }
        "control" => medium.control = Some(value.to_owned()),
        "framerate" | "x-framerate" => {
            let rate = value.parse().ok().filter(|rate: &f64| *rate > 0.0 && *rate <= 1000.0);
            medium.framerate = rate.or(medium.framerate);
        }
        "framesize" | "x-dimensions" => medium.size = size(value).or(medium.size),
        "rtcp-mux" => medium.rtcp = Rtcp::SamePort,
        "rtcp" if medium.rtcp != Rtcp::SamePort => {
            let wrong = || line.wrong("`a=rtcp:PORT`, or `a=rtcp:PORT IN IP4 ADDRESS` (RFC 3605 2.1)");
            let mut words = value.split_ascii_whitespace();
            let port = words.next().and_then(|port| port.parse().ok()).ok_or_else(wrong)?;
            medium.rtcp = Rtcp::At { port, host: words.nth(2).and_then(host) };
        }
        "ssrc" if medium.source.is_none() => medium.source = source(value),
        "source-filter" => medium.source_filter = source_filter(value).or(medium.source_filter.take()),
        name => medium.direction = direction(name).unwrap_or(medium.direction),
    }
    Ok(())
}

/// `<username> <sess-id> <sess-version> <nettype> <addrtype> <unicast-address>`
fn origin(value: &str) -> Option<Origin> {
    let mut words = value.split_ascii_whitespace().skip(1);
    let (session, version) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Origin { session, version, address: words.nth(2)?.parse().ok()? })
}

/// `<nettype> <addrtype> <address>[/<ttl>][/<number of addresses>]`. Networks that are not the Internet are passed over.
fn connection(line: &Line<'_>) -> Result<Option<Connection>, ReadError> {
    let wrong =
        || line.wrong("`c=IN IP4 ADDRESS` or `c=IN IP4 GROUP/TTL`, the same with `IP6` (RFC 8866 5.7)");
    let mut words = line.value.split_ascii_whitespace();
    let (Some(network), Some(family), Some(address)) = (words.next(), words.next(), words.next()) else {
        return Err(wrong());
    };
    if !network.eq_ignore_ascii_case("IN") {
        return Ok(None);
    }
    let mut parts = address.split('/');
    let host = parts.next().and_then(host).ok_or_else(wrong)?;
    // Behind an IPv6 address there is only the number of addresses.
    let ttl = match parts.next() {
        Some(ttl) if family.eq_ignore_ascii_case("IP4") => Some(ttl.parse().map_err(|_| wrong())?),
        _ => None,
    };
    Ok(Some(Connection { host, ttl }))
}

/// An address, with or without brackets, or a name.
fn host(text: &str) -> Option<Host> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Host::Address(address));
    }
    let is_name = (1..=253).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        // What is all digits and dots is an address that went wrong.
        && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    is_name.then(|| Host::Name(text.to_owned()))
}

/// `<encoding name>/<clock rate>[/<channels>]`
fn encoding(line: &Line<'_>, text: &str) -> Result<Encoding, ReadError> {
    let wrong = || line.wrong("`a=rtpmap:PAYLOAD-TYPE NAME/CLOCK`, as in `96 H264/90000` (RFC 8866 6.6)");
    let mut parts = text.split('/').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty()).ok_or_else(wrong)?;
    let clock_hz = match parts.next() {
        Some(clock) => clock.parse().map_err(|_| wrong())?,
        // Cameras leave it out where it can be no other.
        None => NonZeroU32::new(90_000).expect("not zero"),
    };
    let channels = parts.next().and_then(|channels| channels.parse().ok()).filter(|channels| *channels > 0);
    Ok(Encoding { name: name.to_owned(), clock_hz, channels })
}

fn parameters(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split(';').map(str::trim).filter(|piece| !piece.is_empty()).map(|piece| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        (name.trim().to_ascii_lowercase(), value.trim().to_owned())
    })
}

fn payload_type(text: &str) -> Option<u8> {
    text.parse().ok().filter(|number| *number < 128)
}

fn direction(name: &str) -> Option<Direction> {
    match name {
        "sendrecv" => Some(Direction::Both),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::ReceiveOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    }
}

/// `<width>,<height>`, or with the payload type in front and a hyphen between.
fn size(value: &str) -> Option<Size> {
    let value = value.split_ascii_whitespace().next_back()?;
    let (width, height) = value.split_once([',', '-', 'x'])?;
    let (width, height) = (width.parse().ok()?, height.parse().ok()?);
    (width > 0 && height > 0).then_some(Size { width, height })
}

/// `<ssrc> cname:<name>`; other attributes of a source are passed over.
fn source(value: &str) -> Option<Source> {
    let (ssrc, attribute) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
    let cname = attribute.trim().strip_prefix("cname:").unwrap_or_default();
    Some(Source { ssrc: ssrc.parse().ok()?, cname: cname.trim().to_owned() })
}

/// `<incl or excl> <nettype> <addrtype> <destination> <source> ...`
fn source_filter(value: &str) -> Option<SourceFilter> {
    let mut words = value.split_ascii_whitespace();
    let include = match words.next()? {
        "incl" => true,
        "excl" => false,
        _ => return None,
    };
    let sources: Vec<Host> = words.skip(3).filter_map(host).take(MAX_SOURCES).collect();
    (!sources.is_empty()).then_some(SourceFilter { include, sources })
}
