//! What is wrong with a configuration, and where: problems (it cannot be used) and warnings (it can).
//!
//! Nothing here ever holds a password: whoever makes a problem passes texts through [`hide_user`] first, and a value
//! that came from the environment is shown as `${NAME}`.
//!
//! [`hide_user`]: crate::sources::hide_user

use std::fmt;

/// A place in the file. Both count from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line of the file.
    pub line: usize,
    /// Character of the line.
    pub column: usize,
}

/// One thing that makes a configuration unusable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the file; none for a flag of the command line or a file that could not be read.
    pub place: Option<Place>,
    /// The key with its tables (`cameras.front.quality`) or the flag (`--camera`); empty when no key is concerned.
    pub key: String,
    /// What was found there: `found 300`, `unknown key`.
    pub found: String,
    /// What would be right: `a whole number from 1 to 100`; empty when `found` says all there is to say.
    pub expected: String,
    /// The nearest valid name, when one is near.
    pub nearest: Option<String>,
}

impl Problem {
    pub(super) fn new(place: Option<Place>, key: impl Into<String>, found: impl Into<String>) -> Self {
        Self { place, key: key.into(), found: found.into(), expected: String::new(), nearest: None }
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = expected.into();
        self
    }

    /// Adds the nearest of `known` to `found`, or all of them when none is near.
    pub(super) fn among<'a>(mut self, found: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.collect();
        self.nearest = nearest(found, &known).map(str::to_owned);
        self.expected = format!("one of {}", known.join(", "));
        self
    }
}

/// The name in `known` that `found` was probably meant to be.
pub(super) fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let found = found.to_ascii_lowercase().replace('-', "_");
    // A third of the letters may be wrong: `widht` is `width`, `fps` is not `rtsp`.
    let allowed = (found.len() / 3).clamp(1, 4);
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&found, name), *name))
        .min()
        .filter(|(distance, _)| *distance <= allowed)
        .map(|(_, name)| name)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.found)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        if !self.expected.is_empty() {
            write!(f, "; expected {}", self.expected)?;
        }
        Ok(())
    }
}

/// Everything that makes a configuration unusable, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file as it was named; none when there was no file.
    pub file: Option<String>,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match (&self.file, problem.place) {
                (Some(file), Some(Place { line, column })) => write!(f, "{file}:{line}:{column}: {problem}")?,
                _ => write!(f, "{problem}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Something the owner should know although the configuration is usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where in the file; none when it concerns several places, which `text` then names, or a flag.
    pub place: Option<Place>,
    /// In words.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(Place { line, column }) => write!(f, "line {line}, column {column}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}
