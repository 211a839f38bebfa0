//! A client's side of an RTSP 1.0 connection, as a state machine (RFC 2326 appendix A.1), for what cameras make of that protocol.
//!
//! ```text
//!  connect ─▶ OPTIONS ─▶ DESCRIBE ─▶ SETUP of each track ─▶ PLAY ─▶ (packets, keepalives) ─▶ TEARDOWN
//!     ▲          │           │             │
//!     └──────────┴───────────┘             └ another carrier where one is refused, from the first track on
//!      without OPTIONS; redirected
//! ```
//!
//! In: the connection's bytes, the time, and what the program has done ([`Input`]). Out: bytes to send, and what to do or what came
//! ([`Event`]). The program's part is:
//!
//! ```text
//! let mut client = Client::new(address, Settings::default(), random, now);
//! loop {
//!     while let Some(event) = client.next_event(now()) {
//!         match event {
//!             Event::Connect(place) => { socket = connect(place)?; client.input(now(), Input::Connected) }
//!             Event::PortsNeeded { track } => { bind two ports; client.input(now(), Input::Ports { rtp, rtcp }) }
//!             Event::Data { track, rtcp, packet } => intake.packet(track, rtcp, packet),
//!             Event::Closed(cause) => { send client.output(), as far as the socket takes it; return Err(cause) }
//!             ... // Described, SetUp, Playing: see Event
//!         }
//!     }
//!     send client.output(), then say client.sent(bytes);
//!     wait for one of
//!         bytes of the socket: read into client.room(); at its end client.input(now(), Input::Disconnected)
//!         a packet by UDP: client.input(now(), Input::Heard) if it is RTP
//!         the time client.deadline(): client.expire(now())
//!         the wish to end: client.input(now(), Input::End)
//! }
//! ```
//!
//! One client is one try: after [`Event::Closed`] it does nothing more. It reconnects by itself only where that is part of the try:
//! to a camera that closes the connection when it is asked for OPTIONS, or when it asks for a password, and to where it is sent.
//! TLS is the program's: the bytes here are plain.
//!
//! Tolerated: see the tests, which name each oddity. Refused: what [`Reader`](super::Reader) cannot read, and streams of which no
//! medium can be received. Not asked for: PAUSE, seeking, a backchannel.

mod address;
mod asked;
mod cause;
mod connection;
mod control;
mod event;
mod play;
mod request;
mod setup;
mod steps;

use std::time::Duration;

pub use address::{Address, AddressError};
pub use cause::Cause;
pub use connection::Client;
pub use event::{Carrier, Described, Event, Input, Place, Playing, PlayingTrack, Track, Way};

use super::Limits;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program's name and version, in each request.
    pub name: String,
    /// What may carry packets; the best first, and the next where the camera refuses one. Not empty.
    pub carriers: Vec<Carrier>,
    /// Sound is asked for, too.
    pub audio: bool,
    /// Begin with OPTIONS, from which is known how to keep the session alive. Without, it is kept alive with OPTIONS.
    pub options: bool,
    /// What clients before have learnt of this camera.
    pub lessons: Lessons,
    /// How much of one message is taken.
    pub limits: Limits,
    /// An answer must come within this time.
    pub answer_timeout: Duration,
    /// The first packet must come within this time after PLAY is answered.
    pub first_packet_timeout: Duration,
    /// Each later packet must come within this time after the one before.
    pub silence_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: concat!("Ocelli/", env!("CARGO_PKG_VERSION")).to_owned(),
            carriers: vec![Carrier::Tcp],
            audio: true,
            options: true,
            lessons: Lessons::default(),
            limits: Limits { head_bytes: 16 << 10, fields: 128, body_bytes: crate::sdp::MAX_BYTES },
            answer_timeout: Duration::from_secs(10),
            first_packet_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(5),
        }
    }
}

/// Oddities of a camera that cost a connection each: what is known of them is worth to be kept from one client to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lessons {
    /// It closes the connection, or is silent, when it is asked for OPTIONS.
    without_options: bool,
    /// It closed the connection at another keepalive than this.
    keepalive: Option<request::Keepalive>,
}

/// How long is waited for the rest of an answer's body; then what has come is taken for all of it.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long is waited for an answer to OPTIONS, which need not be spoken.
pub const OPTIONS_TIMEOUT: Duration = Duration::from_secs(3);
/// How long is waited for an answer to TEARDOWN.
pub const TEARDOWN_TIMEOUT: Duration = Duration::from_secs(1);
/// What a session's timeout is where the camera does not say (RFC 2326 12.37).
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest time between two keepalives, however long the session's timeout: what is between forgets silent connections.
pub const MOST_KEEPALIVE_PAUSE: Duration = Duration::from_secs(30);
/// How often one client is sent to another address.
pub const MOST_REDIRECTS: u32 = 5;
/// How often one client connects again to a camera that closes the connection.
pub const MOST_RECONNECTS: u32 = 3;
/// In what time a camera's own requests are counted.
pub const REQUEST_WINDOW: Duration = Duration::from_secs(10);
/// Most requests of a camera's in [`REQUEST_WINDOW`].
pub const MOST_REQUESTS: u32 = 100;
/// Nothing more is looked at, and no report is taken, while this much waits to be sent.
pub const MOST_OUTPUT_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests;
