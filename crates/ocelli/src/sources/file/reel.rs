//! What `file:` shows: a film, a picture or a folder of pictures, one piece after the other.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ocelli_hub::SourceError;
use ocelli_media::mjpeg::DropReason;
use ocelli_media::splitter::Event;
use ocelli_media::{ParameterSets, Track, mp4};

use super::super::{SourceOptions, whole_jpeg};
use super::clip::{Clip, Shown};
use super::film::Film;

/// The most files that a folder may hold: their names are kept and sorted.
const MOST_FILES: usize = 100_000;
/// By so many bytes MP4 is told.
const BEGINNING_BYTES: u64 = 8;

/// What comes next.
pub(super) enum Next {
    /// A picture, or something that is none.
    Found(Event),
    /// A sample with its own time.
    Shown(Shown),
    /// Nothing.
    End,
}

/// What is shown.
pub(super) enum Reel {
    /// One picture after another.
    Film(Box<Film>),
    /// The same with times of its own, and sound.
    Clip(Box<Clip>),
    /// One JPEG.
    Still { picture: Bytes, shown: bool },
    /// A folder of JPEGs.
    Folder { path: PathBuf, limit: usize, files: std::vec::IntoIter<PathBuf> },
}

impl Reel {
    /// Opens what `path` names.
    pub(super) fn open(path: &Path, options: &SourceOptions) -> Result<Self, SourceError> {
        let limit = options.max_frame_bytes;
        let about = fs::metadata(path).map_err(|error| in_words(path, &error))?;
        if about.is_dir() {
            let files = list(path)?.into_iter();
            return Ok(Self::Folder { path: path.to_owned(), limit, files });
        }
        if !about.is_file() {
            let path = path.display();
            return Err(SourceError::refused(format!("{path} is neither a file nor a folder")));
        }
        if is_mp4(path)? {
            return Ok(Self::Clip(Box::new(Clip::open(path, limit)?)));
        }
        if is_jpeg(path) {
            let picture = read_picture(path, limit)?
                .map_err(|reason| SourceError::refused(format!("{}: {reason}", path.display())))?;
            return Ok(Self::Still { picture, shown: false });
        }
        Ok(Self::Film(Box::new(Film::open(path, options.codec, limit)?)))
    }

    /// Whether it is one picture or a folder of them.
    pub(super) fn is_still(&self) -> bool {
        matches!(self, Self::Still { .. } | Self::Folder { .. })
    }

    /// The track of sound, if there is one.
    pub(super) fn sound(&self) -> Option<Track> {
        match self {
            Self::Clip(clip) => clip.sound(),
            _ => None,
        }
    }

    /// When what ended is over, if it says so itself.
    pub(super) fn over(&self) -> Option<Shown> {
        match self {
            Self::Clip(clip) => Some(clip.over()),
            _ => None,
        }
    }

    /// Of H.264 and H.265.
    pub(super) fn parameter_sets(&self) -> Option<&ParameterSets> {
        match self {
            Self::Film(film) => film.parameter_sets(),
            Self::Clip(clip) => clip.parameter_sets(),
            Self::Still { .. } | Self::Folder { .. } => None,
        }
    }

    /// What is next; waits for the disk.
    pub(super) fn next(&mut self) -> Result<Next, SourceError> {
        match self {
            Self::Film(film) => film.next(),
            Self::Clip(clip) => clip.next(),
            Self::Still { shown: true, .. } => Ok(Next::End),
            Self::Still { picture, shown } => {
                *shown = true;
                Ok(Next::Found(Event::Jpeg(picture.clone())))
            }
            // A file that was removed since the folder was listed is passed over.
            Self::Folder { limit, files, .. } => match files.find(|file| file.exists()) {
                Some(file) => Ok(match read_picture(&file, *limit)? {
                    Ok(picture) => Next::Found(Event::Jpeg(picture)),
                    Err(reason) => {
                        let bytes = fs::metadata(&file).map_or(0, |f| f.len());
                        Next::Found(Event::Dropped { reason: reason.into(), bytes })
                    }
                }),
                None => Ok(Next::End),
            },
        }
    }

    /// What is next, if no disk has to be waited for.
    pub(super) fn next_at_hand(&mut self) -> Result<Option<Next>, SourceError> {
        match self {
            Self::Film(film) => film.next_at_hand(),
            Self::Clip(clip) => clip.next_at_hand(),
            Self::Still { .. } => self.next().map(Some),
            Self::Folder { .. } => Ok(None),
        }
    }

    /// The same from its beginning.
    pub(super) fn rewind(self) -> Result<Self, SourceError> {
        match self {
            Self::Film(film) => Ok(Self::Film(Box::new(film.rewind()?))),
            Self::Clip(clip) => Ok(Self::Clip(Box::new(clip.rewind()?))),
            Self::Still { picture, .. } => Ok(Self::Still { picture, shown: false }),
            Self::Folder { path, limit, .. } => {
                let files = list(&path)?.into_iter();
                Ok(Self::Folder { path, limit, files })
            }
        }
    }
}

/// The JPEGs of a folder in the order of their names; hidden ones are left out.
fn list(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| in_words(folder, &error))? {
        let path = entry.map_err(|error| in_words(folder, &error))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_jpeg(&path) && !hidden {
            files.push(path);
        }
        if files.len() > MOST_FILES {
            let folder = folder.display();
            return Err(SourceError::refused(format!("{folder} holds more than {MOST_FILES} pictures")));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn is_mp4(path: &Path) -> Result<bool, SourceError> {
    let mut beginning = Vec::with_capacity(BEGINNING_BYTES as usize);
    let file = File::open(path).map_err(|error| in_words(path, &error))?;
    file.take(BEGINNING_BYTES).read_to_end(&mut beginning).map_err(|error| in_words(path, &error))?;
    Ok(mp4::begins(&beginning))
}

fn is_jpeg(path: &Path) -> bool {
    let is = |extension: &OsStr| ["jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known));
    path.extension().is_some_and(is)
}

/// Reads one picture: the outer error is the file's, the inner one the picture's.
fn read_picture(path: &Path, limit: usize) -> Result<Result<Bytes, DropReason>, SourceError> {
    let file = File::open(path).map_err(|error| in_words(path, &error))?;
    let length = file.metadata().map_or(0, |about| about.len());
    if length > limit as u64 {
        return Ok(Err(DropReason::TooLarge));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(limit as u64).read_to_end(&mut bytes).map_err(|error| in_words(path, &error))?;
    Ok(whole_jpeg(&Bytes::from(bytes)).map_err(DropReason::Damaged))
}

pub(super) fn in_words(path: &Path, error: &io::Error) -> SourceError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => SourceError::refused(format!("there is no file or folder {path}")),
        io::ErrorKind::PermissionDenied => SourceError::refused(format!("{path} may not be read")),
        _ => SourceError::lost(format!("{path} cannot be read: {error}")),
    }
}
