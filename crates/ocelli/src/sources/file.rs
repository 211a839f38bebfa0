//! `file:` — a film of JPEGs, of H.264 or of H.265, an MP4, one JPEG, or a folder of them, shown at its own or a steady pace.
//!
//! Nothing is held in memory but the picture at hand: a film is read on as it is shown, and once more for each loop (the
//! kernel keeps its pages); of a folder, one file at a time. A single picture is read once and shown again and again.
//! What of a film the kernel has in memory is read at once; where a disk is to be waited for, that happens on the blocking
//! pool (going there and back for each picture costs more than reading it). Refuses what is neither a file nor a folder:
//! opening a pipe may wait for ever.

use std::path::PathBuf;
use std::time::Duration;

use ocelli_hub::{BoxFuture, Publisher, Source, SourceError};
use ocelli_media::ParameterSets;
use ocelli_media::splitter::Event;
use tokio::time::{Instant, sleep_until};

use self::clip::{Shown, What};
use self::reel::{Next, Reel};
use super::pictures::{Pictures, USUAL_INTERVAL, When};
use super::{SourceKind, SourceOptions, SourceUrl, SpecError};

mod clip;
mod film;
mod read;
mod reel;
#[cfg(test)]
mod tests;

/// The kind's line in the registry.
pub(super) const KIND: SourceKind = SourceKind {
    scheme: "file",
    about: "a film (MP4, H.264, H.265, JPEGs), a JPEG or a folder of JPEGs: file:clip.mp4?loop=1",
    build,
};

/// Between single pictures, where nothing else is asked.
const STILL_INTERVAL: Duration = Duration::from_secs(1);

/// The least between two pictures of a film with times of its own.
const LEAST_INTERVAL: Duration = Duration::from_micros(500);

/// Who is later than this does not catch up: its pictures would come in a bunch.
const LATE: Duration = Duration::from_millis(100);

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
        let (path, options) = (self.path.clone(), self.options.clone());
        let mut reel = blocking(move || Reel::open(&path, &options)).await?;
        let repeat = self.repeat.unwrap_or(reel.is_still());
        let mut showing = Showing::new(self);
        showing.begin(&reel, out);
        let mut shown_before = 0;
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
                Next::Found(event) => showing.show(event, &reel, out).await,
                Next::Shown(shown) => showing.show_in_time(shown, &reel, out).await,
                Next::End if showing.shown == shown_before => {
                    let fault =
                        showing.pictures.fault().map(|fault| format!(": {fault}")).unwrap_or_default();
                    let what = if reel.is_still() { "no JPEG" } else { "no picture" };
                    return Err(SourceError::refused(format!("{} holds {what}{fault}", self.path.display())));
                }
                Next::End if repeat => {
                    shown_before = showing.shown;
                    showing.end(&reel, out).await;
                    reel = blocking(move || reel.rewind()).await?;
                    showing.pictures.begin_anew();
                }
                Next::End => {
                    showing.end(&reel, out).await;
                    let path = self.path.display();
                    let words =
                        format!("{path} has come to its end and begins anew; `loop=1` has no pause between");
                    return Err(SourceError::lost(words));
                }
            }
        }
    }
}

/// What is shown, at its pace.
struct Showing {
    pictures: Pictures,
    /// Between two pictures, where it was asked for.
    interval: Option<Duration>,
    /// How long all pictures so far are shown.
    film_time: Duration,
    /// When the next picture is due.
    due: Instant,
    /// The same by the times of a film that has some, in nanoseconds since its beginning.
    last_due: i64,
    shown: u64,
}

impl Showing {
    fn new(source: &FileSource) -> Self {
        Self {
            pictures: Pictures::new(&source.options),
            interval: source.fps.map(|fps| Duration::from_secs_f64(1.0 / fps)),
            film_time: Duration::ZERO,
            due: Instant::now(),
            last_due: 0,
            shown: 0,
        }
    }

    fn begin(&mut self, reel: &Reel, out: &mut Publisher) {
        self.pictures.set_sound(reel.sound());
        if self.interval.is_some() && reel.over().is_some() {
            out.note("`fps` is left out: the film has times of its own");
        }
    }

    /// Waits until what has come to its end is over.
    async fn end(&mut self, reel: &Reel, out: &mut Publisher) {
        if let Some(over) = reel.over() {
            self.show_in_time(over, reel, out).await;
        }
    }

    /// Waits until a sample is due, and shows or counts it.
    async fn show_in_time(&mut self, shown: Shown, reel: &Reel, out: &mut Publisher) {
        let passed = u64::try_from(shown.due.saturating_sub(self.last_due)).unwrap_or(0);
        self.last_due = shown.due.max(self.last_due);
        let is_picture = matches!(shown.what, What::Picture(..));
        // However dense its times are, others are to run.
        let passed =
            Duration::from_nanos(passed).max(if is_picture { LEAST_INTERVAL } else { Duration::ZERO });
        self.wait(passed).await;
        match shown.what {
            What::Picture(event, time) => {
                let taken = self.pictures.take(out, event, reel.parameter_sets(), When::At(time));
                self.shown += u64::from(taken.is_some());
            }
            What::Sound(packet, time) => self.pictures.sound(out, time, packet),
            What::Dropped(reason, fault) => self.pictures.drop_sample(out, reason, fault),
            What::SoundDropped => out.sound_dropped(1),
            What::Nothing => {}
        }
        tokio::task::yield_now().await;
    }

    /// Waits until so much time has passed since the last wait's end, or until now if that is long ago.
    async fn wait(&mut self, passed: Duration) {
        self.due += passed;
        let now = Instant::now();
        if now.saturating_duration_since(self.due) > LATE {
            self.due = now;
        }
        sleep_until(self.due).await;
    }

    /// Shows or counts what was found, and waits until the next picture is due: the last one has its time too.
    async fn show(&mut self, event: Event, reel: &Reel, out: &mut Publisher) {
        let sets = reel.parameter_sets();
        let said = sets.and_then(ParameterSets::interval);
        let usual = if reel.is_still() { STILL_INTERVAL } else { USUAL_INTERVAL };
        let interval = self.interval.or(said).unwrap_or(usual);
        let when = When::Film { since_beginning: self.film_time, interval };
        match self.pictures.take(out, event, sets, when) {
            Some(length) => {
                self.shown += 1;
                self.film_time += length;
                self.wait(length).await;
            }
            // A long file without pictures must not keep others from running.
            None => tokio::task::yield_now().await,
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(SourceError::lost("the reading of the file stopped")))
}
