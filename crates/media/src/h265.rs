//! What is read of H.265's parameter sets (ITU-T H.265 section 7.3.2): their numbers, and the size of the pictures.

use std::num::NonZeroUsize;

use h264_reader::rbsp::{BitRead, BitReader, ByteReader};

use crate::Size;

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

/// The size of the pictures by their sequence parameter set, cropped as they are to be shown (7.3.2.2.1).
pub(crate) fn size(unit: &[u8]) -> Option<Size> {
    let mut bits = BitReader::new(ByteReader::skipping_bytes(unit, HEADER_BYTES));
    skip_to_sequence_id(&mut bits)?;
    let mut number = |name| bits.read_ue(name).ok();
    number("sequence parameter set id")?;
    let chroma_format = number("chroma_format_idc")?;
    if chroma_format == 3 {
        bits.skip(1, "separate_colour_plane_flag").ok()?;
    }
    let mut number = |name| bits.read_ue(name).ok();
    let (width, height) = (number("width")?, number("height")?);
    let mut crop = [0; 4];
    if bits.read_bit("conformance_window_flag").ok()? {
        for side in &mut crop {
            *side = bits.read_ue("conformance window").ok()?;
        }
    }
    // Table 6-1: luma samples to a chroma sample.
    let (across, down) = match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let less = |length: u32, unit: u32, before: u32, behind: u32| {
        length.checked_sub(before.checked_add(behind)?.checked_mul(unit)?)
    };
    Size::new(less(width, across, crop[0], crop[1])?, less(height, down, crop[2], crop[3])?)
}

/// Passes over the sequence parameter set's beginning, its profile, tier and level included (7.3.3).
fn skip_to_sequence_id(bits: &mut impl BitRead) -> Option<()> {
    bits.skip(4, "video parameter set id").ok()?;
    let sub_layers = bits.read::<3, u32>("max_sub_layers_minus1").ok()?;
    bits.skip(1 + 88 + 8, "nesting, general profile, level").ok()?;
    let mut present = [(false, false); 7];
    for sub_layer in &mut present[..sub_layers as usize] {
        *sub_layer = (
            bits.read_bit("sub_layer_profile_present_flag").ok()?,
            bits.read_bit("sub_layer_level_present_flag").ok()?,
        );
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers), "reserved").ok()?;
    }
    for (profile, level) in &present[..sub_layers as usize] {
        bits.skip(if *profile { 88 } else { 0 } + if *level { 8 } else { 0 }, "sub-layer").ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(size(&FULL), Some(Size { width: 1920, height: 1080 }));
        assert_eq!(size(&CROPPED), Some(Size { width: 642, height: 478 }));
        assert_eq!(id(&FULL), Some(0));
        assert_eq!((id(&[0x40, 0x01, 0x2C]), id(&[0x44, 0x01, 0xC1])), (Some(2), Some(0)));
        for length in 0..22 {
            assert_eq!(size(&FULL[..length]), None, "{length}");
        }
    }
}
