//! Sockets that take RTP and its RTCP: the port that was asked for and the next one (RFC 3550 section 11), or those of a
//! multicast group, which is joined.
//!
//! One of the few files that call the system directly, for groups of one sender (RFC 4607), which IPv6 and interfaces' names need.
#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use super::Interface;
use super::socket::{index_of, index_of_address};

/// How much the kernel keeps for a socket until it is read, where it may: twenty pictures of 1080p.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// How many free ports are tried for an even one with a free one behind it.
const PORT_TRIES: usize = 64;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// An address of this machine, all of them (`0.0.0.0`, `::`), or a group, and the port of RTP. Port 0 takes a free even one.
    pub address: SocketAddr,
    /// RTCP's port, 1 to 65535; else the next.
    pub rtcp_port: Option<u16>,
    /// Where a group is joined. Else the routes decide.
    pub interface: Option<Interface>,
    /// The only sender of the group that is wanted.
    pub source: Option<IpAddr>,
}

/// What was opened.
#[derive(Debug)]
pub struct Opened {
    /// For RTP.
    pub rtp: UdpSocket,
    /// For RTCP, or why there is none: RTP is worth having without.
    pub rtcp: Result<UdpSocket, String>,
}

/// Opens both sockets, neither of which blocks.
///
/// # Errors
/// What keeps RTP's from being opened, in words.
pub fn listen(options: &Listen) -> Result<Opened, String> {
    let with_port = |port| {
        // Not made anew: a link-local address keeps its interface.
        let mut address = options.address;
        address.set_port(port);
        address
    };
    if options.address.port() > 0 {
        let rtp = open(options.address, options)?;
        let rtcp_port = options.rtcp_port.or(options.address.port().checked_add(1));
        let rtcp = rtcp_port.ok_or_else(|| "there is no port behind 65535".to_owned());
        return Ok(Opened { rtp, rtcp: rtcp.and_then(|port| open(with_port(port), options)) });
    }
    // Ports that will not do are kept until one does, so that none is offered twice.
    let mut taken = Vec::new();
    loop {
        let rtp = open(options.address, options)?;
        let port = rtp.local_addr().map_err(|error| error.to_string())?.port();
        let last_try = taken.len() == PORT_TRIES;
        if port % 2 == 0 || last_try {
            let rtcp = open(with_port(port.saturating_add(1)), options);
            if rtcp.is_ok() || last_try {
                return Ok(Opened { rtp, rtcp });
            }
        }
        taken.push(rtp);
    }
}

/// Opens one socket, which does not block, for what is sent to a group: its address and a port.
///
/// # Errors
/// What keeps it from being opened, in words.
pub fn join_group(group: SocketAddr, interface: Option<&Interface>) -> Result<UdpSocket, String> {
    open(group, &Listen { address: group, rtcp_port: None, interface: interface.cloned(), source: None })
}

fn open(address: SocketAddr, options: &Listen) -> Result<UdpSocket, String> {
    let of = |error: io::Error| in_words(address, &error);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP)).map_err(of)?;
    socket.set_nonblocking(true).map_err(of)?;
    enlarge_receive_buffer(&socket);
    if address.is_ipv6() {
        // `[::]` hears IPv4 as well, wherever the system's usual is.
        socket.set_only_v6(address.ip().is_multicast()).map_err(of)?;
    }
    if address.ip().is_multicast() {
        // A group may be watched by many programs of a machine; a port that is one's own may not.
        socket.set_reuse_address(true).map_err(of)?;
    }
    let scoped = with_scope(address, options.interface.as_ref()).map_err(of)?;
    socket.bind(&scoped.into()).map_err(of)?;
    if address.ip().is_multicast() {
        join(&socket, address.ip(), options).map_err(|error| {
            let through = options.interface.as_ref().map(|interface| format!(" on {interface}"));
            let hint = match (&through, error.raw_os_error()) {
                (None, Some(libc::ENODEV | libc::EADDRNOTAVAIL)) => "; name the network by interface=",
                _ => "",
            };
            let through = through.unwrap_or_default();
            format!("cannot join the group {}{through}: {}{hint}", address.ip(), plain(&error))
        })?;
    }
    Ok(socket.into())
}

/// Asks for room in the kernel. What it does not give (`net.core.rmem_max`) is done without.
fn enlarge_receive_buffer(socket: &Socket) {
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER_BYTES);
    if let Ok(bytes) = socket.recv_buffer_size()
        && bytes < RECEIVE_BUFFER_BYTES
    {
        tracing::debug!(bytes, "the kernel keeps less than was asked for: net.core.rmem_max is its limit");
    }
}

/// Why the system refused, for the person who owns the camera.
fn in_words(address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("port {port} is in use by another program, or another camera"),
        io::ErrorKind::AddrNotAvailable => {
            format!("{} is no address of this machine; 0.0.0.0 means all of them", address.ip())
        }
        io::ErrorKind::PermissionDenied if port < 1024 => {
            format!("ports below 1024 need permission, and this is {port}")
        }
        _ => format!("cannot listen on {address}: {}", plain(error)),
    }
}

/// The error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// Link-local addresses, and IPv6's groups, mean something on one interface only.
fn with_scope(address: SocketAddr, interface: Option<&Interface>) -> io::Result<SocketAddr> {
    let SocketAddr::V6(mut address) = address else { return Ok(address) };
    let local_only = address.ip().is_unicast_link_local() || address.ip().is_multicast();
    if let (0, true, Some(interface)) = (address.scope_id(), local_only, interface) {
        address.set_scope_id(index(interface)?);
    }
    Ok(address.into())
}

fn index(interface: &Interface) -> io::Result<u32> {
    match interface {
        Interface::Name(name) => index_of(name),
        Interface::Address(address) => index_of_address(*address),
    }
}

fn join(socket: &Socket, group: IpAddr, options: &Listen) -> io::Result<()> {
    let interface = options.interface.as_ref();
    match (group, options.source, interface) {
        (IpAddr::V4(group), None, Some(Interface::Address(IpAddr::V4(address)))) => {
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Address(*address))
        }
        (IpAddr::V4(group), None, interface) => {
            let index = interface.map(index).transpose()?.unwrap_or(0);
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))
        }
        (IpAddr::V4(group), Some(IpAddr::V4(source)), None) => {
            socket.join_ssm_v4(&source, &group, &Ipv4Addr::UNSPECIFIED)
        }
        (IpAddr::V4(group), Some(IpAddr::V4(source)), Some(Interface::Address(IpAddr::V4(address)))) => {
            socket.join_ssm_v4(&source, &group, address)
        }
        (IpAddr::V6(group), None, interface) => {
            socket.join_multicast_v6(&group, interface.map(index).transpose()?.unwrap_or(0))
        }
        (group, Some(source), interface) if group.is_ipv4() == source.is_ipv4() => {
            join_source(socket, group, source, interface.map(index).transpose()?.unwrap_or(0))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "the sender's address is of another family")),
    }
}

/// `MCAST_JOIN_SOURCE_GROUP` (RFC 3678 5.1): either family, the interface by its index.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn join_source(socket: &Socket, group: IpAddr, source: IpAddr, index: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let storage = |address: IpAddr| {
        let address = socket2::SockAddr::from(SocketAddr::new(address, 0));
        // SAFETY: a `sockaddr_storage` is plain numbers.
        let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        // SAFETY: both are valid for the address' length, which no storage is shorter than.
        unsafe {
            std::ptr::copy_nonoverlapping(
                address.as_ptr().cast::<u8>(),
                (&raw mut storage).cast::<u8>(),
                address.len() as usize,
            );
        }
        storage
    };
    let request = libc::group_source_req {
        gsr_interface: index,
        gsr_group: storage(group),
        gsr_source: storage(source),
    };
    let level = if group.is_ipv4() { libc::IPPROTO_IP } else { libc::IPPROTO_IPV6 };
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the request is read before the call returns, and
    // its length is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            libc::MCAST_JOIN_SOURCE_GROUP,
            (&raw const request).cast(),
            size_of_val(&request) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn join_source(_: &Socket, _: IpAddr, _: IpAddr, _: u32) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "groups of one sender are joined by name on Linux only"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(address: &str, interface: Option<&str>, source: Option<&str>) -> Result<Opened, String> {
        listen(&Listen {
            address: address.parse().unwrap(),
            rtcp_port: None,
            interface: interface.map(Interface::from),
            source: source.map(|source| source.parse().unwrap()),
        })
    }

    #[test]
    fn a_free_pair_of_ports_is_found_and_one_in_use_is_told() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let pair = opened(address, None, None).unwrap();
            let port = pair.rtp.local_addr().unwrap().port();
            assert_eq!((port % 2, pair.rtcp.unwrap().local_addr().unwrap().port()), (0, port + 1));
            let error = opened(
                &address.replace(":0", &format!(":{port}")).replace(&format!("[:{port}:1]"), "[::1]"),
                None,
                None,
            );
            assert_eq!(
                error.unwrap_err(),
                format!("port {port} is in use by another program, or another camera")
            );
        }
        let error = opened("192.0.2.7:0", None, None).unwrap_err();
        assert_eq!(error, "192.0.2.7 is no address of this machine; 0.0.0.0 means all of them");
    }

    #[test]
    fn rtp_is_taken_where_rtcp_cannot_be() {
        let pair = opened("127.0.0.1:0", None, None).unwrap();
        let port = pair.rtp.local_addr().unwrap().port();
        drop(pair.rtp);
        let without = opened(&format!("127.0.0.1:{port}"), None, None).unwrap();
        assert!(without.rtcp.unwrap_err().starts_with(&format!("port {} is in use", port + 1)));
    }

    #[test]
    fn groups_are_joined_by_many_and_a_missing_network_is_told() {
        let loopback = if cfg!(target_os = "linux") { "lo" } else { "lo0" };
        let first = opened("239.77.1.2:0", Some(loopback), None).unwrap();
        let port = first.rtp.local_addr().unwrap().port();
        for (address, interface, source) in [
            (format!("239.77.1.2:{port}"), loopback, None),
            (format!("239.77.1.2:{port}"), "127.0.0.1", None),
            (format!("239.77.1.2:{port}"), "127.0.0.1", Some("127.0.0.1")),
            (format!("239.77.1.2:{port}"), loopback, Some("127.0.0.1")),
            ("[ff15::77]:0".to_owned(), loopback, None),
            ("[ff35::77]:0".to_owned(), loopback, Some("::1")),
        ] {
            opened(&address, Some(interface), source)
                .unwrap_or_else(|error| panic!("{address} {interface}: {error}"));
        }
        let error = opened("239.77.1.2:0", Some("nonsense0"), None).unwrap_err();
        assert!(error.starts_with("cannot join the group 239.77.1.2 on nonsense0: "), "{error}");
        let error = opened("239.77.1.2:0", Some(loopback), Some("::1")).unwrap_err();
        assert!(error.ends_with("of another family"), "{error}");
    }
}
