//! No bytes make the reader panic or grow, and what it reads does not depend on how they are split.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_proto::rtsp::{Item, Limits, ReadError, Reader};

const LIMITS: Limits = Limits { head_bytes: 512, fields: 8, body_bytes: 256 };

fn read(bytes: &[u8], chunk: usize) -> (Vec<Item>, Option<ReadError>) {
    let mut reader = Reader::new(LIMITS);
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
    let split = read(&bytes, chunk);
    assert_eq!(split, read(&bytes, usize::MAX));
});
