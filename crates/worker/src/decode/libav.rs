//! H.264 and H.265 by libavcodec.
//!
//! Nothing torn is shown. When something of a picture was missing, nothing comes until the next keyframe, at which the
//! decoder forgets everything; that costs no decoding meanwhile. Only pictures that are shown before the keyframe behind
//! which they come are left out by themselves: in an open group they refer to what was before it.
//!
//! What libavcodec says: of H.264 everything that cannot be; of H.265 a picture that is missing. Where a slice of H.265 breaks the
//! syntax, ends too early or does not come, something of its picture is left as it was, which is found too; but not bytes that
//! are others and mean something up to the slice's end. Losses on the network are found where packets are counted, and never
//! come here.

use std::collections::VecDeque;

use ocelli_codec::worker::protocol::Input;
use ocelli_media::allows_gaps;

use super::{DecodeError, Device, MOST_PIXELS, Shown, to_annex_b};
use crate::libav;

/// Access units, and keyframes among them, of which a device may give nothing before it is given up.
const MOST_BARREN: (u32, u32) = (30, 3);

/// A decoder of H.264 or H.265.
#[derive(Debug)]
pub struct StreamDecoder {
    decoder: libav::Decoder,
    state: State,
    input: Input,
    /// The one in use; `None`: the processor.
    device: Option<Device>,
    /// Devices that are still to be tried.
    left: VecDeque<Device>,
    /// Access units and keyframes since the last picture.
    barren: (u32, u32),
    /// The stream may leave out pictures whose numbers are missing then.
    allows_gaps: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing whole has come, or something was damaged.
    NeedsKeyframe,
    /// Since the keyframe that is shown at this time.
    Going { keyframe_us: i64 },
}

impl StreamDecoder {
    /// What this worker decodes of streams: some systems' libavcodec leaves one out, or both.
    pub fn inputs() -> Vec<Input> {
        let mut inputs = vec![Input::H264, Input::H265];
        inputs.retain(|input| open_next(*input, &mut VecDeque::new()).is_some());
        inputs
    }

    /// One that waits for a keyframe: by the first of `devices` that can be opened, else by the processor, which also
    /// takes over when a device gives nothing more.
    ///
    /// # Errors
    /// The libavcodec that runs has no such decoder, or there is no memory.
    pub fn new(input: Input, devices: &[Device]) -> Result<Self, DecodeError> {
        let mut left = devices.iter().copied().collect();
        let (device, decoder) = open_next(input, &mut left).ok_or(DecodeError::NoDecoder(input))?;
        let state = State::NeedsKeyframe;
        Ok(Self { decoder, state, input, device, left, barren: (0, 0), allows_gaps: false })
    }

    /// With which library, in words.
    pub fn library() -> String {
        libav::version()
    }

    /// With what it decodes, in words.
    pub fn words(&self) -> String {
        match self.device {
            Some(device) => format!("{device} through {}", libav::version()),
            None => libav::version(),
        }
    }

    /// Takes the next device, or the processor, where this one gives nothing any more.
    fn give_up_device(&mut self) {
        let (units, keyframes) = self.barren;
        if self.device.is_none() || units < MOST_BARREN.0 || keyframes < MOST_BARREN.1 {
            return;
        }
        if let Some((device, decoder)) = open_next(self.input, &mut self.left) {
            (self.device, self.decoder, self.state) = (device, decoder, State::NeedsKeyframe);
            self.barren = (0, 0);
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
        self.barren = (self.barren.0.saturating_add(1), self.barren.1.saturating_add(is_key.into()));
        self.give_up_device();
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
        if is_key && self.input == Input::H264 {
            self.allows_gaps = allows_gaps(access_unit);
        }
        let is_leading = time_us < keyframe_us;
        // Of H.264 it is told of a keyframe, too, to which what was before it is nothing.
        let harmless = is_leading || self.input == Input::H264 && (is_key || self.allows_gaps);
        let sent = to_annex_b(access_unit).and_then(|()| {
            let sent = self.decoder.send(access_unit, i64::from(tag) << 1 | i64::from(is_leading));
            sent.map_err(|error| DecodeError::Refused(error.to_string()))
        });
        match sent {
            Ok(is_missing) if is_missing && !harmless => Err(self.damaged()),
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
        self.barren = (0, 0);
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

/// The first of the devices that can be opened, which are no longer left then, or the processor.
fn open_next(input: Input, left: &mut VecDeque<Device>) -> Option<(Option<Device>, libav::Decoder)> {
    while let Some(device) = left.pop_front() {
        let name = match (device, input) {
            (_, Input::Jpeg) => continue,
            (Device::V4l2m2m, Input::H264) => c"h264_v4l2m2m",
            (Device::V4l2m2m, Input::H265) => c"hevc_v4l2m2m",
            (Device::Cuda, Input::H264) => c"h264_cuvid",
            (Device::Cuda, Input::H265) => c"hevc_cuvid",
        };
        if let Some(decoder) = libav::Decoder::new(name, MOST_PIXELS) {
            return Some((Some(device), decoder));
        }
    }
    let name = match input {
        Input::Jpeg => return None,
        Input::H264 => c"h264",
        Input::H265 => c"hevc",
    };
    libav::Decoder::new(name, MOST_PIXELS).map(|decoder| (None, decoder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_are_not_there_leave_the_work_to_the_processor() {
        let devices = [Device::Cuda, Device::V4l2m2m];
        let mut decoder = StreamDecoder::new(Input::H264, &devices).unwrap();
        assert!(decoder.left.is_empty() && decoder.words().starts_with("libavcodec "), "{decoder:?}");
        let mut keyframe = include_bytes!("../../testdata/keyframe.h264").to_vec();
        assert_eq!(decoder.still(&mut keyframe).unwrap().view.size.width, 64);
    }

    #[test]
    fn a_device_that_gives_nothing_is_given_up() {
        let mut decoder = StreamDecoder::new(Input::H264, &[]).unwrap();
        // As if it were one: nothing that is damaged gives a picture.
        decoder.device = Some(Device::V4l2m2m);
        for number in 0..40 {
            let mut damaged = [0, 0, 0, 3, 0x65, 1, 2];
            let _ = decoder.push(&mut damaged, number, i64::from(number), number % 10 == 0);
            while let Ok(Some(_)) = decoder.pull() {}
        }
        assert_eq!(decoder.device, None);
    }
}
