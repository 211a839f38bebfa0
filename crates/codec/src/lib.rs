//! JPEG encoding of pictures that Ocelli makes or captures raw, and the drawing of notices.
//!
//! Everything here is a plain function of its arguments: no IO, no clock, no thread. [`Encoder`] turns raw pictures
//! into JPEG; [`Canvas`] is what [`notice`] and [`pattern`] draw on.

pub mod canvas;
pub mod encode;
pub mod notice;
pub mod pattern;

mod planes;
mod text;

pub use canvas::{Canvas, Color};
pub use encode::{EncodeError, Encoder, Picture, PixelFormat, Range};
