//! What is said to the worker: the process `ocelli-codec`, in which alone pictures of others are decoded.

pub mod protocol;

/// What a worker says last that ends before its hello because the FFmpeg program that it was given is of no use to it.
pub const PROGRAM_UNUSABLE: &str = "FFmpeg's program cannot be used";
