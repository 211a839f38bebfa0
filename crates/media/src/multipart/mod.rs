//! Reads `multipart/x-mixed-replace` bodies, as cameras with a web server send them (RFC 2046 §5.1, loosely).
//!
//! Cameras keep to little of it: boundaries are quoted or not, given with leading dashes or not, or are not the ones
//! sent; lengths are missing; lines end in LF alone. So a picture ends where the JPEG itself ends, and its
//! Content-Length only bounds it. Parts that are no JPEG are dropped.

mod head;
mod reader;

pub use head::boundary_of;
pub use reader::{Event, Part, Reader};

#[cfg(test)]
mod tests;
