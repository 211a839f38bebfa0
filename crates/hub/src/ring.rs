//! The fan-out ring: one writer, any number of readers, each with a cursor of its own.
//!
//! A piece is stored once and cloned (a count, not bytes) to whoever reads it. A push takes the lock once, wakes every
//! waiting reader once, and waits for nobody. What a reader that falls behind loses is decided by its [`Want`] and
//! counted, never silent.
//!
//! Some pieces stand between those that count: sound between pictures. How far a reader is behind and what it lost is told
//! in pieces that count ([`Piece::counts`]), so that a stream is the same with sound and without.
//!
//! Cost: a push is O(readers) under one short lock; a read is O(1) under the same lock, plus one scan for a key piece
//! after a gap. Memory: what [`Bounds`] allows at most, and less whenever no reader can ever ask for the rest: with
//! only [`Want::Latest`] readers on a stream of JPEGs, exactly one piece; on one of pictures that need others, those from
//! the newest key on.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Mutex, MutexGuard};
use crate::wake::Together;

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
    /// It is one of those by which a reader's lag and loss are told. A piece that does not count is never a key.
    fn counts(&self) -> bool {
        true
    }
    /// Bytes that it keeps in memory.
    fn size(&self) -> usize;
}

/// How much a ring keeps at the most. The newest piece is always kept, whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Pieces that a reader can start at, at least 1: all of a stream of JPEGs. Those that stand behind them and need them
    /// come on top, as many as [`MOST_PIECES`] and `bytes` allow.
    pub pieces: usize,
    /// Bytes, as [`Piece::size`] counts them.
    pub bytes: usize,
}

/// Most pieces of a ring, of whatever kind: two minutes of 60 pictures and 50 packets of sound a second, more than any camera
/// puts between two keyframes. Of small pieces it bounds what they cost beside their bytes, about 2 MiB.
pub const MOST_PIECES: usize = 16_384;

/// What a reader wants when it is slower than the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The newest key piece only; older ones are skipped.
    Latest,
    /// Every piece in order while it keeps up; when more than [`LIVE_SLACK`] pieces that count behind, on to the newest key.
    Live,
    /// Every piece in order; what the ring's bounds force out is a marked gap, after which it goes on at a key.
    All,
}

/// How many unread pieces that count a [`Want::Live`] reader may have before it goes on to a newer key piece: a quarter of a
/// second at 30 pictures a second, more than any scheduling delay and less than anybody calls a lag.
pub const LIVE_SLACK: u64 = 8;

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// The next piece.
    Piece(T),
    /// Pieces that this reader will never see. The piece that follows is a key.
    Lost {
        /// How many that count; 0 where there were none among them.
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
    together: Together,
}

/// One reader with its cursor. Dropping it gives its place back.
#[derive(Debug)]
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    slot: usize,
    passed_over: PassedOver,
}

/// What a reader did not get.
#[derive(Clone, Copy, Debug, Default)]
struct PassedOver {
    /// Pieces that count, while it wanted [`Want::Latest`].
    skipped: u64,
    /// Pieces that do not count, since its first one.
    between: u64,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    bounds: Bounds,
    pieces: VecDeque<Stored<T>>,
    bytes: usize,
    /// How many of them are keys.
    keys: usize,
    /// How many pieces that count were ever pushed.
    counted: u64,
    /// Sequence number of the front piece.
    first: u64,
    /// Sequence number of the newest key piece that is still there.
    newest_key: Option<u64>,
    closed: bool,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Stored<T> {
    piece: T,
    /// How many pieces that count were pushed before it.
    counted: u64,
}

#[derive(Debug)]
struct Slot {
    want: Want,
    /// Sequence number of the next piece to read.
    cursor: u64,
    /// How many pieces that count were pushed before that one.
    counted: u64,
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
        keys: 0,
        counted: 0,
        first: 0,
        newest_key: None,
        closed: false,
        slots: Vec::new(),
        free: Vec::new(),
    };
    let shared = Arc::new(Shared { state: Mutex::new(state) });
    (
        RingSender { shared: shared.clone(), wakers: Vec::new(), together: Together::default() },
        Ring { shared },
    )
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("nothing panics while it holds a ring's lock")
    }
}

impl<T: Piece> RingSender<T> {
    /// Adds the newest piece and wakes every waiting reader.
    ///
    /// Returns how many pieces that count a [`Want::Live`] or [`Want::All`] reader still wanted when the bounds forced them out.
    pub fn push(&mut self, piece: T) -> u64 {
        let forced_out = {
            let mut state = self.shared.lock();
            let key = piece.key();
            if key {
                state.newest_key = Some(state.end());
                state.keys += 1;
            }
            state.bytes += piece.size();
            let counted = state.counted;
            state.counted += u64::from(piece.counts());
            state.pieces.push_back(Stored { piece, counted });
            let forced_out = state.trim();
            // Who wants keys only has nothing to do with the others.
            state.take_wakers(&mut self.wakers, |slot| key || slot.want != Want::Latest);
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
        (state.bytes, state.keys) = (0, 0);
        state.newest_key = None;
    }

    /// Closes the ring for the readers there are; new ones may come.
    pub fn disconnect(&mut self) {
        {
            let mut state = self.shared.lock();
            for slot in state.slots.iter_mut().flatten() {
                slot.phase = Phase::Disconnected;
            }
            state.take_wakers(&mut self.wakers, |_| true);
        }
        self.wake();
    }
}

impl<T> RingSender<T> {
    /// Wakes those who waited, with the lock given back: they take it themselves.
    fn wake(&mut self) {
        self.together.wake(&mut self.wakers);
    }
}

impl<T> Drop for RingSender<T> {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.closed = true;
            state.take_wakers(&mut self.wakers, |_| true);
        }
        self.wake();
        self.together.finish();
    }
}

impl<T: Piece> Ring<T> {
    /// A new reader. It starts at the newest key piece there is, at once, else at the next one.
    pub fn subscribe(&self, want: Want) -> Reader<T> {
        let mut state = self.shared.lock();
        let cursor = state.newest_key.unwrap_or_else(|| state.end());
        let counted = state.counted_before(cursor);
        let slot = Slot { want, cursor, counted, slack: LIVE_SLACK, phase: Phase::New, waker: None };
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
        Reader { shared: self.shared.clone(), slot: index, passed_over: PassedOver::default() }
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
        match state.take(self.slot, &mut self.passed_over) {
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
        self.shared.lock().take(self.slot, &mut self.passed_over).transpose()
    }

    /// Pieces that count that a [`Want::Latest`] reader passed over because a newer one was there.
    pub fn skipped(&self) -> u64 {
        self.passed_over.skipped
    }

    /// Pieces that do not count that it did not get since its first one, whatever it wants.
    pub fn skipped_between(&self) -> u64 {
        self.passed_over.between
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

    /// Lets a [`Want::Live`] reader be behind by so many pieces that count, in the stead of [`LIVE_SLACK`].
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
        &self.pieces[(sequence - self.first) as usize].piece
    }

    /// How many pieces that count were pushed before the one with this number, which is there or will be pushed next.
    fn counted_before(&self, sequence: u64) -> u64 {
        self.pieces.get((sequence - self.first) as usize).map_or(self.counted, |stored| stored.counted)
    }

    fn slot(&mut self, index: usize) -> &mut Slot {
        self.slots[index].as_mut().expect("a reader's slot is there until the reader is dropped")
    }

    fn take_wakers(&mut self, into: &mut Vec<Waker>, of: impl Fn(&Slot) -> bool) {
        let slots = self.slots.iter_mut().flatten().filter(|slot| of(slot));
        into.extend(slots.filter_map(|slot| slot.waker.take()));
    }

    /// Has the reader in slot `index` go on at `sequence`, and says how many pieces that count it passed over.
    fn move_to(&mut self, index: usize, sequence: u64) -> u64 {
        let counted = self.counted_before(sequence);
        let slot = self.slot(index);
        slot.cursor = sequence;
        counted - std::mem::replace(&mut slot.counted, counted)
    }
}

impl<T: Piece> State<T> {
    /// The next thing for the reader in slot `index`, or `None` if it must wait.
    fn take(&mut self, index: usize, all: &mut PassedOver) -> Option<Result<Next<T>, Closed>> {
        let Slot { want, cursor, phase, .. } = *self.slot(index);
        if phase == Phase::Disconnected {
            return Some(Err(Closed));
        }
        let started = phase == Phase::Reading;
        let Some(target) = self.target(index) else {
            if !started {
                // Nothing to start at yet: what is there need not be kept for this reader.
                self.move_to(index, self.end());
            }
            return self.closed.then_some(Err(Closed));
        };
        let passed_over = self.move_to(index, target);
        if started {
            all.between += (target - cursor).saturating_sub(passed_over);
        }
        if target > cursor && started && want != Want::Latest {
            return Some(Ok(Next::Lost { pieces: passed_over }));
        }
        if want == Want::Latest {
            all.skipped += passed_over;
        }
        self.move_to(index, target + 1);
        self.slot(index).phase = Phase::Reading;
        Some(Ok(Next::Piece(self.at(target).clone())))
    }

    /// Sequence number of the piece that the reader in slot `index` is to have next.
    fn target(&mut self, index: usize) -> Option<u64> {
        let Slot { want, cursor, counted, slack, phase, .. } = *self.slot(index);
        let started = phase == Phase::Reading;
        match want {
            Want::Latest => self.newest_key.filter(|key| *key >= cursor),
            Want::Live if self.has_newer_start(cursor, self.counted - counted > slack) => self.newest_key,
            Want::Live | Want::All if cursor < self.first || !started => {
                (cursor.max(self.first)..self.end()).find(|sequence| self.at(*sequence).key())
            }
            Want::Live | Want::All => (cursor < self.end()).then_some(cursor),
        }
    }

    /// A live reader at `cursor` goes on to the newest key, for it is `far` behind.
    fn has_newer_start(&self, cursor: u64, far: bool) -> bool {
        far && self.newest_key.is_some_and(|key| key > cursor)
    }

    /// Drops what no reader can ask for, then what the bounds force out. Returns how many of the latter a reader
    /// still wanted.
    fn trim(&mut self) -> u64 {
        let end = self.end();
        let wanted_from = self.slots.iter().flatten().filter(|slot| slot.phase != Phase::Disconnected);
        let wanted_from = wanted_from.filter_map(|slot| match slot.want {
            Want::Latest => None,
            Want::Live if self.has_newer_start(slot.cursor, self.counted - slot.counted > slot.slack) => {
                self.newest_key
            }
            Want::Live | Want::All => Some(slot.cursor),
        });
        let wanted_from = wanted_from.min().unwrap_or(end);
        // The newest piece stays even where nobody can start at it: there is always one to weigh against the bounds.
        let keep_from = wanted_from.min(self.newest_key.unwrap_or(end)).min(end - 1);
        while self.first < keep_from {
            self.drop_first();
        }
        let mut forced_out = 0;
        while self.pieces.len() > 1 && self.exceeds_bounds() {
            forced_out += u64::from(self.first >= wanted_from && self.at(self.first).counts());
            self.drop_first();
        }
        forced_out
    }

    fn exceeds_bounds(&self) -> bool {
        self.keys > self.bounds.pieces || self.bytes > self.bounds.bytes || self.pieces.len() > MOST_PIECES
    }

    fn drop_first(&mut self) {
        if let Some(Stored { piece, .. }) = self.pieces.pop_front() {
            self.bytes -= piece.size();
            self.keys -= usize::from(piece.key());
            if self.newest_key == Some(self.first) {
                self.newest_key = None;
            }
            self.first += 1;
        }
    }
}
