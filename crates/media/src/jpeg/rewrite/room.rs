//! Memory for the scans that are written: that of an earlier picture, once nobody holds it any more.

use bytes::Bytes;

/// How many scans are remembered: the one that is shown, the one that is being sent, and one to write into.
const REMEMBERED: usize = 3;
/// More memory than this is given back: what a 2040x2040 picture of good quality takes.
const MOST_KEPT_BYTES: usize = 2 << 20;

/// Gives memory, and remembers where it went.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    scans: [Bytes; REMEMBERED],
    /// The one that was remembered first.
    oldest: usize,
    /// Of the last scan that was written.
    last_length: usize,
}

impl Room {
    /// An empty buffer for the scan of a picture of `input_length` bytes: room for an eighth more than the last one took,
    /// unless that was a very different picture.
    pub(super) fn take(&mut self, input_length: usize) -> Vec<u8> {
        let likely = self.last_length.clamp(input_length, 2 * input_length) * 9 / 8 + 64;
        let mut buffer = match std::mem::take(&mut self.scans[self.oldest]).try_into_mut() {
            Ok(mut mine) => {
                mine.clear();
                Vec::from(mine)
            }
            Err(_) => Vec::new(),
        };
        if buffer.capacity() > MOST_KEPT_BYTES.max(4 * likely) {
            buffer = Vec::new();
        }
        buffer.reserve_exact(likely);
        buffer
    }

    /// The scan that was written, shared with who gets it.
    pub(super) fn keep(&mut self, scan: Vec<u8>) -> Bytes {
        self.last_length = scan.len();
        let scan = Bytes::from(scan);
        self.scans[self.oldest] = scan.clone();
        self.oldest = (self.oldest + 1) % REMEMBERED;
        scan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_when_nobody_holds_it() {
        let mut room = Room::default();
        let mut write = |byte: u8| {
            let mut scan = room.take(1000);
            assert!(scan.is_empty() && scan.capacity() >= 1000);
            scan.resize(900, byte);
            room.keep(scan)
        };
        let (first, second) = (write(1), write(2));
        let place = first.as_ptr();
        drop(first);
        write(3);
        assert_eq!(write(4).as_ptr(), place);
        // The second is still held, so what comes in its turn is written elsewhere.
        assert_ne!(write(5).as_ptr(), second.as_ptr());
        assert!(second.iter().all(|byte| *byte == 2));
    }
}
