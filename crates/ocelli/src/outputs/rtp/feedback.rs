//! What a target's receivers say of its packets (RTCP, RFC 3550 section 6), and what is done about it.
//!
//! Reports go to the port above the target's from the port above ours, and come back there; to a group they go as the
//! pictures do, and the port of the group is listened at. Reports of one host are believed only from that host. Where
//! the port above ours is taken there are none, and nothing else is missing.

use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use ocelli_hub::StreamName;
use ocelli_media::MediaTime;
use ocelli_proto::rtcp::adapt::{Adaptation, Bounds, Gate, Step};
use ocelli_proto::rtcp::{Report, SenderSession, SenderSetup, SentPicture};
use ocelli_proto::rtp::HEADER_BYTES;
use socket2::SockRef;
use tokio::time::{Instant, Sleep};

use super::address::PushAddress;
use super::bursts::RtpPicture;
use super::line::Sent;
use super::stats::{PushFeedback, PushStats};
use crate::udp::{Interface, join_group};

/// A compound packet of 31 blocks and a name of 255 bytes fits.
const DATAGRAM_BYTES: usize = 1500;
/// How long the camera's rate is measured before it is believed.
const MEASURE: Duration = Duration::from_secs(1);
/// What the newest measurement of the camera's rate weighs.
const NEWEST_WEIGHS: f64 = 0.2;

/// What the receivers of a target want of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// One of them cannot go on without a keyframe.
    Keyframe,
    /// Somebody else sends with this target's number.
    Collision,
}

/// A stream's participation in RTCP, for a target that goes on with it.
pub(super) struct Reporting {
    session: SenderSession,
    began: Instant,
}

/// The reports of one target.
pub(super) struct Feedback {
    /// Whose pictures go where, for the log.
    name: StreamName,
    to: String,
    session: SenderSession,
    adaptation: Adaptation,
    gate: Gate,
    camera: CameraRate,
    /// Pictures stand for themselves, so that any may be left out.
    thins: bool,
    began: Instant,
    way: Option<Way>,
    /// Wakes at `due`.
    timer: Pin<Box<Sleep>>,
    due: Duration,
    datagram: Box<[u8; DATAGRAM_BYTES]>,
    out: Vec<u8>,
    reports: Vec<Report>,
    stats: Arc<PushStats>,
    /// The stream ends with this.
    says_farewell: bool,
}

/// Where reports go and come from.
struct Way {
    socket: tokio::net::UdpSocket,
    /// Where receivers of a group report to all of it.
    group: Option<tokio::net::UdpSocket>,
    target: SocketAddr,
}

impl Way {
    fn new(socket: UdpSocket, rtp_target: SocketAddr, interface: Option<&Interface>) -> Option<Self> {
        let mut target = rtp_target;
        target.set_port(rtp_target.port().checked_add(1)?);
        let group = target.ip().is_multicast().then(|| join_group(target, interface));
        let group = group.and_then(|joined| {
            joined.inspect_err(|why| tracing::info!("reports to the group are not heard: {why}")).ok()
        });
        let watched = |socket| tokio::net::UdpSocket::from_std(socket).ok();
        Some(Self { socket: watched(socket)?, group: group.and_then(watched), target })
    }

    /// Waits for a datagram. Cancel-safe.
    async fn receive(&self, datagram: &mut [u8]) -> (usize, SocketAddr) {
        loop {
            let socket = tokio::select! {
                _ = self.socket.readable() => &self.socket,
                group = readable(self.group.as_ref()) => group,
            };
            // Where the host refuses reports, which many players do, there is nothing to read.
            if let Ok(received) = socket.try_recv_from(datagram) {
                return received;
            }
        }
    }
}

async fn readable(socket: Option<&tokio::net::UdpSocket>) -> &tokio::net::UdpSocket {
    let Some(socket) = socket else { return std::future::pending().await };
    let _ = socket.readable().await;
    socket
}

/// How many pictures a second the camera gives, by its own times.
#[derive(Debug, Default)]
struct CameraRate {
    since: Option<i64>,
    pictures: u64,
    fps: f64,
}

impl CameraRate {
    /// Counts `pictures`, the last of which was taken at `ticks`. Whether there is a new measurement.
    fn count(&mut self, ticks: i64, pictures: u64) -> bool {
        let Some(since) = self.since else {
            self.since = Some(ticks);
            return false;
        };
        self.pictures += pictures;
        let passed =
            MediaTime::new(ticks, MediaTime::VIDEO_RATE).since(MediaTime::new(since, MediaTime::VIDEO_RATE));
        if passed < MEASURE {
            return false;
        }
        let newest = self.pictures as f64 / passed.as_secs_f64();
        self.fps += (newest - self.fps) * if self.fps == 0.0 { 1.0 } else { NEWEST_WEIGHS };
        (self.since, self.pictures) = (Some(ticks), 0);
        true
    }
}

impl Feedback {
    /// Reports about what is sent to `address`. Silent until it is opened.
    pub(super) fn new(
        name: &StreamName,
        address: &PushAddress,
        bounds: Bounds,
        stats: Arc<PushStats>,
    ) -> Self {
        let is_group = address.host().parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_multicast());
        let setup = SenderSetup {
            ssrc: stats.ssrc(),
            cname: cname().to_owned(),
            rate: MediaTime::VIDEO_RATE,
            unicast: !is_group,
            often: true,
        };
        Self {
            name: name.clone(),
            to: address.label().to_owned(),
            session: SenderSession::new(setup),
            adaptation: Adaptation::new(bounds),
            gate: Gate::default(),
            camera: CameraRate::default(),
            thins: false,
            began: Instant::now(),
            way: None,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            due: Duration::ZERO,
            datagram: Box::new([0; DATAGRAM_BYTES]),
            out: Vec::new(),
            reports: Vec::new(),
            stats,
            says_farewell: true,
        }
    }

    /// What another target needs to go on with this one's stream.
    pub(super) fn reporting(&self) -> Reporting {
        Reporting { session: self.session.clone(), began: self.began }
    }

    /// Goes on with another target's stream.
    pub(super) fn go_on(&mut self, reporting: Reporting) {
        (self.session, self.began) = (reporting.session, reporting.began);
    }

    /// Somebody else goes on with the stream.
    pub(super) fn leave_silently(&mut self) {
        self.says_farewell = false;
    }

    /// There is a way to `target`, which is where RTP goes, and perhaps a socket for reports.
    pub(super) fn open(
        &mut self,
        socket: Option<UdpSocket>,
        target: SocketAddr,
        interface: Option<&Interface>,
    ) {
        self.close();
        self.way = socket.and_then(|socket| Way::new(socket, target, interface));
        self.show();
    }

    /// There is no way to the target any more.
    pub(super) fn close(&mut self) {
        self.way = None;
        self.show();
    }

    /// Whether a picture of `ticks` on the target's line is to be sent, or left out to lower the rate. `behind` others were before
    /// it.
    pub(super) fn passes(&mut self, picture: &RtpPicture, ticks: i64, behind: u64) -> bool {
        // A notice has a rate of its own; and where pictures need one another none can be left out.
        if picture.notice {
            return true;
        }
        self.thins = picture.alone;
        if !picture.alone {
            return true;
        }
        if self.camera.count(ticks, behind + 1) {
            // Those of a way that is closed report no more.
            let receivers = if self.way.is_some() { self.session.audience().receivers } else { 0 };
            if self.adaptation.poll(self.began.elapsed(), self.camera.fps, receivers) {
                let sent = in_words(self.adaptation.step());
                tracing::info!(camera = %self.name, to = %self.to, "RTP push: more is sent again: {sent}");
                self.show();
            }
            // It may be time to tell the variant again.
            self.is_own_charge();
        }
        self.gate.passes(self.adaptation.step().fraction)
    }

    /// Whether what is sent is adapted here, and not by the variant that it is.
    fn is_own_charge(&self) -> bool {
        let step = self.adaptation.step();
        let whole = step.quality.is_none() && step.fraction.part() >= 1.0;
        self.stats.is_own_charge(whole, self.thins)
    }

    /// The quality that pictures are to be encoded in; `None`: as they are.
    pub(super) fn quality(&self) -> Option<u8> {
        self.adaptation.step().quality
    }

    /// Counts what was sent of a picture.
    pub(super) fn sent(
        &mut self,
        sent: &Sent,
        last_sequence: u16,
        timestamp: u32,
        captured: Option<SystemTime>,
    ) {
        if self.way.is_none() || sent.packets == 0 {
            return;
        }
        let picture = SentPicture {
            packets: sent.packets as u32,
            payload_bytes: (sent.bytes - HEADER_BYTES * sent.packets) as u64,
            last_sequence,
            timestamp,
            // A picture whose time is not known is taken for one of this moment.
            captured: captured.unwrap_or_else(SystemTime::now),
        };
        self.session.sent(self.began.elapsed(), &picture, &mut fastrand::f64);
    }

    /// Waits until the receivers want something; meanwhile, sends reports and reads them. Cancel-safe.
    pub(super) async fn event(&mut self) -> Event {
        loop {
            self.arm();
            let Some(way) = &self.way else { return std::future::pending().await };
            tokio::select! {
                (length, from) = way.receive(&mut self.datagram[..]) => {
                    if let Some(event) = self.read(length, from) {
                        return event;
                    }
                }
                () = &mut self.timer => self.write(),
            }
        }
    }

    fn arm(&mut self) {
        let due = self.session.due();
        if due != self.due || self.timer.is_elapsed() {
            self.due = due;
            let at = self.began.checked_add(due).unwrap_or_else(|| Instant::now() + IDLE);
            self.timer.as_mut().reset(at);
        }
    }

    fn read(&mut self, length: usize, from: SocketAddr) -> Option<Event> {
        let Some(way) = &self.way else { return None };
        let expected = way.target.ip();
        if !expected.is_multicast() && from.ip().to_canonical() != expected.to_canonical() {
            self.stats.stranger();
            return None;
        }
        let now = self.began.elapsed();
        let heard = match self.session.datagram(now, &self.datagram[..length], &mut self.reports) {
            Ok(heard) => heard,
            Err(error) => {
                self.stats.stranger();
                tracing::debug!(%from, "no RTCP: {error}");
                return None;
            }
        };
        let is_own = self.is_own_charge();
        for report in self.reports.drain(..) {
            if !is_own {
                self.stats.receipts.add(&report, self.began.into_std(), std::time::Instant::now());
            } else if self.thins && self.adaptation.report(now, &report) {
                let percent = 100.0 * self.adaptation.bad_loss();
                let sent = in_words(self.adaptation.step());
                tracing::info!(camera = %self.name, to = %self.to, "RTP push: a receiver at {from} reports {percent:.0} % loss: {sent}");
            }
        }
        self.show();
        if heard.collision {
            return Some(Event::Collision);
        }
        heard.keyframe.then_some(Event::Keyframe)
    }

    fn write(&mut self) {
        self.out.clear();
        let now = self.began.elapsed();
        if self.session.poll(now, SystemTime::now(), &mut fastrand::f64, &mut self.out) {
            self.send();
            self.show();
        }
    }

    /// Takes another number.
    pub(super) fn change_ssrc(&mut self, ssrc: u32) {
        self.out.clear();
        if self.session.change_ssrc(self.began.elapsed(), SystemTime::now(), ssrc, &mut self.out) {
            self.send();
        }
        self.show();
    }

    /// Past the runtime, which may be going down: a report that cannot be sent at once is not worth waiting for.
    fn send(&self) {
        if let Some(way) = &self.way
            && let Err(error) = SockRef::from(&way.socket).send_to(&self.out, &way.target.into())
        {
            tracing::debug!(to = %way.target, "a report was not sent: {error}");
        }
    }

    fn show(&self) {
        let audience = self.session.audience();
        self.stats.set_feedback(self.way.is_some().then(|| PushFeedback {
            audience,
            counts: self.session.counts(),
            last_report: audience.last_heard.and_then(|heard| self.began.into_std().checked_add(heard)),
            step: self.adaptation.step(),
            by_variant: !self.is_own_charge(),
        }));
    }
}

/// Says farewell.
impl Drop for Feedback {
    fn drop(&mut self) {
        self.out.clear();
        if self.says_farewell && self.session.bye(self.began.elapsed(), SystemTime::now(), &mut self.out) {
            self.send();
        }
    }
}

/// What is sent, for the person who owns the camera.
fn in_words(step: Step) -> String {
    let pictures = match (step.fraction.send, step.fraction.of) {
        (1, 1) => "every picture is sent".to_owned(),
        (1, 2) => "every second picture is sent".to_owned(),
        (1, 3) => "every third picture is sent".to_owned(),
        (1, of) => format!("1 of {of} pictures is sent"),
        (send, of) => format!("{send} of {of} pictures are sent"),
    };
    match step.quality {
        Some(quality) => format!("{pictures}, in quality {quality}"),
        None => pictures,
    }
}

/// How long the timer sleeps while nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// This program's name in reports: 96 random bits, the same as long as it runs (RFC 7022 section 4.2).
fn cname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| format!("{:024x}", fastrand::u128(..) >> 32))
}

#[cfg(test)]
mod tests {
    use ocelli_proto::rtcp::adapt::Fraction;

    use super::*;

    #[test]
    fn the_cameras_rate_is_that_of_its_own_times() {
        let mut rate = CameraRate::default();
        assert!(!rate.count(1000, 1));
        let measured: Vec<bool> = (1..=60).map(|picture| rate.count(1000 + 3000 * picture, 1)).collect();
        assert_eq!(measured.iter().filter(|measured| **measured).count(), 2);
        assert!((rate.fps - 30.0).abs() < 1e-9, "{}", rate.fps);
        // Pictures that were passed over are the camera's too.
        for picture in 1..=300 {
            rate.count(181_000 + 12_000 * picture, 2);
        }
        assert!((14.9..16.0).contains(&rate.fps), "{}", rate.fps);
    }

    #[test]
    fn what_is_sent_is_told_in_words() {
        let words = |send, of, quality| in_words(Step { fraction: Fraction { send, of }, quality });
        assert_eq!(words(1, 1, None), "every picture is sent");
        assert_eq!(words(1, 2, Some(60)), "every second picture is sent, in quality 60");
        assert_eq!(
            (words(3, 4, None), words(1, 32, None)),
            ("3 of 4 pictures are sent".into(), "1 of 32 pictures is sent".into())
        );
    }

    #[test]
    fn the_name_is_random_and_stays() {
        assert!(cname().len() == 24 && cname() == cname());
    }
}
