//! H.264 and H.265 decoded by one FFmpeg process, for all outputs of a camera.
//!
//! Pictures come back as they are, by a pipe: 4:2:0, eight bits, television's range and BT.601's colours, into which FFmpeg changes what
//! is something else. Where something was damaged FFmpeg shows what it makes of it.
//!
//! It begins anew at a keyframe: when it has ended or hangs, when pictures come in another size, and when the camera's clock is set back.

use std::sync::Arc;

use bytes::Bytes;
use ocelli_codec::Range;
use ocelli_codec::worker::protocol::Input;
use ocelli_media::{MediaTime, ParameterSets, Size, Track};

use super::run::Run;
use super::{BEFORE, BEHIND, Program, codec, words};
use crate::decode::{DecodeError, MOST_PIXELS, Shown, to_annex_b};
use crate::picture::{Buffer, Layout, Matrix, Plane, View};

/// So many in a row may end without a picture.
const MOST_FAILED: u32 = 5;

/// A decoder of H.264 or H.265.
#[derive(Debug)]
pub struct Decoder {
    program: Arc<Program>,
    input: Input,
    sets: ParameterSets,
    running: Option<Running>,
    /// When the latest picture is shown that was given.
    latest_us: i64,
    picture: Option<(Size, Bytes)>,
    /// For pictures of odd sides, of which FFmpeg leaves out what is behind them.
    even: Buffer,
    /// How many ended one after the other without a picture.
    failed: u32,
}

#[derive(Debug)]
struct Running {
    run: Run<u32>,
    size: Size,
}

impl Decoder {
    /// One that waits for a keyframe.
    pub fn new(program: Arc<Program>, input: Input) -> Self {
        Self {
            program,
            input,
            sets: ParameterSets::new(codec(input)),
            running: None,
            latest_us: i64::MIN,
            picture: None,
            even: Buffer::default(),
            failed: 0,
        }
    }

    /// Gives an access unit, whose NAL units' lengths become start codes. Its picture has its `tag`.
    ///
    /// # Errors
    /// FFmpeg has ended, does not take it, or nothing is shown before the next keyframe.
    pub fn push(
        &mut self,
        access_unit: &mut [u8],
        tag: u32,
        time_us: i64,
        is_key: bool,
    ) -> Result<(), DecodeError> {
        self.picture = None;
        if is_key {
            self.sets.take_all(access_unit);
            let is_back = time_us <= self.latest_us;
            let size = self.sets.size();
            self.running.take_if(|running| is_back || size.is_some_and(|size| size != running.size));
            self.latest_us = i64::MIN;
        }
        let mut running = match self.running.take() {
            Some(running) => running,
            None if is_key => self.start()?,
            None => return Err(DecodeError::NeedsKeyframe),
        };
        self.latest_us = self.latest_us.max(time_us);
        to_annex_b(access_unit)?;
        match running.run.give(micros(time_us), is_key, access_unit, tag) {
            Ok(()) => self.running = Some(running),
            Err(words) => return Err(self.ended(running.run.has_made, words)),
        }
        Ok(())
    }

    /// The next picture, if one is there or comes of what was given.
    ///
    /// # Errors
    /// FFmpeg has ended, or hangs: nothing more is shown before the next keyframe.
    pub fn pull(&mut self) -> Result<Option<Shown<'_>>, DecodeError> {
        self.picture = None;
        let Some(mut running) = self.running.take() else { return Ok(None) };
        let next = match running.run.next() {
            Ok(next) => next,
            Err(words) => return Err(self.ended(running.run.has_made, words)),
        };
        let size = running.size;
        self.running = Some(running);
        let Some((tag, picture)) = next else { return Ok(None) };
        self.failed = 0;
        if picture.data.len() != bytes_of(size) {
            self.running = None;
            return Err(DecodeError::Refused(format!("FFmpeg's program gives pictures that are not {size}")));
        }
        self.picture = Some((size, picture.data));
        Ok(Some(Shown { view: self.view()?, tag }))
    }

    /// Decodes one keyframe by itself, by a process of its own.
    ///
    /// # Errors
    /// It is damaged, or no keyframe.
    pub fn still(&mut self, access_unit: &mut [u8]) -> Result<Shown<'_>, DecodeError> {
        self.sets.take_all(access_unit);
        let mut running = self.start()?;
        to_annex_b(access_unit)?;
        running.run.give(micros(0), true, access_unit, 0).map_err(DecodeError::Program)?;
        let picture = running.run.only().map_err(DecodeError::Program)?;
        if picture.data.len() != bytes_of(running.size) {
            return Err(DecodeError::Nothing);
        }
        self.picture = Some((running.size, picture.data));
        Ok(Shown { view: self.view()?, tag: 0 })
    }

    fn start(&mut self) -> Result<Running, DecodeError> {
        let size = self.sets.size().ok_or(DecodeError::Damaged)?;
        if u32::from(size.width) * u32::from(size.height) > MOST_PIXELS {
            return Err(DecodeError::Refused("a picture of a size that is not decoded".to_owned()));
        }
        let track = Track::video(codec(self.input), Some(size), Vec::new());
        match Run::start(&self.program.path, &command_line(size), &track) {
            Ok(run) => Ok(Running { run, size }),
            Err(words) => Err(self.ended(false, words)),
        }
    }

    /// The error that one is no more, which `has_made` pictures.
    fn ended(&mut self, has_made: bool, words: String) -> DecodeError {
        self.failed = if has_made { 0 } else { self.failed + 1 };
        if self.failed >= MOST_FAILED {
            DecodeError::ProgramFails(words)
        } else {
            DecodeError::Program(words)
        }
    }

    /// The picture that was taken last.
    fn view(&mut self) -> Result<View<'_>, DecodeError> {
        let Some((size, samples)) = &self.picture else { return Err(DecodeError::Nothing) };
        let (width, height) = (usize::from(size.width), usize::from(size.height));
        let (across, down) = (width.div_ceil(2), height.div_ceil(2));
        let (luma, colours) = samples.split_at(width * height);
        let (blue, red) = colours.split_at(across * down);
        let planes = [(luma, width), (blue, across), (red, across)];
        if width % 2 == 0 && height % 2 == 0 {
            return Ok(View {
                size: *size,
                layout: Layout::Yuv420,
                range: Range::Limited,
                matrix: Matrix::Bt601,
                planes: planes.map(|(samples, stride)| Plane { samples, stride }),
            });
        }
        self.even.reset(*size, Layout::Yuv420);
        (self.even.range, self.even.matrix) = (Range::Limited, Matrix::Bt601);
        for ((columns, to), (from, stride)) in self.even.planes_mut().into_iter().zip(planes) {
            for (to, from) in to.chunks_exact_mut(columns).zip(from.chunks_exact(stride)) {
                to[..stride].copy_from_slice(from);
            }
        }
        self.even.repeat_edges();
        Ok(self.even.view())
    }
}

/// A picture of a time in microseconds.
fn micros(time_us: i64) -> MediaTime {
    const MICROS: std::num::NonZeroU32 = std::num::NonZeroU32::new(1_000_000).expect("not zero");
    MediaTime::new(time_us, MICROS)
}

/// The bytes of a picture in 4:2:0.
fn bytes_of(size: Size) -> usize {
    let (width, height) = (usize::from(size.width), usize::from(size.height));
    width * height + 2 * width.div_ceil(2) * height.div_ceil(2)
}

/// What FFmpeg is told for pictures of `size`.
fn command_line(size: Size) -> Vec<String> {
    let colours = format!("-vf scale={}:{}:out_range=tv:out_color_matrix=bt601", size.width, size.height);
    let coded = "-c:v rawvideo -pix_fmt yuv420p";
    [BEFORE, &colours, coded, BEHIND].into_iter().flat_map(words).collect()
}
