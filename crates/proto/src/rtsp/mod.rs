//! The Real Time Streaming Protocol (RFC 2326): messages, their header fields, and both sides of a connection.
//!
//! [`Reader`] makes requests, responses and interleaved packets of a connection's bytes; [`server::Connection`] and
//! [`client::Client`] are the two sides of a connection as state machines without sockets and clock. Version 2.0 (RFC 7826) is refused by its number, as it asks.
//!
//! Messages are read by code of our own and not by `rtsp-types`: that parser begins again with a message's first byte whenever more
//! of it came, sets no bound on heads and bodies, wants CR LF everywhere, and says of what it refuses neither where nor why.

pub mod auth;
pub mod client;
mod fields;
mod head;
mod method;
mod range;
mod reader;
mod rtp_info;
pub mod server;
mod status;
mod target;
mod transport;
pub mod tunnel;

pub use fields::{Fields, session_field};
pub use method::{Method, Version};
pub use range::{Range, RangeError};
pub use reader::{Data, Item, Limits, ReadError, Reader, Request, Response};
pub use rtp_info::RtpInfo;
pub use status::Status;
pub use target::{Target, control};
pub use transport::{Transport, TransportError};
