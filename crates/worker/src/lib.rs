//! The worker: a process of its own in which pictures of others are decoded, and made into other ones, so that a decoder
//! that is broken by one reaches nothing. The program `ocelli-codec` is [`run`] and nothing else.
//!
//! It reads what is asked from its standard input and writes what comes of it to its standard output
//! ([`ocelli_codec::worker::protocol`]), one after the other, until its input ends. Before the first it gives up what it
//! does not need ([`confine`]).
//!
//! | file | does |
//! |---|---|
//! | `serve.rs` | the loop: messages in and out |
//! | `camera.rs` | frames to decoder to outputs; stills |
//! | `decode/` | JPEG; H.264 and H.265 |
//! | `outputs.rs` | what is wanted, and its encoders |
//! | `prepare.rs` | each size, range and turn made once for all outputs |
//! | `scale/`, `range.rs`, `matrix.rs`, `turn.rs` | how |
//! | `lossless.rs` | JPEG files turned without being decoded |
//! | `encode/` | JPEG; pictures not coded |
//! | `h264/` | H.264, by whichever encoder works |
//! | `program/` | H.264 and H.265 by the FFmpeg program, where the libraries lack them |
//! | `libav/` | FFmpeg's libraries, behind a C file |

mod arguments;
pub mod camera;
mod confine;
pub mod decode;
pub mod encode;
pub mod h264;
#[cfg(feature = "libav")]
mod libav;
pub mod lossless;
pub mod matrix;
pub mod outputs;
pub mod picture;
pub mod prepare;
pub mod program;
pub mod range;
pub mod scale;
mod serve;
pub mod turn;
mod warm;

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;

pub use self::serve::{WorkerError, able, serve};
use crate::arguments::Arguments;
use crate::camera::Camera;
use crate::decode::Decoders;
use crate::program::Program;

/// The whole of the program `ocelli-codec`.
pub fn run() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("ocelli-codec {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    if io::stdin().is_terminal() {
        eprintln!(
            "ocelli-codec is started by ocelli, and stopped by it: there is nothing to do with it by hand"
        );
        return ExitCode::from(2);
    }
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), WorkerError> {
    let arguments = Arguments::read(std::env::args().skip(1))?;
    // Not the buffered ones of the standard library: whole messages are written.
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    confine::die_with_the_server();
    let program = arguments.ffmpeg.as_deref().map(Program::ask).transpose()?.map(Arc::new);
    let encoders = arguments.kinds(program.as_deref());
    let devices = arguments.decoders.clone();
    let decoders = Decoders { devices, program, program_first: arguments.ffmpeg_first };
    let mut camera = Camera::with(&encoders, decoders)?;
    warm::up(&mut camera)?;
    let words = format!("{}; {}", confine::confine(arguments.freedom()), camera.decoders().words());
    serve(&mut camera, &words, input, output)
}
