//! Coded pictures in, planes out.
//!
//! [`JpegDecoder`] gives one picture for each file. A [`StreamDecoder`] of H.264 or H.265 is pushed access units and
//! gives pictures when their order allows: all that are there are pulled before the next push.

mod choice;
mod device;
mod jpeg;
#[cfg(feature = "libav")]
mod libav;
#[cfg(not(any(feature = "libav", feature = "openh264")))]
mod none;
#[cfg(all(feature = "openh264", not(feature = "libav")))]
mod openh264;

use ocelli_codec::worker::protocol::Input;

pub use self::choice::{Decoder, Decoders};
pub use self::device::{Device, UnknownDevice};
pub use self::jpeg::JpegDecoder;
#[cfg(feature = "libav")]
pub use self::libav::StreamDecoder;
#[cfg(not(any(feature = "libav", feature = "openh264")))]
pub use self::none::StreamDecoder;
#[cfg(all(feature = "openh264", not(feature = "libav")))]
pub use self::openh264::StreamDecoder;
use crate::picture::View;

/// Most pixels of a picture that is decoded: as of a JPEG that is re-encoded.
pub const MOST_PIXELS: u32 = ocelli_codec::recode::MOST_PIXELS;

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// This worker has no decoder of it.
    #[error("this worker has no decoder of {0}")]
    NoDecoder(Input),
    /// It is damaged, or of a kind that is not decoded.
    #[error("{0}")]
    Refused(String),
    /// A NAL unit's length goes beyond the end.
    #[error("a NAL unit that is longer than its access unit")]
    Lengths,
    /// Something of it was missing, and no decoder can know what it was.
    #[error("damaged")]
    Damaged,
    /// Not a keyframe, and none has come that was whole.
    #[error("not a keyframe")]
    NeedsKeyframe,
    /// The FFmpeg program is no more: why. Another is started at the next keyframe.
    #[error("{0}")]
    Program(String),
    /// So it was again and again, without a picture between.
    #[error("{0}")]
    ProgramFails(String),
    /// No picture came of a keyframe.
    #[error("the keyframe gives no picture")]
    Nothing,
}

/// A picture that a stream's decoder has given.
#[derive(Debug)]
pub struct Shown<'a> {
    /// Its planes.
    pub view: View<'a>,
    /// What was given with its access unit.
    pub tag: u32,
}

/// Puts start codes (00 00 00 01, ITU-T H.264 annex B) where NAL units have their lengths, in place.
///
/// # Errors
/// A length goes beyond the end.
pub fn to_annex_b(access_unit: &mut [u8]) -> Result<(), DecodeError> {
    let mut left = access_unit;
    while !left.is_empty() {
        let (head, rest) = left.split_first_chunk_mut::<4>().ok_or(DecodeError::Lengths)?;
        let bytes = u32::from_be_bytes(*head) as usize;
        *head = [0, 0, 0, 1];
        left = rest.split_at_mut_checked(bytes).ok_or(DecodeError::Lengths)?.1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_become_start_codes_and_wrong_ones_are_errors() {
        let mut unit = [0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9];
        assert_eq!(to_annex_b(&mut unit), Ok(()));
        assert_eq!(unit, [0, 0, 0, 1, 7, 8, 0, 0, 0, 1, 9]);
        assert_eq!(to_annex_b(&mut []), Ok(()));
        for wrong in [&[0_u8, 0, 0][..], &[0, 0, 0, 2, 7], &[0xff; 9], &[0, 0, 0, 1, 7, 0]] {
            assert_eq!(to_annex_b(&mut wrong.to_vec()), Err(DecodeError::Lengths), "{wrong:?}");
        }
    }
}
