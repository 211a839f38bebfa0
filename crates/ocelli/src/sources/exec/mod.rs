//! `exec:` — the standard output of any program that writes pictures: rpicam-vid, FFmpeg, GStreamer, a script.
//!
//! The program runs without a shell, in a process group of its own, and is stopped with its whole group. What it
//! writes, JPEGs or H.264 or H.265 as Annex B, is split into pictures by what stands in them ([`read`]). Its last lines of
//! standard error become the cause when it ends.

use std::io;
use std::process::Stdio;

use ocelli_hub::{BoxFuture, Publisher, Source, SourceError};
use tokio::process::Command;

use self::read::Reading;
use super::{Pictures, SourceKind, SourceOptions, SourceUrl, SpecError};
use crate::children::{Group, LastLines, cause};

mod patience;
mod read;
#[cfg(test)]
mod tests;

/// The kind's line in the registry.
pub(super) const KIND: SourceKind = SourceKind {
    scheme: "exec",
    about: "a program that writes JPEGs, H.264 or H.265 to its standard output: exec:rpicam-vid -t 0 --codec mjpeg -o -",
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
        if let Err(hopeless) = Reading::new(&self.options, &mut pictures, out).until_closed(stdout).await {
            return Err(SourceError::lost(format!("{}: {hopeless}", self.name())));
        }
        // Standard output is closed: what is left is to learn why.
        let status = group.wait().await;
        let why = [&lines.finish().await, pictures.fault().unwrap_or_default()];
        Err(SourceError::lost(cause(&self.name(), status, &why)))
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

    fn name(&self) -> String {
        format!("`{}`", self.program.rsplit('/').next().unwrap_or_default())
    }
}
