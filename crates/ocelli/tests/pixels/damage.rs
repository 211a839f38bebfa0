//! Damaged streams: no torn picture is shown, and all is well again at the next keyframe.

use bytes::Bytes;
use ocelli_codec::worker::protocol::{Input, Outcome};
use ocelli_media::nal_units;

use crate::clips::{self, Clip, Coded, GROUP, Recipe};
use crate::door::Door;
use crate::fidelity::{QUALITY, play};
use crate::pictures::Picture;

/// What a square of a picture has at least in common with what FFmpeg decodes of the undamaged stream: a torn one has less.
const TORN: f64 = 0.3;

fn dice(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |sides| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % sides
    }
}

fn access_unit<'a>(units: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let with_length = |unit: &[u8]| [&(unit.len() as u32).to_be_bytes()[..], unit].concat();
    units.flat_map(with_length).collect::<Vec<_>>().into()
}

/// Plays damaged frames, of which each has the number of its undamaged one; gives how many pictures came and how many were torn.
fn shown(door: &mut Door, clip: &Clip, frames: &[Coded]) -> (usize, usize) {
    let (mut count, mut torn) = (0, 0);
    for (piece, jpeg) in play(door, frames).into_iter().flat_map(|came| came.pieces) {
        let place = (piece.time_us / clips::INTERVAL_US) as usize;
        let (_, least) = Picture::of_jpeg(&jpeg).ssim(&clip.shown[place]);
        (count, torn) = (count + 1, torn + usize::from(least < TORN));
    }
    (count, torn)
}

/// After whatever came before, a whole group is shown whole.
fn recovers(recipe: &Recipe, door: &mut Door, clip: &Clip) {
    let outcomes: Vec<Outcome> = play(door, &clip.frames[..GROUP]).iter().map(|came| came.outcome).collect();
    let (count, torn) = shown(door, clip, &clip.frames[GROUP..]);
    assert_eq!(torn, 0, "{}, after {outcomes:?}", recipe.name);
    assert!(count + recipe.delay >= clip.frames.len() - GROUP, "{}: {count} after {outcomes:?}", recipe.name);
}

#[test]
fn pictures_that_are_lost_cost_those_up_to_the_next_keyframe() {
    for recipe in [clips::BASELINE, clips::SLICES, clips::H265] {
        let clip = recipe.clip();
        let mut door = Door::to_jpeg(clip.input, QUALITY);
        let mut frames = clip.frames.clone();
        frames.remove(GROUP + 4);
        let (count, torn) = shown(&mut door, &clip, &frames);
        assert_eq!(torn, 0, "{}", recipe.name);
        assert!((2 * GROUP + 4..3 * GROUP).contains(&count), "{}: {count}", recipe.name);
        recovers(&recipe, &mut door, &clip);
    }
}

#[test]
fn a_lost_keyframe_costs_its_group() {
    for recipe in [clips::BASELINE, clips::H265] {
        let clip = recipe.clip();
        let mut door = Door::to_jpeg(clip.input, QUALITY);
        let frames: Vec<Coded> = clip.frames[1..].to_vec();
        let came = play(&mut door, &frames[..GROUP - 1]);
        assert!(came.iter().all(|came| came.pieces.is_empty()), "{}", recipe.name);
        assert!(came.iter().all(|came| came.outcome == Outcome::NeedsKeyframe), "{}: {came:?}", recipe.name);
        let (count, torn) = shown(&mut door, &clip, &frames[GROUP - 1..]);
        assert_eq!((count, torn), (2 * GROUP, 0), "{}", recipe.name);
    }
}

#[test]
fn a_picture_that_lacks_a_slice_is_not_shown() {
    let clip = clips::SLICES.clip();
    for lost in 0..4 {
        let mut door = Door::to_jpeg(clip.input, QUALITY);
        let mut frames = clip.frames.clone();
        for at in [3, GROUP] {
            let units: Vec<&[u8]> = nal_units(&clip.frames[at].data).collect();
            let slices = units.iter().filter(|unit| matches!(unit[0] & 31, 1 | 5)).count();
            assert_eq!(slices, 4);
            let missing = units.len() - 4 + lost;
            let kept = units.into_iter().enumerate().filter(|(index, _)| *index != missing);
            frames[at].data = access_unit(kept.map(|(_, unit)| unit));
        }
        let (count, torn) = shown(&mut door, &clip, &frames);
        assert_eq!(torn, 0, "slice {lost}, {count} were shown");
        assert!(count >= GROUP + 3, "slice {lost}: {count}");
        recovers(&clips::SLICES, &mut door, &clip);
    }
}

#[test]
fn bits_that_are_wrong_are_survived() {
    for recipe in [clips::BASELINE, clips::B_FRAMES, clips::SLICES, clips::H265] {
        let clip = recipe.clip();
        let (mut all, mut seen) = (0, 0);
        for seed in 1..=8 {
            let mut random = dice(seed);
            let mut door = Door::to_jpeg(clip.input, QUALITY);
            let frames: Vec<Coded> = clip
                .frames
                .iter()
                .map(|frame| {
                    let mut data = frame.data.to_vec();
                    if random(4) == 0 {
                        for _ in 0..=random(8) {
                            // The lengths stay: they are made by the server.
                            let at = data.len() * 3 / 4 + random(data.len() / 4);
                            data[at] ^= 1 << random(8);
                        }
                    }
                    Coded { data: data.into(), ..frame.clone() }
                })
                .collect();
            let (count, torn) = shown(&mut door, &clip, &frames);
            (all, seen) = (all + count, seen + torn);
            recovers(&recipe, &mut door, &clip);
        }
        // A bit may be wrong and mean something all the same, which no decoder can know: of H.264 now and then, of H.265, whose bits are
        // all of an arithmetic code, nearly always.
        println!("{}: {seen} of {all} shown pictures are torn", recipe.name);
        assert!(clip.input == Input::H265 || seen * 3 <= all, "{}: {seen} of {all} are torn", recipe.name);
    }
}

#[test]
fn what_is_no_stream_at_all_is_survived() {
    for recipe in [clips::BASELINE, clips::H265] {
        let clip = recipe.clip();
        let mut door = Door::to_jpeg(clip.input, QUALITY);
        let mut random = dice(5);
        for length in [0, 1, 4, 5, 100, 5000, 100_000] {
            let data: Vec<u8> = (0..length).map(|_| random(256) as u8).collect();
            for key in [false, true] {
                let garbage = Coded { data: data.clone().into(), key, place: 0 };
                assert!(door.frame(&garbage, &[1]).pieces.is_empty(), "{length}");
            }
        }
        // Frames that say that they are another's.
        door.input(if clip.input == Input::H264 { Input::H265 } else { Input::H264 });
        play(&mut door, &clip.frames);
        door.input(clip.input);
        recovers(&recipe, &mut door, &clip);
    }
    let mut door = Door::to_jpeg(Input::Jpeg, QUALITY);
    for length in [0, 1, 2, 500] {
        let data: Vec<u8> = [0xFF, 0xD8, 0xFF].into_iter().cycle().take(length).collect();
        let came = door.frame(&Coded { data: data.into(), key: true, place: 0 }, &[1]);
        assert!(came.pieces.is_empty() && came.outcome == Outcome::Damaged, "{came:?}");
    }
}

#[test]
fn jpegs_that_are_cut_off_are_not_shown() {
    let whole = clips::ALL.iter().find(|recipe| recipe.name == "jpeg-420").unwrap().clip();
    let mut door = Door::to_jpeg(Input::Jpeg, QUALITY);
    for (index, frame) in whole.frames.iter().enumerate() {
        let cut = index % 2 == 1;
        let data = if cut { frame.data.slice(..frame.data.len() / 2) } else { frame.data.clone() };
        let came = door.frame(&Coded { data, ..frame.clone() }, &[1]);
        assert_eq!(came.pieces.is_empty(), cut, "{index}: {:?}", came.outcome);
    }
}
