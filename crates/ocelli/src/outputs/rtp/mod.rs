//! RTP push: a camera's pictures sent to hosts that are named in its configuration (RFC 3550, 2435, 6184, 7798).
//!
//! A picture is packetised once for all targets with the same length of packets ([`RtpBursts`], a derived stream). A target is
//! one task: it takes the newest picture's packets, writes its own numbers into a copy of their headers, and hands headers
//! and shared payload to the kernel, dozens of packets by one system call. No target waits for another, and the camera for
//! none: one that is behind goes on with the newest picture.
//!
//! What receivers report of their loss (RTCP) is shown, and lowers the variant that is sent, or how many pictures are sent, as long
//! as it is high (`charge` says which).
//!
//! A target never gives up. Packets that a host refuses are counted, and the next ones sent all the same: the receiver may
//! come back. Where there is no way to the host, it is looked up and tried again after a while.

mod address;
mod bursts;
mod charge;
mod feedback;
mod line;
mod link;
mod pace;
mod reencode;
mod stats;
mod target;
#[cfg(test)]
mod tests;
mod timeline;

use std::fmt;
use std::sync::{Arc, PoisonError};

use ocelli_hub::Stream;
use ocelli_proto::rtcp::adapt::Bounds;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

pub use address::PushAddress;
pub(crate) use bursts::Maker;
pub use bursts::{Burst, Done, Outcome, Reencode, RtpBursts, RtpPicture, usual_payload_type};
pub use stats::{PushDrop, PushFeedback, PushState, PushStats};
pub use timeline::Timeline;

use crate::variants::{Pixels, Shape, Shaped};
use target::{Heir, Held, Shaping, Target};

/// What holds for every target that does not say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpOptions {
    /// What is done with JPEGs that RTP cannot carry.
    pub reencode: Reencode,
    /// The frame rate is not lowered below this for a receiver that loses packets, 1 to 1000 a second.
    pub min_fps: u16,
    /// The quality is not lowered below this for one, 1 to 100; without it the quality is left alone.
    pub min_quality: Option<u8>,
}

impl Default for RtpOptions {
    fn default() -> Self {
        Self { reencode: Reencode::Auto, min_fps: 5, min_quality: None }
    }
}

/// A target that a camera's pictures are sent to. Dropping it stops the sending.
pub struct Push {
    address: PushAddress,
    stats: Arc<PushStats>,
    held: Arc<Held>,
    task: AbortHandle,
    heir: Heir,
}

impl Push {
    /// Starts sending the pictures of `stream` to `address`, in `shape`: what has to be made of them, and those that RTP cannot
    /// carry if `options` allow it, through `pixels`. Counts as one who watches. With `before` it takes that one's place, which [may become](Self::may_become) it: the
    /// stream goes on with its numbers.
    ///
    /// Must be called within a tokio runtime.
    pub fn start(
        stream: &Arc<Stream>,
        address: PushAddress,
        shape: &Shape,
        options: RtpOptions,
        pixels: &Pixels,
        before: Option<&Self>,
    ) -> Self {
        let ssrc = before.map(|before| before.stats.ssrc()).or(address.ssrc);
        let stats = PushStats::new(ssrc.unwrap_or_else(|| fastrand::u32(..)));
        let heir = Heir::default();
        let recoder = (options.reencode == Reencode::Auto).then(|| pixels.clone());
        let held = Arc::<Held>::default();
        let (camera, pixels) = (stream.clone(), pixels.clone());
        let watcher = stats.clone();
        let shaping = Shaping { camera, shape: *shape, pixels, held: held.clone(), watcher };
        let bounds = Bounds {
            min_fps: address.min_fps.unwrap_or(options.min_fps).into(),
            min_quality: address.min_quality.or(options.min_quality).filter(|_| recoder.is_some()),
        };
        let target = Target::new(
            address.clone(),
            bounds,
            shaping,
            recoder,
            stats.clone(),
            heir.clone(),
            before.map(Self::end),
        );
        let task = tokio::spawn(target.run()).abort_handle();
        Self { address, stats, held, task, heir }
    }

    /// Whether for its receivers one with `address` would be the same stream: sent there too, and with the same number.
    pub fn may_become(&self, address: &PushAddress) -> bool {
        let is_there =
            self.address.host().eq_ignore_ascii_case(address.host()) && self.address.port() == address.port();
        is_there && address.ssrc.is_none_or(|ssrc| ssrc == self.stats.ssrc())
    }

    /// Stops it without a farewell; what it leaves to another comes when it has stopped.
    fn end(&self) -> oneshot::Receiver<target::Legacy> {
        let (heir, legacy) = oneshot::channel();
        *self.heir.lock().unwrap_or_else(PoisonError::into_inner) = Some(heir);
        self.task.abort();
        legacy
    }

    /// Where it sends to.
    pub fn address(&self) -> &PushAddress {
        &self.address
    }

    /// What is sent; `None` while that cannot be made.
    pub fn shaped(&self) -> Option<Shaped> {
        self.held.shaped()
    }

    /// What it does: it waits, too, while no pictures come of the variant that it sends.
    pub fn state(&self) -> PushState {
        match (self.stats.state(), self.trouble()) {
            (PushState::Sending, Some(cause)) => PushState::Waiting { cause },
            (state, _) => state,
        }
    }

    /// Why pictures do not arrive, in words, as far as it is known here.
    pub fn cause(&self) -> Option<Arc<str>> {
        self.stats.cause().or_else(|| self.trouble())
    }

    fn trouble(&self) -> Option<Arc<str>> {
        self.shaped()?.trouble()
    }

    /// Its numbers.
    pub fn stats(&self) -> &Arc<PushStats> {
        &self.stats
    }
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.task.abort();
    }
}
