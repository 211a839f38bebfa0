//! UDP as the kernel does it best: many packets by one system call, and the options that media want.
//!
//! Calls of the system that no crate in use has are in the files that say so at their head; nothing outside this folder
//! has any.

mod batch;
mod control;
mod fanout;
mod listen;
mod own;
mod receive;
mod socket;

pub use batch::{Batch, MOST_BATCH_PACKETS};
pub use fanout::{Destination, Parcel, Progress, fan_out};
pub use listen::{Listen, Opened, join_group, listen};
pub use own::{OwnSsrc, is_own};
pub use receive::{Datagram, Inbox};
pub use socket::{Interface, Pair, PairOptions, bind_pair, bind_shared, room_in};
