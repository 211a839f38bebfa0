//! The worker's loop: one message after the other from the server, and what comes of it back.

use std::io::{self, IoSlice, Read, Write};

use ocelli_codec::worker::protocol::{
    Able, Answer, Hello, Input, NoteKind, OutputId, Piece, ProtocolError, Request, message_bytes,
};
use ocelli_media::Size;

use crate::arguments::ArgumentError;
use crate::camera::{Camera, Frame};
use crate::decode::DecodeError;
use crate::encode::Moment;
use crate::outputs::Sink;
use crate::program::ProgramError;

/// Why a worker ended before its input did.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A pipe broke: the server is gone.
    #[error("the server's pipe broke: {0}")]
    Pipe(#[from] io::Error),
    /// It was started with arguments that it does not know.
    #[error(transparent)]
    Arguments(#[from] ArgumentError),
    /// The FFmpeg program that it was started with is none.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// What the server sends is none of this protocol.
    #[error("from the server: {0}")]
    Protocol(#[from] ProtocolError),
    /// A library could not be started.
    #[error(transparent)]
    Library(#[from] DecodeError),
}

/// What this worker decodes and encodes.
pub fn able(camera: &Camera) -> Able {
    let inputs: Vec<_> = [Input::Jpeg].into_iter().chain(camera.decoders().inputs()).collect();
    Able::new(&inputs, &camera.codings())
}

/// Says hello with `words` and does what it is asked until `input` ends between two messages. A picture that cannot be made
/// and a request that is not known are answered by a refusal, and it goes on.
///
/// # Errors
/// A pipe breaks, or a length is outside its range, so that no next message can be found.
pub fn serve(
    camera: &mut Camera,
    words: &str,
    mut input: impl Read,
    output: impl Write,
) -> Result<(), WorkerError> {
    let mut output = Output(output);
    output.0.write_all(&Hello::new(able(camera), words).write())?;
    let mut message = Vec::new();
    while read_message(&mut input, &mut message)? {
        if let Err(error) = handle(camera, &mut message, &mut output)? {
            let number = Request::number(&message);
            output.0.write_all(&Answer::write_refused(number, &error.to_string()))?;
        }
    }
    Ok(())
}

/// Does what a message asks. The inner error says why it is not understood.
fn handle(
    camera: &mut Camera,
    message: &mut [u8],
    output: &mut Output<impl Write>,
) -> io::Result<Result<(), ProtocolError>> {
    let request = match Request::read(message) {
        Ok(request) => request,
        Err(error) => return Ok(Err(error)),
    };
    match request {
        Request::Recode { number, wish, jpeg } => match camera.recode(jpeg, &wish) {
            Ok((size, jpeg)) => output.picture(number, size, jpeg)?,
            Err(error) => output.0.write_all(&Answer::write_refused(number, &error.to_string()))?,
        },
        Request::Input(input) => camera.set_input(input),
        Request::Output { id, output: wished } => camera.set_output(id, wished, output)?,
        Request::End(id) => camera.end_output(id),
        Request::Frame { number, time_us, key, data, .. } => {
            let start = message.len() - data.len();
            let (head, data) = message.split_at_mut(start);
            // Once more, so that the picture's bytes can be changed where they lie.
            let Ok(Request::Frame { wanted, .. }) = Request::read(head) else { return Ok(Ok(())) };
            let frame = Frame { moment: Moment { number, time_us }, is_key: key, wanted };
            let done = camera.frame(&frame, data, output)?;
            let done = Answer::write_done(number, done.outcome, done.decode_us, done.outputs_us, &done.words);
            output.0.write_all(&done)?;
        }
        Request::Still { number, still, data } => {
            let start = message.len() - data.len();
            let data = &mut message[start..];
            let result = camera.still(&still, data, |size, jpeg| output.picture(number, size, jpeg));
            match result {
                Ok(written) => written?,
                Err(words) => output.0.write_all(&Answer::write_refused(number, &words))?,
            }
        }
    }
    Ok(Ok(()))
}

/// The pipe to the server.
struct Output<W>(W);

impl<W: Write> Output<W> {
    fn picture(&mut self, number: u32, size: Size, jpeg: &[u8]) -> io::Result<()> {
        match Answer::picture_head(number, size, jpeg.len()) {
            Some(head) => write_both(&mut self.0, &head, jpeg),
            None => self.0.write_all(&Answer::write_refused(number, "the picture became too long")),
        }
    }
}

impl<W: Write> Sink for Output<W> {
    type Error = io::Error;

    fn piece(&mut self, piece: &Piece, data: &[u8]) -> io::Result<()> {
        match Answer::piece_head(piece, data.len()) {
            Some(head) => write_both(&mut self.0, &head, data),
            None => self.note(
                piece.id,
                NoteKind::Ended,
                "its pictures are longer than 64 MiB: ask for smaller ones",
            ),
        }
    }

    fn note(&mut self, id: OutputId, kind: NoteKind, words: &str) -> io::Result<()> {
        self.0.write_all(&Answer::write_note(id, kind, words))
    }
}

/// Reads the next message into `message`, which grows only as bytes come. `false` at the end of the input.
pub(crate) fn read_message(input: &mut impl Read, message: &mut Vec<u8>) -> Result<bool, WorkerError> {
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
pub(crate) fn write_both(output: &mut impl Write, head: &[u8], rest: &[u8]) -> io::Result<()> {
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

#[cfg(test)]
mod tests;
