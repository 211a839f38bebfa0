//! Raw picture → JPEG beside libjpeg-turbo alone on ready planes: `yuyv` over `floor` is what separating costs.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ocelli_codec::{Encoder, Picture, PixelFormat};
use ocelli_media::Size;
use turbojpeg::{Compressor, Subsamp, YuvPlanesImage, compressed_buf_len};

const SIZE: Size = Size { width: 1280, height: 720 };
const WIDTH: usize = 1280;
const HEIGHT: usize = 720;

/// Edges, slopes and noise, so that a picture at quality 80 is about as long as a webcam's (150 KB).
fn planes() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut seed = 1_u32;
    let mut noise = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 28) as u8
    };
    let plane = |width: usize, scale: usize, noise: &mut dyn FnMut() -> u8| {
        let mut out = Vec::with_capacity(width * HEIGHT);
        for row in 0..HEIGHT {
            for column in 0..width {
                let checks = if (row / 40 + column * scale / 40).is_multiple_of(2) { 60 } else { 0 };
                out.push((row / 8 + column * scale / 16) as u8 / 2 + checks + noise());
            }
        }
        out
    };
    (plane(WIDTH, 1, &mut noise), plane(WIDTH / 2, 2, &mut noise), plane(WIDTH / 2, 2, &mut noise))
}

/// How much longer `work` takes than `floor`: the two in turns, so that whatever else the machine does hits both, and
/// the medians of their times.
fn ratio(mut floor: impl FnMut(), mut work: impl FnMut()) -> f64 {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..500 {
        let start = Instant::now();
        floor();
        let between = Instant::now();
        work();
        times[0].push(between - start);
        times[1].push(between.elapsed());
    }
    let [floor, work] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    });
    work / floor
}

fn encode(c: &mut Criterion) {
    let (y, u, v) = planes();
    let mut yuyv = Vec::with_capacity(WIDTH * HEIGHT * 2);
    for (pair, (u, v)) in y.chunks_exact(2).zip(u.iter().zip(&v)) {
        yuyv.extend_from_slice(&[pair[0], *u, pair[1], *v]);
    }
    let mut nv12 = y.clone();
    for (u, v) in u.chunks_exact(WIDTH / 2).step_by(2).zip(v.chunks_exact(WIDTH / 2).step_by(2)) {
        nv12.extend(u.iter().zip(v).flat_map(|(u, v)| [*u, *v]));
    }

    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(1)).sample_size(60);

    let mut compressor = Compressor::new().expect("memory");
    compressor.set_quality(80).expect("quality in range");
    let mut out = vec![0; compressed_buf_len(WIDTH, HEIGHT, Subsamp::Sub2x1).expect("size in range")];
    let image = YuvPlanesImage {
        y_plane: &y[..],
        u_plane: &u[..],
        v_plane: &v[..],
        width: WIDTH,
        height: HEIGHT,
        y_stride: WIDTH,
        u_stride: WIDTH / 2,
        v_stride: WIDTH / 2,
        subsamp: Subsamp::Sub2x1,
    };
    group.bench_function("floor", |b| {
        b.iter(|| black_box(compressor.compress_yuv_planes_to_slice(black_box(&image), &mut out)));
    });
    let mut encoder = Encoder::new(80).expect("quality in range");
    let packed = Picture { format: PixelFormat::Yuyv, size: SIZE, stride: WIDTH * 2, data: &yuyv };
    let ratio = ratio(
        || drop(black_box(compressor.compress_yuv_planes_to_slice(black_box(&image), &mut out))),
        || drop(black_box(encoder.encode(black_box(&packed)))),
    );
    println!("encode: yuyv takes {ratio:.3} times as long as its floor (target 1.1)");
    for (name, format, stride, data) in [
        ("yuyv", PixelFormat::Yuyv, WIDTH * 2, &yuyv),
        ("uyvy", PixelFormat::Uyvy, WIDTH * 2, &yuyv),
        ("nv12", PixelFormat::Nv12, WIDTH, &nv12),
        ("yu12", PixelFormat::Yu12, WIDTH, &nv12),
    ] {
        let picture = Picture { format, size: SIZE, stride, data };
        group.bench_function(name, |b| b.iter(|| black_box(encoder.encode(black_box(&picture)))));
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
