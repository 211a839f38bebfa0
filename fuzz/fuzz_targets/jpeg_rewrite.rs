//! No bytes make the rewrite for RTP/JPEG panic; what it makes is a JPEG that needs no further work; and a picture is
//! rewritten alike whatever came before it.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ocelli_media::jpeg::rewrite::{Rewriter, Work};

fuzz_target!(|bytes: &[u8]| {
    let picture = Bytes::copy_from_slice(bytes);
    let mut rewriter = Rewriter::new();
    let first = rewriter.rewrite(&picture);
    assert_eq!(first, rewriter.rewrite(&picture));
    if let Ok((rewritten, _)) = first {
        let again = rewriter.rewrite(&rewritten.rebuild());
        assert_eq!(again, Ok((rewritten, Work::AsIs)));
    }
});
