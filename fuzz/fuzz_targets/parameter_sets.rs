//! No parameter sets and no access units make those who keep them panic, or lose a byte of the picture; and a keyframe that was
//! completed lacks nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_media::{Codec, ParameterSets, nal_units};

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
    }
});
