//! One sender's packets, in order, become pictures or sound of whatever is carried.

use std::time::Duration;

use bytes::Bytes;
use ocelli_media::Size;

use super::{Event, Setup};
use crate::rtp::{Packet, audio, jpeg, nal};

/// What packets carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Payload {
    /// JPEG (RFC 2435).
    Jpeg,
    /// H.264 (RFC 6184) or H.265 (RFC 7798).
    Nal(nal::Format),
    /// Sound.
    Sound(audio::Format),
}

/// A frame of sound that came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// An Opus packet, G.711 samples, or an AAC frame without ADTS header.
    pub data: Bytes,
    /// When it is to be heard, in ticks of its format's clock.
    pub timestamp: u32,
    /// When the packet came that it ends in.
    pub arrived: Duration,
}

/// A picture that came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// JPEG: a whole file. Else NAL units, each behind its length as 4 bytes, big endian.
    pub data: Bytes,
    /// Of JPEGs, whose packets say it: multiples of 8.
    pub size: Option<Size>,
    /// When it was taken, in ticks of 90 kHz.
    pub timestamp: u32,
    /// It can be decoded on its own.
    pub key: bool,
    /// When the first packet of it came.
    pub arrived: Duration,
}

/// Why a picture, or sound, was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// A JPEG.
    #[error(transparent)]
    Jpeg(jpeg::Dropped),
    /// An access unit.
    #[error(transparent)]
    Nal(nal::Dropped),
    /// Sound.
    #[error(transparent)]
    Sound(audio::Dropped),
}

/// The same for those who only count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A packet is missing.
    Lost,
    /// It needs a picture that was lost.
    NeedsKey,
    /// It is longer than the limit.
    TooLong,
    /// What the packets say makes no picture.
    Damaged,
}

impl Dropped {
    /// What kind of reason it is.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Jpeg(jpeg::Dropped::Lost)
            | Self::Nal(nal::Dropped::Lost)
            | Self::Sound(audio::Dropped::Lost) => Cause::Lost,
            Self::Jpeg(jpeg::Dropped::TooLong(_)) | Self::Nal(nal::Dropped::TooLong(_)) => Cause::TooLong,
            Self::Nal(nal::Dropped::NeedsKey) => Cause::NeedsKey,
            Self::Jpeg(_) | Self::Nal(nal::Dropped::Payload(_)) | Self::Sound(_) => Cause::Damaged,
        }
    }
}

/// Puts the pictures of one sender together, or its sound.
#[derive(Debug)]
pub(super) struct Assembly {
    depacketiser: Depacketiser,
    /// Timestamp and arrival of the first packet of the picture at hand, and of the one before it.
    begun: [Option<(u32, Duration)>; 2],
    /// Nothing was given out or dropped yet.
    joining: bool,
}

/// What each kind of packet goes to, with the room, reused, for what comes out.
#[derive(Debug)]
enum Depacketiser {
    Jpeg(jpeg::Depacketiser),
    Nal(nal::Depacketiser, Vec<Result<nal::AccessUnit, nal::Dropped>>),
    Sound(audio::Depacketiser, Vec<Result<audio::Frame, audio::Dropped>>),
}

impl Assembly {
    pub(super) fn new(setup: &Setup) -> Self {
        let depacketiser = match setup.payload {
            Payload::Jpeg => Depacketiser::Jpeg(jpeg::Depacketiser::new(setup.most_bytes)),
            Payload::Nal(format) => {
                Depacketiser::Nal(nal::Depacketiser::new(format, setup.most_bytes), Vec::new())
            }
            Payload::Sound(format) => Depacketiser::Sound(audio::Depacketiser::new(format), Vec::new()),
        };
        Self { depacketiser, begun: [None; 2], joining: true }
    }

    pub(super) fn keyframe_wanted(&self) -> bool {
        matches!(&self.depacketiser, Depacketiser::Nal(depacketiser, _) if depacketiser.keyframe_wanted())
    }

    /// Takes the next packet, which came at `arrived`.
    pub(super) fn push(&mut self, packet: &Packet<'_>, arrived: Duration, out: &mut Vec<Event>) {
        let timestamp = packet.timestamp();
        if self.begun[0].is_none_or(|(begun, _)| begun != timestamp) {
            self.begun = [Some((timestamp, arrived)), self.begun[0]];
        }
        let begun = self.begun;
        let began = |timestamp: u32| {
            let found = begun.iter().flatten().find(|(begun, _)| *begun == timestamp);
            found.map_or(arrived, |(_, arrived)| *arrived)
        };
        match &mut self.depacketiser {
            Depacketiser::Jpeg(depacketiser) => match depacketiser.push(packet) {
                Ok(None) => return,
                Ok(Some(jpeg::File { data, size, timestamp })) => {
                    let arrived = began(timestamp);
                    out.push(Event::Picture(Picture {
                        data,
                        size: Some(size),
                        timestamp,
                        key: true,
                        arrived,
                    }));
                }
                // Who joins in the middle of a picture has lost nothing.
                Err(jpeg::Dropped::Lost) if self.joining => {}
                Err(reason) => out.push(Event::Dropped(Dropped::Jpeg(reason))),
            },
            Depacketiser::Nal(depacketiser, units) => {
                depacketiser.push(packet, units);
                if units.is_empty() {
                    return;
                }
                out.extend(units.drain(..).map(|unit| match unit {
                    Ok(nal::AccessUnit { data, timestamp, key }) => {
                        let arrived = began(timestamp);
                        Event::Picture(Picture { data, size: None, timestamp, key, arrived })
                    }
                    Err(reason) => Event::Dropped(Dropped::Nal(reason)),
                }));
            }
            Depacketiser::Sound(depacketiser, frames) => {
                depacketiser.push(packet, frames);
                out.extend(frames.drain(..).map(|frame| match frame {
                    Ok(audio::Frame { data, timestamp }) => Event::Sound(Sound { data, timestamp, arrived }),
                    Err(reason) => Event::Dropped(Dropped::Sound(reason)),
                }));
            }
        }
        self.joining = false;
    }
}
