//! What a sender of one RTP stream says and hears by RTCP (RFC 3550 section 6, feedback by RFC 4585 and RFC 5104).
//!
//! The caller owns sockets, clocks and dice, and calls in this order:
//!
//! 1. [`SenderSession::new`] when the stream has its SSRC.
//! 2. Where its clock is to be told before the first packet: [`begin`](SenderSession::begin). For each picture whose packets went out: [`sent`](SenderSession::sent).
//! 3. For each RTCP datagram that comes: [`datagram`](SenderSession::datagram), which gives out what each report says and
//!    whether a keyframe is wanted.
//! 4. At [`due`](SenderSession::due), which each call above may move: [`poll`](SenderSession::poll). What it writes is one
//!    datagram for the receivers' RTCP address.
//! 5. At the end: [`bye`](SenderSession::bye).
//!
//! Times are since an origin of the caller's, the same for all calls; the wall clock is an argument beside, for reports carry
//! it, and may be set at any time. It writes nothing before the stream has begun. At most 64 participants are remembered. No
//! authentication: that is SRTCP's. What a report says is taken for true where it does not contradict itself.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use super::listener::{Listener, Sent};
use super::members::Members;
use super::origin::{Collisions, Origin, origin};
use super::schedule::{Crowd, Schedule};
use super::{Blocks, Compound, NtpTime, Packet, ReportBlock, RtcpError, Rules, SenderInfo, write};

/// Keyframes are as large as many pictures: who asks more often than this is not heeded.
const KEYFRAMES_APART: Duration = Duration::from_millis(500);

/// How a sender takes part.
#[derive(Clone, Debug)]
pub struct SenderSetup {
    /// Its stream's name: random (RFC 3550 8.1), or agreed upon.
    pub ssrc: u32,
    /// Its name across streams and their restarts, best a random one of 96 bits or more (RFC 7022).
    pub cname: String,
    /// Ticks a second of the stream's timestamps.
    pub rate: NonZeroU32,
    /// Whether there is one receiver: the first report goes out with the first picture then.
    pub unicast: bool,
    /// Whether reports of a fast stream come more often than each five seconds or so (RFC 3550 6.2).
    pub often: bool,
}

/// The packets of one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentPicture {
    /// How many.
    pub packets: u32,
    /// What is in them behind the RTP headers.
    pub payload_bytes: u64,
    /// The last one's number.
    pub last_sequence: u16,
    /// Their timestamp.
    pub timestamp: u32,
    /// The wall clock when the picture was taken: with the timestamp, what reports tell of the stream's clock.
    pub captured: SystemTime,
}

/// What a datagram brought, beside reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderHeard {
    /// A receiver cannot go on without a keyframe. Told at most twice a second.
    pub keyframe: bool,
    /// Somebody else sends with this stream's name, which had best take another:
    /// [`SenderSession::change_ssrc`] (RFC 3550 8.2). Told at most once in 10 s.
    pub collision: bool,
}

/// What one receiver's report says of the time since the report before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The receiver.
    pub receiver: u32,
    /// When the report before it came.
    pub since: Duration,
    /// Packets that it should have got meanwhile: 1 or more.
    pub expected: u32,
    /// Those of them that it did not get.
    pub lost: u32,
    /// How long a packet takes there and back, where that is known.
    pub round_trip: Option<Duration>,
}

/// What the receivers say, taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Audience {
    /// Those that have reported about this stream and are not gone.
    pub receivers: u32,
    /// The part of the packets that the one with the worst last report has lost, 0 to 1.
    pub worst_loss: f64,
    /// The mean of all of these.
    pub mean_loss: f64,
    /// The most packets that one of them has lost since it began; below zero where packets came twice.
    pub lost: i32,
    /// The largest mean deviation of the packets' spacing.
    pub jitter: Duration,
    /// The longest way there and back, where one is known.
    pub round_trip: Option<Duration>,
    /// The highest sequence number that one of them has got, the first one's if they are far apart.
    pub highest: Option<u16>,
    /// When the last report about this stream came.
    pub last_heard: Option<Duration>,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderCounts {
    /// Reports written.
    pub reports_sent: u64,
    /// Blocks about this stream that came.
    pub reports: u64,
    /// Those of them that contradict themselves, or what was sent.
    pub contradictory: u64,
    /// Blocks about other streams, passed over.
    pub strangers: u64,
    /// Participants that were forgotten for want of room.
    pub forgotten: u64,
    /// Keyframes that were asked for, also where that was not heeded.
    pub keyframes_asked: u64,
}

/// The sender's side of one stream.
#[derive(Clone, Debug)]
pub struct SenderSession {
    setup: SenderSetup,
    /// `None` before it begins.
    schedule: Option<Schedule>,
    members: Members<Listener>,
    sent: Sent,
    picture: Option<(u32, SystemTime)>,
    /// Packets sent when the last report was written, and the one before.
    sent_before: [u64; 2],
    keyframe: Option<Duration>,
    collisions: Collisions,
    counts: SenderCounts,
}

impl SenderSession {
    /// One that has sent nothing.
    pub fn new(setup: SenderSetup) -> Self {
        Self {
            setup,
            schedule: None,
            members: Members::new(),
            sent: Sent::default(),
            picture: None,
            sent_before: [0; 2],
            keyframe: None,
            collisions: Collisions::default(),
            counts: SenderCounts::default(),
        }
    }

    /// Counts the packets of a picture. `random` gives numbers equally likely to be anything from 0 to 1, here and in all
    /// other calls.
    pub fn sent(&mut self, now: Duration, picture: &SentPicture, random: &mut dyn FnMut() -> f64) {
        self.sent.packets += u64::from(picture.packets);
        self.sent.bytes += picture.payload_bytes;
        self.sent.last_sequence = picture.last_sequence;
        self.picture = Some((picture.timestamp, picture.captured));
        self.start(now, random).media(picture.payload_bytes);
    }

    /// Says what the stream's clock is before its first packet goes out, so that a report can tell it: what has `timestamp` is
    /// taken at `captured`.
    pub fn begin(
        &mut self,
        now: Duration,
        timestamp: u32,
        captured: SystemTime,
        random: &mut dyn FnMut() -> f64,
    ) {
        self.picture = Some((timestamp, captured));
        self.start(now, random);
    }

    fn start(&mut self, now: Duration, random: &mut dyn FnMut() -> f64) -> &mut Schedule {
        let SenderSetup { unicast, often, .. } = self.setup;
        let crowd = self.crowd();
        // To one receiver the first report may go at once (RFC 3550 6.2): it tells when the pictures were taken.
        self.schedule.get_or_insert_with(|| {
            if unicast {
                Schedule::at_once(now, often, crowd)
            } else {
                Schedule::new(now, often, crowd, random)
            }
        })
    }

    /// Reads a datagram that came at `now`, and adds to `reports` what its reports say of the time since the ones before. A
    /// receiver's first report only begins that time.
    ///
    /// # Errors
    /// It is no RTCP.
    pub fn datagram(
        &mut self,
        now: Duration,
        datagram: &[u8],
        reports: &mut Vec<Report>,
    ) -> Result<SenderHeard, RtcpError> {
        let compound = Compound::parse(datagram, Rules::ReducedSize)?;
        let mut heard = SenderHeard::default();
        match origin(&compound, self.setup.ssrc, &self.setup.cname) {
            Origin::Others => {}
            Origin::Own => return Ok(heard),
            Origin::Collision => {
                heard.collision = self.collisions.is_told(now);
                return Ok(heard);
            }
        }
        if let Some(schedule) = &mut self.schedule {
            schedule.heard(datagram.len());
        }
        for packet in compound.packets() {
            self.read(now, &packet, &mut heard, reports);
        }
        Ok(heard)
    }

    fn read(
        &mut self,
        now: Duration,
        packet: &Packet<'_>,
        heard: &mut SenderHeard,
        reports: &mut Vec<Report>,
    ) {
        let us = self.setup.ssrc;
        match *packet {
            Packet::SenderReport { ssrc, ref blocks, .. } => {
                self.members.hear(now, ssrc).sends = true;
                self.read_blocks(now, ssrc, blocks, reports);
            }
            Packet::ReceiverReport { ssrc, ref blocks } => {
                self.members.hear(now, ssrc).sends = false;
                self.read_blocks(now, ssrc, blocks, reports);
            }
            Packet::Bye { ssrc: Some(ssrc) } => {
                self.members.leave(ssrc);
                self.members_left(now);
            }
            Packet::PictureLoss { media, .. } if media == us => self.keyframe_wanted(now, heard),
            Packet::FullIntraRequest { ssrc, media, number } if media == us => {
                let known = &mut self.members.hear(now, ssrc).about.full_intra;
                if known.replace(number) != Some(number) {
                    self.keyframe_wanted(now, heard);
                }
            }
            _ => {}
        }
    }

    fn read_blocks(&mut self, now: Duration, from: u32, blocks: &Blocks<'_>, reports: &mut Vec<Report>) {
        for block in blocks.clone() {
            if block.ssrc == self.setup.ssrc {
                self.read_block(now, from, &block, reports);
            } else {
                self.counts.strangers += 1;
            }
        }
    }

    fn read_block(&mut self, now: Duration, from: u32, block: &ReportBlock, reports: &mut Vec<Report>) {
        self.counts.reports += 1;
        let listener = &mut self.members.hear(now, from).about;
        match listener.report(now, from, block, &self.sent) {
            Ok(report) => reports.extend(report),
            Err(_) => self.counts.contradictory += 1,
        }
    }

    fn keyframe_wanted(&mut self, now: Duration, heard: &mut SenderHeard) {
        self.counts.keyframes_asked += 1;
        if self.keyframe.is_none_or(|before| now >= before + KEYFRAMES_APART) {
            self.keyframe = Some(now);
            heard.keyframe = true;
        }
    }

    /// When [`poll`](Self::poll) has something to do; [`Duration::MAX`] before the stream has begun.
    pub fn due(&self) -> Duration {
        self.schedule.as_ref().map_or(Duration::MAX, Schedule::due)
    }

    /// Appends the datagram to send at `now`, if one is due; `wall` is the wall clock at the same moment. Whether it did.
    pub fn poll(
        &mut self,
        now: Duration,
        wall: SystemTime,
        random: &mut dyn FnMut() -> f64,
        out: &mut Vec<u8>,
    ) -> bool {
        if now < self.due() {
            return false;
        }
        let timeout = self.schedule.as_ref().map_or(Duration::MAX, |schedule| schedule.timeout(self.crowd()));
        if self.members.expire(now, timeout) {
            self.members_left(now);
        }
        let crowd = self.crowd();
        if !self.schedule.as_mut().is_some_and(|schedule| schedule.is_due(now, crowd, random)) {
            return false;
        }
        let from = out.len();
        self.report(now, wall, out);
        if let Some(schedule) = &mut self.schedule {
            schedule.sent(now, out.len() - from, crowd, random);
        }
        true
    }

    /// Appends the datagram that ends the stream. Whether there is anything to end.
    pub fn bye(&mut self, now: Duration, wall: SystemTime, out: &mut Vec<u8>) -> bool {
        // Who never said anything says no farewell (RFC 3550 6.3.7).
        let tell = self.picture.is_some();
        if tell {
            self.report(now, wall, out);
            write::bye(self.setup.ssrc, out);
        }
        tell
    }

    /// Takes another name, and appends the datagram with which the old one leaves. Whether there is one to leave. Reports and
    /// counts of packets begin anew.
    pub fn change_ssrc(&mut self, now: Duration, wall: SystemTime, ssrc: u32, out: &mut Vec<u8>) -> bool {
        let told = self.bye(now, wall, out);
        *self = Self {
            collisions: self.collisions,
            counts: self.counts(),
            ..Self::new(SenderSetup { ssrc, ..self.setup.clone() })
        };
        told
    }

    fn report(&mut self, now: Duration, wall: SystemTime, out: &mut Vec<u8>) {
        let ssrc = self.setup.ssrc;
        let sends = self.counts.reports_sent == 0 || self.sent.packets != self.sent_before[1];
        let picture = self.picture.filter(|_| sends);
        // One that has paused since the report before the last is no sender (RFC 3550 6.4).
        if let Some((timestamp, captured)) = picture {
            let ntp = NtpTime::from(wall);
            let info = SenderInfo {
                ntp,
                timestamp: timestamp.wrapping_add(ticks(captured, wall, self.setup.rate)),
                packets: self.sent.packets as u32,
                bytes: self.sent.bytes as u32,
            };
            write::sender_report(ssrc, &info, &[], out);
            self.sent.note_report(now, ntp);
        } else {
            write::receiver_report(ssrc, &[], out);
        }
        write::cname(ssrc, &self.setup.cname, out);
        self.sent_before = [self.sent.packets, self.sent_before[0]];
        self.counts.reports_sent += 1;
    }

    /// The stream's name.
    pub fn ssrc(&self) -> u32 {
        self.setup.ssrc
    }

    /// What was counted so far.
    pub fn counts(&self) -> SenderCounts {
        SenderCounts { forgotten: self.counts.forgotten + self.members.forgotten(), ..self.counts }
    }

    /// What the receivers say, taken together.
    pub fn audience(&self) -> Audience {
        let mut audience = Audience::default();
        let mut sum = 0.0;
        for listener in self.members.iter().map(|member| &member.about) {
            let Some((heard, block)) = &listener.last else { continue };
            let loss = f64::from(block.fraction_lost) / 256.0;
            sum += loss;
            audience.lost = if audience.receivers == 0 { block.lost } else { audience.lost.max(block.lost) };
            audience.receivers += 1;
            audience.worst_loss = audience.worst_loss.max(loss);
            audience.jitter = audience.jitter.max(self.time_of(block.jitter));
            audience.round_trip = audience.round_trip.max(listener.round_trip);
            audience.last_heard = audience.last_heard.max(Some(*heard));
            let highest = block.highest as u16;
            if audience.highest.is_none_or(|known| highest.wrapping_sub(known) < 1 << 15) {
                audience.highest = Some(highest);
            }
        }
        audience.mean_loss = sum / f64::from(audience.receivers.max(1));
        audience
    }

    fn time_of(&self, ticks: u32) -> Duration {
        Duration::from_nanos(u64::from(ticks) * 1_000_000_000 / u64::from(self.setup.rate.get()))
    }

    fn members_left(&mut self, now: Duration) {
        let members = self.crowd().members;
        if let Some(schedule) = &mut self.schedule {
            schedule.left(now, members);
        }
    }

    fn crowd(&self) -> Crowd {
        Crowd { members: self.members.count() + 1, senders: self.members.senders() + 1, we_send: true }
    }
}

/// From one time to another, modulo 2³²; below zero where the clock was set back meanwhile.
fn ticks(from: SystemTime, to: SystemTime, rate: NonZeroU32) -> u32 {
    let ticks = |time: Duration| (time.as_nanos() * u128::from(rate.get()) / 1_000_000_000) as u32;
    match to.duration_since(from) {
        Ok(later) => ticks(later),
        Err(earlier) => ticks(earlier.duration()).wrapping_neg(),
    }
}

#[cfg(test)]
mod tests;
