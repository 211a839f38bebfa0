//! What became of those who came, counted by why: each connection that was accepted is open, refused, or over.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many as there may be were open.
    Connections,
    /// Its address had as many as one may have.
    PerAddress,
    /// Its address had too many without a request.
    HalfOpen,
    /// It brought requests for a tunnel through HTTP that is not there or has enough of them, or has a name that another has.
    Tunnel,
}

impl Refused {
    /// Each.
    pub const ALL: [Self; 4] = [Self::Connections, Self::PerAddress, Self::HalfOpen, Self::Tunnel];

    /// The limit's name, or one word for it, as `/stats` and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::PerAddress => "connections_per_address",
            Self::HalfOpen => "half_open_per_address",
            Self::Tunnel => "tunnel",
        }
    }
}

/// How often each of `N` things was so.
#[derive(Debug)]
pub struct Tally<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Tally<N> {
    pub(super) fn count(&self, index: usize) {
        self.0[index].fetch_add(1, Ordering::Relaxed);
    }

    fn of<K: Copy>(&self, all: [K; N]) -> [(K, u64); N] {
        std::array::from_fn(|index| (all[index], self.0[index].load(Ordering::Relaxed)))
    }
}

impl Tally<{ Refused::ALL.len() }> {
    /// How many were refused, by why.
    pub fn refused(&self) -> [(Refused, u64); Refused::ALL.len()] {
        self.of(Refused::ALL)
    }
}
