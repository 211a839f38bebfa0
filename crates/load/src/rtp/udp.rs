//! Linux's system calls for many datagrams at once, which neither the standard library nor rustix has.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Duration;

// From linux/udp.h and linux/sock_diag.h.
const UDP_SEGMENT: libc::c_int = 103;
const UDP_GRO: libc::c_int = 104;
const SK_MEMINFO_DROPS: usize = 8;
const SK_MEMINFO_VARS: usize = 9;

/// Room for the control messages of one datagram: a time and a length.
type Control = [u64; 12];

/// From here on each send is cut into datagrams of this length (UDP segmentation offload).
pub(crate) fn cut_sends(socket: &UdpSocket, datagram_bytes: u16) -> io::Result<()> {
    set(socket, libc::SOL_UDP, UDP_SEGMENT, datagram_bytes.into())
}

/// Takes several datagrams of one length as one (UDP receive offload).
pub(crate) fn take_joined(socket: &UdpSocket) -> io::Result<()> {
    set(socket, libc::SOL_UDP, UDP_GRO, 1)
}

/// Has the kernel note when each datagram arrived.
pub(crate) fn note_arrivals(socket: &UdpSocket) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

/// The receive buffer, beyond the system's limit where that is allowed (CAP_NET_ADMIN).
pub(crate) fn set_receive_buffer(socket: &UdpSocket, bytes: libc::c_int) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
        .or_else(|_| set(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes))
}

/// How many datagrams this socket had no room for since it was opened; `None` where the kernel does not tell.
pub(crate) fn dropped(socket: &UdpSocket) -> Option<u64> {
    let mut values = [0_u32; SK_MEMINFO_VARS];
    let mut length = mem::size_of_val(&values) as libc::socklen_t;
    // SAFETY: pointer and length describe a live local; the kernel writes no more than that.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    (outcome == 0 && length as usize == mem::size_of_val(&values))
        .then(|| u64::from(values[SK_MEMINFO_DROPS]))
}

fn set(socket: &UdpSocket, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: pointer and length describe a live local.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            mem::size_of_val(&value) as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends `packets`, cut every `packet_bytes`, from a connected socket by as few calls of sendmmsg(2) as it takes.
pub(crate) fn send_batch(socket: &UdpSocket, packets: &[u8], packet_bytes: usize) -> io::Result<()> {
    let mut parts: Vec<libc::iovec> =
        packets.chunks(packet_bytes).map(|packet| vector(packet.as_ptr().cast_mut(), packet.len())).collect();
    let mut messages: Vec<libc::mmsghdr> = parts.iter_mut().map(|part| message(part, None)).collect();
    let mut left = messages.as_mut_slice();
    while !left.is_empty() {
        // SAFETY: each message points to one iovec of `parts`, which points into `packets`; all outlive the call, and
        // the kernel only reads what they point to.
        let sent =
            unsafe { libc::sendmmsg(socket.as_raw_fd(), left.as_mut_ptr(), left.len() as libc::c_uint, 0) };
        let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
        left = &mut left[sent..];
    }
    Ok(())
}

/// Room for the datagrams of one recvmmsg(2).
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    control: Vec<Control>,
    parts: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
    each: usize,
}

/// How long to wait for datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all: take what is there.
    No,
    /// For the first one; take what else is there.
    ForOne,
}

/// One datagram, or several of one length that came joined.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    /// As much of it as there was room for.
    pub(crate) bytes: &'a [u8],
    /// How long it was.
    pub(crate) length: usize,
    /// The length of each but the last, if several came joined.
    pub(crate) segment: Option<usize>,
    /// When it arrived, since 1970, if that is noted.
    pub(crate) arrived: Option<Duration>,
}

impl Inbox {
    /// For at most `count` datagrams at once, of which the first `each` bytes are kept and the rest is only counted.
    pub(crate) fn new(count: usize, each: usize) -> Self {
        Self {
            bytes: vec![0; count * each],
            control: vec![Control::default(); count],
            parts: Vec::with_capacity(count),
            messages: Vec::with_capacity(count),
            each,
        }
    }

    /// How many came; with [`Wait::No`] none is no error.
    pub(crate) fn receive(&mut self, socket: &UdpSocket, wait: Wait) -> io::Result<usize> {
        self.parts.clear();
        self.messages.clear();
        self.parts
            .extend(self.bytes.chunks_exact_mut(self.each).map(|room| vector(room.as_mut_ptr(), room.len())));
        let rooms = self.parts.iter_mut().zip(&mut self.control);
        self.messages.extend(rooms.map(|(part, control)| message(part, Some(control))));
        let flags = libc::MSG_TRUNC
            | match wait {
                Wait::No => libc::MSG_DONTWAIT,
                Wait::ForOne => libc::MSG_WAITFORONE,
            };
        // SAFETY: each message points to one iovec of `parts` and one of `control`, each iovec to its own piece of
        // `bytes`; all belong to self, and the kernel writes no further than the lengths given with them.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                self.messages.len() as libc::c_uint,
                flags,
                std::ptr::null_mut(),
            )
        };
        match usize::try_from(count) {
            Ok(count) => Ok(count),
            Err(_) => match io::Error::last_os_error() {
                error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    Ok(0)
                }
                error => Err(error),
            },
        }
    }

    /// What came with the last [`receive`](Self::receive), which said `count`.
    pub(crate) fn datagrams(&self, count: usize) -> impl Iterator<Item = Datagram<'_>> {
        let rooms = self.bytes.chunks_exact(self.each);
        self.messages[..count].iter().zip(rooms).map(|(message, room)| {
            let length = message.msg_len as usize;
            let (segment, arrived) = notes(&message.msg_hdr);
            Datagram { bytes: &room[..length.min(room.len())], length, segment, arrived }
        })
    }
}

/// The control messages of a received datagram.
fn notes(header: &libc::msghdr) -> (Option<usize>, Option<Duration>) {
    let (mut segment, mut arrived) = (None, None);
    // SAFETY: `header` was filled by recvmmsg, and its control room is alive and belongs to the same Inbox.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !at.is_null() {
        // SAFETY: the kernel wrote a whole header here; CMSG_FIRSTHDR and CMSG_NXTHDR check that it is within the room.
        let (level, kind, data) =
            unsafe { ((*at).cmsg_level, (*at).cmsg_type, libc::CMSG_DATA(at).cast_const()) };
        match (level, kind) {
            (libc::SOL_UDP, UDP_GRO) => {
                // SAFETY: the kernel sends an int with this type.
                let bytes = unsafe { data.cast::<libc::c_int>().read_unaligned() };
                segment = usize::try_from(bytes).ok();
            }
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                // SAFETY: the kernel sends a timespec with this type.
                let time = unsafe { data.cast::<libc::timespec>().read_unaligned() };
                arrived = Some(Duration::new(time.tv_sec as u64, time.tv_nsec as u32));
            }
            _ => {}
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        at = unsafe { libc::CMSG_NXTHDR(header, at) };
    }
    (segment, arrived)
}

fn vector(start: *mut u8, length: usize) -> libc::iovec {
    libc::iovec { iov_base: start.cast(), iov_len: length }
}

fn message(part: &mut libc::iovec, control: Option<&mut Control>) -> libc::mmsghdr {
    // SAFETY: a message of zeroes is a valid one, without name, data and control.
    let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
    message.msg_hdr.msg_iov = part;
    message.msg_hdr.msg_iovlen = 1;
    if let Some(control) = control {
        message.msg_hdr.msg_control = control.as_mut_ptr().cast();
        message.msg_hdr.msg_controllen = mem::size_of::<Control>() as _;
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        (sender, receiver)
    }

    #[test]
    fn a_batch_arrives_datagram_by_datagram() {
        let (sender, receiver) = pair();
        note_arrivals(&receiver).unwrap();
        send_batch(&sender, &[7; 2500], 1000).unwrap();
        let mut inbox = Inbox::new(8, 4);
        let count = inbox.receive(&receiver, Wait::ForOne).unwrap();
        let lengths: Vec<_> = inbox.datagrams(count).map(|datagram| datagram.length).collect();
        assert_eq!(lengths, [1000, 1000, 500]);
        let first = inbox.datagrams(count).next().unwrap();
        assert_eq!((first.bytes, first.segment), ([7; 4].as_slice(), None));
        assert!(first.arrived.unwrap() > Duration::from_secs(1_000_000_000));
        assert_eq!(inbox.receive(&receiver, Wait::No).unwrap(), 0);
        assert_eq!(dropped(&receiver), Some(0));
    }

    #[test]
    fn what_is_cut_by_the_kernel_may_come_joined() {
        let (sender, receiver) = pair();
        cut_sends(&sender, 1000).unwrap();
        take_joined(&receiver).unwrap();
        sender.send(&[7; 2500]).unwrap();
        let mut inbox = Inbox::new(8, 65_535);
        let count = inbox.receive(&receiver, Wait::ForOne).unwrap();
        let pieces: usize = inbox
            .datagrams(count)
            .map(|datagram| datagram.bytes.chunks(datagram.segment.unwrap_or(datagram.length)).count())
            .sum();
        assert_eq!(pieces, 3);
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let (sender, receiver) = pair();
        set_receive_buffer(&receiver, 1).unwrap();
        (0..100).for_each(|_| drop(sender.send(&[7; 1000])));
        assert!(dropped(&receiver).unwrap() > 0);
    }
}
