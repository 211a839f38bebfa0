//! Pixels: JPEG encoding of pictures that Ocelli makes or captures raw, the drawing of notices, and the worker process
//! in which pictures of others are decoded.
//!
//! Everything but [`worker`] is a plain function of its arguments: no IO, no clock, no thread. [`Encoder`] turns raw
//! pictures into JPEG; [`Canvas`] is what [`notice`] and [`pattern`] draw on; [`recode`] decodes and is for the worker
//! alone.

pub mod canvas;
pub mod encode;
pub mod notice;
pub mod pattern;
pub mod recode;
pub mod worker;

mod planes;
mod text;

pub use canvas::{Canvas, Color};
pub use encode::{EncodeError, Encoder, Picture, PixelFormat, Range};
