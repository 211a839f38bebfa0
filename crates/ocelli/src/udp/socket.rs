//! Sockets for RTP and its RTCP: bound together, RTP's port and the next one (RFC 3550 section 11), and set up for media.
//!
//! One of the few files that call the system directly, for multicast by an interface's name.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// How much the kernel keeps for a socket, where it may: seven pictures of 1080p.
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// How many ports are tried for an even one with a free one behind it.
const PORT_TRIES: usize = 64;

/// A network interface, by name or by one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Interface {
    /// `eth0`
    Name(String),
    /// An address of this machine.
    Address(IpAddr),
}

impl From<&str> for Interface {
    fn from(text: &str) -> Self {
        text.trim_matches(['[', ']']).parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Address)
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// How the sockets of one target are to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PairOptions {
    /// RTP's port here, 1 to 65535; RTCP's is the next. `None` takes a free even one with a free one behind it.
    pub local_port: Option<u16>,
    /// Through which interface packets go. Else the routes decide.
    pub interface: Option<Interface>,
    /// Differentiated services code point (RFC 2474), 0 to 63.
    pub dscp: Option<u8>,
    /// How many routers packets pass at most. Multicast passes none unless it is given.
    pub ttl: Option<u8>,
}

/// Sockets of one target. Neither blocks, and both are only bound and connected: a runtime is told of them where somebody
/// waits for them. (A socket that is watched for room to write wakes its watcher each time a packet has gone out.)
#[derive(Debug)]
pub struct Pair {
    /// Connected to the target, so that the kernel looks for the route once and reports refusals.
    pub rtp: UdpSocket,
    /// Bound to the next port, and not connected: reports come from whatever port the target takes. `None` where that port
    /// is taken.
    pub rtcp: Option<UdpSocket>,
}

/// Binds the sockets for RTP to `target` and for its RTCP.
///
/// # Errors
/// The system's, with what was tried: a port in use, an interface that is not there, no route to the target.
pub fn bind_pair(target: SocketAddr, options: &PairOptions) -> io::Result<Pair> {
    let target = with_scope(target, options)?;
    let local = |port| -> io::Result<SocketAddr> { local_address(target, options.interface.as_ref(), port) };
    let (rtp, rtcp) = match options.local_port {
        Some(port) => {
            let rtp = bound(local(port)?, target, options)
                .map_err(|error| in_words(format_args!("port {port} cannot be used"), &error))?;
            let next = port.checked_add(1);
            (rtp, next.and_then(|next| bound(local(next).ok()?, target, options).ok()))
        }
        None => free_pair(local(0)?, target, options)?,
    };
    rtp.connect(&target.into())?;
    Ok(Pair { rtp: rtp.into(), rtcp: rtcp.map(Into::into) })
}

/// Binds sockets for RTP and its RTCP that are not connected: to a group, or, where `target` is no address, to any number of
/// receivers of its family. So what one receiver's host refuses is no other's.
///
/// # Errors
/// The system's: a port in use, an interface that is not there, no addresses of that family.
pub fn bind_shared(target: SocketAddr, options: &PairOptions) -> io::Result<(UdpSocket, UdpSocket)> {
    let target = with_scope(target, options)?;
    let local = |port| local_address(target, options.interface.as_ref(), port);
    let (rtp, rtcp) = match options.local_port {
        None => free_pair(local(0)?, target, options)?,
        Some(port) => {
            let bind = |port| {
                bound(local(port)?, target, options)
                    .map_err(|error| in_words(format_args!("port {port} cannot be used"), &error))
            };
            (bind(port)?, Some(bind(port.saturating_add(1))?))
        }
    };
    let none = || io::Error::new(io::ErrorKind::AddrInUse, "no two ports side by side are free");
    let rtcp = rtcp.ok_or_else(none)?;
    // Nobody has anything to say there.
    let _ = rtp.set_recv_buffer_size(0);
    Ok((rtp.into(), rtcp.into()))
}

/// Why a system call failed: in the words of `what` and the system's.
fn in_words(what: impl fmt::Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn free_pair(
    any: SocketAddr,
    target: SocketAddr,
    options: &PairOptions,
) -> io::Result<(Socket, Option<Socket>)> {
    // Ports that will not do are kept until one does, so that none is offered twice.
    let mut taken = Vec::new();
    loop {
        let socket = bound(any, target, options)?;
        let port = socket.local_addr()?.as_socket().map_or(0, |address| address.port());
        let last_try = taken.len() == PORT_TRIES;
        if port % 2 == 0 || last_try {
            let mut next = any;
            next.set_port(port.saturating_add(1));
            match bound(next, target, options) {
                Ok(rtcp) => return Ok((socket, Some(rtcp))),
                Err(_) if last_try => return Ok((socket, None)),
                Err(_) => {}
            }
        }
        taken.push(socket);
    }
}

fn bound(local: SocketAddr, target: SocketAddr, options: &PairOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    enlarge_send_buffer(&socket);
    if target.is_ipv6() && target.ip().is_unspecified() {
        // Receivers of IPv4 have sockets of their own, at the same ports.
        socket.set_only_v6(true)?;
    }
    if let Some(dscp) = options.dscp {
        // The two lowest bits are for congestion notification (RFC 3168).
        let traffic_class = u32::from(dscp) << 2;
        match local {
            SocketAddr::V4(_) => socket.set_tos_v4(traffic_class)?,
            SocketAddr::V6(_) => socket.set_tclass_v6(traffic_class)?,
        }
    }
    let multicast = target.ip().is_multicast();
    if let Some(ttl) = options.ttl.map(u32::from) {
        match (local, multicast) {
            (SocketAddr::V4(_), true) => socket.set_multicast_ttl_v4(ttl)?,
            (SocketAddr::V4(_), false) => socket.set_ttl_v4(ttl)?,
            (SocketAddr::V6(_), true) => socket.set_multicast_hops_v6(ttl)?,
            (SocketAddr::V6(_), false) => socket.set_unicast_hops_v6(ttl)?,
        }
    }
    if multicast {
        // Receivers on this machine hear it too.
        match local {
            SocketAddr::V4(_) => socket.set_multicast_loop_v4(true)?,
            SocketAddr::V6(_) => socket.set_multicast_loop_v6(true)?,
        }
    }
    if let Some(interface) = &options.interface {
        go_through(&socket, interface, local, multicast)
            .map_err(|error| in_words(format_args!("interface {interface} cannot be used"), &error))?;
    }
    socket.bind(&local.into())?;
    Ok(socket)
}

/// Asks for room in the kernel. What it does not give (`net.core.wmem_max`) is done without.
fn enlarge_send_buffer(socket: &Socket) {
    let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_socket_send_buffer_size_force(socket, SEND_BUFFER_BYTES);
}

fn go_through(socket: &Socket, interface: &Interface, local: SocketAddr, multicast: bool) -> io::Result<()> {
    match (interface, local, multicast) {
        // The local address is this one, and routes do the rest.
        (Interface::Address(_), _, false) => Ok(()),
        (Interface::Address(IpAddr::V4(address)), SocketAddr::V4(_), true) => {
            socket.set_multicast_if_v4(address)
        }
        (Interface::Address(address), _, true) => {
            let index = index_of_address(*address)?;
            socket.set_multicast_if_v6(index)
        }
        (Interface::Name(name), SocketAddr::V4(_), true) => multicast_through(socket, index_of(name)?),
        (Interface::Name(name), SocketAddr::V6(_), true) => socket.set_multicast_if_v6(index_of(name)?),
        (Interface::Name(name), local, false) => bind_to_device(socket, name, local),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn bind_to_device(socket: &Socket, name: &str, _: SocketAddr) -> io::Result<()> {
    index_of(name)?;
    socket.bind_device(Some(name.as_bytes()))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bind_to_device(socket: &Socket, name: &str, local: SocketAddr) -> io::Result<()> {
    let index = std::num::NonZeroU32::new(index_of(name)?);
    match local {
        SocketAddr::V4(_) => socket.bind_device_by_index_v4(index),
        SocketAddr::V6(_) => socket.bind_device_by_index_v6(index),
    }
}

/// Where a socket is bound: on every address, or on the one that names the interface.
fn local_address(target: SocketAddr, interface: Option<&Interface>, port: u16) -> io::Result<SocketAddr> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    match interface {
        Some(Interface::Address(address)) if address.is_ipv4() != target.is_ipv4() => {
            let message =
                format!("the interface's address {address} is of another family than {}", target.ip());
            Err(io::Error::new(io::ErrorKind::InvalidInput, message))
        }
        // Packets to a group carry the interface's address as well.
        Some(Interface::Address(address)) => Ok((*address, port).into()),
        _ => Ok((any, port).into()),
    }
}

/// Link-local addresses mean something on one interface only.
fn with_scope(target: SocketAddr, options: &PairOptions) -> io::Result<SocketAddr> {
    let SocketAddr::V6(mut address) = target else { return Ok(target) };
    let local_only = address.ip().is_unicast_link_local() || address.ip().is_multicast();
    if address.scope_id() == 0
        && local_only
        && let Some(interface) = &options.interface
    {
        address.set_scope_id(match interface {
            Interface::Name(name) => index_of(name)?,
            Interface::Address(address) => index_of_address(*address)?,
        });
    }
    Ok(address.into())
}

pub(super) fn index_of(name: &str) -> io::Result<u32> {
    let index = CString::new(name).map_or(0, |name| {
        // SAFETY: the name ends with a zero byte, and is only read before the call returns.
        unsafe { libc::if_nametoindex(name.as_ptr()) }
    });
    if index == 0 {
        let message = format!("there is no network interface called {name}");
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    Ok(index)
}

/// The interface with this IPv6 address. Linux lists them: `address index length scope flags name`, all but the last in
/// hexadecimal digits.
pub(super) fn index_of_address(address: IpAddr) -> io::Result<u32> {
    let list = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let IpAddr::V6(wanted) = address else { return Err(no_interface(address)) };
    let found = list.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let bits = u128::from_str_radix(fields.next()?, 16).ok()?;
        let index = u32::from_str_radix(fields.next()?, 16).ok()?;
        (Ipv6Addr::from_bits(bits) == wanted).then_some(index)
    });
    found.ok_or_else(|| no_interface(address))
}

fn no_interface(address: IpAddr) -> io::Error {
    let message = format!("no network interface is known to have {address}; name the interface instead");
    io::Error::new(io::ErrorKind::NotFound, message)
}

/// `IP_MULTICAST_IF` by index, which socket2 has by address only.
fn multicast_through(socket: &Socket, index: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr { s_addr: 0 },
        imr_ifindex: index.cast_signed(),
    };
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the request is read before the call returns, and
    // its length is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MULTICAST_IF,
            (&raw const request).cast(),
            size_of_val(&request) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits until `socket`, which must not block, takes packets again. Must be called within a tokio runtime.
///
/// # Errors
/// The runtime cannot watch it.
pub async fn room_in(socket: &UdpSocket) -> io::Result<()> {
    // Watched only for so long, as a duplicate: a socket that is always watched wakes its task for each packet that has
    // gone out.
    tokio::net::UdpSocket::from_std(socket.try_clone()?)?.writable().await
}

impl Pair {
    /// Where RTP leaves from.
    pub fn local_address(&self) -> Option<SocketAddr> {
        SockRef::from(&self.rtp).local_addr().ok()?.as_socket()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(target: &str, options: &PairOptions) -> io::Result<Pair> {
        bind_pair(target.parse().unwrap(), options)
    }

    #[test]
    fn rtp_has_an_even_port_and_rtcp_the_next() {
        for target in ["127.0.0.1:5000", "[::1]:5000"] {
            for _ in 0..20 {
                let pair = pair(target, &PairOptions::default()).unwrap();
                let port = pair.local_address().unwrap().port();
                assert_eq!(port % 2, 0);
                assert_eq!(pair.rtcp.unwrap().local_addr().unwrap().port(), port + 1);
            }
        }
    }

    #[test]
    fn both_families_can_be_served_from_the_same_ports() {
        let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
        let bind = |any: &str, local_port| {
            let options = PairOptions { local_port, ..PairOptions::default() };
            bind_shared(any.parse().unwrap(), &options)
        };
        let (rtp, rtcp) = bind("0.0.0.0:0", None).unwrap();
        assert_eq!((port(&rtp) % 2, port(&rtcp)), (0, port(&rtp) + 1));
        let (rtp_v6, _) = bind("[::]:0", Some(port(&rtp))).unwrap();
        assert_eq!(port(&rtp_v6), port(&rtp));
        let told = bind("0.0.0.0:0", Some(port(&rtp))).unwrap_err().to_string();
        assert!(told.contains(&format!("port {} cannot be used", port(&rtp))), "{told}");
    }

    #[test]
    fn a_given_port_is_taken_and_one_in_use_is_told() {
        let free = pair("127.0.0.1:5000", &PairOptions::default()).unwrap();
        let port = free.local_address().unwrap().port();
        let given = PairOptions { local_port: Some(port), ..PairOptions::default() };
        let told = pair("127.0.0.1:5000", &given).unwrap_err().to_string();
        assert!(told.starts_with(&format!("port {port} cannot be used: ")), "{told}");
        // RTP goes out without its RTCP rather than not at all.
        let rtcp = free.rtcp;
        drop(free.rtp);
        let without = pair("127.0.0.1:5000", &given).unwrap();
        assert!(without.rtcp.is_none());
        drop((without, rtcp));
        let with = pair("127.0.0.1:5000", &given).unwrap();
        assert_eq!(with.local_address().unwrap().port(), port);
        assert!(with.rtcp.is_some());
    }

    #[test]
    fn interfaces_are_found_by_name_and_address_or_named_in_the_error() {
        let through = |target, interface: &str| {
            let interface = Some(Interface::from(interface));
            pair(target, &PairOptions { interface, ..PairOptions::default() })
        };
        let loopback = if cfg!(target_os = "linux") { "lo" } else { "lo0" };
        for (target, interface) in [
            ("239.1.2.3:5000", loopback),
            ("239.1.2.3:5000", "127.0.0.1"),
            ("127.0.0.1:5000", loopback),
            ("127.0.0.1:5000", "127.0.0.1"),
            ("[::1]:5000", "[::1]"),
        ] {
            through(target, interface)
                .unwrap_or_else(|error| panic!("{target} through {interface}: {error}"));
        }
        let error = through("239.1.2.3:5000", "nonsense0").unwrap_err().to_string();
        assert!(error.contains("no network interface called nonsense0"), "{error}");
        let error = through("[::1]:5000", "127.0.0.1").unwrap_err().to_string();
        assert!(error.contains("another family"), "{error}");
        assert!(through("127.0.0.1:5000", "192.0.2.77").is_err());
    }
}
