//! What a connection tells the program.

use bytes::Bytes;

use crate::rtsp::{Range, ReadError};

/// What a client asks for, or what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It wants a stream's description. Answer with [`Answer::Description`](super::Answer::Description).
    Describe {
        /// The stream's name.
        path: String,
        /// What stands behind the question mark.
        query: Option<String>,
        /// The URL before the question mark, as the client knows it: for [`control`](crate::rtsp::control).
        base: String,
    },
    /// It wants a track. Answer with [`Answer::SetUp`](super::Answer::SetUp).
    Setup {
        /// The stream's name; that of the announced one for a client that sends.
        path: String,
        /// What stands behind the question mark.
        query: Option<String>,
        /// The track's number in the description, or its place among the announced; `None` if the URL names the stream only.
        track: Option<u8>,
        /// The ways that its packets may travel: not empty, the best first.
        offers: Vec<Offer>,
        /// The client will send it.
        publish: bool,
    },
    /// It wants the tracks to come, or to come from elsewhere on. Answer with [`Answer::Started`](super::Answer::Started), then send
    /// [`output`](super::Connection::output) before the first packet.
    Play {
        /// From where on. `None` if it does not say, or in a unit that is not spoken.
        range: Option<Range>,
    },
    /// It wants no more packets for now.
    Pause,
    /// The session has ended: nothing is to be sent for it any more.
    Ended(End),
    /// It wants to send a stream. Answer with [`Answer::Announced`](super::Answer::Announced).
    Announce {
        /// The stream's name.
        path: String,
        /// What stands behind the question mark.
        query: Option<String>,
        /// The stream's description.
        sdp: Bytes,
    },
    /// It begins to send. Answer with [`Answer::Recording`](super::Answer::Recording).
    Record,
    /// A packet of a session whose packets travel within the connection: RTCP of a reader, both of a sender.
    Data {
        /// The track, as the program has numbered it in its answer to `Setup`.
        track: u8,
        /// It is RTCP.
        rtcp: bool,
        /// The packet.
        packet: Bytes,
    },
    /// Nothing is read any more: send [`output`](super::Connection::output), then close the connection. The session, if there was one,
    /// has ended.
    Close(Close),
}

/// A way that packets may travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Within the connection, on channels that the client has named or that are free.
    Interleaved {
        /// For RTP.
        rtp: u8,
        /// For RTCP.
        rtcp: u8,
    },
    /// To ports of the client, 1024 to 65535. At which address is not the client's to say: it is the connection's.
    Udp {
        /// For RTP.
        rtp: u16,
        /// For RTCP.
        rtcp: u16,
    },
    /// To a group of the server's choice.
    Multicast,
}

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The client has ended it.
    #[error("the client has ended its session")]
    Asked,
    /// The client has begun another one.
    #[error("the client has begun another session")]
    Replaced,
}

/// Why a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Close {
    /// What came is no RTSP.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// Another version, or HTTP.
    #[error("the client speaks another protocol than RTSP/1.0")]
    Version,
    /// Nothing came at first, or not the rest of a message.
    #[error("no whole request came in {} s", .0.as_secs())]
    NoRequest(std::time::Duration),
    /// Nothing came behind a request.
    #[error("no session and no request for {} s", .0.as_secs())]
    Idle(std::time::Duration),
    /// No sign of life came.
    #[error("the session was silent for {} s", .0.as_secs())]
    SessionTimeout(std::time::Duration),
    /// More requests than are taken.
    #[error("more than {0} requests in {seconds} s", seconds = super::REQUEST_WINDOW.as_secs())]
    TooManyRequests(u32),
    /// More packets than anybody asked for.
    #[error("a flood of packets that belong to no stream that the client sends")]
    Flood,
    /// Too many guesses.
    #[error("{} wrong passwords", super::MOST_WRONG_PASSWORDS)]
    WrongPasswords,
}
