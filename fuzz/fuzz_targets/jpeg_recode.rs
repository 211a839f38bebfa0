//! No JPEG makes the recoder panic, and what it makes is carried by RTP/JPEG as it is.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ocelli_codec::recode::{Recoder, Wish};
use ocelli_media::Size;
use ocelli_media::jpeg::Header;
use ocelli_media::jpeg::rewrite::{Rewriter, Work};

fuzz_target!(|bytes: &[u8]| {
    // Large pictures are slow and nothing else.
    let pixels = |size: Size| u32::from(size.width) * u32::from(size.height);
    if Header::parse(bytes).is_ok_and(|header| pixels(header.size) > 1 << 20) {
        return;
    }
    let wish = Wish { quality: None, sampling: None, most: Size { width: 2040, height: 2040 } };
    let mut recoder = Recoder::new().expect("memory");
    if let Ok((size, jpeg)) = recoder.recode(bytes, &wish) {
        assert!(size.width <= 2040 && size.height <= 2040);
        let (picture, work) = Rewriter::new().rewrite(&Bytes::copy_from_slice(jpeg)).expect("plain");
        assert_eq!((picture.size, work), (size, Work::AsIs));
    }
});
