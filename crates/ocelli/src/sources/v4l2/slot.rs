//! Where a capture thread leaves what it has for the async side: the newest picture, and counts of the others.
//!
//! One picture at most is kept. One that nobody took before the next was there is dropped and counted as late.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ocelli_hub::{DropReason, Publisher, SourceError};
use ocelli_media::{Frame, Tracks};
use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct Slot {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    tracks: Option<Tracks>,
    note: Option<String>,
    frame: Option<Frame>,
    dropped: [u64; DropReason::ALL.len()],
    end: Option<SourceError>,
}

/// What was in the slot.
pub(super) enum Taken {
    /// A picture was published.
    Picture,
    /// Something else was passed on.
    Other,
    /// The thread has ended, with the device closed.
    End(SourceError),
}

impl Slot {
    pub(super) fn tracks(&self, tracks: Tracks) {
        self.lock().tracks = Some(tracks);
        self.changed.notify_one();
    }

    /// What the camera's owner should know: see [`Publisher::note`].
    pub(super) fn note(&self, note: String) {
        self.lock().note = Some(note);
        self.changed.notify_one();
    }

    pub(super) fn picture(&self, frame: Frame) {
        let mut state = self.lock();
        if state.frame.replace(frame).is_some() {
            state.dropped[DropReason::Late as usize] += 1;
        }
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn dropped(&self, pictures: u64, reason: DropReason) {
        self.lock().dropped[reason as usize] += pictures;
        self.changed.notify_one();
    }

    pub(super) fn end(&self, why: SourceError) {
        self.lock().end.get_or_insert(why);
        self.changed.notify_one();
    }

    /// Waits for something and passes it on. Cancel-safe.
    pub(super) async fn pass_on(&self, out: &mut Publisher) -> Taken {
        loop {
            let changed = self.changed.notified();
            let state = {
                let mut state = self.lock();
                let end = state.end.clone();
                std::mem::replace(&mut *state, State { end, ..State::default() })
            };
            let mut taken = None;
            if let Some(tracks) = state.tracks {
                out.set_tracks(tracks);
                taken = Some(Taken::Other);
            }
            if let Some(note) = state.note {
                out.note(&note);
                taken = Some(Taken::Other);
            }
            for reason in DropReason::ALL {
                let pictures = state.dropped[reason as usize];
                if pictures > 0 {
                    out.dropped(pictures, reason);
                    taken = Some(Taken::Other);
                }
            }
            if let Some(frame) = state.frame {
                out.push(frame);
                taken = Some(Taken::Picture);
            }
            if let Some(taken) = state.end.map(Taken::End).or(taken) {
                return taken;
            }
            changed.await;
        }
    }

    /// Waits until the thread has ended.
    pub(super) async fn ended(&self) {
        loop {
            let changed = self.changed.notified();
            if self.lock().end.is_some() {
                return;
            }
            changed.await;
        }
    }

    /// Nothing panics while it holds the lock; if it did, the state would still be whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
