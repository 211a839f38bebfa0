//! `multipart/x-mixed-replace` with JPEG parts (RFC 2046 section 5.1), read for its shape alone: heads, first and last bytes.
//!
//! A part with Content-Length is passed over by its length; one without is searched for the next delimiter, and counts
//! as complete only then, as it does for a browser. Memory is bounded: no picture is ever kept.

use super::{FramingError, Picture, Wants};
use crate::stamp::Stamp;

/// A part's delimiter line and header block together.
const MAX_HEAD: usize = 8 << 10;
/// No camera sends a JPEG like that.
const MAX_PICTURE: u64 = 256 << 20;
/// Bytes kept of a picture's end: EOI, the camera's stamp before it, a line end behind it.
const TAIL: usize = Stamp::SEGMENT_BYTES + 16;
/// How much to read when a head or a tail is all that is missing.
const SMALL_READ: usize = 4 << 10;
/// How much to read when every byte has to be searched.
const LARGE_READ: usize = 1 << 20;

/// The parser: what one viewer remembers between two reads.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The `boundary` parameter; `None` takes whatever the first line says.
    boundary: Option<Vec<u8>>,
    /// The delimiter line as the server really writes it, from the first one seen.
    delimiter: Vec<u8>,
    state: State,
    picture: Partial,
}

#[derive(Debug)]
enum State {
    /// Before and in a part's head: what has come of it.
    Head(Vec<u8>),
    /// In a part with Content-Length: bytes still to come.
    Sized { left: u64 },
    /// In a part without: bytes that may be the beginning of the delimiter.
    Unsized { held: Vec<u8> },
}

impl Parts {
    /// `boundary` is the parameter of Content-Type, unquoted; `None` when there was no such header.
    pub(crate) fn new(boundary: Option<&str>) -> Self {
        Self {
            boundary: boundary.map(|name| name.as_bytes().to_vec()),
            delimiter: Vec::new(),
            state: State::Head(Vec::new()),
            picture: Partial::default(),
        }
    }

    pub(crate) fn wants(&self) -> Wants {
        match &self.state {
            State::Sized { left } if self.picture.bytes >= 2 && *left > (TAIL + SMALL_READ) as u64 => {
                Wants::Skip(usize::try_from(*left - TAIL as u64).unwrap_or(LARGE_READ))
            }
            State::Unsized { .. } => Wants::Bytes(LARGE_READ),
            State::Head(_) | State::Sized { .. } => Wants::Bytes(SMALL_READ),
        }
    }

    pub(crate) fn skipped(&mut self, bytes: usize) {
        if let State::Sized { left } = &mut self.state {
            *left = left.saturating_sub(bytes as u64);
            self.picture.skip(bytes);
        }
    }

    pub(crate) fn received(
        &mut self,
        mut bytes: &[u8],
        pictures: &mut Vec<Picture>,
    ) -> Result<(), FramingError> {
        while !bytes.is_empty() {
            let used = match &mut self.state {
                State::Head(_) => self.head(bytes)?,
                State::Sized { left } => {
                    let used = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= used as u64;
                    self.picture.push(&bytes[..used]);
                    used
                }
                State::Unsized { .. } => self.search(bytes, pictures)?,
            };
            bytes = &bytes[used..];
            if matches!(self.state, State::Sized { left: 0 }) {
                pictures.push(self.picture.finish());
                self.state = State::Head(Vec::new());
            }
        }
        Ok(())
    }

    /// Reads on in a part's head; how many of `bytes` belonged to it.
    fn head(&mut self, bytes: &[u8]) -> Result<usize, FramingError> {
        let State::Head(held) = &mut self.state else { return Ok(0) };
        let before = held.len();
        held.extend_from_slice(&bytes[..bytes.len().min(MAX_HEAD - before)]);
        let start = held.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(held.len());
        let Some(line_end) = memchr::memchr(b'\n', &held[start..]).map(|at| start + at + 1) else {
            return more(before, held.len());
        };
        let line = held[start..line_end].trim_ascii_end();
        if self.delimiter.is_empty() {
            self.delimiter = first_delimiter(self.boundary.as_deref(), line)?;
        } else if line != self.delimiter {
            return Err(wrong_delimiter(&self.delimiter, line));
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let parsed = httparse::parse_headers(&held[line_end..], &mut headers);
        let (length, headers) = match parsed.map_err(FramingError::BadPartHead)? {
            httparse::Status::Complete(found) => found,
            httparse::Status::Partial => return more(before, held.len()),
        };
        let used = line_end + length - before;
        let content_length = header(headers, "Content-Length").map(content_length).transpose()?;
        self.picture =
            Partial { timestamp: header(headers, "X-Timestamp").and_then(micros), ..Partial::default() };
        self.state = match content_length {
            Some(left) => State::Sized { left },
            None => State::Unsized { held: Vec::new() },
        };
        Ok(used)
    }

    /// Looks for the delimiter behind a part without Content-Length; how many of `bytes` came before its end.
    fn search(&mut self, bytes: &[u8], pictures: &mut Vec<Picture>) -> Result<usize, FramingError> {
        let State::Unsized { held } = &mut self.state else { return Ok(0) };
        let before = held.len();
        // The seam first: a delimiter that began in the last read ends within its own length of this one.
        held.extend_from_slice(&bytes[..bytes.len().min(self.delimiter.len())]);
        let found = memchr::memmem::find(held, &self.delimiter)
            .map(|at| (at, before))
            .or_else(|| memchr::memmem::find(bytes, &self.delimiter).map(|at| (before + at, before)));
        held.truncate(before);
        if let Some((at, before)) = found {
            self.picture.push(&held[..at.min(before)]);
            self.picture.push(&bytes[..at.saturating_sub(before)]);
            self.picture.drop_line_end();
            pictures.push(self.picture.finish());
            self.state = State::Head(self.delimiter.clone());
            return Ok(at + self.delimiter.len() - before);
        }
        held.extend_from_slice(bytes);
        let sure = held.len().saturating_sub(self.delimiter.len() - 1);
        self.picture.push(&held[..sure]);
        held.drain(..sure);
        if self.picture.bytes > MAX_PICTURE {
            return Err(FramingError::PictureTooLong(MAX_PICTURE));
        }
        Ok(bytes.len())
    }
}

/// All of what was read went into an unfinished head, unless that has grown past its bound.
fn more(before: usize, now: usize) -> Result<usize, FramingError> {
    if now >= MAX_HEAD { Err(FramingError::HeadTooLong(MAX_HEAD)) } else { Ok(now - before) }
}

/// Some servers (mjpg-streamer among them) put the two dashes into the parameter as well: both readings are taken.
fn first_delimiter(boundary: Option<&[u8]>, line: &[u8]) -> Result<Vec<u8>, FramingError> {
    let fits = match boundary {
        Some(boundary) => line.strip_prefix(b"--") == Some(boundary) || line == boundary,
        None => line.starts_with(b"--") && line.len() > 2,
    };
    if fits { Ok(line.to_vec()) } else { Err(wrong_delimiter(boundary.unwrap_or(b"--"), line)) }
}

fn wrong_delimiter(expected: &[u8], line: &[u8]) -> FramingError {
    if !expected.is_empty() && line.strip_suffix(b"--") == Some(expected) {
        return FramingError::Ended;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
    FramingError::NoBoundary { expected: text(expected), found: text(line) }
}

fn header<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

fn content_length(value: &[u8]) -> Result<u64, FramingError> {
    let text = String::from_utf8_lossy(value);
    let length = text.trim().parse().map_err(|_| FramingError::BadLength(text.clone().into_owned()))?;
    if length > MAX_PICTURE { Err(FramingError::PictureTooLong(MAX_PICTURE)) } else { Ok(length) }
}

/// `seconds.micros` as mjpg-streamer and µStreamer write it, to microseconds. Anything else is no time.
fn micros(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(digits.parse().ok()?)
}

/// What is remembered of the picture on its way.
#[derive(Debug, Default)]
struct Partial {
    timestamp: Option<u64>,
    bytes: u64,
    first: [u8; 2],
    /// The newest bytes, at most [`TAIL`] after each push.
    tail: Vec<u8>,
}

impl Partial {
    fn push(&mut self, bytes: &[u8]) {
        for (at, byte) in bytes.iter().enumerate().take(2) {
            if let Some(slot) = self.first.get_mut(usize::try_from(self.bytes).unwrap_or(2) + at) {
                *slot = *byte;
            }
        }
        self.bytes += bytes.len() as u64;
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
    }

    fn skip(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.tail.clear();
    }

    /// The line end in front of a delimiter is the delimiter's.
    fn drop_line_end(&mut self) {
        for byte in *b"\n\r" {
            if self.tail.last() == Some(&byte) {
                self.tail.pop();
                self.bytes -= 1;
            }
        }
    }

    fn finish(&mut self) -> Picture {
        let picture = Picture {
            bytes: self.bytes,
            timestamp: self.timestamp,
            stamp: Stamp::find(&self.tail),
            sound: self.bytes >= 4 && self.first == [0xFF, 0xD8] && self.tail.ends_with(&[0xFF, 0xD9]),
        };
        *self = Self::default();
        picture
    }
}

#[cfg(test)]
mod tests;
