//! The camera server.

fn main() {}
