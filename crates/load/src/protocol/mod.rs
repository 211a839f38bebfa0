//! What a viewer says and how it finds pictures in what comes back: bytes in, pictures out.
//!
//! No sockets and no clock here. A protocol carried on one TCP connection implements [`Protocol`] and gets one line in
//! [`crate::target::Target::protocol`]; the engine reads for it, fast, slowly or not at all.

pub(crate) mod chunked;
pub(crate) mod http;
pub(crate) mod parts;

use crate::stamp::Stamp;

/// One viewer's side of a conversation, from the first request to the last picture.
pub(crate) trait Protocol: Send {
    /// What to send once connected; empty when the server speaks first.
    fn request(&self) -> Vec<u8>;

    /// What the next read should do. The engine may read less than asked, never more.
    fn wants(&self) -> Wants;

    /// `bytes` of a [`Wants::Skip`] went by unseen.
    fn skipped(&mut self, bytes: usize);

    /// Takes bytes off the wire; every picture they complete is pushed to `pictures`.
    fn received(&mut self, bytes: &[u8], pictures: &mut Vec<Picture>) -> Result<(), FramingError>;
}

/// How the next bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    /// Up to so many bytes, to be looked at.
    Bytes(usize),
    /// Up to so many bytes that nobody needs to see: the middle of a picture whose length is known. Not copying them
    /// out of the kernel keeps the readers' share of the machine small.
    Skip(usize),
}

/// A picture that has arrived whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Length of the picture, without any framing.
    pub(crate) bytes: u64,
    /// `X-Timestamp` of its part, in microseconds since 1970.
    pub(crate) timestamp: Option<u64>,
    /// What `ocelli-load camera` wrote into it, when that is where it came from.
    pub(crate) stamp: Option<Stamp>,
    /// Begins with FFD8 and ends with FFD9.
    pub(crate) sound: bool,
}

/// Why a viewer cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FramingError {
    #[error("the server answered {0}")]
    Status(u16),
    #[error("the response head: {0}")]
    BadHead(httparse::Error),
    #[error("a head longer than {0} bytes")]
    HeadTooLong(usize),
    #[error("Content-Type is {0:?}, not multipart with a boundary")]
    NotMultipart(String),
    #[error("expected the boundary {expected:?}, found {found:?}")]
    NoBoundary { expected: String, found: String },
    #[error("the head of a part: {0}")]
    BadPartHead(httparse::Error),
    #[error("Content-Length is {0:?}")]
    BadLength(String),
    #[error("a picture of more than {0} bytes")]
    PictureTooLong(u64),
    #[error("the chunked transfer coding is broken near {0:?}")]
    BadChunk(String),
    #[error("the server sent the closing boundary")]
    Ended,
}
