//! How often each of a few things was so, counted by many tasks at once.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often each of `N` things was so. Which they are says the enum whose numbers are its places.
#[derive(Debug)]
pub struct Tally<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Tally<N> {
    /// The thing at `index`, which is less than `N`, was so once more.
    pub(crate) fn count(&self, index: usize) {
        self.add(index, 1);
    }

    /// It was so `times` more.
    pub(crate) fn add(&self, index: usize, times: u64) {
        self.0[index].fetch_add(times, Ordering::Relaxed);
    }

    /// How often each of `all`, in the order of their numbers, was so.
    pub(crate) fn of<K: Copy>(&self, all: [K; N]) -> [(K, u64); N] {
        std::array::from_fn(|index| (all[index], self.0[index].load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_apart() {
        let tally = Tally::<3>::default();
        tally.count(2);
        tally.add(0, 5);
        tally.count(2);
        assert_eq!(tally.of(['a', 'b', 'c']), [('a', 5), ('b', 0), ('c', 2)]);
    }
}
