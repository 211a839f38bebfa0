//! What a worker's memory does over thousands of pictures.

use ocelli_codec::worker::protocol::{Coding, Output};

use crate::clips::{self, Coded};
use crate::door::Door;

/// What is not yet growth: allocators keep what they have.
const SLACK_KIB: u64 = 2048;

#[test]
fn memory_does_not_grow_over_thousands_of_pictures() {
    for recipe in [clips::B_FRAMES, clips::BASELINE, clips::H265] {
        let clip = recipe.clip();
        let other = if recipe.name == clips::BASELINE.name { Some(clips::OTHER_SIZE.clip()) } else { None };
        let mut door = Door::to_jpeg(clip.input, 85);
        door.output(2, &Output { width: Some(160), ..Output::new(Coding::Jpeg) });
        let mut place = 0;
        let mut settled = 0;
        for round in 0..100 {
            // Sizes change, and pictures are lost.
            let clip = other.as_ref().filter(|_| round % 4 == 3).unwrap_or(&clip);
            for (index, frame) in clip.frames.iter().enumerate() {
                place += 1;
                if round % 5 != 2 || index % 11 != 7 {
                    door.frame(&Coded { place, ..frame.clone() }, &[1, 2]);
                }
            }
            if round == 20 {
                settled = door.memory_kib("VmRSS:");
            }
        }
        let now = door.memory_kib("VmRSS:");
        assert!(now <= settled + SLACK_KIB, "{}: {settled} KiB became {now}", recipe.name);
    }
}

#[test]
fn a_camera_of_1080_lines_takes_80_megabytes_at_most() {
    for recipe in [clips::HD_H264, clips::HD_H265] {
        let clip = recipe.clip();
        let mut door = Door::to_jpeg(clip.input, 85);
        for (id, width) in [(2, 1280), (3, 640), (4, 320)] {
            door.output(id, &Output { width: Some(width), ..Output::new(Coding::Jpeg) });
        }
        for round in 0..3 {
            for frame in &clip.frames {
                let place = round * clips::PICTURES + frame.place;
                door.frame(&Coded { place, ..frame.clone() }, &[1, 2, 3, 4]);
            }
        }
        let most = door.memory_kib("VmHWM:");
        println!("{}: {most} KiB", recipe.name);
        assert!(most <= 80 << 10, "{}: {most} KiB", recipe.name);
    }
}
