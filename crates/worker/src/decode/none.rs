//! What stands in the place of a decoder of H.264 and H.265 in a worker that was built without one.

use ocelli_codec::worker::protocol::Input;

use super::{DecodeError, Device, Shown};

/// There is none.
#[derive(Debug)]
pub enum StreamDecoder {}

impl StreamDecoder {
    /// What this worker decodes of streams.
    pub fn inputs() -> Vec<Input> {
        Vec::new()
    }

    /// # Errors
    /// Always.
    pub fn new(input: Input, _: &[Device]) -> Result<Self, DecodeError> {
        Err(DecodeError::NoDecoder(input))
    }

    /// With which library, in words.
    pub fn library() -> String {
        "no decoder of streams".to_owned()
    }

    /// Never called.
    pub fn words(&self) -> String {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn push(&mut self, _: &mut [u8], _: u32, _: i64, _: bool) -> Result<(), DecodeError> {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn pull(&mut self) -> Result<Option<Shown<'_>>, DecodeError> {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn still(&mut self, _: &mut [u8]) -> Result<Shown<'_>, DecodeError> {
        match *self {}
    }
}
