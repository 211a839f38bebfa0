//! What the server and its worker say to each other through pipes. Reads and writes nothing itself.
//!
//! ```text
//! length (32) │ kind (8) │ body
//! ```
//!
//! Numbers are big-endian; the length counts kind and body and is at most [`MOST_MESSAGE_BYTES`]. The worker speaks
//! first, once, by a [`Hello`], whose beginning, up to its version, stays the same in every version.
//!
//! | kind | from | body |
//! |---|---|---|
//! | 1 recode | server | number (32), quality (8, 0 for the picture's own), sampling (8: 0 near the picture's own, 1 4:2:0, 2 4:2:2), greatest width (16) and height (16), JPEG |
//! | 2 input | server | codec (8: 0 JPEG, 1 H.264, 2 H.265) |
//! | 3 output | server | output (16), coding (8: 0 JPEG, 1 H.264, 2 RGB24, 3 YUV420), greatest width (16) and height (16; 0 for any), turn (8, [`Turn::number`](ocelli_media::Turn::number)), quality (8, 0 for near the source's own), bit rate (32, kbit/s), rate (32, pictures in 1000 s), keyframe at least every (32, ms) |
//! | 4 end of an output | server | output (16) |
//! | 5 frame | server | number (32), time (64, µs, signed), key (8: 0, 1), count (8), of each: output (16), flags (8: 1 a keyframe is wanted); then the coded picture |
//! | 6 still | server | number (32), codec (8, as of input), quality, sampling, greatest width and height as of recode, turn (8); then the coded picture |
//! | 128 hello | worker | `ocelli-codec`, protocol (16), length of the version (8), version, what it decodes (8: 1 JPEG, 2 H.264, 4 H.265), what it encodes (8: 1 JPEG, 2 H.264, 4 RGB24, 8 YUV420), how it is confined and what it works with, in words |
//! | 129 picture | worker | number (32), width (16), height (16), JPEG |
//! | 130 refused | worker | number (32), the reason in words |
//! | 131 piece | worker | output (16), number (32), time (64, µs, signed), key (8: 0, 1), width (16), height (16), what scaling (32, µs) and encoding (32, µs) it took; then the coded picture |
//! | 132 done | worker | number (32), outcome (8, [`Outcome`]), what decoding (32, µs) and all its outputs (32, µs) took, what is wrong with it in words |
//! | 133 note | worker | output (16), what it says (8: 0 how it is made, 1 a warning, 2 that it has ended), words |
//!
//! *Recode* and *still* have one answer each, *picture* or *refused*, and *frame* has one *done*, all in the order in
//! which they were asked. Requests are numbered by the one who asks. What is not understood is *refused*, with the
//! number at the place where a recode has it.
//!
//! **Streams.** *Input* says what the frames that follow are, and makes the decoder forget all that was. *Output* makes
//! an output, or changes the one of that number. A *frame* is one access unit: of H.264 and H.265 its NAL units, each
//! behind its length (32), with the parameter sets before a keyframe; its outputs are those for which its picture is
//! wanted, and there may be none. *Pieces* come before the *done* of the frame that made the decoder give the picture,
//! which need not be the frame whose number and time they have: where B-frames are, pictures come in the order in
//! which they are shown. Outputs that are not known are ignored.
//!
//! Raw pieces are rows without gaps: RGB24 three bytes a pixel, full range; YUV420 the planes Y, U, V, the two of
//! colour with half the columns and rows, rounded up, limited range.
//!
//! Neither side believes the other: a message that breaks a rule is an error that names it.

mod answer;
mod fields;
mod hello;
mod output;
mod request;

pub use self::answer::{Answer, NoteKind, Outcome, Piece};
pub use self::hello::{Able, Hello};
pub use self::output::{Coding, Input, Output, OutputId};
pub use self::request::{FrameHead, MOST_WANTED, Request, Still, Wanted};

/// Longest message either way: a picture of 64 MiB and what goes before it.
pub const MOST_MESSAGE_BYTES: usize = (64 << 20) + 1024;
/// Number of this protocol. Server and worker must have the same, and the same version of the program.
pub const PROTOCOL: u16 = 2;

const RECODE: u8 = 1;
const INPUT: u8 = 2;
const OUTPUT: u8 = 3;
const END: u8 = 4;
const FRAME: u8 = 5;
const STILL: u8 = 6;
const HELLO: u8 = 128;
const PICTURE: u8 = 129;
const REFUSED: u8 = 130;
const PIECE: u8 = 131;
const DONE: u8 = 132;
const NOTE: u8 = 133;

/// A rule that a message breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The length is 0 or too great.
    #[error("a message of {0} bytes: expected 1 to {MOST_MESSAGE_BYTES}")]
    Length(u32),
    /// The body ends before its fixed fields do.
    #[error("a message of kind {kind} that ends after {length} bytes")]
    Short {
        /// The message's kind.
        kind: u8,
        /// Bytes of its body.
        length: usize,
    },
    /// The body goes on behind its fields.
    #[error("a message of kind {kind} with {excess} bytes too many")]
    Long {
        /// The message's kind.
        kind: u8,
        /// Bytes behind its last field.
        excess: usize,
    },
    /// A kind that is not expected here.
    #[error("a message of the unknown kind {0}")]
    Kind(u8),
    /// A field outside its range.
    #[error("{what} is {found}")]
    Field {
        /// The field.
        what: &'static str,
        /// Its value.
        found: u8,
    },
    /// What came first is no hello.
    #[error("it does not say hello")]
    NoHello,
}

/// The length of the message whose first four bytes are `head`: what follows them.
///
/// # Errors
/// It is 0 or more than [`MOST_MESSAGE_BYTES`].
pub fn message_bytes(head: [u8; 4]) -> Result<usize, ProtocolError> {
    let length = u32::from_be_bytes(head);
    match length as usize {
        bytes @ 1..=MOST_MESSAGE_BYTES => Ok(bytes),
        _ => Err(ProtocolError::Length(length)),
    }
}

/// The length of a message of `head` bytes, kind and length included, before `data` bytes. `None` if that is too long.
fn length_of(head: usize, data: usize) -> Option<[u8; 4]> {
    let bytes = data.checked_add(head - 4).filter(|bytes| *bytes <= MOST_MESSAGE_BYTES)?;
    Some((bytes as u32).to_be_bytes())
}

/// Puts the length of a message of which `data` bytes follow into its head. `None` if that is too long.
fn put_length(head: &mut [u8], data: usize) -> Option<()> {
    let length = length_of(head.len(), data)?;
    head[..4].copy_from_slice(&length);
    Some(())
}

/// A whole message.
fn message(kind: u8, body: &[&[u8]]) -> Vec<u8> {
    let bytes: usize = body.iter().map(|part| part.len()).sum();
    let mut message = Vec::with_capacity(bytes + 5);
    message.extend_from_slice(&(bytes as u32 + 1).to_be_bytes());
    message.push(kind);
    body.iter().for_each(|part| message.extend_from_slice(part));
    message
}

#[cfg(test)]
mod tests;
