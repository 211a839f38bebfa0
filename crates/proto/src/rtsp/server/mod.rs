//! A server's side of one connection, as a state machine (RFC 2326 appendix A.2).
//!
//! ```text
//!            SETUP               PLAY, RECORD                  PAUSE
//!  (none) ──────────▶ ready ──────────────────▶ playing ──────────────▶ ready
//!    ▲    (ANNOUNCE first                     or recording
//!    └──── to record)    TEARDOWN, from any state
//! ```
//!
//! In: the connection's bytes, the time, and the program's answers to events that ask for one. Out: events, and bytes to send. There
//! is one session at a time, it belongs to the connection on which it was set up, and ends with it: no other connection can play,
//! pause or end it. Requests that come faster than their answers wait where they were read into.
//!
//! Refused, each with a status of its own: what [`Reader`](super::Reader) cannot read (400, 413, 431), more requests than
//! [`Settings::requests`] (503), sessions of others (454), requests out of their order (455), transports without a place to send to
//! (461), required extensions (551). A connection that is silent, half a request or half a session is closed in its time.

mod answer;
mod connection;
mod event;
mod play;
mod publish;
mod reply;
mod requests;
mod session;
mod setup;

use std::time::Duration;

pub use answer::{Answer, Description, Grant, Refusal, SetUp, Started, TrackStart};
pub use connection::{Connection, Unasked};
pub use event::{Close, End, Event, Offer};
pub use session::{Phase, SessionId, SessionTrack};

use super::Limits;
use super::auth::{Algorithm, Scheme};

/// What all connections of a server have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program's name and version, in each answer.
    pub name: String,
    /// What a password is for, as clients show it to their users.
    pub realm: String,
    /// How a client may show who it is; the best first.
    pub schemes: Vec<Scheme>,
    /// Packets may travel within the connection.
    pub tcp: bool,
    /// Packets may travel to the client's ports.
    pub udp: bool,
    /// Packets may travel to a group.
    pub multicast: bool,
    /// Clients may send streams: ANNOUNCE and RECORD.
    pub publish: bool,
    /// How much of one message is taken.
    pub limits: Limits,
    /// Most requests in [`REQUEST_WINDOW`].
    pub requests: u32,
    /// A session ends after this time without a sign of life.
    pub session_timeout: Duration,
    /// A connection without a session is closed after this time without a request.
    pub idle_timeout: Duration,
    /// The first request, and the rest of any that has begun, must come within this time.
    pub message_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: concat!("Ocelli/", env!("CARGO_PKG_VERSION")).to_owned(),
            realm: "Ocelli".to_owned(),
            schemes: vec![Scheme::Digest(Algorithm::Md5), Scheme::Basic],
            tcp: true,
            udp: true,
            multicast: false,
            publish: false,
            limits: Limits::default(),
            requests: 100,
            session_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            message_timeout: Duration::from_secs(10),
        }
    }
}

/// In what time requests are counted, and bytes that belong to no track.
pub const REQUEST_WINDOW: Duration = Duration::from_secs(10);
/// How long after the timeout that a client was told its session lives on: its sign of life may be on the way.
pub const SESSION_GRACE: Duration = Duration::from_secs(5);
/// Most bytes in [`REQUEST_WINDOW`] that a client may send between messages without being asked for media: reports of a thousand
/// tracks are less.
pub const MOST_STRAY_BYTES: usize = 256 << 10;
/// Most tracks of a session.
pub const MOST_TRACKS: usize = 16;
/// Most wrong passwords on one connection.
pub const MOST_WRONG_PASSWORDS: u32 = 5;
/// No more is read ahead than this, and what is read by one call, while the program has not answered.
pub const MOST_AHEAD_BYTES: usize = 8 << 10;
/// No further request is looked at while this much waits to be sent.
pub const MOST_OUTPUT_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests;
