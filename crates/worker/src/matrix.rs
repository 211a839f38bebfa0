//! From BT.709's luma and colour to BT.601's, which JPEG has and every viewer takes it for. Without it the greens and reds of
//! cameras in high definition are off.
//!
//! Only where a stream says that it is BT.709: what a stream that says nothing means, nobody knows.

use crate::picture::{Buffer, Layout, Matrix};

/// Factors in 1/128, of which all sums fit into 16 bits: luma gets those of Cb and Cr, each of them one of its own and one of
/// the other. By Rec. ITU-T H.273: RGB by the inverse of the one, and back by the other.
const LUMA: [i16; 2] = [13, 25];
const BLUE: [i16; 2] = [127, -14];
const RED: [i16; 2] = [126, -9];

/// Changes a picture of BT.709 in full range to one of BT.601. `shifts` is room that is kept from picture to picture.
pub fn to_bt601(picture: &mut Buffer, shifts: &mut Vec<i16>) {
    picture.matrix = Matrix::Bt601;
    if picture.layout() == Layout::Gray {
        return;
    }
    let (across, down) = picture.layout().steps();
    let [(columns, luma), (colours, blue), (_, red)] = picture.planes_mut();
    // What each pixel's luma gets, in whole rows, so that the compiler takes eight or sixteen at once.
    shifts.resize(columns, 0);
    let rows = luma.chunks_exact_mut(columns * down);
    for ((luma, blue), red) in rows.zip(blue.chunks_exact_mut(colours)).zip(red.chunks_exact_mut(colours)) {
        for ((shifts, blue), red) in shifts.chunks_exact_mut(across).zip(&mut *blue).zip(&mut *red) {
            let (b, r) = (i16::from(*blue) - 128, i16::from(*red) - 128);
            let sum =
                |factors: [i16; 2], own: i16, other: i16| (factors[0] * own + factors[1] * other + 64) >> 7;
            shifts.fill(sum(LUMA, b, r));
            *blue = (sum(BLUE, b, r) + 128).clamp(0, 255) as u8;
            *red = (sum(RED, r, b) + 128).clamp(0, 255) as u8;
        }
        for row in luma.chunks_exact_mut(columns) {
            for (sample, shift) in row.iter_mut().zip(&*shifts) {
                *sample = (i16::from(*sample) + shift).clamp(0, 255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ocelli_codec::worker::protocol::Coding;
    use ocelli_media::Size;

    use super::*;
    use crate::encode::RawEncoder;

    fn rgb(picture: &Buffer) -> Vec<u8> {
        RawEncoder::new(Coding::Rgb24).encode(&picture.view()).to_vec()
    }

    #[test]
    fn what_is_seen_stays_the_same() {
        // Two pixels of each colour that both can show.
        for (y, b, r) in [(128, 128, 128), (255, 128, 128), (70, 110, 190), (150, 60, 90), (60, 200, 120)] {
            for layout in [Layout::Yuv420, Layout::Yuv422, Layout::Yuv444] {
                let mut picture = Buffer::default();
                picture.reset(Size { width: 2, height: 2 }, layout);
                picture.matrix = Matrix::Bt709;
                for ((_, plane), sample) in picture.planes_mut().into_iter().zip([y, b, r]) {
                    plane.fill(sample);
                }
                let before = rgb(&picture);
                to_bt601(&mut picture, &mut Vec::new());
                assert_eq!(picture.matrix, Matrix::Bt601);
                for (before, after) in before.iter().zip(rgb(&picture)) {
                    assert!(before.abs_diff(after) <= 3, "{y} {b} {r}: {before} became {after}");
                }
            }
        }
    }
}
