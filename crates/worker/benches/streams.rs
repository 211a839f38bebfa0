//! H.264 → JPEG and JPEG → smaller JPEG by a worker's camera, beside what the libraries alone take in the same run: the
//! decoder, and libjpeg-turbo on ready planes. Then through pipes, and the memory that it all takes.

use std::convert::Infallible;
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use ocelli_codec::recode::Wish;
use ocelli_codec::worker::protocol::{
    Coding, FrameHead, Input, NoteKind, Output, OutputId, Piece, Request, Still,
};
use ocelli_media::annexb::{Event, Framer};
use ocelli_media::{Codec, Size, Turn};
use ocelli_worker::camera::{Camera, Frame};
use ocelli_worker::decode::StreamDecoder;
use ocelli_worker::encode::Moment;
use ocelli_worker::outputs::Sink;
use turbojpeg::{Compressor, Decompressor, ScalingFactor, Subsamp, YuvImage, YuvPlanesImage};

/// Access units and whether each is a keyframe.
type Units = Vec<(Vec<u8>, bool)>;

fn clip(options: &[&str]) -> Units {
    let source =
        ["-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=30,noise=alls=6:allf=t", "-frames:v", "120"];
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error"])
        .args(source)
        .args(options)
        .args(["-f", "h264", "-"])
        .output()
        .expect("FFmpeg is installed: scripts/setup.sh test");
    let mut framer = Framer::new(Codec::H264, 8 << 20);
    let mut units = Vec::new();
    let mut left = &output.stdout[..];
    while !left.is_empty() {
        left = framer.feed(left);
        while let Some(event) = framer.next_event() {
            if let Event::Frame(unit) = event {
                units.push((unit.data.to_vec(), unit.key));
            }
        }
    }
    units
}

/// Keeps the last JPEG.
#[derive(Default)]
struct Last(Vec<u8>);

impl Sink for Last {
    type Error = Infallible;

    fn piece(&mut self, _: &Piece, data: &[u8]) -> Result<(), Infallible> {
        self.0.clear();
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn note(&mut self, _: OutputId, _: NoteKind, words: &str) -> Result<(), Infallible> {
        println!("  {words}");
        Ok(())
    }
}

struct Work {
    camera: Camera,
    last: Last,
    number: u32,
    wanted: Vec<(OutputId, bool)>,
}

impl Work {
    fn new(input: Input, widths: &[Option<u16>]) -> Self {
        let (mut camera, mut last) = (Camera::new().expect("memory"), Last::default());
        camera.set_input(input);
        for (id, width) in (0..).zip(widths) {
            let output = Output { width: *width, quality: Some(80), ..Output::new(Coding::Jpeg) };
            let Ok(()) = camera.set_output(OutputId(id), output, &mut last);
        }
        let wanted = (0..widths.len() as u16).map(|id| (OutputId(id), false)).collect();
        Self { camera, last, number: 0, wanted }
    }

    fn frame(&mut self, data: &mut [u8], is_key: bool) {
        self.number += 1;
        let head = FrameHead::new(self.number, 0, is_key, self.wanted.iter().copied(), 0).expect("short");
        let Ok(Request::Frame { wanted, .. }) = Request::read(&head.as_bytes()[4..]) else { return };
        let frame = Frame { moment: Moment { number: self.number, time_us: 0 }, is_key, wanted };
        let Ok(done) = self.camera.frame(&frame, data, &mut self.last);
        black_box(done);
    }
}

/// Both in turns, so that whatever else the machine does hits both; the medians in milliseconds.
fn medians(rounds: usize, mut floor: impl FnMut(usize), mut work: impl FnMut(usize)) -> [f64; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        let start = Instant::now();
        floor(round);
        let between = Instant::now();
        work(round);
        times[0].push(between - start);
        times[1].push(between.elapsed());
    }
    times.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e3
    })
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Decodes, and encodes the decoder's planes as they are.
struct Floor {
    decoder: StreamDecoder,
    compressor: Compressor,
    out: Vec<u8>,
}

impl Floor {
    fn new() -> Self {
        let mut compressor = Compressor::new().expect("memory");
        compressor.set_quality(80).expect("in range");
        let decoder = StreamDecoder::new(Input::H264, &[]).expect("libavcodec");
        Self { decoder, compressor, out: vec![0; 8 << 20] }
    }

    fn run(&mut self, unit: &mut [u8], is_key: bool) {
        let _ = self.decoder.push(unit, 0, 0, is_key);
        while let Ok(Some(shown)) = self.decoder.pull() {
            let [y, u, v] = shown.view.planes;
            let image = YuvPlanesImage {
                y_plane: y.samples,
                u_plane: u.samples,
                v_plane: v.samples,
                width: 1920,
                height: 1080,
                y_stride: y.stride,
                u_stride: u.stride,
                v_stride: v.stride,
                subsamp: Subsamp::Sub2x2,
            };
            let length = self.compressor.compress_yuv_planes_to_slice(&image, &mut self.out);
            black_box(length.expect("planes"));
        }
    }
}

fn streams(_: &mut Criterion) {
    for (name, options) in [
        ("baseline, limited range", &["-c:v", "libx264", "-profile:v", "baseline", "-b:v", "4M"][..]),
        ("high, limited range", &["-c:v", "libx264", "-profile:v", "high", "-bf", "0", "-b:v", "4M"]),
        ("high, full range", &["-c:v", "libx264", "-pix_fmt", "yuvj420p", "-bf", "0", "-b:v", "4M"]),
    ] {
        let units = clip(options);
        let (mut one, mut other) = (units.clone(), units.clone());
        let mut floor = Floor::new();
        let mut work = Work::new(Input::H264, &[None]);
        let [floor, work] = medians(
            units.len(),
            |round| floor.run(&mut one[round].0, units[round].1),
            |round| work.frame(&mut other[round].0, units[round].1),
        );
        println!(
            "streams: 1080p H.264 {name} to JPEG {work:.2} ms, libraries alone {floor:.2} ms, {:.3} times",
            work / floor
        );
    }
    let units = clip(&["-c:v", "libx264", "-profile:v", "high", "-bf", "0", "-b:v", "4M"]);
    let widths = [None, Some(1280), Some(960), Some(640), Some(320)];
    let (mut one, mut other) = (units.clone(), units.clone());
    let mut single = Work::new(Input::H264, &[None]);
    let before = resident_kb();
    let mut five = Work::new(Input::H264, &widths);
    let [alone, five_ms] = medians(
        units.len(),
        |round| single.frame(&mut one[round].0, units[round].1),
        |round| five.frame(&mut other[round].0, units[round].1),
    );
    println!(
        "streams: five sizes {five_ms:.2} ms, the largest alone {alone:.2} ms, {} KB more",
        resident_kb() - before
    );

    let jpeg = single.last.0.clone();
    stills(&units[0].0);
    let mut work = Work::new(Input::Jpeg, &[Some(640)]);
    let mut small = SmallFloor::new(&jpeg);
    let mut data = jpeg.clone();
    let [floor, work] = medians(100, |_| small.run(&jpeg), |_| work.frame(&mut data, true));
    println!(
        "streams: JPEG 1080p of {} KB to 640 {work:.2} ms, libjpeg-turbo alone {floor:.2} ms, {:.3} times",
        jpeg.len() >> 10,
        work / floor
    );
}

fn stills(keyframe: &[u8]) {
    let mut camera = Camera::new().expect("memory");
    let most = Size { width: 1920, height: 1080 };
    let wish = Wish { quality: Some(80), sampling: None, most };
    let still = Still { input: Input::H264, wish, turn: Turn::None };
    let (mut one, mut other) = (keyframe.to_vec(), keyframe.to_vec());
    let mut decoder = StreamDecoder::new(Input::H264, &[]).expect("libavcodec");
    let [decode, still] = medians(
        50,
        |_| {
            one.copy_from_slice(keyframe);
            black_box(decoder.still(&mut one).expect("a keyframe"));
        },
        |_| {
            other.copy_from_slice(keyframe);
            black_box(camera.still(&still, &mut other, |size, _| size).expect("a keyframe"));
        },
    );
    let keyframe_kb = keyframe.len() >> 10;
    println!(
        "streams: a still of 1080p from a keyframe of {keyframe_kb} KB {still:.2} ms, decoding alone {decode:.2} ms"
    );
}

/// libjpeg-turbo's decode at 3/8, and its encode of ready planes of 640x360.
struct SmallFloor {
    decompressor: Decompressor,
    compressor: Compressor,
    pixels: Vec<u8>,
    out: Vec<u8>,
}

impl SmallFloor {
    fn new(jpeg: &[u8]) -> Self {
        let mut decompressor = Decompressor::new().expect("memory");
        decompressor.set_scaling_factor(ScalingFactor::new(3, 8)).expect("a factor");
        let mut compressor = Compressor::new().expect("memory");
        compressor.set_quality(80).expect("in range");
        let mut floor =
            Self { decompressor, compressor, pixels: vec![0; 720 * 406 * 2], out: vec![0; 4 << 20] };
        floor.run(jpeg);
        floor
    }

    fn run(&mut self, jpeg: &[u8]) {
        let image =
            |pixels, width, height| YuvImage { pixels, width, align: 1, height, subsamp: Subsamp::Sub2x2 };
        self.decompressor
            .decompress_to_yuv(jpeg, image(&mut self.pixels[..], 720, 405))
            .expect("a good picture");
        let small = YuvImage {
            pixels: &self.pixels[..640 * 360 * 3 / 2],
            width: 640,
            align: 1,
            height: 360,
            subsamp: Subsamp::Sub2x2,
        };
        black_box(self.compressor.compress_yuv_to_slice(small, &mut self.out).expect("planes"));
    }
}

criterion_group!(benches, streams);
criterion_main!(benches);
