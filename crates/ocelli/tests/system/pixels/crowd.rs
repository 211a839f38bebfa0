//! Many who watch at the same time, each with a thread that reads all that comes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Viewer, size};
use crate::processes::eventually;

/// They read until they are dropped.
pub(super) struct Crowd {
    watchers: Vec<Watcher>,
    over: Arc<AtomicBool>,
}

struct Watcher {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    pictures: AtomicU64,
    /// The longest time without one, in milliseconds.
    longest_ms: AtomicU64,
    ended: AtomicBool,
}

impl Crowd {
    /// So many watch `path`, whose pictures are `width` pixels wide.
    pub(super) fn watch(address: SocketAddr, path: &str, width: u16, count: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let watchers = (0..count).map(|_| Watcher::start(address, path.to_owned(), width, over.clone()));
        Self { watchers: watchers.collect(), over }
    }

    /// Waits until everybody has got so many pictures more.
    pub(super) fn all_get(&self, pictures: u64) {
        let wanted: Vec<u64> = self.pictures().iter().map(|had| had + pictures).collect();
        eventually(&format!("everybody gets {pictures} more pictures"), || {
            self.pictures().iter().zip(&wanted).all(|(has, wanted)| has >= wanted).then_some(())
        });
        self.all_are_there();
    }

    /// Looks that nobody's connection has ended.
    pub(super) fn all_are_there(&self) {
        let gone = self.watchers.iter().filter(|watcher| watcher.seen.ended.load(Ordering::Relaxed)).count();
        assert_eq!(gone, 0, "of {} viewers", self.watchers.len());
    }

    /// The longest time that anybody was without a picture.
    pub(super) fn longest_wait(&self) -> Duration {
        let longest = self.watchers.iter().map(|watcher| watcher.seen.longest_ms.load(Ordering::Relaxed));
        Duration::from_millis(longest.max().unwrap_or_default())
    }

    fn pictures(&self) -> Vec<u64> {
        self.watchers.iter().map(|watcher| watcher.seen.pictures.load(Ordering::Relaxed)).collect()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for watcher in &mut self.watchers {
            let ended = watcher.thread.take().map(JoinHandle::join);
            assert!(std::thread::panicking() || ended.is_none_or(|ended| ended.is_ok()), "a viewer's thread");
        }
    }
}

impl Watcher {
    fn start(address: SocketAddr, path: String, width: u16, over: Arc<AtomicBool>) -> Self {
        let seen = Arc::<Seen>::default();
        let own = seen.clone();
        let thread = std::thread::spawn(move || {
            let mut viewer = Viewer::open(address, &path, "");
            let mut last = Instant::now();
            while !over.load(Ordering::Relaxed) {
                let deadline = Instant::now() + Duration::from_millis(200);
                match viewer.next_before(deadline) {
                    Some(part) => {
                        assert_eq!(size(&part.data).width, width);
                        own.pictures.fetch_add(1, Ordering::Relaxed);
                        let waited = last.elapsed().as_millis() as u64;
                        own.longest_ms.fetch_max(waited, Ordering::Relaxed);
                        last = Instant::now();
                    }
                    None if Instant::now() < deadline => {
                        own.ended.store(true, Ordering::Relaxed);
                        return;
                    }
                    None => {}
                }
            }
        });
        Self { seen, thread: Some(thread) }
    }
}
