//! The first thing that a worker says.

use super::fields::{Fields, cut, text, words};
use super::{Coding, HELLO, Input, PROTOCOL, ProtocolError, message};

/// What a hello begins with.
const MAGIC: [u8; 12] = *b"ocelli-codec";

/// What a worker decodes and encodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Able {
    inputs: u8,
    codings: u8,
}

impl Able {
    /// Exactly these.
    pub fn new(inputs: &[Input], codings: &[Coding]) -> Self {
        Self {
            inputs: inputs.iter().fold(0, |bits, input| bits | 1 << input.number()),
            codings: codings.iter().fold(0, |bits, coding| bits | 1 << coding.number()),
        }
    }

    /// It has a decoder of `input`.
    pub fn decodes(self, input: Input) -> bool {
        self.inputs & 1 << input.number() != 0
    }

    /// It makes `coding`.
    pub fn encodes(self, coding: Coding) -> bool {
        self.codings & 1 << coding.number() != 0
    }
}

/// A worker's hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its [`PROTOCOL`]. What is behind the version is that of this protocol only; of another it is nothing.
    pub protocol: u16,
    /// Its program's version.
    pub version: String,
    /// What it decodes and encodes.
    pub able: Able,
    /// What keeps it from doing harm and what it works with, in words.
    pub words: String,
}

impl Hello {
    /// A hello of this version of the program.
    pub fn new(able: Able, words: &str) -> Self {
        Self {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            able,
            words: words.to_owned(),
        }
    }

    /// The whole message.
    pub fn write(&self) -> Vec<u8> {
        let version = cut(&self.version, u8::MAX.into());
        let length = [version.len() as u8];
        let able = [self.able.inputs, self.able.codings];
        message(
            HELLO,
            &[&MAGIC, &self.protocol.to_be_bytes(), &length, version.as_bytes(), &able, words(&self.words)],
        )
    }

    /// Reads a message's kind and body.
    ///
    /// # Errors
    /// It is no hello.
    pub fn read(message: &[u8]) -> Result<Self, ProtocolError> {
        Self::parse(message).map_err(|_| ProtocolError::NoHello)
    }

    fn parse(message: &[u8]) -> Result<Self, ProtocolError> {
        let (kind, mut fields) = Fields::of(message)?;
        if kind != HELLO || fields.bytes()? != MAGIC {
            return Err(ProtocolError::NoHello);
        }
        let protocol = fields.u16()?;
        let length = fields.u8()?;
        let version = text(fields.slice(length.into())?);
        if protocol != PROTOCOL {
            return Ok(Self { protocol, version, able: Able::default(), words: String::new() });
        }
        let able = Able { inputs: fields.u8()?, codings: fields.u8()? };
        Ok(Self { protocol, version, able, words: fields.text() })
    }
}
