//! Whatever arrives, and however it is cut: every part is a whole picture within the limit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_media::jpeg::Walker;
use ocelli_media::multipart::{Event, Reader, boundary_of};

const LIMIT: usize = 2048;

fuzz_target!(|input: (u8, &str, &[u8])| {
    let (chunk, content_type, bytes) = input;
    let boundary = boundary_of(content_type).unwrap_or("frame");
    let mut reader = Reader::new(boundary, LIMIT);
    for now in bytes.chunks(usize::from(chunk) + 1) {
        let mut left = now;
        while !left.is_empty() {
            left = reader.feed(left);
            while let Some(event) = reader.next_event() {
                let Event::Part(part) = event else { continue };
                assert!(part.data.len() <= LIMIT);
                assert_eq!(Walker::new().end(&part.data), Ok(Some(part.data.len())));
            }
        }
    }
});
