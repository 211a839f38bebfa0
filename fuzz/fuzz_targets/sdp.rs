//! No text makes the reader of session descriptions panic, what it reads is read again when it is written, and a codec that
//! is known comes out the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_proto::sdp::Description;

fuzz_target!(|bytes: &[u8]| {
    let Ok(description) = Description::parse(bytes) else { return };
    let again = Description::parse(description.to_string().as_bytes()).expect("what was written");
    assert_eq!(again.media.len(), description.media.len());
    for medium in &description.media {
        let _ = medium.rtcp_port();
        if let Ok((payload_type, codec)) = medium.codec() {
            assert_eq!(codec.format(payload_type).codec(), Ok(codec));
        }
    }
});
