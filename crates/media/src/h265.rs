//! What is read of H.265's parameter sets and slices (ITU-T H.265 sections 7.3.2 and 7.3.6): their numbers, the size and rate of the
//! pictures, and in which order they are shown.

use std::num::NonZeroUsize;

use h264_reader::rbsp::{BitRead, BitReader, ByteReader};

use crate::sequence::{Count, OrderBits, PictureSet};

mod sequence;

pub(crate) use sequence::sequence;
use sequence::skip_to_sequence_id;

pub(crate) const VIDEO: u8 = 32;
pub(crate) const SEQUENCE: u8 = 33;
pub(crate) const PICTURE: u8 = 34;
pub(crate) const DELIMITER: u8 = 35;

const HEADER_BYTES: NonZeroUsize = NonZeroUsize::new(2).expect("not zero");

/// The kind of the NAL unit that begins with this byte.
pub(crate) fn kind(first: u8) -> u8 {
    first >> 1 & 0x3F
}

/// The number of a parameter set, by which pictures refer to it.
pub(crate) fn id(unit: &[u8]) -> Option<u32> {
    let mut bits = BitReader::new(ByteReader::skipping_bytes(unit, HEADER_BYTES));
    match kind(*unit.first()?) {
        VIDEO => bits.read::<4, u32>("video parameter set id").ok(),
        SEQUENCE => {
            skip_to_sequence_id(&mut bits)?;
            bits.read_ue("sequence parameter set id").ok()
        }
        _ => bits.read_ue("picture parameter set id").ok(),
    }
}

/// The sequence parameter set that a picture parameter set refers to, and what its slices' headers hold (7.3.2.3.1).
pub(crate) fn picture_set(unit: &[u8]) -> Option<PictureSet> {
    let mut bits = BitReader::new(ByteReader::skipping_bytes(unit, HEADER_BYTES));
    bits.read_ue("picture parameter set id").ok()?;
    let sequence = bits.read_ue("sequence parameter set id").ok()?;
    bits.skip(1, "dependent_slice_segments_enabled_flag").ok()?;
    let output_flag = bits.read_bit("output_flag_present_flag").ok()?;
    let extra_bits = bits.read::<3, u32>("num_extra_slice_header_bits").ok()?;
    Some(PictureSet { sequence, header_bits: extra_bits, output_flag })
}

/// The number of the picture parameter set that a picture's first slice refers to (7.3.6.1).
pub(crate) fn picture_set_of(slice: &[u8]) -> Option<u32> {
    let mut bits = BitReader::new(ByteReader::skipping_bytes(slice, HEADER_BYTES));
    to_picture_set(&mut bits, kind(*slice.first()?))
}

/// Where a picture is shown, by its first slice (7.3.6.1).
pub(crate) fn count(slice: &[u8], sequence: &OrderBits, picture: &PictureSet) -> Option<Count> {
    let kind = kind(*slice.first()?);
    let temporal = slice.get(1)? & 7;
    // Base of later counts are those of the lowest sub-layer that others may refer to (8.3.1).
    let anchors = temporal == 1 && !matches!(kind, 6..=9) && (kind % 2 == 1 || kind > 14);
    // IDR and BLA begin anew.
    let restarts = (16..=20).contains(&kind);
    if matches!(kind, 19 | 20) {
        return Some(Count { low: 0, restarts, field: false, anchors });
    }
    let mut bits = BitReader::new(ByteReader::skipping_bytes(slice, HEADER_BYTES));
    to_picture_set(&mut bits, kind)?;
    bits.skip(picture.header_bits, "slice_reserved_flag").ok()?;
    bits.read_ue("slice_type").ok()?;
    bits.skip(u32::from(picture.output_flag) + if sequence.separate_planes { 2 } else { 0 }, "flags").ok()?;
    let low = bits.read_var(sequence.count, "slice_pic_order_cnt_lsb").ok()?;
    Some(Count { low, restarts, field: false, anchors })
}

fn to_picture_set(bits: &mut impl BitRead, kind: u8) -> Option<u32> {
    let first = bits.read_bit("first_slice_segment_in_pic_flag").ok()?;
    if (16..=23).contains(&kind) {
        bits.skip(1, "no_output_of_prior_pics_flag").ok()?;
    }
    first.then(|| bits.read_ue("picture parameter set id").ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;

    /// 1920x1080, as x265 writes it, whose coded height is 1080.
    const FULL: [u8; 41] = [
        0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
        0x78, 0xA0, 0x03, 0xC0, 0x80, 0x10, 0xE5, 0x96, 0x56, 0x69, 0x24, 0xCA, 0xF0, 0x16, 0x80, 0x80, 0x00,
        0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x0C,
    ];
    /// 642x478, whose coded size is 648x480.
    const CROPPED: [u8; 41] = [
        0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
        0x5A, 0xA0, 0x05, 0x12, 0x01, 0xE1, 0xC9, 0x59, 0x65, 0x66, 0x92, 0x4C, 0xAF, 0x01, 0x68, 0x08, 0x00,
        0x00, 0x03, 0x00, 0x08, 0x00, 0x00, 0x03,
    ];

    #[test]
    fn x265s_parameter_sets_are_read() {
        let size = |set| sequence(set).map(|set| set.size);
        assert_eq!(size(&FULL), Some(Size { width: 1920, height: 1080 }));
        assert_eq!(size(&CROPPED), Some(Size { width: 642, height: 478 }));
        assert_eq!(id(&FULL), Some(0));
        assert_eq!((id(&[0x40, 0x01, 0x2C]), id(&[0x44, 0x01, 0xC1])), (Some(2), Some(0)));
        for length in 0..22 {
            assert_eq!(size(&FULL[..length]), None, "{length}");
        }
    }
}
