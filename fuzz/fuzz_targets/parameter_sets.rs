//! No parameter sets and no access units make those who keep them panic, or lose a byte of the picture; a keyframe that was
//! completed lacks nothing; and no slices make pictures wait for others longer than any level allows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_media::{Codec, DisplayOrder, ParameterSets, nal_units};

/// More than any level lets pictures wait, in fields (`order.rs`).
const MOST_LATER: i64 = 32;

fuzz_target!(|bytes: &[u8]| {
    for codec in [Codec::H264, Codec::H265] {
        let mut sets = ParameterSets::new(codec);
        sets.take(bytes);
        sets.take_all(bytes);
        let whole = sets.complete(bytes.to_vec().into());
        assert!(whole.len() >= bytes.len());
        // What follows the last whole unit has no place among units.
        if nal_units(bytes).map(|unit| 4 + unit.len()).sum::<usize>() == bytes.len() {
            assert_eq!(sets.complete(whole.clone()), whole);
        }
        // Each unit as a picture of its own, with the sets that came before it or all at once.
        let mut order = DisplayOrder::default();
        for unit in nal_units(bytes) {
            let picture = [&(unit.len() as u32).to_be_bytes()[..], unit].concat();
            let place = order.place(&picture, &sets);
            assert!(place.later.abs() <= MOST_LATER && matches!(place.fields, 1 | 2));
            if unit.len() % 16 == 0 {
                order.restart();
            }
        }
    }
});
