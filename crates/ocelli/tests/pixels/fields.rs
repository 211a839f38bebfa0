//! H.264 whose pictures are two fields each (PAFF), as broadcasters' cameras code them: no encoder at hand does, so its bits are
//! written here, with samples that are not coded (`I_PCM`, ITU-T H.264 7.3.5).

use ocelli_codec::worker::protocol::Input;
use ocelli_media::Codec;

use crate::clips::{Coded, split};
use crate::door::Door;
use crate::pictures::Picture;

/// In macroblocks; the fields have half the rows.
const WIDE: usize = 4;
const TALL: usize = 4;
const PICTURES: u8 = 8;

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    fn put(&mut self, count: u32, value: u32) -> &mut Self {
        for at in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> at & 1) as u8) << (7 - self.used % 8);
            self.used += 1;
        }
        self
    }

    /// Numbers as Exp-Golomb codes (9.1).
    fn ue(&mut self, values: &[u32]) -> &mut Self {
        for value in values {
            let length = (value + 1).ilog2();
            self.put(length, 0).put(length + 1, value + 1);
        }
        self
    }

    fn align(&mut self) -> &mut Self {
        self.used = self.used.next_multiple_of(8);
        self
    }

    fn samples(&mut self, count: usize, value: u8) {
        self.bytes.extend(vec![value; count]);
        self.used += 8 * count;
    }

    /// The unit behind its start code, with its end and the bytes that keep start codes out of it (7.4.1.1).
    fn unit(&mut self, header: u8) -> Vec<u8> {
        self.put(1, 1);
        let mut unit = vec![0, 0, 0, 1, header];
        let mut zeros = 0;
        for byte in &self.bytes {
            if zeros >= 2 && *byte <= 3 {
                unit.push(3);
                zeros = 0;
            }
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
            unit.push(*byte);
        }
        unit
    }
}

/// Main profile, frames and fields, counts by the order of decoding.
fn parameter_sets() -> Vec<u8> {
    let (wide, tall) = (WIDE as u32 - 1, TALL as u32 / 2 - 1);
    let mut sequence = Bits::default();
    sequence.put(8, 77).put(8, 0).put(8, 30).ue(&[0, 0, 2, 1]).put(1, 0).ue(&[wide, tall]).put(5, 0b00100);
    let mut picture = Bits::default();
    // The deblocking filter can be turned off.
    picture.ue(&[0, 0]).put(2, 0).ue(&[0, 0, 0]).put(3, 0).ue(&[0, 0, 0]).put(3, 0b100);
    [sequence.unit(0x67), picture.unit(0x68)].concat()
}

/// A field of one brightness; of the first of a picture, which stands for itself, and of the second.
fn field(picture: u8, second: bool, luma: u8) -> Vec<u8> {
    let mut slice = Bits::default();
    slice.ue(&[0, 7, 0]).put(4, 0).put(1, 1).put(1, second.into());
    if second {
        slice.put(1, 0);
    } else {
        slice.ue(&[u32::from(picture % 2)]).put(2, 0);
    }
    slice.ue(&[0, 1]);
    for _ in 0..WIDE * TALL / 2 {
        slice.ue(&[25]).align().samples(256, luma);
        slice.samples(128, 128);
    }
    slice.unit(if second { 0x61 } else { 0x65 })
}

#[test]
fn two_fields_are_one_picture() {
    let (dark, light) = (|picture: u8| 40 + picture, |picture: u8| 200 - picture);
    let mut stream = Vec::new();
    for picture in 0..PICTURES {
        stream.extend(parameter_sets());
        stream.extend(field(picture, false, dark(picture)));
        stream.extend(field(picture, true, light(picture)));
    }
    let units = split(Codec::H264, &stream);
    assert_eq!(units.len(), 2 * usize::from(PICTURES), "an access unit for each field");
    let mut door = Door::to_jpeg(Input::H264, 100);
    let mut shown = Vec::new();
    for (place, (data, key)) in units.into_iter().enumerate() {
        shown.extend(door.frame(&Coded { data, key, place }, &[1]).pieces);
    }
    // The decoder may wait for the next picture to know that one is whole.
    assert!(shown.len() + 1 >= PICTURES.into(), "{}", shown.len());
    let full = |luma: u8| (i32::from(luma) - 16) * 255 / 219;
    for (picture, (_, jpeg)) in (0..).zip(&shown) {
        let made = Picture::of_jpeg(jpeg);
        assert_eq!((made.width, made.height), (16 * WIDE, 16 * TALL));
        for (row, luma) in [(20, dark(picture)), (21, light(picture))] {
            let is = i32::from(made.pixel(30, row)[1]);
            assert!((is - full(luma)).abs() <= 3, "row {row} of picture {picture}: {is} for {}", full(luma));
        }
    }
}
