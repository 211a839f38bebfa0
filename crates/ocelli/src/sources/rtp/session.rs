//! One run of the receiver: datagrams in, pictures out, reports back.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ocelli_hub::{NetworkPath, Publisher, SourceError, StreamName};
use ocelli_media::Track;
use ocelli_proto::rtp::receive::Counts;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use super::Sockets;
use super::settings::Settings;
use super::silence::{self, Came};
use crate::sources::SourceOptions;
use crate::sources::received::{Announced, Asking, CameraClock, Moment, TrackIntake, TrackSetup, is_rtcp};
use crate::udp::{Datagram, is_own};

/// How often the numbers are told when no picture comes.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// The source ends a little before the hub would end it: it knows better words.
const PART_OF_SILENCE: f64 = 0.98;
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
    track: TrackIntake,
    clock: CameraClock,
    announced: Announced,
    /// Where the sender's RTCP comes from, and whether it comes to RTP's port.
    peer: Option<(SocketAddr, bool)>,
    /// What is to be sent by RTCP.
    report: Vec<u8>,
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

impl<'a> Session<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        options: &'a SourceOptions,
        name: &str,
        sockets: Sockets,
        counted: &'a mut NetworkPath,
    ) -> Self {
        let listens = sockets.rtp.socket().local_addr().unwrap_or(settings.listen.address);
        let track = Track::video(settings.codec, None, settings.parameter_sets.clone());
        let announced = Announced::new([&track]);
        let setup = TrackSetup {
            track,
            packets: settings.setup(options.max_frame_bytes),
            cname: name.to_owned(),
            unicast: !settings.listen.address.ip().is_multicast(),
            asking: Asking::EXPECTED,
        };
        Self {
            settings,
            options,
            listens,
            origin: Instant::now(),
            track: TrackIntake::new(Duration::ZERO, setup),
            clock: CameraClock::default(),
            announced,
            peer: None,
            report: Vec::new(),
            sockets: Some(sockets),
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
                () = out.keyframe_wanted() => self.track.want_keyframe(),
                () = &mut timer => {}
            }
            self.publish(out);
            let now = self.origin.elapsed();
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
        let due = self.track.deadline(self.settings.rtcp);
        self.silent_at().min(self.told + TELL_EVERY).min(due)
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
            self.publish(out);
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
        if self.track.packet(arrived, from, bytes) {
            self.peer = None;
        }
    }

    /// Whether a packet is one that this camera was sent by from here. The sender that is listened to is not.
    fn is_own(&self, bytes: &[u8], from: SocketAddr, camera: &StreamName) -> bool {
        let Some(&[a, b, c, d]) = bytes.get(8..12) else { return false };
        let ssrc = u32::from_be_bytes([a, b, c, d]);
        self.track.sender().is_none_or(|(heard, _)| heard != ssrc) && is_own(camera, ssrc, from.ip())
    }

    /// Reads RTCP, which may come to RTP's port as well (RFC 5761).
    fn hear(&mut self, from: SocketAddr, bytes: &[u8], to_rtp: bool) {
        let sender = self.track.sender().map(|(_, address)| address.ip());
        let only =
            self.settings.from.or(sender).filter(|_| !self.settings.listen.address.ip().is_multicast());
        if !self.settings.rtcp || only.is_some_and(|only| only.to_canonical() != from.ip().to_canonical()) {
            self.track.strange_report();
            return;
        }
        // What is waiting to be sent was said before.
        if self.track.report(self.origin.elapsed(), bytes, &mut self.report).is_ok()
            && sender.is_some_and(|sender| sender == from.ip())
        {
            self.peer = Some((from, to_rtp));
        }
    }

    /// Publishes what has become whole.
    fn publish(&mut self, out: &mut Publisher) {
        let now = Moment::now(self.origin);
        self.track.expire(now.since);
        let came = self.track.publish(now, &mut self.clock, &mut self.announced, out);
        if let Some((ssrc, from)) = self.track.take_began()
            && self.beginnings.is_news(now.since, from)
        {
            tracing::info!(camera = %out.name(), %from, ssrc = format!("{ssrc:08x}"), "a sender began");
        }
        if came {
            self.last_picture = now.since;
            self.at_picture = self.track.counts();
            self.tell(out);
        }
    }

    /// Sends what RTCP has to say.
    fn report(&mut self, now: Duration, sockets: &Sockets) {
        if !self.settings.rtcp {
            return;
        }
        self.track.poll(now, &mut self.report);
        self.send(sockets);
    }

    fn say_goodbye(&mut self) {
        if !self.settings.rtcp {
            return;
        }
        let Some(sockets) = self.sockets.take() else { return };
        self.track.bye(self.origin.elapsed(), &mut self.report);
        self.send(&sockets);
        self.sockets = Some(sockets);
    }

    /// To where the sender's RTCP comes from; before any has come, to the port behind its RTP's. What cannot be sent is repeated
    /// with the next report.
    fn send(&mut self, sockets: &Sockets) {
        if self.report.is_empty() {
            return;
        }
        let (peer, to_rtp) = match (self.peer, self.track.sender()) {
            (Some(peer), _) => peer,
            (None, Some((_, address))) if self.settings.rtcp_on_rtp => (address, true),
            (None, Some((_, mut address))) => {
                address.set_port(address.port().saturating_add(1));
                (address, false)
            }
            (None, None) => return self.report.clear(),
        };
        let socket = if to_rtp { Some(sockets.rtp.socket()) } else { sockets.rtcp.as_ref() };
        if let Some(Err(error)) = socket.map(|socket| socket.try_send_to(&self.report, peer)) {
            tracing::debug!(%peer, "a report could not be sent: {error}");
        }
        self.report.clear();
    }

    /// Tells the numbers.
    fn tell(&mut self, out: &mut Publisher) {
        let before = NetworkPath { listens: Some(self.listens), jitter: Duration::ZERO, ..self.before };
        *self.counted = before;
        self.track.add_to(self.counted);
        self.counted.strange += self.own;
        out.network(*self.counted);
    }

    /// Why there was no picture since the last one.
    fn cause(&self) -> String {
        let (now, then) = (self.track.counts(), self.at_picture);
        let counts = Counts {
            packets: now.packets - then.packets,
            strange: now.strange - then.strange,
            not_rtp: now.not_rtp - then.not_rtp,
            other_payload: now.other_payload - then.other_payload,
            ..Counts::default()
        };
        let other_payload_type = self.track.other_payload_type();
        let came = Came { own: self.own, counts, other_payload_type, fault: self.track.fault() };
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
}
