//! What comes out is decoded by the `ffmpeg` program and compared with what went in; what fails, fails on purpose.

use std::cell::RefCell;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::rc::Rc;

use ocelli_codec::Range;

use super::*;
use crate::picture::Matrix;

const SETTINGS: Settings = Settings { bit_rate_kbps: 1000, quality: 0, rate: 25_000, key_every_ms: 2000 };

/// Planes of a pattern that moves: slanting waves, and a patch of noise.
struct Pattern {
    size: Size,
    planes: [Vec<u8>; 3],
    range: Range,
}

impl Pattern {
    fn new(width: u16, height: u16, picture: u32) -> Self {
        let noise = |x: u32, y: u32| {
            let mut word = x.wrapping_mul(374_761_393) ^ y.wrapping_mul(668_265_263);
            word ^= picture.wrapping_mul(2_246_822_519);
            word = (word ^ (word >> 13)).wrapping_mul(1_274_126_177);
            (word >> 24) as u8 / 8
        };
        let wave = |x: u32, y: u32, step: u32| {
            let phase = (x * step + y * 2 + picture * 6) % 256;
            (if phase < 128 { phase } else { 255 - phase }) as u8
        };
        let (wide, high) = (u32::from(width), u32::from(height));
        let luma = (0..high).flat_map(|y| (0..wide).map(move |x| 60 + wave(x, y, 3) / 2 + noise(x, y)));
        let colour = |step| {
            let (wide, high) = (wide.div_ceil(2), high.div_ceil(2));
            (0..high).flat_map(move |y| (0..wide).map(move |x| 64 + wave(x, y, step))).collect()
        };
        let planes = [luma.collect(), colour(1), colour(5)];
        Self { size: Size { width, height }, planes, range: Range::Limited }
    }

    fn source(&self) -> Source<'_> {
        let wide = usize::from(self.size.width.div_ceil(2));
        Source {
            planes: self.planes.each_ref().map(|plane| &plane[..]),
            strides: [self.size.width.into(), wide, wide],
            size: self.size,
            sampling: (2, 2),
            range: self.range,
            matrix: Matrix::Bt601,
        }
    }
}

/// A coded picture, kept.
struct Kept {
    stamp: Stamp,
    key: bool,
    size: Size,
    data: Vec<u8>,
}

impl Kept {
    fn units(&self) -> Vec<&[u8]> {
        ocelli_media::nal_units(&self.data).collect()
    }
}

/// Codes, and keeps what comes of it.
struct Bench {
    encoder: Encoder,
    pictures: Vec<Kept>,
    encoders: Vec<String>,
}

impl Bench {
    fn new(encoder: Encoder) -> Self {
        Self { encoder, pictures: Vec::new(), encoders: Vec::new() }
    }

    fn usual(settings: Settings) -> Self {
        Self::new(Encoder::new(Kind::USUAL, settings))
    }

    fn code(&mut self, pattern: &Pattern, stamp: Stamp, key: bool) -> Result<(), EncodeError> {
        self.encoder.encode(&pattern.source(), stamp, key, &mut |made| match made {
            Made::Encoder(words) => self.encoders.push(words.to_owned()),
            Made::Picture(Coded { stamp, key, size, data }) => {
                self.pictures.push(Kept { stamp, key, size, data: data.to_vec() });
            }
        })
    }
}

/// The picture of this number at 25 pictures a second.
fn stamp(number: u32) -> Stamp {
    Stamp { number, time_us: 5_000_000 + i64::from(number) * 40_000 }
}

fn byte_stream(pictures: &[Kept]) -> Vec<u8> {
    let units = pictures.iter().flat_map(Kept::units);
    units.flat_map(|unit| [&[0, 0, 0, 1], unit].concat()).collect()
}

/// What the `ffmpeg` program decodes: all planes of all pictures, one behind the other.
fn decoded(pictures: &[Kept]) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&byte_stream(pictures)).unwrap();
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "h264", "-i"])
        .arg(file.path())
        .args(["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    output.stdout
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares).log10()
}

#[test]
fn what_ffmpeg_decodes_is_what_went_in() {
    let mut bench = Bench::usual(Settings { bit_rate_kbps: 4000, ..SETTINGS });
    let patterns: Vec<_> = (0..30).map(|number| Pattern::new(320, 240, number)).collect();
    for (number, pattern) in (0..).zip(&patterns) {
        bench.code(pattern, stamp(number), false).unwrap();
        assert_eq!(bench.pictures.len(), number as usize + 1, "each picture comes out at once");
    }
    assert_eq!(bench.encoders, [Kind::USUAL[0].name()]);
    let pixels = decoded(&bench.pictures);
    let sent: Vec<u8> = patterns.iter().flat_map(|pattern| pattern.planes.concat()).collect();
    let psnr = psnr(&sent, &pixels);
    assert!(psnr > 36.0, "{psnr}");
    for (number, picture) in (0..).zip(&bench.pictures) {
        assert_eq!((picture.stamp, picture.key), (stamp(number), number == 0));
    }
}

#[test]
fn the_full_range_is_narrowed_and_named() {
    let mut pattern = Pattern::new(64, 64, 0);
    pattern.range = Range::Full;
    pattern.planes = [vec![255; 64 * 64], vec![255; 32 * 32], vec![0; 32 * 32]];
    let mut bench = Bench::usual(SETTINGS);
    bench.code(&pattern, stamp(0), false).unwrap();
    let pixels = decoded(&bench.pictures);
    assert!(pixels[..4096].iter().all(|luma| luma.abs_diff(235) <= 1));
    assert!(pixels[4096..5120].iter().all(|blue| blue.abs_diff(240) <= 1));
    assert!(pixels[5120..].iter().all(|red| red.abs_diff(16) <= 1));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&byte_stream(&bench.pictures)).unwrap();
    let fields = "stream=profile,color_range,color_space,color_primaries,color_transfer,r_frame_rate";
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-f", "h264", "-of", "default=nw=1:nk=1", "-show_entries", fields])
        .arg(file.path())
        .output()
        .unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    let mut expected = "Constrained Baseline\ntv\nsmpte170m\niec61966-2-1\nbt709\n".to_owned();
    if cfg!(feature = "libav") {
        expected += "25/1\n";
    }
    assert!(found.starts_with(&expected), "{found}");
}

#[test]
fn keyframes_come_when_they_are_asked_for_and_when_they_are_due() {
    let mut bench = Bench::usual(SETTINGS);
    let asked = [7, 8, 60];
    for number in 0..120 {
        bench.code(&Pattern::new(160, 128, number), stamp(number), asked.contains(&number)).unwrap();
    }
    let keys: Vec<_> =
        bench.pictures.iter().filter(|picture| picture.key).map(|key| key.stamp.number).collect();
    assert_eq!(keys, [0, 7, 8, 58, 60, 110]);
    for picture in &bench.pictures {
        let kinds: Vec<_> = picture.units().iter().map(|unit| unit[0] & 0x1f).collect();
        let expected: &[u8] = if picture.key { &[7, 8, 5] } else { &[1] };
        assert_eq!(kinds, expected, "picture {}", picture.stamp.number);
    }
}

#[test]
fn the_bit_rate_is_held() {
    for kbps in [300, 1000] {
        let mut bench = Bench::usual(Settings { bit_rate_kbps: kbps, ..SETTINGS });
        for number in 0..250 {
            bench.code(&Pattern::new(320, 240, number), stamp(number), false).unwrap();
        }
        let bytes: usize = bench.pictures.iter().map(|picture| picture.data.len()).sum();
        let found = bytes as f64 * 8.0 / 10_000.0 / f64::from(kbps);
        assert!((0.9..=1.1).contains(&found), "{found} of {kbps} kbit/s");
    }
}

#[test]
fn another_bit_rate_is_held_too() {
    let mut bench = Bench::usual(SETTINGS);
    for number in 0..400 {
        if number == 100 {
            bench.encoder.change(Settings { bit_rate_kbps: 300, ..SETTINGS });
        }
        bench.code(&Pattern::new(320, 240, number), stamp(number), false).unwrap();
    }
    let later = bench.pictures.iter().filter(|picture| picture.stamp.number >= 150);
    let bytes: usize = later.map(|picture| picture.data.len()).sum();
    let found = bytes as f64 * 8.0 / 10_000.0 / 300.0;
    assert!((0.9..=1.1).contains(&found), "{found} of 300 kbit/s");
}

#[test]
fn the_bit_rate_is_held_whatever_rate_was_expected() {
    // Pictures come at 10 and at 50 a second where 25 are expected.
    for interval_us in [100_000, 20_000] {
        let mut bench = Bench::usual(Settings { bit_rate_kbps: 600, ..SETTINGS });
        let count = 15_000_000 / interval_us;
        for number in 0..count {
            let stamp = Stamp { number, time_us: i64::from(number * interval_us) };
            bench.code(&Pattern::new(320, 240, number), stamp, false).unwrap();
        }
        let last_ten_seconds = bench.pictures.iter().filter(|picture| picture.stamp.time_us >= 5_000_000);
        let bytes: usize = last_ten_seconds.map(|picture| picture.data.len()).sum();
        let found = bytes as f64 * 8.0 / 10_000.0 / 600.0;
        assert!((0.85..=1.15).contains(&found), "{found} of 600 kbit/s, one picture in {interval_us} µs");
    }
}

#[test]
fn a_change_loses_no_picture() {
    let mut bench = Bench::usual(SETTINGS);
    for number in 0..30 {
        match number {
            10 => bench.encoder.change(Settings { bit_rate_kbps: 200, ..SETTINGS }),
            20 => bench.encoder.change(Settings { bit_rate_kbps: 200, key_every_ms: 5000, ..SETTINGS }),
            _ => (),
        }
        let width = if number < 25 { 320 } else { 160 };
        bench.code(&Pattern::new(width, 240, number), stamp(number), false).unwrap();
    }
    let numbers: Vec<_> = bench.pictures.iter().map(|picture| picture.stamp.number).collect();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());
    let keys: Vec<_> =
        bench.pictures.iter().filter(|picture| picture.key).map(|key| key.stamp.number).collect();
    // x264 spends less while it runs.
    assert_eq!(keys, if cfg!(feature = "libav") { vec![0, 25] } else { vec![0, 10, 25] });
    assert_eq!(bench.pictures[29].size, Size { width: 160, height: 240 });
}

#[test]
fn odd_sizes_lose_their_last_column_and_row() {
    let mut bench = Bench::usual(Settings { bit_rate_kbps: 8000, ..SETTINGS });
    let pattern = Pattern::new(641, 481, 0);
    bench.code(&pattern, stamp(0), false).unwrap();
    assert_eq!(bench.pictures[0].size, Size { width: 640, height: 480 });
    let pixels = decoded(&bench.pictures);
    assert_eq!(pixels.len(), 640 * 480 * 3 / 2);
    let rows = pattern.planes[0].chunks(641).take(480).flat_map(|row| &row[..640]);
    let luma: Vec<u8> = rows.copied().collect();
    let psnr = psnr(&luma, &pixels[..luma.len()]);
    assert!(psnr > 35.0, "{psnr}");
}

#[test]
fn a_quality_makes_better_pictures_of_more_bits() {
    let sizes = [20, 50, 90].map(|quality| {
        let mut bench = Bench::usual(Settings { bit_rate_kbps: 0, quality, ..SETTINGS });
        for number in 0..10 {
            bench.code(&Pattern::new(320, 240, number), stamp(number), false).unwrap();
        }
        bench.pictures.iter().map(|picture| picture.data.len()).sum::<usize>()
    });
    assert!(sizes[0] * 2 < sizes[1] && sizes[1] * 2 < sizes[2], "{sizes:?}");
}

#[test]
fn what_is_no_picture_is_refused_and_the_next_one_is_coded() {
    let mut bench = Bench::usual(SETTINGS);
    let mut pattern = Pattern::new(64, 64, 0);
    pattern.planes[2].truncate(100);
    let size = pattern.size;
    assert_eq!(bench.code(&pattern, stamp(0), false), Err(EncodeError::Planes(size)));
    bench.code(&Pattern::new(64, 64, 1), stamp(1), false).unwrap();
    assert_eq!(bench.pictures.len(), 1);
}

/// Devices are listed by FFmpeg whether they are there or not.
#[cfg(feature = "libav")]
#[test]
fn devices_that_are_not_there_leave_the_work_to_the_next() {
    let kinds = [Kind::Nvenc, Kind::V4l2m2m, Kind::X264];
    let mut bench = Bench::new(Encoder::new(&kinds, SETTINGS));
    bench.code(&Pattern::new(320, 240, 0), stamp(0), false).unwrap();
    assert_eq!(bench.pictures.len(), 1);
    let [words] = &bench.encoders[..] else { panic!("{:?}", bench.encoders) };
    assert!(words.starts_with("x264 (nvenc: ") && words.contains("; v4l2m2m: "), "{words}");
    let mut none = Bench::new(Encoder::new(&kinds[..2], SETTINGS));
    for number in 0..2 {
        let error = none.code(&Pattern::new(320, 240, number), stamp(number), false).unwrap_err();
        assert!(error.to_string().starts_with("no encoder for H.264: nvenc: "), "{error}");
    }
}

/// What a [`Failing`] does with its fourth picture.
#[derive(Clone, Copy)]
enum Failure {
    Dies,
    FallsSilent,
}

/// A device that holds back one picture, and fails.
struct Failing {
    pictures: u32,
    held: Rc<RefCell<Option<i64>>>,
    failure: Failure,
}

const KEYFRAME: [u8; 12] = [0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 1, 0, 0];

impl Backend for Failing {
    fn encode(&mut self, _: &Source<'_>, tick: i64, key: bool, take: Take<'_>) -> Result<(), String> {
        self.pictures += 1;
        match self.failure {
            Failure::Dies if self.pictures == 4 => return Err("unplugged".to_owned()),
            Failure::FallsSilent if self.pictures >= 4 => return Ok(()),
            _ => (),
        }
        if let Some(held) = self.held.replace(Some(tick)) {
            take(held, &[0, 0, 1, 0x41, 1]);
        }
        if key {
            self.held.take();
            take(tick, &[&KEYFRAME[..], &[1, 0x65, 1]].concat());
        }
        Ok(())
    }

    fn spend(&mut self, _: Spending) -> bool {
        false
    }

    fn finish(&mut self, take: Take<'_>) -> Result<(), String> {
        self.held.take().into_iter().for_each(|tick| take(tick, &[0, 0, 1, 0x41, 1]));
        Ok(())
    }
}

fn failing(kind: Kind, plan: &Plan, failure: Failure) -> Result<Box<dyn Backend>, String> {
    match kind {
        Kind::V4l2m2m => Ok(Box::new(Failing { pictures: 0, held: Rc::default(), failure })),
        kind => open(kind, plan),
    }
}

#[test]
fn another_encoder_goes_on_with_the_picture_at_which_one_died() {
    let opener: Opener = |kind, plan| failing(kind, plan, Failure::Dies);
    let kinds = [Kind::V4l2m2m, Kind::USUAL[0]];
    let mut bench = Bench::new(Encoder::with_opener(opener, &kinds, SETTINGS));
    for number in 0..6 {
        bench.code(&Pattern::new(320, 240, number), stamp(number), false).unwrap();
    }
    let software = format!("{} (v4l2m2m: unplugged)", Kind::USUAL[0]);
    assert_eq!(bench.encoders, ["v4l2m2m".to_owned(), software]);
    let found: Vec<_> = bench.pictures.iter().map(|picture| (picture.stamp.number, picture.key)).collect();
    // The one that the device held back is gone with it.
    assert_eq!(found, [(0, true), (1, false), (3, true), (4, false), (5, false)]);
}

#[test]
fn an_encoder_that_only_swallows_is_given_up() {
    let opener: Opener = |kind, plan| failing(kind, plan, Failure::FallsSilent);
    let kinds = [Kind::V4l2m2m, Kind::USUAL[0]];
    let mut bench = Bench::new(Encoder::with_opener(opener, &kinds, SETTINGS));
    for number in 0..24 {
        bench.code(&Pattern::new(320, 240, number), stamp(number), false).unwrap();
    }
    assert_eq!(bench.encoders.len(), 2, "{:?}", bench.encoders);
    assert_eq!(bench.pictures.last().unwrap().stamp, stamp(23));
}
