//! The whole program from outside: the built binary, real processes as cameras, real sockets as viewers.
//!
//! Every wait is a poll with a deadline. Rates are those of small, slow test patterns, so that they hold on a busy
//! machine.
#![allow(clippy::unwrap_used)] // helpers of tests fail a test by panicking

mod asked;
mod camera_faults;
mod changes;
mod client;
mod documents;
mod ffmpeg;
mod films;
mod http_abuse;
mod http_contract;
mod lifecycle;
mod openapi;
mod peers;
mod pixels;
mod processes;
mod programs;
mod promises;
mod publish;
mod raw;
mod relay;
mod rtp_feedback;
mod rtp_in;
mod rtp_peers;
mod rtp_push;
mod rtp_reencode;
mod rtsp_in;
mod rtsp_peers;
mod rtsp_server;
mod server;
mod session_description;
mod steady;
mod worker;
