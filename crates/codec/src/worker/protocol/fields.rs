//! Fields of a message's body, one after the other.

use super::ProtocolError;

/// Longest text of a message in bytes; more is cut.
const MOST_TEXT_BYTES: usize = 512;

/// What is still to be read of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    kind: u8,
    length: usize,
    left: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The body of a message, and its kind.
    pub(super) fn of(message: &'a [u8]) -> Result<(u8, Self), ProtocolError> {
        let (&kind, body) = message.split_first().ok_or(ProtocolError::Length(0))?;
        Ok((kind, Self { kind, length: body.len(), left: body }))
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        let (bytes, left) = self.left.split_first_chunk().ok_or_else(|| self.short())?;
        self.left = left;
        Ok(*bytes)
    }

    pub(super) fn slice(&mut self, bytes: usize) -> Result<&'a [u8], ProtocolError> {
        let (slice, left) = self.left.split_at_checked(bytes).ok_or_else(|| self.short())?;
        self.left = left;
        Ok(slice)
    }

    pub(super) fn u8(&mut self) -> Result<u8, ProtocolError> {
        self.bytes().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, ProtocolError> {
        self.bytes().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ProtocolError> {
        self.bytes().map(u32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, ProtocolError> {
        self.bytes().map(i64::from_be_bytes)
    }

    /// 0 or 1.
    pub(super) fn flag(&mut self, what: &'static str) -> Result<bool, ProtocolError> {
        match self.u8()? {
            found @ 0..=1 => Ok(found == 1),
            found => Err(ProtocolError::Field { what, found }),
        }
    }

    /// A byte that stands for something.
    pub(super) fn choice<T>(
        &mut self,
        what: &'static str,
        of_number: impl FnOnce(u8) -> Option<T>,
    ) -> Result<T, ProtocolError> {
        let found = self.u8()?;
        of_number(found).ok_or(ProtocolError::Field { what, found })
    }

    /// All that is left, as text that may be shown.
    pub(super) fn text(self) -> String {
        text(self.left)
    }

    /// All that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.left
    }

    /// Nothing is left.
    pub(super) fn end(self) -> Result<(), ProtocolError> {
        match self.left.len() {
            0 => Ok(()),
            excess => Err(ProtocolError::Long { kind: self.kind, excess }),
        }
    }

    fn short(&self) -> ProtocolError {
        ProtocolError::Short { kind: self.kind, length: self.length }
    }
}

/// `text` as a message may carry it.
pub(super) fn words(text: &str) -> &[u8] {
    cut(text, MOST_TEXT_BYTES).as_bytes()
}

/// At most `bytes` of `text`, whole characters.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Text as it may be shown, whatever came, and no longer than it came.
pub(super) fn text(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(MOST_TEXT_BYTES)];
    let mut text: String = String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect();
    text.truncate(text.floor_char_boundary(bytes.len()));
    text
}
