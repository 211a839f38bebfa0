//! How pictures cross a network: RTP, its payload formats, RTCP, and session descriptions (SDP).
//!
//! This crate opens no socket and reads no clock: bytes and time are arguments and results, so that all of it can be tested
//! with simulated networks and fuzzed.

pub mod rtcp;
pub mod rtp;
pub mod rtsp;
pub mod sdp;
