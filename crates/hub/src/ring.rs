//! The fan-out ring: one writer, any number of readers, each with a cursor of its own.
//!
//! A piece is stored once and cloned (a count, not bytes) to whoever reads it. A push takes the lock once, wakes every
//! waiting reader once, and waits for nobody. What a reader that falls behind loses is decided by its [`Want`] and
//! counted, never silent.
//!
//! Cost: a push is O(readers) under one short lock; a read is O(1) under the same lock, plus one scan for a key piece
//! after a gap. Memory: what [`Bounds`] allows at most, and less whenever no reader can ever ask for the rest: with
//! only [`Want::Latest`] readers on a stream of JPEGs, exactly one piece.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Mutex, MutexGuard};

#[cfg(test)]
#[cfg(feature = "model")]
mod model;
#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests;

/// What a ring can hold.
pub trait Piece: Clone + Send + 'static {
    /// A reader can start at this piece: it needs none that came before.
    fn key(&self) -> bool;
    /// Bytes that it keeps in memory.
    fn size(&self) -> usize;
}

/// How much a ring keeps at the most. The newest piece is always kept, whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Pieces, at least 1. From the newest key on up to [`GROUP_PIECES`], however few these are: a new reader needs them all.
    pub pieces: usize,
    /// Bytes, as [`Piece::size`] counts them.
    pub bytes: usize,
}

/// What a reader wants when it is slower than the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The newest key piece only; older ones are skipped.
    Latest,
    /// Every piece in order while it keeps up; when more than [`LIVE_SLACK`] pieces behind, on to the newest key.
    Live,
    /// Every piece in order; what the ring's bounds force out is a marked gap, after which it goes on at a key.
    All,
}

/// How many unread pieces a [`Want::Live`] reader may have before it goes on to a newer key piece: a quarter of a
/// second at 30 pictures a second, more than any scheduling delay and less than anybody calls a lag.
pub const LIVE_SLACK: u64 = 8;

/// How many pieces a ring keeps from the newest key on: twenty seconds and more of 30 pictures and 50 pieces of sound a second,
/// where cameras have a key every one to ten.
pub const GROUP_PIECES: usize = 2048;

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// The next piece.
    Piece(T),
    /// Pieces that this reader will never see. The piece that follows is a key.
    Lost {
        /// How many.
        pieces: u64,
    },
}

/// The ring is closed and the reader has read what was left for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream has ended")]
pub struct Closed;

/// A handle from which readers are made.
#[derive(Debug)]
pub struct Ring<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Ring<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

/// The one writer. Dropping it closes the ring.
#[derive(Debug)]
pub struct RingSender<T> {
    shared: Arc<Shared<T>>,
    /// Kept between pushes so that waking allocates nothing.
    wakers: Vec<Waker>,
}

/// One reader with its cursor. Dropping it gives its place back.
#[derive(Debug)]
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    slot: usize,
    skipped: u64,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    bounds: Bounds,
    pieces: VecDeque<T>,
    bytes: usize,
    /// Sequence number of the front piece.
    first: u64,
    /// Sequence number of the newest key piece that is still there.
    newest_key: Option<u64>,
    closed: bool,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Slot {
    want: Want,
    /// Sequence number of the next piece to read.
    cursor: u64,
    /// How far a [`Want::Live`] reader may be behind.
    slack: u64,
    phase: Phase,
    waker: Option<Waker>,
}

/// Where a reader is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has read nothing yet and begins at a key.
    New,
    /// It has read its first piece, so what it misses from here on is a loss.
    Reading,
    /// It is from before a [`RingSender::disconnect`], and finds the ring closed.
    Disconnected,
}

/// A ring that keeps at most `bounds`, empty.
pub fn ring<T: Piece>(bounds: Bounds) -> (RingSender<T>, Ring<T>) {
    let state = State {
        bounds: Bounds { pieces: bounds.pieces.max(1), ..bounds },
        pieces: VecDeque::new(),
        bytes: 0,
        first: 0,
        newest_key: None,
        closed: false,
        slots: Vec::new(),
        free: Vec::new(),
    };
    let shared = Arc::new(Shared { state: Mutex::new(state) });
    (RingSender { shared: shared.clone(), wakers: Vec::new() }, Ring { shared })
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("nothing panics while it holds a ring's lock")
    }
}

impl<T: Piece> RingSender<T> {
    /// Adds the newest piece and wakes every waiting reader.
    ///
    /// Returns how many pieces a [`Want::Live`] or [`Want::All`] reader still wanted when the bounds forced them out.
    pub fn push(&mut self, piece: T) -> u64 {
        let forced_out = {
            let mut state = self.shared.lock();
            let sequence = state.end();
            if piece.key() {
                state.newest_key = Some(sequence);
            }
            state.bytes += piece.size();
            state.pieces.push_back(piece);
            let forced_out = state.trim();
            state.take_wakers(&mut self.wakers);
            forced_out
        };
        self.wake();
        forced_out
    }

    /// Forgets every piece, so that a new reader waits for the next key. Readers that had not read them lose them.
    pub fn clear(&mut self) {
        let mut state = self.shared.lock();
        state.first = state.end();
        state.pieces.clear();
        state.bytes = 0;
        state.newest_key = None;
    }

    /// Closes the ring for the readers there are; new ones may come.
    pub fn disconnect(&mut self) {
        {
            let mut state = self.shared.lock();
            for slot in state.slots.iter_mut().flatten() {
                slot.phase = Phase::Disconnected;
            }
            state.take_wakers(&mut self.wakers);
        }
        self.wake();
    }
}

impl<T> RingSender<T> {
    /// Wakes those who waited, with the lock given back: they take it themselves.
    fn wake(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }
}

impl<T> Drop for RingSender<T> {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.closed = true;
            state.take_wakers(&mut self.wakers);
        }
        self.wake();
    }
}

impl<T: Piece> Ring<T> {
    /// A new reader. It starts at the newest key piece there is, at once, else at the next one.
    pub fn subscribe(&self, want: Want) -> Reader<T> {
        let mut state = self.shared.lock();
        let cursor = state.newest_key.unwrap_or_else(|| state.end());
        let slot = Slot { want, cursor, slack: LIVE_SLACK, phase: Phase::New, waker: None };
        let index = match state.free.pop() {
            Some(index) => {
                state.slots[index] = Some(slot);
                index
            }
            None => {
                state.slots.push(Some(slot));
                state.slots.len() - 1
            }
        };
        Reader { shared: self.shared.clone(), slot: index, skipped: 0 }
    }

    /// No writer is left.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }
}

impl<T: Piece> Reader<T> {
    /// Waits for the next piece. Cancel-safe: a piece is taken only when it is returned.
    ///
    /// # Errors
    /// [`Closed`] once the ring is closed for this reader and nothing is left that it wants.
    pub async fn next(&mut self) -> Result<Next<T>, Closed> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// [`next`](Self::next) for a poll function.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Next<T>, Closed>> {
        let mut state = self.shared.lock();
        match state.take(self.slot, &mut self.skipped) {
            Some(next) => Poll::Ready(next),
            None => {
                let slot = state.slot(self.slot);
                match &mut slot.waker {
                    Some(waker) if waker.will_wake(context.waker()) => {}
                    waker => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    /// The next piece if it is there already.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn try_next(&mut self) -> Result<Option<Next<T>>, Closed> {
        self.shared.lock().take(self.slot, &mut self.skipped).transpose()
    }

    /// Pieces that a [`Want::Latest`] reader passed over because a newer one was there.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The position of the piece that comes next, counted from the ring's first: two readers of one ring that are at the same
    /// position have the same before them.
    pub fn position(&self) -> u64 {
        self.shared.lock().slot(self.slot).cursor
    }

    /// Wants something else from here on: for those who learn from the pieces themselves whether each is a key.
    pub fn set_want(&mut self, want: Want) {
        self.shared.lock().slot(self.slot).want = want;
    }

    /// Lets a [`Want::Live`] reader be behind by so many pieces, in the stead of [`LIVE_SLACK`]: for streams with more pieces a
    /// second than pictures.
    pub fn set_slack(&mut self, pieces: u64) {
        self.shared.lock().slot(self.slot).slack = pieces;
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.slots[self.slot] = None;
        state.free.push(self.slot);
    }
}

impl<T> State<T> {
    /// Sequence number of the piece that will be pushed next.
    fn end(&self) -> u64 {
        self.first + self.pieces.len() as u64
    }

    fn at(&self, sequence: u64) -> &T {
        &self.pieces[(sequence - self.first) as usize]
    }

    fn slot(&mut self, index: usize) -> &mut Slot {
        self.slots[index].as_mut().expect("a reader's slot is there until the reader is dropped")
    }

    fn take_wakers(&mut self, into: &mut Vec<Waker>) {
        into.extend(self.slots.iter_mut().flatten().filter_map(|slot| slot.waker.take()));
    }
}

impl<T: Piece> State<T> {
    /// The next thing for the reader in slot `index`, or `None` if it must wait.
    fn take(&mut self, index: usize, skipped: &mut u64) -> Option<Result<Next<T>, Closed>> {
        let Slot { want, cursor, slack, phase, .. } = *self.slot(index);
        if phase == Phase::Disconnected {
            return Some(Err(Closed));
        }
        let started = phase == Phase::Reading;
        let Some(target) = self.target(want, cursor, slack, started) else {
            if !started {
                // Nothing to start at yet: what is there need not be kept for this reader.
                self.slot(index).cursor = self.end();
            }
            return self.closed.then_some(Err(Closed));
        };
        let passed_over = target - cursor;
        let slot = self.slot(index);
        slot.cursor = target;
        if passed_over > 0 && started && want != Want::Latest {
            return Some(Ok(Next::Lost { pieces: passed_over }));
        }
        if want == Want::Latest {
            *skipped += passed_over;
        }
        slot.cursor = target + 1;
        slot.phase = Phase::Reading;
        Some(Ok(Next::Piece(self.at(target).clone())))
    }

    /// Sequence number of the piece that a reader at `cursor` is to have next.
    fn target(&self, want: Want, cursor: u64, slack: u64, started: bool) -> Option<u64> {
        match want {
            Want::Latest => self.newest_key.filter(|key| *key >= cursor),
            Want::Live if self.has_newer_start(cursor, slack) => self.newest_key,
            Want::Live | Want::All if cursor < self.first || !started => {
                (cursor.max(self.first)..self.end()).find(|sequence| self.at(*sequence).key())
            }
            Want::Live | Want::All => (cursor < self.end()).then_some(cursor),
        }
    }

    /// A live reader at `cursor` is so far behind that it goes on to the newest key.
    fn has_newer_start(&self, cursor: u64, slack: u64) -> bool {
        self.end() - cursor > slack && self.newest_key.is_some_and(|key| key > cursor)
    }

    /// Drops what no reader can ask for, then what the bounds force out. Returns how many of the latter a reader
    /// still wanted.
    fn trim(&mut self) -> u64 {
        let end = self.end();
        let wanted_from = self.slots.iter().flatten().filter(|slot| slot.phase != Phase::Disconnected);
        let wanted_from = wanted_from.filter_map(|slot| match slot.want {
            Want::Latest => None,
            Want::Live if self.has_newer_start(slot.cursor, slot.slack) => self.newest_key,
            Want::Live | Want::All => Some(slot.cursor),
        });
        let wanted_from = wanted_from.min().unwrap_or(end);
        // The newest piece stays even where nobody can start at it: there is always one to weigh against the bounds.
        let keep_from = wanted_from.min(self.newest_key.unwrap_or(end)).min(end - 1);
        while self.first < keep_from {
            self.drop_first();
        }
        let mut forced_out = 0;
        while self.pieces.len() > 1
            && (self.pieces.len() > self.most_pieces() || self.bytes > self.bounds.bytes)
        {
            forced_out += u64::from(self.first >= wanted_from);
            self.drop_first();
        }
        forced_out
    }

    fn most_pieces(&self) -> usize {
        let is_a_group = self.newest_key == Some(self.first);
        if is_a_group { self.bounds.pieces.max(GROUP_PIECES) } else { self.bounds.pieces }
    }

    fn drop_first(&mut self) {
        if let Some(piece) = self.pieces.pop_front() {
            self.bytes -= piece.size();
            if self.newest_key == Some(self.first) {
                self.newest_key = None;
            }
            self.first += 1;
        }
    }
}
