//! Cameras pushed by RTP to other people's programs, and what those send: the built binary between real peers.
//!
//! FFmpeg, GStreamer, VLC, libjpeg-turbo's programs, tshark and OpenCV must be installed; `scripts/setup.sh test` does
//! it. Where that has no package of one (not on Debian), its tests say so and pass.

mod captures;
mod corpus;
mod documents;
mod loss;
mod pictures;
mod players;
