//! The parameter sets of H.264 and H.265: kept as they come, and put before the keyframes that lack them, so that every keyframe
//! can be decoded on its own.
//!
//! Memory is bounded: a set of more than [`MOST_BYTES`] is passed over, and each number that sets can have is kept once.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::sequence::{Count, PictureSet, Sequence};
use crate::{Codec, Size, h264, h265};

/// Longest parameter set that is kept: theirs have tens of bytes, with scaling lists a few hundred.
const MOST_BYTES: usize = 4096;
/// Highest number that any kind of set can have (H.264 7.4.2.2).
const MOST_ID: u32 = 255;

/// The parameter sets of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSets {
    codec: Codec,
    /// By kind and number.
    sets: Vec<Set>,
    size: Option<Size>,
    interval: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Set {
    name: Name,
    unit: Bytes,
    says: Says,
}

/// What is read of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Nothing,
    Sequence(Sequence),
    Picture(PictureSet),
}

/// What sets replace each other by: kind and number.
type Name = (u8, u32);

impl ParameterSets {
    /// None yet, of `codec`: H.264 or H.265. Other codecs have none.
    pub fn new(codec: Codec) -> Self {
        Self { codec, sets: Vec::new(), size: None, interval: None }
    }

    /// What they are of.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The sets, a NAL unit each: of H.265 the video parameter sets first, then those of sequences, then those of pictures.
    pub fn units(&self) -> Vec<Bytes> {
        self.sets.iter().map(|set| set.unit.clone()).collect()
    }

    /// Whether these are the sets, in the order of [`units`](Self::units).
    pub fn are(&self, units: &[Bytes]) -> bool {
        self.sets.iter().map(|set| &set.unit).eq(units)
    }

    /// Whether there is one of each kind, so that a keyframe can be decoded.
    pub fn is_complete(&self) -> bool {
        let kinds: &[u8] = match self.codec {
            Codec::H264 => &[h264::SEQUENCE, h264::PICTURE],
            Codec::H265 => &[h265::VIDEO, h265::SEQUENCE, h265::PICTURE],
            _ => &[],
        };
        kinds.iter().all(|kind| self.sets.iter().any(|set| set.name.0 == *kind))
    }

    /// The size of the pictures, as the newest sequence parameter set says it.
    pub fn size(&self) -> Option<Size> {
        self.size
    }

    /// The time between two pictures, where the newest sequence parameter set says one that can be.
    pub fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// Takes a NAL unit, if it is a parameter set. Whether that is new.
    pub fn take(&mut self, unit: &[u8]) -> bool {
        let Some(name) = self.name(unit) else { return false };
        let place = self.sets.binary_search_by_key(&name, |set| set.name);
        if place.is_ok_and(|at| self.sets[at].unit == unit) {
            return false;
        }
        let set = Set { name, unit: Bytes::copy_from_slice(unit), says: self.says(name.0, unit) };
        if let Says::Sequence(sequence) = set.says {
            (self.size, self.interval) = (Some(sequence.size), sequence.interval);
        }
        match place {
            Ok(at) => self.sets[at] = set,
            Err(at) => self.sets.insert(at, set),
        }
        true
    }

    fn says(&self, kind: u8, unit: &[u8]) -> Says {
        let (sequence, picture) = match (self.codec, kind) {
            (Codec::H264, h264::SEQUENCE) => (h264::sequence(unit), None),
            (Codec::H264, h264::PICTURE) => {
                let of = |sequence| PictureSet { sequence, header_bits: 0, output_flag: false };
                (None, h264::sequence_of(unit).map(of))
            }
            (Codec::H265, h265::SEQUENCE) => (h265::sequence(unit), None),
            (Codec::H265, h265::PICTURE) => (None, h265::picture_set(unit)),
            _ => (None, None),
        };
        let picture = picture.map(Says::Picture);
        sequence.map(Says::Sequence).or(picture).unwrap_or(Says::Nothing)
    }

    /// Where the picture that begins with `slice` is shown, where that must be told: see [`Sequence::order`].
    pub(crate) fn count(&self, slice: &[u8]) -> Option<(Count, u32)> {
        let (picture, sequence) = match self.codec {
            Codec::H264 => ((h264::PICTURE, h264::picture_set_of(slice)?), h264::SEQUENCE),
            Codec::H265 => ((h265::PICTURE, h265::picture_set_of(slice)?), h265::SEQUENCE),
            _ => return None,
        };
        let Says::Picture(picture) = self.called(picture)?.says else { return None };
        let Says::Sequence(sequence) = self.called((sequence, picture.sequence))?.says else { return None };
        let order = sequence.order?;
        let count = match self.codec {
            Codec::H264 => h264::count(slice, &order),
            _ => h265::count(slice, &order, &picture),
        };
        Some((count?, order.count))
    }

    fn called(&self, name: Name) -> Option<&Set> {
        let at = self.sets.binary_search_by_key(&name, |set| set.name).ok()?;
        Some(&self.sets[at])
    }

    /// Takes the parameter sets of an access unit, which is NAL units, each behind its length as 4 bytes. Whether there was a new
    /// one.
    pub fn take_all(&mut self, access_unit: &[u8]) -> bool {
        nal_units(access_unit).fold(false, |new, unit| self.take(unit) | new)
    }

    /// A keyframe with those sets put before it that it lacks: as it is, if it has all there are.
    pub fn complete(&self, keyframe: Bytes) -> Bytes {
        // One pass, however many units and sets there are: their product would be seconds of a core.
        let mut lacking = vec![true; self.sets.len()];
        for name in nal_units(&keyframe).filter_map(|unit| self.name(unit)) {
            if let Ok(at) = self.sets.binary_search_by_key(&name, |set| set.name) {
                lacking[at] = false;
            }
        }
        let lacking = || self.sets.iter().zip(&lacking).filter(|(_, lacks)| **lacks).map(|(set, _)| set);
        let missing: usize = lacking().map(|set| 4 + set.unit.len()).sum();
        if missing == 0 {
            return keyframe;
        }
        let mut whole = BytesMut::with_capacity(missing + keyframe.len());
        // A delimiter stays first.
        let delimiter = nal_units(&keyframe).next().filter(|unit| self.is_delimiter(unit));
        let (before, behind) = keyframe.split_at(delimiter.map_or(0, |unit| 4 + unit.len()));
        whole.put_slice(before);
        for set in lacking() {
            whole.put_u32(set.unit.len() as u32);
            whole.put_slice(&set.unit);
        }
        whole.put_slice(behind);
        whole.freeze()
    }

    fn name(&self, unit: &[u8]) -> Option<Name> {
        let first = *unit.first().filter(|_| unit.len() <= MOST_BYTES)?;
        let (kind, id) = match self.codec {
            Codec::H264 => match h264::kind(first) {
                kind @ (h264::SEQUENCE | h264::PICTURE) => (kind, h264::id(unit)?),
                _ => return None,
            },
            Codec::H265 => match h265::kind(first) {
                kind @ (h265::VIDEO | h265::SEQUENCE | h265::PICTURE) => (kind, h265::id(unit)?),
                _ => return None,
            },
            _ => return None,
        };
        (id <= MOST_ID).then_some((kind, id))
    }

    fn is_delimiter(&self, unit: &[u8]) -> bool {
        let Some(&first) = unit.first() else { return false };
        match self.codec {
            Codec::H264 => h264::kind(first) == h264::DELIMITER,
            Codec::H265 => h265::kind(first) == h265::DELIMITER,
            _ => false,
        }
    }
}

/// The NAL units of an access unit in which each stands behind its length as 4 bytes, big endian. One that is cut off ends the
/// iteration.
pub fn nal_units(access_unit: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = access_unit;
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (unit, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = behind;
        Some(unit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPS: [u8; 11] = [0x67, 0x42, 0xC0, 0x0A, 0xDA, 0x0F, 0x0A, 0x69, 0xA8, 0x10, 0x10];

    fn access_unit(units: &[&[u8]]) -> Bytes {
        let with_length = |unit: &&[u8]| [&(unit.len() as u32).to_be_bytes()[..], unit].concat();
        units.iter().flat_map(with_length).collect::<Vec<_>>().into()
    }

    #[test]
    fn a_keyframe_gets_what_it_lacks_behind_its_delimiter() {
        let mut sets = ParameterSets::new(Codec::H264);
        assert!(sets.take_all(&access_unit(&[&[0x68, 0xCE], &SPS, &[0x65, 1]])));
        assert!(!sets.take_all(&access_unit(&[&[0x68, 0xCE], &SPS])), "nothing new");
        assert_eq!(sets.units(), [&SPS[..], &[0x68, 0xCE]], "sequence before picture");
        assert!(sets.is_complete() && sets.are(&sets.units()) && !sets.are(&sets.units()[1..]));
        let bare = access_unit(&[&[9, 0x10], &[0x65, 1]]);
        let whole = access_unit(&[&[9, 0x10], &SPS, &[0x68, 0xCE], &[0x65, 1]]);
        assert_eq!(sets.complete(bare), whole);
        assert_eq!(sets.complete(whole.clone()).as_ptr(), whole.as_ptr(), "no copy of what is whole");
        let half = access_unit(&[&SPS, &[0x65, 1]]);
        assert_eq!(sets.complete(half), access_unit(&[&[0x68, 0xCE], &SPS, &[0x65, 1]]));
    }

    #[test]
    fn a_set_takes_the_place_of_that_with_its_number() {
        let mut sets = ParameterSets::new(Codec::H264);
        sets.take(&[0x68, 0xCE]);
        assert!(sets.take(&[0x68, 0x40]), "number 1");
        assert!(sets.take(&[0x68, 0xCF]), "number 0, changed");
        assert_eq!(sets.units(), [&[0x68, 0xCF][..], &[0x68, 0x40]]);
        assert!(!sets.take(&[0x65, 1]) && !sets.take(&[]) && !sets.take(&[0x68; MOST_BYTES + 1]));
    }

    #[test]
    fn many_sets_and_many_units_are_one_pass() {
        let mut sets = ParameterSets::new(Codec::H264);
        // Numbers 127 to 254: a header, 7 zero bits, 8 bits of the number and one, and the end.
        let picture_sets: Vec<[u8; 4]> =
            (128_u32..256).map(|next| (0x6800_0000 | next << 9 | 0x100).to_be_bytes()).collect();
        for set in &picture_sets {
            assert!(sets.take(set));
        }
        let mut keyframe = access_unit(&[&[6]]).repeat(1_000_000);
        keyframe.extend_from_slice(&access_unit(&[&picture_sets[7], &[0x65, 1]]));
        let whole = sets.complete(keyframe.clone().into());
        assert_eq!(whole.len(), keyframe.len() + 127 * 8);
        assert!(whole.ends_with(&keyframe));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_all_is_kept(bytes in proptest::collection::vec(any::<u8>(), 0..200), h265: bool) {
            let mut sets = ParameterSets::new(if h265 { Codec::H265 } else { Codec::H264 });
            sets.take(&bytes);
            sets.take_all(&bytes);
            let frame = Bytes::from(bytes);
            prop_assert!(sets.complete(frame.clone()).len() >= frame.len());
        }
    }
}
