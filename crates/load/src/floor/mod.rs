//! `ocelli-load floor`: what the kernel itself asks for the same bytes to the same number of connections.
//!
//! The sender is a process of its own, so that its cost is told apart from the readers'; the readers are the same code
//! that watches a real server.

mod child;
pub(crate) mod sender;

pub(crate) use child::Sender;
