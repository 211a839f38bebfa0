//! What a machine has that bears on the choice of a camera program. Asked through a trait, so that the choice can be
//! tested for machines that are not at hand.

use std::path::Path;

/// The kinds of system whose cameras are reached differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// V4L2 and libcamera.
    Linux,
    /// AVFoundation.
    MacOs,
}

/// What a machine has.
pub trait Machine {
    /// Its kind.
    fn system(&self) -> System;
    /// Whether a program of this name can be run.
    fn has_program(&self, name: &str) -> bool;
    /// Whether this path exists.
    fn has_path(&self, path: &Path) -> bool;
}

/// The machine this runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisMachine;

impl Machine for ThisMachine {
    fn system(&self) -> System {
        if cfg!(target_os = "macos") { System::MacOs } else { System::Linux }
    }

    fn has_program(&self, name: &str) -> bool {
        if name.contains('/') {
            return Path::new(name).is_file();
        }
        let Some(path) = std::env::var_os("PATH") else { return false };
        std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
    }

    fn has_path(&self, path: &Path) -> bool {
        path.exists()
    }
}

/// A machine made up for a test.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct MadeUp {
    pub(crate) system: System,
    pub(crate) programs: &'static [&'static str],
    pub(crate) paths: &'static [&'static str],
}

#[cfg(test)]
impl Machine for MadeUp {
    fn system(&self) -> System {
        self.system
    }

    fn has_program(&self, name: &str) -> bool {
        self.programs.contains(&name)
    }

    fn has_path(&self, path: &Path) -> bool {
        path.to_str().is_some_and(|path| self.paths.contains(&path))
    }
}
