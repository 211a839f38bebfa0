//! Clips made by FFmpeg, and what FFmpeg itself sees in them.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use ocelli_media::Codec;
use ocelli_media::annexb::{Event, Framer};

/// An access unit, NAL units behind their lengths, with the time at which its picture is shown: its place in the order of
/// showing, 40 ms each.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) data: Vec<u8>,
    pub(crate) is_key: bool,
    pub(crate) time_us: i64,
}

/// A coded clip.
#[derive(Clone, Debug)]
pub(crate) struct Clip {
    pub(crate) bytes: Vec<u8>,
    pub(crate) units: Vec<Unit>,
}

pub(crate) fn ffmpeg(arguments: &[&str], input: Vec<u8>) -> Vec<u8> {
    let mut child = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-threads", "1"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("FFmpeg is installed: scripts/setup.sh test");
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "ffmpeg {arguments:?}");
    output.stdout
}

/// `frames` pictures of `size`, coded by `options`.
pub(crate) fn clip(codec: Codec, size: &str, frames: u32, options: &[&str]) -> Clip {
    let source = format!("testsrc2=size={size}:rate=25");
    let frames = frames.to_string();
    let mut arguments = vec!["-f", "lavfi", "-i", &source, "-frames:v", &frames];
    arguments.extend_from_slice(options);
    arguments.extend_from_slice(&["-f", if codec == Codec::H264 { "h264" } else { "hevc" }, "-"]);
    of_bytes(codec, ffmpeg(&arguments, Vec::new()))
}

/// The access units of a byte stream. Their times are those of their own order: right where there are no B-frames.
pub(crate) fn of_bytes(codec: Codec, bytes: Vec<u8>) -> Clip {
    let mut framer = Framer::new(codec, 8 << 20);
    let mut units = Vec::new();
    let mut left = &bytes[..];
    let mut take = |event| {
        if let Event::Frame(unit) = event {
            let time_us = units.len() as i64 * 40_000;
            units.push(Unit { data: unit.data.to_vec(), is_key: unit.key, time_us });
        }
    };
    while !left.is_empty() {
        left = framer.feed(left);
        while let Some(event) = framer.next_event() {
            take(event);
        }
    }
    while let Some(event) = framer.finish() {
        take(event);
    }
    Clip { bytes, units }
}

/// What FFmpeg shows of a clip, scaled by the mean of what a pixel covers: planes of 4:2:0 in full range, one picture
/// behind the other.
pub(crate) fn shown_by_ffmpeg(codec: Codec, clip: &Clip, (width, height): (usize, usize)) -> Vec<Vec<u8>> {
    let format = if codec == Codec::H264 { "h264" } else { "hevc" };
    let filter = format!("scale={width}:{height}:flags=area:out_range=full,format=yuvj420p");
    let arguments =
        ["-f", format, "-i", "-", "-vf", &filter, "-f", "rawvideo", "-fps_mode", "passthrough", "-"];
    let bytes = ffmpeg(&arguments, clip.bytes.clone());
    let picture = width * height + 2 * width.div_ceil(2) * height.div_ceil(2);
    bytes.chunks_exact(picture).map(<[u8]>::to_vec).collect()
}

/// Luma's peak signal to noise ratio between a JPEG and planes, in dB.
pub(crate) fn psnr(jpeg: &[u8], planes: &[u8]) -> f64 {
    let image = turbojpeg::decompress_to_yuv(jpeg).expect("a good JPEG");
    let row_bytes =
        image.width.next_multiple_of(if image.subsamp == turbojpeg::Subsamp::None { 1 } else { 2 });
    let row_bytes = row_bytes.next_multiple_of(image.align);
    let mut sum = 0.0;
    for (row, right) in image.pixels.chunks(row_bytes).zip(planes.chunks(image.width)).take(image.height) {
        for (found, right) in row.iter().zip(right) {
            sum += (f64::from(*found) - f64::from(*right)).powi(2);
        }
    }
    let mean = sum / (image.width * image.height) as f64;
    10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10()
}
