//! An open way to a target: sends a picture's packets and waits for the socket no longer than a picture is worth.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use ocelli_proto::rtp::Stamp;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::address::PushAddress;
use super::bursts::Burst;
use super::pace::{Pace, SLICE};
use super::stats::PushStats;
use crate::udp::{Batch, Pair, room_in};

/// How often a call is made again that only reported that the host had refused an earlier packet. Each call may report one.
const MOST_REFUSALS: u32 = 8;

/// Sockets that lead to a target.
pub(super) struct Line {
    target: SocketAddr,
    pair: Pair,
    batch: Batch,
    pace_bits_per_second: Option<u64>,
    packet_bytes: usize,
    /// Of the picture that is being sent; kept so that none is allocated for the next.
    headers: Vec<u8>,
}

/// What became of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// All of its packets went out.
    pub(super) whole: bool,
    /// Those that did.
    pub(super) packets: usize,
    /// How long these are together, RTP headers included.
    pub(super) bytes: usize,
    /// The host has refused packets meanwhile.
    pub(super) refused: bool,
}

impl Line {
    pub(super) fn new(pair: Pair, target: SocketAddr, address: &PushAddress) -> Self {
        Self {
            target,
            pair,
            batch: Batch::new(),
            pace_bits_per_second: address.pace_bits_per_second,
            packet_bytes: address.packet_bytes(target),
            headers: Vec::new(),
        }
    }

    /// Where it leads to.
    pub(super) fn target(&self) -> SocketAddr {
        self.target
    }

    /// Where it begins.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.pair.local_address()
    }

    /// The socket for RTCP, where there is one and it was not taken before.
    pub(super) fn take_rtcp(&mut self) -> Option<UdpSocket> {
        self.pair.rtcp.take()
    }

    /// How long RTP packets may be here.
    pub(super) fn packet_bytes(&self) -> usize {
        self.packet_bytes
    }

    /// Sends a picture. Where the socket takes no more it is waited for, `patience` long for the whole picture; then the rest
    /// of it is left out.
    ///
    /// # Errors
    /// There is no way to the target any more.
    pub(super) async fn send(
        &mut self,
        burst: &Burst,
        stamp: Stamp,
        patience: Duration,
        stats: &PushStats,
    ) -> io::Result<Sent> {
        burst.stamp(stamp, &mut self.headers);
        let mut progress = Progress::default();
        let ended = self.send_stamped(burst, patience, &mut progress).await;
        let whole = progress.packets == burst.packet_count();
        let bytes = if whole { burst.total_bytes() } else { self.bytes_of(burst, progress.packets) };
        stats.sent(progress.packets, bytes);
        stats.set_segments(self.batch.segments());
        for _ in 0..progress.refusals {
            stats.host_refused();
        }
        ended.map(|()| Sent { whole, packets: progress.packets, bytes, refused: progress.refusals > 0 })
    }

    async fn send_stamped(
        &mut self,
        burst: &Burst,
        patience: Duration,
        progress: &mut Progress,
    ) -> io::Result<()> {
        let count = burst.packet_count();
        let pacing = self.pace_bits_per_second.map(|rate| Pacing::new(rate, burst, self.target));
        let mut give_up = None;
        while progress.packets < count {
            let most = match &pacing {
                Some(pacing) => pacing.wait(progress.packets).await,
                None => usize::MAX,
            };
            let taken = burst.with_packets(&self.headers, progress.packets, |packets| {
                self.batch.send(&self.pair.rtp, packets, most)
            });
            match taken {
                Ok(packets) => progress.packets += packets,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    progress.refusals += 1;
                    if progress.refusals > MOST_REFUSALS {
                        return Ok(());
                    }
                }
                Err(error) if is_full(&error) => {
                    let until = *give_up.get_or_insert_with(|| Instant::now() + patience);
                    if !self.has_room(&error, until).await? {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for room in the socket. Whether there is some in time.
    async fn has_room(&self, error: &io::Error, until: Instant) -> io::Result<bool> {
        if Instant::now() >= until {
            return Ok(false);
        }
        if error.kind() != io::ErrorKind::WouldBlock {
            // It is the interface's queue that is full, which nobody tells of when it is not any more.
            sleep_until(until.min(Instant::now() + SLICE)).await;
            return Ok(true);
        }
        timeout_at(until, room_in(&self.pair.rtp)).await.map_or(Ok(false), |room| room.map(|()| true))
    }

    fn bytes_of(&self, burst: &Burst, packets: usize) -> usize {
        burst.with_packets(&self.headers, 0, |all| {
            all.take(packets).map(|(headers, payload)| headers.len() + payload.len()).sum()
        })
    }
}

/// How far the sending of a picture has come.
#[derive(Debug, Default)]
struct Progress {
    packets: usize,
    refusals: u32,
}

/// The pace of a picture that is being sent.
struct Pacing {
    pace: Pace,
    began: Instant,
    /// Of a packet, with IP's and UDP's headers.
    packet_bytes: usize,
}

impl Pacing {
    fn new(bits_per_second: u64, burst: &Burst, target: SocketAddr) -> Self {
        let count = burst.packet_count();
        let bytes = burst.total_bytes() + count * PushAddress::overhead_bytes(target);
        Self {
            pace: Pace::new(bits_per_second, bytes),
            began: Instant::now(),
            packet_bytes: bytes.div_ceil(count),
        }
    }

    /// Waits until the packet behind the first `sent` may go, and says how many may go with it.
    async fn wait(&self, sent: usize) -> usize {
        sleep_until(self.began + self.pace.due((sent + 1) * self.packet_bytes)).await;
        let allowed = self.pace.allowed_bytes(self.began.elapsed()) / self.packet_bytes;
        allowed.saturating_sub(sent).max(1)
    }
}

/// The socket, or the interface behind it, takes no more at the moment.
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}
