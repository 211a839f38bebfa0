//! What FFmpeg says of its version. Builds name themselves as they like (`5.1.9-0+deb12u1`, `n7.0`, `N-109968-gc7a2d2b`), so what can be
//! relied on is the version of the library that reads and writes containers, which every build states.

use std::fmt;

/// The oldest that is used: its library's version, and what that one is called.
const LEAST_LIBRARY: (u32, u32) = (58, 45);
pub(super) const LEAST: &str = "4.3";
/// The first one in which a script may hold options (FFmpeg 5.0).
const SCRIPT_OPTIONS: (u32, u32) = (59, 16);

/// An FFmpeg's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    name: String,
    /// Major and minor version of libavformat.
    library: (u32, u32),
}

impl Version {
    /// Reads the answer to `-version`.
    pub(crate) fn parse(answer: &str) -> Option<Self> {
        let name = answer.strip_prefix("ffmpeg version ")?.split_whitespace().next()?;
        let library = answer.lines().find_map(|line| line.strip_prefix("libavformat"))?;
        // "    59. 27.100 / 59. 27.100": built with / runs with.
        let runs_with = library.rsplit('/').next()?;
        let mut numbers = runs_with.split('.').map(|number| number.trim().parse::<u32>());
        let library = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        let name = name.chars().filter(|c| !c.is_control()).take(40).collect();
        Some(Self { name, library })
    }

    pub(super) fn is_too_old(&self) -> bool {
        self.library < LEAST_LIBRARY
    }

    /// Whether an input's options may stand in a script instead of on the command line.
    pub(crate) fn takes_options_from_script(&self) -> bool {
        self.library >= SCRIPT_OPTIONS
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &str, library: &str) -> String {
        format!(
            "ffmpeg version {name} Copyright (c) 2000-2024 the FFmpeg developers\nbuilt with gcc\nlibavutil      57. 28.100 / 57. 28.100\nlibavformat    {library}\n"
        )
    }

    #[test]
    fn versions_are_told_by_their_library() {
        for (name, library, old, script) in [
            ("5.1.9-0+deb12u1", "59. 27.100 / 59. 27.100", false, true),
            ("N-109968-gc7a2d2b", "60.  3.100 / 60.  3.100", false, true),
            ("4.4.2-0ubuntu0.22.04.1", "58. 76.100 / 58. 76.100", false, false),
            ("3.4.11", "57. 83.100 / 57. 83.100", true, false),
            // Built for one, and run with another.
            ("5.1", "59. 27.100 / 58. 29.100", true, false),
        ] {
            let version = Version::parse(&answer(name, library)).expect("an answer");
            assert_eq!(version.to_string(), name);
            assert_eq!((version.is_too_old(), version.takes_options_from_script()), (old, script), "{name}");
        }
    }

    #[test]
    fn other_programs_are_not_ffmpeg() {
        for answer in ["", "ffmpeg version", "avconv version 11", "ffmpeg version 5.1\nno libraries"] {
            assert_eq!(Version::parse(answer), None);
        }
    }
}
