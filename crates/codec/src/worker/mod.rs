//! What is said to the worker: the process `ocelli-codec`, in which alone pictures of others are decoded.

pub mod protocol;
