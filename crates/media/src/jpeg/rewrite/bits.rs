//! Entropy-coded bits, read and written 64 at a time (T.81 F.2.2.5 and B.1.1.5).
//!
//! A zero byte is stuffed behind each `FF` of a scan. Eight bytes without an `FF` among them, which is 31 out of 32 times,
//! are taken or put at once.

use super::huffman::Fault;
use crate::jpeg::marker;

/// Whether one of the eight bytes is `FF`.
const fn has_ff(word: u64) -> bool {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let inverse = !word;
    inverse.wrapping_sub(LOW) & word & (LOW << 7) != 0
}

/// Reads the bits of one scan. Behind its end, or at a marker, come zeroes, which [`check`](Self::check) complains about.
pub(super) struct Reader<'a> {
    data: &'a [u8],
    position: usize,
    /// The next bits, from the highest down. Those behind `count` are undefined.
    bits: u64,
    count: u32,
    /// How many of all bits that came into `bits` were made up.
    made_up: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, position: 0, bits: 0, count: 0, made_up: 0 }
    }

    /// How far it has read: at most 8 bytes further than what was taken.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The next bits, at least 32 of them.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> u64 {
        if self.count < 32 {
            self.refill();
        }
        self.bits
    }

    /// Goes on by `count` bits, at most 32 since the last peek.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u8) {
        self.bits <<= count;
        self.count -= u32::from(count);
    }

    #[inline(always)]
    fn refill(&mut self) {
        if let Some(eight) = self.data.get(self.position..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_be_bytes(*eight);
            if !has_ff(word) {
                let bytes = (63 - self.count) >> 3;
                self.bits |= word >> self.count;
                self.position += bytes as usize;
                self.count += 8 * bytes;
                return;
            }
        }
        self.refill_slowly();
    }

    #[cold]
    fn refill_slowly(&mut self) {
        // What the fast way left of a byte that it did not count.
        self.bits &= !(u64::MAX >> self.count);
        while self.count <= 56 {
            let byte = match self.data.get(self.position..) {
                Some([0xFF, 0x00, ..]) => {
                    self.position += 1;
                    0xFF
                }
                Some([0xFF, 0xFF, ..]) => {
                    self.position += 1;
                    continue;
                }
                Some([byte @ ..=0xFE, ..]) => *byte,
                _ => {
                    self.made_up += 64 - self.count;
                    self.count = 64;
                    return;
                }
            };
            self.position += 1;
            self.bits |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// Refuses to have taken more than was there.
    #[inline(always)]
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.made_up > self.count { Err(Fault::End) } else { Ok(()) }
    }

    /// Goes behind restart marker `number`, modulo 8, which must be next.
    pub(super) fn restart(&mut self, number: u32) -> Result<(), Fault> {
        self.check()?;
        while self.data[self.position..].starts_with(&[0xFF, 0xFF]) {
            self.position += 1;
        }
        let marker = [0xFF, marker::RST0 + (number % 8) as u8];
        // What is left of the last byte is padding.
        if self.count - self.made_up >= 8 || !self.data[self.position..].starts_with(&marker) {
            return Err(Fault::Restart);
        }
        *self = Self { data: self.data, position: self.position + 2, bits: 0, count: 0, made_up: 0 };
        Ok(())
    }
}

/// Where whole words go.
pub(super) trait Words {
    fn word(&mut self, word: u64);
}

/// Without stuffing, for later.
impl Words for Vec<u64> {
    #[inline(always)]
    fn word(&mut self, word: u64) {
        self.push(word);
    }
}

/// As a scan's bytes.
impl Words for Vec<u8> {
    #[inline(always)]
    fn word(&mut self, word: u64) {
        if has_ff(word) {
            stuff(self, &word.to_be_bytes());
        } else {
            self.extend_from_slice(&word.to_be_bytes());
        }
    }
}

#[cold]
fn stuff(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        out.push(byte);
        if byte == 0xFF {
            out.push(0);
        }
    }
}

/// Writes bits.
#[derive(Clone, Debug)]
pub(super) struct Writer<W> {
    pub(super) out: W,
    /// The last bits, the newest lowest. Those above the newest `64 - free` are old.
    bits: u64,
    free: u32,
}

impl<W: Words> Writer<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, bits: 0, free: 64 }
    }

    /// Appends the low `count` of `bits`, at most 32; those above are zero.
    #[inline(always)]
    pub(super) fn put(&mut self, bits: u32, count: u32) {
        if let Some(free) = self.free.checked_sub(count) {
            self.bits = (self.bits << count) | u64::from(bits);
            self.free = free;
        } else {
            let over = count - self.free;
            self.out.word((self.bits << self.free) | (u64::from(bits) >> over));
            self.bits = bits.into();
            self.free = 64 - over;
        }
    }
}

impl Writer<Vec<u8>> {
    /// Fills up the last byte with ones.
    pub(super) fn pad(&mut self) {
        let spare = self.free % 8;
        self.put((1 << spare) - 1, spare);
        let used = 64 - self.free;
        if used > 0 {
            let bytes = (self.bits << self.free).to_be_bytes();
            stuff(&mut self.out, &bytes[..used as usize / 8]);
        }
        (self.bits, self.free) = (0, 64);
    }

    /// Ends an interval with restart marker `number`, modulo 8.
    pub(super) fn restart(&mut self, number: u32) {
        self.pad();
        self.out.extend_from_slice(&[0xFF, marker::RST0 + (number % 8) as u8]);
    }
}

impl Writer<Vec<u64>> {
    /// How many bits were put.
    pub(super) fn len(&self) -> usize {
        64 * self.out.len() + (64 - self.free as usize)
    }

    /// Makes what was put readable as words. Nothing may be put afterwards but behind [`clear`](Self::clear).
    pub(super) fn finish(&mut self) {
        if self.free < 64 {
            self.out.push(self.bits << self.free);
        }
    }

    /// Forgets everything, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.out.clear();
        (self.bits, self.free) = (0, 64);
    }
}
