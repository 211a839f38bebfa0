//! No bytes make the JPEG walk or the header parse panic, and a walk in steps finds what a walk at once does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_media::jpeg::{Header, Items, Walker};

fuzz_target!(|bytes: &[u8]| {
    let items = Items::new(bytes).count();
    assert!(items <= bytes.len() + 1);
    let header = Header::parse(bytes);
    let at_once = Walker::new().end(bytes);
    if let (Ok(Some(_)), Err(error)) = (&at_once, &header) {
        assert!(error.at() <= bytes.len());
    }
    let mut walker = Walker::new();
    let mut stepwise = Ok(None);
    for length in 0..=bytes.len() {
        stepwise = walker.end(&bytes[..length]);
        if stepwise != Ok(None) {
            break;
        }
    }
    assert_eq!(at_once, stepwise);
    if let Err(error) = at_once {
        let resume_at = walker.resume_at(&error);
        assert!(resume_at > 0 && resume_at <= bytes.len().max(1));
    }
});
