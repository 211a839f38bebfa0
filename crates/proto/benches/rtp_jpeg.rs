//! What a 142 KB picture costs between its JPEG file and the socket, and back, beside bare memcpy of the same bytes.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ocelli_media::Size;
use ocelli_media::jpeg::rewrite::{QuantisationPair, Rewriter, RtpJpeg, Sampling};
use ocelli_proto::rtp::Packet;
use ocelli_proto::rtp::jpeg::{Burst, Depacketiser, PAYLOAD_TYPE, Stamp};

const SCAN_BYTES: usize = 142_000;
const PACKET_BYTES: usize = 1400;
const STAMP: Stamp = Stamp { payload_type: PAYLOAD_TYPE, sequence: 1, timestamp: 2, ssrc: 3 };

/// A 1080p picture whose scan is random, with as many stuffed bytes as a real one.
fn picture() -> RtpJpeg {
    let mut scan = Vec::with_capacity(SCAN_BYTES + 1);
    let mut state = 1_u64;
    while scan.len() < SCAN_BYTES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        scan.push((state >> 56) as u8);
        if scan.ends_with(&[0xFF]) {
            scan.push(0);
        }
    }
    RtpJpeg {
        sampling: Sampling::Yuv420,
        size: Size { width: 1920, height: 1080 },
        restart_interval: None,
        quantisation: QuantisationPair { luma: [7; 64], chroma: [9; 64] },
        scan: scan.into(),
    }
}

fn rtp_jpeg(criterion: &mut Criterion) {
    let picture = picture();
    let file: Bytes = picture.rebuild();
    let burst = Burst::new(&picture, PACKET_BYTES).expect("it fits");
    let mut headers = Vec::new();
    burst.stamp(STAMP, &mut headers);
    let packets: Vec<_> =
        burst.packets(&headers).map(|(header, payload)| [header, payload].concat()).collect();

    let mut group = criterion.benchmark_group("rtp_jpeg");
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("floor: memcpy to a new buffer", |b| b.iter(|| black_box(&file).to_vec()));
    let mut rewriter = Rewriter::new();
    group.bench_function("file to packets", |b| {
        b.iter(|| {
            let (picture, _) = rewriter.rewrite(black_box(&file)).expect("it can be carried");
            Burst::new(&picture, PACKET_BYTES)
        });
    });
    group.bench_function("stamp for one more target", |b| {
        b.iter(|| burst.stamp(black_box(STAMP), &mut headers));
    });
    group.bench_function("packets to file", |b| {
        let mut depacketiser = Depacketiser::new(1 << 24);
        b.iter(|| {
            // The numbers begin anew with each round; between pictures that is no loss.
            let mut file = None;
            for packet in &packets {
                file =
                    Packet::parse(black_box(packet)).ok().and_then(|p| depacketiser.push(&p).ok().flatten());
            }
            file.expect("it is whole")
        });
    });
    group.finish();
}

criterion_group!(benches, rtp_jpeg);
criterion_main!(benches);
