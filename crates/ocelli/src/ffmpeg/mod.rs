//! The FFmpeg program as a part of this one: which one it is, how old, and what is put on its command line, and what must not be.
//!
//! Nothing here knows what the program is wanted for; it is started and read by who wants it, in a process group of its own
//! ([`crate::children`]).

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use ocelli_hub::SourceError;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::children::Group;

mod input;
mod version;
mod words;

pub(crate) use input::Input;
pub(crate) use version::Version;
pub(crate) use words::Words;

/// How long it may take to say its version.
const VERSION_PATIENCE: Duration = Duration::from_secs(5);
/// Most of what it says then; it is about 1500 bytes.
const VERSION_BYTES: u64 = 64 << 10;

/// Which FFmpeg is used, and how. Its `Debug` leaves out the words, which may hold a password.
pub struct Program {
    path: String,
    enabled: bool,
    extra_args: Vec<String>,
    /// Asked for once it is wanted, and again as long as there was no answer.
    version: OnceCell<Version>,
}

impl Default for Program {
    fn default() -> Self {
        Self::new("ffmpeg".to_owned(), true, Vec::new())
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, self.enabled, &self.extra_args) == (&other.path, other.enabled, &other.extra_args)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("path", &self.path)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// Why FFmpeg cannot be used. What it is called is not in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// The configuration says so.
    #[error("is not used, since `enabled = false` stands in `[ffmpeg]`")]
    Off,
    /// There is no such program.
    #[error("is not installed")]
    NotInstalled,
    /// The system does not let us.
    #[error("may not be run: permission denied")]
    Forbidden,
    /// The system cannot now.
    #[error("could not be started: {0}")]
    NotStarted(String),
    /// It does not answer as FFmpeg does.
    #[error("does not answer `-version` as FFmpeg does")]
    Strange,
    /// It is too old.
    #[error("is FFmpeg {0}, which is too old: {least} or newer is needed", least = version::LEAST)]
    TooOld(String),
}

impl Program {
    /// The program at `path`, or of that name among those of `PATH`; `extra_args` are more words for it.
    pub fn new(path: String, enabled: bool, extra_args: Vec<String>) -> Self {
        Self { path, enabled, extra_args, version: OnceCell::new() }
    }

    /// It may be used.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// More words for it, which its owner wants.
    pub(crate) fn extra_args(&self) -> &[String] {
        &self.extra_args
    }

    /// The file that it is, for those who have no `PATH`; of one that is nowhere, its name. `None` if it is not to be used.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let named = PathBuf::from(&self.path);
        if !self.enabled {
            return None;
        }
        if self.path.contains('/') {
            return Some(std::path::absolute(&named).unwrap_or(named));
        }
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let found =
            std::env::split_paths(&folders).map(|folder| folder.join(&named)).find(|file| file.is_file());
        Some(found.unwrap_or(named))
    }

    /// What it is called in words: "`ffmpeg`".
    pub(crate) fn name(&self) -> String {
        format!("`{}`", self.path.rsplit('/').next().unwrap_or_default())
    }

    /// Its version: asked of the program once.
    ///
    /// # Errors
    /// It is not there, is none or too old.
    pub(crate) async fn version(&self) -> Result<&Version, ProgramError> {
        if !self.enabled {
            return Err(ProgramError::Off);
        }
        self.version
            .get_or_try_init(|| async {
                let version = self.ask_version().await?;
                tracing::info!("FFmpeg {version} is {}", self.path);
                Ok(version)
            })
            .await
    }

    async fn ask_version(&self) -> Result<Version, ProgramError> {
        let mut group = self.start(&["-version".to_owned()], Stdio::null(), Stdio::null())?;
        let mut answer = Vec::new();
        let mut stdout = group.take_stdout().take(VERSION_BYTES);
        let read = tokio::time::timeout(VERSION_PATIENCE, stdout.read_to_end(&mut answer)).await;
        if !matches!(read, Ok(Ok(_))) {
            return Err(ProgramError::Strange);
        }
        let version = Version::parse(&String::from_utf8_lossy(&answer)).ok_or(ProgramError::Strange)?;
        if version.is_too_old() {
            return Err(ProgramError::TooOld(version.to_string()));
        }
        Ok(version)
    }

    /// Starts it in a group of its own, with its standard output piped.
    ///
    /// # Errors
    /// It is not there or cannot be started.
    pub(crate) fn start(
        &self,
        arguments: &[String],
        stdin: Stdio,
        stderr: Stdio,
    ) -> Result<Group, ProgramError> {
        let mut command = Command::new(&self.path);
        command.args(arguments).stdin(stdin).stdout(Stdio::piped()).stderr(stderr).process_group(0);
        // It would write a report of all it does, addresses and passwords too, into a file of whoever started us.
        command.env_remove("FFREPORT");
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ProgramError::NotInstalled,
            io::ErrorKind::PermissionDenied => ProgramError::Forbidden,
            _ => ProgramError::NotStarted(error.to_string()),
        })?;
        Ok(Group::new(child))
    }

    /// As a camera's owner is told.
    pub(crate) fn source_error(&self, error: &ProgramError) -> SourceError {
        let cause = format!("{} {error}", self.name());
        match error {
            ProgramError::NotStarted(_) | ProgramError::Strange => SourceError::lost(cause),
            _ => SourceError::refused(cause),
        }
    }
}

/// FFmpeg's own scale of JPEG quality, from 2 (best) to 31 (smallest), at `quality` of 1 to 100.
pub(crate) fn jpeg_scale(quality: u8) -> u8 {
    let quality = u32::from(quality.clamp(1, 100));
    (2 + (100 - quality) * 29 / 99) as u8
}
