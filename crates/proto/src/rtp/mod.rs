//! The Real-time Transport Protocol (RFC 3550): packets, and what they carry.

pub mod audio;
pub(crate) mod h264;
pub(crate) mod h265;
pub mod interleaved;
pub mod jpeg;
pub mod nal;
mod packet;
pub mod receive;
pub mod reorder;

pub use interleaved::Interleaved;
pub use packet::{HEADER_BYTES, Header, Packet, PacketError, Stamp};
