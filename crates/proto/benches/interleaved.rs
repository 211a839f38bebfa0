//! What a picture of H.264 1080p at 4 Mbit/s (17 KB) costs on its way into RTSP connections: once for all, and once for each reader,
//! beside a bare memcpy of it.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ocelli_proto::rtp::nal::{Burst, Format};
use ocelli_proto::rtp::{Interleaved, Stamp};

const PICTURE_BYTES: usize = 17_000;
const PACKET_BYTES: usize = 1400;
const STAMP: Stamp = Stamp { payload_type: 96, sequence: 1, timestamp: 2, ssrc: 3 };

fn interleaved(criterion: &mut Criterion) {
    let length = (PICTURE_BYTES as u32).to_be_bytes();
    let picture = Bytes::from([&length[..], &[0x41; PICTURE_BYTES]].concat());
    let lay = |picture: &Bytes| Burst::new(Format::H264, picture, PACKET_BYTES).expect("it is sound");
    let burst = Interleaved::from(&lay(&picture));
    let mut headers = Vec::new();

    let mut group = criterion.benchmark_group("interleaved");
    group.throughput(Throughput::Bytes(picture.len() as u64));
    group.bench_function("floor: memcpy to a new buffer", |b| b.iter(|| black_box(&picture).to_vec()));
    group.bench_function("access unit to packets", |b| b.iter(|| lay(black_box(&picture))));
    group.bench_function("access unit to packets in a connection", |b| {
        b.iter(|| Interleaved::from(&lay(black_box(&picture))));
    });
    group.bench_function("one more reader", |b| {
        b.iter(|| {
            burst.stamp(2, black_box(STAMP), &mut headers);
            burst.slices(&headers, 0).map(|slice| black_box(slice).len()).sum::<usize>()
        });
    });
    group.finish();
}

criterion_group!(benches, interleaved);
criterion_main!(benches);
