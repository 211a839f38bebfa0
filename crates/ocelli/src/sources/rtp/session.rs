//! One run of the receiver: datagrams in, pictures out, reports back.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ocelli_hub::{NetworkPath, Publisher, SourceError, StreamName};
use ocelli_media::{Codec, MediaTime};
use ocelli_proto::rtcp::{ReceiverSession, ReceiverSetup};
use ocelli_proto::rtp::receive::{Counts, Event, Receiver};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use super::Sockets;
use super::pictures::{Pictures, captured};
use super::settings::Settings;
use super::silence::{self, Came};
use crate::sources::SourceOptions;
use crate::udp::{Datagram, is_own};

/// How often the numbers are told when no picture comes.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// The source ends a little before the hub would end it: it knows better words.
const PART_OF_SILENCE: f64 = 0.98;
/// The shortest time between two requests for a keyframe.
const KEYFRAME_WAIT: Duration = Duration::from_millis(500);
/// How often the log says that the same sender began anew.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// How many batches are taken before somebody else gets a turn.
const MOST_BATCHES: usize = 16;
/// Longest RTCP datagram that is read.
const RTCP_BYTES: usize = 2048;

/// One run.
pub(super) struct Session<'a> {
    settings: &'a Settings,
    options: &'a SourceOptions,
    /// There before and after the run.
    sockets: Option<Sockets>,
    listens: SocketAddr,
    /// All times are since then.
    origin: Instant,
    receiver: Receiver,
    reports: Reports,
    pictures: Pictures<'a>,
    /// Reused.
    events: Vec<Event>,
    /// What was counted before this run, and where the sum goes.
    before: NetworkPath,
    counted: &'a mut NetworkPath,
    /// Last counts at the last picture.
    at_picture: Counts,
    last_picture: Duration,
    told: Duration,
    /// Packets of this camera's own pictures, which came back.
    own: u64,
    beginnings: Beginnings,
}

/// Which beginnings of senders the log is told of. One whose numbers jump all the time begins with every second packet;
/// `senders` of the numbers counts them all.
#[derive(Debug, Default)]
struct Beginnings {
    said: Option<(Duration, SocketAddr)>,
}

impl Beginnings {
    /// Whether to say at `now` that the sender at `from` began.
    fn is_news(&mut self, now: Duration, from: SocketAddr) -> bool {
        let news = self.said.is_none_or(|(at, said)| said != from || now >= at + SAY_EVERY);
        if news {
            self.said = Some((now, from));
        }
        news
    }
}

/// What is said and heard by RTCP.
struct Reports {
    session: ReceiverSession,
    /// Where the sender's RTCP comes from, and whether it comes to RTP's port.
    peer: Option<(SocketAddr, bool)>,
    /// RTCP of others than the sender.
    strange: u64,
    /// Reused.
    datagram: Vec<u8>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        options: &'a SourceOptions,
        name: &str,
        sockets: Sockets,
        counted: &'a mut NetworkPath,
    ) -> Self {
        let listens = sockets.rtp.socket().local_addr().unwrap_or(settings.listen.address);
        let setup = ReceiverSetup {
            ssrc: fastrand::u32(..),
            cname: name.to_owned(),
            rate: MediaTime::VIDEO_RATE,
            unicast: !settings.listen.address.ip().is_multicast(),
            keyframe_wait: KEYFRAME_WAIT,
        };
        Self {
            settings,
            options,
            listens,
            origin: Instant::now(),
            receiver: Receiver::new(settings.setup(options.max_frame_bytes)),
            reports: Reports {
                session: ReceiverSession::new(Duration::ZERO, setup, &mut fastrand::f64),
                peer: None,
                strange: 0,
                datagram: Vec::new(),
            },
            pictures: Pictures::new(settings),
            sockets: Some(sockets),
            events: Vec::new(),
            before: *counted,
            counted,
            at_picture: Counts::default(),
            last_picture: Duration::ZERO,
            told: Duration::ZERO,
            own: 0,
            beginnings: Beginnings::default(),
        }
    }

    /// The sockets, for another run.
    pub(super) fn into_sockets(mut self) -> Option<Sockets> {
        self.sockets.take()
    }

    /// Receives until there is nothing to receive, or no way to.
    pub(super) async fn run(&mut self, out: &mut Publisher) -> SourceError {
        self.tell(out);
        let sockets = self.sockets.take();
        let mut guard = Farewell { session: self, sockets };
        match &mut guard.sockets {
            Some(sockets) => guard.session.run_on(sockets, out).await,
            None => SourceError::lost("a session runs once"),
        }
    }

    async fn run_on(&mut self, sockets: &mut Sockets, out: &mut Publisher) -> SourceError {
        let mut rtcp_buffer = [0; RTCP_BYTES];
        let mut timer = pin!(sleep_until(self.origin));
        loop {
            let deadline = self.origin + self.deadline();
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            tokio::select! {
                received = sockets.rtp.receive() => match received {
                    Ok(()) => {
                        if let Err(error) = self.take_all(sockets, out) {
                            return SourceError::lost(format!("receiving on {} failed: {error}", self.listens));
                        }
                    }
                    Err(error) => return SourceError::lost(format!("receiving on {} failed: {error}", self.listens)),
                },
                (length, from) = receive_rtcp(sockets.rtcp.as_ref(), &mut rtcp_buffer) => {
                    self.hear(from, &rtcp_buffer[..length], false);
                }
                () = out.keyframe_wanted() => self.pictures.wanted = self.settings.codec != Codec::Jpeg,
                () = &mut timer => {}
            }
            let now = self.origin.elapsed();
            self.receiver.expire(now, &mut self.events);
            self.publish(now, out);
            self.report(now, sockets);
            if now >= self.told + TELL_EVERY {
                self.tell(out);
                self.told = now;
            }
            if now >= self.silent_at() {
                self.tell(out);
                return SourceError::silent(self.cause());
            }
        }
    }

    fn deadline(&mut self) -> Duration {
        let due = if self.settings.rtcp { self.reports.session.due() } else { Duration::MAX };
        let expiry = self.receiver.deadline().unwrap_or(Duration::MAX);
        self.silent_at().min(self.told + TELL_EVERY).min(expiry).min(due)
    }

    fn silent_at(&self) -> Duration {
        self.last_picture + self.options.silence_timeout.mul_f64(PART_OF_SILENCE)
    }

    /// Takes what has come, and what comes meanwhile.
    fn take_all(&mut self, sockets: &mut Sockets, out: &mut Publisher) -> std::io::Result<()> {
        for batch in 1.. {
            let now = self.origin.elapsed();
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            for datagram in sockets.rtp.datagrams() {
                // How long it has waited in the kernel; a clock that was set meanwhile tells nothing.
                let waited = datagram.arrived.map_or(Duration::ZERO, |at| since_1970.saturating_sub(at));
                let waited = if waited < TELL_EVERY { waited } else { Duration::ZERO };
                self.take(now.saturating_sub(waited), datagram, out.name());
            }
            self.publish(now, out);
            // What was received must be looked at, so the bound comes first.
            if batch == MOST_BATCHES || !sockets.rtp.receive_more()? {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, arrived: Duration, datagram: Datagram<'_>, camera: &StreamName) {
        let Datagram { from, bytes, .. } = datagram;
        if is_rtcp(bytes) {
            return self.hear(from, bytes, true);
        }
        if self.is_own(bytes, from, camera) {
            self.own += 1;
            return;
        }
        let before = self.events.len();
        let Some(packet) = self.receiver.datagram(arrived, from, bytes, &mut self.events) else { return };
        for event in &self.events[before..] {
            if let Event::Started { ssrc, .. } = event {
                self.reports.session.started(arrived, *ssrc, &mut fastrand::f64);
                self.reports.peer = None;
            }
        }
        self.reports.session.packet(arrived, packet.ssrc, packet.sequence, packet.timestamp, bytes.len());
    }

    /// Whether a packet is one that this camera was sent by from here. The sender that is listened to is not.
    fn is_own(&self, bytes: &[u8], from: SocketAddr, camera: &StreamName) -> bool {
        let Some(&[a, b, c, d]) = bytes.get(8..12) else { return false };
        let ssrc = u32::from_be_bytes([a, b, c, d]);
        self.receiver.sender().is_none_or(|(heard, _)| heard != ssrc) && is_own(camera, ssrc, from.ip())
    }

    /// Reads RTCP, which may come to RTP's port as well (RFC 5761).
    fn hear(&mut self, from: SocketAddr, bytes: &[u8], to_rtp: bool) {
        let sender = self.receiver.sender().map(|(_, address)| address.ip());
        let only =
            self.settings.from.or(sender).filter(|_| !self.settings.listen.address.ip().is_multicast());
        if !self.settings.rtcp || only.is_some_and(|only| only.to_canonical() != from.ip().to_canonical()) {
            self.reports.strange += 1;
            return;
        }
        let now = self.origin.elapsed();
        let Ok(heard) = self.reports.session.datagram(now, bytes, &mut fastrand::f64) else {
            self.reports.strange += 1;
            return;
        };
        if sender.is_some_and(|sender| sender == from.ip()) {
            self.reports.peer = Some((from, to_rtp));
        }
        if heard.collision {
            self.reports.datagram.clear();
            self.reports.session.change_ssrc(now, fastrand::u32(..), &mut self.reports.datagram);
        }
    }

    /// Publishes what the receiver has given out.
    fn publish(&mut self, now: Duration, out: &mut Publisher) {
        if self.events.is_empty() {
            return;
        }
        let mut came = false;
        for event in self.events.drain(..) {
            match event {
                Event::Started { ssrc, from } => {
                    if self.beginnings.is_news(now, from) {
                        tracing::info!(camera = %out.name(), %from, ssrc = format!("{ssrc:08x}"), "a sender began");
                    }
                    self.pictures.restart();
                }
                Event::Picture(picture) => {
                    let session = &self.reports.session;
                    let captured = captured(now, picture.arrived, session.captured(picture.timestamp));
                    came |= self.pictures.publish(picture, captured, out);
                }
                Event::Dropped(reason) => self.pictures.dropped(reason, out),
            }
        }
        if came {
            self.last_picture = now;
            self.at_picture = self.receiver.counts();
            self.tell(out);
        }
    }

    /// Sends what RTCP has to say.
    fn report(&mut self, now: Duration, sockets: &Sockets) {
        if !self.settings.rtcp {
            return;
        }
        let Reports { session, datagram, .. } = &mut self.reports;
        if self.receiver.keyframe_wanted() || self.pictures.wanted {
            session.want_keyframe(now, &mut fastrand::f64);
        } else {
            session.keyframe_came();
        }
        session.poll(now, &mut fastrand::f64, datagram);
        self.send(sockets);
    }

    fn say_goodbye(&mut self) {
        if !self.settings.rtcp {
            return;
        }
        let Some(sockets) = self.sockets.take() else { return };
        self.reports.session.bye(self.origin.elapsed(), &mut self.reports.datagram);
        self.send(&sockets);
        self.sockets = Some(sockets);
    }

    /// To where the sender's RTCP comes from; before any has come, to the port behind its RTP's. What cannot be sent is repeated
    /// with the next report.
    fn send(&mut self, sockets: &Sockets) {
        if self.reports.datagram.is_empty() {
            return;
        }
        let (peer, to_rtp) = match (self.reports.peer, self.receiver.sender()) {
            (Some(peer), _) => peer,
            (None, Some((_, address))) if self.settings.rtcp_on_rtp => (address, true),
            (None, Some((_, mut address))) => {
                address.set_port(address.port().saturating_add(1));
                (address, false)
            }
            (None, None) => return self.reports.datagram.clear(),
        };
        let socket = if to_rtp { Some(sockets.rtp.socket()) } else { sockets.rtcp.as_ref() };
        if let Some(Err(error)) = socket.map(|socket| socket.try_send_to(&self.reports.datagram, peer)) {
            tracing::debug!(%peer, "a report could not be sent: {error}");
        }
        self.reports.datagram.clear();
    }

    /// Tells the numbers.
    fn tell(&mut self, out: &mut Publisher) {
        let counts = self.receiver.counts();
        let before = &self.before;
        let address = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        *self.counted = NetworkPath {
            listens: Some(self.listens),
            sender: self.receiver.sender().map(|(_, sender)| address(sender)).or(before.sender),
            senders: before.senders + counts.senders,
            packets: before.packets + counts.packets,
            bytes: before.bytes + counts.bytes,
            lost: before.lost + counts.lost,
            late: before.late + counts.late,
            duplicate: before.duplicate + counts.duplicate,
            strange: before.strange + counts.strange + self.reports.strange + self.own,
            unusable: before.unusable + counts.not_rtp + counts.other_payload,
            jitter: self.reports.session.jitter(),
            keyframes_asked: before.keyframes_asked + self.reports.session.keyframes_asked(),
        };
        out.network(*self.counted);
    }

    /// Why there was no picture since the last one.
    fn cause(&self) -> String {
        let (now, then) = (self.receiver.counts(), self.at_picture);
        let counts = Counts {
            packets: now.packets - then.packets,
            strange: now.strange - then.strange,
            not_rtp: now.not_rtp - then.not_rtp,
            other_payload: now.other_payload - then.other_payload,
            ..Counts::default()
        };
        let other_payload_type = self.receiver.other_payload_type();
        let came = Came { own: self.own, counts, other_payload_type, fault: self.pictures.fault.as_deref() };
        silence::cause(self.settings, self.listens, self.options.silence_timeout, came)
    }
}

/// Ends the participation in RTCP when the run ends, also where it is dropped amid it.
struct Farewell<'s, 'a> {
    session: &'s mut Session<'a>,
    sockets: Option<Sockets>,
}

impl Drop for Farewell<'_, '_> {
    fn drop(&mut self) {
        self.session.sockets = self.sockets.take();
        self.session.say_goodbye();
    }
}

/// Whether a datagram on RTP's port is RTCP: packet types from 192 to 223 are no payload types (RFC 5761 4).
fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, 192..=223, ..] if first >> 6 == 2)
}

/// Waits for a datagram of RTCP; for ever where there is none.
async fn receive_rtcp(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> (usize, SocketAddr) {
    let Some(socket) = socket else { return std::future::pending().await };
    loop {
        // It lets others have their turn while more is there. A port where nobody listens may be reported here, and is no reason
        // to stop.
        if let Ok(received) = socket.recv_from(buffer).await {
            return received;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_whose_numbers_jump_all_the_time_does_not_fill_the_log() {
        let mut beginnings = Beginnings::default();
        let (one, other) = ("192.0.2.1:5000".parse().unwrap(), "192.0.2.2:5000".parse().unwrap());
        let said = (0..30_000).filter(|&milli| beginnings.is_news(Duration::from_millis(milli), one)).count();
        assert_eq!(said, 3);
        assert!(beginnings.is_news(Duration::from_secs(30), other), "another one is always news");
    }

    #[test]
    fn rtcp_is_told_from_rtp() {
        assert!(is_rtcp(&[0x80, 200, 0, 6]) && is_rtcp(&[0x81, 206, 0, 2]));
        assert!(
            !is_rtcp(&[0x80, 26]) && !is_rtcp(&[0x80, 0x80 | 96]) && !is_rtcp(&[0, 200]) && !is_rtcp(&[])
        );
    }
}
