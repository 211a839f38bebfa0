//! What a worker does for its camera: frames are decoded once and shown to the outputs that want them; stills and pictures
//! to be re-encoded are answered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ocelli_codec::recode::{RecodeError, Recoder, Wish};
use ocelli_codec::worker::protocol::{Coding, Input, Outcome, Output, OutputId, Still, Wanted};
use ocelli_media::Size;
use ocelli_media::jpeg::estimate_quality;
use ocelli_media::jpeg::rewrite::Sampling;

use crate::decode::{DecodeError, Decoder, Decoders, JpegDecoder};
use crate::encode::{CODINGS, Encoder, Moment, Shot};
use crate::h264::{self, Kind};
use crate::lossless::{self, Turner};
use crate::outputs::{Outputs, Picture, Sink, micros};
use crate::picture::{Layout, View};
use crate::prepare::{Form, Prepared};

/// Frames whose pictures may still come out of a decoder: more than its order can hold back.
const MOST_PENDING: usize = 32;

/// All that a worker has.
#[derive(Debug)]
pub struct Camera {
    recoder: Recoder,
    jpeg: JpegDecoder,
    stream: Option<(Input, Result<Decoder, DecodeError>)>,
    decoders: Decoders,
    /// For stills, so that the stream's decoder goes on undisturbed. Kept warm.
    still: Option<(Input, Decoder)>,
    stills: Stills,
    turner: Turner,
    outputs: Outputs,
    /// Outputs that have got this frame's file itself, turned.
    turned: Vec<OutputId>,
    pending: VecDeque<Pending>,
    /// Lists to be used again.
    spare: Vec<Vec<(OutputId, bool)>>,
    next_tag: u32,
    decoder_words: String,
    encodes_h264: bool,
}

/// A frame whose picture has not come yet.
#[derive(Debug)]
struct Pending {
    tag: u32,
    moment: Moment,
    wanted: Vec<(OutputId, bool)>,
}

/// An access unit to be decoded.
#[derive(Debug)]
pub struct Frame<'a> {
    /// Its number and time.
    pub moment: Moment,
    /// It stands for itself.
    pub is_key: bool,
    /// What its picture is wanted for.
    pub wanted: Wanted<'a>,
}

/// What came of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// In one word.
    pub outcome: Outcome,
    /// What decoding took, in microseconds.
    pub decode_us: u32,
    /// What the outputs took, in microseconds.
    pub outputs_us: u32,
    /// What is wrong with it, in words; empty where nothing is.
    pub words: String,
}

impl Camera {
    /// One that has seen nothing.
    ///
    /// # Errors
    /// There is no memory for libjpeg-turbo's state.
    pub fn new() -> Result<Self, DecodeError> {
        Self::with(Kind::USUAL, Decoders::default())
    }

    /// One that codes H.264 by the first of `encoders` that works, and decodes streams by `decoders`.
    ///
    /// # Errors
    /// There is no memory for libjpeg-turbo's state.
    pub fn with(encoders: &[Kind], decoders: Decoders) -> Result<Self, DecodeError> {
        let recoder = Recoder::new().map_err(|error| DecodeError::Refused(error.to_string()))?;
        Ok(Self {
            recoder,
            jpeg: JpegDecoder::new()?,
            stream: None,
            decoders,
            still: None,
            stills: Stills::default(),
            turner: Turner::default(),
            outputs: Outputs::new(encoders),
            turned: Vec::new(),
            pending: VecDeque::new(),
            spare: Vec::new(),
            next_tag: 0,
            decoder_words: String::new(),
            encodes_h264: h264::works(encoders),
        })
    }

    /// All codings that are made.
    pub fn codings(&self) -> Vec<Coding> {
        let h264 = self.encodes_h264.then_some(Coding::H264);
        CODINGS.iter().copied().chain(h264).collect()
    }

    /// What decodes streams.
    pub fn decoders(&self) -> &Decoders {
        &self.decoders
    }

    /// Re-encodes a JPEG.
    ///
    /// # Errors
    /// It is damaged or not decoded, or the wish is outside its range.
    pub fn recode(&mut self, jpeg: &[u8], wish: &Wish) -> Result<(Size, &[u8]), RecodeError> {
        self.recoder.recode(jpeg, wish)
    }

    /// Says what the frames that follow are.
    pub fn set_input(&mut self, input: Input) {
        self.forget();
        self.stream = match input {
            Input::Jpeg => None,
            input => Some((input, self.decoders.open(input))),
        };
        self.decoder_words = match &self.stream {
            None => "JPEG by libjpeg-turbo".to_owned(),
            Some((input, Ok(decoder))) => format!("{input} by {}", decoder.words()),
            Some((_, Err(error))) => error.to_string(),
        };
    }

    /// Makes or changes an output.
    ///
    /// # Errors
    /// The sink's.
    pub fn set_output<S: Sink>(
        &mut self,
        id: OutputId,
        output: Output,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        self.outputs.set(id, output, sink)
    }

    /// Ends an output.
    pub fn end_output(&mut self, id: OutputId) {
        self.outputs.end(id);
    }

    /// Decodes a frame and gives the pieces that come of it. Its bytes are changed.
    ///
    /// # Errors
    /// The sink's.
    pub fn frame<S: Sink>(
        &mut self,
        frame: &Frame<'_>,
        data: &mut [u8],
        sink: &mut S,
    ) -> Result<Done, S::Error> {
        if self.stream.is_some() { self.access_unit(frame, data, sink) } else { self.file(frame, data, sink) }
    }

    /// A JPEG file: no larger decoded than the largest output.
    fn file<S: Sink>(&mut self, frame: &Frame<'_>, jpeg: &[u8], sink: &mut S) -> Result<Done, S::Error> {
        let start = Instant::now();
        let done = |outcome, decode, outputs| Done {
            outcome,
            decode_us: micros(decode),
            outputs_us: micros(outputs),
            words: String::new(),
        };
        let source = match JpegDecoder::size(jpeg) {
            Ok(source) => source,
            Err(error) => {
                self.outputs.missed(frame.wanted.iter());
                let done = done(Outcome::Damaged, start.elapsed(), Duration::ZERO);
                return Ok(Done { words: error.to_string(), ..done });
            }
        };
        self.turned.clear();
        let (outputs, turned) = (&mut self.outputs, &mut self.turned);
        outputs.turn(jpeg, source, frame.moment, frame.wanted.iter(), turned, sink)?;
        let turning = start.elapsed();
        let turned = &self.turned;
        let wanted = || frame.wanted.iter().filter(|(id, _)| !turned.contains(id));
        let start = Instant::now();
        let Some(least) = self.outputs.least(source, wanted()) else {
            return Ok(done(Outcome::Shown, start.elapsed(), turning));
        };
        let view = match self.jpeg.decode(jpeg, least, &mut self.recoder) {
            Ok(view) => view,
            Err(error) => {
                self.outputs.missed(wanted());
                let done = done(Outcome::Damaged, start.elapsed(), turning);
                return Ok(Done { words: error.to_string(), ..done });
            }
        };
        let between = Instant::now();
        let picture = Picture {
            view,
            source,
            moment: frame.moment,
            source_quality: estimate_quality(jpeg),
            decoder: &self.decoder_words,
        };
        self.outputs.show(&picture, wanted(), sink)?;
        Ok(done(Outcome::Shown, between.duration_since(start), between.elapsed() + turning))
    }

    fn access_unit<S: Sink>(
        &mut self,
        frame: &Frame<'_>,
        data: &mut [u8],
        sink: &mut S,
    ) -> Result<Done, S::Error> {
        let start = Instant::now();
        let mut outputs = Duration::ZERO;
        let tag = self.wait_for(frame);
        let Self { stream, outputs: list, pending, spare, decoder_words, .. } = self;
        let decoder = match stream {
            Some((_, Ok(decoder))) => decoder,
            other => {
                list.missed(frame.wanted.iter());
                let why = other.as_ref().and_then(|(_, decoder)| decoder.as_ref().err());
                let words = why.map(ToString::to_string).unwrap_or_default();
                return Ok(Done { outcome: Outcome::NeedsKeyframe, decode_us: 0, outputs_us: 0, words });
            }
        };
        let mut result = decoder.push(data, tag, frame.moment.time_us, frame.is_key);
        let mut outcome = Outcome::Later;
        while result.is_ok() {
            match decoder.pull() {
                Ok(None) => break,
                Ok(Some(shown)) => {
                    outcome = Outcome::Shown;
                    let Some(index) = pending.iter().position(|pending| pending.tag == shown.tag) else {
                        continue;
                    };
                    let Some(frame) = pending.remove(index) else { continue };
                    let between = Instant::now();
                    let picture = Picture {
                        view: shown.view,
                        source: shown.view.size,
                        moment: frame.moment,
                        source_quality: None,
                        decoder: decoder_words,
                    };
                    list.show(&picture, frame.wanted.iter().copied(), sink)?;
                    spare.push(frame.wanted);
                    outputs += between.elapsed();
                }
                Err(error) => result = Err(error),
            }
        }
        let mut words = String::new();
        match result {
            Ok(()) => {}
            Err(error) => {
                outcome = match &error {
                    DecodeError::NeedsKeyframe | DecodeError::Program(_) | DecodeError::ProgramFails(_) => {
                        Outcome::NeedsKeyframe
                    }
                    error => {
                        words = error.to_string();
                        Outcome::Damaged
                    }
                };
                match error {
                    DecodeError::Program(words) => self.outputs.warn(&words, sink)?,
                    DecodeError::ProgramFails(words) => self.outputs.end_all(&words, sink)?,
                    _ => {}
                }
                self.forget();
            }
        }
        let decode = start.elapsed().saturating_sub(outputs);
        Ok(Done { outcome, decode_us: micros(decode), outputs_us: micros(outputs), words })
    }

    /// Remembers what a frame's picture is wanted for.
    fn wait_for(&mut self, frame: &Frame<'_>) -> u32 {
        let tag = self.next_tag;
        self.next_tag = (tag + 1) & (u32::MAX >> 1);
        if self.pending.len() >= MOST_PENDING
            && let Some(oldest) = self.pending.pop_front()
        {
            self.outputs.missed(oldest.wanted.iter().copied());
            self.spare.push(oldest.wanted);
        }
        let mut wanted = self.spare.pop().unwrap_or_default();
        wanted.clear();
        wanted.extend(frame.wanted.iter());
        self.pending.push_back(Pending { tag, moment: frame.moment, wanted });
        tag
    }

    /// What waits does not come any more.
    fn forget(&mut self) {
        for pending in self.pending.drain(..) {
            self.outputs.missed(pending.wanted.iter().copied());
            self.spare.push(pending.wanted);
        }
    }

    /// Makes a JPEG of one keyframe, whose bytes are changed, and gives it to `take`.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn still<T>(
        &mut self,
        still: &Still,
        data: &mut [u8],
        take: impl FnOnce(Size, &[u8]) -> T,
    ) -> Result<T, String> {
        let words = |error: DecodeError| error.to_string();
        let mut output = Output::new(Coding::Jpeg);
        output.turn = still.turn;
        output.quality = still.wish.quality;
        let most = |side: u16| Some(side).filter(|side| *side > 0);
        (output.width, output.height) = (most(still.wish.most.width), most(still.wish.most.height));
        let (view, source, source_quality) = if still.input == Input::Jpeg {
            let source = JpegDecoder::size(data).map_err(words)?;
            if still.wish.sampling.is_none()
                && lossless::is_enough(&output, source)
                && let Some(turned) = self.turner.turn(data, still.turn)
            {
                return Ok(take(output.size(source), turned));
            }
            let least = still.turn.of(output.size(source));
            let view = self.jpeg.decode(data, least, &mut self.recoder).map_err(words)?;
            (view, source, estimate_quality(data))
        } else {
            if self.still.as_ref().is_none_or(|(input, _)| *input != still.input) {
                self.still = Some((still.input, self.decoders.open_for_stills(still.input).map_err(words)?));
            }
            let Some((_, decoder)) = &mut self.still else { return Err("no decoder".to_owned()) };
            let shown = decoder.still(data).map_err(words)?;
            (shown.view, shown.view.size, None)
        };
        self.stills.encode(&output, still.wish.sampling, &view, source, source_quality, take)
    }
}

/// What stills are made with, kept from one to the next.
#[derive(Debug, Default)]
struct Stills {
    prepared: Prepared,
    encoder: Option<Encoder>,
}

impl Stills {
    fn encode<T>(
        &mut self,
        output: &Output,
        sampling: Option<Sampling>,
        view: &View<'_>,
        source: Size,
        source_quality: Option<u8>,
        take: impl FnOnce(Size, &[u8]) -> T,
    ) -> Result<T, String> {
        let size = output.size(source);
        let kept = self.encoder.take().and_then(|mut encoder| encoder.change(output).then_some(encoder));
        let mut encoder = match kept {
            Some(encoder) => encoder,
            None => Encoder::new(output, &[]).map_err(|error| error.to_string())?,
        };
        let layout = match sampling {
            Some(Sampling::Yuv420) => Layout::Yuv420,
            Some(Sampling::Yuv422) => Layout::Yuv422,
            None => encoder.layout(view.layout),
        };
        // Turned, colour as coarse across as down stays so.
        let layout = if output.turn.swaps_sides() { Layout::Yuv420 } else { layout };
        let (range, matrix) = encoder.colours(view);
        let form = Form { size: output.turn.of(size), layout, range, matrix, turn: output.turn };
        self.prepared.next();
        let view = self.prepared.get(view, &form).map_err(|error| error.to_string())?;
        let moment = Moment { number: 0, time_us: 0 };
        let encoded = encoder.encode(&view, &Shot { moment, keyframe: true, source_quality });
        let taken = match encoded {
            Ok(Some(encoded)) => Ok(take(size, encoded.data)),
            Ok(None) => Err("the encoder gives no picture".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        self.encoder = Some(encoder);
        taken
    }
}
