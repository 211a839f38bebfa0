//! What is damaged, or begins in the middle: nothing torn is shown, and the next keyframe mends it.

use ocelli_codec::worker::protocol::{Coding, Input, Outcome};
use ocelli_media::Codec;
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
