//! The camera server.

mod sources;

fn main() {}
