//! The primitives of the ring, std's or loom's where its model is checked, and how everything else locks.

#[cfg(feature = "model")]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(feature = "model"))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

/// A lock whose holders only ever assign: what they leave behind is whole even if one of them panicked.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
