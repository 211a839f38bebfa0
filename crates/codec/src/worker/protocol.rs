//! What the server and its worker say to each other through pipes. Reads and writes nothing itself.
//!
//! ```text
//! length (32) │ kind (8) │ body
//! ```
//!
//! Numbers are big-endian; the length counts kind and body and is at most [`MOST_MESSAGE_BYTES`]. The worker speaks
//! first, once, by a [`Hello`], whose layout stays the same in every version. Then each request has one answer, in
//! order. Requests are numbered by the one who asks.
//!
//! | kind | from | body |
//! |---|---|---|
//! | 1 recode | server | number (32), quality (8, 0 for the picture's own), sampling (8: 0 near the picture's own, 1 4:2:0, 2 4:2:2), greatest width (16) and height (16), JPEG |
//! | 128 hello | worker | `ocelli-codec`, protocol (16), length of the version (8), version, how it is confined |
//! | 129 picture | worker | number (32), width (16), height (16), JPEG |
//! | 130 refused | worker | number (32), the reason in words |
//!
//! Neither side believes the other: a message that breaks a rule is an error that names it.

use ocelli_media::Size;
use ocelli_media::jpeg::rewrite::Sampling;

use crate::recode::Wish;

/// Longest message either way: a picture of 64 MiB and what goes before it.
pub const MOST_MESSAGE_BYTES: usize = (64 << 20) + 64;
/// Number of this protocol. Server and worker must have the same, and the same version of the program.
pub const PROTOCOL: u16 = 1;
/// Longest text of a message in bytes; more is cut.
const MOST_TEXT_BYTES: usize = 512;
/// What a hello begins with.
const MAGIC: &[u8] = b"ocelli-codec";

const RECODE: u8 = 1;
const HELLO: u8 = 128;
const PICTURE: u8 = 129;
const REFUSED: u8 = 130;

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

/// The first thing that a worker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its [`PROTOCOL`].
    pub protocol: u16,
    /// Its program's version.
    pub version: String,
    /// What keeps it from doing harm, in words.
    pub confinement: String,
}

impl Hello {
    /// A hello of this version of the program.
    pub fn new(confinement: &str) -> Self {
        Self {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            confinement: confinement.to_owned(),
        }
    }

    /// The whole message.
    pub fn write(&self) -> Vec<u8> {
        let version = cut(&self.version, u8::MAX.into());
        let length = [version.len() as u8];
        let confinement = cut(&self.confinement, MOST_TEXT_BYTES);
        let parts: [&[u8]; 5] =
            [MAGIC, &self.protocol.to_be_bytes(), &length, version.as_bytes(), confinement.as_bytes()];
        message(HELLO, &parts.concat())
    }

    /// Reads a message's kind and body.
    ///
    /// # Errors
    /// It is no hello.
    pub fn read(message: &[u8]) -> Result<Self, ProtocolError> {
        let body = message.strip_prefix(&[HELLO]).and_then(|body| body.strip_prefix(MAGIC));
        let (protocol, rest) =
            body.and_then(|body| body.split_first_chunk()).ok_or(ProtocolError::NoHello)?;
        let (&length, rest) = rest.split_first().ok_or(ProtocolError::NoHello)?;
        let (version, confinement) = rest.split_at_checked(length.into()).ok_or(ProtocolError::NoHello)?;
        Ok(Self {
            protocol: u16::from_be_bytes(*protocol),
            version: text(version),
            confinement: text(confinement),
        })
    }
}

/// What the server asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Re-encode a JPEG.
    Recode {
        /// Number of the request.
        number: u32,
        /// What is wanted.
        wish: Wish,
        /// The picture.
        jpeg: &'a [u8],
    },
}

impl<'a> Request<'a> {
    /// The bytes that go before the JPEG of `jpeg_bytes` bytes. `None` if it is too long for a message.
    pub fn recode_head(number: u32, wish: &Wish, jpeg_bytes: usize) -> Option<[u8; 15]> {
        let bytes = jpeg_bytes.checked_add(11).filter(|bytes| *bytes <= MOST_MESSAGE_BYTES)?;
        let mut head = [0; 15];
        head[..4].copy_from_slice(&(bytes as u32).to_be_bytes());
        head[4] = RECODE;
        head[5..9].copy_from_slice(&number.to_be_bytes());
        head[9] = wish.quality.unwrap_or(0);
        head[10] = match wish.sampling {
            None => 0,
            Some(Sampling::Yuv420) => 1,
            Some(Sampling::Yuv422) => 2,
        };
        head[11..13].copy_from_slice(&wish.most.width.to_be_bytes());
        head[13..].copy_from_slice(&wish.most.height.to_be_bytes());
        Some(head)
    }

    /// Reads a message's kind and body.
    ///
    /// # Errors
    /// A kind that this version does not know, a body too short, or a field outside its range.
    pub fn read(message: &'a [u8]) -> Result<Self, ProtocolError> {
        let (&kind, body) = message.split_first().ok_or(ProtocolError::Length(0))?;
        if kind != RECODE {
            return Err(ProtocolError::Kind(kind));
        }
        let (head, jpeg) =
            body.split_first_chunk::<10>().ok_or(ProtocolError::Short { kind, length: body.len() })?;
        let &[n3, n2, n1, n0, quality, sampling, w1, w0, h1, h0] = head;
        let sampling = match sampling {
            0 => None,
            1 => Some(Sampling::Yuv420),
            2 => Some(Sampling::Yuv422),
            found => return Err(ProtocolError::Field { what: "the sampling", found }),
        };
        if quality > 100 {
            return Err(ProtocolError::Field { what: "the quality", found: quality });
        }
        let most = Size { width: u16::from_be_bytes([w1, w0]), height: u16::from_be_bytes([h1, h0]) };
        let quality = Some(quality).filter(|quality| *quality > 0);
        let wish = Wish { quality, sampling, most };
        Ok(Self::Recode { number: u32::from_be_bytes([n3, n2, n1, n0]), wish, jpeg })
    }

    /// The number of a request that could not be read, as far as it can be told.
    pub(crate) fn number(message: &[u8]) -> u32 {
        message.get(1..5).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
    }
}

/// What the worker answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The picture. Its JPEG follows the first [`Answer::PICTURE_HEAD_BYTES`] of the message.
    Picture {
        /// Number of the request.
        number: u32,
        /// Its size in pixels.
        size: Size,
    },
    /// There is none.
    Refused {
        /// Number of the request.
        number: u32,
        /// Why, in words.
        reason: String,
    },
}

impl Answer {
    /// Bytes of a picture's message, its length not counted, before the JPEG.
    pub const PICTURE_HEAD_BYTES: usize = 9;

    /// The bytes that go before a JPEG of `jpeg_bytes` bytes. `None` if it is too long for a message.
    pub fn picture_head(number: u32, size: Size, jpeg_bytes: usize) -> Option<[u8; 13]> {
        let bytes =
            jpeg_bytes.checked_add(Self::PICTURE_HEAD_BYTES).filter(|bytes| *bytes <= MOST_MESSAGE_BYTES)?;
        let mut head = [0; 13];
        head[..4].copy_from_slice(&(bytes as u32).to_be_bytes());
        head[4] = PICTURE;
        head[5..9].copy_from_slice(&number.to_be_bytes());
        head[9..11].copy_from_slice(&size.width.to_be_bytes());
        head[11..].copy_from_slice(&size.height.to_be_bytes());
        Some(head)
    }

    /// The whole message of a refusal.
    pub fn write_refused(number: u32, reason: &str) -> Vec<u8> {
        message(REFUSED, &[&number.to_be_bytes(), cut(reason, MOST_TEXT_BYTES).as_bytes()].concat())
    }

    /// Reads a message's kind and body.
    ///
    /// # Errors
    /// An unknown kind, or a body too short.
    pub fn read(message: &[u8]) -> Result<Self, ProtocolError> {
        let (&kind, body) = message.split_first().ok_or(ProtocolError::Length(0))?;
        let short = ProtocolError::Short { kind, length: body.len() };
        match kind {
            PICTURE => {
                let (&[n3, n2, n1, n0, w1, w0, h1, h0], _) = body.split_first_chunk::<8>().ok_or(short)?;
                let size = Size { width: u16::from_be_bytes([w1, w0]), height: u16::from_be_bytes([h1, h0]) };
                Ok(Self::Picture { number: u32::from_be_bytes([n3, n2, n1, n0]), size })
            }
            REFUSED => {
                let (number, reason) = body.split_first_chunk().ok_or(short)?;
                Ok(Self::Refused { number: u32::from_be_bytes(*number), reason: text(reason) })
            }
            kind => Err(ProtocolError::Kind(kind)),
        }
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 1).to_be_bytes();
    [&length[..], &[kind], body].concat()
}

/// At most `bytes` of `text`, whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Text as it may be shown, whatever came.
fn text(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(MOST_TEXT_BYTES)];
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(message: &[u8]) -> &[u8] {
        let (head, body) = message.split_first_chunk().unwrap();
        assert_eq!(message_bytes(*head), Ok(body.len()));
        body
    }

    #[test]
    fn a_hello_comes_back() {
        let hello = Hello::new("no files");
        assert_eq!(Hello::read(body(&hello.write())), Ok(hello));
        let long = Hello { protocol: 7, version: "é".repeat(200), confinement: "ü".repeat(600) };
        let read = Hello::read(body(&long.write())).unwrap();
        assert_eq!((read.version, read.confinement), ("é".repeat(127), "ü".repeat(256)));
        for other in [&b""[..], b"HTTP/1.1 200 OK", &[HELLO], &body(&Hello::new("").write())[..14]] {
            assert_eq!(Hello::read(other), Err(ProtocolError::NoHello));
        }
    }

    #[test]
    fn lengths_are_bounded() {
        assert_eq!(message_bytes([0; 4]), Err(ProtocolError::Length(0)));
        assert_eq!(message_bytes([0xff; 4]), Err(ProtocolError::Length(u32::MAX)));
        let wish = Wish { quality: None, sampling: None, most: Size { width: 1, height: 1 } };
        assert_eq!(Request::recode_head(1, &wish, MOST_MESSAGE_BYTES), None);
        assert_eq!(Answer::picture_head(1, wish.most, usize::MAX), None);
        assert!(Request::recode_head(1, &wish, 64 << 20).is_some());
    }

    #[test]
    fn fields_outside_their_range_are_named() {
        let head = |quality, sampling| [RECODE, 0, 0, 0, 1, quality, sampling, 0, 1, 0, 1];
        assert_eq!(
            Request::read(&head(101, 0)),
            Err(ProtocolError::Field { what: "the quality", found: 101 })
        );
        assert_eq!(Request::read(&head(1, 3)), Err(ProtocolError::Field { what: "the sampling", found: 3 }));
        assert_eq!(Request::read(&head(1, 2)[..5]), Err(ProtocolError::Short { kind: 1, length: 4 }));
        assert_eq!(Request::read(&[77]), Err(ProtocolError::Kind(77)));
        assert_eq!(Answer::read(&[REFUSED, 1]), Err(ProtocolError::Short { kind: REFUSED, length: 1 }));
    }

    proptest! {
        #[test]
        fn requests_come_back(number: u32, quality in 0_u8..=100, sampling in 0..3, width: u16, height: u16, jpeg: Vec<u8>) {
            let sampling = [None, Some(Sampling::Yuv420), Some(Sampling::Yuv422)][sampling as usize];
            let quality = Some(quality).filter(|quality| *quality > 0);
            let wish = Wish { quality, sampling, most: Size { width, height } };
            let head = Request::recode_head(number, &wish, jpeg.len()).unwrap();
            let message = [&head[..], &jpeg].concat();
            prop_assert_eq!(Request::read(body(&message)), Ok(Request::Recode { number, wish, jpeg: &jpeg }));
            prop_assert_eq!(Request::number(body(&message)), number);
        }

        #[test]
        fn answers_come_back(number: u32, width: u16, height: u16, jpeg: Vec<u8>, reason in "[a-z ]{0,100}") {
            let size = Size { width, height };
            let message = [&Answer::picture_head(number, size, jpeg.len()).unwrap()[..], &jpeg].concat();
            prop_assert_eq!(Answer::read(body(&message)), Ok(Answer::Picture { number, size }));
            prop_assert_eq!(&body(&message)[Answer::PICTURE_HEAD_BYTES..], &jpeg);
            let message = Answer::write_refused(number, &reason);
            prop_assert_eq!(Answer::read(body(&message)), Ok(Answer::Refused { number, reason }));
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let _ = (Hello::read(&bytes), Request::read(&bytes), Answer::read(&bytes));
        }
    }
}
