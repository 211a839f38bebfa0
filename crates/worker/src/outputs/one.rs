//! One output: its encoder, made anew where the sizes change, and the picture that it makes of each.

use std::time::Instant;

use ocelli_codec::worker::protocol::{NoteKind, Output, OutputId, Piece};
use ocelli_media::Size;

use super::{MOST_REFUSED, Picture, Sink, micros};
use crate::encode::{EncodeError, Encoder, Shot};
use crate::h264::Kind;
use crate::picture::{Layout, View};
use crate::prepare::{Form, Prepared};

#[derive(Debug)]
pub(super) struct State {
    pub(super) id: OutputId,
    pub(super) output: Output,
    pub(super) encoder: Option<Running>,
    /// The last picture was turned without being decoded.
    pub(super) is_lossless: bool,
    /// A keyframe was wanted of a picture that did not come.
    pub(super) keyframe: bool,
    pub(super) refused: u32,
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) encoder: Encoder,
    /// Sizes of the source and of what is made.
    pub(super) sizes: (Size, Size),
}

impl State {
    /// Makes one picture. The inner error says why there is none, in words.
    pub(super) fn make<S: Sink>(
        &mut self,
        picture: &Picture<'_>,
        prepared: &mut Prepared,
        kinds: &[Kind],
        sink: &mut S,
    ) -> Result<Result<(), String>, S::Error> {
        let size = self.output.size(picture.source);
        if let Err(words) = self.have_encoder(picture, size, kinds, sink)? {
            return Ok(Err(words));
        }
        let Some(Running { encoder, .. }) = &mut self.encoder else { return Ok(Ok(())) };
        let start = Instant::now();
        let turn = self.output.turn;
        let mut layout = encoder.layout(picture.view.layout);
        if turn.swaps_sides() && layout == Layout::Yuv422 {
            layout = Layout::Yuv420;
        }
        // A turn of sides is its own inverse, as far as sizes go.
        let (range, matrix) = encoder.colours(&picture.view);
        let form = Form { size: turn.of(size), layout, range, matrix, turn };
        let source = cropped(&picture.view, form.size);
        let view = match prepared.get(&source, &form) {
            Ok(view) => view,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let between = Instant::now();
        let shot =
            Shot { moment: picture.moment, keyframe: self.keyframe, source_quality: picture.source_quality };
        match encoder.encode(&view, &shot) {
            Ok(encoded) => {
                self.keyframe = false;
                self.refused = 0;
                if let Some(encoded) = encoded {
                    let piece = Piece {
                        id: self.id,
                        number: encoded.moment.number,
                        time_us: encoded.moment.time_us,
                        key: encoded.key,
                        size,
                        scale_us: micros(between.duration_since(start)),
                        encode_us: micros(between.elapsed()),
                    };
                    sink.piece(&piece, encoded.data)?;
                }
                Ok(Ok(()))
            }
            Err(error) => {
                if matches!(error, EncodeError::NoEncoder(_)) {
                    self.refused = MOST_REFUSED - 1;
                }
                Ok(Err(error.to_string()))
            }
        }
    }

    /// Makes the encoder, if there is none for these sizes, and says how pictures are made where that is new. The inner error
    /// says why there is none, in words.
    fn have_encoder<S: Sink>(
        &mut self,
        picture: &Picture<'_>,
        size: Size,
        kinds: &[Kind],
        sink: &mut S,
    ) -> Result<Result<(), String>, S::Error> {
        let sizes = (picture.source, size);
        if self.encoder.as_ref().is_none_or(|running| running.sizes != sizes) {
            let encoder = match Encoder::new(&self.output, kinds) {
                Ok(encoder) => encoder,
                Err(error) => return Ok(Err(error.to_string())),
            };
            sink.note(self.id, NoteKind::Way, &self.words(picture, size, &encoder))?;
            self.encoder = Some(Running { encoder, sizes });
        }
        let has_news = self.encoder.as_mut().is_some_and(|running| running.encoder.has_news());
        if let Some(Running { encoder, .. }) = self.encoder.as_ref().filter(|_| has_news) {
            sink.note(self.id, NoteKind::Way, &self.words(picture, size, encoder))?;
        }
        Ok(Ok(()))
    }

    /// "JPEG by libjpeg-turbo at 960x540, scaled to 640x360, JPEG by libjpeg-turbo".
    fn words(&self, picture: &Picture<'_>, size: Size, encoder: &Encoder) -> String {
        let mut words = picture.decoder.to_owned();
        if picture.view.size != picture.source {
            words += &format!(" at {}", picture.view.size);
        }
        let turn = self.output.turn;
        if turn.of(size) != cropped(&picture.view, turn.of(size)).size {
            words += &format!(", scaled to {}", turn.of(size));
        }
        if turn != ocelli_media::Turn::None {
            words += ", turned";
        }
        words + ", " + &encoder.words()
    }
}

/// Where only odd sides are to become even, the last column and row are left out: to scale all others for their sake would make
/// them less sharp.
fn cropped<'a>(view: &View<'a>, size: Size) -> View<'a> {
    let even = Size { width: view.size.width & !1, height: view.size.height & !1 };
    if size == even { View { size, ..*view } } else { *view }
}

#[cfg(all(test, feature = "libav"))]
mod tests {
    use std::convert::Infallible;

    use ocelli_codec::Range;
    use ocelli_codec::worker::protocol::{Coding, Input};

    use super::*;
    use crate::decode::StreamDecoder;
    use crate::encode::Moment;
    use crate::outputs::Outputs;
    use crate::picture::{Buffer, Matrix};

    #[derive(Default)]
    struct Given {
        pieces: Vec<(Size, Vec<u8>)>,
        notes: Vec<String>,
    }

    impl Sink for Given {
        type Error = Infallible;

        fn piece(&mut self, piece: &Piece, data: &[u8]) -> Result<(), Infallible> {
            self.pieces.push((piece.size, data.to_vec()));
            Ok(())
        }

        fn note(&mut self, _: OutputId, _: NoteKind, words: &str) -> Result<(), Infallible> {
            self.notes.push(words.to_owned());
            Ok(())
        }
    }

    /// Columns of light and dark, which scaling would make grey.
    #[test]
    fn odd_pictures_are_cropped_for_h264_and_not_scaled() {
        let size = Size { width: 65, height: 49 };
        let mut buffer = Buffer::default();
        buffer.reset(size, Layout::Yuv420);
        (buffer.range, buffer.matrix) = (Range::Limited, Matrix::Bt601);
        let [(columns, luma), (_, blue), (_, red)] = buffer.planes_mut();
        for row in luma.chunks_exact_mut(columns) {
            row.iter_mut().enumerate().for_each(|(x, sample)| *sample = if x % 2 == 0 { 60 } else { 180 });
        }
        blue.fill(128);
        red.fill(128);
        let (mut outputs, mut given) = (Outputs::new(Kind::USUAL), Given::default());
        let output = Output { bit_rate_kbps: 8000, ..Output::new(Coding::H264) };
        let Ok(()) = outputs.set(OutputId(1), output, &mut given);
        let moment = Moment { number: 1, time_us: 0 };
        let picture =
            Picture { view: buffer.view(), source: size, moment, source_quality: None, decoder: "a test" };
        for _ in 0..2 {
            let Ok(()) = outputs.show(&picture, [(OutputId(1), false)].into_iter(), &mut given);
        }
        assert_eq!(given.notes, ["a test, H.264", "a test, H.264 by x264"]);
        let (size, data) = &mut given.pieces[0];
        assert_eq!(*size, Size { width: 64, height: 48 });
        let mut decoder = StreamDecoder::new(Input::H264, &[]).unwrap();
        let shown = decoder.still(data).unwrap();
        for row in shown.view.rows(0) {
            assert!(row.chunks_exact(2).all(|pair| pair[0].abs_diff(60) < 20 && pair[1].abs_diff(180) < 20));
        }
    }
}
