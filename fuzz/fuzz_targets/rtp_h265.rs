//! No packets of H.265 make the depacketiser panic or go past its limit; what it gives out can be sent again, and comes back
//! as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_proto::rtp::nal::Format;

mod nal;

fuzz_target!(|bytes: &[u8]| nal::check(Format::H265, bytes));
