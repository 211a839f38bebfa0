//! The chunked transfer coding, RFC 9112 section 7.1, taken off without copying: Go's and Node's servers use it for
//! answers without an end. Chunk extensions and trailers are passed over.

use super::FramingError;

/// A size line longer than this is an error; with extensions it is rarely past twenty bytes.
const MAX_SIZE_LINE: usize = 256;

/// Where in the coding the next byte stands.
#[derive(Debug)]
pub(crate) enum Chunks {
    /// In a size line: what has come of it.
    Size(Vec<u8>),
    /// In a chunk: bytes of it still to come.
    Data(usize),
    /// In the line end behind a chunk.
    End,
}

impl Chunks {
    pub(crate) fn new() -> Self {
        Self::Size(Vec::new())
    }

    /// Bytes of content that are certain to follow without coding between them.
    pub(crate) fn plain(&self) -> usize {
        match self {
            Self::Data(left) => *left,
            Self::Size(_) | Self::End => 0,
        }
    }

    /// So many bytes of content went by; at most [`Self::plain`].
    pub(crate) fn skipped(&mut self, bytes: usize) {
        if let Self::Data(left) = self {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                *self = Self::End;
            }
        }
    }

    /// Takes the front of `bytes` apart: how many bytes were used, and the content among them (their last so many).
    pub(crate) fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<(usize, &'a [u8]), FramingError> {
        match self {
            Self::Data(left) => {
                let content = &bytes[..bytes.len().min(*left)];
                self.skipped(content.len());
                Ok((content.len(), content))
            }
            Self::End => {
                let used = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
                if bytes[..used].iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
                    return Err(FramingError::BadChunk(lossy(&bytes[..used])));
                }
                if bytes[..used].ends_with(b"\n") {
                    *self = Self::new();
                }
                Ok((used, &[]))
            }
            Self::Size(line) => {
                let used = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
                line.extend_from_slice(&bytes[..used.min(MAX_SIZE_LINE + 1)]);
                if line.len() > MAX_SIZE_LINE {
                    return Err(FramingError::HeadTooLong(MAX_SIZE_LINE));
                }
                if line.ends_with(b"\n") {
                    *self = match chunk_size(line)? {
                        0 => return Err(FramingError::Ended),
                        size => Self::Data(size),
                    };
                }
                Ok((used, &[]))
            }
        }
    }
}

fn chunk_size(line: &[u8]) -> Result<usize, FramingError> {
    let bad = || FramingError::BadChunk(lossy(line));
    let text = std::str::from_utf8(line).map_err(|_| bad())?;
    let digits = text.split(';').next().unwrap_or_default().trim();
    usize::from_str_radix(digits, 16).map_err(|_| bad())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(coded: &[u8], step: usize) -> Result<Vec<u8>, FramingError> {
        let mut chunks = Chunks::new();
        let mut content = Vec::new();
        for piece in coded.chunks(step) {
            let mut rest = piece;
            while !rest.is_empty() {
                let (used, plain) = chunks.next(rest)?;
                content.extend_from_slice(plain);
                rest = &rest[used..];
            }
        }
        Ok(content)
    }

    #[test]
    fn content_is_the_same_however_the_bytes_arrive() {
        for step in 1..20 {
            let coded = b"5\r\nhello\r\n6;ext=1\r\n world\r\nA\r\n0123456789\r\n";
            assert_eq!(content(coded, step).unwrap(), b"hello world0123456789", "step {step}");
        }
    }

    #[test]
    fn broken_coding_is_told() {
        assert!(matches!(content(b"zz\r\n", 9), Err(FramingError::BadChunk(_))));
        assert!(matches!(content(b"2\r\nabc\r\n", 9), Err(FramingError::BadChunk(_))));
        assert!(matches!(content(&[b'1'; 400], 400), Err(FramingError::HeadTooLong(_))));
        assert_eq!(content(b"1\r\na\r\n0\r\n\r\n", 99), Err(FramingError::Ended));
    }
}
