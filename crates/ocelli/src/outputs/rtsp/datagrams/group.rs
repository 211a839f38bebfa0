//! A camera's pictures to a group (RFC 1112): sent once, however many sessions watch.
//!
//! The first session starts it, the last ends it. To the [`Feed`] it is one reader among the others, whose packets go to the group.
//! What a client reports, to the group or to this machine, is given to its sessions, which are known by its address; the clock is
//! told to all of them by one report.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use ocelli_hub::{DerivedReader, RingId, Stream};
use tokio::io::ReadBuf;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::Heard;
use super::begin::Beginning;
use super::ends::{DATAGRAM_BYTES, Ends, WAITING, tell_report};
use super::feed::{Audience, Feed, Member};
use crate::outputs::rtsp::bursts::{Laid, Piece};
use crate::outputs::rtsp::numbers::{Numbers, SessionDrop, SoundSeen, TRACKS};
use crate::outputs::rtsp::reports::Reports;
use crate::outputs::rtsp::session::Session;
use crate::udp::{Destination, Interface, join_group};

/// Where groups are, and how far their packets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multicast {
    /// The first address.
    pub first: IpAddr,
    /// How many addresses there are.
    pub addresses: u64,
    /// RTP's port of a camera's first track; its RTCP has the next, and other tracks those that follow.
    pub port: u16,
    /// How many routers packets pass, and one more: 1 keeps them in the network.
    pub ttl: u8,
    /// Through which interface they go. Else the routes decide.
    pub interface: Option<Interface>,
}

impl Multicast {
    /// Reads `239.255.42.0/24`, or one address.
    ///
    /// # Errors
    /// It is no range of multicast addresses, in words.
    pub fn parse_range(text: &str) -> Result<(IpAddr, u64), String> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.trim().parse().map_err(|_| "it is no IP address".to_owned())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let least = if address.is_ipv4() { 8 } else { 64 };
        let bits = bits.map_or(Ok(most), |bits| bits.trim().parse::<u32>()).ok();
        let bits = bits.filter(|bits| (least..=most).contains(bits));
        let bits = bits.ok_or_else(|| format!("expected {least} to {most} behind the slash"))?;
        if !address.is_multicast() {
            return Err(
                "it is no multicast address: those of IPv4 begin with 224 to 239, of IPv6 with ff".to_owned()
            );
        }
        let addresses = 1_u64.checked_shl(most - bits).unwrap_or(1 << 32);
        // The network's own address is left out.
        let first = if addresses > 1 { plus(network(address, most - bits), 1) } else { address };
        Ok((first, addresses.saturating_sub(1).max(1)))
    }

    /// The group of the camera with this place in the configuration; `None` if there are more cameras than addresses.
    fn group(&self, camera: usize) -> Option<IpAddr> {
        (camera as u64).checked_add(1).filter(|count| *count <= self.addresses)?;
        Some(plus(self.first, camera as u64))
    }

    fn port(&self, track: u8) -> u16 {
        self.port.saturating_add(2 * u16::from(track))
    }
}

fn network(address: IpAddr, host_bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

fn plus(address: IpAddr, count: u64) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(address.to_bits().wrapping_add(count as u32).into()),
        IpAddr::V6(address) => IpAddr::V6(address.to_bits().wrapping_add(count.into()).into()),
    }
}

/// Where a track of a camera is sent to.
#[derive(Clone, Copy, Debug)]
pub(in crate::outputs::rtsp) struct Place {
    pub(in crate::outputs::rtsp) group: IpAddr,
    pub(in crate::outputs::rtsp) rtp: u16,
    pub(in crate::outputs::rtsp) rtcp: u16,
    pub(in crate::outputs::rtsp) ttl: u8,
}

impl Multicast {
    /// Where `track` of the camera with this place in the configuration is sent to.
    pub(in crate::outputs::rtsp) fn place(&self, camera: usize, track: u8) -> Option<Place> {
        let (group, rtp) = (self.group(camera)?, self.port(track));
        Some(Place { group, rtp, rtcp: rtp.checked_add(1)?, ttl: self.ttl })
    }
}

/// The sessions of a group.
#[derive(Debug, Default)]
pub(super) struct Seats {
    next_id: AtomicU64,
    taken: Mutex<Vec<Seat>>,
    /// What all of them got.
    numbers: Numbers,
}

#[derive(Debug)]
struct Seat {
    id: u64,
    address: IpAddr,
    session: Arc<Session>,
    tell: mpsc::Sender<Heard>,
}

impl Seats {
    pub(super) fn got(&self, piece: &Laid, packets: usize, bytes: usize) {
        self.numbers.sent(piece, packets, bytes);
        self.lock().iter().for_each(|seat| seat.session.got(piece, packets, bytes));
    }

    pub(super) fn lost(&self, pictures: u64, reason: SessionDrop) {
        self.lock().iter().for_each(|seat| seat.session.lost(pictures, reason));
    }

    pub(super) fn lost_sound(&self, frames: u64) {
        self.lock().iter().for_each(|seat| seat.session.lost_sound(frames));
    }

    /// Gives a report that came from `address` to its sessions.
    fn tell(&self, address: IpAddr, heard: &Heard) {
        for seat in self.lock().iter().filter(|seat| seat.address == address) {
            tell_report(&seat.session, &seat.tell, heard.clone());
        }
    }

    fn tell_all(&self, heard: &Heard) {
        for seat in self.lock().iter() {
            let _ = seat.tell.try_send(heard.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A group that is sent to.
#[derive(Debug)]
pub(super) struct Group {
    ring: RingId,
    group: IpAddr,
    seats: Arc<Seats>,
    left: Arc<AtomicBool>,
    tasks: [AbortHandle; 2],
    #[expect(dead_code, reason = "held for its drop")]
    feed: Arc<Feed>,
}

/// A session's seat, until it is dropped.
#[derive(Debug)]
pub(super) struct Seated {
    group: Arc<Group>,
    id: u64,
}

impl Group {
    /// Begins to send `pieces` to the `group`, each of `tracks`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system's: an interface that is not there.
    pub(super) fn start(
        multicast: &Multicast,
        group: IpAddr,
        stream: &Arc<Stream>,
        pieces: DerivedReader<Piece>,
        first: Option<Piece>,
        feed: Arc<Feed>,
    ) -> io::Result<Arc<Self>> {
        let ends =
            Ends::to_group((group, multicast.port).into(), multicast.interface.as_ref(), multicast.ttl)?;
        let (seats, left) = (Arc::<Seats>::default(), Arc::<AtomicBool>::default());
        let (tell, heard) = mpsc::channel(WAITING);
        let destination = |port| Destination::new((group, port).into(), None);
        let member = Member {
            to: std::array::from_fn(|track| Some(destination(multicast.port(track as u8)))),
            ends: ends.clone(),
            audience: Audience::Group(seats.clone()),
            left: left.clone(),
            begun: false,
            needs_key: None,
            sound: SoundSeen::default(),
            tell,
        };
        let ring = pieces.ring_id();
        let beginning = Beginning { stream: stream.clone(), pieces, first, member, feed: feed.clone() };
        let listening = (0..TRACKS).filter_map(|track| {
            let address = SocketAddr::from((group, multicast.port(track as u8).checked_add(1)?));
            let joined = join_group(address, multicast.interface.as_ref());
            let joined =
                joined.inspect_err(|why| tracing::info!("reports to the group are not heard: {why}")).ok()?;
            Some((Some(track as u8), Arc::new(tokio::net::UdpSocket::from_std(joined).ok()?)))
        });
        let caretaker = Caretaker {
            seats: seats.clone(),
            heard,
            listening: listening.chain([(None, ends.rtcp.clone())]).collect(),
            reports: Reports::new(false),
            report_to: (0..TRACKS)
                .map(|track| destination(multicast.port(track as u8).saturating_add(1)))
                .collect(),
            ends,
        };
        let tasks =
            [tokio::spawn(beginning.run()).abort_handle(), tokio::spawn(caretaker.run()).abort_handle()];
        Ok(Arc::new(Self { ring, group, seats, left, tasks, feed }))
    }

    /// It sends what `pieces` reads to `group`.
    pub(super) fn is_of(&self, group: IpAddr, pieces: &DerivedReader<Piece>) -> bool {
        (self.group, self.ring) == (group, pieces.ring_id())
    }

    /// A seat for `session`, whose client is at `address`.
    pub(super) fn seat(
        self: &Arc<Self>,
        session: &Arc<Session>,
        address: IpAddr,
        tell: mpsc::Sender<Heard>,
    ) -> Seated {
        let id = self.seats.next_id.fetch_add(1, Ordering::Relaxed);
        self.seats.lock().push(Seat { id, address: address.to_canonical(), session: session.clone(), tell });
        Seated { group: self.clone(), id }
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.group.seats.lock().retain(|seat| seat.id != self.id);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.left.store(true, Ordering::Relaxed);
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// What a group needs beside pictures.
struct Caretaker {
    seats: Arc<Seats>,
    heard: mpsc::Receiver<Heard>,
    /// Where clients report to all of the group, for each track, and where they report to this machine.
    listening: Vec<(Option<u8>, Arc<tokio::net::UdpSocket>)>,
    reports: Reports,
    report_to: Vec<Destination>,
    ends: Arc<Ends>,
}

impl Caretaker {
    async fn run(mut self) {
        let mut datagram = [0; DATAGRAM_BYTES];
        loop {
            let due = self.reports.due();
            tokio::select! {
                heard = self.heard.recv() => match heard {
                    Some(Heard::Begins(first)) => {
                        let tracks: Vec<u8> = (0..TRACKS as u8).collect();
                        self.reports.begin(&first, &tracks, &self.seats.numbers);
                    }
                    Some(heard) => self.seats.tell_all(&heard),
                    None => {
                        self.seats.tell_all(&Heard::Closed);
                        return;
                    }
                },
                (track, length, from) = receive(&self.listening, &mut datagram) => {
                    let packet = Bytes::copy_from_slice(&datagram[..length]);
                    // What is said to the group comes back.
                    if !self.reports.is_own(&packet) {
                        // Where it does not show which track it is about, those who read it find whom it names.
                        for track in track.map_or(0..TRACKS as u8, |track| track..track + 1) {
                            let heard = Heard::Report { track, packet: packet.clone() };
                            self.seats.tell(from.ip().to_canonical(), &heard);
                        }
                    }
                }
                () = sleep_until(due.map_or_else(far_away, Into::into)) => self.write_reports(),
            }
        }
    }

    fn write_reports(&mut self) {
        let Self { reports, report_to, ends, seats, .. } = self;
        reports.poll(&seats.numbers, |track, report| {
            if let Some(to) = report_to.get(usize::from(track)) {
                ends.report(to, report);
            }
        });
    }
}

/// Says farewell.
impl Drop for Caretaker {
    fn drop(&mut self) {
        let Self { reports, report_to, ends, seats, .. } = self;
        reports.bye(&seats.numbers, |track, report| {
            if let Some(to) = report_to.get(usize::from(track)) {
                ends.report(to, report);
            }
        });
    }
}

/// A time at which nothing happens.
fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// Waits for a datagram at one of `sockets`. Cancel-safe.
async fn receive(
    sockets: &[(Option<u8>, Arc<tokio::net::UdpSocket>)],
    datagram: &mut [u8],
) -> (Option<u8>, usize, SocketAddr) {
    std::future::poll_fn(|context| {
        for (track, socket) in sockets {
            let mut buffer = ReadBuf::new(datagram);
            loop {
                match socket.poll_recv_from(context, &mut buffer) {
                    Poll::Ready(Ok(from)) => return Poll::Ready((*track, buffer.filled().len(), from)),
                    Poll::Ready(Err(_)) => {}
                    Poll::Pending => break,
                }
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> (String, u64) {
        let (first, addresses) = Multicast::parse_range(text).unwrap();
        (first.to_string(), addresses)
    }

    #[test]
    fn ranges_are_read_and_leave_out_the_networks_own_address() {
        assert_eq!(range("239.255.42.0/24"), ("239.255.42.1".into(), 255));
        assert_eq!(range("239.255.42.77/30"), ("239.255.42.77".into(), 3));
        assert_eq!(range("239.1.2.3"), ("239.1.2.3".into(), 1));
        assert_eq!(range("ff15::42:0/112"), ("ff15::42:1".into(), 65_535));
        assert_eq!(range("ff15::/64").0, "ff15::1");
        for wrong in ["10.0.0.0/24", "239.255.42.0/33", "239.0.0.0/x", "example", "ff15::/20", "1.2.3.4"] {
            assert!(Multicast::parse_range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_camera_has_a_group_and_each_track_two_ports() {
        let (first, addresses) = Multicast::parse_range("239.255.42.0/30").unwrap();
        let multicast = Multicast { first, addresses, port: 5004, ttl: 1, interface: None };
        let place = |camera, track| {
            let Place { group, rtp, rtcp, ttl } = multicast.place(camera, track)?;
            Some((group.to_string(), rtp, rtcp, ttl))
        };
        assert_eq!(place(0, 0), Some(("239.255.42.1".into(), 5004, 5005, 1)));
        assert_eq!(place(2, 1), Some(("239.255.42.3".into(), 5006, 5007, 1)));
        assert_eq!(place(3, 0), None);
    }
}
