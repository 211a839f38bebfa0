//! H.264 of an output's pictures, as the worker hands them out.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use ocelli_codec::worker::protocol::Output;

use super::{EncodeError, Encoded, Moment, Shot};
use crate::h264::{self, Coded, Encoder, Kind, Made, Settings, Source, Stamp};
use crate::picture::View;

/// An encoder, and what it has given and nobody has taken: with devices that hold pictures back, several at once.
pub struct H264Encoder {
    encoder: Encoder,
    words: String,
    has_news: bool,
    data: Vec<u8>,
    ready: VecDeque<(Moment, bool, Range<usize>)>,
}

impl H264Encoder {
    /// One that tries `kinds` with its first picture.
    pub fn new(output: &Output, kinds: &[Kind]) -> Self {
        Self {
            encoder: Encoder::new(kinds, settings(output)),
            words: "H.264".to_owned(),
            has_news: false,
            data: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Takes other settings from the next picture on.
    pub fn change(&mut self, output: &Output) {
        self.encoder.change(settings(output));
    }

    /// By which encoder, and why by no other.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// The words are others than when this was asked last.
    pub fn has_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// Codes a picture of any layout and range.
    ///
    /// # Errors
    /// No encoder works any more.
    pub fn encode(&mut self, picture: &View<'_>, shot: &Shot) -> Result<Option<Encoded<'_>>, EncodeError> {
        if self.ready.is_empty() {
            self.data.clear();
        }
        let (across, down) = picture.layout.steps();
        let source = Source {
            planes: picture.planes.map(|plane| plane.samples),
            strides: picture.planes.map(|plane| plane.stride),
            size: picture.size,
            sampling: (across as u8, down as u8),
            range: picture.range,
            matrix: picture.matrix,
        };
        let stamp = Stamp { number: shot.moment.number, time_us: shot.moment.time_us };
        let result = self.encoder.encode(&source, stamp, shot.keyframe, &mut |made| match made {
            Made::Encoder(words) => {
                self.words = format!("H.264 by {words}");
                self.has_news = true;
            }
            Made::Picture(Coded { stamp, key, data, .. }) => {
                let start = self.data.len();
                self.data.extend_from_slice(data);
                let moment = Moment { number: stamp.number, time_us: stamp.time_us };
                self.ready.push_back((moment, key, start..self.data.len()));
            }
        });
        result.map_err(|error| match error {
            h264::EncodeError::NoEncoder(_) => EncodeError::NoEncoder(error.to_string()),
            h264::EncodeError::Planes(_) => EncodeError::Library(error.to_string()),
        })?;
        let next = self.ready.pop_front();
        Ok(next.map(|(moment, key, place)| Encoded { moment, key, data: &self.data[place] }))
    }
}

impl fmt::Debug for H264Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("H264Encoder").field("words", &self.words).finish_non_exhaustive()
    }
}

fn settings(output: &Output) -> Settings {
    Settings {
        bit_rate_kbps: output.bit_rate_kbps,
        quality: output.quality.unwrap_or(0),
        rate: output.rate_mhz,
        key_every_ms: output.keyframe_ms,
    }
}
