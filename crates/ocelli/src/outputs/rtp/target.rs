//! The task of one target: takes the newest picture's packets, gives them the target's own numbers, sends them.

use std::future::{pending, ready};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ocelli_hub::{Backoff, DerivedReader, Next, Stream, Want};
use ocelli_media::MediaTime;
use ocelli_proto::rtcp::adapt::Bounds;
use ocelli_proto::rtp::Stamp;
use tokio::sync::oneshot;

use super::address::PushAddress;
use super::bursts::{Burst, Done, Outcome, RtpBursts, RtpPicture};
use super::feedback::{Event, Feedback, Reporting};
use super::link::{Change, Link, in_words};
use super::stats::{PushDrop, PushState, PushStats};
use super::timeline::Splice;
use crate::log::Told;
use crate::udp::OwnSsrc;
use crate::variants::{Pixels, Shape, Shaped, Unshaped};

/// A full socket is waited for as long as pictures are apart, within these bounds.
const LEAST_PATIENCE: Duration = Duration::from_millis(5);
const MOST_PATIENCE: Duration = Duration::from_millis(200);

/// What a target leaves to one that takes its place: for the receivers it is one stream.
pub(super) struct Legacy {
    numbers: Numbers,
    /// The last picture's place on the line.
    ticks: Option<i64>,
    reporting: Reporting,
    /// Receivers may take packets from another port for another sender's.
    local_port: Option<u16>,
}

/// Where a target that ends leaves its legacy. Empty: nobody takes its place, and it says farewell.
pub(super) type Heir = Arc<Mutex<Option<oneshot::Sender<Legacy>>>>;

/// The pictures that are to be sent.
pub(super) struct Shaping {
    /// The camera's own.
    pub(super) camera: Arc<Stream>,
    /// What is asked of them.
    pub(super) shape: Shape,
    pub(super) pixels: Pixels,
    /// They, while they can be made.
    pub(super) held: Arc<Held>,
    /// By whose numbers they are lowered.
    pub(super) watcher: Arc<PushStats>,
}

/// The pictures that a target sends, while they can be made.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Option<Shaped>>);

impl Held {
    /// They, if they can be made.
    pub(super) fn shaped(&self) -> Option<Shaped> {
        self.lock().clone()
    }

    /// Lets go of them if they have ended: why they have.
    fn let_go_if_ended(&self) -> Option<Arc<str>> {
        let mut held = self.lock();
        let ended = held.take_if(|shaped| shaped.has_ended());
        // Who lets go of a variant last has more to do than a lock should wait for.
        drop(held);
        ended?.trouble()
    }

    /// A lock whose holders only ever assign.
    fn lock(&self) -> MutexGuard<'_, Option<Shaped>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shaping {
    /// Has the pictures made: the stream to be sent.
    fn stream(&self) -> Result<Arc<Stream>, Unshaped> {
        let shaped = self.pixels.shaped(&self.shape)?;
        shaped.watched_by(&self.watcher);
        let stream = shaped.stream().clone();
        let before = self.held.lock().replace(shaped);
        drop(before);
        Ok(stream)
    }
}

/// When pictures that could not be made are asked for again.
#[derive(Debug, Default)]
struct Retry {
    failures: u32,
    at: Option<tokio::time::Instant>,
}

impl Retry {
    fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let wait = Backoff::default().wait(self.failures, fastrand::f64());
        self.at = Some(tokio::time::Instant::now() + wait);
    }

    /// Waits until they are to be asked for again; for ever while they come.
    async fn due(&self) {
        match self.at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => pending().await,
        }
    }
}

pub(super) struct Target {
    address: PushAddress,
    shaping: Shaping,
    recoder: Option<Pixels>,
    /// What is sent, or the camera's own pictures while that cannot be made: whoever waits for it wants the camera to run.
    stream: Arc<Stream>,
    retry: Retry,
    stats: Arc<PushStats>,
    /// Dropped before `link`: who finds RTP's port free finds RTCP's free too.
    feedback: Feedback,
    link: Link,
    /// The length of packets that `pictures` was asked for.
    packet_bytes: usize,
    /// The quality that `pictures` was asked for.
    quality: Option<u8>,
    pictures: DerivedReader<RtpPicture>,
    numbers: Numbers,
    seen: Seen,
    told_reencoded: Told,
    told_refused: Told,
    /// The log has said that the host refuses packets.
    told_refusal: bool,
    /// Why the receiver lacks a picture, where those up to the next key cannot be shown without it.
    needs_key: Option<PushDrop>,
    heir: Heir,
    /// What the target before it leaves, until it has come.
    inherits: Option<oneshot::Receiver<Legacy>>,
}

/// What RFC 3550 section 5.1 wants each sender to have of its own, begun at random.
#[derive(Clone)]
struct Numbers {
    ssrc: u32,
    /// The camera does not listen to it.
    _own: Arc<OwnSsrc>,
    sequence: u16,
    timestamp_offset: u32,
    /// The time line that the offset is added to.
    line: Splice,
}

/// What the last picture left behind.
#[derive(Default)]
struct Seen {
    ticks: Option<i64>,
    /// Of `pictures`, as it counts them.
    skipped: u64,
    /// Of the packets' maker, as it counts them; it may have worked for others before.
    passed_over: Option<u64>,
    patience: Duration,
}

impl Target {
    pub(super) fn new(
        address: PushAddress,
        bounds: Bounds,
        shaping: Shaping,
        recoder: Option<Pixels>,
        stats: Arc<PushStats>,
        heir: Heir,
        inherits: Option<oneshot::Receiver<Legacy>>,
    ) -> Self {
        // Whether it is IPv4 or IPv6 that takes its share of each packet shows when a name is looked up.
        let guess = address.host().parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let packet_bytes = address.packet_bytes((guess, 0).into());
        let stream = shaping.stream().unwrap_or_else(|_| shaping.camera.clone());
        Self {
            link: Link::new(&address),
            pictures: subscribe(&stream, packet_bytes, recoder.as_ref(), None),
            packet_bytes,
            quality: None,
            feedback: Feedback::new(stream.name(), &address, bounds, stats.clone()),
            numbers: Numbers {
                ssrc: stats.ssrc(),
                _own: Arc::new(OwnSsrc::new(stream.name(), stats.ssrc())),
                sequence: fastrand::u16(..),
                timestamp_offset: fastrand::u32(..),
                line: Splice::default(),
            },
            seen: Seen::default(),
            told_reencoded: Told::default(),
            told_refused: Told::default(),
            told_refusal: false,
            needs_key: None,
            heir,
            inherits,
            address,
            shaping,
            recoder,
            stream,
            retry: Retry::default(),
            stats,
        }
    }

    /// Runs until it is dropped.
    pub(super) async fn run(mut self) {
        if let Some(legacy) = &mut self.inherits {
            let legacy = legacy.await;
            self.inherits = None;
            // One that ended by itself leaves nothing.
            if let Ok(legacy) = legacy {
                self.inherit(legacy);
            }
        }
        if self.shaping.held.shaped().is_none() {
            self.have_pictures();
        }
        // What needs no look-up is open before the first picture is taken.
        tokio::select! {
            biased;
            change = self.link.change() => self.changed(change),
            () = ready(()) => {}
        }
        loop {
            let has_pictures = self.retry.at.is_none();
            tokio::select! {
                change = self.link.change() => self.changed(change),
                event = self.feedback.event() => self.heard(event),
                () = self.retry.due() => self.have_pictures(),
                next = self.pictures.next(), if has_pictures => match next {
                    Ok(Next::Piece(picture)) => {
                        self.retry.failures = 0;
                        self.take(&picture).await;
                    }
                    Ok(Next::Lost { pieces }) => self.stats.dropped_pictures(PushDrop::Behind, pieces),
                    Err(_) => self.sent_away(),
                },
            }
        }
    }

    /// Has the pictures made that were asked for, or says why they cannot be and tries again after a while.
    fn have_pictures(&mut self) {
        match self.shaping.stream() {
            Ok(stream) => {
                self.retry.at = None;
                self.stats.set_lacking(None);
                self.stream = stream;
                self.subscribe(self.packet_bytes);
            }
            Err(error) => self.lack(&error.to_string().into()),
        }
    }

    /// The pictures end: a variant that cannot be made is asked for anew, as far as there may be one then. A camera sends
    /// its viewers away as well; this one comes back for the next picture.
    fn sent_away(&mut self) {
        match self.shaping.held.let_go_if_ended() {
            Some(why) => self.lack(&why),
            None => self.subscribe(self.packet_bytes),
        }
    }

    fn lack(&mut self, why: &Arc<str>) {
        self.retry.failed();
        if self.stats.set_lacking(Some(why)) {
            tracing::warn!(camera = %self.stream.name(), to = %self.address.label(), "RTP push: nothing to send: {why}");
        }
    }

    fn inherit(&mut self, legacy: Legacy) {
        self.numbers = legacy.numbers;
        self.numbers.line.begin();
        self.stats.set_ssrc(self.numbers.ssrc);
        self.seen.ticks = legacy.ticks;
        self.feedback.go_on(legacy.reporting);
        self.link = Link::from_port(&self.address, legacy.local_port);
    }

    fn legacy(&self) -> Legacy {
        Legacy {
            numbers: self.numbers.clone(),
            ticks: self.seen.ticks,
            reporting: self.feedback.reporting(),
            local_port: self.stats.local().map(|local| local.port()),
        }
    }

    fn changed(&mut self, change: Change) {
        match (change, self.link.line()) {
            (Change::Up, Some(line)) => {
                let (target, local, packet_bytes) = (line.target(), line.local(), line.packet_bytes());
                let rtcp = line.take_rtcp().filter(|_| self.address.rtcp);
                self.feedback.open(rtcp, target, self.address.socket.interface.as_ref());
                self.stats.set_addresses(Some(target), local);
                self.stats.set_state(PushState::Sending);
                tracing::info!(camera = %self.stream.name(), to = %self.address.label(), address = %target, "RTP push: sending");
                if self.needs_key.is_some() {
                    self.stream.ask_keyframe();
                }
                if packet_bytes != self.packet_bytes {
                    self.subscribe(packet_bytes);
                }
            }
            (Change::Moving, _) => {
                self.feedback.close();
                self.stats.set_addresses(None, None);
                self.stats.set_state(PushState::Starting);
            }
            (Change::Down(cause), _) => self.down(&cause),
            (Change::Up, None) => {}
        }
    }

    fn down(&mut self, cause: &Arc<str>) {
        self.feedback.close();
        self.stats.set_addresses(None, None);
        if self.stats.set_state(PushState::Waiting { cause: cause.clone() }) {
            tracing::warn!(camera = %self.stream.name(), to = %self.address.label(), "RTP push: cannot send: {cause}");
        }
    }

    fn heard(&mut self, event: Event) {
        match event {
            Event::Keyframe => self.stream.ask_keyframe(),
            // A number that was asked for is kept: receivers know the stream by it.
            Event::Collision if self.address.ssrc.is_some() => {
                tracing::warn!(camera = %self.stream.name(), to = %self.address.label(), "RTP push: somebody else sends there with the same ssrc");
            }
            Event::Collision => {
                self.numbers.ssrc = fastrand::u32(..);
                self.numbers._own = Arc::new(OwnSsrc::new(self.stream.name(), self.numbers.ssrc));
                self.stats.set_ssrc(self.numbers.ssrc);
                self.feedback.change_ssrc(self.numbers.ssrc);
                tracing::info!(camera = %self.stream.name(), to = %self.address.label(), "RTP push: somebody else sends there with the same ssrc; took another");
            }
        }
    }

    fn subscribe(&mut self, packet_bytes: usize) {
        self.packet_bytes = packet_bytes;
        self.pictures = subscribe(&self.stream, packet_bytes, self.recoder.as_ref(), self.quality);
        (self.seen.skipped, self.seen.passed_over) = (0, None);
        self.numbers.line.begin();
    }

    async fn take(&mut self, picture: &RtpPicture) {
        let ticks = self.numbers.line.place(picture.ticks, Instant::now());
        if !self.is_wanted(picture, ticks) {
            return;
        }
        let Some((burst, done)) = self.burst(picture) else { return };
        self.stats.set_refused(None);
        self.told_refused.over();
        self.note_reencoded(picture);
        if picture.key {
            self.needs_key = None;
        } else if let Some(reason) = self.needs_key {
            self.stats.dropped_pictures(reason, 1);
            return;
        }
        let Some(line) = self.link.line() else {
            self.drop_picture(picture, PushDrop::Unreachable);
            return;
        };
        let stamp = Stamp {
            payload_type: self.address.payload_type.unwrap_or(burst.usual_payload_type()),
            sequence: self.numbers.sequence,
            timestamp: self.numbers.timestamp_offset.wrapping_add(ticks as u32),
            ssrc: self.numbers.ssrc,
        };
        // A packet that is left out leaves a gap, so that the receiver knows of it.
        self.numbers.sequence = self.numbers.sequence.wrapping_add(burst.packet_count() as u16);
        match line.send(burst, stamp, self.seen.patience, &self.stats).await {
            Ok(sent) => {
                let last_sequence = stamp.sequence.wrapping_add(sent.packets as u16).wrapping_sub(1);
                self.feedback.sent(&sent, last_sequence, stamp.timestamp, picture.captured);
                if sent.whole {
                    let captured = picture.captured.filter(|_| !picture.notice);
                    let latency =
                        captured.and_then(|captured| SystemTime::now().duration_since(captured).ok());
                    self.stats.sent_picture(done, latency);
                } else {
                    self.drop_picture(picture, PushDrop::Socket);
                }
                self.note_refusal(sent.refused);
            }
            Err(error) => {
                self.drop_picture(picture, PushDrop::Unreachable);
                self.link.fail();
                self.down(&in_words(&error).into());
            }
        }
    }

    /// A picture's packets. Where there are none, counts it and says why.
    fn burst<'a>(&mut self, picture: &'a RtpPicture) -> Option<(&'a Burst, Done)> {
        match &picture.outcome {
            Outcome::Burst(burst, done) => return Some((burst, *done)),
            Outcome::Refused(why) => {
                self.stats.dropped_pictures(PushDrop::Refused, 1);
                self.stats.set_refused(Some(why));
                if self.told_refused.is_news(Some(why), Instant::now()) {
                    tracing::warn!(camera = %self.stream.name(), to = %self.address.label(), "RTP push: {why}");
                }
            }
            Outcome::Damaged => self.drop_picture(picture, PushDrop::Damaged),
            Outcome::Oversized => self.drop_picture(picture, PushDrop::Oversized),
        }
        None
    }

    /// Whether a picture of `ticks` on the target's line is to be sent: once, and as far as the receivers' loss allows.
    fn is_wanted(&mut self, picture: &RtpPicture, ticks: i64) -> bool {
        // Sent already, in another quality or length of packets.
        if picture.alone && self.seen.ticks == Some(ticks) {
            return false;
        }
        let behind = self.note_skipped(picture, ticks);
        if !self.feedback.passes(picture, ticks, behind) {
            self.stats.dropped_pictures(PushDrop::Adapted, 1);
            return false;
        }
        if self.feedback.quality() != self.quality {
            // The next picture is the first in the other quality.
            self.quality = self.feedback.quality();
            self.subscribe(self.packet_bytes);
        }
        true
    }

    /// Leaves a picture out, and with it all that cannot be shown without it.
    fn drop_picture(&mut self, picture: &RtpPicture, reason: PushDrop) {
        self.stats.dropped_pictures(reason, 1);
        if !picture.alone {
            self.needs_key = Some(reason);
            if self.link.line().is_some() {
                self.stream.ask_keyframe();
            }
        }
    }

    /// Counts what went by unsent, and learns how far pictures are apart. How many went by.
    fn note_skipped(&mut self, picture: &RtpPicture, ticks: i64) -> u64 {
        self.pictures.set_want(if picture.alone { Want::Latest } else { Want::Live });
        let skipped = self.pictures.skipped();
        let passed_over = picture.passed_over - self.seen.passed_over.unwrap_or(picture.passed_over);
        let behind = (skipped - self.seen.skipped) + passed_over;
        if behind > 0 {
            self.stats.dropped_pictures(PushDrop::Behind, behind);
        }
        (self.seen.skipped, self.seen.passed_over) = (skipped, Some(picture.passed_over));
        let last = self.seen.ticks.replace(ticks);
        let apart = ticks.saturating_sub(last.unwrap_or(ticks));
        let apart = MediaTime::new(apart, MediaTime::VIDEO_RATE);
        let apart = apart.since(MediaTime::new(0, MediaTime::VIDEO_RATE)) / (behind as u32 + 1);
        self.seen.patience = apart.clamp(LEAST_PATIENCE, MOST_PATIENCE);
        behind
    }

    /// Says once why pictures are encoded anew, and once that they no longer are.
    fn note_reencoded(&mut self, picture: &RtpPicture) {
        if picture.notice {
            return;
        }
        self.stats.set_reencoded(picture.reencoded.as_ref());
        // Some cameras' pictures are of one kind and another by turns.
        if !self.told_reencoded.is_news(picture.reencoded.as_deref(), Instant::now()) {
            return;
        }
        let (camera, to) = (self.stream.name(), self.address.label());
        match &picture.reencoded {
            Some(why) => tracing::info!(%camera, %to, "RTP push: pictures are encoded anew: {why}"),
            None => tracing::info!(%camera, %to, "RTP push: pictures are no longer encoded anew"),
        }
    }

    fn note_refusal(&mut self, refused: bool) {
        if refused {
            self.link.doubt();
            if !std::mem::replace(&mut self.told_refusal, true) {
                tracing::warn!(camera = %self.stream.name(), to = %self.address.label(), "RTP push: nobody listens there; sending all the same");
            }
        } else if self.told_refusal && !self.stats.host_refuses() {
            self.told_refusal = false;
            tracing::info!(camera = %self.stream.name(), to = %self.address.label(), "RTP push: the packets are no longer refused");
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let Some(heir) = self.heir.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let inherited = self.inherits.as_mut().and_then(|legacy| legacy.try_recv().ok());
        if heir.send(inherited.unwrap_or_else(|| self.legacy())).is_ok() {
            self.feedback.leave_silently();
        }
    }
}

fn subscribe(
    stream: &Stream,
    packet_bytes: usize,
    recoder: Option<&Pixels>,
    quality: Option<u8>,
) -> DerivedReader<RtpPicture> {
    stream.derive(&RtpBursts { packet_bytes, recoder: recoder.cloned(), quality }, Want::Latest)
}
