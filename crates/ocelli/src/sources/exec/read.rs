//! Reading of a program's pipe: bytes in, pictures out, until the program closes it or nothing is to be expected of it any more.

use std::time::Duration;

use ocelli_hub::Publisher;
use ocelli_media::splitter::{DropReason, Event, Splitter};
use tokio::io::AsyncReadExt;
use tokio::process::ChildStdout;
use tokio::time::{Instant, timeout_at};

use super::super::SourceOptions;
use super::super::pictures::{Came, Pictures, When};
use super::patience::Patience;

/// Room in the pipe: several pictures, so that the program is not woken for every 64 KB of one.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;
/// How much may come without a picture before the program is given up, in times of the longest picture.
const HOPELESS: u64 = 4;

/// By how much a start code may move where one picture ends and the next begins.
const START_CODE_BYTES: usize = 4;

/// The reading of one run of a program.
pub(super) struct Reading<'a> {
    splitter: Splitter,
    pictures: &'a mut Pictures,
    out: &'a mut Publisher,
    patience: Patience,
    /// What came since the last picture that was published.
    since_picture: u64,
    last_picture: Instant,
    /// How long the program may write no picture; a little less than the supervisor allows, for here it is known what came.
    silence: Duration,
    /// How much it may write without one.
    hopeless_bytes: u64,
    last_read: Came,
    settled: Settled,
}

/// Whether the last picture was given out because the program was silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    No,
    /// It was to be, but where it ends cannot be told. Nothing came since.
    Tried,
    /// It was, and nothing came since.
    Yes,
    /// It was, and then came something, after so long.
    WentOn(Duration),
}

/// What a read may have brought.
enum Read {
    Bytes(usize),
    Closed,
    /// Nothing came for as long as tells that a picture is whole.
    Silence,
    /// Nothing came for as long as the program may be silent.
    Nothing,
}

impl<'a> Reading<'a> {
    pub(super) fn new(options: &SourceOptions, pictures: &'a mut Pictures, out: &'a mut Publisher) -> Self {
        let now = Instant::now();
        Self {
            splitter: Splitter::new(options.codec, options.max_frame_bytes),
            pictures,
            out,
            patience: Patience::new(now.into_std()),
            since_picture: 0,
            last_picture: now,
            silence: options.silence_timeout.mul_f64(0.9),
            hopeless_bytes: options.max_frame_bytes as u64 * HOPELESS,
            last_read: Came::now(),
            settled: Settled::No,
        }
    }

    /// Reads pictures until the program closes its standard output.
    ///
    /// # Errors
    /// So much came without a picture that none is to be expected; says what came instead.
    pub(super) async fn until_closed(mut self, mut stdout: ChildStdout) -> Result<(), String> {
        // A kernel that does not give the room (a limit of the user's) gives the usual 64 KB.
        #[cfg(target_os = "linux")]
        let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE_BYTES);
        loop {
            let read = self.read(&mut stdout).await;
            if self.since_picture > 0 && self.last_picture.elapsed() >= self.silence {
                self.finish();
                return Err(self.without_picture());
            }
            match read {
                // Nothing came at all: the supervisor's matter.
                Read::Nothing => self.last_picture = Instant::now(),
                Read::Closed => break,
                Read::Silence => self.settle(),
                Read::Bytes(bytes) => self.came(bytes),
            }
            if self.since_picture > self.hopeless_bytes {
                return Err(self.without_picture());
            }
        }
        self.finish();
        Ok(())
    }

    /// Reads once. Where a picture has begun, a short silence is an answer too.
    async fn read(&mut self, stdout: &mut ChildStdout) -> Read {
        let hopeless = self.last_picture + self.silence;
        let may_settle = self.splitter.has_begun() && self.settled != Settled::Tried;
        let whole = self.patience.silence().filter(|_| may_settle).map(|wait| self.last_read.at + wait);
        let whole = whole.filter(|whole| *whole < hopeless);
        let read = timeout_at(whole.unwrap_or(hopeless), stdout.read_buf(self.splitter.room())).await;
        match read {
            Err(_) if whole.is_some() => Read::Silence,
            Err(_) => Read::Nothing,
            Ok(Ok(0)) => Read::Closed,
            Ok(Ok(bytes)) => Read::Bytes(bytes),
            Ok(Err(error)) => {
                tracing::debug!(camera = %self.out.name(), "the pipe broke: {error}");
                Read::Closed
            }
        }
    }

    /// Gives out the picture that was read: the program has written what it had.
    fn settle(&mut self) {
        self.settled = Settled::Tried;
        if let Some(event) = self.splitter.settle() {
            self.settled = Settled::Yes;
            self.take(event, self.last_read);
        }
    }

    fn came(&mut self, bytes: usize) {
        let (before, now) = (self.last_read, Came::now());
        let gap = now.at - before.at;
        let had_begun = self.splitter.has_begun();
        self.since_picture += bytes as u64;
        self.last_read = now;
        self.settled = match self.settled {
            Settled::Yes => Settled::WentOn(gap),
            // What is said of it may be said only when the next picture begins.
            Settled::WentOn(gap) => Settled::WentOn(gap),
            Settled::No | Settled::Tried => Settled::No,
        };
        let mut next = self.splitter.next_event();
        // What came is what is left behind the picture that had begun: it was there whole before the silence.
        let was_whole = next.is_some() && self.splitter.unsplit_bytes().abs_diff(bytes) <= START_CODE_BYTES;
        if had_begun && !was_whole {
            self.patience.silent_within(gap, now.at.into_std());
        }
        let mut came = if had_begun && was_whole { before } else { now };
        while let Some(event) = next {
            self.take(event, came);
            came = now;
            next = self.splitter.next_event();
        }
    }

    fn take(&mut self, event: Event, came: Came) {
        if let (Settled::WentOn(gap), Event::Dropped { reason: DropReason::AnnexB(_), .. }) =
            (self.settled, &event)
        {
            self.patience.torn(gap, self.last_read.at.into_std());
        }
        if matches!(self.settled, Settled::WentOn(_)) {
            self.settled = Settled::No;
        }
        let sets = self.splitter.parameter_sets();
        if self.pictures.take(self.out, event, sets, When::Came(came)).is_some() {
            self.patience.picture();
            self.since_picture = 0;
            self.last_picture = Instant::now();
        }
    }

    fn finish(&mut self) {
        while let Some(event) = self.splitter.finish() {
            self.take(event, self.last_read);
        }
    }

    /// "64 MB came without a whole picture: bytes that are no picture".
    fn without_picture(&self) -> String {
        let bytes = self.since_picture;
        let amount = if bytes < 1 << 20 { format!("{bytes} bytes") } else { format!("{} MB", bytes >> 20) };
        let fault = self.pictures.fault().map(|fault| format!(": {fault}")).unwrap_or_default();
        format!("{amount} came without a whole picture{fault}")
    }
}
