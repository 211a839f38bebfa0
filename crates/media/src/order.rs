//! In which order the pictures of H.264 and H.265 are shown, where that is not the order in which they come: by their picture order
//! counts (ITU-T H.264 section 8.2.1, H.265 section 8.3.1).
//!
//! A byte stream has no times. What is told here is by how much each picture is shown later or earlier than one would be that is shown
//! when it comes. H.264's other two ways of counting (`pic_order_cnt_type` 1 and 2) are taken for the order of coming, which type 2 is
//! and which no encoder that reorders uses type 1 for.

use crate::sequence::Count;
use crate::{Codec, ParameterSets, h264, h265, nal_units};

/// More than any level lets pictures wait for others, in fields: who seems to is lost count of.
const MOST_REORDERED: i64 = 2 * 16;

/// Where a picture is shown. Times are counted in fields, of which a picture has two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// By how many fields it is shown later than when it comes; negative is earlier.
    pub later: i64,
    /// How many fields it is shown for: 2, or 1 where it is one of the two of a picture.
    pub fields: u32,
}

impl Place {
    /// Where a picture is shown that is shown when it comes.
    const AT_ONCE: Self = Self { later: 0, fields: 2 };
}

/// Follows the counts of one stream.
#[derive(Clone, Debug, Default)]
pub struct DisplayOrder {
    run: Option<Run>,
    /// H.264: counts are those of pictures, not of fields.
    counts_pictures: bool,
}

/// Since a picture from which it is counted.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Its count.
    base: i64,
    /// Fields that came since.
    came: i64,
    /// The last count from which the lower bits of others are told.
    anchor: i64,
}

impl DisplayOrder {
    /// What follows begins anew, with a keyframe: pictures are missing.
    pub fn restart(&mut self) {
        self.run = None;
    }

    /// Where the picture is shown that came next: NAL units, each behind its length as 4 bytes. `sets` are those that came.
    pub fn place(&mut self, access_unit: &[u8], sets: &ParameterSets) -> Place {
        let codec = sets.codec();
        let slice = nal_units(access_unit).find(|unit| is_slice(codec, unit));
        let Some((count, bits)) = slice.and_then(|slice| sets.count(slice)) else {
            self.run = None;
            return Place::AT_ONCE;
        };
        let fields = if count.field { 1 } else { 2 };
        let mut run = match self.run {
            Some(run) if !count.restarts => run,
            _ => Run { base: count.low.into(), came: 0, anchor: count.low.into() },
        };
        let full = full(&count, bits, run.anchor);
        if count.anchors {
            run.anchor = full;
        }
        let shown = full - run.base;
        self.counts_pictures |= codec == Codec::H264 && !count.field && shown % 2 != 0;
        let shown = if codec == Codec::H265 || self.counts_pictures { 2 * shown } else { shown };
        let mut later = shown - run.came;
        if later.abs() > MOST_REORDERED {
            (run.base, run.came, later) = (full, 0, 0);
        }
        run.came += i64::from(fields);
        self.run = Some(run);
        Place { later, fields }
    }
}

/// The whole count of which the lower bits are given, near `anchor` (H.264 8-3, H.265 8-1).
fn full(count: &Count, bits: u32, anchor: i64) -> i64 {
    let range = 1_i64 << bits;
    let low = i64::from(count.low);
    let near = anchor - anchor.rem_euclid(range) + low;
    match near - anchor {
        far if far <= -range / 2 => near + range,
        far if far > range / 2 => near - range,
        _ => near,
    }
}

fn is_slice(codec: Codec, unit: &[u8]) -> bool {
    let Some(&first) = unit.first() else { return false };
    match codec {
        Codec::H264 => matches!(h264::kind(first), 1 | 2 | 5),
        Codec::H265 => {
            h265::kind(first) < 32 && first & 1 == 0 && unit.get(1).is_some_and(|byte| byte >> 3 == 0)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(low: u32) -> Count {
        Count { low, restarts: false, field: false, anchors: true }
    }

    #[test]
    fn lower_bits_are_told_from_the_last_count() {
        assert_eq!(full(&count(2), 4, 14), 18);
        assert_eq!(full(&count(14), 4, 18), 14);
        assert_eq!(full(&count(6), 4, -2), 6);
        assert_eq!(full(&count(14), 4, 0), -2);
        assert_eq!(full(&count(8), 4, 0), 8);
    }
}
