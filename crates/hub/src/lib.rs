//! Streams: registry, fan-out ring, demand, supervision and backoff.
//!
//! One way for a picture: a [`Source`] pushes into a [`Publisher`]; whoever wants pictures takes a [`Subscriber`]. The
//! hub never names a protocol and opens no socket.

mod camera;
mod clock;
mod derive;
mod name;
mod rate;
mod ring;
mod source;
mod stream;
mod supervise;
mod sync;
mod wake;

pub use camera::{Camera, CameraParts, DrawNotice, Lost, OnLost, Status, StatusReader};
pub use derive::{Derivation, DerivedReader, RingId};
pub use name::{BadName, StreamName};
pub use rate::{Rate, RateMeter};
pub use ring::{Bounds, Closed, LIVE_SLACK, MOST_PIECES, Next, Piece, Reader, Ring, RingSender, Want, ring};
pub use source::{BoxFuture, Source, SourceError};
pub use stream::{DropReason, Item, NetworkPath, Publisher, Stream, StreamStats, Subscriber};
pub use supervise::{Action, Backoff, Policy, State, Supervisor};
