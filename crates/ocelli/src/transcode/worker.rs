//! One worker process: started, greeted, asked, and its end put into words.

use std::io::{self, IoSlice};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use ocelli_codec::recode::Wish;
use ocelli_codec::worker::protocol::{Answer, Hello, PROTOCOL, ProtocolError, Request, message_bytes};
use ocelli_hub::StreamName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout, timeout_at};

use super::{PROGRAM, RecodeFailure};
use crate::children::{Group, LastLines, ended};

/// How long a worker may take to say hello, and to answer a picture. A 4K picture takes a fast machine 50 ms; a small
/// Pi twenty times as long.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the status of a worker that broke its pipe is waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Room in its pipes: most pictures in one piece.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

/// A running worker. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Worker {
    group: Group,
    input: ChildStdin,
    output: ChildStdout,
    lines: LastLines,
    /// Number of the last request.
    number: u32,
}

/// How a worker was lost.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// A pipe broke, most often because the worker ended.
    #[error("{0}")]
    Pipe(#[from] io::Error),
    /// It says what it should not.
    #[error("answered what it should not: {0}")]
    Protocol(#[from] ProtocolError),
    /// Nothing came in time.
    #[error("did not answer within {} s and was killed", PATIENCE.as_secs())]
    Hangs,
    /// It is not the one that belongs to this program.
    #[error("{0}")]
    Refused(String),
}

impl Worker {
    /// Starts the program. Its environment is empty: it is not to know any secret.
    pub(super) fn spawn(program: &Path, camera: &StreamName) -> Result<Self, RecodeFailure> {
        let mut command = Command::new(program);
        // The camera's name is for those who look at a list of processes.
        command.arg(camera.as_str()).env_clear().process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => RecodeFailure::Unavailable(
                format!("the program {} is missing: install it beside `ocelli`", program.display()).into(),
            ),
            _ => RecodeFailure::Unavailable(
                format!("the program {} cannot be started: {error}", program.display()).into(),
            ),
        })?;
        let mut group = Group::new(child);
        let (input, output) = (group.take_stdin(), group.take_stdout());
        // A kernel that does not give the room (a limit of the user's) gives the usual 64 KB.
        #[cfg(target_os = "linux")]
        {
            let _ = rustix::pipe::fcntl_setpipe_size(&input, PIPE_BYTES);
            let _ = rustix::pipe::fcntl_setpipe_size(&output, PIPE_BYTES);
        }
        let lines = LastLines::read(group.take_stderr(), camera.clone());
        Ok(Self { group, input, output, lines, number: 0 })
    }

    /// Waits for its hello and looks whether it belongs to this program.
    pub(super) async fn greet(&mut self) -> Result<Hello, Lost> {
        let message = timeout(PATIENCE, self.read_message()).await.map_err(|_| Lost::Hangs)?;
        let hello = match message {
            Ok(message) => Hello::read(&message),
            Err(Lost::Protocol(_)) => Err(ProtocolError::NoHello),
            Err(lost) => return Err(lost),
        };
        let own = env!("CARGO_PKG_VERSION");
        match hello {
            Ok(hello) if (hello.protocol, &*hello.version) == (PROTOCOL, own) => Ok(hello),
            Ok(Hello { protocol, version, .. }) if version == own => Err(Lost::Refused(format!(
                "`{PROGRAM}` speaks protocol {protocol} and this program {PROTOCOL}: install both from the same release"
            ))),
            Ok(Hello { version, .. }) => Err(Lost::Refused(format!(
                "`{PROGRAM}` is version {version} and this program {own}: install both from the same release"
            ))),
            Err(_) => Err(Lost::Refused(format!("the program `{PROGRAM}` is another one of this name"))),
        }
    }

    /// Re-encodes a picture. The inner error is the worker's own refusal; after the outer one it is of no more use.
    pub(super) async fn recode(&mut self, jpeg: &Bytes, wish: &Wish) -> Result<Result<Bytes, String>, Lost> {
        self.number = self.number.wrapping_add(1);
        let Some(head) = Request::recode_head(self.number, wish, jpeg.len()) else {
            return Ok(Err("the picture is too long".to_owned()));
        };
        let deadline = Instant::now() + PATIENCE;
        let answer = timeout_at(deadline, async {
            self.write(&head, jpeg).await?;
            self.read_message().await
        });
        let message = answer.await.map_err(|_| Lost::Hangs)??;
        match Answer::read(&message)? {
            Answer::Picture { number, .. } if number == self.number => {
                Ok(Ok(Bytes::from(message).slice(Answer::PICTURE_HEAD_BYTES..)))
            }
            Answer::Refused { number, reason } if number == self.number => Ok(Err(reason)),
            // Requests are answered in order.
            _ => Err(Lost::Protocol(ProtocolError::NoHello)),
        }
    }

    /// "`ocelli-codec` was killed by signal 9", with its last words if it had any. Ends the process.
    pub(super) async fn cause(mut self, lost: Lost) -> String {
        let how = match lost {
            Lost::Pipe(error) => {
                drop(self.input);
                match timeout(LAST_WORDS, self.group.wait()).await {
                    Ok(Some(Ok(status))) => ended(status),
                    _ => format!("was lost: {error}"),
                }
            }
            lost => lost.to_string(),
        };
        // It may be stopped, and would not hear anything else.
        self.group.kill();
        let lines = self.lines.finish().await;
        let words = if lines.is_empty() { String::new() } else { format!(": {lines}") };
        format!("`{PROGRAM}` {how}{words}")
    }

    async fn write(&mut self, head: &[u8], jpeg: &[u8]) -> io::Result<()> {
        let mut slices = &mut [IoSlice::new(head), IoSlice::new(jpeg)][..];
        while !slices.is_empty() {
            match self.input.write_vectored(slices).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                bytes => IoSlice::advance_slices(&mut slices, bytes),
            }
        }
        Ok(())
    }

    /// Kind and body of the next message.
    async fn read_message(&mut self) -> Result<Vec<u8>, Lost> {
        let mut head = [0; 4];
        self.output.read_exact(&mut head).await?;
        let bytes = message_bytes(head)?;
        // Untouched memory costs nothing, so a length that lies costs nothing.
        let mut message = Vec::with_capacity(bytes);
        while message.len() < bytes {
            let left = (bytes - message.len()) as u64;
            if (&mut self.output).take(left).read_buf(&mut message).await? == 0 {
                return Err(Lost::Pipe(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(message)
    }
}
