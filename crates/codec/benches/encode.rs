//! Raw picture → JPEG beside libjpeg-turbo alone on ready planes: `yuyv` over `floor` is what separating costs.
#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ocelli_codec::{Encoder, Picture, PixelFormat, Range};
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

fn ready(planes: &[Vec<u8>; 3]) -> YuvPlanesImage<Vec<u8>> {
    let [y_plane, u_plane, v_plane] = planes.clone();
    YuvPlanesImage {
        y_plane,
        u_plane,
        v_plane,
        width: WIDTH,
        height: HEIGHT,
        y_stride: WIDTH,
        u_stride: WIDTH / 2,
        v_stride: WIDTH / 2,
        subsamp: Subsamp::Sub2x1,
    }
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
    // What libjpeg-turbo has to do depends on what is in the picture: each range has its own floor, on planes that are
    // what separating ends with.
    let stretch = |plane: &[u8], black: i32, span: i32| -> Vec<u8> {
        plane.iter().map(|v| ((i32::from(*v) - black) * 255 / span).clamp(0, 255) as u8).collect()
    };
    let wide = [stretch(&y, 16, 219), stretch(&u, 16, 224), stretch(&v, 16, 224)];
    let image = ready(&[y, u, v]);
    group.bench_function("floor", |b| {
        b.iter(|| black_box(compressor.compress_yuv_planes_to_slice(black_box(&image.as_deref()), &mut out)));
    });
    let mut encoder = Encoder::new(80).expect("quality in range");
    for (range, image) in [(Range::Full, &image), (Range::Limited, &ready(&wide))] {
        let packed = Picture { format: PixelFormat::Yuyv, range, size: SIZE, stride: WIDTH * 2, data: &yuyv };
        let floor = || {
            let _ = black_box(compressor.compress_yuv_planes_to_slice(&image.as_deref(), &mut out));
        };
        let ratio = ratio(floor, || drop(black_box(encoder.encode(black_box(&packed)))));
        println!("encode: yuyv in {range:?} range takes {ratio:.3} times as long as its floor (target 1.1)");
    }
    for (name, format, stride, data) in [
        ("yuyv", PixelFormat::Yuyv, WIDTH * 2, &yuyv),
        ("uyvy", PixelFormat::Uyvy, WIDTH * 2, &yuyv),
        ("nv12", PixelFormat::Nv12, WIDTH, &nv12),
        ("yu12", PixelFormat::Yu12, WIDTH, &nv12),
    ] {
        let picture = Picture { format, range: Range::Full, size: SIZE, stride, data };
        group.bench_function(name, |b| b.iter(|| black_box(encoder.encode(black_box(&picture)))));
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
