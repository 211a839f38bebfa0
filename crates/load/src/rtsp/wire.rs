//! A connection's bytes as messages and as the beginnings of packets (RFC 2326 section 10.12).
//!
//! Only the first bytes of a packet are looked at and nothing is kept of it: a thousand readers share one buffer. Messages are
//! read by [`ocelli_proto::rtsp::Reader`]; the bounds are its own.

use ocelli_proto::rtsp::{Item, Limits, Reader, Response};

use super::mark::HEAD_BYTES;

const PREFIX_BYTES: usize = 4;
const MOST_HEAD_BYTES: usize = 8 << 10;

/// What was found.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// An answer.
    Response(Response),
    /// All of a packet has come: its first [`HEAD_BYTES`], and how long it is.
    Packet { channel: u8, head: &'a [u8], length: usize },
}

/// Why bytes are none of both.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("byte {0:#04X} between two packets: the framing is broken")]
    Framing(u8),
    #[error("a head of more than {MOST_HEAD_BYTES} bytes")]
    HeadTooLong,
    #[error("the server asks: {0}")]
    Asked(String),
    #[error(transparent)]
    Message(#[from] ocelli_proto::rtsp::ReadError),
}

/// How far one connection has been read.
#[derive(Debug)]
pub(super) struct Wire {
    place: Place,
    /// What has come of a message, or of the beginning of a packet.
    held: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Between,
    /// In a message's head whose last line begins here.
    Head(usize),
    /// In a message that ends here.
    Body(usize),
    /// In a packet: its first bytes are held as far as they came, and `left` are missing.
    Packet {
        channel: u8,
        length: usize,
        left: usize,
    },
    /// In a packet's prefix.
    Prefix,
}

impl Wire {
    pub(super) fn new() -> Self {
        Self { place: Place::Between, held: Vec::new() }
    }

    /// Takes the next bytes; everything they complete goes to `take`, as long as it has no error.
    pub(super) fn feed<E: From<WireError>>(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(Found<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            bytes = match self.place {
                Place::Between => match bytes {
                    [b'$', channel, high, low, rest @ ..] => {
                        self.packet(*channel, [*high, *low], rest, &mut take)?
                    }
                    [b'$', ..] => {
                        self.place = Place::Prefix;
                        bytes
                    }
                    [byte, ..] if byte.is_ascii_alphabetic() => {
                        self.place = Place::Head(0);
                        bytes
                    }
                    // Some servers end a message with an empty line too many.
                    [b'\r' | b'\n', rest @ ..] => rest,
                    [byte, ..] => return Err(WireError::Framing(*byte).into()),
                    [] => bytes,
                },
                Place::Prefix => {
                    let rest = self.hold(bytes, PREFIX_BYTES);
                    match self.held[..] {
                        [_, channel, high, low] => {
                            self.held.clear();
                            self.packet(channel, [high, low], rest, &mut take)?
                        }
                        _ => rest,
                    }
                }
                Place::Packet { channel, length, left } => {
                    let taken = left.min(bytes.len());
                    self.hold(&bytes[..taken], HEAD_BYTES);
                    self.place = Place::Packet { channel, length, left: left - taken };
                    if taken == left {
                        self.place = Place::Between;
                        let outcome = take(Found::Packet { channel, head: &self.held, length });
                        self.held.clear();
                        outcome?;
                    }
                    &bytes[taken..]
                }
                Place::Head(line) => self.head(line, bytes, &mut take)?,
                Place::Body(end) => {
                    let rest = self.hold(bytes, end);
                    if self.held.len() == end {
                        take(self.message()?)?;
                    }
                    rest
                }
            };
        }
        Ok(())
    }

    /// Adds to what is held until it is `most` long; returns the rest.
    fn hold<'a>(&mut self, bytes: &'a [u8], most: usize) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(most.saturating_sub(self.held.len()).min(bytes.len()));
        self.held.extend_from_slice(taken);
        rest
    }

    fn packet<'a, E>(
        &mut self,
        channel: u8,
        length: [u8; 2],
        bytes: &'a [u8],
        take: &mut impl FnMut(Found<'_>) -> Result<(), E>,
    ) -> Result<&'a [u8], E> {
        let length = usize::from(u16::from_be_bytes(length));
        match bytes.split_at_checked(length) {
            Some((packet, rest)) => {
                self.place = Place::Between;
                take(Found::Packet { channel, head: &packet[..length.min(HEAD_BYTES)], length })?;
                Ok(rest)
            }
            None => {
                self.place = Place::Packet { channel, length, left: length };
                Ok(bytes)
            }
        }
    }

    fn head<'a, E: From<WireError>>(
        &mut self,
        line: usize,
        bytes: &'a [u8],
        take: &mut impl FnMut(Found<'_>) -> Result<(), E>,
    ) -> Result<&'a [u8], E> {
        let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
        let rest = self.hold(bytes, self.held.len() + end);
        if self.held.len() > MOST_HEAD_BYTES {
            return Err(WireError::HeadTooLong.into());
        }
        if !self.held.ends_with(b"\n") {
            return Ok(rest);
        }
        if !matches!(&self.held[line..], b"\n" | b"\r\n") {
            self.place = Place::Head(self.held.len());
            return Ok(rest);
        }
        match body_bytes(&self.held) {
            0 => take(self.message()?)?,
            bytes => self.place = Place::Body(self.held.len() + bytes),
        }
        Ok(rest)
    }

    fn message(&mut self) -> Result<Found<'static>, WireError> {
        self.place = Place::Between;
        let mut reader = Reader::new(Limits::default());
        let room = reader.room();
        room.extend_from_slice(&self.held);
        // A connection says a few hundred bytes now and then: with a thousand of them the memory is better given back.
        self.held = Vec::new();
        match reader.next_item()? {
            Some(Item::Response(response)) => Ok(Found::Response(response)),
            Some(Item::Request(request)) => Err(WireError::Asked(format!("{:?}", request.method))),
            Some(Item::Data(_)) | None => Err(WireError::HeadTooLong),
        }
    }
}

/// What a head says of the body behind it; no more than is taken by [`Reader`].
fn body_bytes(head: &[u8]) -> usize {
    let text = String::from_utf8_lossy(head);
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.unwrap_or(0).min(Limits::default().body_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nv=0$\x02\x00\x04abcd\r\n$\x00\x00\x00RTSP/1.0 200 OK\nCSeq: 2\n\n$\x01\x00\x01x";

    fn found(pieces: usize) -> Vec<String> {
        let mut wire = Wire::new();
        let mut words = Vec::new();
        for piece in STREAM.chunks(pieces) {
            wire.feed::<WireError>(piece, |found| {
                words.push(match found {
                    Found::Response(response) => format!("{} {:?}", response.status, response.body),
                    Found::Packet { channel, head, length } => {
                        format!("{channel} {} {length}", String::from_utf8_lossy(head))
                    }
                });
                Ok(())
            })
            .unwrap();
        }
        words
    }

    #[test]
    fn messages_and_packets_in_pieces_of_any_length() {
        let wanted = ["200 b\"v=0\"", "2 abcd 4", "0  0", "200 b\"\"", "1 x 1"];
        for pieces in 1..=STREAM.len() {
            assert_eq!(found(pieces), wanted, "{pieces}");
        }
    }

    #[test]
    fn only_the_beginning_of_a_long_packet_is_kept() {
        let bytes = [&[b'$', 0, 0x10, 0][..], &[7; 4096]].concat();
        for pieces in [1, 100, 1000, 5000] {
            let (mut wire, mut seen) = (Wire::new(), Vec::new());
            for piece in bytes.chunks(pieces) {
                wire.feed::<WireError>(piece, |found| {
                    let Found::Packet { head, length, .. } = found else { panic!() };
                    seen.push((head.len(), length));
                    Ok(())
                })
                .unwrap();
            }
            assert_eq!(seen, [(HEAD_BYTES, 4096)]);
        }
    }

    #[test]
    fn broken_framing_is_an_error() {
        let mut wire = Wire::new();
        let bytes = [b'$', 0, 0, 1, 9, 0x80, 0x60];
        let outcome = wire.feed::<WireError>(&bytes, |_| Ok(()));
        assert!(matches!(outcome, Err(WireError::Framing(0x80))));
    }
}
