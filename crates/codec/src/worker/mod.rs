//! The worker: a process of its own in which pictures of others are decoded, so that a decoder that is broken by one
//! reaches nothing. The program `ocelli-codec` is [`run`] and nothing else.
//!
//! It reads requests from its standard input and writes answers to its standard output ([`protocol`]), one after the
//! other, until its input ends. Before the first it gives up what it does not need ([`confine`]).

mod confine;
pub mod protocol;

use std::fs::File;
use std::io::{self, IoSlice, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use self::protocol::{Able, Answer, Coding, Hello, Input, ProtocolError, Request, message_bytes};
use crate::recode::{RecodeError, Recoder, Wish};
use crate::{Canvas, Encoder};

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
    // Not the buffered ones of the standard library: whole messages are written.
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut recoder = Recoder::new()?;
    warm_up(&mut recoder)?;
    let confinement = confine::confine();
    serve(&mut recoder, &confinement, input, output)
}

/// Why a worker ended before its input did.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A pipe broke: the server is gone.
    #[error("the server's pipe broke: {0}")]
    Pipe(#[from] io::Error),
    /// What the server sends is none of this protocol.
    #[error("from the server: {0}")]
    Protocol(#[from] ProtocolError),
    /// libjpeg-turbo could not be started.
    #[error(transparent)]
    Library(#[from] RecodeError),
}

/// Says hello and answers requests until `input` ends between two of them. A picture that cannot be re-encoded and a
/// request that is not known are answered by a refusal, and it goes on.
///
/// # Errors
/// A pipe breaks, or a length is outside its range, so that no next message can be found.
pub fn serve(
    recoder: &mut Recoder,
    confinement: &str,
    mut input: impl Read,
    mut output: impl Write,
) -> Result<(), WorkerError> {
    output.write_all(&Hello::new(Able::new(&[Input::Jpeg], &[Coding::Jpeg]), confinement).write())?;
    let mut message = Vec::new();
    while read_message(&mut input, &mut message)? {
        match Request::read(&message) {
            Ok(Request::Recode { number, wish, jpeg }) => {
                answer(number, recoder.recode(jpeg, &wish), &mut output)?;
            }
            Ok(_) => {
                let number = Request::number(&message);
                output.write_all(&Answer::write_refused(number, "streams are not taken"))?;
            }
            Err(error) => {
                output.write_all(&Answer::write_refused(Request::number(&message), &error.to_string()))?;
            }
        }
    }
    Ok(())
}

fn answer(
    number: u32,
    result: Result<(ocelli_media::Size, &[u8]), RecodeError>,
    output: &mut impl Write,
) -> io::Result<()> {
    let refusal = match result {
        Ok((size, jpeg)) => match Answer::picture_head(number, size, jpeg.len()) {
            Some(head) => return write_both(output, &head, jpeg),
            None => "the picture became too long".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    output.write_all(&Answer::write_refused(number, &refusal))
}

/// Reads the next message into `message`, which grows only as bytes come. `false` at the end of the input.
fn read_message(input: &mut impl Read, message: &mut Vec<u8>) -> Result<bool, WorkerError> {
    let mut head = [0; 4];
    message.clear();
    if input.by_ref().take(4).read_to_end(message)? == 0 {
        return Ok(false);
    }
    let ended = || WorkerError::Pipe(io::ErrorKind::UnexpectedEof.into());
    head.copy_from_slice(message.get(..4).ok_or_else(ended)?);
    let bytes = message_bytes(head)?;
    message.clear();
    if input.by_ref().take(bytes as u64).read_to_end(message)? < bytes {
        return Err(ended());
    }
    Ok(true)
}

/// Writes both by one system call where the pipe takes them.
fn write_both(output: &mut impl Write, head: &[u8], rest: &[u8]) -> io::Result<()> {
    let mut slices = &mut [IoSlice::new(head), IoSlice::new(rest)][..];
    while !slices.is_empty() {
        match output.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => IoSlice::advance_slices(&mut slices, bytes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Encodes and decodes once while every system call is still allowed: on its first picture libjpeg-turbo asks the system
/// what the processor can do, by a file on some.
fn warm_up(recoder: &mut Recoder) -> Result<(), RecodeError> {
    let size = ocelli_media::Size { width: 16, height: 16 };
    let jpeg = Encoder::new(50)?.encode_canvas(&Canvas::new(size))?;
    recoder.recode(&jpeg, &Wish { quality: None, sampling: None, most: size })?;
    Ok(())
}

#[cfg(test)]
mod tests;
