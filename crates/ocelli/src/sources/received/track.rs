//! One track's way from packets to frames, and what is said about them by RTCP.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

use ocelli_hub::{NetworkPath, Publisher};
use ocelli_media::{Codec, MediaTime, Track};
use ocelli_proto::rtcp::{ReceiverHeard, ReceiverSession, ReceiverSetup, RtcpError};
use ocelli_proto::rtp::receive::{Counts, Event, Receiver, Setup};

use super::clock::{CameraClock, Moment};
use super::frames::{Announced, Frames};

/// Timestamps that are farther than this from what the arrivals say have jumped, and what the sender has said of them is worth
/// nothing until its next report.
const MOST_JUMP: Duration = Duration::from_secs(1);

/// How keyframes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    /// How long one may be missing before it is asked for.
    pub patience: Duration,
    /// The shortest time between two requests.
    pub apart: Duration,
}

impl Asking {
    /// For senders that expect to be asked.
    pub const EXPECTED: Self = Self { patience: Duration::ZERO, apart: Duration::from_millis(500) };
    /// For those that have not said so: most pass it over, and some have keyframes a minute apart and hear it.
    pub const UNEXPECTED: Self = Self { patience: Duration::from_secs(2), apart: Duration::from_secs(5) };
}

/// Whether a keyframe is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keyframe {
    NotMissing,
    /// It is asked for at this time.
    AskedForAt(Duration),
    /// It is asked for again and again.
    AskedFor,
}

/// How a track is received.
#[derive(Clone, Debug)]
pub struct TrackSetup {
    /// What it is, as far as it was described.
    pub track: Track,
    /// What its packets are, and how long they are waited for.
    pub packets: Setup,
    /// The receiver's name in reports, the same for all tracks of a camera.
    pub cname: String,
    /// Whether sender and receiver are alone.
    pub unicast: bool,
    /// How keyframes are asked for.
    pub asking: Asking,
}

/// One track.
#[derive(Debug)]
pub struct TrackIntake {
    receiver: Receiver,
    reports: ReceiverSession,
    frames: Frames,
    /// Of the timestamps.
    rate: NonZeroU32,
    asking: Asking,
    keyframe: Keyframe,
    /// The timestamps have jumped since the sender's last report.
    doubtful: bool,
    /// Timestamp and arrival of the last frame.
    last: Option<(u32, Duration)>,
    /// The sender has said that it ends.
    left: bool,
    /// Who began last, until somebody asks.
    began: Option<(u32, SocketAddr)>,
    /// RTCP that is none, or was said to be others'.
    strange_reports: u64,
    /// Reused.
    events: Vec<Event>,
}

impl TrackIntake {
    /// One that has heard nothing at `now`.
    pub fn new(now: Duration, setup: TrackSetup) -> Self {
        let TrackSetup { track, packets, cname, unicast, asking } = setup;
        let reports = ReceiverSetup {
            ssrc: fastrand::u32(..),
            cname,
            rate: track.clock_rate,
            unicast,
            keyframe_wait: asking.apart,
        };
        Self {
            receiver: Receiver::new(packets),
            reports: ReceiverSession::new(now, reports, &mut fastrand::f64),
            frames: Frames::new(&track),
            rate: track.clock_rate,
            asking,
            keyframe: Keyframe::NotMissing,
            doubtful: false,
            last: None,
            left: false,
            began: None,
            strange_reports: 0,
            events: Vec::new(),
        }
    }

    /// Takes an RTP packet that came from `from` at `arrived`. Whether a sender begins with it.
    pub fn packet(&mut self, arrived: Duration, from: SocketAddr, bytes: &[u8]) -> bool {
        let before = self.events.len();
        let Some(packet) = self.receiver.datagram(arrived, from, bytes, &mut self.events) else {
            return false;
        };
        let mut began = false;
        for event in &self.events[before..] {
            if let Event::Started { ssrc, from } = event {
                self.reports.started(arrived, *ssrc, &mut fastrand::f64);
                self.began = Some((*ssrc, *from));
                began = true;
            }
        }
        self.reports.packet(arrived, packet.ssrc, packet.sequence, packet.timestamp, bytes.len());
        self.left = false;
        began
    }

    /// Takes RTCP that came at `now`. Where somebody else has this receiver's name it takes another, and what is to be said about
    /// that goes to `out`.
    ///
    /// # Errors
    /// It is no RTCP.
    pub fn report(
        &mut self,
        now: Duration,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<ReceiverHeard, RtcpError> {
        let heard = self.reports.datagram(now, bytes, &mut fastrand::f64);
        let heard = heard.inspect_err(|_| self.strange_reports += 1)?;
        self.doubtful &= !heard.clock;
        self.left |= heard.left;
        if heard.collision {
            self.reports.change_ssrc(now, fastrand::u32(..), out);
        }
        Ok(heard)
    }

    /// Counts RTCP of somebody who is not listened to.
    pub fn strange_report(&mut self) {
        self.strange_reports += 1;
    }

    /// Takes what need not wait any longer for a packet that is missing.
    pub fn expire(&mut self, now: Duration) {
        self.receiver.expire(now, &mut self.events);
    }

    /// Publishes what has become whole, and whether there was any.
    pub fn publish(
        &mut self,
        now: Moment,
        clock: &mut CameraClock,
        announced: &mut Announced,
        out: &mut Publisher,
    ) -> bool {
        let mut came = false;
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            match event {
                Event::Started { .. } => {
                    self.frames.restart();
                    (self.last, self.doubtful) = (None, false);
                }
                Event::Picture(picture) => {
                    let sent = self.sent(picture.timestamp, picture.arrived);
                    let captured = clock.captured(now, picture.arrived, sent);
                    came |= self.frames.picture(picture, captured, announced, out);
                }
                Event::Sound(sound) => {
                    let sent = self.sent(sound.timestamp, sound.arrived);
                    let captured = clock.captured(now, sound.arrived, sent);
                    came |= self.frames.sound(sound, captured, announced, out);
                }
                Event::Dropped(reason) => self.frames.dropped(reason, out),
            }
        }
        self.events = events;
        came
    }

    /// When the sender says that it took what has this timestamp, as far as that can be believed.
    fn sent(&mut self, timestamp: u32, arrived: Duration) -> Option<SystemTime> {
        if let Some((last, came)) = self.last.replace((timestamp, arrived)) {
            let ticks = |time: Duration| MediaTime::from_duration(time, self.rate).ticks();
            let passed = ticks(arrived.saturating_sub(came));
            let step = i64::from(timestamp.wrapping_sub(last) as i32);
            self.doubtful |= (step - passed).abs() > ticks(MOST_JUMP);
        }
        self.reports.captured(timestamp).filter(|_| !self.doubtful)
    }

    /// When [`expire`](Self::expire) has something to do, or, where `reports` are sent, [`poll`](Self::poll).
    pub fn deadline(&mut self, reports: bool) -> Duration {
        let expiry = self.receiver.deadline().unwrap_or(Duration::MAX);
        let due = match (reports, self.keyframe) {
            (false, _) => Duration::MAX,
            (true, Keyframe::AskedForAt(at)) => self.reports.due().min(at),
            (true, Keyframe::NotMissing | Keyframe::AskedFor) => self.reports.due(),
        };
        expiry.min(due)
    }

    /// Appends to `out` what is to be reported at `now`, if anything is. Whether it did.
    pub fn poll(&mut self, now: Duration, out: &mut Vec<u8>) -> bool {
        let missing = self.receiver.keyframe_wanted() || self.frames.wanted;
        self.keyframe = match self.keyframe {
            _ if !missing => Keyframe::NotMissing,
            Keyframe::NotMissing if !self.asking.patience.is_zero() => {
                Keyframe::AskedForAt(now + self.asking.patience)
            }
            Keyframe::AskedForAt(at) if now < at => Keyframe::AskedForAt(at),
            _ => Keyframe::AskedFor,
        };
        match self.keyframe {
            Keyframe::NotMissing => self.reports.keyframe_came(),
            Keyframe::AskedForAt(_) => {}
            Keyframe::AskedFor => self.reports.want_keyframe(now, &mut fastrand::f64),
        }
        self.reports.poll(now, &mut fastrand::f64, out)
    }

    /// Appends the farewell.
    pub fn bye(&mut self, now: Duration, out: &mut Vec<u8>) -> bool {
        self.reports.bye(now, out)
    }

    /// Somebody who watches wants a keyframe: nothing of JPEG and sound, where there is nothing else.
    pub fn want_keyframe(&mut self) {
        self.frames.wanted = matches!(self.frames.codec(), Codec::H264 | Codec::H265);
    }

    /// Who has begun to send since this was asked last: its number and where it is.
    pub fn take_began(&mut self) -> Option<(u32, SocketAddr)> {
        self.began.take()
    }

    /// The sender has said that it ends, and nothing came since.
    pub fn has_left(&self) -> bool {
        self.left
    }

    /// What was wrong with what became no frame, if none came since.
    pub fn fault(&self) -> Option<&str> {
        self.frames.fault.as_deref()
    }

    /// How it is coded.
    pub fn codec(&self) -> Codec {
        self.frames.codec()
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        self.receiver.counts()
    }

    /// Who is listened to.
    pub fn sender(&self) -> Option<(u32, SocketAddr)> {
        self.receiver.sender()
    }

    /// The payload type of the last packet that had another one than expected.
    pub fn other_payload_type(&self) -> Option<u8> {
        self.receiver.other_payload_type()
    }

    /// Adds its numbers to those of a camera, of which the jitter is that of now.
    pub fn add_to(&self, path: &mut NetworkPath) {
        let counts = self.receiver.counts();
        let address = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        path.sender = self.receiver.sender().map(|(_, sender)| address(sender)).or(path.sender);
        path.senders += counts.senders;
        path.packets += counts.packets;
        path.bytes += counts.bytes;
        path.lost += counts.lost;
        path.late += counts.late;
        path.duplicate += counts.duplicate;
        path.strange += counts.strange + self.strange_reports;
        path.unusable += counts.not_rtp + counts.other_payload;
        path.jitter = path.jitter.max(self.reports.jitter());
        path.keyframes_asked += self.reports.keyframes_asked();
    }
}
