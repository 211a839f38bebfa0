//! Whatever arrives, and however it is cut: every part is a whole picture within the limit, and a reader that skims
//! and may throw bytes away unread does not panic either.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_media::jpeg::Walker;
use ocelli_media::multipart::{Event, Reader, boundary_of};

const LIMIT: usize = 2048;

fuzz_target!(|input: (u8, &str, &[u8])| {
    let (chunk, content_type, bytes) = input;
    let boundary = boundary_of(content_type).unwrap_or("frame");
    let mut reader = Reader::new(boundary, LIMIT);
    let mut skimmer = Reader::skimming(boundary, LIMIT, 64);
    for now in bytes.chunks(usize::from(chunk) + 1) {
        let mut left = now;
        while !left.is_empty() {
            left = reader.feed(left);
            while let Some(event) = reader.next_event() {
                let Event::Part(part) = event else { continue };
                assert!(part.data.len() <= LIMIT && part.data.len() as u64 == part.length);
                assert_eq!(Walker::new().end(&part.data), Ok(Some(part.data.len())));
            }
        }
        let mut left = now;
        while !left.is_empty() {
            let skip = skimmer.skippable().min(left.len() as u64);
            skimmer.skipped(skip);
            left = skimmer.feed(&left[skip as usize..]);
            while let Some(event) = skimmer.next_event() {
                if let Event::Part(part) = event {
                    assert!(part.data.is_empty() && part.length <= LIMIT as u64);
                }
            }
        }
    }
});
