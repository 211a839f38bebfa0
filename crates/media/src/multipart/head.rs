//! The lines of a part's head, and the boundary between parts.

use std::time::Duration;

/// The boundary that a Content-Type names, without its quotes and leading dashes; empty if it names none, in which case
/// any line that begins with `--` counts as one. `None` if it is no `multipart/` type.
pub fn boundary_of(content_type: &str) -> Option<&str> {
    let mut fields = content_type.split(';').map(str::trim);
    let kind = fields.next()?;
    if !kind.get(..10)?.eq_ignore_ascii_case("multipart/") {
        return None;
    }
    let boundary = fields
        .filter_map(|field| field.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case("boundary"))
        .map_or("", |(_, value)| value);
    Some(boundary.trim().trim_matches('"').trim().trim_start_matches('-'))
}

/// What a line outside of a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delimiter {
    /// Another part follows.
    Next,
    /// No further part follows.
    Last,
}

/// Recognises the lines between parts.
#[derive(Clone, Debug)]
pub(super) struct Boundary {
    name: Vec<u8>,
    /// A line with the name was seen. Until then, any line that begins with `--` will do: some cameras send another
    /// boundary than they announce.
    confirmed: bool,
}

impl Boundary {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.trim_start_matches('-').as_bytes().to_vec(), confirmed: false }
    }

    /// What `line` is, if it is a delimiter. Padding may stand before it.
    pub(super) fn recognise(&mut self, line: &[u8]) -> Option<Delimiter> {
        let padding = line.iter().take_while(|b| **b == 0 || b.is_ascii_whitespace()).count();
        let line = line[padding..].trim_ascii_end();
        let dashes = line.iter().take_while(|b| **b == b'-').count();
        let name = &line[dashes..];
        if !self.name.is_empty() && name.starts_with(&self.name) {
            let delimiter = match &name[self.name.len()..] {
                b"" => Delimiter::Next,
                b"--" => Delimiter::Last,
                _ => return None,
            };
            self.confirmed = true;
            return Some(delimiter);
        }
        (!self.confirmed && dashes >= 2 && !name.is_empty()).then_some(Delimiter::Next)
    }
}

/// What a part's header lines say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Content-Length, if it is a number above 0.
    pub(super) length: Option<u64>,
    /// X-Timestamp: since the Unix epoch.
    pub(super) timestamp: Option<Duration>,
}

impl Head {
    /// Takes in one header line. What it does not know, and what makes no sense, it ignores.
    pub(super) fn line(&mut self, line: &[u8]) {
        let Ok(line) = std::str::from_utf8(line) else { return };
        let Some((key, value)) = line.split_once(':') else { return };
        let (key, value) = (key.trim(), value.trim());
        if key.eq_ignore_ascii_case("content-length") {
            self.length = value.parse().ok().filter(|length| *length > 0);
        } else if key.eq_ignore_ascii_case("x-timestamp") {
            self.timestamp = read_timestamp(value);
        }
    }
}

/// Reads `seconds` or `seconds.fraction`, digits only; past nine digits the fraction is cut.
fn read_timestamp(text: &str) -> Option<Duration> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if seconds.is_empty() || !digits(seconds) || !digits(fraction) {
        return None;
    }
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    Some(Duration::new(seconds.parse().ok()?, nanos))
}
