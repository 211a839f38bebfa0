//! `exec:` — the standard output of any program that writes JPEGs: rpicam-vid, FFmpeg, GStreamer, a script.
//!
//! The program runs without a shell, in a process group of its own, and is stopped with its whole group. What it
//! writes is split into pictures by their own segments. Its last lines of standard error become the cause when it ends.

use std::io;
use std::process::{ExitStatus, Stdio};

use ocelli_hub::{BoxFuture, Publisher, Source, SourceError};
use ocelli_media::mjpeg::{Event, Framer};
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStdout, Command};
use tokio::time::{Instant, timeout_at};

use super::{Pictures, SourceKind, SourceOptions, SourceUrl, SpecError, hide_user};
use crate::children::{Group, LastLines, ended};

#[cfg(test)]
mod tests;

/// Room in the pipe: several pictures, so that the program is not woken for every 64 KB of one.
const PIPE_BYTES: usize = 1 << 20;
/// How much may come without a picture before the program is given up, in times of the longest picture.
const HOPELESS: u64 = 4;

/// The kind's line in the registry.
pub(super) const KIND: SourceKind = SourceKind {
    scheme: "exec",
    about: "a program that writes JPEGs to its standard output: exec:rpicam-vid -t 0 --codec mjpeg -o -",
    build,
};

fn build(url: &SourceUrl, options: &SourceOptions) -> Result<Box<dyn Source>, SpecError> {
    let words = shell_words::split(url.rest())
        .map_err(|_| SpecError::new("`exec:`: a quote is not closed in the command line"))?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(SpecError::new(
            "`exec:` needs a command line, as in `exec:rpicam-vid -t 0 --codec mjpeg -o -`",
        ));
    };
    Ok(Box::new(ExecSource {
        program: program.clone(),
        arguments: arguments.to_vec(),
        options: options.clone(),
    }))
}

struct ExecSource {
    program: String,
    arguments: Vec<String>,
    options: SourceOptions,
}

impl Source for ExecSource {
    fn run<'a>(&'a mut self, out: &'a mut Publisher) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(self.run_once(out))
    }
}

impl ExecSource {
    async fn run_once(&mut self, out: &mut Publisher) -> Result<(), SourceError> {
        let mut group = self.spawn()?;
        let stdout = group.take_stdout();
        let lines = LastLines::read(group.take_stderr(), out.name().clone());
        let mut pictures = Pictures::new(&self.options);
        let read = read_pictures(stdout, &self.options, &mut pictures, out).await;
        if let Err(hopeless) = read {
            return Err(SourceError::lost(format!("{}: {hopeless}", self.name())));
        }
        // Standard output is closed: what is left is to learn why.
        let status = group.wait().await;
        Err(SourceError::lost(self.cause(status, &lines.finish().await, pictures.fault())))
    }

    fn spawn(&self) -> Result<Group, SourceError> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                SourceError::refused(format!("the program {} is not installed", self.name()))
            }
            io::ErrorKind::PermissionDenied => {
                SourceError::refused(format!("the program {} may not be run: permission denied", self.name()))
            }
            _ => SourceError::lost(format!("{} could not be started: {error}", self.name())),
        })?;
        Ok(Group::new(child))
    }

    /// "`ffmpeg` ended with status 1: /dev/video0: No such file or directory".
    fn cause(&self, status: Option<io::Result<ExitStatus>>, lines: &str, fault: Option<&str>) -> String {
        let how = match status {
            Some(Ok(status)) => ended(status),
            Some(Err(error)) => format!("was lost: {error}"),
            None => "closed its standard output and did not end".to_owned(),
        };
        let why = [lines, fault.unwrap_or_default()].into_iter().find(|text| !text.is_empty());
        let why = why.map(|why| format!(": {}", hide_user(why))).unwrap_or_default();
        format!("{} {how}{why}", self.name())
    }

    fn name(&self) -> String {
        format!("`{}`", self.program.rsplit('/').next().unwrap_or_default())
    }
}

/// Reads pictures until the program closes its standard output.
///
/// # Errors
/// So much came without a picture that none is to be expected; says what came instead.
async fn read_pictures(
    mut stdout: ChildStdout,
    options: &SourceOptions,
    pictures: &mut Pictures,
    out: &mut Publisher,
) -> Result<(), String> {
    // A kernel that does not give the room (a limit of the user's) gives the usual 64 KB.
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE_BYTES);
    let hopeless = options.max_frame_bytes as u64 * HOPELESS;
    let mut framer = Framer::new(options.max_frame_bytes);
    let mut since_picture = 0;
    let mut last_picture = Instant::now();
    // A little before the supervisor would say that nothing came: here it is known what did.
    let patience = options.silence_timeout.mul_f64(0.9);
    loop {
        let read = timeout_at(last_picture + patience, stdout.read_buf(framer.room())).await;
        if since_picture > 0 && last_picture.elapsed() >= patience {
            if let Some(Event::Dropped { reason, bytes }) = framer.finish() {
                pictures.drop_picture(out, reason, bytes);
            }
            return Err(without_picture(since_picture, pictures));
        }
        match read {
            // Nothing came at all: the supervisor's matter.
            Err(_) => last_picture = Instant::now(),
            Ok(Ok(0)) => break,
            Ok(Ok(bytes)) => since_picture += bytes as u64,
            Ok(Err(error)) => {
                tracing::debug!(camera = %out.name(), "the pipe broke: {error}");
                break;
            }
        }
        while let Some(event) = framer.next_event() {
            match event {
                Event::Frame(jpeg) => {
                    if pictures.publish(out, jpeg, None) {
                        since_picture = 0;
                        last_picture = Instant::now();
                    }
                }
                Event::Dropped { reason, bytes } => pictures.drop_picture(out, reason, bytes),
            }
        }
        if since_picture > hopeless {
            return Err(without_picture(since_picture, pictures));
        }
    }
    if let Some(Event::Dropped { reason, bytes }) = framer.finish() {
        pictures.drop_picture(out, reason, bytes);
    }
    Ok(())
}

/// "64 MB came without a whole picture: bytes that are no picture".
fn without_picture(bytes: u64, pictures: &Pictures) -> String {
    let amount = if bytes < 1 << 20 { format!("{bytes} bytes") } else { format!("{} MB", bytes >> 20) };
    let fault = pictures.fault().map(|fault| format!(": {fault}")).unwrap_or_default();
    format!("{amount} came without a whole picture{fault}")
}
