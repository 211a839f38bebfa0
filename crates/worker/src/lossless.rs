//! JPEG files turned without being decoded: the blocks of coefficients change places, and lie otherwise within themselves.
//! Nothing is lost, and it costs about what decoding, turning and encoding do.
//!
//! Refuses, so that the picture is turned by way of its pixels: where a row or column of blocks that is there in part only would
//! come to the upper or left edge; what is not baseline; and what would come out in a sampling that not every viewer
//! takes, as 4:2:2 does whose sides change places. What comes out has the standard Huffman tables, and nothing of what
//! is not picture: a file that says how it is to be turned would be turned twice.

use ocelli_codec::worker::protocol::{Coding, Output};
use ocelli_media::jpeg::{Chroma, Header, Process};
use ocelli_media::{Size, Turn};
use turbojpeg::{Subsamp, Transform, TransformOp, Transformer};

/// Turns files. Keeps its buffer.
#[derive(Debug, Default)]
pub struct Turner {
    transformer: Option<Transformer>,
    output: Vec<u8>,
}

impl Turner {
    /// The turned file; `None` if that cannot be had without loss, or the file is damaged.
    pub fn turn(&mut self, jpeg: &[u8], turn: Turn) -> Option<&[u8]> {
        let header = Header::parse(jpeg).ok()?;
        if header.process != Process::Baseline || header.precision_bits != 8 {
            return None;
        }
        let subsamp = match header.chroma() {
            Chroma::Yuv420 => Subsamp::Sub2x2,
            Chroma::Yuv422 if !turn.swaps_sides() => Subsamp::Sub2x1,
            _ => return None,
        };
        let mut transform = Transform::op(operation(turn));
        transform.perfect = true;
        transform.copy_none = true;
        let size = turn.of(header.size);
        let most = turbojpeg::compressed_buf_len(size.width.into(), size.height.into(), subsamp).ok()?;
        if self.output.len() != most {
            self.output = Vec::new();
            self.output = vec![0; most];
        }
        let transformer = match &mut self.transformer {
            Some(transformer) => transformer,
            none => none.insert(Transformer::new().ok()?),
        };
        let length = transformer.transform_to_slice(&transform, jpeg, &mut self.output).ok()?;
        Some(&self.output[..length])
    }
}

/// All that is wanted of a JPEG file with a picture of size `source` is that it is turned.
pub fn is_enough(output: &Output, source: Size) -> bool {
    let is_itself = output.coding == Coding::Jpeg && output.quality.is_none();
    is_itself && output.turn != Turn::None && output.size(source) == output.turn.of(source)
}

fn operation(turn: Turn) -> TransformOp {
    match turn {
        Turn::None => TransformOp::None,
        Turn::Clockwise => TransformOp::Rot90,
        Turn::Half => TransformOp::Rot180,
        Turn::Counterclockwise => TransformOp::Rot270,
        Turn::LeftRight => TransformOp::Hflip,
        Turn::TopBottom => TransformOp::Vflip,
        Turn::Transposed => TransformOp::Transpose,
        Turn::Transverse => TransformOp::Transverse,
    }
}

#[cfg(test)]
mod tests {
    use ocelli_codec::recode::Recoder;
    use ocelli_codec::{Encoder, Picture, PixelFormat, Range};

    use super::*;
    use crate::decode::JpegDecoder;
    use crate::picture::Buffer;

    fn jpeg(width: u16, height: u16, format: PixelFormat) -> Vec<u8> {
        let size = Size { width, height };
        let stride = format.row_bytes(width);
        let data: Vec<u8> = (0..format.picture_bytes(size, stride))
            .map(|index| (index % stride * 3 / 2 + index / stride * 5) as u8 / 2)
            .collect();
        let picture = Picture { format, range: Range::Full, size, stride, data: &data };
        Encoder::new(90).unwrap().encode(&picture).unwrap().to_vec()
    }

    fn decoded(jpeg: &[u8]) -> Buffer {
        let (mut decoder, mut recoder) = (JpegDecoder::new().unwrap(), Recoder::new().unwrap());
        let whole = Size { width: u16::MAX, height: u16::MAX };
        let view = decoder.decode(jpeg, whole, &mut recoder).unwrap();
        let mut copy = Buffer::default();
        crate::turn::turn(&view, Turn::None, &mut copy);
        copy
    }

    #[test]
    fn each_turn_is_that_of_the_pixels() {
        let mut turner = Turner::default();
        let file = jpeg(64, 48, PixelFormat::Yu12);
        let from = decoded(&file);
        for turn in Turn::ALL {
            let turned = decoded(turner.turn(&file, turn).unwrap());
            let mut expected = Buffer::default();
            crate::turn::turn(&from.view(), turn, &mut expected);
            assert_eq!(turned.size(), expected.size());
            // The coefficients are the same; their sums are rounded in another order.
            let difference =
                turned.samples().iter().zip(expected.samples()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(difference <= Some(2), "{turn:?}: {difference:?}");
        }
        let again = turner.turn(&file, Turn::Half).unwrap().to_vec();
        let back = turner.turn(&again, Turn::Half).unwrap();
        assert_eq!(decoded(back).samples(), from.samples());
    }

    #[test]
    fn what_would_lose_something_is_left_to_the_pixels() {
        let mut turner = Turner::default();
        let odd = jpeg(70, 48, PixelFormat::Yu12);
        assert!(
            turner.turn(&odd, Turn::LeftRight).is_none(),
            "blocks in part at the right would come to the left"
        );
        assert!(turner.turn(&odd, Turn::TopBottom).is_some());
        assert!(turner.turn(&odd, Turn::Clockwise).is_some());
        assert!(turner.turn(&odd, Turn::Counterclockwise).is_none());
        let yuv422 = jpeg(64, 48, PixelFormat::Yuyv);
        assert!(turner.turn(&yuv422, Turn::Half).is_some());
        assert!(turner.turn(&yuv422, Turn::Clockwise).is_none());
        let file = jpeg(64, 48, PixelFormat::Yu12);
        assert!(turner.turn(&file[..file.len() / 2], Turn::Half).is_none());
        assert!(turner.turn(b"", Turn::Half).is_none());
    }
}
