//! The head of a message: its first line and its fields (RFC 2326 sections 4.2, 6.1, 7.1 and 15.1).

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::{Fields, Item, Limits, Method, ReadError, Request, Response, Version};

const CONTENT_LENGTH: &str = "Content-Length is no number of bytes (RFC 2326 12.14)";
const CONTENT_LENGTHS: &str = "a second Content-Length that says something else (RFC 2326 12.14)";
const CONTROL: &str = "a control character (RFC 2326 15.1)";
const NAME: &str = "a field without a name (RFC 2326 4.2)";
const FIRST_LINE: &str = "expected METHOD URL VERSION (RFC 2326 6.1)";
const METHOD: &str = "a method that is no word (RFC 2326 15.1)";
const VERSION: &str = "expected RTSP/1.0 (RFC 2326 3.1)";
const STATUS: &str = "a status that is not three digits (RFC 2326 7.1)";

/// What a head says.
pub(super) struct Head {
    /// The message without its body.
    pub(super) item: Item,
    /// The body's length, if it is stated.
    pub(super) body_bytes: Option<usize>,
}

/// Reads a head, with the empty line at its end. If `lenient`, what makes no sense is left out where that is possible.
pub(super) fn parse_head(
    mut head: BytesMut,
    limits: &Limits,
    lenient: bool,
    cseq: &mut Option<u32>,
) -> Result<Head, ReadError> {
    unfold(&mut head);
    if lenient {
        blank(&mut head);
    }
    let head = match String::from_utf8_lossy(&head) {
        std::borrow::Cow::Borrowed(_) => head.freeze(),
        std::borrow::Cow::Owned(replaced) => replaced.into(),
    };
    let text = std::str::from_utf8(&head).unwrap_or_default();
    if let Some(at) =
        text.bytes().position(|byte| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n'))
    {
        return Err(ReadError::Line { at, rule: CONTROL });
    }
    let mut fields = Fields::new(head.clone());
    let mut lines = lines(text);
    let (_, first) = lines.next().unwrap_or_default();
    if let Some(at) = first.find('\r') {
        return Err(ReadError::Line { at, rule: CONTROL });
    }
    for (at, line) in lines.filter(|(_, line)| !line.is_empty()) {
        if fields.len() == limits.fields {
            return Err(ReadError::TooManyFields(limits.fields));
        }
        if let Some(within) = line.find('\r') {
            return Err(ReadError::Line { at: at + within, rule: CONTROL });
        }
        let colon = line.find(':').unwrap_or(0);
        let name = line[..colon].trim_end();
        if name.is_empty() || name.contains([' ', '\t']) {
            if lenient {
                continue;
            }
            return Err(ReadError::Line { at, rule: NAME });
        }
        let value = &line[colon + 1..];
        let start = at + colon + 1 + (value.len() - value.trim_start().len());
        fields.push(at..at + name.len(), start..start + value.trim().len());
    }
    *cseq = fields.cseq();
    let body_bytes = content_length(&fields, limits.body_bytes, lenient)?;
    Ok(Head { item: start_line(first, fields, lenient)?, body_bytes })
}

/// Puts spaces where nothing may stand that means nothing.
fn blank(head: &mut [u8]) {
    for at in 0..head.len() {
        let ends_line = head[at] == b'\n' || head[at] == b'\r' && head.get(at + 1) == Some(&b'\n');
        if head[at].is_ascii_control() && !ends_line {
            head[at] = b' ';
        }
    }
}

/// Lines, without what ends them, and where they begin.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        let line = line.strip_suffix('\n').unwrap_or(line);
        (start, line.strip_suffix('\r').unwrap_or(line))
    })
}

/// Joins lines that begin with white space to those before them, but not to the first.
fn unfold(head: &mut [u8]) {
    let first = memchr(b'\n', head).unwrap_or(head.len());
    for at in first + 1..head.len().saturating_sub(1) {
        if head[at] == b'\n' && matches!(head[at + 1], b' ' | b'\t') {
            head[at] = b' ';
            if head[at - 1] == b'\r' {
                head[at - 1] = b' ';
            }
        }
    }
}

fn content_length(fields: &Fields, most: usize, lenient: bool) -> Result<Option<usize>, ReadError> {
    let mut length = None;
    for (index, (name, value)) in fields.iter().enumerate() {
        if !name.eq_ignore_ascii_case("Content-Length") {
            continue;
        }
        let at = fields.value_at(index);
        // A sign is none of the digits, whichever it is.
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        if !digits && lenient {
            continue;
        }
        let value: u64 = digits
            .then(|| value.parse().unwrap_or(u64::MAX))
            .ok_or(ReadError::Line { at, rule: CONTENT_LENGTH })?;
        if !lenient && length.is_some_and(|before| before != value) {
            return Err(ReadError::Line { at, rule: CONTENT_LENGTHS });
        }
        if value > most as u64 {
            return Err(ReadError::BodyTooLong { at, length: value, most });
        }
        length = Some(value);
    }
    // At most the limit, which is a usize.
    Ok(length.map(|length| length as usize))
}

fn start_line(line: &str, fields: Fields, lenient: bool) -> Result<Item, ReadError> {
    let error = |at, rule| Err(ReadError::Line { at, rule });
    let body = Bytes::new();
    if line.starts_with("RTSP/") || lenient && line.starts_with("HTTP/") {
        let (version, rest) = line.split_once(' ').unwrap_or((line, ""));
        let Some(version) = Version::parse(version) else { return error(0, VERSION) };
        let (status, reason) = rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""));
        let digits = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
        let Some(status) = digits.then(|| status.parse().ok()).flatten() else {
            return error(line.len() - rest.len(), STATUS);
        };
        return Ok(Item::Response(Response {
            status,
            reason: reason.trim().to_owned(),
            version,
            fields,
            body,
        }));
    }
    // A URL with spaces in it is what FFmpeg sends if it was given one.
    let line = line.trim_end();
    let (Some((method, _)), Some((before, version))) = (line.split_once(' '), line.rsplit_once(' ')) else {
        return error(0, FIRST_LINE);
    };
    let target = before.get(method.len()..).unwrap_or("").trim();
    if target.is_empty() {
        return error(method.len(), FIRST_LINE);
    }
    if !method.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return error(0, METHOD);
    }
    let Some(version) = Version::parse(version) else { return error(before.len() + 1, VERSION) };
    Ok(Item::Request(Request {
        method: Method::new(method),
        target: target.to_owned(),
        version,
        fields,
        body,
    }))
}
