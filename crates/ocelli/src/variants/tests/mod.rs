//! Workers that are none, as scripts. What the real one does is tested with the whole program.

mod helper;
mod jobs;
mod lost;
mod scene;
mod streams;

use std::fs;

use ocelli_codec::worker::protocol::{Able, Hello};
use ocelli_hub::Bounds;
use tempfile::TempDir;

use super::*;
use crate::children::script::write_program;

const JPEG: Bytes = Bytes::from_static(b"\xff\xd8 not looked at here");

fn camera() -> Arc<Stream> {
    Stream::new("cam".parse().unwrap(), Bounds { pieces: 64, bytes: 1 << 20 })
}

fn pixels(program: PathBuf) -> Pixels {
    Pixels::with_program(camera(), program, Rules::default())
}

fn good_hello() -> Vec<u8> {
    Hello::new(Able::new(&Input::ALL, &ocelli_codec::worker::protocol::Coding::ALL), "not at all").write()
}

/// A program of a worker's name that has what it says first beside it.
fn program(hello: &[u8], script: &str) -> (PathBuf, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(PROGRAM);
    fs::write(directory.path().join("hello"), hello).unwrap();
    write_program(&path, script);
    (path, directory)
}
