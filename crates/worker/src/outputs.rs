//! The outputs of a camera: which there are, what each picture is wanted for, and what becomes of one that cannot be made.

mod one;

use std::time::Instant;

use ocelli_codec::worker::protocol::{NoteKind, Output, OutputId, Piece};
use ocelli_media::Size;

use self::one::State;
use crate::encode::Moment;
use crate::h264::Kind;
use crate::lossless::{self, Turner};
use crate::picture::View;
use crate::prepare::Prepared;

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

    /// Says something of all of them.
    ///
    /// # Errors
    /// The sink's.
    pub fn warn<S: Sink>(&self, words: &str, sink: &mut S) -> Result<(), S::Error> {
        self.list.iter().try_for_each(|state| sink.note(state.id, NoteKind::Warning, words))
    }

    /// Ends all of them: there are no pictures to be had.
    ///
    /// # Errors
    /// The sink's.
    pub fn end_all<S: Sink>(&mut self, words: &str, sink: &mut S) -> Result<(), S::Error> {
        self.list.drain(..).try_for_each(|state| sink.note(state.id, NoteKind::Ended, words))
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

/// A time in microseconds, as messages carry it.
pub fn micros(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
