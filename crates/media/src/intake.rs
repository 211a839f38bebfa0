//! The buffer that a stream of pictures is read into and split off from.
//!
//! One allocation serves about one picture: a published picture keeps its whole allocation alive, so allocations are
//! made an eighth longer than the longest of the last pictures, and never much longer than the longest allowed.

use bytes::{Buf, Bytes, BytesMut};

/// How many of the last pictures tell how long the next may be.
const REMEMBERED: usize = 8;

/// The least that is allocated; pictures that are much smaller share one allocation.
const LEAST_BYTES: usize = 16 << 10;

/// The buffer, and what it has learned about how long pictures are.
#[derive(Debug)]
pub(crate) struct Intake {
    buffer: BytesMut,
    longest_bytes: usize,
    lengths: [usize; REMEMBERED],
    taken: usize,
}

impl Intake {
    /// An empty buffer, which has allocated nothing, for pictures of up to `longest_bytes`.
    pub(crate) fn new(longest_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), longest_bytes, lengths: [0; REMEMBERED], taken: 0 }
    }

    /// What has been read and neither taken nor discarded.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The same, to be changed.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// The buffer with room for at least one byte at its end.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        let expected = self.expected();
        let (length, capacity) = (self.buffer.len(), self.buffer.capacity());
        // The tail of an allocation is left unused when the next picture would not fit: moving its first bytes now is
        // cheaper than moving most of it later.
        let cramped = capacity < expected && length <= expected / 8;
        // What is left of an allocation after damage may be a few bytes, which discarding would hand out for ever: a
        // picture without end was then read one byte at a time.
        let cramped = cramped || capacity < LEAST_BYTES / 8;
        if length == capacity || cramped {
            let doubled = (2 * length).min(self.longest_bytes.saturating_add(LEAST_BYTES));
            let target = expected.max(doubled).max(length + LEAST_BYTES);
            let mut larger = BytesMut::with_capacity(target);
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        }
        &mut self.buffer
    }

    /// Copies as much of `bytes` as there is room for; the rest is for later, after what can be taken was.
    pub(crate) fn feed<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let buffer = self.room();
        let (now, later) = bytes.split_at(bytes.len().min(buffer.capacity() - buffer.len()));
        buffer.extend_from_slice(now);
        later
    }

    /// Splits off a picture of `length` bytes without copying it.
    pub(crate) fn take(&mut self, length: usize) -> Bytes {
        self.expect(length);
        self.buffer.split_to(length).freeze()
    }

    /// Says that the next picture will have `length` bytes, or that the last one had.
    pub(crate) fn expect(&mut self, length: usize) {
        self.lengths[self.taken % REMEMBERED] = length.min(self.longest_bytes);
        self.taken = self.taken.wrapping_add(1);
    }

    /// Forgets the first `length` bytes.
    pub(crate) fn discard(&mut self, length: usize) {
        if length == self.buffer.len() {
            self.buffer.clear();
        } else {
            self.buffer.advance(length);
        }
    }

    fn expected(&self) -> usize {
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        longest + longest / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_follow_the_pictures_within_an_eighth() {
        let mut intake = Intake::new(1 << 20);
        let picture = vec![1; 100_000];
        for _ in 0..20 {
            let mut left = &picture[..];
            while !left.is_empty() {
                left = intake.feed(left);
            }
            assert_eq!(intake.take(picture.len()), picture);
        }
        assert_eq!(intake.room().capacity(), 112_500);
    }

    #[test]
    fn what_is_left_behind_a_discarded_picture_is_not_read_into_for_ever() {
        let mut intake = Intake::new(100_000);
        while intake.bytes().len() <= 100_000 {
            let room = intake.room();
            room.resize(room.capacity(), 1);
        }
        intake.discard(intake.bytes().len() - 1);
        intake.discard(1);
        let room = intake.room();
        assert!(room.capacity() - room.len() >= LEAST_BYTES / 8);
    }

    #[test]
    fn one_long_picture_is_forgotten_after_eight_short_ones() {
        let mut intake = Intake::new(1 << 20);
        for length in [500_000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000] {
            intake.expect(length);
        }
        assert_eq!(intake.room().capacity(), LEAST_BYTES);
    }
}
