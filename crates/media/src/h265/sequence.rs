//! The sequence parameter set of H.265 (ITU-T H.265 sections 7.3.2.2 and E.2.1), as far as its timing, which stands near its end.

use h264_reader::rbsp::{BitRead, BitReader, ByteReader};

use super::HEADER_BYTES;
use crate::Size;
use crate::sequence::{OrderBits, Sequence, interval};

/// Most short-term reference picture sets (7.4.3.2.1).
const MOST_REFERENCE_SETS: u32 = 64;
/// Most pictures of one of them.
const MOST_REFERENCES: u32 = 16;

/// What a sequence parameter set says. What stands behind the size is read as far as it makes sense.
pub(crate) fn sequence(unit: &[u8]) -> Option<Sequence> {
    let mut bits = Bits(BitReader::new(ByteReader::skipping_bytes(unit, HEADER_BYTES)));
    let sub_layers = skip_to_sequence_id(&mut bits.0)?;
    bits.number()?;
    let chroma_format = bits.number()?;
    let separate_planes = chroma_format == 3 && bits.flag()?;
    let size = size(&mut bits, chroma_format)?;
    bits.numbers(2)?;
    let count = bits.number()?.checked_add(4).filter(|count| *count <= 16)?;
    let of_each_layer = bits.flag()?;
    let layers = if of_each_layer { sub_layers + 1 } else { 1 };
    let mut reordered = 0;
    for _ in 0..layers {
        bits.number()?;
        reordered = bits.number()?;
        bits.number()?;
    }
    let order = OrderBits { separate_planes, frame_number: 0, count, fields: false };
    let order = (reordered > 0).then_some(order);
    Some(Sequence { size, interval: timing(&mut bits, count), order })
}

/// The size of the pictures, cropped as they are to be shown (7.3.2.2.1).
fn size(bits: &mut Bits<impl BitRead>, chroma_format: u32) -> Option<Size> {
    let (width, height) = (bits.number()?, bits.number()?);
    let mut crop = [0; 4];
    if bits.flag()? {
        for side in &mut crop {
            *side = bits.number()?;
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

/// How long a picture is shown, from the usability information, which stands behind all tools of coding.
fn timing(bits: &mut Bits<impl BitRead>, count: u32) -> Option<std::time::Duration> {
    // Sizes of blocks and depths of their division.
    bits.numbers(6)?;
    if bits.flag()? && bits.flag()? {
        skip_scaling_lists(bits)?;
    }
    // Asymmetric partitions, adaptive offset.
    bits.skip(2)?;
    if bits.flag()? {
        bits.skip(8)?;
        bits.numbers(2)?;
        bits.skip(1)?;
    }
    skip_reference_sets(bits)?;
    if bits.flag()? {
        let long_term = bits.number()?;
        for _ in 0..long_term.min(33) {
            bits.skip(count + 1)?;
        }
    }
    // Temporal prediction, strong smoothing.
    bits.skip(2)?;
    if !bits.flag()? {
        return None;
    }
    skip_to_timing(bits)?;
    if !bits.flag()? {
        return None;
    }
    let (units, scale) = (bits.long()?, bits.long()?);
    interval(units, scale, 1)
}

/// The usability information before its timing (E.2.1).
fn skip_to_timing(bits: &mut Bits<impl BitRead>) -> Option<()> {
    const EXTENDED_ASPECT_RATIO: u32 = 255;
    if bits.flag()? && bits.byte()? == EXTENDED_ASPECT_RATIO {
        bits.skip(32)?;
    }
    if bits.flag()? {
        bits.skip(1)?;
    }
    if bits.flag()? {
        bits.skip(4)?;
        if bits.flag()? {
            bits.skip(24)?;
        }
    }
    if bits.flag()? {
        bits.numbers(2)?;
    }
    bits.skip(3)?;
    if bits.flag()? {
        bits.numbers(4)?;
    }
    Some(())
}

/// 7.3.4.
fn skip_scaling_lists(bits: &mut Bits<impl BitRead>) -> Option<()> {
    for size in 0_u32..4 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if !bits.flag()? {
                bits.number()?;
                continue;
            }
            let coefficients = 64.min(1 << (4 + 2 * size));
            bits.numbers(coefficients + u32::from(size > 1))?;
        }
    }
    Some(())
}

/// 7.3.7. Each set may be told as the difference from the one before, so that their lengths must be followed.
fn skip_reference_sets(bits: &mut Bits<impl BitRead>) -> Option<()> {
    let sets = bits.number()?;
    if sets > MOST_REFERENCE_SETS {
        return None;
    }
    let mut references = 0;
    for set in 0..sets {
        if set > 0 && bits.flag()? {
            bits.skip(1)?;
            bits.number()?;
            let mut kept = 0;
            for _ in 0..=references {
                let used = bits.flag()?;
                kept += u32::from(used || bits.flag()?);
            }
            references = kept;
        } else {
            let (before, behind) = (bits.number()?, bits.number()?);
            references = before.checked_add(behind)?;
            if references > MOST_REFERENCES {
                return None;
            }
            for _ in 0..references {
                bits.number()?;
                bits.skip(1)?;
            }
        }
    }
    Some(())
}

/// Passes over the sequence parameter set's beginning, its profile, tier and level included (7.3.3). Gives how many sub-layers there
/// are beside one.
pub(super) fn skip_to_sequence_id(bits: &mut impl BitRead) -> Option<u32> {
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
    Some(sub_layers)
}

/// Bits whose end ends the reading.
struct Bits<R>(R);

impl<R: BitRead> Bits<R> {
    fn flag(&mut self) -> Option<bool> {
        self.0.read_bit("flag").ok()
    }
    fn byte(&mut self) -> Option<u32> {
        self.0.read::<8, u32>("byte").ok()
    }
    fn long(&mut self) -> Option<u32> {
        self.0.read::<32, u32>("long").ok()
    }
    fn number(&mut self) -> Option<u32> {
        self.0.read_ue("number").ok()
    }
    fn numbers(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.number().map(drop))
    }
    fn skip(&mut self, count: u32) -> Option<()> {
        self.0.skip(count, "skipped").ok()
    }
}
