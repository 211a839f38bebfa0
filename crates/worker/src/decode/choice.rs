//! What decodes a stream: the library that this worker was built with, or the FFmpeg program where that lacks the codec, or for all
//! that it can.

use std::sync::Arc;

use ocelli_codec::worker::protocol::Input;

use super::{DecodeError, Device, Shown, StreamDecoder};
use crate::program::{self, Program};

/// What there is to decode streams by.
#[derive(Clone, Debug, Default)]
pub struct Decoders {
    /// Hardware for the library, in the order in which it is tried.
    pub devices: Vec<Device>,
    /// The FFmpeg program, where it may be used.
    pub program: Option<Arc<Program>>,
    /// It is used for all that it can, and not only where the library cannot.
    pub program_first: bool,
}

/// A decoder of H.264 or H.265.
#[derive(Debug)]
pub enum Decoder {
    /// By a library within this process.
    Library(StreamDecoder),
    /// By the FFmpeg program.
    Program(Box<program::Decoder>),
}

impl Decoders {
    /// The codecs of streams that are decoded.
    pub fn inputs(&self) -> Vec<Input> {
        let by_library = StreamDecoder::inputs();
        let program = self.program.as_deref();
        let can = |input: &Input| {
            by_library.contains(input) || program.is_some_and(|program| program.decodes(*input))
        };
        [Input::H264, Input::H265].into_iter().filter(can).collect()
    }

    /// The codecs of streams that are decoded within this process.
    pub fn within(&self) -> Vec<Input> {
        let by_library = StreamDecoder::inputs().into_iter();
        by_library.filter(|input| self.program_for(*input).is_none()).collect()
    }

    /// By what streams are decoded, in words.
    pub fn words(&self) -> String {
        let by_program =
            [Input::H264, Input::H265].into_iter().filter(|input| self.program_for(*input).is_some());
        let by_program: Vec<_> = by_program.map(|input| input.to_string()).collect();
        match &by_program[..] {
            [] => StreamDecoder::library(),
            inputs => format!("{}; {} by FFmpeg's program", StreamDecoder::library(), inputs.join(" and ")),
        }
    }

    /// A decoder that waits for a keyframe.
    ///
    /// # Errors
    /// There is none, or no memory.
    pub fn open(&self, input: Input) -> Result<Decoder, DecodeError> {
        match self.program_for(input) {
            Some(program) => Ok(Decoder::Program(Box::new(program::Decoder::new(program.clone(), input)))),
            None => StreamDecoder::new(input, &self.devices).map(Decoder::Library),
        }
    }

    /// The same for stills, which no device decodes.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub fn open_for_stills(&self, input: Input) -> Result<Decoder, DecodeError> {
        match self.program_for(input) {
            Some(_) => self.open(input),
            None => StreamDecoder::new(input, &[]).map(Decoder::Library),
        }
    }

    fn program_for(&self, input: Input) -> Option<&Arc<Program>> {
        let program = self.program.as_ref().filter(|program| program.decodes(input));
        program.filter(|_| self.program_first || !StreamDecoder::inputs().contains(&input))
    }
}

impl Decoder {
    /// With what it decodes, in words.
    pub fn words(&self) -> String {
        match self {
            Self::Library(decoder) => decoder.words(),
            Self::Program(_) => "FFmpeg's program".to_owned(),
        }
    }

    /// Gives an access unit, whose NAL units' lengths become start codes. Its picture has its `tag`, less than 2^31.
    ///
    /// # Errors
    /// It is damaged, or nothing is shown before the next keyframe. There is nothing to pull then.
    pub fn push(
        &mut self,
        access_unit: &mut [u8],
        tag: u32,
        time_us: i64,
        is_key: bool,
    ) -> Result<(), DecodeError> {
        match self {
            Self::Library(decoder) => decoder.push(access_unit, tag, time_us, is_key),
            Self::Program(decoder) => decoder.push(access_unit, tag, time_us, is_key),
        }
    }

    /// The next picture, if one is there.
    ///
    /// # Errors
    /// It is damaged: nothing more is shown before the next keyframe.
    pub fn pull(&mut self) -> Result<Option<Shown<'_>>, DecodeError> {
        match self {
            Self::Library(decoder) => decoder.pull(),
            Self::Program(decoder) => decoder.pull(),
        }
    }

    /// Decodes one keyframe by itself, and forgets it.
    ///
    /// # Errors
    /// It is damaged, or no keyframe.
    pub fn still(&mut self, access_unit: &mut [u8]) -> Result<Shown<'_>, DecodeError> {
        match self {
            Self::Library(decoder) => decoder.still(access_unit),
            Self::Program(decoder) => decoder.still(access_unit),
        }
    }
}
