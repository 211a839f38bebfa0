//! Access units that come whole with start codes before their NAL units (Annex B), as FFmpeg has them in a packet: lengths take the
//! place of the start codes.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;

use super::{LENGTH_BYTES, START_CODE};

/// An access unit with lengths before its NAL units.
#[derive(Debug)]
pub(crate) enum Laid {
    /// It was changed where it stands, and ends there.
    InPlace { end: usize },
    /// Its start codes are shorter than lengths are.
    Copied(Bytes),
}

/// Puts lengths before the NAL units of `packet`. `units` is room for their places. One without any becomes empty.
pub(crate) fn lay(packet: &mut [u8], units: &mut Vec<Range<usize>>) -> Laid {
    find_units(packet, units);
    let mut expected = 0;
    let in_place = units.iter().all(|unit| {
        let fits = unit.start == expected + LENGTH_BYTES;
        expected = unit.end;
        fits
    });
    if in_place {
        for unit in &*units {
            let length = unit.len() as u32;
            packet[unit.start - LENGTH_BYTES..unit.start].copy_from_slice(&length.to_be_bytes());
        }
        return Laid::InPlace { end: expected };
    }
    let mut data = BytesMut::with_capacity(units.iter().map(|unit| LENGTH_BYTES + unit.len()).sum());
    for unit in &*units {
        data.put_u32(unit.len() as u32);
        data.put_slice(&packet[unit.clone()]);
    }
    Laid::Copied(data.freeze())
}

/// Where the NAL units of `bytes` are, without start codes, zeros behind them, and those that are empty.
pub(crate) fn find_units(bytes: &[u8], units: &mut Vec<Range<usize>>) {
    units.clear();
    let mut begun = None;
    for code in memmem::find_iter(bytes, &START_CODE) {
        close(bytes, begun, code, units);
        begun = Some(code + START_CODE.len());
    }
    close(bytes, begun, bytes.len(), units);
}

fn close(bytes: &[u8], begun: Option<usize>, end: usize, units: &mut Vec<Range<usize>>) {
    let Some(start) = begun else { return };
    // A NAL unit does not end in a zero.
    let last = bytes[start..end].iter().rposition(|byte| *byte != 0);
    units.extend(last.map(|last| start..start + last + 1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_start_codes_become_lengths_where_they_stand() {
        let mut packet = [0, 0, 0, 1, 0x67, 0x42, 0, 0, 0, 1, 0x65, 0x88, 0x80, 0, 0];
        let Laid::InPlace { end } = lay(&mut packet, &mut Vec::new()) else { panic!("it was copied") };
        assert_eq!(packet[..end], [0, 0, 0, 2, 0x67, 0x42, 0, 0, 0, 3, 0x65, 0x88, 0x80]);
    }

    #[test]
    fn short_start_codes_have_it_copied() {
        let mut packet = [0, 0, 1, 0x67, 0x42, 0, 0, 0, 1, 0x65, 0, 0, 1, 0, 0, 1, 9];
        let Laid::Copied(data) = lay(&mut packet, &mut Vec::new()) else { panic!("it was not copied") };
        assert_eq!(data[..], [0, 0, 0, 2, 0x67, 0x42, 0, 0, 0, 1, 0x65, 0, 0, 0, 1, 9]);
    }

    #[test]
    fn what_has_no_unit_is_empty() {
        for packet in [&mut [][..], &mut [1, 2, 3], &mut [0, 0, 1], &mut [0, 0, 1, 0, 0]] {
            assert!(matches!(lay(packet, &mut Vec::new()), Laid::InPlace { end: 0 }));
        }
    }
}
