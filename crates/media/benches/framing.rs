//! How fast pictures are framed: bytes a second through the framer and the multipart reader, beside bare memchr over
//! the same bytes and, since both copy what they are fed, beside bare memcpy.
//!
//! The picture has the size and the frequency of `FF 00` that cameras' 1080p pictures have: 140 KB with random scan
//! bytes, one in 256 of them stuffed, as with Huffman tables of its own, or one in 40, as with the standard ones.
//! H.264 is a second of a camera's 1080p.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ocelli_media::{Codec, annexb, jpeg, mjpeg, multipart};

const PICTURE_BYTES: usize = 140_000;
const READ_BYTES: usize = 64 << 10;
const LIMIT: usize = 16 << 20;

/// The headers of a real picture before a long random scan.
fn picture(one_stuffed_in: u64) -> Vec<u8> {
    let real = include_bytes!("../testdata/baseline.jpg");
    let scan = jpeg::Items::new(real).find_map(|item| match item {
        Ok(jpeg::Item::Scan { at, .. }) => Some(at),
        _ => None,
    });
    let mut bytes = real[..scan.expect("the picture has a scan")].to_vec();
    let mut state = 1_u64;
    while bytes.len() < PICTURE_BYTES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let byte =
            if (state >> 32).is_multiple_of(one_stuffed_in) { 0xFF } else { (state >> 56) as u8 & 0x7F };
        bytes.push(byte);
        if byte == 0xFF {
            bytes.push(0);
        }
    }
    bytes.extend_from_slice(&[0xFF, 0xD9]);
    bytes
}

/// Thirty pictures of 1080p at 4 Mbit/s: parameter sets and a keyframe of 60 KB, then pictures of 16 KB, each behind a delimiter.
fn h264() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut state = 1_u64;
    for index in 0..30 {
        let length = if index == 0 { 60_000 } else { 16_000 };
        let slice = if index == 0 { [0x65, 0x88] } else { [0x41, 0x9A] };
        let before: &[&[u8]] =
            if index == 0 { &[&[9, 0xF0], &[0x67, 0x42], &[0x68, 0xCE]] } else { &[&[9, 0xF0]] };
        for unit in before {
            bytes.extend([&[0, 0, 0, 1], *unit].concat());
        }
        bytes.extend([0, 0, 0, 1].into_iter().chain(slice));
        for _ in 0..length {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let byte = (state >> 56) as u8;
            // No start code within, as encoders see to by emulation prevention.
            let zeros = bytes.ends_with(&[0, 0]);
            bytes.push(if zeros && byte <= 3 { 3 } else { byte });
        }
        bytes.push(0x80);
    }
    bytes
}

fn framing(criterion: &mut Criterion) {
    let (picture, standard) = (picture(256), picture(40));
    let mut group = criterion.benchmark_group("framing");
    group.throughput(Throughput::Bytes(picture.len() as u64));
    group.bench_function("floor: memchr", |b| {
        b.iter(|| memchr::memchr_iter(0xFF, black_box(&picture)).map(|at| at & 1).sum::<usize>());
    });
    group.bench_function("floor: memcpy to a new buffer", |b| b.iter(|| black_box(&picture).clone()));
    group.bench_function("walker", |b| b.iter(|| jpeg::Walker::new().end(black_box(&picture))));
    group.bench_function("floor: memchr, standard tables", |b| {
        b.iter(|| memchr::memchr_iter(0xFF, black_box(&standard)).map(|at| at & 1).sum::<usize>());
    });
    group.bench_function("walker, standard tables", |b| {
        b.iter(|| jpeg::Walker::new().end(black_box(&standard)));
    });
    group.bench_function("header", |b| b.iter(|| jpeg::Header::parse(black_box(&picture))));
    group.bench_function("framer, filled by the caller", |b| {
        let fill = || {
            let mut framer = mjpeg::Framer::new(LIMIT);
            framer.room().extend_from_slice(&picture);
            framer
        };
        b.iter_batched_ref(fill, mjpeg::Framer::next_event, BatchSize::LargeInput);
    });
    group.bench_function("framer, fed by copying", |b| {
        let mut framer = mjpeg::Framer::new(LIMIT);
        b.iter(|| {
            for mut bytes in picture.chunks(READ_BYTES) {
                while !bytes.is_empty() {
                    bytes = framer.feed(bytes);
                    while let Some(event) = framer.next_event() {
                        black_box(event);
                    }
                }
            }
        });
    });
    let stream = h264();
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function("floor: memmem of H.264's start codes", |b| {
        b.iter(|| memchr::memmem::find_iter(black_box(&stream), &[0, 0, 1]).count());
    });
    group.bench_function("H.264, fed by copying", |b| {
        let mut framer = annexb::Framer::new(Codec::H264, LIMIT);
        b.iter(|| {
            for mut bytes in stream.chunks(READ_BYTES) {
                while !bytes.is_empty() {
                    bytes = framer.feed(bytes);
                    while let Some(event) = framer.next_event() {
                        black_box(event);
                    }
                }
            }
        });
    });
    group.throughput(Throughput::Bytes(picture.len() as u64));
    let head =
        format!("\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", picture.len());
    let part = [head.as_bytes(), &picture].concat();
    group.bench_function("multipart, fed by copying", |b| {
        let mut reader = multipart::Reader::new("frame", LIMIT);
        b.iter(|| {
            let mut bytes = &part[..];
            while !bytes.is_empty() {
                bytes = reader.feed(bytes);
                while let Some(event) = reader.next_event() {
                    black_box(event);
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, framing);
criterion_main!(benches);
