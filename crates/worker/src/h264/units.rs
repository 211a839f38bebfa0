//! From what encoders give (H.264 in the byte stream format, ITU-T H.264 Annex B) to what frames hold: NAL units, each
//! behind its length in four bytes, with the parameter sets before each keyframe, also where the encoder gives them
//! once only.
//!
//! Leaves out what no viewer needs: access unit delimiters, filler, and the user data in which x264 tells its settings.

use memchr::memmem;

const SLICE_OF_IDR: u8 = 5;
const SUPPLEMENT: u8 = 6;
const SEQUENCE_PARAMETERS: u8 = 7;
const PICTURE_PARAMETERS: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;
/// Kind of a supplement that has meaning to the encoder's owner only (D.1.7).
const UNREGISTERED: u8 = 5;

/// The parameter sets that an encoder gave last.
#[derive(Debug, Default)]
pub(super) struct Units {
    sequence: Vec<u8>,
    picture: Vec<u8>,
}

impl Units {
    /// Puts the units of one access unit behind `out`, and says whether it is a keyframe.
    pub(super) fn pack(&mut self, stream: &[u8], out: &mut Vec<u8>) -> bool {
        let mut key = false;
        let mut has_sets = false;
        for unit in split(stream) {
            match unit[0] & 0x1f {
                DELIMITER | FILLER => continue,
                SUPPLEMENT if unit.get(1) == Some(&UNREGISTERED) => continue,
                SEQUENCE_PARAMETERS => {
                    has_sets = true;
                    replace(&mut self.sequence, unit);
                }
                PICTURE_PARAMETERS => replace(&mut self.picture, unit),
                SLICE_OF_IDR => {
                    if !key && !has_sets {
                        for set in [&self.sequence, &self.picture].into_iter().filter(|set| !set.is_empty()) {
                            put(set, out);
                        }
                    }
                    key = true;
                }
                _ => (),
            }
            put(unit, out);
        }
        key
    }
}

fn put(unit: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(unit.len() as u32).to_be_bytes());
    out.extend_from_slice(unit);
}

fn replace(kept: &mut Vec<u8>, unit: &[u8]) {
    kept.clear();
    kept.extend_from_slice(unit);
}

/// The units of a byte stream, none of them empty, without start codes and the zeros around them.
fn split(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = memmem::find(stream, &[0, 0, 1]).map(|start| &stream[start + 3..]);
    std::iter::from_fn(move || {
        let from = rest?;
        let end = memmem::find(from, &[0, 0, 1]);
        rest = end.map(|end| &from[end + 3..]);
        let unit = &from[..end.unwrap_or(from.len())];
        Some(&unit[..unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)])
    })
    .filter(|unit| !unit.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(units: &mut Units, stream: &[u8]) -> (bool, Vec<u8>) {
        let mut out = Vec::new();
        (units.pack(stream, &mut out), out)
    }

    #[test]
    fn parameter_sets_stand_before_each_keyframe() {
        let mut units = Units::default();
        let first =
            [0, 0, 0, 1, 9, 16, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 1, 6, 5, 7, 0, 0, 1, 0x65, 3, 0];
        let whole = (true, vec![0, 0, 0, 2, 0x67, 1, 0, 0, 0, 2, 0x68, 2, 0, 0, 0, 2, 0x65, 3]);
        assert_eq!(packed(&mut units, &first), whole);
        assert_eq!(packed(&mut units, &[0, 0, 1, 0x41, 4]), (false, vec![0, 0, 0, 2, 0x41, 4]));
        assert_eq!(packed(&mut units, &[0, 0, 1, 0x65, 3]), whole);
    }

    #[test]
    fn what_is_no_stream_gives_nothing() {
        let mut units = Units::default();
        for stream in [&b""[..], &[0, 0], &[1, 2, 3, 4], &[0, 0, 1], &[0, 0, 1, 0, 0, 1, 0, 0, 0]] {
            assert_eq!(packed(&mut units, stream), (false, vec![]));
        }
        assert_eq!(packed(&mut units, &[0, 0, 1, 6]), (false, vec![0, 0, 0, 1, 6]));
    }
}
