//! A film as a byte stream: JPEGs, or H.264 or H.265 as Annex B, read on as it is shown.

use std::fs::File;
use std::path::{Path, PathBuf};

use ocelli_hub::SourceError;
use ocelli_media::splitter::Splitter;
use ocelli_media::{Codec, ParameterSets};

use super::read::{From, read, read_at_hand};
use super::reel::{Next, in_words};

/// A film that is read on as it is shown.
pub(super) struct Film {
    path: PathBuf,
    file: File,
    codec: Option<Codec>,
    limit: usize,
    splitter: Splitter,
}

impl Film {
    pub(super) fn open(path: &Path, codec: Option<Codec>, limit: usize) -> Result<Self, SourceError> {
        Ok(Self {
            path: path.to_owned(),
            file: File::open(path).map_err(|error| in_words(path, &error))?,
            codec,
            limit,
            splitter: Splitter::new(codec, limit),
        })
    }

    /// The same from its beginning, of the file that has its name by then.
    pub(super) fn rewind(&self) -> Result<Self, SourceError> {
        Self::open(&self.path, self.codec, self.limit)
    }

    /// Of H.264 and H.265.
    pub(super) fn parameter_sets(&self) -> Option<&ParameterSets> {
        self.splitter.parameter_sets()
    }

    /// What is next; waits for the disk.
    pub(super) fn next(&mut self) -> Result<Next, SourceError> {
        loop {
            if let Some(next) = self.found() {
                return Ok(next);
            }
            let count = read(&self.file, From::Here, self.splitter.room())
                .map_err(|error| in_words(&self.path, &error))?;
            if count == 0 {
                return Ok(self.end());
            }
        }
    }

    /// As [`next`](Self::next); `None` where the disk is to be waited for.
    pub(super) fn next_at_hand(&mut self) -> Result<Option<Next>, SourceError> {
        loop {
            if let Some(next) = self.found() {
                return Ok(Some(next));
            }
            let count = read_at_hand(&self.file, From::Here, self.splitter.room());
            match count.map_err(|error| in_words(&self.path, &error))? {
                None => return Ok(None),
                Some(0) => return Ok(Some(self.end())),
                Some(_) => {}
            }
        }
    }

    fn found(&mut self) -> Option<Next> {
        self.splitter.next_event().map(Next::Found)
    }

    fn end(&mut self) -> Next {
        self.splitter.finish().map_or(Next::End, Next::Found)
    }
}
