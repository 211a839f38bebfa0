//! Writes a session description (RFC 8866 section 9): lines in the RFC's order, each ended by CR and LF.
//!
//! Texts are written without control characters, so that none can begin a line of its own.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use super::{Connection, Description, Direction, Format, Host, Kind, Medium, Rtcp};

impl Display for Description {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let origin = &self.origin;
        let (session, version, address) = (origin.session, origin.version, origin.address);
        write!(f, "v=0\r\no=- {session} {version} IN {} {address}\r\n", family(address))?;
        // A name may not be empty: `-` stands for none (RFC 8866 5.3).
        let name = if self.name.is_empty() { "-" } else { &self.name };
        write!(f, "s={}\r\nt=0 0\r\n", Line(name))?;
        if let Some(control) = &self.control {
            write!(f, "a=control:{}\r\n", Line(control))?;
        }
        self.media.iter().try_for_each(|medium| write_medium(medium, f))
    }
}

fn write_medium(medium: &Medium, f: &mut Formatter<'_>) -> fmt::Result {
    let kind = match medium.kind {
        Kind::Video => "video",
        Kind::Audio => "audio",
        Kind::Other => "application",
    };
    write!(f, "m={kind} {} {}", medium.port, Line(&medium.protocol))?;
    for format in &medium.formats {
        write!(f, " {}", format.payload_type)?;
    }
    f.write_str("\r\n")?;
    if let Some(connection) = &medium.connection {
        write_connection(connection, f)?;
    }
    for format in &medium.formats {
        write_format(format, f)?;
    }
    if let Some(framerate) = medium.framerate {
        write!(f, "a=framerate:{framerate}\r\n")?;
    }
    if let Some(size) = medium.size {
        write!(f, "a=x-dimensions:{},{}\r\n", size.width, size.height)?;
    }
    match medium.direction {
        Direction::Both => {}
        Direction::SendOnly => f.write_str("a=sendonly\r\n")?,
        Direction::ReceiveOnly => f.write_str("a=recvonly\r\n")?,
        Direction::Inactive => f.write_str("a=inactive\r\n")?,
    }
    write_addresses(medium, f)?;
    match &medium.control {
        Some(control) => write!(f, "a=control:{}\r\n", Line(control)),
        None => Ok(()),
    }
}

fn write_connection(connection: &Connection, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "c=IN {}", Typed(&connection.host))?;
    if let Some(ttl) = connection.ttl {
        write!(f, "/{ttl}")?;
    }
    f.write_str("\r\n")
}

fn write_format(format: &Format, f: &mut Formatter<'_>) -> fmt::Result {
    let payload_type = format.payload_type;
    if let Some(encoding) = &format.encoding {
        write!(f, "a=rtpmap:{payload_type} {}/{}", Line(&encoding.name), encoding.clock_hz)?;
        if let Some(channels) = encoding.channels {
            write!(f, "/{channels}")?;
        }
        f.write_str("\r\n")?;
    }
    for (index, (name, value)) in format.parameters.iter().enumerate() {
        match index {
            0 => write!(f, "a=fmtp:{payload_type} ")?,
            _ => f.write_str(";")?,
        }
        match value.as_str() {
            "" => write!(f, "{}", Line(name))?,
            _ => write!(f, "{}={}", Line(name), Line(value))?,
        }
    }
    if format.parameters.is_empty() { Ok(()) } else { f.write_str("\r\n") }
}

/// The attributes that say where packets come from and where RTCP goes.
fn write_addresses(medium: &Medium, f: &mut Formatter<'_>) -> fmt::Result {
    match &medium.rtcp {
        Rtcp::NextPort => {}
        Rtcp::At { port, host: None } => write!(f, "a=rtcp:{port}\r\n")?,
        Rtcp::At { port, host: Some(host) } => write!(f, "a=rtcp:{port} IN {}\r\n", Typed(host))?,
        Rtcp::SamePort => f.write_str("a=rtcp-mux\r\n")?,
    }
    if let Some(source) = &medium.source {
        // `a=ssrc` without an attribute is no line (RFC 5576 4.1).
        let cname = if source.cname.is_empty() { "-" } else { &source.cname };
        write!(f, "a=ssrc:{} cname:{}\r\n", source.ssrc, Line(cname))?;
    }
    if let Some(filter) = &medium.source_filter {
        let mode = if filter.include { "incl" } else { "excl" };
        // One line holds the addresses of one kind (RFC 4570 3); `*` is for names.
        let family = match filter.sources.first() {
            Some(Host::Address(address)) => family(*address),
            _ => "*",
        };
        let destination = medium.connection.as_ref().map(|connection| connection.host.to_string());
        let destination = destination.as_deref().unwrap_or("*");
        write!(f, "a=source-filter: {mode} IN {family} {}", Line(destination))?;
        for source in &filter.sources {
            write!(f, " {source}")?;
        }
        f.write_str("\r\n")?;
    }
    Ok(())
}

/// A host behind the kind of its address. A name's kind is not known before it is looked up, and `IP4` reads everywhere.
struct Typed<'a>(&'a Host);

impl Display for Typed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Host::Address(address) => write!(f, "{} {address}", family(*address)),
            Host::Name(name) => write!(f, "IP4 {}", Line(name)),
        }
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IP4" } else { "IP6" }
}

/// A text without what would end its line.
struct Line<'a>(&'a str);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.split(char::is_control).try_for_each(|piece| f.write_str(piece))
    }
}
