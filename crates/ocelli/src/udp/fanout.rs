//! The same packets to many addresses, as few system calls as the kernel takes.
//!
//! A [`Parcel`] is laid once for all: its packets one behind another, and where each run of packets of one length ends. A message is
//! then one slice of it, that the kernel cuts (UDP segmentation offload), and one call takes the messages of dozens of receivers.
//! Measured with 1000 receivers of 17 KB: 0.9 of what one such message a call costs, and 0.6 of a task for each receiver. A receiver
//! on whose way packets cannot be cut, as through a tunnel with shorter ones, gets a message a packet, and it alone.
//!
//! The socket is not connected, so no receiver's refusals are another's. Packets leave from the address that a receiver knows this
//! machine by, which on a machine with several is not always the one that its routes would choose.
//!
//! One of the few files that call the system directly.
#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::SockAddr;

use super::batch::{FLAGS, MOST_BATCH_BYTES, MOST_BATCH_PACKETS, message, refuses_segments};
use super::control::{Control, Source};

/// Messages by one call, at most.
const MESSAGES: usize = 32;
/// One call takes no more than this, and one message: others wait for the processor.
const CALL_BYTES: usize = 256 << 10;
/// The system cuts packets.
const CUTS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Packets for many.
#[derive(Debug, Default)]
pub struct Parcel {
    bytes: Vec<u8>,
    packets: Vec<Packet>,
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    /// Where it ends; it begins where the one before ends.
    end: u32,
    /// The first behind those that can be cut from one message with it.
    run_end: u32,
}

impl Parcel {
    /// Has these packets in the place of those before. They are copied: a slice a packet would cost the kernel more for each
    /// receiver than that costs once. Allocates nothing once there is room.
    pub fn lay<'a>(&mut self, packets: impl Iterator<Item = &'a [u8]>) {
        self.bytes.clear();
        self.packets.clear();
        let (mut first, mut start) = (0, 0);
        for packet in packets {
            let index = self.packets.len();
            if index > first {
                let length = self.packet(first).len();
                let before = self.packet(index - 1).len();
                let is_full = index - first == MOST_BATCH_PACKETS
                    || self.bytes.len() - start + packet.len() > MOST_BATCH_BYTES;
                if is_full || before < length || packet.len() > length {
                    self.end_run(first);
                    (first, start) = (index, self.bytes.len());
                }
            }
            self.bytes.extend_from_slice(packet);
            // A picture is shorter than 4 GiB, and so is what is sent of it.
            self.packets.push(Packet { end: self.bytes.len() as u32, run_end: 0 });
        }
        self.end_run(first);
    }

    fn end_run(&mut self, first: usize) {
        let run_end = self.packets.len() as u32;
        for packet in &mut self.packets[first..] {
            packet.run_end = run_end;
        }
    }

    /// How many packets there are.
    pub fn packet_count(&self) -> usize {
        self.packets.len()
    }

    /// How long the first `packets` are together.
    pub fn bytes_of(&self, packets: usize) -> usize {
        packets.checked_sub(1).map_or(0, |last| self.packets[last].end as usize)
    }

    /// The packets from index `from` on that have no more than `most_bytes` together; one at least.
    pub fn round(&self, from: usize, most_bytes: usize) -> Range<usize> {
        let is_within = |end: &usize| self.bytes_of(*end) - self.bytes_of(from) <= most_bytes;
        let end = (from + 1..=self.packet_count()).take_while(is_within).last();
        from..end.unwrap_or(from + 1).min(self.packet_count())
    }

    fn packet(&self, index: usize) -> &[u8] {
        &self.bytes[self.bytes_of(index)..self.bytes_of(index + 1)]
    }
}

/// Where a parcel goes.
#[derive(Debug)]
pub struct Destination {
    to: SockAddr,
    source: Option<Source>,
    /// Packets on this way cannot be cut.
    whole: AtomicBool,
}

impl Destination {
    /// To `to`, from `from` if it is given: an address of this machine, of the same family.
    pub fn new(to: SocketAddr, from: Option<IpAddr>) -> Self {
        Self { to: to.into(), source: from.and_then(Source::new), whole: AtomicBool::new(false) }
    }
}

/// How far a parcel has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Destinations that have got all of it, or as much as they shall.
    pub destinations: usize,
    /// Packets that the next one has got.
    pub packets: usize,
}

impl Progress {
    /// Goes on to the next destination.
    pub fn skip(&mut self) {
        *self = Self { destinations: self.destinations + 1, packets: 0 };
    }

    fn advance(&mut self, of: &Range<usize>, packets: usize) {
        self.packets += packets;
        if self.packets >= of.len() {
            self.skip();
        }
    }
}

/// Sends what comes next, as much as one call takes, of the `packets` of `parcel` to the first `count` destinations that `destination`
/// gives, and notes it in `progress`.
///
/// # Errors
/// The system's, with nothing sent: what it says of the destination at hand, or of the socket.
pub fn fan_out<'a>(
    socket: &impl AsFd,
    parcel: &Parcel,
    packets: Range<usize>,
    count: usize,
    destination: impl Fn(usize) -> &'a Destination,
    progress: &mut Progress,
) -> io::Result<()> {
    let socket = socket.as_fd().as_raw_fd();
    if packets.is_empty() {
        progress.destinations = count;
    }
    let mut call = Call::default();
    let mut next = *progress;
    while next.destinations < count && call.has_room() {
        let from = packets.start + next.packets;
        let added = call.add(parcel, destination(next.destinations), from..packets.end);
        next.advance(&packets, added);
    }
    if call.count == 0 {
        return Ok(());
    }
    match call.send(socket) {
        Ok(sent) => {
            call.messages[..sent].iter().for_each(|message| progress.advance(&packets, message.packets));
        }
        Err(error) if call.messages[0].packets > 1 && refuses_segments(&error) => {
            let destination = destination(progress.destinations);
            let mut single = Call::default();
            single.add_packets(parcel, destination, packets.start + progress.packets, 1);
            single.send(socket)?;
            // The same packet went without, so it was the cutting that was refused.
            destination.whole.store(true, Ordering::Relaxed);
            progress.advance(&packets, 1);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The messages of one call.
struct Call<'a> {
    messages: [Message<'a>; MESSAGES],
    count: usize,
    bytes: usize,
}

/// Packets to one destination.
#[derive(Clone, Copy)]
struct Message<'a> {
    bytes: io::IoSlice<'a>,
    to: Option<&'a SockAddr>,
    control: Control,
    packets: usize,
}

impl Default for Call<'_> {
    fn default() -> Self {
        let none =
            Message { bytes: io::IoSlice::new(&[]), to: None, control: Control::new(None, None), packets: 0 };
        Self { messages: [none; MESSAGES], count: 0, bytes: 0 }
    }
}

impl<'a> Call<'a> {
    fn has_room(&self) -> bool {
        self.count < MESSAGES && self.bytes < CALL_BYTES
    }

    /// Adds the first of these packets that one message takes to `destination`. Returns how many.
    fn add(&mut self, parcel: &'a Parcel, destination: &'a Destination, packets: Range<usize>) -> usize {
        let whole = !CUTS || destination.whole.load(Ordering::Relaxed);
        let run_end = packets.end.min(parcel.packets[packets.start].run_end as usize);
        let count = if whole { 1 } else { run_end - packets.start };
        self.add_packets(parcel, destination, packets.start, count);
        count
    }

    fn add_packets(&mut self, parcel: &'a Parcel, destination: &'a Destination, from: usize, packets: usize) {
        let bytes = &parcel.bytes[parcel.bytes_of(from)..parcel.bytes_of(from + packets)];
        // Several have no more than a message can, so the first of them has less.
        let cut = (packets > 1).then(|| parcel.packet(from).len() as u16);
        self.messages[self.count] = Message {
            bytes: io::IoSlice::new(bytes),
            to: Some(&destination.to),
            control: Control::new(cut, destination.source),
            packets,
        };
        self.count += 1;
        self.bytes += bytes.len();
    }

    fn messages(&mut self) -> &mut [Message<'a>] {
        &mut self.messages[..self.count]
    }

    /// Returns how many messages were sent: at least one.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn send(&mut self, socket: RawFd) -> io::Result<usize> {
        let count = self.count;
        let mut headers: [libc::mmsghdr; MESSAGES] =
            std::array::from_fn(|_| libc::mmsghdr { msg_hdr: message(&[]), msg_len: 0 });
        for (header, message) in headers.iter_mut().zip(self.messages()) {
            header.msg_hdr = message.header();
        }
        // SAFETY: the first `count` headers are written above and name slices, addresses and control data that `self` has or
        // borrows, which the call reads; it writes to `msg_len` only.
        let sent = unsafe { libc::sendmmsg(socket, headers.as_mut_ptr(), count as libc::c_uint, FLAGS as _) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn send(&mut self, socket: RawFd) -> io::Result<usize> {
        super::batch::send_message(socket, &self.messages()[0].header()).map(|_| 1)
    }
}

impl Message<'_> {
    fn header(&mut self) -> libc::msghdr {
        let mut header = message(std::slice::from_ref(&self.bytes));
        if let Some(to) = self.to {
            header.msg_name = to.as_ptr().cast_mut().cast();
            header.msg_namelen = to.len();
        }
        self.control.put(&mut header);
        header
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    fn packets(lengths: &[usize]) -> Vec<Vec<u8>> {
        lengths.iter().enumerate().map(|(index, length)| vec![index as u8; *length]).collect()
    }

    fn parcel(lengths: &[usize]) -> Parcel {
        let mut parcel = Parcel::default();
        // What was there before is forgotten.
        parcel.lay([&[9; 7][..]].into_iter());
        parcel.lay(packets(lengths).iter().map(|packet| &packet[..]));
        parcel
    }

    fn runs(lengths: &[usize]) -> Vec<usize> {
        let parcel = parcel(lengths);
        let (mut runs, mut at) = (Vec::new(), 0);
        while at < parcel.packet_count() {
            runs.push(parcel.packets[at].run_end as usize - at);
            at = parcel.packets[at].run_end as usize;
        }
        runs
    }

    #[test]
    fn runs_are_of_packets_of_one_length_and_perhaps_a_shorter_last_one() {
        assert_eq!(runs(&[30, 1400, 1400, 1400, 200]), [1, 4]);
        assert_eq!(runs(&[1400, 900, 900, 1400, 5, 5]), [2, 1, 2, 1]);
        assert_eq!(runs(&[1400; 100]), [46, 46, 8]);
        assert_eq!(runs(&[10; 100]), [64, 36]);
        assert_eq!(runs(&[65_000, 500]), [1, 1]);
        assert_eq!(runs(&[]), [] as [usize; 0]);
        let parcel = parcel(&[30, 20, 10]);
        assert_eq!([0, 1, 3].map(|packets| parcel.bytes_of(packets)), [0, 30, 60]);
    }

    #[test]
    fn rounds_are_as_long_as_they_may_be() {
        let parcel = parcel(&[100, 100, 7, 100]);
        let round = |from, most| parcel.round(from, most);
        assert_eq!([round(0, 250), round(2, 250), round(0, 1000)], [0..3, 2..4, 0..4]);
        assert_eq!([round(0, 10), round(3, 10), round(4, 10)], [0..1, 3..4, 4..4]);
    }

    #[test]
    fn a_round_is_sent_to_all_before_the_next() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let receivers = [Receiver::new("127.0.0.1:0"), Receiver::new("127.0.0.1:0")];
        let to = receivers.each_ref().map(|receiver| receiver.destination(None));
        let parcel = parcel(&[100; 5]);
        for round in [0..2, 2..4, 4..5] {
            let mut progress = Progress::default();
            while progress.destinations < 2 {
                fan_out(&socket, &parcel, round.clone(), 2, |index| &to[index], &mut progress).unwrap();
            }
        }
        receivers.iter().for_each(|receiver| _ = receiver.expect(&[100; 5]));
    }

    struct Receiver(UdpSocket);

    impl Receiver {
        fn new(address: &str) -> Self {
            let socket = UdpSocket::bind(address).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            Self(socket)
        }

        fn destination(&self, from: Option<&str>) -> Destination {
            Destination::new(self.0.local_addr().unwrap(), from.map(|from| from.parse().unwrap()))
        }

        /// Reads these packets, all of which come from one address.
        fn expect(&self, lengths: &[usize]) -> SocketAddr {
            let mut buffer = vec![0; 65_536];
            let mut from = None;
            for packet in packets(lengths) {
                let (length, sender) = self.0.recv_from(&mut buffer).unwrap();
                assert_eq!(buffer[..length], packet);
                assert_eq!(*from.get_or_insert(sender), sender);
            }
            from.unwrap()
        }
    }

    /// How many calls it took.
    fn send(socket: &UdpSocket, parcel: &Parcel, to: &[Destination]) -> usize {
        let (mut progress, mut calls) = (Progress::default(), 0);
        while progress.destinations < to.len() {
            let all = 0..parcel.packet_count();
            fan_out(socket, parcel, all, to.len(), |index| &to[index], &mut progress).unwrap();
            calls += 1;
        }
        calls
    }

    #[test]
    fn all_packets_come_to_all_receivers_by_few_calls() {
        let lengths = [&[40, 1400, 1400, 1400, 300][..], &[1400; 60]].concat();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(address).unwrap();
            let receivers: Vec<_> = (0..7).map(|_| Receiver::new(address)).collect();
            let mut to: Vec<_> = receivers.iter().map(|receiver| receiver.destination(None)).collect();
            assert_eq!(send(&socket, &parcel(&lengths), &to), 3);
            receivers.iter().for_each(|receiver| _ = receiver.expect(&lengths));
            // One whose packets cannot be cut.
            *to[3].whole.get_mut() = true;
            send(&socket, &parcel(&lengths), &to);
            receivers.iter().for_each(|receiver| _ = receiver.expect(&lengths));
            send(&socket, &parcel(&[7]), &to);
            receivers.iter().for_each(|receiver| _ = receiver.expect(&[7]));
            assert_eq!(send(&socket, &parcel(&[]), &to), 1);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn packets_come_from_the_address_that_was_asked_for() {
        for (address, from) in [("127.0.0.1:0", "127.0.0.5"), ("[::1]:0", "::1")] {
            let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
            let socket = UdpSocket::bind(any).unwrap();
            let receiver = Receiver::new(address);
            for lengths in [&[100; 5][..], &[100]] {
                send(&socket, &parcel(lengths), &[receiver.destination(Some(from))]);
                let expected: IpAddr = from.parse().unwrap();
                assert_eq!(receiver.expect(lengths).ip(), expected);
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_receiver_that_cannot_be_reached_is_told_of_alone_and_skipped() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let receivers = [Receiver::new("127.0.0.1:0"), Receiver::new("127.0.0.1:0")];
        let nobody = Destination::new(([127, 0, 0, 1], 0).into(), None);
        let to = [receivers[0].destination(None), nobody, receivers[1].destination(None)];
        let parcel = parcel(&[100, 100, 50]);
        let mut progress = Progress::default();
        let mut errors = Vec::new();
        while progress.destinations < to.len() {
            if fan_out(&socket, &parcel, 0..3, to.len(), |index| &to[index], &mut progress).is_err() {
                errors.push(progress);
                progress.skip();
            }
        }
        assert_eq!(errors, [Progress { destinations: 1, packets: 0 }]);
        receivers.iter().for_each(|receiver| _ = receiver.expect(&[100, 100, 50]));
        assert!(!to[0].whole.load(Ordering::Relaxed) && !to[1].whole.load(Ordering::Relaxed));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nobody_there_hurts_nobody_else() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let receiver = Receiver::new("127.0.0.1:0");
        let gone = Receiver::new("127.0.0.1:0").destination(None);
        let to = [gone, receiver.destination(None)];
        for _ in 0..5 {
            assert_eq!(send(&socket, &parcel(&[100, 50]), &to), 1);
            receiver.expect(&[100, 50]);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_cannot_be_cut_for_one_goes_whole_to_it_and_that_is_remembered() {
        // The kernel cuts nothing for a socket without checksums.
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let on: libc::c_int = 1;
        // SAFETY: the option's value is a `c_int` that is read before the call returns.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NO_CHECK,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        };
        assert_eq!(result, 0);
        let receivers = [Receiver::new("127.0.0.1:0"), Receiver::new("127.0.0.1:0")];
        let to = receivers.each_ref().map(|receiver| receiver.destination(None));
        for _ in 0..2 {
            send(&socket, &parcel(&[100; 10]), &to);
            receivers.iter().for_each(|receiver| _ = receiver.expect(&[100; 10]));
            assert!(to.iter().all(|to| to.whole.load(Ordering::Relaxed)));
        }
    }
}
