//! The primitives of the ring: std's, or loom's where its model is checked.

#[cfg(feature = "model")]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(feature = "model"))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
