//! Who watches: the count that the limit is held against, and each viewer's numbers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use ocelli_hub::StreamName;

use crate::histogram::Histogram;
use crate::variants::{Heard, Receipts, Watcher};

/// A connection that has a picture wait for so long has no room for what is passed over meanwhile. Where pictures come in pairs, as
/// they do from a machine that is busy, the first of two is passed over by viewers whose connections would take many more.
pub const HELD_UP: Duration = Duration::from_millis(10);

/// All viewers of all cameras and protocols.
#[derive(Debug)]
pub struct Viewers {
    limit: usize,
    next_id: AtomicU64,
    refused: AtomicU64,
    present: Mutex<BTreeMap<u64, Arc<ViewerStats>>>,
}

/// As many watch as are allowed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all {limit} places are taken")]
pub struct Full {
    /// The limit.
    pub limit: usize,
}

/// How a viewer watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewerKind {
    /// `multipart/x-mixed-replace` over HTTP.
    HttpMjpeg,
    /// RTSP, with packets in the connection.
    RtspTcp,
    /// RTSP, with the packets by UDP to ports of its own.
    RtspUdp,
    /// RTSP, with the packets by UDP to a group that others watch too.
    RtspMulticast,
}

impl ViewerKind {
    /// Those that watch by RTSP.
    pub const RTSP: [Self; 3] = [Self::RtspTcp, Self::RtspUdp, Self::RtspMulticast];

    /// One word for it, as `/stats` and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HttpMjpeg => "http-mjpeg",
            Self::RtspTcp => "rtsp-tcp",
            Self::RtspUdp => "rtsp-udp",
            Self::RtspMulticast => "rtsp-multicast",
        }
    }
}

/// One viewer's numbers.
#[derive(Debug)]
pub struct ViewerStats {
    /// Counts up from 1.
    pub id: u64,
    /// How it watches.
    pub kind: ViewerKind,
    /// The camera it watches.
    pub camera: StreamName,
    /// Where it is.
    pub address: SocketAddr,
    /// When it came.
    pub since: SystemTime,
    /// What it reports of the packets that it is sent by UDP.
    pub receipts: Receipts,
    frames: AtomicU64,
    skipped: AtomicU64,
    no_room: AtomicU64,
    rests: AtomicBool,
    bytes: AtomicU64,
    latency: Mutex<Histogram>,
}

/// A viewer's place. Dropping it gives the place back.
#[derive(Debug)]
pub struct Viewer {
    viewers: Arc<Viewers>,
    stats: Arc<ViewerStats>,
    totals: Arc<SentTotals>,
    passed_over: AtomicU64,
}

/// What one camera's viewers got, those included who have left.
#[derive(Debug, Default)]
pub struct SentTotals {
    /// Pictures written.
    pub frames: AtomicU64,
    /// Bytes written.
    pub bytes: AtomicU64,
    /// Pictures that a viewer was too slow for.
    pub skipped: AtomicU64,
    /// Packets of sound that a viewer who gets sound was not sent.
    pub sound_skipped: AtomicU64,
}

/// Latency from the camera's taking the picture to the kernel's taking its last byte.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// Half of the pictures are faster.
    pub p50: Option<Duration>,
    /// All but one in a hundred are faster.
    pub p99: Option<Duration>,
}

impl Latency {
    pub(crate) fn of(counted: &Histogram) -> Self {
        Self { p50: counted.quantile(0.5), p99: counted.quantile(0.99) }
    }
}

impl Viewers {
    /// Nobody yet, and `limit` at most.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            next_id: AtomicU64::new(1),
            refused: AtomicU64::new(0),
            present: Mutex::default(),
        })
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`Full`] if there is none; counted.
    pub fn admit(
        self: &Arc<Self>,
        kind: ViewerKind,
        camera: StreamName,
        address: SocketAddr,
        totals: Arc<SentTotals>,
    ) -> Result<Viewer, Full> {
        let mut present = lock(&self.present);
        if present.len() >= self.limit {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Full { limit: self.limit });
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let stats = Arc::new(ViewerStats {
            id,
            kind,
            camera,
            address,
            since: SystemTime::now(),
            receipts: Receipts::default(),
            frames: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            no_room: AtomicU64::new(0),
            rests: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            latency: Mutex::default(),
        });
        present.insert(id, stats.clone());
        Ok(Viewer { viewers: self.clone(), stats, totals, passed_over: AtomicU64::new(0) })
    }

    /// Everybody who watches now, the first who came first.
    pub fn present(&self) -> Vec<Arc<ViewerStats>> {
        lock(&self.present).values().cloned().collect()
    }

    /// How many watch `camera` now.
    pub fn watching(&self, camera: &StreamName) -> usize {
        lock(&self.present).values().filter(|viewer| viewer.camera == *camera).count()
    }

    /// The latency of all who watch `camera` now, taken together.
    pub fn latency(&self, camera: &StreamName) -> Latency {
        let mut all = Histogram::default();
        for viewer in self.present().iter().filter(|viewer| viewer.camera == *camera) {
            all.merge(&lock(&viewer.latency));
        }
        Latency::of(&all)
    }

    /// How many were refused for want of a place.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many may watch.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

impl Viewer {
    /// A picture went out: its `bytes`, its latency where it is known, and how many pictures the viewer's reader has
    /// passed over so far.
    pub fn sent(&self, bytes: u64, latency: Option<Duration>, passed_over: u64) {
        self.stats.frames.fetch_add(1, Ordering::Relaxed);
        self.stats.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.totals.frames.fetch_add(1, Ordering::Relaxed);
        self.totals.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(latency) = latency {
            lock(&self.stats.latency).add(latency);
        }
        let before = self.passed_over.swap(passed_over, Ordering::Relaxed);
        if passed_over > before {
            self.skipped(passed_over - before);
        }
    }

    /// Something else than a picture went out.
    pub fn sent_bytes(&self, bytes: u64) {
        self.stats.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.totals.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The viewer was too slow for this many pictures.
    pub fn skipped(&self, pictures: u64) {
        self.stats.skipped.fetch_add(pictures, Ordering::Relaxed);
        self.totals.skipped.fetch_add(pictures, Ordering::Relaxed);
    }

    /// Of the pictures that were skipped, so many were because a picture had to wait for the viewer's connection for [`HELD_UP`] or longer.
    pub fn no_room(&self, pictures: u64) {
        self.stats.no_room.fetch_add(pictures, Ordering::Relaxed);
    }

    /// The viewer was not sent this much sound.
    pub fn sound_skipped(&self, packets: u64) {
        self.totals.sound_skipped.fetch_add(packets, Ordering::Relaxed);
    }

    /// Its numbers.
    pub fn stats(&self) -> &Arc<ViewerStats> {
        &self.stats
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        lock(&self.viewers.present).remove(&self.stats.id);
    }
}

impl ViewerStats {
    /// Pictures written to it.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Pictures it was too slow for.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Says whether it wants no pictures for now.
    pub fn set_rests(&self, rests: bool) {
        self.rests.store(rests, Ordering::Relaxed);
    }

    /// Bytes written to it.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Its latency over the last few thousand pictures.
    pub fn latency(&self) -> Latency {
        Latency::of(&lock(&self.latency))
    }
}

impl Watcher for ViewerStats {
    fn heard(&self) -> Heard<'_> {
        match self.kind {
            _ if self.rests.load(Ordering::Relaxed) => Heard::Apart,
            ViewerKind::HttpMjpeg | ViewerKind::RtspTcp => {
                let skipped = self.no_room.load(Ordering::Relaxed);
                Heard::Pictures { sent: self.frames(), skipped }
            }
            ViewerKind::RtspUdp | ViewerKind::RtspMulticast => Heard::Receipts(&self.receipts),
        }
    }
}

/// A lock whose holders only ever assign: what they leave behind is whole even if one of them panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(viewers: &Arc<Viewers>, totals: &Arc<SentTotals>) -> Result<Viewer, Full> {
        let address = "127.0.0.1:1".parse().unwrap();
        viewers.admit(ViewerKind::HttpMjpeg, "cam".parse().unwrap(), address, totals.clone())
    }

    #[test]
    fn the_limit_holds_and_places_are_given_back() {
        let (viewers, totals) = (Viewers::new(2), Arc::default());
        let first = admit(&viewers, &totals).unwrap();
        let _second = admit(&viewers, &totals).unwrap();
        assert_eq!(admit(&viewers, &totals).unwrap_err(), Full { limit: 2 });
        assert_eq!(viewers.refused(), 1);
        drop(first);
        assert!(admit(&viewers, &totals).is_ok());
        assert_eq!(viewers.watching(&"cam".parse().unwrap()), 1);
    }

    #[test]
    fn numbers_add_up_for_the_viewer_and_outlive_it_for_the_camera() {
        let (viewers, totals) = (Viewers::new(1), Arc::<SentTotals>::default());
        let viewer = admit(&viewers, &totals).unwrap();
        viewer.sent(100, Some(Duration::from_millis(3)), 0);
        viewer.sent(100, Some(Duration::from_millis(3)), 4);
        viewer.skipped(1);
        assert_eq!((viewer.stats().frames(), viewer.stats().bytes(), viewer.stats().skipped()), (2, 200, 5));
        assert_eq!(viewers.latency(&"cam".parse().unwrap()), viewer.stats().latency());
        assert_eq!(viewers.latency(&"other".parse().unwrap()), Latency::default());
        let p50 = viewer.stats().latency().p50.unwrap();
        assert!(p50.abs_diff(Duration::from_millis(3)) < Duration::from_micros(400), "{p50:?}");
        drop(viewer);
        assert_eq!(totals.frames.load(Ordering::Relaxed), 2);
        assert_eq!(totals.skipped.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn a_variant_hears_what_there_was_no_room_for_and_nothing_while_one_rests() {
        let (viewers, totals) = (Viewers::new(1), Arc::<SentTotals>::default());
        let viewer = admit(&viewers, &totals).unwrap();
        viewer.sent(100, None, 3);
        viewer.skipped(2);
        viewer.no_room(2);
        assert!(matches!(viewer.stats().heard(), Heard::Pictures { sent: 1, skipped: 2 }));
        viewer.stats().set_rests(true);
        assert!(matches!(viewer.stats().heard(), Heard::Apart));
    }
}
