//! Pictures through an FFmpeg, each waited for as long as it is owed, so that who gives one at a time has no more on the way than
//! FFmpeg holds back for their order.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use ocelli_media::nut::Writer;
use ocelli_media::{MediaTime, Track};

use super::flight::Flight;
use super::process::{Picture, Process};

/// How long a picture that is owed is waited for, and the first one of a program that has to begin.
const PATIENCE: Duration = Duration::from_millis(100);
const FIRST_PATIENCE: Duration = Duration::from_millis(300);
/// Pictures in a row that may be waited for in vain: more than any order holds back.
const MOST_IN_VAIN: u32 = 20;
/// How long one picture may take that is made by a program of its own.
const ONLY_PATIENCE: Duration = Duration::from_secs(2);

/// An FFmpeg with pictures on their way, and what was given with each.
#[derive(Debug)]
pub(super) struct Run<T> {
    process: Process,
    writer: Writer,
    flight: Flight<T>,
    /// What has come out since one was asked for.
    ready: VecDeque<(T, Picture)>,
    /// Pictures have come out.
    pub(super) has_made: bool,
    given_at: Instant,
    /// So many pictures were waited for in vain since the last that came.
    in_vain: u32,
    /// So many may be, once some have come out.
    most_in_vain: u32,
}

impl<T> Run<T> {
    /// Starts `program` for the pictures of `track`.
    pub(super) fn start(program: &Path, words: &[String], track: &Track) -> Result<Self, String> {
        let writer = Writer::new(track).ok_or("FFmpeg's program cannot be given such pictures")?;
        let process = Process::start(program, words, &writer.header())
            .map_err(|error| format!("FFmpeg's program could not be started: {error}"))?;
        Ok(Self {
            process,
            writer,
            flight: Flight::default(),
            ready: VecDeque::new(),
            has_made: false,
            given_at: Instant::now(),
            in_vain: 0,
            most_in_vain: MOST_IN_VAIN,
        })
    }

    /// Once some have come out, so many pictures in a row may be waited for in vain.
    pub(super) fn with_most_in_vain(self, most_in_vain: u32) -> Self {
        Self { most_in_vain, ..self }
    }

    /// Gives a picture.
    pub(super) fn give(&mut self, time: MediaTime, key: bool, data: &[u8], with: T) -> Result<(), String> {
        let Some(head) = self.writer.head(time, key, data.len()) else {
            return Err("the camera's clock was set back".to_owned());
        };
        // What is still on the way now is so not for want of time.
        while let Some(picture) = self.process.next(None)? {
            self.came(picture);
        }
        self.process.write(head.as_bytes(), data).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                "FFmpeg's program hangs: it takes no more pictures, and was ended".to_owned()
            }
            _ => self.process.cause(),
        })?;
        self.flight.give(head.ticks, with);
        self.given_at = Instant::now();
        Ok(())
    }

    /// The next picture that has come out, and what was given with it. `None` if nothing is owed, or it is held back.
    pub(super) fn next(&mut self) -> Result<Option<(T, Picture)>, String> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(Some(ready));
            }
            let patience = if self.has_made { PATIENCE } else { FIRST_PATIENCE };
            let deadline = self.flight.is_owed().then_some(self.given_at + patience);
            let next = self.process.next(deadline)?;
            match next {
                Some(picture) => self.came(picture),
                None => {
                    if deadline.is_some() {
                        self.flight.hold();
                        self.in_vain += 1;
                    }
                    let most = if self.has_made { self.most_in_vain } else { MOST_IN_VAIN };
                    if self.in_vain >= most {
                        return Err(format!(
                            "FFmpeg's program hangs: none of {} pictures came back, and it was ended",
                            self.flight.len()
                        ));
                    }
                    return Ok(None);
                }
            }
        }
    }

    fn came(&mut self, picture: Picture) {
        if !self.has_made {
            self.process.has_begun();
        }
        (self.has_made, self.in_vain) = (true, 0);
        if let Some(with) = self.flight.came(picture.ticks) {
            self.ready.push_back((with, picture));
        }
    }

    /// The one picture that comes of all that was given, after which there is no other.
    pub(super) fn only(mut self) -> Result<Picture, String> {
        self.process.end_input();
        let deadline = Instant::now() + ONLY_PATIENCE;
        let picture = self.process.next(Some(deadline))?;
        picture
            .ok_or_else(|| format!("FFmpeg's program gives no picture within {} s", ONLY_PATIENCE.as_secs()))
    }
}
