//! One FFmpeg process: pictures in through its standard input, pictures out of its standard output by a thread that reads it.
//!
//! Nothing here waits for a program that hangs: what it does not take within [`PATIENCE`], or [`FIRST_PATIENCE`] while it begins, it does
//! not take. Dropping it ends it.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ocelli_media::mp4::Unpacked;
use ocelli_media::nut::{Event, NutError, Reader};

use crate::serve::write_both;

/// How long it may take to take a picture, or part of one that is large.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same of one that has given nothing yet, and has to be loaded and to open its drivers before it reads: less than a worker may be
/// silent.
const FIRST_PATIENCE: Duration = Duration::from_secs(2);
/// How long the status of one that closed its output is waited for.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// Longest picture that is believed to have been made: one that is not coded, of the most pixels, and a little more.
const MOST_BYTES: usize = crate::decode::MOST_PIXELS as usize * 3 / 2 + (1 << 20);
/// Pictures that have come out and that nobody has taken; with more the thread waits, and then FFmpeg.
const MOST_WAITING: usize = 6;
/// What is read at once: it stays in the processor's cache.
const READ_BYTES: usize = 256 << 10;
/// Room in its output's pipe.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

/// A running FFmpeg.
#[derive(Debug)]
pub(super) struct Process {
    child: Ended,
    input: Option<UnixStream>,
    pictures: Receiver<Result<Picture, NutError>>,
}

/// A picture that has come out.
#[derive(Debug)]
pub(super) struct Picture {
    /// When it is shown, at 90 kHz.
    pub(super) ticks: i64,
    /// Its bytes.
    pub(super) data: Bytes,
}

/// A process that is ended when this is dropped.
#[derive(Debug)]
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts `program` with `words`, and gives it `header`.
    pub(super) fn start(program: &Path, words: &[String], header: &[u8]) -> io::Result<Self> {
        // A socket, since only such a one has a time after which writing is given up.
        let (input, theirs) = UnixStream::pair()?;
        input.set_write_timeout(Some(FIRST_PATIENCE))?;
        let mut command = Command::new(program);
        command.args(words).stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = Ended(command.spawn()?);
        // The command has the other end, without which FFmpeg's end is not seen.
        drop(command);
        let output = child.0.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        #[cfg(target_os = "linux")]
        let _ = rustix::pipe::fcntl_setpipe_size(&output, PIPE_BYTES);
        let (sender, pictures) = sync_channel(MOST_WAITING);
        thread::Builder::new().name("ffmpeg".to_owned()).spawn(move || read(output, &sender))?;
        let mut process = Self { child, input: Some(input), pictures };
        // One that ends at once is heard of when a picture is wanted.
        let _ = process.write(header, &[]);
        Ok(process)
    }

    /// It has given a picture: from here on it takes what it is given.
    pub(super) fn has_begun(&self) {
        let input = self.input.as_ref();
        // With the longer time it goes on all the same.
        let _ = input.map(|input| input.set_write_timeout(Some(PATIENCE)));
    }

    /// Writes both.
    ///
    /// # Errors
    /// It has ended, or takes nothing.
    pub(super) fn write(&mut self, head: &[u8], rest: &[u8]) -> io::Result<()> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        write_both(input, head, rest)
    }

    /// Says that nothing more is coming.
    pub(super) fn end_input(&mut self) {
        self.input = None;
    }

    /// The next picture, if one comes until `deadline`.
    ///
    /// # Errors
    /// None comes any more: why.
    pub(super) fn next(&mut self, deadline: Option<Instant>) -> Result<Option<Picture>, String> {
        let left =
            deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()));
        let next = if left.is_zero() {
            self.pictures.try_recv().map_err(|error| error == TryRecvError::Disconnected)
        } else {
            self.pictures.recv_timeout(left).map_err(|error| error == RecvTimeoutError::Disconnected)
        };
        match next {
            Ok(Ok(picture)) => Ok(Some(picture)),
            Ok(Err(error)) => Err(format!("FFmpeg's program gives what was not asked of it: {error}")),
            Err(false) => Ok(None),
            Err(true) => Err(self.cause()),
        }
    }

    /// How it has ended, in words.
    pub(super) fn cause(&mut self) -> String {
        let deadline = Instant::now() + LAST_WORDS;
        loop {
            match self.child.0.try_wait() {
                Ok(Some(status)) => return format!("FFmpeg's program ended: {status}"),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                _ => return "FFmpeg's program gives nothing more, and was ended".to_owned(),
            }
        }
    }
}

/// Reads what FFmpeg makes until it ends, says what it should not, or nobody wants it.
fn read(mut output: ChildStdout, sender: &SyncSender<Result<Picture, NutError>>) {
    let mut reader = Reader::of_raw_pictures(MOST_BYTES);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let bytes = match output.read(&mut buffer) {
            Ok(0) => return,
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let mut left = &buffer[..bytes];
        while !left.is_empty() {
            left = reader.feed(left);
            loop {
                let picture = match reader.next_event() {
                    Ok(Some(Event::Raw { time, data })) => Picture { ticks: time.ticks(), data },
                    Ok(Some(Event::Packet { time, unpacked: Unpacked::AccessUnit(unit), .. })) => {
                        Picture { ticks: time.ticks(), data: unit.data }
                    }
                    Ok(Some(_)) => continue,
                    Ok(None) => break,
                    Err(error) => {
                        let _ = sender.send(Err(error));
                        return;
                    }
                };
                if sender.send(Ok(picture)).is_err() {
                    return;
                }
            }
        }
    }
}
