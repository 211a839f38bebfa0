//! JPEG 720p → H.264 by a worker's camera, beside libjpeg-turbo's decoder and the encoder alone on ready planes; then each
//! encoder by itself, and a picture turned by its pixels and without loss.

use std::convert::Infallible;
use std::hint::black_box;
use std::process::Command;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ocelli_codec::Range;
use ocelli_codec::worker::protocol::{Coding, FrameHead, Input, NoteKind, Output, OutputId, Piece, Request};
use ocelli_media::{Size, Turn};
use ocelli_worker::camera::{Camera, Frame};
use ocelli_worker::encode::Moment;
use ocelli_worker::h264::{Encoder, Kind, Settings, Source, Stamp};
use ocelli_worker::lossless::Turner;
use ocelli_worker::outputs::Sink;
use ocelli_worker::picture::{Buffer, Layout, Matrix};
use ocelli_worker::turn::turn;
use turbojpeg::{Decompressor, Subsamp, YuvImage};

const SIZE: Size = Size { width: 1280, height: 720 };
const SETTINGS: Settings = Settings { bit_rate_kbps: 3000, quality: 0, rate: 30_000, key_every_ms: 2000 };
const KINDS: [Kind; 2] = [Kind::X264, Kind::Openh264];

/// Moving bars under noise, as JPEG files.
fn files() -> Vec<Vec<u8>> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-f", "lavfi"])
        .args(["-i", "testsrc2=size=1280x720:rate=30,noise=alls=6:allf=t", "-frames:v", "60"])
        .args(["-pix_fmt", "yuvj420p", "-q:v", "4", "-f", "mjpeg", "-"])
        .output()
        .expect("FFmpeg is installed: scripts/setup.sh test");
    let mut starts: Vec<_> = (0..output.stdout.len().saturating_sub(2))
        .filter(|at| output.stdout[*at..].starts_with(&[0xff, 0xd8, 0xff]))
        .collect();
    starts.push(output.stdout.len());
    starts.windows(2).map(|ends| output.stdout[ends[0]..ends[1]].to_vec()).collect()
}

struct Nowhere;

impl Sink for Nowhere {
    type Error = Infallible;

    fn piece(&mut self, _: &Piece, data: &[u8]) -> Result<(), Infallible> {
        black_box(data);
        Ok(())
    }

    fn note(&mut self, _: OutputId, _: NoteKind, _: &str) -> Result<(), Infallible> {
        Ok(())
    }
}

/// What one file takes, again and again: each time the next one.
fn whole(files: &[Vec<u8>]) -> impl FnMut() {
    let mut camera = Camera::new().expect("memory");
    camera.set_input(Input::Jpeg);
    let output = Output { bit_rate_kbps: 3000, rate_mhz: 30_000, ..Output::new(Coding::H264) };
    let Ok(()) = camera.set_output(OutputId(1), output, &mut Nowhere);
    let mut number = 0;
    let mut files = files.to_vec();
    move || {
        let head = FrameHead::new(number, 0, true, [(OutputId(1), false)], 0).expect("short");
        let Ok(Request::Frame { wanted, .. }) = Request::read(&head.as_bytes()[4..]) else { return };
        let moment = Moment { number, time_us: i64::from(number) * 33_333 };
        let index = number as usize % files.len();
        let Ok(done) = camera.frame(&Frame { moment, is_key: true, wanted }, &mut files[index], &mut Nowhere);
        black_box(done);
        number += 1;
    }
}

/// Decodes a file into planes of full range.
fn decode(decompressor: &mut Decompressor, file: &[u8], pixels: &mut [u8]) {
    let (width, height) = (usize::from(SIZE.width), usize::from(SIZE.height));
    let image = YuvImage { pixels, width, align: 1, height, subsamp: Subsamp::Sub2x2 };
    decompressor.decompress_to_yuv(file, image).expect("a whole picture");
}

/// Codes ready planes.
fn encoding(kind: Kind, pictures: &[Vec<u8>]) -> Option<impl FnMut() + '_> {
    let mut encoder = Encoder::new(&[kind], SETTINGS);
    let mut number = 0_u32;
    let (wide, samples) = (usize::from(SIZE.width), usize::from(SIZE.width) * usize::from(SIZE.height));
    let mut step = move || {
        let (luma, colour) = pictures[number as usize % pictures.len()].split_at(samples);
        let (blue, red) = colour.split_at(samples / 4);
        let source = Source {
            planes: [luma, blue, red],
            strides: [wide, wide / 2, wide / 2],
            size: SIZE,
            sampling: (2, 2),
            range: Range::Limited,
            matrix: Matrix::Bt601,
        };
        let stamp = Stamp { number, time_us: i64::from(number) * 33_333 };
        number += 1;
        encoder
            .encode(&source, stamp, false, &mut |made| {
                black_box(made);
            })
            .is_ok()
    };
    step().then_some(move || {
        step();
    })
}

fn benches(criterion: &mut Criterion) {
    let files = files();
    let mut decompressor = Decompressor::new().expect("memory");
    let mut pixels = vec![0; usize::from(SIZE.width) * usize::from(SIZE.height) * 3 / 2];
    let decoded = |file: &Vec<u8>| {
        decode(&mut decompressor, file, &mut pixels);
        pixels.clone()
    };
    let pictures: Vec<_> = files.iter().map(decoded).collect();

    let mut group = criterion.benchmark_group("jpeg 720p to h264");
    if let Some(mut encode) = encoding(Kind::USUAL[0], &pictures) {
        let mut number = 0;
        group.bench_function("decoder and encoder alone", |bencher| {
            bencher.iter(|| {
                decode(&mut decompressor, &files[number % files.len()], &mut pixels);
                number += 1;
                encode();
            });
        });
    }
    group.bench_function("worker", |bencher| bencher.iter(whole(&files)));
    for kind in KINDS {
        if let Some(mut encode) = encoding(kind, &pictures) {
            let id = BenchmarkId::new("encoder alone", kind);
            group.bench_function(id, |bencher| bencher.iter(&mut encode));
        }
    }
    group.finish();

    let mut group = criterion.benchmark_group("720p clockwise");
    let (mut from, mut to) = (Buffer::default(), Buffer::default());
    from.reset(SIZE, Layout::Yuv420);
    group.bench_function("pixels", |bencher| {
        bencher.iter(|| turn(&from.view(), Turn::Clockwise, black_box(&mut to)));
    });
    let mut turner = Turner::default();
    group.bench_function("jpeg without loss", |bencher| {
        bencher.iter(|| black_box(turner.turn(&files[0], Turn::Clockwise).is_some()));
    });
    group.finish();
}

criterion_group!(h264, benches);
criterion_main!(h264);
