//! What a receiver of one RTP stream says and hears by RTCP (RFC 3550 section 6, feedback by RFC 4585).
//!
//! The caller owns sockets, clock and dice, and calls in this order:
//!
//! 1. [`ReceiverSession::new`] when the port is open.
//! 2. For each RTP packet that comes: first whatever sorts the packets ([`crate::rtp::reorder`]); where that says that a
//!    sender's packets begin, [`started`](ReceiverSession::started); then [`packet`](ReceiverSession::packet), for every
//!    packet as it came, early, late and twice alike.
//! 3. For each RTCP datagram that comes: [`datagram`](ReceiverSession::datagram). Behind it,
//!    [`captured`](ReceiverSession::captured) knows the wall clock time of a timestamp, if the sender tells it.
//! 4. Where a picture cannot be shown until a keyframe comes: [`want_keyframe`](ReceiverSession::want_keyframe), as often as
//!    one likes; when it has come, [`keyframe_came`](ReceiverSession::keyframe_came).
//! 5. At [`due`](ReceiverSession::due), which each call above may move: [`poll`](ReceiverSession::poll). What it writes is one
//!    datagram for the sender's RTCP address: where its RTCP came from, else the port above its RTP's.
//! 6. At the end: [`bye`](ReceiverSession::bye).
//!
//! Times are since an origin of the caller's, the same for all calls. It writes nothing before a sender's packets have begun,
//! nor after the sender has left. Reports of others about the sender are not kept. No authentication: that is SRTCP's.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use super::members::Members;
use super::origin::{Collisions, Origin, origin};
use super::schedule::{Crowd, Schedule};
use super::{Clock, Compound, Packet, Reception, ReportBlock, RtcpError, Rules, SenderInfo, write};

/// How a receiver takes part.
#[derive(Clone, Debug)]
pub struct ReceiverSetup {
    /// Its own name: random (RFC 3550 8.1).
    pub ssrc: u32,
    /// Its name across sessions and restarts of streams, best a random one of 96 bits or more (RFC 7022).
    pub cname: String,
    /// Ticks a second of the stream's timestamps.
    pub rate: NonZeroU32,
    /// Whether sender and receiver are alone. Where they are not, reports come at 5 s or more, and requests for keyframes wait
    /// a random time, so that a thousand receivers do not ask at once.
    pub unicast: bool,
    /// The shortest time between two requests for a keyframe.
    pub keyframe_wait: Duration,
}

/// What a datagram brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiverHeard {
    /// The sender told its clock, which [`ReceiverSession::captured`] knows from here on.
    pub clock: bool,
    /// The sender has left. It may begin anew at any time.
    pub left: bool,
    /// Somebody else has the name of this receiver, which had best take another:
    /// [`ReceiverSession::change_ssrc`] (RFC 3550 8.2). Told at most once in 10 s.
    pub collision: bool,
}

/// The receiver's side of one stream.
#[derive(Clone, Debug)]
pub struct ReceiverSession {
    setup: ReceiverSetup,
    schedule: Schedule,
    members: Members<()>,
    sender: Option<Remote>,
    /// A report of somebody whose packets have not begun.
    early: Option<(u32, SenderInfo, Duration)>,
    keyframe: Requests,
    collisions: Collisions,
    /// Reports written.
    reports: u64,
}

/// Whose packets come.
#[derive(Clone, Debug)]
struct Remote {
    reception: Reception,
    clock: Option<Clock>,
    /// A packet came since the last report.
    heard: bool,
    left: bool,
}

/// Requests for keyframes.
#[derive(Clone, Copy, Debug, Default)]
struct Requests {
    /// While one is missing: when to ask.
    ask: Option<Duration>,
    /// When it was last asked for, by this receiver or another.
    asked: Option<Duration>,
    /// How often this receiver has asked.
    sent: u64,
}

impl ReceiverSession {
    /// Begins at `now`. `random` gives numbers equally likely to be anything from 0 to 1, here and in all other calls.
    pub fn new(now: Duration, setup: ReceiverSetup, random: &mut dyn FnMut() -> f64) -> Self {
        let crowd = Crowd { members: 2, senders: 1, we_send: false };
        Self {
            schedule: Schedule::new(now, setup.unicast, crowd, random),
            setup,
            members: Members::new(),
            sender: None,
            early: None,
            keyframe: Requests::default(),
            collisions: Collisions::default(),
            reports: 0,
        }
    }

    /// A sender's packets begin, or its numbers begin anew: all that was known of the one before is forgotten.
    pub fn started(&mut self, now: Duration, ssrc: u32, random: &mut dyn FnMut() -> f64) {
        let mut reception = Reception::new(ssrc, self.setup.rate);
        let mut clock = None;
        if let Some((_, info, arrived)) = self.early.take_if(|(early, ..)| *early == ssrc) {
            reception.sender_report(arrived, info.ntp);
            clock = Clock::new(&info, self.setup.rate);
        }
        self.members.hear(now, ssrc).sends = true;
        let first = self.sender.is_none();
        self.sender = Some(Remote { reception, clock, heard: true, left: false });
        if first {
            self.schedule = Schedule::new(now, self.setup.unicast, self.crowd(), random);
        }
    }

    /// Counts an RTP packet of `bytes` that came at `now`. One of another than the sender is passed over.
    pub fn packet(&mut self, now: Duration, ssrc: u32, sequence: u16, timestamp: u32, bytes: usize) {
        let Some(remote) = self.sender.as_mut().filter(|remote| remote.reception.ssrc() == ssrc) else {
            return;
        };
        remote.reception.packet(now, sequence, timestamp);
        (remote.heard, remote.left) = (true, false);
        self.schedule.media(bytes as u64);
    }

    /// Reads a datagram that came at `now`.
    ///
    /// # Errors
    /// It is no RTCP.
    pub fn datagram(
        &mut self,
        now: Duration,
        datagram: &[u8],
        random: &mut dyn FnMut() -> f64,
    ) -> Result<ReceiverHeard, RtcpError> {
        let compound = Compound::parse(datagram, Rules::ReducedSize)?;
        let mut heard = ReceiverHeard::default();
        match origin(&compound, self.setup.ssrc, &self.setup.cname) {
            Origin::Others => {}
            Origin::Own => return Ok(heard),
            Origin::Collision => {
                heard.collision = self.collisions.is_told(now);
                return Ok(heard);
            }
        }
        self.schedule.heard(datagram.len());
        for packet in compound.packets() {
            self.read(now, &packet, &mut heard, random);
        }
        Ok(heard)
    }

    fn read(
        &mut self,
        now: Duration,
        packet: &Packet<'_>,
        heard: &mut ReceiverHeard,
        random: &mut dyn FnMut() -> f64,
    ) {
        let sender = self.sender_ssrc();
        match *packet {
            Packet::SenderReport { ssrc, info, .. } => {
                self.members.hear(now, ssrc).sends = true;
                match self.sender.as_mut().filter(|remote| remote.reception.ssrc() == ssrc) {
                    Some(remote) => {
                        remote.reception.sender_report(now, info.ntp);
                        let clock = Clock::new(&info, self.setup.rate);
                        heard.clock = clock.is_some();
                        remote.clock = clock.or(remote.clock);
                    }
                    None => self.early = Some((ssrc, info, now)),
                }
            }
            Packet::ReceiverReport { ssrc, .. } => self.members.hear(now, ssrc).sends = false,
            Packet::Bye { ssrc: Some(ssrc) } => {
                if self.members.leave(ssrc) {
                    self.schedule.left(now, self.crowd().members);
                }
                if let Some(remote) = self.sender.as_mut().filter(|remote| remote.reception.ssrc() == ssrc) {
                    remote.left = true;
                    heard.left = true;
                }
            }
            // Another receiver has asked for the same: the answer will serve both (RFC 4585 3.5.2).
            Packet::PictureLoss { media, .. } | Packet::FullIntraRequest { media, .. }
                if Some(media) == sender =>
            {
                self.keyframe.asked = Some(now);
                if self.keyframe.ask.is_some() {
                    self.keyframe.ask = Some(self.next_request(now, random));
                }
            }
            _ => {}
        }
    }

    /// The next picture that can be shown is a keyframe, which is asked for as soon as requests may follow one another.
    pub fn want_keyframe(&mut self, now: Duration, random: &mut dyn FnMut() -> f64) {
        if self.keyframe.ask.is_none() {
            self.keyframe.ask = Some(self.next_request(now, random));
        }
    }

    /// The keyframe that was wanted has come.
    pub fn keyframe_came(&mut self) {
        self.keyframe.ask = None;
    }

    fn next_request(&self, now: Duration, random: &mut dyn FnMut() -> f64) -> Duration {
        let apart = self.keyframe.asked.map(|asked| asked.saturating_add(self.setup.keyframe_wait));
        // In a group the others may ask first.
        let dither = if self.setup.unicast { 0.0 } else { random().clamp(0.0, 1.0) };
        now.saturating_add(self.setup.keyframe_wait.mul_f64(dither / 2.0)).max(apart.unwrap_or(now))
    }

    /// When [`poll`](Self::poll) has something to do; [`Duration::MAX`] while there is nobody to report to.
    pub fn due(&self) -> Duration {
        match &self.sender {
            Some(remote) if !remote.left => {
                self.schedule.due().min(self.keyframe.ask.unwrap_or(Duration::MAX))
            }
            _ => Duration::MAX,
        }
    }

    /// Appends the datagram to send at `now`, if one is due. Whether it did.
    pub fn poll(&mut self, now: Duration, random: &mut dyn FnMut() -> f64, out: &mut Vec<u8>) -> bool {
        if now < self.due() {
            return false;
        }
        if self.members.expire(now, self.schedule.timeout(self.crowd())) {
            self.schedule.left(now, self.crowd().members);
        }
        let ask = self.keyframe.ask.is_some_and(|ask| now >= ask);
        let crowd = self.crowd();
        if !ask && !self.schedule.is_due(now, crowd, random) {
            return false;
        }
        let from = out.len();
        self.report(now, out);
        if let (true, Some(media)) = (ask, self.sender_ssrc()) {
            write::picture_loss(self.setup.ssrc, media, out);
            self.keyframe.asked = Some(now);
            self.keyframe.sent += 1;
            self.keyframe.ask = Some(now.saturating_add(self.setup.keyframe_wait));
        }
        self.schedule.sent(now, out.len() - from, crowd, random);
        true
    }

    /// Appends the datagram that ends the participation. Whether there is somebody to tell.
    pub fn bye(&mut self, now: Duration, out: &mut Vec<u8>) -> bool {
        // Who never said anything says no farewell (RFC 3550 6.3.7).
        let tell = self.reports > 0 && self.sender.as_ref().is_some_and(|remote| !remote.left);
        if tell {
            self.report(now, out);
            write::bye(self.setup.ssrc, out);
        }
        tell
    }

    /// Takes another name, and appends the datagram with which the old one leaves. Whether there is somebody to tell.
    pub fn change_ssrc(&mut self, now: Duration, ssrc: u32, out: &mut Vec<u8>) -> bool {
        let told = self.bye(now, out);
        self.setup.ssrc = ssrc;
        told
    }

    fn report(&mut self, now: Duration, out: &mut Vec<u8>) {
        let ssrc = self.setup.ssrc;
        // A block is for a sender that was heard since the last one (RFC 3550 6.4).
        let block: Option<ReportBlock> = self.sender.as_mut().filter(|remote| remote.heard).map(|remote| {
            remote.heard = false;
            remote.reception.report(now)
        });
        write::receiver_report(ssrc, block.as_slice(), out);
        write::cname(ssrc, &self.setup.cname, out);
        self.reports += 1;
    }

    /// The sender whose packets come.
    pub fn sender_ssrc(&self) -> Option<u32> {
        self.sender.as_ref().map(|remote| remote.reception.ssrc())
    }

    /// When what has this timestamp was taken, by the sender's clock: `None` until the sender has told it. The clock is as right
    /// as the sender's is.
    pub fn captured(&self, timestamp: u32) -> Option<SystemTime> {
        self.sender.as_ref()?.clock?.at(timestamp)
    }

    /// Mean deviation of the packets' spacing.
    pub fn jitter(&self) -> Duration {
        self.sender.as_ref().map(|remote| remote.reception.jitter()).unwrap_or_default()
    }

    /// Reports written so far.
    pub fn reports(&self) -> u64 {
        self.reports
    }

    /// Keyframes asked for so far.
    pub fn keyframes_asked(&self) -> u64 {
        self.keyframe.sent
    }

    fn crowd(&self) -> Crowd {
        // The sender counts also before its first report.
        Crowd {
            members: self.members.count().max(1) + 1,
            senders: self.members.senders().max(1),
            we_send: false,
        }
    }
}

#[cfg(test)]
mod tests;
