//! RTSP between the built binary and other people's programs: cameras that they are, and players.
//!
//! FFmpeg, GStreamer with its RTSP server, and VLC must be installed; `scripts/setup.sh test` does it. Where that has no
//! package of one (not on Debian), its tests say so and pass.

pub(crate) mod camera;
mod cameras;
mod clips;
mod documents;
mod loss;
mod lossy;
mod matrix;
mod network;
mod other_codecs;
mod players;
mod rivals;
mod sound;
mod tls;
