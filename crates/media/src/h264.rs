//! What is read of H.264's parameter sets (ITU-T H.264 section 7.3.2): their numbers, and the size of the pictures.

use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::rbsp::{BitRead, BitReader, ByteReader};

use crate::Size;

pub(crate) const SEQUENCE: u8 = 7;
pub(crate) const PICTURE: u8 = 8;
pub(crate) const DELIMITER: u8 = 9;

/// The kind of the NAL unit that begins with this byte.
pub(crate) fn kind(first: u8) -> u8 {
    first & 0x1F
}

/// The number of a parameter set, by which pictures refer to it.
pub(crate) fn id(unit: &[u8]) -> Option<u32> {
    let mut bits = BitReader::new(ByteReader::skipping_h264_header(unit));
    if kind(*unit.first()?) == SEQUENCE {
        // Profile, constraints and level.
        bits.skip(24, "profile").ok()?;
    }
    bits.read_ue("parameter set id").ok()
}

/// The size of the pictures by their sequence parameter set, cropped as they are to be shown.
pub(crate) fn size(unit: &[u8]) -> Option<Size> {
    let bits = BitReader::new(ByteReader::skipping_h264_header(unit));
    let (width, height) = SeqParameterSet::from_bits(bits).ok()?.pixel_dimensions().ok()?;
    Size::new(width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x264s_parameter_sets_are_read() {
        // 1920x1080, whose coded height is 1088, and 1918x1078 of 4:2:2.
        let unit = [
            0x67, 0x64, 0x00, 0x28, 0xAC, 0xD9, 0x40, 0x78, 0x02, 0x27, 0xE5, 0xC0, 0x44, 0x00, 0x00, 0x03,
            0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xC8, 0x3C, 0x60, 0xC6, 0x58,
        ];
        assert_eq!(size(&unit), Some(Size { width: 1920, height: 1080 }));
        assert_eq!((id(&unit), id(&[0x68, 0xEB]), id(&[0x68, 0x40])), (Some(0), Some(0), Some(1)));
        assert_eq!((size(&unit[..6]), id(&unit[..3]), id(&[])), (None, None, None));
        let unit = [
            0x67, 0x7A, 0x00, 0x28, 0xBC, 0xD9, 0x40, 0x78, 0x02, 0x27, 0xA8, 0xBC, 0x04, 0x40, 0x00, 0x00,
            0x03, 0x00, 0x40, 0x00, 0x00, 0x0C, 0x83, 0xC6, 0x0C, 0x65, 0x80,
        ];
        assert_eq!(size(&unit), Some(Size { width: 1918, height: 1078 }));
    }
}
