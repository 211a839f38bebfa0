//! The real worker `ocelli-codec` at its door: pictures as cameras code them go in by its pipe, and what comes out is compared
//! with what FFmpeg decodes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // helpers of tests fail a test by panicking

mod clips;
mod colours;
mod damage;
mod door;
mod fidelity;
mod fields;
mod memory;
mod pictures;
