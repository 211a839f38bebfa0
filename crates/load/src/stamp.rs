//! The mark `ocelli-load camera` leaves in its pictures so that its viewers can tell how long each was under way,
//! whatever server stands between them and however it frames pictures.
//!
//! It is a JPEG comment segment (ITU-T T.81, B.2.4.5) of fixed size right before the end-of-image marker: the time in
//! it is taken when only the segment itself is left to write, so what is measured is last byte out to last byte in.

const PREFIX: &[u8] = b"ocelli-load seq=";
const BETWEEN: &[u8] = b" us=";
const SEQUENCE_DIGITS: usize = 10;
const MICROS_DIGITS: usize = 16;

/// Which picture it is and when its last byte left the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Counts pictures from 0.
    pub(crate) sequence: u32,
    /// Microseconds since 1970.
    pub(crate) written_micros: u64,
}

impl Stamp {
    /// How long it is as text.
    pub(crate) const TEXT_BYTES: usize = PREFIX.len() + SEQUENCE_DIGITS + BETWEEN.len() + MICROS_DIGITS;
    /// Marker, length and text.
    pub(crate) const SEGMENT_BYTES: usize = 4 + Self::TEXT_BYTES;

    /// The whole segment.
    pub(crate) fn segment(self) -> Vec<u8> {
        let mut segment = vec![0xFF, 0xFE];
        segment.extend_from_slice(&(Self::TEXT_BYTES as u16 + 2).to_be_bytes());
        segment.extend_from_slice(&self.text());
        segment
    }

    /// Letters and digits alone.
    pub(crate) fn text(self) -> Vec<u8> {
        [
            PREFIX,
            format!("{:010}", self.sequence).as_bytes(),
            BETWEEN,
            format!("{:016}", self.written_micros).as_bytes(),
        ]
        .concat()
    }

    /// Reads the stamp out of a picture's last bytes.
    pub(crate) fn find(tail: &[u8]) -> Option<Self> {
        Self::read(&tail[memchr::memmem::find(tail, PREFIX)?..])
    }

    /// Reads the stamp that `tail` begins with.
    pub(crate) fn read(tail: &[u8]) -> Option<Self> {
        let start = tail.starts_with(PREFIX).then_some(PREFIX.len())?;
        let sequence = number(tail.get(start..start + SEQUENCE_DIGITS)?)?;
        let start = start + SEQUENCE_DIGITS + BETWEEN.len();
        let written_micros = number(tail.get(start..start + MICROS_DIGITS)?)?;
        Some(Self { sequence: u32::try_from(sequence).ok()?, written_micros })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_again() {
        let stamp = Stamp { sequence: 4_000_000_000, written_micros: 1_795_212_000_123_456 };
        let segment = stamp.segment();
        assert_eq!(segment.len(), Stamp::SEGMENT_BYTES);
        assert_eq!(usize::from(u16::from_be_bytes([segment[2], segment[3]])), segment.len() - 2);
        let tail = [b"scan".as_slice(), &segment, &[0xFF, 0xD9]].concat();
        assert_eq!(Stamp::find(&tail), Some(stamp));
    }

    #[test]
    fn pictures_of_others_have_none() {
        assert_eq!(Stamp::find(b""), None);
        assert_eq!(Stamp::find(b"ocelli-load seq=12"), None);
        assert_eq!(Stamp::find(b"ocelli-load seq=x000000001 us=0000000000000001"), None);
    }
}
