//! One worker process: started, and its end put into words.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ocelli_hub::StreamName;
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::link::Lost;
use super::{Failure, PROGRAM};
use crate::children::{Group, LastLines, ended};

/// How long the status of a worker that broke its pipe is waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Room in its pipes: most pictures in one piece.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

/// A running worker. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Process {
    group: Group,
    pub(super) input: ChildStdin,
    pub(super) output: ChildStdout,
    lines: LastLines,
}

impl Process {
    /// Starts the program. Its environment is empty: it is not to know any secret.
    pub(super) fn spawn(program: &Path, camera: &StreamName, arguments: &[String]) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        // The camera's name is for those who look at a list of processes.
        command.arg(camera.as_str()).args(arguments).env_clear().process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::Unavailable(missing(program).into()),
            _ => Failure::Unavailable(
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
        Ok(Self { group, input, output, lines })
    }

    /// Its number in the system.
    pub(super) fn id(&self) -> Option<u32> {
        self.group.leader()
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
}

/// There is nothing in its place: it starts FFmpeg, too.
fn missing(program: &Path) -> String {
    format!(
        "the program {} is missing: install it beside `ocelli`, with which it is built and released",
        program.display()
    )
}
