//! RTP push: a camera's pictures sent to hosts that are named in its configuration (RFC 3550, 2435, 6184, 7798).
//!
//! A picture is packetised once for all targets with the same length of packets ([`RtpBursts`], a derived stream). A target is
//! one task: it takes the newest picture's packets, writes its own numbers into a copy of their headers, and hands headers
//! and shared payload to the kernel, dozens of packets by one system call. No target waits for another, and the camera for
//! none: one that is behind goes on with the newest picture.
//!
//! What receivers report of their loss (RTCP) is shown, and lowers how many pictures are sent as long as it is high.
//!
//! A target never gives up. Packets that a host refuses are counted, and the next ones sent all the same: the receiver may
//! come back. Where there is no way to the host, it is looked up and tried again after a while.

mod address;
mod bursts;
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

use std::sync::Arc;

use ocelli_hub::Stream;
use ocelli_proto::rtcp::adapt::Bounds;
use tokio::task::AbortHandle;

pub use address::PushAddress;
pub use bursts::{Burst, Done, Outcome, Reencode, RtpBursts, RtpPicture, usual_payload_type};
pub use stats::{PushDrop, PushFeedback, PushState, PushStats};
pub use timeline::Timeline;

use crate::transcode::Recoder;
use target::Target;

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
#[derive(Debug)]
pub struct Push {
    address: PushAddress,
    stats: Arc<PushStats>,
    task: AbortHandle,
}

impl Push {
    /// Starts sending the pictures of `stream` to `address`, those that RTP cannot carry through `recoder` if `options` allow
    /// it. Counts as one who watches.
    ///
    /// Must be called within a tokio runtime.
    pub fn start(stream: &Arc<Stream>, address: PushAddress, options: RtpOptions, recoder: &Recoder) -> Self {
        let stats = PushStats::new(address.ssrc.unwrap_or_else(|| fastrand::u32(..)));
        let recoder = (options.reencode == Reencode::Auto).then(|| recoder.clone());
        let bounds = Bounds {
            min_fps: address.min_fps.unwrap_or(options.min_fps).into(),
            min_quality: address.min_quality.or(options.min_quality).filter(|_| recoder.is_some()),
        };
        let target = Target::new(stream.clone(), address.clone(), bounds, recoder, stats.clone());
        let task = tokio::spawn(target.run()).abort_handle();
        Self { address, stats, task }
    }

    /// Where it sends to.
    pub fn address(&self) -> &PushAddress {
        &self.address
    }

    /// Its numbers.
    pub fn stats(&self) -> &Arc<PushStats> {
        &self.stats
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.task.abort();
    }
}
