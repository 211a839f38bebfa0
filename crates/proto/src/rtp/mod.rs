//! The Real-time Transport Protocol (RFC 3550): packets, and what they carry.

pub mod audio;
mod h264;
mod h265;
pub mod jpeg;
pub mod nal;
mod packet;
pub mod receive;
pub mod reorder;

pub use packet::{HEADER_BYTES, Header, Packet, PacketError, Stamp};
