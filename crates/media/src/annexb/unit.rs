//! What the first bytes of a NAL unit say about it (ITU-T H.264 sections 7.3.1, 7.4.1.2 and 7.3.3; H.265 sections 7.3.1.2, 7.4.2.4
//! and 7.3.6.1).
//!
//! ```text
//! H.264 +-+---+-----+-----------------------+   H.265 +-+------+-------+-----+-----------------------------+
//!       |F|NRI|type | first_mb_in_slice ... |         |F| type | layer | TID | first_slice_segment flag ...|
//!       +-+---+-----+-----------------------+         +-+------+-------+-----+-----------------------------+
//!        1  2    5    1 bit "1": it is 0               1    6      6      3    1 bit
//! ```

use crate::{Codec, h264, h265};

/// What a NAL unit is to the access unit that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A slice of a picture.
    Picture {
        /// The first of its picture, so that none of an earlier picture's comes behind it.
        first: bool,
        /// Of a picture that can be decoded on its own.
        key: bool,
    },
    /// A parameter set; stands before its pictures.
    ParameterSet,
    /// What stands before the picture that it belongs to: delimiter, SEI.
    Before,
    /// What stands wherever it likes, or behind its picture.
    Other,
    /// What no decoder takes.
    Unknown,
    /// Its first bit is set, which it never is.
    Damaged,
}

impl Kind {
    /// Whether a picture that came before has ended.
    pub(super) fn ends_picture(self) -> bool {
        matches!(self, Self::Picture { first: true, .. } | Self::ParameterSet | Self::Before)
    }
}

/// How many bytes tell the kind of each unit: its header, and one of the slice's.
pub(super) const fn header_bytes(codec: Codec) -> usize {
    match codec {
        Codec::H265 => 3,
        _ => 2,
    }
}

/// The kind of the unit that begins with `bytes`, which may be shorter than [`header_bytes`] where the unit is.
pub(crate) fn kind(codec: Codec, bytes: &[u8]) -> Kind {
    match (codec, bytes) {
        (_, []) => Kind::Unknown,
        (_, [0x80..=0xFF, ..]) => Kind::Damaged,
        (Codec::H265, &[header, second, ref rest @ ..]) => {
            // Another layer's units belong to the picture of the base layer before them (7.4.2.4.4).
            if header & 1 != 0 || second >> 3 != 0 {
                return Kind::Other;
            }
            match h265::kind(header) {
                kind @ 0..=31 => {
                    let first = rest.first().is_some_and(|slice| slice & 0x80 != 0);
                    Kind::Picture { first, key: (16..=23).contains(&kind) }
                }
                h265::VIDEO | h265::SEQUENCE | h265::PICTURE => Kind::ParameterSet,
                h265::DELIMITER | 39 | 41..=44 => Kind::Before,
                36..=40 | 45..=47 => Kind::Other,
                _ => Kind::Unknown,
            }
        }
        (Codec::H265, _) => Kind::Unknown,
        (_, &[header, ref rest @ ..]) => match h264::kind(header) {
            kind @ (1 | 2 | 5) => {
                let first = rest.first().is_some_and(|slice| slice & 0x80 != 0);
                Kind::Picture { first, key: kind == 5 }
            }
            h264::SEQUENCE | h264::PICTURE => Kind::ParameterSet,
            h264::DELIMITER | 6 | 14..=18 => Kind::Before,
            3 | 4 | 10..=13 | 19..=23 => Kind::Other,
            _ => Kind::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_both_formats_are_told_apart() {
        let picture = |first, key| Kind::Picture { first, key };
        for (bytes, expected) in [
            (&[0x65, 0x88][..], picture(true, true)),
            (&[0x65, 0x44], picture(false, true)),
            (&[0x41, 0x9A], picture(true, false)),
            (&[0x01, 0x11], picture(false, false)),
            (&[0x67, 0x64], Kind::ParameterSet),
            (&[0x68, 0xEE], Kind::ParameterSet),
            (&[0x09, 0xF0], Kind::Before),
            (&[0x06, 0x05], Kind::Before),
            (&[0x0B], Kind::Other),
            (&[0x0C, 0xFF], Kind::Other),
            (&[0x18, 0xFF], Kind::Unknown),
            (&[0x00, 0xFF], Kind::Unknown),
            (&[0xE5, 0x88], Kind::Damaged),
            (&[], Kind::Unknown),
        ] {
            assert_eq!(kind(Codec::H264, bytes), expected, "{bytes:02X?}");
        }
        for (bytes, expected) in [
            (&[0x26, 0x01, 0xAF][..], picture(true, true)),
            (&[0x2A, 0x01, 0x2F], picture(false, true)),
            (&[0x02, 0x01, 0xD0], picture(true, false)),
            (&[0x00, 0x02, 0x10], picture(false, false)),
            (&[0x40, 0x01, 0x0C], Kind::ParameterSet),
            (&[0x42, 0x01, 0x01], Kind::ParameterSet),
            (&[0x44, 0x01, 0xC1], Kind::ParameterSet),
            (&[0x46, 0x01, 0x10], Kind::Before),
            (&[0x4E, 0x01, 0x05], Kind::Before),
            (&[0x50, 0x01, 0x05], Kind::Other),
            (&[0x48, 0x01], Kind::Other),
            (&[0x26, 0x09, 0xAF], Kind::Other),
            (&[0x60, 0x01, 0xAF], Kind::Unknown),
            (&[0x26], Kind::Unknown),
            (&[0xA6, 0x01, 0xAF], Kind::Damaged),
        ] {
            assert_eq!(kind(Codec::H265, bytes), expected, "{bytes:02X?}");
        }
    }
}
