//! Who plays: each session with its numbers, for others to see and to end; and how many are over, by why.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use ocelli_media::TrackId;
use tokio::sync::oneshot;

use super::bursts::Laid;
use super::listen::site;
use super::numbers::{Numbers, SessionDrop};
use super::outcomes::{Endings, SessionRefusals};
use crate::viewers::Viewer;

/// All sessions of the server.
#[derive(Debug, Default)]
pub struct Sessions {
    present: Mutex<BTreeMap<u64, Arc<Session>>>,
    /// Of sessions that are over.
    reports_dropped: AtomicU64,
    /// Those that are over, by why.
    pub ended: Endings,
    /// Those for which there was no place, by why.
    pub refused: SessionRefusals,
}

/// One client that plays, or is about to.
#[derive(Debug)]
pub struct Session {
    /// Its place among the viewers, with its numbers.
    pub viewer: Viewer,
    /// What the client says it is, without control characters.
    pub program: Option<String>,
    /// What was sent of its tracks, why pictures were dropped, and what it reports.
    pub numbers: Numbers,
    close: Mutex<Option<oneshot::Sender<()>>>,
}

/// A session's place in the list, until it is dropped.
pub(super) struct Enrolled {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
    /// Ready when somebody wants it to end.
    pub(super) asked_to_close: oneshot::Receiver<()>,
}

impl Sessions {
    /// Everybody, the first who came first.
    pub fn present(&self) -> Vec<Arc<Session>> {
        self.lock().values().cloned().collect()
    }

    /// Reports that were dropped because too many waited already, those of sessions included that are over.
    pub fn reports_dropped(&self) -> u64 {
        let present = self.lock();
        let now: u64 = present.values().map(|session| session.numbers.reports_dropped()).sum();
        now + self.reports_dropped.load(Ordering::Relaxed)
    }

    /// Ends the session with this number; whether there is one.
    pub fn close(&self, id: u64) -> bool {
        let session = self.lock().get(&id).cloned();
        session.is_some_and(|session| {
            let close = session.close.lock().unwrap_or_else(PoisonError::into_inner).take();
            close.is_some_and(|close| close.send(()).is_ok())
        })
    }

    /// How many sessions the site of `address` has.
    pub(super) fn of_address(&self, address: IpAddr) -> usize {
        let address = site(address);
        self.lock().values().filter(|session| site(session.viewer.stats().address.ip()) == address).count()
    }

    pub(super) fn enrol(self: &Arc<Self>, viewer: Viewer, program: Option<&str>) -> Enrolled {
        let (close, asked_to_close) = oneshot::channel();
        let program = program.map(str::to_owned);
        let session = Arc::new(Session {
            viewer,
            program,
            numbers: Numbers::default(),
            close: Mutex::new(Some(close)),
        });
        self.lock().insert(session.id(), session.clone());
        Enrolled { sessions: self.clone(), session, asked_to_close }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Session>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Its number, the viewer's.
    pub fn id(&self) -> u64 {
        self.viewer.stats().id
    }

    /// The first `packets` of `piece`, with `bytes` together, RTP headers included, went out.
    pub(super) fn got(&self, piece: &Laid, packets: usize, bytes: usize) {
        self.numbers.sent(piece, packets, bytes);
        if packets < piece.packet_count() || piece.track != TrackId::VIDEO.0 {
            self.viewer.sent_bytes(bytes as u64);
            return;
        }
        let captured = piece.captured.filter(|_| !piece.notice);
        let latency = captured.and_then(|captured| SystemTime::now().duration_since(captured).ok());
        self.viewer.sent(bytes as u64, latency, 0);
    }

    /// So many `frames` of sound did not go out: others came before they could, a socket took no more, or RTP cannot carry them.
    pub(super) fn lost_sound(&self, frames: u64) {
        if frames > 0 {
            self.numbers.sound_dropped(frames);
            self.viewer.sound_skipped(frames);
        }
    }

    /// `pictures` were passed over for newer ones; `held_up`: for want of room in the connection.
    pub(super) fn behind(&self, pictures: u64, held_up: bool) {
        self.lost(pictures, SessionDrop::Behind);
        if held_up && pictures > 0 {
            self.viewer.no_room(pictures);
        }
    }

    /// `pictures` did not go out.
    pub(super) fn lost(&self, pictures: u64, reason: SessionDrop) {
        if pictures == 0 {
            return;
        }
        self.numbers.dropped(reason, pictures);
        self.viewer.skipped(pictures);
    }
}

impl Enrolled {
    /// For others who count.
    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Deref for Enrolled {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        let mut present = self.sessions.lock();
        present.remove(&self.session.id());
        // Under the lock, so that nobody counts them twice.
        self.sessions.reports_dropped.fetch_add(self.session.numbers.reports_dropped(), Ordering::Relaxed);
    }
}
