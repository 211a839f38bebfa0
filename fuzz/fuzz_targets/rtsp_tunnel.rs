//! The head of a tunnel's connection is within what was read, and requests in Base64 are the same however they are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_proto::rtsp::tunnel::{Decoder, Head};

fuzz_target!(|input: (&[u8], usize)| {
    let (bytes, cut) = input;
    if let Some(head) = Head::parse(bytes) {
        assert!(head.bytes <= bytes.len() && bytes[..head.bytes].ends_with(b"\r\n\r\n"));
        assert!((1..=128).contains(&head.cookie.len()));
    }
    let whole = Decoder::default().push(bytes);
    let (first, then) = bytes.split_at(cut.min(bytes.len()));
    let mut decoder = Decoder::default();
    let cut = decoder.push(first).and_then(|first| Some([first, decoder.push(then)?].concat()));
    assert_eq!(whole, cut);
});
