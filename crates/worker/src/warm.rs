//! What is done once before the worker is confined: the libraries ask the system what the processor can do, by files on
//! some, when they are first used.

use ocelli_codec::recode::Wish;
use ocelli_codec::worker::protocol::{Input, Still};
use ocelli_codec::{Canvas, Encoder};
use ocelli_media::{Size, Turn};

use crate::camera::Camera;
use crate::decode::DecodeError;

/// Keyframes of 64x48, NAL units behind their lengths.
const H264: &[u8] = include_bytes!("../testdata/keyframe.h264");
const H265: &[u8] = include_bytes!("../testdata/keyframe.h265");

/// Decodes, scales and encodes once by each library.
pub(crate) fn up(camera: &mut Camera) -> Result<(), DecodeError> {
    let refused = |words: String| DecodeError::Refused(format!("the first picture fails: {words}"));
    let canvas = Canvas::new(Size { width: 64, height: 48 });
    let jpeg = Encoder::new(50).and_then(|mut encoder| encoder.encode_canvas(&canvas));
    let jpeg = jpeg.map_err(|error| refused(error.to_string()))?;
    let wish = Wish { quality: None, sampling: None, most: Size { width: 24, height: 24 } };
    camera.recode(&jpeg, &wish).map_err(|error| refused(error.to_string()))?;
    for input in [Input::Jpeg].into_iter().chain(camera.decoders().within()) {
        let mut picture = match input {
            Input::Jpeg => jpeg.to_vec(),
            Input::H264 => H264.to_vec(),
            Input::H265 => H265.to_vec(),
        };
        let still = Still { input, wish, turn: Turn::None };
        camera.still(&still, &mut picture, |_, _| ()).map_err(refused)?;
    }
    Ok(())
}
