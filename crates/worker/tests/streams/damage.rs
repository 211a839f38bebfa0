//! What is damaged, or begins in the middle: nothing torn is shown, and the next keyframe mends it.

use ocelli_codec::worker::protocol::{Coding, Input, Outcome, Piece};
use ocelli_media::{Codec, nal_units};
use ocelli_worker::camera::Camera;

use crate::clips::{Clip, Unit, clip, psnr};
use crate::{Given, ONE, SMALL, output, run};

/// Makes the last NAL unit's length that of what is there.
fn shorten(data: &mut [u8]) {
    let mut at = 0;
    loop {
        let head = data[at..at + 4].try_into().unwrap();
        let next = at + 4 + u32::from_be_bytes(head) as usize;
        if next >= data.len() {
            let length = (data.len() - at - 4) as u32;
            return data[at..at + 4].copy_from_slice(&length.to_be_bytes());
        }
        at = next;
    }
}

#[test]
fn nothing_torn_is_shown_and_the_next_keyframe_mends_it() {
    for (codec, options) in [
        (Codec::H264, &["-c:v", "libx264", "-bf", "0", "-g", "10", "-crf", "18"][..]),
        (Codec::H264, &["-c:v", "libx264", "-bf", "2", "-g", "10", "-crf", "18", "-profile:v", "high"]),
        (
            Codec::H265,
            &["-c:v", "libx265", "-crf", "18", "-x265-params", "log-level=none:bframes=0:keyint=10"],
        ),
    ] {
        let whole = clip(codec, SMALL, 30, options);
        let right = run(codec, &whole, None);
        // Of a frame behind the first keyframe all is missing; its second half; bytes in the middle are others. Of H.265
        // libavcodec tells the first only: what stands in the place of others means something too.
        for harm in if codec == Codec::H264 { 0..3 } else { 0..1 } {
            let mut clip = whole.clone();
            let unit = &mut clip.units[4];
            assert!(!unit.is_key);
            match harm {
                0 => unit.data.clear(),
                1 => {
                    unit.data.truncate(unit.data.len() / 2);
                    shorten(&mut unit.data);
                }
                _ => {
                    let middle = unit.data.len() / 2;
                    unit.data[middle..middle + 8].fill(0x55);
                }
            }
            let given = run(codec, &clip, None);
            let shown = |given: &Given, number| {
                given.pieces.iter().find(|(piece, _)| piece.number == number).map(|(_, jpeg)| jpeg.clone())
            };
            for (piece, jpeg) in &given.pieces {
                let right = shown(&right, piece.number).expect("a picture that was there");
                let planes = turbojpeg::decompress_to_yuv(&right).unwrap();
                let found = psnr(jpeg, &planes.pixels);
                assert!(found > 30.0, "{codec} {harm}: frame {} has {found:.1} dB", piece.number);
            }
            assert!(shown(&given, 10).is_some(), "{codec} {harm}: the keyframe is not shown");
            assert!(given.pieces.len() >= 20, "{codec} {harm}: {} pictures", given.pieces.len());
        }
    }
}

#[test]
fn nothing_is_shown_before_a_keyframe() {
    let clip = clip(Codec::H264, SMALL, 12, &["-c:v", "libx264", "-bf", "0", "-g", "6"]);
    let late = Clip { units: clip.units[2..].to_vec(), ..clip };
    let given = run(Codec::H264, &late, None);
    let outcomes: Vec<_> = given.done.iter().map(|done| done.outcome).collect();
    assert_eq!(outcomes, [[Outcome::NeedsKeyframe; 4].to_vec(), [Outcome::Shown; 6].to_vec()].concat());
    assert_eq!(given.pieces[0].0.number, 4);
}

#[test]
fn garbage_is_borne() {
    let clip = clip(Codec::H264, SMALL, 2, &["-c:v", "libx264", "-bf", "0"]);
    let (mut camera, mut given) = (Camera::new().unwrap(), Given::default());
    for input in Input::ALL {
        camera.set_input(input);
        let Ok(()) = camera.set_output(ONE, output(Coding::Jpeg, None), &mut given);
        for data in [&b""[..], b"\0\0\0\x01g", b"\0\0\0\x05garbage", &[0xff; 3000], &[0; 40]] {
            let unit = Unit { data: data.to_vec(), is_key: true, time_us: 0 };
            given.give(&mut camera, 0, &unit, &[(ONE, true)]);
            assert_ne!(given.done.last().unwrap().outcome, Outcome::Shown, "{input} {data:?}");
        }
    }
    camera.set_input(Input::H264);
    given.give(&mut camera, 7, &clip.units[0], &[(ONE, true)]);
    assert_eq!(given.pieces.last().unwrap().0.number, 7);
}

/// Numbers that are the same in each run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }
}

/// The worst of the pictures that are shown, beside the same ones undamaged, in dB.
fn worst(given: &Given, right: &Given) -> f64 {
    let of = |(piece, jpeg): &(Piece, Vec<u8>)| {
        let (_, right) = right.pieces.iter().find(|(other, _)| other.number == piece.number).unwrap();
        psnr(jpeg, &turbojpeg::decompress_to_yuv(right).unwrap().pixels)
    };
    given.pieces.iter().map(of).fold(f64::MAX, f64::min)
}

/// Most of it: see `decode/libav.rs`. Without looking for it, none is found, and 27 of 30 clips are shown torn.
#[test]
fn of_h265_what_breaks_the_syntax_is_not_shown() {
    let params = "log-level=none:bframes=0:keyint=10:ctu=16";
    let options = ["-c:v", "libx265", "-preset", "veryfast", "-crf", "24", "-x265-params", params];
    let whole = clip(Codec::H265, "640x360", 12, &options);
    let right = run(Codec::H265, &whole, None);
    let mut torn = 0;
    for seed in 0..20 {
        let mut random = Seeded(seed << 32);
        let mut clip = whole.clone();
        let data = &mut clip.units[1 + random.below(8)].data;
        for _ in 0..4 {
            // Behind the slice's header.
            let at = 24 + random.below(data.len() - 24);
            data[at] ^= 1 << random.below(8);
        }
        let given = run(Codec::H265, &clip, None);
        torn += u32::from(worst(&given, &right) < 30.0);
        let keyframe = given.pieces.iter().find(|(piece, _)| piece.number == 10);
        assert!(keyframe.is_some(), "{seed}: the next keyframe is not shown");
    }
    assert!(torn <= 8, "{torn} of 20 are shown torn");
}

#[test]
fn a_picture_of_h265_that_lacks_a_slice_is_not_shown() {
    let params = "log-level=none:bframes=0:keyint=10:slices=4";
    let options = ["-c:v", "libx265", "-preset", "veryfast", "-x265-params", params];
    let mut clip = clip(Codec::H265, "640x360", 12, &options);
    let data = &mut clip.units[4].data;
    let slices: Vec<Vec<u8>> = nal_units(data).map(<[u8]>::to_vec).collect();
    assert_eq!(slices.len(), 4);
    for lacking in 1..4 {
        let kept = slices.iter().enumerate().filter(|(index, _)| *index != lacking);
        let with_length = |unit: &Vec<u8>| [&(unit.len() as u32).to_be_bytes()[..], unit].concat();
        clip.units[4].data = kept.flat_map(|(_, unit)| with_length(unit)).collect();
        let given = run(Codec::H265, &clip, None);
        let shown: Vec<_> = given.pieces.iter().map(|(piece, _)| piece.number).collect();
        assert_eq!(shown, [0, 1, 2, 3, 10, 11], "without slice {lacking}");
        assert_eq!(given.done[4].outcome, Outcome::Damaged);
    }
}
