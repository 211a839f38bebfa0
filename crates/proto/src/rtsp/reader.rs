//! Requests, responses and interleaved packets out of a connection's bytes (RFC 2326 sections 4 to 7 and 10.12).
//!
//! ```text
//! METHOD url RTSP/1.0 CRLF   |   RTSP/1.0 status reason CRLF   |   '$' channel (8) length (16) packet
//! name: value CRLF, ...      |   name: value CRLF, ...
//! CRLF body                  |   CRLF body
//! ```
//!
//! Lines may end in LF alone, fields may go on in the next line, empty lines may stand before a message, and text that is not
//! UTF-8 is read with replacement characters. What has no bound in the protocol has one here. After an error nothing can be read
//! any more: where the next message would begin is not known. A [lenient](Reader::lenient) one looks for it.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::head::{Head, parse_head};
use super::{Fields, Method, Version};

/// What is read at a time at first; more where that was not enough.
const LEAST_READ_BYTES: usize = 1 << 10;
const MOST_READ_BYTES: usize = 64 << 10;
/// Most bytes that a lenient reader passes over between two items: more than the largest packet.
const MOST_GARBAGE_BYTES: usize = 256 << 10;

/// How much of one message is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest head: first line and fields.
    pub head_bytes: usize,
    /// The most fields.
    pub fields: usize,
    /// The longest body.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes: 8 << 10, fields: 64, body_bytes: 64 << 10 }
    }
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The other side asks.
    Request(Request),
    /// The other side answers.
    Response(Response),
    /// A packet between messages.
    Data(Data),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub method: Method,
    /// About what: a URL or `*`, see [`Target`](super::Target). May hold a password.
    pub target: String,
    /// The protocol it is of.
    pub version: Version,
    /// Its header fields.
    pub fields: Fields,
    /// What stands behind them.
    pub body: Bytes,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Three digits; 200 is good.
    pub status: u16,
    /// In words; may be empty.
    pub reason: String,
    /// The protocol it is of.
    pub version: Version,
    /// Its header fields.
    pub fields: Fields,
    /// What stands behind them.
    pub body: Bytes,
}

/// An interleaved packet (RFC 2326 10.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// The channel, as a Transport field has named it.
    pub channel: u8,
    /// An RTP or RTCP packet; shares the memory that it was read into.
    pub packet: Bytes,
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A byte that begins nothing.
    #[error("byte 0: {0:#04X} begins neither a message nor an interleaved packet (RFC 2326 4, 10.12)")]
    Start(u8),
    /// TLS where none is spoken.
    #[error("byte 0: a TLS handshake, expected RTSP without TLS")]
    Tls,
    /// Nothing that begins a message or a packet in many bytes.
    #[error("{0} bytes of which none begins a message or an interleaved packet")]
    Garbage(usize),
    /// The head does not end.
    #[error("a head of more than {0} bytes")]
    HeadTooLong(usize),
    /// Too many fields.
    #[error("more than {0} header fields")]
    TooManyFields(usize),
    /// A longer body than is taken.
    #[error("byte {at}: a body of {length} bytes, expected at most {most}")]
    BodyTooLong {
        /// Where Content-Length says so.
        at: usize,
        /// What it says.
        length: u64,
        /// What is taken.
        most: usize,
    },
    /// A line that breaks a rule.
    #[error("byte {at}: {rule}")]
    Line {
        /// Offset in the message.
        at: usize,
        /// What is wrong with it.
        rule: &'static str,
    },
}

/// Reads one side of a connection.
///
/// Read into [`room`](Self::room), then call [`next_item`](Self::next_item) until it has nothing more. Every byte is looked at once.
/// Memory: one message or packet within the limits, and one read of at most 64 KiB; about 1 KiB where only short ones come.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    buffer: BytesMut,
    place: Place,
    /// The number of the last request or response whose fields could be read.
    cseq: Option<u32>,
    read_bytes: usize,
    /// There may be bytes that were not looked at yet.
    was_read: bool,
    lenient: bool,
    /// Bytes that were passed over since the last item, and before.
    garbage: usize,
    garbage_before: u64,
}

#[derive(Debug)]
enum Place {
    /// Between messages.
    Start,
    /// In a head whose bytes before `line` are whole lines, and which has no line end between `line` and `searched`.
    Head {
        line: usize,
        searched: usize,
    },
    /// The body of this message is missing: so many bytes, or as many as look like it.
    Body(Box<Item>, Option<usize>),
    Failed(ReadError),
}

impl Reader {
    /// A reader that has read nothing.
    pub fn new(limits: Limits) -> Self {
        let (buffer, place) = (BytesMut::new(), Place::Start);
        Self {
            limits,
            buffer,
            place,
            cseq: None,
            read_bytes: LEAST_READ_BYTES,
            was_read: false,
            lenient: false,
            garbage: 0,
            garbage_before: 0,
        }
    }

    /// One for what cameras send: lines that are no fields are left out, and so are bytes that begin nothing, up to where a
    /// message or packet seems to begin. A description's length is what the description looks like, where it is missing or
    /// too small; where it is too large, see [`end_body`](Self::end_body).
    pub fn lenient(limits: Limits) -> Self {
        Self { lenient: true, ..Self::new(limits) }
    }

    /// Bytes that a lenient reader has passed over.
    pub fn garbage(&self) -> u64 {
        self.garbage_before + self.garbage as u64
    }

    /// Whether a body is missing, or part of one.
    pub fn is_in_body(&self) -> bool {
        matches!(self.place, Place::Body(..))
    }

    /// Takes what has come of a body for all of it: nothing more comes.
    pub fn end_body(&mut self) {
        if let Place::Body(_, length) = &mut self.place {
            *length = Some(length.map_or(self.buffer.len(), |length| length.min(self.buffer.len())));
        }
    }

    /// The buffer to append the connection's next bytes to, with room for some.
    pub fn room(&mut self) -> &mut BytesMut {
        let missing = match (&self.place, &self.buffer[..]) {
            (Place::Body(_, Some(length)), read) => length.saturating_sub(read.len()),
            (Place::Start, &[b'$', _, high, low, ref read @ ..]) => {
                usize::from(u16::from_be_bytes([high, low])).saturating_sub(read.len())
            }
            _ => 0,
        };
        self.was_read = true;
        if self.buffer.capacity() - self.buffer.len() < self.read_bytes / 4 {
            self.buffer.reserve(self.read_bytes.max(missing).min(MOST_READ_BYTES));
        }
        &mut self.buffer
    }

    /// How many bytes were appended and belong to no item yet.
    pub fn unread_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the last byte belonged to the end of an item.
    pub fn is_between_items(&self) -> bool {
        self.buffer.is_empty() && matches!(self.place, Place::Start)
    }

    /// The number (CSeq) of the last message whose fields could be read; after an error, of the message with the error, if it was
    /// behind its fields.
    pub fn cseq(&self) -> Option<u32> {
        self.cseq
    }

    /// The next item; `None` when more must be read first.
    ///
    /// # Errors
    /// The bytes are no message. The same again from then on.
    pub fn next_item(&mut self) -> Result<Option<Item>, ReadError> {
        if std::mem::take(&mut self.was_read) && self.buffer.len() == self.buffer.capacity() {
            self.read_bytes = (2 * self.read_bytes).min(MOST_READ_BYTES);
        }
        let item = self.advance();
        if let Err(error) = item {
            self.place = Place::Failed(error);
            self.buffer = BytesMut::new();
        }
        item
    }

    fn advance(&mut self) -> Result<Option<Item>, ReadError> {
        loop {
            match &mut self.place {
                Place::Start => {
                    let empty = self.buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                    self.buffer.advance(empty);
                    if !self.begin()? {
                        return Ok(None);
                    }
                    if self.buffer.first() == Some(&b'$') {
                        return Ok(self.take_data());
                    }
                    self.cseq = None;
                    self.place = Place::Head { line: 0, searched: 0 };
                }
                Place::Head { line, searched } => {
                    let Some(length) = find_end(&self.buffer, line, searched, self.limits.head_bytes)? else {
                        return Ok(None);
                    };
                    let head = self.buffer.split_to(length);
                    let Head { item, body_bytes } =
                        parse_head(head, &self.limits, self.lenient, &mut self.cseq)?;
                    let length = match body_bytes {
                        None if self.lenient && lenient::has_description(&item) => None,
                        length => Some(length.unwrap_or(0)),
                    };
                    self.place = Place::Body(Box::new(item), length);
                }
                Place::Body(item, length) => {
                    let length = match length {
                        Some(length) if self.buffer.len() < *length => return Ok(None),
                        Some(length) if self.lenient && lenient::has_description(item) => {
                            *length + lenient::rest_of_description(&self.buffer[*length..])
                        }
                        Some(length) => *length,
                        None => match lenient::end_of_description(&self.buffer) {
                            None if self.buffer.len() <= self.limits.body_bytes => return Ok(None),
                            end => end.unwrap_or(self.buffer.len()),
                        },
                    };
                    let bytes = self.buffer.split_to(length).freeze();
                    let Place::Body(mut item, _) = std::mem::replace(&mut self.place, Place::Start) else {
                        return Ok(None);
                    };
                    if let Item::Request(Request { body, .. }) | Item::Response(Response { body, .. }) =
                        &mut *item
                    {
                        *body = bytes;
                    }
                    self.was_item();
                    return Ok(Some(*item));
                }
                Place::Failed(error) => return Err(*error),
            }
        }
    }

    /// Whether the first byte begins something. A lenient one passes over those that do not.
    fn begin(&mut self) -> Result<bool, ReadError> {
        let Some(first) = self.buffer.first() else { return Ok(false) };
        if !self.lenient {
            return match first {
                b'$' => Ok(true),
                byte if byte.is_ascii_alphabetic() => Ok(true),
                0x16 => Err(ReadError::Tls),
                other => Err(ReadError::Start(*other)),
            };
        }
        // An alert is what a TLS server says to who does not speak it.
        if matches!(first, 0x15 | 0x16) && self.buffer.get(1) == Some(&3) && self.garbage() == 0 {
            return Err(ReadError::Tls);
        }
        let (skipped, found) = lenient::find_begin(&self.buffer, self.garbage > 0);
        self.buffer.advance(skipped);
        self.garbage += skipped;
        if self.garbage > MOST_GARBAGE_BYTES {
            return Err(ReadError::Garbage(self.garbage));
        }
        Ok(found)
    }

    fn was_item(&mut self) {
        self.garbage_before += self.garbage as u64;
        self.garbage = 0;
    }

    fn take_data(&mut self) -> Option<Item> {
        let &[_, channel, high, low, ..] = &self.buffer[..] else { return None };
        let length = 4 + usize::from(u16::from_be_bytes([high, low]));
        if self.buffer.len() < length {
            return None;
        }
        let mut packet = self.buffer.split_to(length).freeze();
        packet.advance(4);
        self.was_item();
        Some(Item::Data(Data { channel, packet }))
    }
}

/// How long the head is, with the empty line at its end; `None` when that has not come.
fn find_end(
    bytes: &[u8],
    line: &mut usize,
    searched: &mut usize,
    most: usize,
) -> Result<Option<usize>, ReadError> {
    let bytes = &bytes[..bytes.len().min(most)];
    while let Some(found) = memchr(b'\n', &bytes[*searched..]) {
        let end = *searched + found;
        let empty = matches!(&bytes[*line..end], [] | [b'\r']);
        (*line, *searched) = (end + 1, end + 1);
        if empty {
            return Ok(Some(end + 1));
        }
    }
    *searched = bytes.len();
    if bytes.len() == most { Err(ReadError::HeadTooLong(most)) } else { Ok(None) }
}

mod lenient;
#[cfg(test)]
mod tests;
