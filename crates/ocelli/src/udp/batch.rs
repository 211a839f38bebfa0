//! Packets to a connected socket, as many by one system call as the kernel takes.
//!
//! On Linux a run of packets of equal length goes as one buffer that the kernel cuts (UDP segmentation offload,
//! `UDP_SEGMENT`): measured with packets of 1372 bytes, a third of what `sendmmsg` costs. Where the kernel or the
//! interface refuses that, `sendmmsg` takes its place, and one `sendmsg` a packet where there is none. A packet is two
//! slices, its headers and its payload, and neither is copied before the kernel does.
//!
//! One of the few files that call the system directly.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use super::control::Control;

/// The most packets that one call takes: Linux's `UDP_MAX_SEGMENTS` before 6.9.
pub const MOST_BATCH_PACKETS: usize = 64;
/// The most bytes that one call takes: what IPv6's length has room for, less UDP's header, with IPv4's also counted.
pub(super) const MOST_BATCH_BYTES: usize = 65_535 - 48;
/// A packet's slices: headers and payload.
const SLICES: usize = 2;

/// How packets are given to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As one buffer that the kernel cuts.
    Segments,
    /// Each with a header of its own, many a call.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Messages,
    /// Each by a call of its own.
    Single,
}

/// Sends packets, and remembers what the kernel refused.
#[derive(Debug)]
pub struct Batch {
    way: Way,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// One that has been refused nothing yet.
    pub const fn new() -> Self {
        let way =
            if cfg!(any(target_os = "linux", target_os = "android")) { Way::Segments } else { Way::Single };
        Self { way }
    }

    /// Whether the kernel cuts the packets itself.
    pub fn segments(&self) -> bool {
        self.way == Way::Segments
    }

    /// Sends the first of `packets`, as many as one call takes but `most` at most, to where `socket` is connected.
    /// Returns how many were sent: at least one, unless there are none.
    ///
    /// # Errors
    /// The system's, with nothing sent. `ConnectionRefused` reports an earlier packet that nobody listened for; it is
    /// reported once, and the next call sends.
    pub fn send<'a>(
        &mut self,
        socket: &impl AsFd,
        packets: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        most: usize,
    ) -> io::Result<usize> {
        let socket = socket.as_fd().as_raw_fd();
        let run = Run::of(packets, most.clamp(1, MOST_BATCH_PACKETS));
        if run.count == 0 {
            return Ok(0);
        }
        if self.way == Way::Segments {
            match run.send_as_segments(socket) {
                Err(error) if run.count > 1 && refuses_segments(&error) => {}
                sent => return sent,
            }
        }
        let sent = self.send_one_by_one(socket, &run);
        if sent.is_ok() && self.way == Way::Segments {
            // The same packets went without, so it was the cutting that was refused.
            self.way = Way::without_segments();
        }
        sent
    }

    fn send_one_by_one(&self, socket: RawFd, run: &Run<'_>) -> io::Result<usize> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if self.way != Way::Single {
            return run.send_as_messages(socket);
        }
        run.send_first(socket)
    }

    #[cfg(test)]
    fn of(way: Way) -> Self {
        Self { way }
    }
}

impl Way {
    const fn without_segments() -> Self {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return Self::Messages;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        return Self::Single;
    }
}

/// `EINVAL`: a kernel without it, an interface that computes no checksums, segments longer than its packets may be
/// (`EMSGSIZE` on newer kernels); `EIO`: the same, found later.
pub(super) fn refuses_segments(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE | libc::EOPNOTSUPP))
}

/// Packets that one call can take: all of one length, but the last may be shorter.
struct Run<'a> {
    slices: [io::IoSlice<'a>; SLICES * MOST_BATCH_PACKETS],
    count: usize,
    segment_bytes: usize,
}

impl<'a> Run<'a> {
    fn of(packets: impl Iterator<Item = (&'a [u8], &'a [u8])>, most: usize) -> Self {
        let mut run =
            Self { slices: [io::IoSlice::new(&[]); SLICES * MOST_BATCH_PACKETS], count: 0, segment_bytes: 0 };
        let mut total = 0;
        for (headers, payload) in packets.take(most) {
            let bytes = headers.len() + payload.len();
            if run.count == 0 {
                run.segment_bytes = bytes;
            } else if bytes > run.segment_bytes || total + bytes > MOST_BATCH_BYTES {
                break;
            }
            run.slices[SLICES * run.count] = io::IoSlice::new(headers);
            run.slices[SLICES * run.count + 1] = io::IoSlice::new(payload);
            run.count += 1;
            total += bytes;
            if bytes < run.segment_bytes {
                break;
            }
        }
        run
    }

    fn slices(&self) -> &[io::IoSlice<'a>] {
        &self.slices[..SLICES * self.count]
    }

    /// One packet, or many that the kernel cuts.
    fn send_as_segments(&self, socket: RawFd) -> io::Result<usize> {
        if self.count == 1 {
            return self.send_first(socket);
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            let mut message = message(self.slices());
            let mut control = Control::new(Some(self.segment_bytes as u16), None);
            control.put(&mut message);
            send_message(socket, &message).map(|_| self.count)
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        self.send_first(socket)
    }

    fn send_first(&self, socket: RawFd) -> io::Result<usize> {
        send_message(socket, &message(&self.slices()[..SLICES])).map(|_| 1)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn send_as_messages(&self, socket: RawFd) -> io::Result<usize> {
        let mut messages: [libc::mmsghdr; MOST_BATCH_PACKETS] =
            std::array::from_fn(|_| libc::mmsghdr { msg_hdr: message(&[]), msg_len: 0 });
        for (of, slices) in messages.iter_mut().zip(self.slices().chunks_exact(SLICES)) {
            of.msg_hdr = message(slices);
        }
        // SAFETY: the first `count` messages are written above and name slices that `self` borrows, which the call
        // reads; it writes to `msg_len` only.
        let sent =
            unsafe { libc::sendmmsg(socket, messages.as_mut_ptr(), self.count as libc::c_uint, FLAGS as _) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }
}

/// None: the sockets do not block, and datagrams raise no signals.
pub(super) const FLAGS: libc::c_int = 0;

/// What `sendmsg` is told of slices; to where the socket is connected.
pub(super) fn message(slices: &[io::IoSlice<'_>]) -> libc::msghdr {
    // SAFETY: a `msghdr` is plain numbers and pointers, and all zero means no address, no slices, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // `IoSlice` is an `iovec` by its documentation; `sendmsg` does not write through it.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len() as _;
    message
}

pub(super) fn send_message(socket: RawFd, message: &libc::msghdr) -> io::Result<usize> {
    // SAFETY: `message` names slices and control data that its makers borrow, and the call only reads them.
    let sent = unsafe { libc::sendmsg(socket, message, FLAGS) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    use super::*;

    fn pair(address: &str) -> (UdpSocket, UdpSocket) {
        let (from, to) = (UdpSocket::bind(address).unwrap(), UdpSocket::bind(address).unwrap());
        from.connect(to.local_addr().unwrap()).unwrap();
        to.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        (from, to)
    }

    /// Packets of these lengths, cut in two, each of other bytes.
    fn packets(lengths: &[usize]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let halves = |(index, length): (usize, &usize)| {
            let bytes: Vec<u8> = (0..*length).map(|at| (at + 7 * index) as u8).collect();
            let (headers, payload) = bytes.split_at((*length).min(20));
            (headers.to_vec(), payload.to_vec())
        };
        lengths.iter().enumerate().map(halves).collect()
    }

    fn all_arrive(address: &str, way: Way, lengths: &[usize]) -> Batch {
        let (from, to) = pair(address);
        let packets = packets(lengths);
        let mut batch = Batch::of(way);
        let (mut sent, mut received) = (0, vec![0; 65_536]);
        while sent < packets.len() {
            let rest = packets[sent..].iter().map(|(headers, payload)| (&headers[..], &payload[..]));
            let count = batch.send(&from, rest, usize::MAX).unwrap();
            for (headers, payload) in &packets[sent..sent + count] {
                let length = to.recv(&mut received).unwrap();
                assert_eq!(received[..length], [&headers[..], payload].concat(), "{way:?}");
            }
            sent += count;
        }
        batch
    }

    #[test]
    fn packets_arrive_in_every_way_and_family() {
        let mut lengths = vec![1372; 130];
        lengths.extend([900, 1372, 20, 1372, 1372, 5]);
        for address in ["127.0.0.1:0", "[::1]:0"] {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            for way in [Way::Segments, Way::Messages] {
                assert_eq!(all_arrive(address, way, &lengths).way, way);
            }
            all_arrive(address, Way::Single, &lengths);
        }
    }

    #[test]
    fn runs_end_at_a_longer_packet_and_behind_a_shorter_one() {
        let runs = |lengths: &[usize], most| {
            let packets = packets(lengths);
            let run = Run::of(packets.iter().map(|(headers, payload)| (&headers[..], &payload[..])), most);
            (run.count, run.segment_bytes)
        };
        assert_eq!(runs(&[100, 100, 60, 100], 64), (3, 100));
        assert_eq!(runs(&[100, 101], 64), (1, 100));
        assert_eq!(runs(&[1372; 90], 64), (47, 1372));
        assert_eq!(runs(&[500; 90], 64), (64, 500));
        assert_eq!(runs(&[500; 90], 3), (3, 500));
        assert_eq!(runs(&[65_507, 10], 64), (1, 65_507));
        assert_eq!(runs(&[], 64), (0, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_kernel_refuses_to_cut_goes_uncut_and_that_is_remembered() {
        // Loopback's packets have 64 KiB, so the kernel is told that checksums are not wanted: it cuts none then.
        let (from, to) = pair("127.0.0.1:0");
        let without_checksum: libc::c_int = 1;
        // SAFETY: the option's value is a `c_int` that is read before the call returns.
        let result = unsafe {
            libc::setsockopt(
                from.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NO_CHECK,
                (&raw const without_checksum).cast(),
                size_of_val(&without_checksum) as libc::socklen_t,
            )
        };
        assert_eq!(result, 0);
        let packets = packets(&[1372; 10]);
        let mut batch = Batch::new();
        let all = packets.iter().map(|(headers, payload)| (&headers[..], &payload[..]));
        assert_eq!(batch.send(&from, all, usize::MAX).unwrap(), 10);
        assert!(!batch.segments());
        let mut received = [0; 2000];
        (0..10).for_each(|_| assert_eq!(to.recv(&mut received).unwrap(), 1372));
    }

    #[test]
    fn a_full_socket_says_so_and_nothing_is_lost_of_what_it_took() {
        let (from, to) = UnixDatagram::pair().unwrap();
        from.set_nonblocking(true).unwrap();
        let packets = packets(&[1000; 3]);
        let mut batch = Batch::of(Way::Single);
        let mut sent = 0;
        let error = loop {
            let one = packets.iter().map(|(headers, payload)| (&headers[..], &payload[..]));
            match batch.send(&from, one, 1) {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        to.set_nonblocking(true).unwrap();
        let mut received = [0; 2000];
        assert_eq!((0..).take_while(|_| to.recv(&mut received).is_ok()).count(), sent);
    }

    #[test]
    fn nobody_there_is_told_once_and_then_sent_to_again() {
        let (from, to) = pair("127.0.0.1:0");
        let address = to.local_addr().unwrap();
        drop(to);
        let packets = packets(&[100, 100]);
        let mut batch = Batch::new();
        let mut send =
            || batch.send(&from, packets.iter().map(|(headers, payload)| (&headers[..], &payload[..])), 2);
        assert_eq!(send().unwrap(), 2);
        assert_eq!(send().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let to = UdpSocket::bind(address).unwrap();
        assert_eq!(send().unwrap(), 2);
        assert_eq!(to.recv(&mut [0; 200]).unwrap(), 100);
    }
}
