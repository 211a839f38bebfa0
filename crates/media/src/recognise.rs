//! Tells by the first bytes of a stream how its pictures are coded: JPEG (SOI and a marker), or H.264 or H.265 as Annex B (a start
//! code and a NAL unit that a stream begins with). Nothing else is recognised, and MP4 is none of them.

use memchr::memmem;

use crate::{Codec, h264, h265};

/// After this many bytes without a picture's beginning none is to be expected.
pub const MOST_UNRECOGNISED_BYTES: usize = 64 << 10;

/// What the beginning of a stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// How its pictures are coded.
    As(Codec),
    /// More of it must be there first.
    Later,
    /// It is none of those that are known.
    Unknown,
}

/// Tells by `beginning`, all that came of a stream so far, what it is. What stands before the first picture (a line of a program's
/// text, a part of a picture) is passed over.
///
/// ```
/// use ocelli_media::{Codec, Recognised, recognise};
/// assert_eq!(recognise(&[0xFF, 0xD8, 0xFF, 0xE0]), Recognised::As(Codec::Jpeg));
/// assert_eq!(recognise(&[0, 0, 0, 1, 0x67, 0x64]), Recognised::As(Codec::H264));
/// assert_eq!(recognise(&[0, 0, 0, 1, 0x40, 0x01]), Recognised::As(Codec::H265));
/// assert_eq!(recognise(&[0, 0, 0]), Recognised::Later);
/// ```
pub fn recognise(beginning: &[u8]) -> Recognised {
    let looked_at = &beginning[..beginning.len().min(MOST_UNRECOGNISED_BYTES)];
    let jpeg = memmem::find(looked_at, &[0xFF, 0xD8, 0xFF]);
    let units = memmem::find_iter(looked_at, &[0, 0, 1]);
    let unit = units.filter_map(|at| Some((at, first_unit(looked_at.get(at + 3..at + 5)?)?))).next();
    match (jpeg, unit) {
        (Some(jpeg), Some((at, codec))) if at < jpeg => Recognised::As(codec),
        (Some(_), _) => Recognised::As(Codec::Jpeg),
        (None, Some((_, codec))) => Recognised::As(codec),
        (None, None) if beginning.len() < MOST_UNRECOGNISED_BYTES => Recognised::Later,
        (None, None) => Recognised::Unknown,
    }
}

/// The format of a NAL unit that begins with these bytes, if streams begin with such units: delimiters, parameter sets, SEI and
/// keyframes.
fn first_unit(header: &[u8]) -> Option<Codec> {
    let &[first, second] = header else { return None };
    // H.265: not forbidden, layer 0, temporal layer 0. As H.264, the second byte would be SEI of a kind, a profile or a slice that
    // no stream has there with those first bytes.
    let h265 = first & 0x81 == 0
        && second == 1
        && matches!(
            h265::kind(first),
            h265::VIDEO | h265::SEQUENCE | h265::PICTURE | h265::DELIMITER | 39 | 16..=21
        );
    if h265 {
        return Some(Codec::H265);
    }
    // Parameter sets and keyframes are always important, delimiters and SEI never (H.264 7.4.1).
    let important = first & 0x60 != 0;
    let h264 = match h264::kind(first) {
        h264::SEQUENCE | h264::PICTURE | 5 => important,
        h264::DELIMITER | 6 => !important,
        _ => false,
    };
    (h264 && first & 0x80 == 0).then_some(Codec::H264)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_recognised_by_each_unit_that_may_come_first() {
        for (bytes, codec) in [
            ([0x09, 0xF0], Codec::H264),
            ([0x06, 0x01], Codec::H264),
            ([0x27, 0x42], Codec::H264),
            ([0x67, 0x64], Codec::H264),
            ([0x28, 0xCE], Codec::H264),
            ([0x65, 0x88], Codec::H264),
            ([0x25, 0xB8], Codec::H264),
            ([0x46, 0x01], Codec::H265),
            ([0x40, 0x01], Codec::H265),
            ([0x42, 0x01], Codec::H265),
            ([0x44, 0x01], Codec::H265),
            ([0x4E, 0x01], Codec::H265),
            ([0x26, 0x01], Codec::H265),
            ([0x28, 0x01], Codec::H265),
            ([0x2A, 0x01], Codec::H265),
        ] {
            for before in [&[][..], &[0], b"starting\n", &[0, 0, 1, 0x41, 0x9A]] {
                let stream = [before, &[0, 0, 1], &bytes].concat();
                assert_eq!(recognise(&stream), Recognised::As(codec), "{stream:02X?}");
                assert_eq!(recognise(&stream[..stream.len() - 1]), Recognised::Later);
            }
        }
    }

    #[test]
    fn the_first_of_both_counts() {
        let jpeg = [&[0xFF, 0xD8, 0xFF, 0xE0][..], &[0, 0, 1, 0x67, 0x42]].concat();
        assert_eq!(recognise(&jpeg), Recognised::As(Codec::Jpeg));
        let h264 = [&[0, 0, 1, 0x67, 0x42][..], &[0xFF, 0xD8, 0xFF, 0xE0]].concat();
        assert_eq!(recognise(&h264), Recognised::As(Codec::H264));
    }

    #[test]
    fn what_is_none_of_them_is_unknown_in_the_end() {
        assert_eq!(recognise(&[]), Recognised::Later);
        let text = b"no cameras available\n".repeat(4000);
        assert_eq!(recognise(&text[..MOST_UNRECOGNISED_BYTES - 1]), Recognised::Later);
        assert_eq!(recognise(&text), Recognised::Unknown);
        let late = [&text[..], &[0xFF, 0xD8, 0xFF]].concat();
        assert_eq!(recognise(&late), Recognised::Unknown, "whatever is read at a time");
    }
}
