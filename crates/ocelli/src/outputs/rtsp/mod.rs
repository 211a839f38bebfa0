//! The RTSP server (RFC 2326): cameras as `rtsp://host:8554/{cam}`.

mod bursts;

pub use bursts::{Laid, LeftOut, Piece, RtspBursts, TrackNumbers, clock_rate, payload_type};
