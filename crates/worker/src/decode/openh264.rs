//! H.264 by OpenH264, in a worker that was built without FFmpeg's libraries.
//!
//! Refuses H.265, and pictures that refer to later ones (B-frames), of which this library loses most: of such a stream
//! only what is before the first of them is shown, from each keyframe on. It says nothing of colours: they are taken for
//! BT.601's in television's range.

use ocelli_codec::Range;
use ocelli_codec::worker::protocol::Input;
use ocelli_media::{Size, nal_units};
use openh264::OpenH264API;
use openh264::decoder::{Decoder, DecoderConfig};
use openh264::formats::YUVSource;

use super::{DecodeError, Device, MOST_PIXELS, Shown, to_annex_b};
use crate::picture::{Buffer, Layout, Matrix};

/// A decoder of H.264.
pub struct StreamDecoder {
    /// Since the last keyframe, and while nothing was damaged.
    decoder: Option<Decoder>,
    picture: Buffer,
    /// Of the picture that nobody has pulled.
    tag: Option<u32>,
}

impl StreamDecoder {
    /// What this worker decodes of streams.
    pub fn inputs() -> Vec<Input> {
        vec![Input::H264]
    }

    /// One that waits for a keyframe. No device is used.
    ///
    /// # Errors
    /// It is not H.264 that is to be decoded.
    pub fn new(input: Input, _: &[Device]) -> Result<Self, DecodeError> {
        match input {
            Input::H264 => Ok(Self { decoder: None, picture: Buffer::default(), tag: None }),
            input => Err(DecodeError::NoDecoder(input)),
        }
    }

    /// With which library, and what it does not do, in words.
    pub fn library() -> String {
        "OpenH264, which decodes no H.265 and no B-frames".to_owned()
    }

    /// With what it decodes, in words.
    pub fn words(&self) -> String {
        "OpenH264, without B-frames".to_owned()
    }

    /// Gives an access unit, whose NAL units' lengths become start codes. Its picture has its `tag`.
    ///
    /// # Errors
    /// It is damaged or has B-frames, or nothing is shown before the next keyframe. There is nothing to pull then.
    pub fn push(
        &mut self,
        access_unit: &mut [u8],
        tag: u32,
        _: i64,
        is_key: bool,
    ) -> Result<(), DecodeError> {
        self.tag = None;
        // A decoder that has seen damage is not believed again.
        let decoder = match self.decoder.take() {
            Some(decoder) => decoder,
            None if is_key => Decoder::with_api_config(OpenH264API::from_source(), DecoderConfig::new())
                .map_err(|error| DecodeError::Refused(error.to_string()))?,
            None => return Err(DecodeError::NeedsKeyframe),
        };
        if nal_units(access_unit).any(refers_forward) {
            return Err(DecodeError::Refused("OpenH264 decodes no B-frames".to_owned()));
        }
        to_annex_b(access_unit)?;
        let decoder = self.decoder.insert(decoder);
        let Ok(decoded) = decoder.decode(access_unit) else {
            self.decoder = None;
            return Err(DecodeError::Damaged);
        };
        let Some(decoded) = decoded else { return Ok(()) };
        let (width, height) = decoded.dimensions();
        let size = Size::new(width as u32, height as u32)
            .filter(|size| u32::from(size.width) * u32::from(size.height) <= MOST_PIXELS);
        let size =
            size.ok_or_else(|| DecodeError::Refused("a picture of a size that is not decoded".to_owned()))?;
        self.picture.reset(size, Layout::Yuv420);
        (self.picture.range, self.picture.matrix) = (Range::Limited, Matrix::Bt601);
        let strides: [usize; 3] = decoded.strides().into();
        let planes = [decoded.y(), decoded.u(), decoded.v()];
        for (index, (columns, to)) in self.picture.planes_mut().into_iter().enumerate() {
            let rows = planes[index].chunks(strides[index].max(1));
            for (to, from) in to.chunks_exact_mut(columns).zip(rows) {
                let columns = columns.min(from.len());
                to[..columns].copy_from_slice(&from[..columns]);
            }
        }
        self.tag = Some(tag);
        Ok(())
    }

    /// The picture, once.
    ///
    /// # Errors
    /// None.
    pub fn pull(&mut self) -> Result<Option<Shown<'_>>, DecodeError> {
        Ok(self.tag.take().map(|tag| Shown { view: self.picture.view(), tag }))
    }

    /// Decodes one keyframe by itself, and forgets it.
    ///
    /// # Errors
    /// It is damaged, or no keyframe.
    pub fn still(&mut self, access_unit: &mut [u8]) -> Result<Shown<'_>, DecodeError> {
        self.decoder = None;
        let pushed = self.push(access_unit, 0, 0, true);
        self.decoder = None;
        pushed?;
        self.pull()?.ok_or(DecodeError::Nothing)
    }
}

impl std::fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamDecoder").field("tag", &self.tag).finish_non_exhaustive()
    }
}

/// A slice of type B (ITU-T H.264, 7.3.3: first_mb_in_slice ue(v), slice_type ue(v), which is 1 or 6).
fn refers_forward(unit: &[u8]) -> bool {
    let Some((head, slice)) = unit.split_first() else { return false };
    if !matches!(head & 0x1f, 1 | 2) {
        return false;
    }
    let mut bits = slice.iter().take(12).flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let mut golomb = || {
        let zeros = bits.by_ref().take_while(|bit| *bit == 0).take(20).count();
        let rest = bits.by_ref().take(zeros).fold(1_u32, |value, bit| value << 1 | u32::from(bit));
        rest - 1
    };
    golomb();
    matches!(golomb(), 1 | 6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h264::{Encoder, Kind, Made, Settings, Source, Stamp};

    /// Pictures of one shade each, coded.
    fn coded(shades: &[u8]) -> Vec<Vec<u8>> {
        let settings = Settings { bit_rate_kbps: 1000, quality: 0, rate: 25_000, key_every_ms: 10_000 };
        let mut encoder = Encoder::new(&[Kind::Openh264], settings);
        let mut units = Vec::new();
        for (number, shade) in (0..).zip(shades) {
            let samples = vec![*shade; 64 * 48];
            let source = Source {
                planes: [&samples; 3],
                strides: [64, 32, 32],
                size: Size { width: 64, height: 48 },
                sampling: (2, 2),
                range: Range::Limited,
                matrix: Matrix::Bt601,
            };
            let stamp = Stamp { number, time_us: i64::from(number) * 40_000 };
            let mut keep = |made: Made<'_>| match made {
                Made::Picture(coded) => units.push(coded.data.to_vec()),
                Made::Encoder(_) => {}
            };
            encoder.encode(&source, stamp, false, &mut keep).unwrap();
        }
        units
    }

    #[test]
    fn pictures_come_back_and_damage_waits_for_a_keyframe() {
        let shades = [60, 90, 120, 200];
        let mut units = coded(&shades);
        let mut decoder = StreamDecoder::new(Input::H264, &[]).unwrap();
        assert_eq!(decoder.push(&mut units[1].clone(), 1, 0, false), Err(DecodeError::NeedsKeyframe));
        for (tag, (unit, shade)) in (0..).zip(units.iter_mut().zip(shades)) {
            decoder.push(unit, tag, 0, tag == 0).unwrap();
            let shown = decoder.pull().unwrap().unwrap();
            assert_eq!((shown.tag, shown.view.size), (tag, Size { width: 64, height: 48 }));
            assert!(shown.view.rows(0).flatten().all(|sample| sample.abs_diff(shade) < 6), "{shade}");
            assert!(decoder.pull().unwrap().is_none());
        }
        assert!(decoder.push(&mut [0, 0, 0, 9, 1], 5, 0, false).is_err());
        assert_eq!(decoder.push(&mut coded(&shades)[1], 6, 0, false), Err(DecodeError::NeedsKeyframe));
        assert_eq!(decoder.still(&mut coded(&shades)[0]).unwrap().view.size.width, 64);
        assert!(matches!(StreamDecoder::new(Input::H265, &[]), Err(DecodeError::NoDecoder(Input::H265))));
    }

    #[test]
    fn slices_that_refer_forward_are_known() {
        // first_mb_in_slice 0 is "1"; slice_type 1 is "010", 6 is "00111", 0 is "1", 5 is "00110".
        for (byte, is_b) in
            [(0b1010_0000, true), (0b1001_1100, true), (0b1100_0000, false), (0b1001_1000, false)]
        {
            assert_eq!(refers_forward(&[0x41, byte, 0]), is_b, "{byte:08b}");
        }
        assert!(!refers_forward(&[0x65, 0b1010_0000]) && !refers_forward(&[]) && !refers_forward(&[1]));
    }
}
