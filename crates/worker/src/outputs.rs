//! The outputs of a camera: what is wanted, the encoders, and one picture for all of them.

use std::time::Instant;

use ocelli_codec::worker::protocol::{NoteKind, Output, OutputId, Piece};
use ocelli_media::Size;

use crate::encode::{EncodeError, Encoder, Moment, Shot};
use crate::h264::Kind;
use crate::lossless::{self, Turner};
use crate::picture::{Layout, View};
use crate::prepare::{Form, Prepared};

/// Most outputs of one worker; what is asked beyond is ended at once.
const MOST_OUTPUTS: usize = 256;
/// Pictures in a row that an encoder may refuse before its output ends.
const MOST_REFUSED: u32 = 30;

/// Takes what the outputs make.
pub trait Sink {
    /// Why it takes nothing more.
    type Error;

    /// A coded picture.
    ///
    /// # Errors
    /// The pipe broke.
    fn piece(&mut self, piece: &Piece, data: &[u8]) -> Result<(), Self::Error>;

    /// Something about an output.
    ///
    /// # Errors
    /// The pipe broke.
    fn note(&mut self, id: OutputId, kind: NoteKind, words: &str) -> Result<(), Self::Error>;
}

/// A decoded picture and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Its planes.
    pub view: View<'a>,
    /// The size of the source's picture, of which `view` may be a smaller one.
    pub source: Size,
    /// What it shows.
    pub moment: Moment,
    /// Quality of the source's JPEG, if it is one and that can be told.
    pub source_quality: Option<u8>,
    /// By what it was decoded.
    pub decoder: &'a str,
}

/// All outputs of a camera.
#[derive(Debug, Default)]
pub struct Outputs {
    list: Vec<State>,
    prepared: Prepared,
    /// Encoders of H.264, in the order in which they are tried.
    kinds: Vec<Kind>,
    turner: Turner,
    /// Places in `list`, of what one picture is wanted for.
    order: Vec<usize>,
}

#[derive(Debug)]
struct State {
    id: OutputId,
    output: Output,
    encoder: Option<Running>,
    /// The last picture was turned without being decoded.
    is_lossless: bool,
    /// A keyframe was wanted of a picture that did not come.
    keyframe: bool,
    refused: u32,
}

#[derive(Debug)]
struct Running {
    encoder: Encoder,
    /// Sizes of the source and of what is made.
    sizes: (Size, Size),
}

impl Outputs {
    /// Outputs of which those of H.264 are made by the first of `kinds` that works.
    pub fn new(kinds: &[Kind]) -> Self {
        Self { kinds: kinds.to_vec(), ..Self::default() }
    }

    /// Makes or changes an output.
    ///
    /// # Errors
    /// The sink's.
    pub fn set<S: Sink>(&mut self, id: OutputId, output: Output, sink: &mut S) -> Result<(), S::Error> {
        if let Some(state) = self.list.iter_mut().find(|state| state.id == id) {
            let is_same_kind = (output.coding, output.turn) == (state.output.coding, state.output.turn);
            let encoder = state.encoder.take();
            state.encoder = encoder.filter(|_| is_same_kind);
            if let Some(running) = &mut state.encoder
                && (output.size(running.sizes.0) != running.sizes.1 || !running.encoder.change(&output))
            {
                state.encoder = None;
            }
            state.output = output;
            return Ok(());
        }
        if self.list.len() >= MOST_OUTPUTS {
            return sink.note(id, NoteKind::Ended, "too many outputs");
        }
        self.list.push(State { id, output, encoder: None, is_lossless: false, keyframe: false, refused: 0 });
        Ok(())
    }

    /// Ends an output.
    pub fn end(&mut self, id: OutputId) {
        self.list.retain(|state| state.id != id);
    }

    /// The least size of a picture of `source`, before it is turned, that is enough for all that is wanted. `None` if
    /// nothing is.
    pub fn least(&self, source: Size, wanted: impl Iterator<Item = (OutputId, bool)>) -> Option<Size> {
        let sizes = wanted.filter_map(|(id, _)| self.list.iter().find(|state| state.id == id)).map(|state| {
            let output = &state.output;
            output.turn.of(output.size(source))
        });
        sizes.reduce(|one, other| Size {
            width: one.width.max(other.width),
            height: one.height.max(other.height),
        })
    }

    /// Gives a JPEG file, turned without being decoded, to those outputs for which that is enough, and adds them to
    /// `turned`.
    ///
    /// # Errors
    /// The sink's.
    pub fn turn<S: Sink>(
        &mut self,
        jpeg: &[u8],
        source: Size,
        moment: Moment,
        wanted: impl Iterator<Item = (OutputId, bool)>,
        turned: &mut Vec<OutputId>,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        for (id, _) in wanted {
            let Some(state) = self.list.iter_mut().find(|state| state.id == id) else { continue };
            if turned.contains(&id) {
                continue;
            }
            let start = Instant::now();
            let is_enough = lossless::is_enough(&state.output, source);
            let data = if is_enough { self.turner.turn(jpeg, state.output.turn) } else { None };
            let Some(data) = data else {
                state.is_lossless = false;
                continue;
            };
            if !state.is_lossless {
                sink.note(id, NoteKind::Way, "JPEG turned by libjpeg-turbo without loss")?;
                (state.is_lossless, state.encoder) = (true, None);
            }
            (state.keyframe, state.refused) = (false, 0);
            let Moment { number, time_us } = moment;
            let (size, encode_us) = (state.output.size(source), micros(start.elapsed()));
            let piece = Piece { id, number, time_us, key: true, size, scale_us: 0, encode_us };
            sink.piece(&piece, data)?;
            turned.push(id);
        }
        Ok(())
    }

    /// What is wanted of a picture that does not come is remembered where it is a keyframe.
    pub fn missed(&mut self, wanted: impl Iterator<Item = (OutputId, bool)>) {
        for (id, keyframe) in wanted {
            if let Some(state) = self.list.iter_mut().find(|state| state.id == id) {
                state.keyframe |= keyframe;
            }
        }
    }

    /// Makes what is wanted of a picture, the largest first.
    ///
    /// # Errors
    /// The sink's.
    pub fn show<S: Sink>(
        &mut self,
        picture: &Picture<'_>,
        wanted: impl Iterator<Item = (OutputId, bool)>,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        self.prepared.next();
        self.order.clear();
        for (id, keyframe) in wanted {
            if let Some(index) = self.list.iter().position(|state| state.id == id) {
                self.list[index].keyframe |= keyframe;
                if !self.order.contains(&index) {
                    self.order.push(index);
                }
            }
        }
        let pixels = |index: &usize| {
            let size = self.list[*index].output.size(picture.source);
            u32::from(size.width) * u32::from(size.height)
        };
        self.order.sort_by_key(|index| std::cmp::Reverse(pixels(index)));
        let mut has_ended = false;
        for index in &self.order {
            let state = &mut self.list[*index];
            if let Err(words) = state.make(picture, &mut self.prepared, &self.kinds, sink)? {
                state.refused += 1;
                // The encoder may be what is broken.
                let is_new = state.encoder.take().is_none();
                if is_new || state.refused >= MOST_REFUSED {
                    sink.note(state.id, NoteKind::Ended, &words)?;
                    state.refused = u32::MAX;
                    has_ended = true;
                } else if state.refused == 1 {
                    sink.note(state.id, NoteKind::Warning, &words)?;
                }
            }
        }
        if has_ended {
            self.list.retain(|state| state.refused != u32::MAX);
        }
        Ok(())
    }
}

impl State {
    /// Makes one picture. The inner error says why there is none, in words.
    fn make<S: Sink>(
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

/// A time in microseconds, as messages carry it.
pub fn micros(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(all(test, feature = "libav"))]
mod tests {
    use std::convert::Infallible;

    use ocelli_codec::Range;
    use ocelli_codec::worker::protocol::{Coding, Input};

    use super::*;
    use crate::decode::StreamDecoder;
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
