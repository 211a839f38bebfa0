//! Every kind of stream comes out as FFmpeg decodes it: the right picture, whole, at its time, in the order in which pictures are
//! shown.

use ocelli_codec::recode::Wish;
use ocelli_codec::worker::protocol::{Coding, Output, Still};
use ocelli_media::{Size, Turn};

use crate::clips::{self, Clip, Coded, Recipe};
use crate::door::{Came, Door, testdata};
use crate::pictures::Picture;

pub(crate) const QUALITY: u8 = 90;
/// How much worse than the best JPEG of this quality a picture may be, in dB.
const WORSE_DB: f64 = 1.5;
/// The least similarity of a picture and of any of its squares.
const SIMILAR: f64 = 0.97;
const SIMILAR_SQUARE: f64 = 0.5;

/// Gives a worker all of a clip for output 1.
pub(crate) fn play(door: &mut Door, frames: &[Coded]) -> Vec<Came> {
    frames.iter().map(|frame| door.frame(frame, &[1])).collect()
}

/// Looks that a piece shows what FFmpeg decodes.
fn is_shown(what: &str, jpeg: &[u8], wanted: &Picture) {
    let made = Picture::of_jpeg(jpeg);
    let (psnr, best) = (made.psnr(wanted), wanted.through_jpeg(QUALITY.into()).psnr(wanted));
    let (mean, least) = made.ssim(wanted);
    assert!(psnr >= best - WORSE_DB, "{what}: {psnr:.2} dB, a JPEG can have {best:.2}");
    assert!(
        mean >= SIMILAR && least >= SIMILAR_SQUARE,
        "{what}: similar by {mean:.3}, a square by {least:.3}"
    );
}

fn compare(recipe: &Recipe) {
    let clip = recipe.clip();
    let mut door = Door::to_jpeg(clip.input, QUALITY);
    let mut last = i64::MIN;
    let mut count = 0;
    for came in play(&mut door, &clip.frames) {
        assert!(came.pieces.len() <= recipe.delay.max(1), "{} of {}", came.pieces.len(), recipe.name);
        for (piece, jpeg) in came.pieces {
            // The first frame of a door has the number 1.
            let frame = &clip.frames[piece.number as usize - 1];
            let what = format!("{}, picture {}", recipe.name, frame.place);
            assert_eq!(piece.time_us, frame.time_us(), "{what}");
            assert!(piece.time_us > last, "{what} is behind {last}");
            assert!(piece.key, "a JPEG stands for itself");
            let wanted = &clip.shown[frame.place];
            assert_eq!((piece.size.width.into(), piece.size.height.into()), (wanted.width, wanted.height));
            is_shown(&what, &jpeg, wanted);
            (last, count) = (piece.time_us, count + 1);
        }
    }
    assert!(count + recipe.delay >= clip.frames.len(), "{}: {count} pictures", recipe.name);
}

macro_rules! streams {
    ($($name:ident: $recipe:literal),* $(,)?) => {
        $(#[test] fn $name() { compare(called($recipe)); })*

        #[test]
        fn every_kind_of_stream_is_tested() {
            assert_eq!(clips::ALL.len(), [$($recipe),*].len());
        }
    };
}

fn called(name: &str) -> &'static Recipe {
    clips::ALL.iter().find(|recipe| recipe.name == name).unwrap()
}

streams! {
    h264_baseline: "h264-baseline",
    h264_main: "h264-main",
    h264_high: "h264-high",
    h264_b_frames: "h264-b-frames",
    h264_interlaced: "h264-interlaced",
    h264_in_slices: "h264-slices",
    h264_of_full_colour_rows: "h264-422",
    h264_of_ten_bits: "h264-10-bit",
    h264_of_a_size_that_is_cropped: "h264-other-size",
    h264_of_odd_sides: "h264-odd",
    h265_main: "h265-main",
    h265_main10: "h265-main10",
    h265_b_frames: "h265-b-frames",
    h265_of_a_size_that_is_cropped: "h265-other-size",
    jpeg_420: "jpeg-420",
    jpeg_422: "jpeg-422",
    jpeg_444_of_odd_sides: "jpeg-444",
    jpeg_of_standard_tables_and_odd_sides: "jpeg-odd",
}

#[test]
fn jpegs_of_every_kind_come_out_as_they_are() {
    let mut door = Door::to_jpeg(ocelli_codec::worker::protocol::Input::Jpeg, 95);
    for (place, name) in
        ["baseline", "progressive", "restart", "grey", "yuv444", "ffmpeg-yuv422", "no-dht", "exif-thumbnail"]
            .iter()
            .enumerate()
    {
        let jpeg = testdata(&format!("{name}.jpg"));
        // Cameras leave out the tables that everybody knows; libjpeg-turbo knows them too.
        let wanted = Picture::of_jpeg(&jpeg);
        let came = door.frame(&Coded { data: jpeg.into(), key: true, place }, &[1]);
        let [(_, made)] = &came.pieces[..] else { panic!("{name}: {came:?}") };
        let psnr = Picture::of_jpeg(made).psnr(&wanted);
        assert!(psnr >= wanted.through_jpeg(95).psnr(&wanted) - WORSE_DB, "{name}: {psnr:.2} dB");
    }
}

#[test]
fn another_size_in_the_middle_is_followed() {
    let (first, second) = (clips::BASELINE.clip(), clips::OTHER_SIZE.clip());
    let mut door = Door::to_jpeg(first.input, QUALITY);
    for (clip, from) in [(&first, 0), (&second, first.frames.len()), (&first, 2 * first.frames.len())] {
        let mut came = Vec::new();
        for frame in &clip.frames {
            came.push(door.frame(&Coded { place: from + frame.place, ..frame.clone() }, &[1]));
        }
        let pieces: Vec<_> = came.iter().flat_map(|came| &came.pieces).collect();
        assert_eq!(pieces.len(), clip.frames.len());
        for (piece, jpeg) in pieces {
            let frame = &clip.frames[piece.number as usize - 1 - from];
            is_shown(&format!("{from} and {}", frame.place), jpeg, &clip.shown[frame.place]);
        }
    }
}

#[test]
fn smaller_outputs_show_the_same() {
    for recipe in [clips::BASELINE, *called("jpeg-420"), clips::H265] {
        let clip = recipe.clip();
        let mut door = Door::to_jpeg(clip.input, QUALITY);
        for (id, width) in [(2, 176), (3, 160), (4, 44), (5, 300)] {
            let output = Output { width: Some(width), quality: Some(QUALITY), ..Output::new(Coding::Jpeg) };
            door.output(id, &output);
        }
        let came = door.frame(&clip.frames[0], &[1, 2, 3, 4, 5]);
        assert_eq!(came.pieces.len(), 5, "{}: {came:?}", recipe.name);
        for (piece, jpeg) in came.pieces {
            let made = Picture::of_jpeg(&jpeg);
            let wanted = clip.shown[0].scaled(made.width, made.height);
            let (psnr, best) = (made.psnr(&wanted), wanted.through_jpeg(QUALITY.into()).psnr(&wanted));
            let (mean, _) = made.ssim(&wanted);
            let what =
                format!("{}: {} is {psnr:.2} dB from the means, a JPEG {best:.2}", recipe.name, piece.size);
            assert!(psnr > best - WORSE_DB && mean > SIMILAR, "{what}, similar by {mean:.3}");
        }
    }
}

#[test]
fn outputs_come_and_go_while_the_stream_does() {
    let clip = clips::B_FRAMES.clip();
    let mut door = Door::to_jpeg(clip.input, QUALITY);
    let small = Output { width: Some(88), ..Output::new(Coding::Jpeg) };
    let mut seen = [0; 3];
    for (index, frame) in clip.frames.iter().enumerate() {
        if index == 10 {
            door.output(2, &small);
        }
        let wanted: &[u16] = match index {
            ..10 => &[1],
            10..20 => &[1, 2, 77],
            _ => &[],
        };
        for (piece, _) in door.frame(frame, wanted).pieces {
            seen[usize::from(piece.id.0)] += 1;
        }
    }
    assert_eq!(seen, [0, 20, 10]);
}

#[test]
fn a_keyframe_alone_becomes_a_still() {
    for recipe in [clips::BASELINE, clips::B_FRAMES, clips::H265, *called("jpeg-420")] {
        let clip = recipe.clip();
        let mut door = Door::open();
        let wish =
            Wish { quality: Some(QUALITY), sampling: None, most: Size { width: u16::MAX, height: u16::MAX } };
        let still = Still { input: clip.input, wish, turn: Turn::None };
        for frame in clip.frames.iter().filter(|frame| frame.key) {
            let jpeg = door.still(&still, &frame.data).unwrap();
            is_shown(&format!("a still of {}", recipe.name), &jpeg, &clip.shown[frame.place]);
        }
    }
}

#[test]
fn a_still_in_the_middle_of_a_stream_changes_nothing_of_it() {
    let Clip { input, frames, shown } = clips::BASELINE.clip();
    let mut door = Door::to_jpeg(input, QUALITY);
    let wish = Wish { quality: None, sampling: None, most: Size { width: 176, height: 144 } };
    for (index, frame) in frames.iter().enumerate() {
        let came = door.frame(frame, &[1]);
        is_shown(&format!("picture {index}"), &came.pieces[0].1, &shown[frame.place]);
        if index % 3 == 1 {
            let still = door.still(&Still { input, wish, turn: Turn::None }, &frames[0].data);
            assert_eq!(Picture::of_jpeg(&still.unwrap()).width, 176);
        }
    }
}
