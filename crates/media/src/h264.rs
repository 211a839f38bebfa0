//! What is read of H.264's parameter sets and slices (ITU-T H.264 sections 7.3.2 and 7.3.3): their numbers, the size and rate of the
//! pictures, and in which order they are shown.

use h264_reader::nal::sps::{FrameMbsFlags, PicOrderCntType, ProfileIdc, SeqParameterSet};
use h264_reader::rbsp::{BitRead, BitReader, ByteReader};

use crate::sequence::{Count, OrderBits, Sequence, interval};
use crate::{Size, nal_units};

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

/// What a sequence parameter set says.
pub(crate) fn sequence(unit: &[u8]) -> Option<Sequence> {
    let bits = BitReader::new(ByteReader::skipping_h264_header(unit));
    let set = SeqParameterSet::from_bits(bits).ok()?;
    let (width, height) = set.pixel_dimensions().ok()?;
    let vui = set.vui_parameters.as_ref();
    // A tick is that of a field, of which a picture has two (E.2.1).
    let timing = vui.and_then(|vui| vui.timing_info.as_ref());
    let interval = timing.and_then(|timing| interval(timing.num_units_in_tick, timing.time_scale, 2));
    let in_order = set.profile_idc == ProfileIdc::from(66)
        || vui
            .and_then(|vui| vui.bitstream_restrictions.as_ref())
            .is_some_and(|restrictions| restrictions.max_num_reorder_frames == 0);
    let order = match set.pic_order_cnt {
        PicOrderCntType::TypeZero { log2_max_pic_order_cnt_lsb_minus4 } if !in_order => Some(OrderBits {
            separate_planes: set.chroma_info.separate_colour_plane_flag,
            frame_number: u32::from(set.log2_max_frame_num()),
            count: u32::from(log2_max_pic_order_cnt_lsb_minus4) + 4,
            fields: set.frame_mbs_flags != FrameMbsFlags::Frames,
        }),
        _ => None,
    };
    Some(Sequence { size: Size::new(width, height)?, interval, order })
}

/// Whether pictures of a stream of H.264 may be left out by design, so that one whose number is missing was not lost
/// (`gaps_in_frame_num_value_allowed_flag`, 7.4.2.1.1): by the sequence parameter sets of a keyframe, which is NAL units, each
/// behind its length as 4 bytes.
pub fn allows_gaps(keyframe: &[u8]) -> bool {
    nal_units(keyframe).filter(|unit| unit.first().is_some_and(|first| kind(*first) == SEQUENCE)).any(
        |unit| {
            let bits = BitReader::new(ByteReader::skipping_h264_header(unit));
            SeqParameterSet::from_bits(bits).is_ok_and(|set| set.gaps_in_frame_num_value_allowed_flag)
        },
    )
}

/// The sequence parameter set that a picture parameter set refers to.
pub(crate) fn sequence_of(unit: &[u8]) -> Option<u32> {
    let mut bits = BitReader::new(ByteReader::skipping_h264_header(unit));
    bits.read_ue("picture parameter set id").ok()?;
    bits.read_ue("sequence parameter set id").ok()
}

/// The number of the picture parameter set that a slice refers to (7.3.3).
pub(crate) fn picture_set_of(slice: &[u8]) -> Option<u32> {
    let mut bits = BitReader::new(ByteReader::skipping_h264_header(slice));
    bits.read_ue("first_mb_in_slice").ok()?;
    bits.read_ue("slice_type").ok()?;
    bits.read_ue("picture parameter set id").ok()
}

/// Where a picture is shown, by its first slice (7.3.3).
pub(crate) fn count(slice: &[u8], sequence: &OrderBits) -> Option<Count> {
    let first = *slice.first()?;
    let mut bits = BitReader::new(ByteReader::skipping_h264_header(slice));
    for name in ["first_mb_in_slice", "slice_type", "picture parameter set id"] {
        bits.read_ue(name).ok()?;
    }
    bits.skip(if sequence.separate_planes { 2 } else { 0 } + sequence.frame_number, "frame_num").ok()?;
    let field = sequence.fields && bits.read_bit("field_pic_flag").ok()?;
    if field {
        bits.skip(1, "bottom_field_flag").ok()?;
    }
    let restarts = kind(first) == 5;
    if restarts {
        bits.read_ue("idr_pic_id").ok()?;
    }
    let low = bits.read_var(sequence.count, "pic_order_cnt_lsb").ok()?;
    Some(Count { low, restarts, field, anchors: first & 0x60 != 0 })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn x264s_parameter_sets_are_read() {
        // 1920x1080, whose coded height is 1088, and 1918x1078 of 4:2:2.
        let unit = [
            0x67, 0x64, 0x00, 0x28, 0xAC, 0xD9, 0x40, 0x78, 0x02, 0x27, 0xE5, 0xC0, 0x44, 0x00, 0x00, 0x03,
            0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xC8, 0x3C, 0x60, 0xC6, 0x58,
        ];
        let set = sequence(&unit).expect("a set");
        assert_eq!(set.size, Size { width: 1920, height: 1080 });
        assert_eq!(set.interval, Some(Duration::from_millis(40)));
        assert_eq!((id(&unit), id(&[0x68, 0xEB]), id(&[0x68, 0x40])), (Some(0), Some(0), Some(1)));
        assert_eq!((sequence(&unit[..6]), id(&unit[..3]), id(&[])), (None, None, None));
        let unit = [
            0x67, 0x7A, 0x00, 0x28, 0xBC, 0xD9, 0x40, 0x78, 0x02, 0x27, 0xA8, 0xBC, 0x04, 0x40, 0x00, 0x00,
            0x03, 0x00, 0x40, 0x00, 0x00, 0x0C, 0x83, 0xC6, 0x0C, 0x65, 0x80,
        ];
        assert_eq!(sequence(&unit).map(|set| set.size), Some(Size { width: 1918, height: 1078 }));
    }
}
