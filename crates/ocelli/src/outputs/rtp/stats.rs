//! A target's numbers, for `/stats`, metrics and the log.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ocelli_proto::rtcp::adapt::Step;
use ocelli_proto::rtcp::{Audience, SenderCounts};

use super::bursts::Done;
use super::charge::Charge;
use crate::histogram::Histogram;
use crate::tally::Tally;
use crate::variants::{Heard, Receipts, Watcher};
use crate::viewers::Latency;

/// How long after the last refusal a host counts as refusing: hosts that limit their refusals send one a second.
const REFUSAL_LASTS: Duration = Duration::from_secs(3);

/// What a target's task does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushState {
    /// It looks for the host's address and opens its sockets.
    Starting,
    /// It sends what comes.
    Sending,
    /// It could not send, or has nothing to send, and will try again.
    Waiting {
        /// Why, in words.
        cause: Arc<str>,
    },
}

/// Why a picture was not sent whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushDrop {
    /// A newer one was there before it could be sent, or had to be waited for.
    Behind,
    /// The socket took no more of it in time.
    Socket,
    /// Its host has no address, or there is no way to it.
    Unreachable,
    /// RTP cannot carry it as it is.
    Refused,
    /// It is damaged.
    Damaged,
    /// It is longer than RTP can say, or than packets of this length can carry.
    Oversized,
    /// It was left out to lower the rate, for a receiver that loses packets.
    Adapted,
}

impl PushDrop {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Behind,
        Self::Socket,
        Self::Unreachable,
        Self::Refused,
        Self::Damaged,
        Self::Oversized,
        Self::Adapted,
    ];

    /// One word for it, as `/stats` and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Socket => "socket",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
            Self::Oversized => "oversized",
            Self::Adapted => "adapted",
        }
    }
}

/// What the receivers of a target say (RTCP), and what is done about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PushFeedback {
    /// What they say.
    pub audience: Audience,
    /// What was counted of it.
    pub counts: SenderCounts,
    /// When the last report came.
    pub last_report: Option<Instant>,
    /// What is sent of the camera's pictures.
    pub step: Step,
    /// The variant that is sent is lowered to what they report, and not the target alone.
    pub by_variant: bool,
}

/// One target's numbers. They outlive the target's sockets, and begin anew with the target.
#[derive(Debug)]
pub struct PushStats {
    ssrc: AtomicU32,
    pictures: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
    dropped: Tally<{ PushDrop::ALL.len() }>,
    done: Tally<{ Done::ALL.len() }>,
    refused_by_host: AtomicU64,
    strangers: AtomicU64,
    segments: AtomicBool,
    /// What the variant that is sent is told of the target's receivers.
    pub(super) receipts: Receipts,
    began: Instant,
    rest: Mutex<Rest>,
}

#[derive(Debug)]
struct Rest {
    state: PushState,
    /// Why the pictures that were asked for cannot be made, while they cannot.
    lacking: Option<Arc<str>>,
    /// Why pictures are refused, while they are.
    refused: Option<Arc<str>>,
    /// Why pictures are encoded anew, while they are.
    reencoded: Option<Arc<str>>,
    last_refusal: Option<Instant>,
    resolved: Option<SocketAddr>,
    local: Option<SocketAddr>,
    latency: Histogram,
    feedback: Option<PushFeedback>,
    charge: Charge,
}

impl PushStats {
    pub(super) fn new(ssrc: u32) -> Arc<Self> {
        Arc::new(Self {
            ssrc: AtomicU32::new(ssrc),
            pictures: AtomicU64::new(0),
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            dropped: Tally::default(),
            done: Tally::default(),
            refused_by_host: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
            segments: AtomicBool::new(true),
            receipts: Receipts::default(),
            began: Instant::now(),
            rest: Mutex::new(Rest {
                state: PushState::Starting,
                lacking: None,
                refused: None,
                reencoded: None,
                last_refusal: None,
                resolved: None,
                local: None,
                latency: Histogram::default(),
                feedback: None,
                charge: Charge::default(),
            }),
        })
    }

    /// The sender's number.
    pub fn ssrc(&self) -> u32 {
        self.ssrc.load(Ordering::Relaxed)
    }

    /// Pictures sent whole, those among them that say that the camera is lost.
    pub fn pictures(&self) -> u64 {
        self.pictures.load(Ordering::Relaxed)
    }

    /// RTP packets sent.
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Their bytes, RTP headers included.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Pictures not sent whole, by reason.
    pub fn dropped(&self) -> [(PushDrop, u64); PushDrop::ALL.len()] {
        self.dropped.of(PushDrop::ALL)
    }

    /// Pictures sent whole, by what was done to them before.
    pub fn done(&self) -> [(Done, u64); Done::ALL.len()] {
        self.done.of(Done::ALL)
    }

    /// How often the host said that nobody listens (ICMP).
    pub fn refused_by_host(&self) -> u64 {
        self.refused_by_host.load(Ordering::Relaxed)
    }

    /// Whether the kernel cuts the packets.
    pub fn segments(&self) -> bool {
        self.segments.load(Ordering::Relaxed)
    }

    /// What it does.
    pub fn state(&self) -> PushState {
        let rest = self.rest();
        match &rest.lacking {
            Some(cause) => PushState::Waiting { cause: cause.clone() },
            None => rest.state.clone(),
        }
    }

    /// Why pictures do not arrive, in words, as far as it is known here.
    pub fn cause(&self) -> Option<Arc<str>> {
        let rest = self.rest();
        let refuses = rest.last_refusal.is_some_and(|at| at.elapsed() < REFUSAL_LASTS);
        match (&rest.lacking, &rest.state) {
            (Some(cause), _) | (_, PushState::Waiting { cause }) => Some(cause.clone()),
            _ if refuses => Some("nobody listens there: the host refuses the packets".into()),
            _ => None,
        }
    }

    /// Why the camera's pictures cannot be carried, while they cannot.
    pub fn refused(&self) -> Option<Arc<str>> {
        self.rest().refused.clone()
    }

    /// Why the camera's pictures are encoded anew, while they are.
    pub fn reencoded(&self) -> Option<Arc<str>> {
        self.rest().reencoded.clone()
    }

    /// Where it sends to.
    pub fn resolved(&self) -> Option<SocketAddr> {
        self.rest().resolved
    }

    /// Where it sends from.
    pub fn local(&self) -> Option<SocketAddr> {
        self.rest().local
    }

    /// From the camera's taking a picture to the kernel's taking its last packet, over the last few thousand.
    pub fn latency(&self) -> Latency {
        Latency::of(&self.rest().latency)
    }

    /// What the receivers say, and what is done about it; `None` while there is no port for it.
    pub fn feedback(&self) -> Option<PushFeedback> {
        self.rest().feedback
    }

    /// RTCP datagrams that were no RTCP, or of another host than the target.
    pub fn strangers(&self) -> u64 {
        self.strangers.load(Ordering::Relaxed)
    }

    pub(super) fn set_ssrc(&self, ssrc: u32) {
        self.ssrc.store(ssrc, Ordering::Relaxed);
    }

    pub(super) fn set_feedback(&self, feedback: Option<PushFeedback>) {
        self.rest().feedback = feedback;
    }

    /// Whether the target's own task adapts what it sends. `whole`: it sends everything; `thins`: it may leave out pictures.
    pub(super) fn is_own_charge(&self, whole: bool, thins: bool) -> bool {
        let mut rest = self.rest();
        rest.charge.set_thins(thins);
        rest.charge.is_own(self.began.elapsed(), whole)
    }

    pub(super) fn stranger(&self) {
        self.strangers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, packets: usize, bytes: usize) {
        self.packets.fetch_add(packets as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn sent_picture(&self, done: Done, latency: Option<Duration>) {
        self.pictures.fetch_add(1, Ordering::Relaxed);
        self.done.count(done as usize);
        if let Some(latency) = latency {
            self.rest().latency.add(latency);
        }
    }

    pub(super) fn dropped_pictures(&self, reason: PushDrop, pictures: u64) {
        self.dropped.add(reason as usize, pictures);
    }

    /// The host refused a packet. Returns whether it did not before.
    pub(super) fn host_refused(&self) -> bool {
        self.refused_by_host.fetch_add(1, Ordering::Relaxed);
        let before = self.rest().last_refusal.replace(Instant::now());
        before.is_none_or(|at| at.elapsed() >= REFUSAL_LASTS)
    }

    /// Whether the host refuses packets at present.
    pub(super) fn host_refuses(&self) -> bool {
        self.rest().last_refusal.is_some_and(|at| at.elapsed() < REFUSAL_LASTS)
    }

    pub(super) fn set_segments(&self, segments: bool) {
        self.segments.store(segments, Ordering::Relaxed);
    }

    /// Returns whether it is another state than before.
    pub(super) fn set_state(&self, state: PushState) -> bool {
        let mut rest = self.rest();
        let changed = rest.state != state;
        rest.state = state;
        changed
    }

    /// Returns whether it is another reason than before.
    pub(super) fn set_lacking(&self, lacking: Option<&Arc<str>>) -> bool {
        set(&mut self.rest().lacking, lacking)
    }

    pub(super) fn set_refused(&self, refused: Option<&Arc<str>>) {
        set(&mut self.rest().refused, refused);
    }

    pub(super) fn set_reencoded(&self, reencoded: Option<&Arc<str>>) {
        set(&mut self.rest().reencoded, reencoded);
    }

    pub(super) fn set_addresses(&self, resolved: Option<SocketAddr>, local: Option<SocketAddr>) {
        let mut rest = self.rest();
        (rest.resolved, rest.local) = (resolved, local);
    }

    /// A lock whose holders only ever assign: what they leave behind is whole even if one of them panicked.
    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher for PushStats {
    fn heard(&self) -> Heard<'_> {
        let is_told = self.rest().charge.asks(self.began.elapsed());
        if is_told { Heard::Receipts(&self.receipts) } else { Heard::Apart }
    }

    fn left_alone(&self) {
        self.rest().charge.leave_alone();
    }
}

/// Returns whether it is another reason than before.
fn set(known: &mut Option<Arc<str>>, reason: Option<&Arc<str>>) -> bool {
    let changed = known.as_ref() != reason;
    if changed {
        *known = reason.cloned();
    }
    changed
}
