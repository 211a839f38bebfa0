//! Colours are those that the stream means: whichever matrix and range it says.

use crate::clips;
use crate::door::Door;
use crate::pictures::Picture;

/// By how much a flat colour may differ, of 255.
const DIFFERS: i32 = 5;

#[test]
fn every_matrix_and_range_gives_the_same_colours() {
    let mut wrong = Vec::new();
    for recipe in clips::COLOURS {
        let clip = recipe.clip();
        let mut door = Door::to_jpeg(clip.input, 95);
        let came = door.frame(&clip.frames[0], &[1]);
        let made = Picture::of_jpeg(&came.pieces[0].1);
        let wanted = &clip.shown[0];
        for bar in 0..7 {
            let (x, y) = ((2 * bar + 1) * wanted.width / 14, wanted.height / 3);
            let (is, should) = (made.pixel(x, y), wanted.pixel(x, y));
            let differs = (0..3).map(|c| (i32::from(is[c]) - i32::from(should[c])).abs()).max();
            if differs > Some(DIFFERS) {
                wrong.push(format!("{}: {is:?} for {should:?}", recipe.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What the clips themselves show: else the comparison would say nothing.
#[test]
fn the_bars_of_the_clips_are_those_of_the_standard() {
    let bars: [[u8; 3]; 7] =
        [[191, 191, 191], [191, 191, 0], [0, 191, 191], [0, 191, 0], [191, 0, 191], [191, 0, 0], [0, 0, 191]];
    for recipe in clips::COLOURS {
        let shown = &recipe.clip().shown[0];
        for (bar, colour) in bars.iter().enumerate() {
            let found = shown.pixel((2 * bar + 1) * shown.width / 14, shown.height / 3);
            let differs = (0..3).map(|c| (i32::from(found[c]) - i32::from(colour[c])).abs()).max();
            assert!(differs <= Some(10), "{}: {found:?} for {colour:?}", recipe.name);
        }
    }
}
