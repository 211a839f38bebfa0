//! `file:` — a film of JPEGs, one JPEG, or a folder of them, shown at a steady pace.
//!
//! Nothing is held in memory but the picture at hand: a film is read on as it is shown, and once more for each loop (the
//! kernel keeps its pages); of a folder, one file at a time. A single picture is read once and shown again and again.
//! What of a film the kernel has in memory is read at once; where a disk is to be waited for, that happens on the blocking
//! pool (going there and back for each picture costs more than reading it). Refuses what is neither a file nor a folder:
//! opening a pipe may wait for ever.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use ocelli_hub::{BoxFuture, Publisher, Source, SourceError};
use ocelli_media::mjpeg::{DropReason, Event, Framer};
use tokio::time::{Interval, MissedTickBehavior, interval};

use self::read::{read, read_at_hand};
use super::{Pictures, SourceKind, SourceOptions, SourceUrl, SpecError, whole_jpeg};

mod read;

/// The kind's line in the registry.
pub(super) const KIND: SourceKind = SourceKind {
    scheme: "file",
    about: "a film of JPEGs, a JPEG or a folder of JPEGs: file:clip.mjpeg?fps=25&loop=1",
    build,
};

/// Pictures a second, where nothing else is asked: of a film, and of single pictures.
const FILM_FPS: f64 = 25.0;
const STILL_FPS: f64 = 1.0;

/// The most files that a folder may hold: their names are kept and sorted.
const MOST_FILES: usize = 100_000;

fn build(url: &SourceUrl, options: &SourceOptions) -> Result<Box<dyn Source>, SpecError> {
    url.only(&["fps", "loop"])?;
    if url.path().is_empty() {
        return Err(SpecError::new("`file:` needs the name of a file or folder: file:clip.mjpeg"));
    }
    let fps = url.number("fps", 0.01..=1000.0_f64)?;
    if let Some(fps) = fps
        && fps * options.silence_timeout.as_secs_f64() < 1.0
    {
        let (every, silence) = (1.0 / fps, options.silence_timeout.as_secs_f64());
        return Err(SpecError::new(format!(
            "fps={fps}: a camera counts as lost when no picture comes for {silence} s, and this is one every {every} s"
        )));
    }
    Ok(Box::new(FileSource {
        path: PathBuf::from(url.path()),
        fps,
        repeat: url.flag("loop")?,
        options: options.clone(),
    }))
}

struct FileSource {
    path: PathBuf,
    fps: Option<f64>,
    repeat: Option<bool>,
    options: SourceOptions,
}

impl Source for FileSource {
    fn run<'a>(&'a mut self, out: &'a mut Publisher) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(self.show(out))
    }
}

impl FileSource {
    async fn show(&self, out: &mut Publisher) -> Result<(), SourceError> {
        let (path, limit) = (self.path.clone(), self.options.max_frame_bytes);
        let mut reel = blocking(move || Reel::open(&path, limit)).await?;
        let still = !matches!(reel, Reel::Film(_));
        let fps = self.fps.unwrap_or(if still { STILL_FPS } else { FILM_FPS });
        let repeat = self.repeat.unwrap_or(still);
        let mut pace = pace(fps);
        let mut pictures = Pictures::new(&self.options);
        let mut shown_this_time = 0_u64;
        pace.tick().await;
        loop {
            let next = match reel.next_at_hand()? {
                Some(next) => next,
                None => {
                    let (back, next) = blocking(move || reel.next().map(|next| (reel, next))).await?;
                    reel = back;
                    next
                }
            };
            match next {
                Next::Picture(jpeg) => {
                    let shown = pictures.publish(out, jpeg, None);
                    shown_this_time += u64::from(shown);
                    // The last picture has its time too.
                    pace.tick().await;
                }
                Next::Dropped { reason, bytes } => {
                    pictures.drop_picture(out, reason, bytes);
                    // A long file without pictures must not keep others from running.
                    tokio::task::yield_now().await;
                }
                Next::End if shown_this_time == 0 => {
                    let fault = pictures.fault().map(|fault| format!(": {fault}")).unwrap_or_default();
                    return Err(SourceError::refused(format!(
                        "{} holds no JPEG{fault}",
                        self.path.display()
                    )));
                }
                Next::End if repeat => {
                    shown_this_time = 0;
                    reel = blocking(move || reel.rewind()).await?;
                }
                Next::End => {
                    return Err(SourceError::lost(format!("{} has come to its end", self.path.display())));
                }
            }
        }
    }
}

/// Ticks `fps` times a second, first at once. A time that was missed is skipped, so that the pace stays.
fn pace(fps: f64) -> Interval {
    let mut pace = interval(Duration::from_secs_f64(1.0 / fps));
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    pace
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(SourceError::lost("the reading of the file stopped")))
}

enum Next {
    Picture(Bytes),
    Dropped { reason: DropReason, bytes: u64 },
    End,
}

/// What is shown.
enum Reel {
    Film(Box<Film>),
    Still { picture: Bytes, shown: bool },
    Folder { path: PathBuf, limit: usize, files: std::vec::IntoIter<PathBuf> },
}

struct Film {
    path: PathBuf,
    file: File,
    limit: usize,
    framer: Framer,
}

impl Reel {
    fn open(path: &Path, limit: usize) -> Result<Self, SourceError> {
        let about = fs::metadata(path).map_err(|error| in_words(path, &error))?;
        if about.is_dir() {
            let files = list(path)?.into_iter();
            return Ok(Self::Folder { path: path.to_owned(), limit, files });
        }
        if !about.is_file() {
            let path = path.display();
            return Err(SourceError::refused(format!("{path} is neither a file nor a folder")));
        }
        if is_jpeg(path) {
            let picture = read_picture(path, limit)?
                .map_err(|reason| SourceError::refused(format!("{}: {reason}", path.display())))?;
            return Ok(Self::Still { picture, shown: false });
        }
        Ok(Self::Film(Box::new(Film::open(path, limit)?)))
    }

    fn next(&mut self) -> Result<Next, SourceError> {
        match self {
            Self::Film(film) => film.next(),
            Self::Still { shown: true, .. } => Ok(Next::End),
            Self::Still { picture, shown } => {
                *shown = true;
                Ok(Next::Picture(picture.clone()))
            }
            // A file that was removed since the folder was listed is passed over.
            Self::Folder { limit, files, .. } => match files.find(|file| file.exists()) {
                Some(file) => Ok(match read_picture(&file, *limit)? {
                    Ok(picture) => Next::Picture(picture),
                    Err(reason) => {
                        Next::Dropped { reason, bytes: fs::metadata(&file).map_or(0, |f| f.len()) }
                    }
                }),
                None => Ok(Next::End),
            },
        }
    }

    /// What is next, if no disk has to be waited for.
    fn next_at_hand(&mut self) -> Result<Option<Next>, SourceError> {
        match self {
            Self::Film(film) => film.next_at_hand(),
            Self::Still { .. } => self.next().map(Some),
            Self::Folder { .. } => Ok(None),
        }
    }

    fn rewind(self) -> Result<Self, SourceError> {
        match self {
            Self::Film(film) => Ok(Self::Film(Box::new(Film::open(&film.path, film.limit)?))),
            Self::Still { picture, .. } => Ok(Self::Still { picture, shown: false }),
            Self::Folder { path, limit, .. } => {
                let files = list(&path)?.into_iter();
                Ok(Self::Folder { path, limit, files })
            }
        }
    }
}

impl Film {
    fn open(path: &Path, limit: usize) -> Result<Self, SourceError> {
        Ok(Self {
            path: path.to_owned(),
            file: File::open(path).map_err(|error| in_words(path, &error))?,
            limit,
            framer: Framer::new(limit),
        })
    }

    fn next(&mut self) -> Result<Next, SourceError> {
        loop {
            if let Some(next) = self.framed() {
                return Ok(next);
            }
            let count = read(&self.file, self.framer.room()).map_err(|error| in_words(&self.path, &error))?;
            if count == 0 {
                return Ok(self.end());
            }
        }
    }

    /// As [`next`](Self::next); `None` where the disk is to be waited for.
    fn next_at_hand(&mut self) -> Result<Option<Next>, SourceError> {
        loop {
            if let Some(next) = self.framed() {
                return Ok(Some(next));
            }
            let count = read_at_hand(&self.file, self.framer.room());
            match count.map_err(|error| in_words(&self.path, &error))? {
                None => return Ok(None),
                Some(0) => return Ok(Some(self.end())),
                Some(_) => {}
            }
        }
    }

    fn framed(&mut self) -> Option<Next> {
        self.framer.next_event().map(Next::from)
    }

    fn end(&mut self) -> Next {
        self.framer.finish().map_or(Next::End, Next::from)
    }
}

impl From<Event> for Next {
    fn from(event: Event) -> Self {
        match event {
            Event::Frame(data) => Self::Picture(data),
            Event::Dropped { reason, bytes } => Self::Dropped { reason, bytes },
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

fn in_words(path: &Path, error: &io::Error) -> SourceError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => SourceError::refused(format!("there is no file or folder {path}")),
        io::ErrorKind::PermissionDenied => SourceError::refused(format!("{path} may not be read")),
        _ => SourceError::lost(format!("{path} cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests;
