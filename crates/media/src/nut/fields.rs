//! The numbers that NUT's headers are made of (specification of NUT, section 2.1).
//!
//! ```text
//! v   +-+-------+-+-------+   seven bits a byte, the highest first;    s   v of 2|x| - 1 for x > 0, of 2|x| else
//!     |1|  ...  |0|  ...  |   the first bit says that more follow
//!     +-+-------+-+-------+
//! ```

use super::NutError;

/// Reads one field after the other. Each reading gives `None` where the bytes end before it does.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        let bytes = self.take(8)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A number without sign.
    pub(super) fn v(&mut self) -> Result<Option<u64>, NutError> {
        let mut number: u64 = 0;
        while let Some(byte) = self.u8() {
            if number >> 57 != 0 {
                return Err(NutError::Damaged("a number of more than 64 bits"));
            }
            number = number << 7 | u64::from(byte & 0x7F);
            if byte & 0x80 == 0 {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// A number with sign.
    pub(super) fn s(&mut self) -> Result<Option<i64>, NutError> {
        let number = self.v()?.map(|coded| u128::from(coded) + 1);
        Ok(number.map(|number| {
            let half = (number >> 1) as i64;
            if number & 1 == 1 { half.wrapping_neg() } else { half }
        }))
    }

    /// So many bytes.
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(bytes)
    }

    /// Bytes behind their number.
    pub(super) fn vb(&mut self) -> Result<Option<&'a [u8]>, NutError> {
        Ok(self.v()?.and_then(|length| self.take(usize::try_from(length).ok()?)))
    }
}
