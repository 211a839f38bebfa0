//! Real clips through a worker's camera, in this process: every profile that cameras and films have, beside what FFmpeg
//! shows of the same bytes; outputs of several sizes; stills.
#![cfg(feature = "libav")]
#![allow(clippy::unwrap_used)]

mod clips;
mod damage;

use std::convert::Infallible;

use ocelli_codec::recode::Wish;
use ocelli_codec::worker::protocol::{
    Coding, FrameHead, Input, NoteKind, Outcome, Output, OutputId, Piece, Request, Still,
};
use ocelli_media::jpeg::rewrite::Sampling;
use ocelli_media::{Codec, Size, Turn};
use ocelli_worker::camera::{Camera, Done, Frame};
use ocelli_worker::encode::Moment;
use ocelli_worker::outputs::Sink;

use clips::{Clip, Unit, clip, psnr, shown_by_ffmpeg};

const SMALL: &str = "320x180";
const ONE: OutputId = OutputId(1);

/// What a camera's outputs have given.
#[derive(Default)]
struct Given {
    pieces: Vec<(Piece, Vec<u8>)>,
    notes: Vec<(OutputId, NoteKind, String)>,
    done: Vec<Done>,
}

impl Sink for Given {
    type Error = Infallible;

    fn piece(&mut self, piece: &Piece, data: &[u8]) -> Result<(), Infallible> {
        self.pieces.push((*piece, data.to_vec()));
        Ok(())
    }

    fn note(&mut self, id: OutputId, kind: NoteKind, words: &str) -> Result<(), Infallible> {
        self.notes.push((id, kind, words.to_owned()));
        Ok(())
    }
}

impl Given {
    fn of(&self, id: OutputId) -> Vec<&(Piece, Vec<u8>)> {
        self.pieces.iter().filter(|(piece, _)| piece.id == id).collect()
    }

    fn give(&mut self, camera: &mut Camera, number: u32, unit: &Unit, wanted: &[(OutputId, bool)]) {
        let mut data = unit.data.clone();
        let head = FrameHead::new(number, unit.time_us, unit.is_key, wanted.iter().copied(), 0).unwrap();
        let Ok(Request::Frame { wanted, .. }) = Request::read(&head.as_bytes()[4..]) else { panic!() };
        let moment = Moment { number, time_us: unit.time_us };
        let frame = Frame { moment, is_key: unit.is_key, wanted };
        let Ok(done) = camera.frame(&frame, &mut data, self);
        self.done.push(done);
    }
}

fn input(codec: Codec) -> Input {
    Input::of_codec(codec).unwrap()
}

fn output(coding: Coding, width: Option<u16>) -> Output {
    Output { width, quality: Some(95), ..Output::new(coding) }
}

/// A whole clip through one JPEG output of a width.
fn run(codec: Codec, clip: &Clip, width: Option<u16>) -> Given {
    let (mut camera, mut given) = (Camera::new().unwrap(), Given::default());
    camera.set_input(input(codec));
    let Ok(()) = camera.set_output(ONE, output(Coding::Jpeg, width), &mut given);
    for (number, unit) in (0..).zip(&clip.units) {
        given.give(&mut camera, number, unit, &[(ONE, false)]);
    }
    given
}

/// Each picture that came is the one that FFmpeg shows at its place.
fn assert_faithful(codec: Codec, name: &str, options: &[&str]) {
    let clip = clip(codec, SMALL, 20, options);
    let right = shown_by_ffmpeg(codec, &clip, (320, 180));
    let given = run(codec, &clip, None);
    // What a decoder holds back for its order comes with the frames that follow.
    assert!(given.pieces.len() + 4 >= right.len(), "{name}: {} of {}", given.pieces.len(), right.len());
    for (place, (piece, jpeg)) in given.pieces.iter().enumerate() {
        let found = psnr(jpeg, &right[place]);
        assert!(found > 35.0, "{name}: picture {place} of frame {} has {found:.1} dB", piece.number);
        assert_eq!(piece.size, Size { width: 320, height: 180 });
    }
    let mut numbers: Vec<_> = given.pieces.iter().map(|(piece, _)| piece.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), given.pieces.len(), "{name}");
}

#[test]
fn pictures_of_every_profile_are_those_that_ffmpeg_shows() {
    let h264 = ["-c:v", "libx264", "-crf", "18"];
    let h265 = ["-c:v", "libx265", "-crf", "18", "-x265-params", "log-level=none:keyint=10"];
    let cases: [(&str, Codec, &[&str], &[&str]); 10] = [
        ("baseline", Codec::H264, &h264, &["-profile:v", "baseline", "-g", "10"]),
        ("main", Codec::H264, &h264, &["-profile:v", "main", "-bf", "0"]),
        ("high with B-frames", Codec::H264, &h264, &["-profile:v", "high", "-bf", "2", "-g", "10"]),
        ("interlaced", Codec::H264, &h264, &["-flags", "+ildct+ilme", "-x264-params", "tff=1", "-bf", "0"]),
        ("4:2:2", Codec::H264, &h264, &["-pix_fmt", "yuv422p", "-bf", "0"]),
        ("10 bits", Codec::H264, &h264, &["-pix_fmt", "yuv420p10le", "-bf", "0"]),
        ("full range", Codec::H264, &h264, &["-pix_fmt", "yuvj420p", "-bf", "0"]),
        ("slices", Codec::H264, &h264, &["-x264-params", "slices=4:bframes=0"]),
        ("H.265 main", Codec::H265, &h265, &["-pix_fmt", "yuv420p"]),
        ("H.265 main 10", Codec::H265, &h265, &["-pix_fmt", "yuv420p10le"]),
    ];
    for (name, codec, common, options) in cases {
        assert_faithful(codec, name, &[common, options].concat());
    }
}

#[test]
fn colours_of_high_definition_are_seen_as_they_are() {
    let said = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"];
    let options =
        [&["-vf", "scale=out_color_matrix=bt709", "-c:v", "libx264", "-bf", "0", "-crf", "10"], &said[..]];
    let clip = clip(Codec::H264, SMALL, 2, &options.concat());
    let rgb = |coding| {
        let (mut camera, mut given) = (Camera::new().unwrap(), Given::default());
        camera.set_input(Input::H264);
        let Ok(()) = camera.set_output(ONE, output(coding, None), &mut given);
        given.give(&mut camera, 0, &clip.units[0], &[(ONE, false)]);
        given.pieces.remove(0).1
    };
    let right = rgb(Coding::Rgb24);
    let image = turbojpeg::decompress(&rgb(Coding::Jpeg), turbojpeg::PixelFormat::RGB).unwrap();
    let difference =
        right.iter().zip(&image.pixels).map(|(one, other)| u64::from(one.abs_diff(*other))).sum::<u64>();
    let mean = difference as f64 / right.len() as f64;
    // 8.9 where the numbers are taken for those of BT.601.
    assert!(mean < 4.0, "{mean:.2}");
}

#[test]
fn without_b_frames_each_picture_comes_with_its_own_frame() {
    for (codec, options) in [
        (Codec::H264, &["-c:v", "libx264", "-bf", "0"][..]),
        (Codec::H265, &["-c:v", "libx265", "-x265-params", "log-level=none:bframes=0"]),
    ] {
        let given = run(codec, &clip(codec, SMALL, 10, options), None);
        let numbers: Vec<_> = given.pieces.iter().map(|(piece, _)| piece.number).collect();
        assert_eq!(numbers, (0..10).collect::<Vec<_>>(), "{codec}");
        assert!(given.done.iter().all(|done| done.outcome == Outcome::Shown));
    }
}

#[test]
fn odd_sizes_are_kept() {
    // FFmpeg's own picture would have even sides.
    let scaled = ["-vf", "scale=161:91", "-c:v", "libx264", "-pix_fmt", "yuv444p", "-bf", "0"];
    let clip = clip(Codec::H264, SMALL, 3, &scaled);
    let right = shown_by_ffmpeg(Codec::H264, &clip, (161, 91));
    let given = run(Codec::H264, &clip, None);
    assert!(!given.pieces.is_empty());
    for ((piece, jpeg), right) in given.pieces.iter().zip(&right) {
        assert_eq!(piece.size, Size { width: 161, height: 91 });
        assert!(psnr(jpeg, right) > 33.0, "{:.1}", psnr(jpeg, right));
    }
}

#[test]
fn size_and_parameter_sets_may_change_on_the_way() {
    let options = ["-c:v", "libx264", "-bf", "0"];
    let (first, second) = (clip(Codec::H264, SMALL, 5, &options), clip(Codec::H264, "256x256", 5, &options));
    let both = clips::of_bytes(Codec::H264, [&first.bytes[..], &second.bytes].concat());
    let given = run(Codec::H264, &both, Some(128));
    let sizes: Vec<_> = given.pieces.iter().map(|(piece, _)| (piece.size.width, piece.size.height)).collect();
    assert_eq!(sizes, [[(128, 72); 5], [(128, 128); 5]].concat());
    assert_eq!(given.notes.len(), 2, "{:?}", given.notes);
}

#[test]
fn one_decode_serves_all_outputs_and_only_who_wants_a_frame() {
    let clip = clip(Codec::H264, "640x360", 6, &["-c:v", "libx264", "-bf", "0", "-crf", "18"]);
    let (mut camera, mut given) = (Camera::new().unwrap(), Given::default());
    camera.set_input(Input::H264);
    let widths = [(1, None, (640, 360)), (2, Some(320), (320, 180)), (3, Some(160), (160, 90))];
    for (id, width, _) in widths {
        let Ok(()) = camera.set_output(OutputId(id), output(Coding::Jpeg, width), &mut given);
    }
    let turned = Output { turn: Turn::Clockwise, ..output(Coding::Jpeg, Some(90)) };
    let Ok(()) = camera.set_output(OutputId(4), turned, &mut given);
    let Ok(()) = camera.set_output(OutputId(5), output(Coding::Rgb24, Some(64)), &mut given);
    let Ok(()) = camera.set_output(OutputId(6), output(Coding::Yuv420, Some(64)), &mut given);
    for (number, unit) in (0..).zip(&clip.units) {
        // The third wants every other one, and somebody who is not there wants all.
        let wanted = [1, 2, 3, 4, 5, 6, 99].map(|id| (OutputId(id), false));
        let wanted: Vec<_> = wanted.into_iter().filter(|(id, _)| id.0 != 3 || number % 2 == 0).collect();
        given.give(&mut camera, number, unit, &wanted);
    }
    for (id, _, (width, height)) in widths {
        let right = shown_by_ffmpeg(Codec::H264, &clip, (width, height));
        let pieces = given.of(OutputId(id));
        assert_eq!(pieces.len(), if id == 3 { 3 } else { 6 });
        for (piece, jpeg) in pieces {
            let found = psnr(jpeg, &right[piece.number as usize]);
            assert!(found > 33.0, "{width}: {found:.1} dB");
        }
    }
    let (piece, jpeg) = given.of(OutputId(4))[0];
    assert_eq!(piece.size, Size { width: 90, height: 160 });
    assert_eq!(turbojpeg::read_header(jpeg).unwrap().width, 90);
    assert_eq!(given.of(OutputId(5))[0].1.len(), 64 * 36 * 3);
    assert_eq!(given.of(OutputId(6))[0].1.len(), 64 * 36 * 3 / 2);
    let ways: Vec<_> = given.notes.iter().map(|(_, kind, words)| (*kind, &**words)).collect();
    assert_eq!(ways.len(), 6, "{ways:?}");
    assert!(
        ways.iter().all(|(kind, words)| *kind == NoteKind::Way && words.starts_with("H.264 by libavcodec"))
    );
    camera.end_output(ONE);
    let before = given.of(ONE).len();
    given.give(&mut camera, 6, &clip.units[0], &[(ONE, false)]);
    assert_eq!(given.of(ONE).len(), before);
}

fn wish(most: u16) -> Wish {
    Wish { quality: Some(95), sampling: None, most: Size { width: most, height: most } }
}

#[test]
fn a_still_is_the_keyframe_however_often_and_whatever_was_before() {
    let h264 = clip(Codec::H264, SMALL, 3, &["-c:v", "libx264", "-crf", "18"]);
    let h265 =
        clip(Codec::H265, SMALL, 3, &["-c:v", "libx265", "-crf", "18", "-x265-params", "log-level=none"]);
    let mut camera = Camera::new().unwrap();
    for round in 0..3 {
        for (codec, clip) in [(Codec::H264, &h264), (Codec::H265, &h265)] {
            let right = shown_by_ffmpeg(codec, clip, (320, 180));
            let still = Still { input: input(codec), wish: wish(4096), turn: Turn::None };
            let mut data = clip.units[0].data.clone();
            let (size, jpeg) = camera.still(&still, &mut data, |size, jpeg| (size, jpeg.to_vec())).unwrap();
            assert_eq!(size, Size { width: 320, height: 180 });
            let found = psnr(&jpeg, &right[0]);
            assert!(found > 35.0, "{codec} in round {round}: {found:.1} dB");
            let no_key = camera.still(&still, &mut clip.units[1].data.clone(), |size, _| size);
            assert!(no_key.is_err(), "{codec}: {no_key:?}");
        }
    }
    let fine = Wish { sampling: Some(Sampling::Yuv422), ..wish(0) };
    let still = Still { input: Input::H264, wish: fine, turn: Turn::None };
    let jpeg = camera.still(&still, &mut h264.units[0].data.clone(), |_, jpeg| jpeg.to_vec()).unwrap();
    assert_eq!(turbojpeg::read_header(&jpeg).unwrap().subsamp, turbojpeg::Subsamp::Sub2x1);
    let turned = Still { input: Input::H264, wish: wish(90), turn: Turn::Counterclockwise };
    let size = camera.still(&turned, &mut h264.units[0].data.clone(), |size, _| size).unwrap();
    assert_eq!(size, Size { width: 51, height: 90 });
}

#[test]
fn jpegs_are_scaled_turned_and_kept_apart_from_streams() {
    let clip = clip(Codec::H264, "640x360", 1, &["-c:v", "libx264", "-crf", "10", "-bf", "0"]);
    let full = run(Codec::H264, &clip, None).pieces.remove(0).1;
    let (mut camera, mut given) = (Camera::new().unwrap(), Given::default());
    camera.set_input(Input::Jpeg);
    for (id, width) in [(1, 640), (2, 200)] {
        let Ok(()) = camera.set_output(OutputId(id), output(Coding::Jpeg, Some(width)), &mut given);
    }
    let unit = Unit { data: full.clone(), is_key: true, time_us: 5 };
    given.give(&mut camera, 1, &unit, &[(OutputId(2), false)]);
    given.give(&mut camera, 2, &unit, &[(OutputId(1), false), (OutputId(2), false)]);
    let sizes: Vec<_> = given.pieces.iter().map(|(piece, _)| (piece.id.0, piece.size.width)).collect();
    assert_eq!(sizes, [(2, 200), (1, 640), (2, 200)]);
    // Alone it was decoded smaller; what is seen is the same.
    let words: Vec<_> = given.notes.iter().map(|(_, _, words)| &**words).collect();
    assert!(words[0].starts_with("JPEG by libjpeg-turbo at 240x135, scaled to 200x113"), "{words:?}");
    let whole = turbojpeg::decompress_to_yuv(&given.pieces[2].1).unwrap();
    let found = psnr(&given.pieces[0].1, &whole.pixels[..200 * 113]);
    assert!(found > 25.0, "{found:.1} dB");
    let again = psnr(&given.pieces[1].1, &turbojpeg::decompress_to_yuv(&full).unwrap().pixels);
    assert!(again > 38.0, "{again:.1} dB");
}
