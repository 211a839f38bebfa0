//! Whatever arrives, and however it is cut: every picture is whole, every byte is framed or counted as dropped, no
//! picture is over the limit, and the pictures do not depend on where reads end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_media::jpeg::Walker;
use ocelli_media::mjpeg::{Event, Framer};

const LIMIT: usize = 2048;

fn frame(bytes: &[u8], chunk: usize) -> Vec<Vec<u8>> {
    let mut framer = Framer::new(LIMIT);
    let mut pictures = Vec::new();
    let mut accounted = 0;
    let mut take = |event| match event {
        Event::Frame(data) => {
            accounted += data.len() as u64;
            pictures.push(data.to_vec());
        }
        Event::Dropped { bytes, .. } => accounted += bytes,
    };
    for mut now in bytes.chunks(chunk) {
        while !now.is_empty() {
            now = framer.feed(now);
            while let Some(event) = framer.next_event() {
                take(event);
            }
        }
    }
    if let Some(event) = framer.finish() {
        take(event);
    }
    assert_eq!(accounted, bytes.len() as u64);
    pictures
}

fuzz_target!(|input: (u8, &[u8])| {
    let (chunk, bytes) = input;
    let pictures = frame(bytes, usize::from(chunk) + 1);
    for picture in &pictures {
        assert!(picture.len() <= LIMIT);
        assert_eq!(Walker::new().end(picture), Ok(Some(picture.len())));
    }
    // Where a picture is over the limit, the reads decide where it is given up.
    if bytes.len() <= LIMIT {
        assert_eq!(pictures, frame(bytes, LIMIT));
    }
});
