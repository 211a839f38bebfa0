//! JPEG → JPEG beside libjpeg-turbo alone, in one run: decode to planes and encode of planes, the colours' thinning and
//! all checks left out. Then the same through the worker's pipes.

use std::hint::black_box;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
#[cfg(target_os = "linux")]
use std::os::fd::AsFd;
use std::thread;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use ocelli_codec::recode::{Recoder, Wish};
use ocelli_codec::worker::protocol::{Answer, Request, message_bytes};
use ocelli_media::Size;
use ocelli_worker::camera::Camera;
use ocelli_worker::serve;
use turbojpeg::{Compressor, Decompressor, Image, PixelFormat, Subsamp, YuvImage};

const WIDTH: usize = 1920;
const HEIGHT: usize = 1080;
const WISH: Wish = Wish { quality: Some(85), sampling: None, most: Size { width: 2040, height: 2040 } };

fn picture(subsamp: Subsamp) -> Vec<u8> {
    let mut seed = 1_u32;
    let mut pixels = Vec::with_capacity(WIDTH * HEIGHT * 3);
    for row in 0..HEIGHT {
        for column in 0..WIDTH {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (seed >> 29) as u8;
            let checks = if (row / 40 + column / 40).is_multiple_of(2) { 60 } else { 0 };
            pixels.extend([
                (column / 16) as u8 + checks + noise,
                (row / 8) as u8 / 2 + checks,
                120 + noise - checks / 2,
            ]);
        }
    }
    let mut compressor = Compressor::new().expect("memory");
    compressor.set_quality(85).expect("in range");
    compressor.set_subsamp(subsamp).expect("in range");
    let image = Image {
        pixels: &pixels[..],
        width: WIDTH,
        pitch: WIDTH * 3,
        height: HEIGHT,
        format: PixelFormat::RGB,
    };
    compressor.compress_to_vec(image).expect("a good picture")
}

/// libjpeg-turbo alone: the picture's planes decoded, and ready planes of 4:2:0 encoded.
struct Floor {
    decompressor: Decompressor,
    compressor: Compressor,
    planes: YuvImage<Vec<u8>>,
    ready: YuvImage<Vec<u8>>,
    out: Vec<u8>,
}

impl Floor {
    fn new(jpeg: &[u8]) -> Self {
        let planes = turbojpeg::decompress_to_yuv(jpeg).expect("a good picture");
        let mut compressor = Compressor::new().expect("memory");
        compressor.set_quality(85).expect("in range");
        let mut recoder = Recoder::new().expect("memory");
        let (_, small) = recoder.recode(jpeg, &WISH).expect("a good picture");
        let ready = turbojpeg::decompress_to_yuv(small).expect("a good picture");
        let out = vec![0; turbojpeg::compressed_buf_len(WIDTH, HEIGHT, Subsamp::None).expect("in range")];
        Self { decompressor: Decompressor::new().expect("memory"), compressor, planes, ready, out }
    }

    fn run(&mut self, jpeg: &[u8]) {
        self.decompressor.decompress_to_yuv(jpeg, self.planes.as_deref_mut()).expect("a good picture");
        let length = self.compressor.compress_yuv_to_slice(self.ready.as_deref(), &mut self.out);
        black_box(length.expect("a good picture"));
    }
}

/// The two in turns, so that whatever else the machine does hits both; the medians.
fn medians(mut floor: impl FnMut(), mut work: impl FnMut()) -> [f64; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..100 {
        let start = Instant::now();
        floor();
        let between = Instant::now();
        work();
        times[0].push(between - start);
        times[1].push(between.elapsed());
    }
    times.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e3
    })
}

/// The worker's loop in a thread, asked through pipes as wide as the server makes them.
struct Piped {
    input: PipeWriter,
    output: PipeReader,
    message: Vec<u8>,
}

impl Piped {
    fn new() -> Self {
        let (requests, input) = pipe().expect("a pipe");
        let (mut output, answers) = pipe().expect("a pipe");
        #[cfg(target_os = "linux")]
        for pipe in [input.as_fd(), output.as_fd()] {
            rustix::pipe::fcntl_setpipe_size(pipe, 1 << 20).expect("room in a pipe");
        }
        thread::spawn(move || serve(&mut Camera::new().expect("memory"), "", requests, answers));
        let mut message = Vec::new();
        read_message(&mut output, &mut message);
        Self { input, output, message }
    }

    fn recode(&mut self, jpeg: &[u8]) {
        let head = Request::recode_head(1, &WISH, jpeg.len()).expect("short enough");
        self.input.write_all(&head).and_then(|()| self.input.write_all(jpeg)).expect("the worker lives");
        read_message(&mut self.output, &mut self.message);
        assert!(matches!(Answer::read(&self.message), Ok(Answer::Picture { .. })));
    }
}

fn read_message(from: &mut PipeReader, message: &mut Vec<u8>) {
    let mut head = [0; 4];
    from.read_exact(&mut head).expect("the worker lives");
    message.resize(message_bytes(head).expect("a length"), 0);
    from.read_exact(message).expect("the worker lives");
}

fn recode(_: &mut Criterion) {
    for (name, subsamp) in [("4:4:4", Subsamp::None), ("4:2:0", Subsamp::Sub2x2), ("4:2:2", Subsamp::Sub2x1)]
    {
        let jpeg = picture(subsamp);
        let mut floor_of = Floor::new(&jpeg);
        let mut recoder = Recoder::new().expect("memory");
        let [floor, work] = medians(
            || floor_of.run(&jpeg),
            || drop(black_box(recoder.recode(&jpeg, &WISH).map(|(size, _)| size))),
        );
        println!(
            "recode: 1080p {name} of {} KB: {work:.2} ms, libjpeg-turbo alone {floor:.2} ms, {:.3} times",
            jpeg.len() >> 10,
            work / floor
        );
        let mut piped = Piped::new();
        let [floor, work] = medians(|| floor_of.run(&jpeg), || piped.recode(&jpeg));
        println!("recode: through pipes {work:.2} ms beside {floor:.2} ms, {:.3} times", work / floor);
    }
}

criterion_group!(benches, recode);
criterion_main!(benches);
