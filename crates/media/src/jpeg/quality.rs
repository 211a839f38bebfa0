//! How finely a JPEG is quantised, on the scale of libjpeg's quality: read from its tables, no pixel looked at.
//!
//! Encoders scale the table of T.81 annex K.1 by their quality. The estimate goes the other way: the mean ratio of
//! the first luma table's values to those of annex K. For libjpeg's own pictures it is exact to ±1 from 10 to 98; for
//! tables of another shape it is the quality of about as many bits.

use super::{Item, Items, marker};

/// T.81 table K.1, in zigzag order: the quantisation of luma that encoders scale by their quality.
#[rustfmt::skip]
pub const LUMA_QUANTISATION: [u8; 64] = [
    16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40,
    26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51,
    56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87,
    95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
];

/// Quality, 1 to 100, that libjpeg would have been told to make `picture`'s first quantisation table (number 0).
///
/// `None` if no such table comes before the first scan, or the segments are damaged.
pub fn estimate_quality(picture: &[u8]) -> Option<u8> {
    for item in Items::new(picture) {
        match item.ok()? {
            Item::Segment { code: marker::DQT, payload, .. } => {
                if let Some(quality) = first_table(payload) {
                    return Some(quality);
                }
            }
            Item::Segment { code: marker::SOS, .. } | Item::Scan { .. } => return None,
            Item::Segment { .. } => {}
        }
    }
    None
}

/// Goes through the tables of a DQT segment (T.81 B.2.4.1): `Pq (4) Tq (4) │ 64 times Q (8 or 16)`, repeated.
fn first_table(mut payload: &[u8]) -> Option<u8> {
    while let Some((&head, rest)) = payload.split_first() {
        let width = if head >> 4 == 0 { 1 } else { 2 };
        let (table, rest) = rest.split_at_checked(64 * width)?;
        if head & 15 == 0 {
            return Some(quality(
                table
                    .chunks_exact(width)
                    .map(|value| value.iter().fold(0, |value, byte| value << 8 | u32::from(*byte))),
            ));
        }
        payload = rest;
    }
    None
}

/// libjpeg's factor in percent is 5000 / q below 50 and 200 - 2q from there on.
fn quality(values: impl Iterator<Item = u32>) -> u8 {
    let (mut sum, mut base_sum) = (0, 0);
    for (value, base) in values.zip(LUMA_QUANTISATION.map(u16::from)) {
        // Baseline tables end at 255: what was cut off there says nothing of the factor.
        if value != 255 {
            sum += value;
            base_sum += u32::from(base);
        }
    }
    if base_sum == 0 {
        return 1;
    }
    let percent = (100 * sum + base_sum / 2) / base_sum;
    let quality = match percent {
        // The table of quality 100 is all ones, which is 2 % of annex K's mean.
        _ if sum <= 64 => 100,
        ..=100 => (200 - percent) / 2,
        _ => (5000 + percent / 2) / percent.max(1),
    };
    quality.clamp(1, 100) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture's head with a table as libjpeg makes it (jcparam.c), 8 bits wide.
    fn head(quality: u32, precision: u8) -> Vec<u8> {
        let factor = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
        let most = if precision == 0 { 255 } else { 32767 };
        let mut table = vec![precision << 4];
        for base in LUMA_QUANTISATION.map(u16::from) {
            let value = ((u32::from(base) * factor + 50) / 100).clamp(1, most);
            if precision > 0 {
                table.push((value >> 8) as u8);
            }
            table.push(value as u8);
        }
        let mut head = vec![0xff, 0xd8, 0xff, marker::DQT, 0, (table.len() + 2) as u8];
        head.extend(table);
        head.extend([0xff, marker::SOS, 0, 2]);
        head
    }

    #[test]
    fn libjpegs_own_qualities_are_found() {
        for quality in 1..=100 {
            for precision in [0, 1] {
                let found = estimate_quality(&head(quality, precision)).unwrap();
                let off = u32::from(found).abs_diff(quality);
                // Below 10 nearly every value of a baseline table is cut off at 255.
                let limit = if quality < 10 && precision == 0 { 5 } else { 1 };
                assert!(off <= limit, "{quality} taken for {found} (precision {precision})");
            }
        }
    }

    #[test]
    fn the_first_table_is_the_one_that_counts_wherever_it_stands() {
        let picture = head(80, 0);
        let mut other_first = picture[..6].to_vec();
        other_first[5] = 2 + 65 + 65;
        other_first.push(1);
        other_first.extend([1; 64]);
        other_first.extend(&picture[6..]);
        assert_eq!(estimate_quality(&other_first), Some(80));
    }

    #[test]
    fn without_a_table_there_is_no_quality() {
        assert_eq!(estimate_quality(&[]), None);
        assert_eq!(estimate_quality(&[0xff, 0xd8, 0xff, marker::SOS, 0, 2]), None);
        assert_eq!(estimate_quality(&head(50, 0)[..40]), None);
    }
}
