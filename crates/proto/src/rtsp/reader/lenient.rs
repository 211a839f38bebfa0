//! Where a message or packet seems to begin, and where a session description seems to end: for what cameras send wrong.

use crate::rtsp::Item;

/// What begins a message: what is answered by, and what a server may ask its client.
const BEGINNINGS: [&[u8]; 10] = [
    b"RTSP/",
    b"HTTP/",
    b"OPTIONS ",
    b"GET_PARAMETER ",
    b"SET_PARAMETER ",
    b"ANNOUNCE ",
    b"REDIRECT ",
    b"TEARDOWN ",
    b"PLAY ",
    b"PAUSE ",
];

/// How many bytes begin nothing, and whether the one behind them begins something. False: more must come to see it.
///
/// Behind garbage (`strict`) an interleaved packet is one only if what is in it looks like RTP or RTCP on a low channel: half of
/// a lost packet is full of dollar signs.
pub(super) fn find_begin(bytes: &[u8], strict: bool) -> (usize, bool) {
    for at in 0..bytes.len() {
        let rest = &bytes[at..];
        let is_first = at == 0 && !strict;
        let begins = match rest[0] {
            b'$' if is_first => Some(true),
            b'$' => is_packet(rest),
            b'A'..=b'Z' => is_message(rest),
            _ => Some(false),
        };
        match begins {
            Some(false) => {}
            Some(true) => return (at, true),
            None => return (at, false),
        }
    }
    (bytes.len(), false)
}

fn is_packet(bytes: &[u8]) -> Option<bool> {
    let &[_, channel, high, low, first, ..] = bytes else { return None };
    let length = u16::from_be_bytes([high, low]);
    // Version 2 of RTP and RTCP (RFC 3550 5.1, 6.4.1), in what fits into a datagram.
    Some(channel < 32 && first >> 6 == 2 && (8..=9000).contains(&length))
}

fn is_message(bytes: &[u8]) -> Option<bool> {
    if BEGINNINGS.iter().any(|beginning| bytes.starts_with(beginning)) {
        return Some(true);
    }
    let is_cut = BEGINNINGS.iter().any(|beginning| beginning.starts_with(bytes));
    if is_cut { None } else { Some(false) }
}

/// Whether the message is an answer with a session description.
pub(super) fn has_description(item: &Item) -> bool {
    let Item::Response(response) = item else { return false };
    response.fields.first("Content-Type").is_some_and(|kind| kind.to_ascii_lowercase().contains("sdp"))
}

/// Where lines end to be `x=...`; `None` while all are.
pub(super) fn end_of_description(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line {
            [b'a'..=b'z'] | [b'a'..=b'z', b'=', ..] | [b'\r'] | [b'\r', b'\n'] | [b'\n'] => at += line.len(),
            _ => return Some(at),
        }
    }
    None
}

/// How much of what has come behind a description's stated end belongs to it.
pub(super) fn rest_of_description(bytes: &[u8]) -> usize {
    // The end may be stated within a line.
    let line = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    let is_begun = find_begin(&bytes[..line], false) == (0, true);
    let is_empty = bytes[..line].iter().all(|byte| matches!(byte, b'\r' | b'\n'));
    if is_begun || is_empty {
        return 0;
    }
    line + end_of_description(&bytes[line..]).unwrap_or(bytes.len() - line)
}
