//! The Real-time Transport Protocol (RFC 3550): packets, and what they carry.

pub mod jpeg;
mod packet;
pub mod reorder;

pub use packet::{HEADER_BYTES, Header, Packet, PacketError};
