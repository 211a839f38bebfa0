//! What a picture is: frames, tracks and media time; bitstream headers; containers.
//!
//! This crate does no IO and reads no clock. Whatever depends on time takes it as an argument, so that all of it
//! can be tested with simulated time and fuzzed.

pub mod annexb;
mod frame;
mod h264;
mod h265;
mod intake;
pub mod jpeg;
pub mod mjpeg;
pub mod mp4;
pub mod multipart;
pub mod nut;
mod order;
mod parameter_sets;
mod recognise;
mod sequence;
pub mod splitter;
#[cfg(test)]
mod testdata;
mod time;
mod turn;

pub use frame::{Codec, Frame, Size, Track, TrackId, Tracks, audio_track, video_track};
pub use h264::allows_gaps;
pub use order::{DisplayOrder, Place};
pub use parameter_sets::{ParameterSets, nal_units};
pub use recognise::{MOST_UNRECOGNISED_BYTES, Recognised, recognise};
pub use time::MediaTime;
pub use turn::Turn;
