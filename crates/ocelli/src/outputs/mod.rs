//! The ways out: one file a kind of viewer or receiver.

pub mod mjpeg;
pub mod rtp;
pub mod rtsp;
