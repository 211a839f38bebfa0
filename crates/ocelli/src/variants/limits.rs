//! How many variants may be made at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The places for encoders of the whole program.
#[derive(Debug)]
pub struct Encoders {
    most: usize,
    taken: AtomicUsize,
}

/// A place. Dropping it gives it back.
#[derive(Debug)]
pub struct Place(Arc<Encoders>);

impl Encoders {
    /// `most` places.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicUsize::new(0) })
    }

    /// Takes a place, if there is one.
    pub fn take(self: &Arc<Self>) -> Option<Place> {
        let more = |taken| (taken < self.most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Place(self.clone()))
    }

    /// How many there are.
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many are taken now.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let encoders = Encoders::new(2);
        let first = encoders.take().unwrap();
        let _second = encoders.take().unwrap();
        assert!(encoders.take().is_none());
        drop(first);
        assert_eq!(encoders.taken(), 1);
        assert!(encoders.take().is_some());
    }
}
