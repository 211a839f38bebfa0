//! The traffic class of datagrams (RFC 2474), which only the system's own calls tell.
#![allow(unsafe_code)]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use socket2::SockRef;

/// Has the socket tell it.
pub(super) fn tell(socket: &UdpSocket) {
    let is_ipv4 = socket.local_addr().unwrap().is_ipv4();
    let socket = SockRef::from(socket);
    if is_ipv4 { socket.set_recv_tos_v4(true).unwrap() } else { socket.set_recv_tclass_v6(true).unwrap() }
}

/// Receives a datagram: its length, where it came from, and its traffic class if the socket tells it.
pub(super) fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
) -> io::Result<(usize, Option<SocketAddr>, Option<u8>)> {
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = [0_u64; 16];
    // SAFETY: all zero means no address and no slices.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: an address of a size that the call is told, and the message names memory that lives until it returns.
    let (length, from) = unsafe {
        socket2::SockAddr::try_init(|address, bytes| {
            message.msg_name = address.cast();
            message.msg_namelen = *bytes;
            let length = libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0);
            *bytes = message.msg_namelen;
            if length < 0 { Err(io::Error::last_os_error()) } else { Ok(length as usize) }
        })?
    };
    Ok((length, from.as_socket(), class_in(&message)))
}

fn class_in(message: &libc::msghdr) -> Option<u8> {
    // SAFETY: the kernel has filled the control data that `message` names, and these walk within it.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(message);
        while let Some(header) = at.as_ref() {
            let data = libc::CMSG_DATA(at);
            match (header.cmsg_level, header.cmsg_type) {
                // One byte with IPv4, an `int` with IPv6.
                (libc::IPPROTO_IP, libc::IP_TOS) => return Some(*data),
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    return Some(data.cast::<libc::c_int>().read_unaligned() as u8);
                }
                _ => at = libc::CMSG_NXTHDR(message, at),
            }
        }
        None
    }
}
