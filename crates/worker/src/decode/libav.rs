//! H.264 and H.265 by libavcodec.
//!
//! Nothing torn is shown. When something of a picture was missing, nothing comes until the next keyframe, at which the
//! decoder forgets everything; that costs no decoding meanwhile. Only pictures that are shown before the keyframe behind
//! which they come are left out by themselves: in an open group they refer to what was before it.
//!
//! What libavcodec knows: of H.264 everything that cannot be; of H.265 a picture that is missing and a NAL unit that breaks
//! the syntax, but not bytes within a slice that are others and mean something. Losses on the network are found where
//! packets are counted, and never come here.

use ocelli_codec::worker::protocol::Input;

use super::{DecodeError, MOST_PIXELS, Shown, to_annex_b};
use crate::libav;

/// A decoder of H.264 or H.265.
#[derive(Debug)]
pub struct StreamDecoder {
    decoder: libav::Decoder,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing whole has come, or something was damaged.
    NeedsKeyframe,
    /// Since the keyframe that is shown at this time.
    Going { keyframe_us: i64 },
}

impl StreamDecoder {
    /// What this worker decodes of streams, where its libavcodec has all of it.
    pub const INPUTS: &[Input] = &[Input::H264, Input::H265];

    /// One that waits for a keyframe.
    ///
    /// # Errors
    /// The libavcodec that runs has no such decoder, or there is no memory.
    pub fn new(input: Input) -> Result<Self, DecodeError> {
        let decoder = libav::Decoder::new(input, MOST_PIXELS).ok_or(DecodeError::NoDecoder(input))?;
        Ok(Self { decoder, state: State::NeedsKeyframe })
    }

    /// With what it decodes, in words.
    pub fn words() -> String {
        libav::version()
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
        let keyframe_us = match self.state {
            State::NeedsKeyframe if !is_key => return Err(DecodeError::NeedsKeyframe),
            State::NeedsKeyframe => {
                self.decoder.flush();
                time_us
            }
            State::Going { .. } if is_key => time_us,
            State::Going { keyframe_us } => keyframe_us,
        };
        self.state = State::Going { keyframe_us };
        let is_leading = time_us < keyframe_us;
        let sent = to_annex_b(access_unit).and_then(|()| {
            let sent = self.decoder.send(access_unit, i64::from(tag) << 1 | i64::from(is_leading));
            sent.map_err(|error| DecodeError::Refused(error.to_string()))
        });
        match sent {
            Ok(is_missing) if is_missing && !is_leading => Err(self.damaged()),
            Ok(_) => Ok(()),
            // Left out without harm.
            Err(_) if is_leading => Ok(()),
            Err(error) => {
                self.damaged();
                Err(error)
            }
        }
    }

    /// The next picture, if one is there.
    ///
    /// # Errors
    /// It is damaged: nothing more is shown before the next keyframe.
    pub fn pull(&mut self) -> Result<Option<Shown<'_>>, DecodeError> {
        loop {
            match self.decoder.receive() {
                Ok(None) => return Ok(None),
                Ok(Some(picture)) if !picture.is_damaged => break,
                Ok(Some(picture)) if picture.tag & 1 == 1 => {}
                Ok(Some(_)) | Err(_) => return Err(self.damaged()),
            }
        }
        // Once more: the borrow checker would not let go of a picture that a loop may return.
        Ok(self.decoder.again().map(|picture| Shown { view: picture.view, tag: (picture.tag >> 1) as u32 }))
    }

    /// Decodes one keyframe by itself, and forgets it.
    ///
    /// # Errors
    /// It is damaged, or no keyframe.
    pub fn still(&mut self, access_unit: &mut [u8]) -> Result<Shown<'_>, DecodeError> {
        self.state = State::NeedsKeyframe;
        self.decoder.flush();
        self.push(access_unit, 0, 0, true)?;
        self.decoder.end().map_err(|error| DecodeError::Refused(error.to_string()))?;
        self.pull()?.ok_or(DecodeError::Nothing)
    }

    fn damaged(&mut self) -> DecodeError {
        self.state = State::NeedsKeyframe;
        DecodeError::Damaged
    }
}
