//! No bytes make the reader panic or grow, and what it reads does not depend on how they are split.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_proto::rtsp::{Item, Limits, ReadError, Reader};

const LIMITS: Limits = Limits { head_bytes: 512, fields: 8, body_bytes: 256 };

fn read(mut reader: Reader, bytes: &[u8], chunk: usize) -> (Vec<Item>, Option<ReadError>) {
    let mut items = Vec::new();
    for mut chunk in bytes.chunks(chunk) {
        while !chunk.is_empty() {
            let room = reader.room();
            assert!(room.capacity() <= 160 << 10);
            let (now, later) = chunk.split_at(chunk.len().min(room.capacity() - room.len()));
            room.extend_from_slice(now);
            chunk = later;
            loop {
                match reader.next_item() {
                    Ok(Some(item)) => items.push(item),
                    Ok(None) => break,
                    Err(error) => return (items, Some(error)),
                }
            }
        }
    }
    (items, None)
}

mod rtsp;

fuzz_target!(|input: &[u8]| {
    let (chunk, bytes) = (usize::from(input.first().copied().unwrap_or(0)) + 1, rtsp::requests(input));
    let split = read(Reader::new(LIMITS), &bytes, chunk);
    assert_eq!(split, read(Reader::new(LIMITS), &bytes, usize::MAX));
    let split = read(Reader::lenient(LIMITS), &bytes, chunk);
    let whole = read(Reader::lenient(LIMITS), &bytes, usize::MAX);
    // How much belongs to a description whose length is wrong is told by how much of it has come.
    let describes = bytes.windows(3).any(|window| window.eq_ignore_ascii_case(b"sdp"));
    assert!(describes || split == whole, "{split:?} and {whole:?}");
});
