//! The header fields of a message (RFC 2326 section 12, RFC 2616 section 4.2): one allocation for all their text.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

/// The header fields of a message, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// UTF-8.
    head: Bytes,
    list: Vec<(Range<u32>, Range<u32>)>,
}

impl Fields {
    /// No fields yet, of a head that is UTF-8.
    pub(super) fn new(head: Bytes) -> Self {
        Self { head, list: Vec::new() }
    }

    pub(super) fn push(&mut self, name: Range<usize>, value: Range<usize>) {
        let short = |range: Range<usize>| range.start as u32..range.end as u32;
        self.list.push((short(name), short(value)));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The value of the first field with this name, in letters of either case.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The values of all fields with this name, in letters of either case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(name, value)| (self.text(name), self.text(value)))
    }

    /// The number of the request that the message is or answers (RFC 2326 12.17).
    pub fn cseq(&self) -> Option<u32> {
        self.first("CSeq")?.parse().ok()
    }

    /// Where the value of the field with this index begins in the head.
    pub(super) fn value_at(&self, index: usize) -> usize {
        self.list.get(index).map_or(0, |(_, value)| value.start as usize)
    }

    fn text(&self, range: &Range<u32>) -> &str {
        let bytes = self.head.get(range.start as usize..range.end as usize).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// The id in a Session field, and after how long without a sign of life the session ends, if it says (RFC 2326 12.37).
pub fn session_field(value: &str) -> (&str, Option<Duration>) {
    let (id, parameters) = value.split_once(';').unwrap_or((value, ""));
    let timeout = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let seconds = value.trim().parse::<u32>().ok()?;
        name.trim().eq_ignore_ascii_case("timeout").then(|| Duration::from_secs(seconds.into()))
    });
    (id.trim(), timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_an_id_and_perhaps_a_timeout() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(session_field("abc;timeout=60"), ("abc", seconds(60)));
        assert_eq!(session_field(" abc ; foo=1; Timeout = 30 "), ("abc", seconds(30)));
        assert_eq!(session_field("abc"), ("abc", None));
        assert_eq!(session_field("abc;timeout=-1"), ("abc", None));
        assert_eq!(session_field(""), ("", None));
    }
}
