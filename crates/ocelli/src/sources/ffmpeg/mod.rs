//! `ffmpeg:` — whatever FFmpeg reads: RTMP, SRT, HLS, files of any kind, a screen. What is coded in H.264, H.265, JPEG, AAC, Opus or G.711
//! is passed on as it is, with its own times; the rest FFmpeg encodes where it is told to.
//!
//! FFmpeg writes NUT to its standard output ([`ocelli_media::nut`]), in which a picture is there with its last byte. It runs in a
//! process group of its own and is stopped with it; its last lines of standard error become the cause when it ends.

use std::process::Stdio;

use ocelli_hub::{BoxFuture, DropReason, Publisher, Source, SourceError};
use ocelli_media::mp4::{self, Unpacked};
use ocelli_media::nut::{Event, NutError, Reader};
use ocelli_media::splitter;
use ocelli_media::{TrackId, audio_track};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};

use self::settings::Settings;
use super::pictures::When;
use super::{Pictures, SourceKind, SourceOptions, SourceUrl, SpecError};
use crate::children::{LastLines, cause};

mod settings;
#[cfg(test)]
mod tests;

/// Room in the pipe: most pictures in one piece.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

/// The kind's line in the registry.
pub(super) const KIND: SourceKind = SourceKind {
    scheme: "ffmpeg",
    about: "whatever FFmpeg reads: ffmpeg:rtmp://host/live/cam, ffmpeg:clip.mkv, ffmpeg:x11grab::0",
    build,
};

fn build(url: &SourceUrl, options: &SourceOptions) -> Result<Box<dyn Source>, SpecError> {
    let settings = Settings::parse(url, options)?;
    Ok(Box::new(FfmpegSource { settings, options: options.clone() }))
}

struct FfmpegSource {
    settings: Settings,
    options: SourceOptions,
}

impl Source for FfmpegSource {
    fn run<'a>(&'a mut self, out: &'a mut Publisher) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(self.run_once(out))
    }
}

impl FfmpegSource {
    async fn run_once(&mut self, out: &mut Publisher) -> Result<(), SourceError> {
        let program = &self.options.ffmpeg;
        let refused = |error| program.source_error(&error);
        let version = program.version().await.map_err(refused)?;
        if self.settings.shows_password(version) {
            let cause = format!(
                "{} is FFmpeg {version}, which would show this camera's password to every user of this machine: 5.0 or newer is needed",
                program.name()
            );
            return Err(SourceError::refused(cause));
        }
        let invocation = self.settings.invocation(version);
        let stdin = if invocation.script.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut group = program.start(&invocation.arguments, stdin, Stdio::piped()).map_err(refused)?;
        let stdout = group.take_stdout();
        let secrets = self.settings.input.secrets();
        let lines = LastLines::read_hiding(group.take_stderr(), out.name().clone(), secrets);
        let mut reading = Reading::new(&self.options, out);
        let script = invocation.script.map(|script| (group.take_stdin(), script));
        let (read, ()) = tokio::join!(reading.until_closed(stdout), tell(script));
        let fault = reading.pictures.fault().map(str::to_owned).unwrap_or_default();
        match read {
            // Standard output is closed: what is left is to learn why.
            Ok(()) => {
                let status = group.wait().await;
                Err(SourceError::lost(cause(&program.name(), status, &[&lines.finish().await, &fault])))
            }
            Err(error @ NutError::NoPictures { .. }) => {
                let hint = "`#video=h264` or `#video=mjpeg` has FFmpeg encode them";
                Err(SourceError::refused(format!("{error}: {hint}")))
            }
            Err(error) => Err(SourceError::lost(format!("{}: {error}", program.name()))),
        }
    }
}

/// Writes the script, and that it has ended. A program that does not read it says why.
async fn tell(script: Option<(ChildStdin, String)>) {
    if let Some((mut stdin, script)) = script {
        let _ = stdin.write_all(script.as_bytes()).await;
    }
}

/// Reads what FFmpeg writes, and publishes it.
struct Reading<'a> {
    out: &'a mut Publisher,
    reader: Reader,
    pictures: Pictures,
    /// Whether what is known of sound was said.
    has_begun: bool,
    has_sound: bool,
}

impl<'a> Reading<'a> {
    fn new(options: &SourceOptions, out: &'a mut Publisher) -> Self {
        let reader = Reader::new(options.max_frame_bytes);
        Self { out, reader, pictures: Pictures::new(options), has_begun: false, has_sound: false }
    }

    async fn until_closed(&mut self, mut stdout: ChildStdout) -> Result<(), NutError> {
        // A kernel that does not give the room (a limit of the user's) gives the usual 64 KB.
        #[cfg(target_os = "linux")]
        let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE_BYTES);
        loop {
            match stdout.read_buf(self.reader.room()).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(camera = %self.out.name(), "the pipe broke: {error}");
                    return Ok(());
                }
            }
            while let Some(event) = self.reader.next_event()? {
                self.take(event);
            }
        }
    }

    fn take(&mut self, event: Event) {
        if !self.has_begun {
            self.begin();
        }
        match event {
            Event::Packet { time, unpacked: Unpacked::Sound(data), .. } => {
                // What it is may stand in its packets only.
                if !self.has_sound
                    && let Some(track) = audio_track(&self.reader.tracks())
                {
                    self.has_sound = true;
                    self.pictures.add_sound(self.out, track.clone());
                }
                self.pictures.sound(self.out, time, data);
            }
            Event::Packet { time, unpacked, .. } => {
                let event = match unpacked {
                    Unpacked::AccessUnit(unit) => splitter::Event::AccessUnit(unit),
                    Unpacked::Jpeg(jpeg) | Unpacked::Sound(jpeg) => splitter::Event::Jpeg(jpeg),
                };
                self.pictures.take(self.out, event, self.reader.parameter_sets(), When::At(time));
            }
            Event::Dropped { track: TrackId::VIDEO, reason } => {
                let counted = match reason {
                    mp4::DropReason::NeedsKey => DropReason::NeedsKeyframe,
                    _ => DropReason::Damaged,
                };
                self.pictures.drop_sample(self.out, counted, reason.to_string());
            }
            Event::TooLarge { track: TrackId::VIDEO, bytes } => {
                let fault = format!("a picture has {bytes} bytes, more than are accepted");
                self.pictures.drop_sample(self.out, DropReason::TooLarge, fault);
            }
            Event::Dropped { .. } | Event::TooLarge { .. } => self.out.sound_dropped(1),
            // Never asked for here.
            Event::Raw { .. } => {}
        }
    }

    /// Says what there is before the first of it comes.
    fn begin(&mut self) {
        self.has_begun = true;
        let sound = audio_track(&self.reader.tracks()).cloned();
        self.has_sound = sound.is_some();
        self.pictures.set_sound(sound);
        if let Some(codec) = self.reader.strange_sound() {
            let note =
                format!("its sound, {codec}, is not passed on: with `#audio=aac` FFmpeg makes AAC of it");
            self.out.note(&note);
        }
    }
}
