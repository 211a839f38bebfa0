//! The log on standard error, written by a thread of its own: whoever has stopped reading it holds up nobody.
//!
//! A terminal that is paused and a pipe that nobody empties make a write to them wait for ever, and with it the thread
//! that logs, which serves viewers. So lines are put into a buffer, and dropped and counted when it is full. That is
//! also why this is not `tracing-appender`, which at its end prints to standard output, and panics where that is closed.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;

/// What may wait to be written; as much again may be in the writing.
const WAITING_BYTES: usize = 1 << 20;
/// How long the program waits at its end for its last lines to be read.
const FLUSH_LIMIT: Duration = Duration::from_millis(500);

/// How long what was said is not said again, and how much may be said in that time of what changes.
const SELDOM: Duration = Duration::from_secs(10);
const MOST_SAID: usize = 4;

/// There is one standard error, and one log.
static LOG: Buffer = Buffer::new();

/// Begins to log what `level` or, where it is set, the environment's `RUST_LOG` lets through.
pub fn start(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let ansi = io::IsTerminal::is_terminal(&io::stderr());
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Line(&LOG))
        .with_ansi(ansi)
        // It would say on standard error that standard error is gone, panic, and take the camera that logged with it.
        .log_internal_errors(false)
        .try_init();
    // Fails only where a test has set one already.
    if started.is_ok() {
        let writer = thread::Builder::new().name("log".into()).spawn(|| LOG.write_to(&mut io::stderr()));
        drop(writer);
    }
}

/// Waits until what was logged is written, or nobody reads it.
pub fn flush() {
    LOG.flush(FLUSH_LIMIT);
}

/// Lines that were dropped because nobody read those before them.
pub fn lines_dropped() -> u64 {
    LOG.dropped.load(Ordering::Relaxed)
}

/// What the log has said of something that may be otherwise with each picture: the same is said again no sooner than after
/// [`SELDOM`], and what it says last is what is so in the end.
#[derive(Debug, Default)]
pub(crate) struct Told {
    now: Option<Arc<str>>,
    /// What was said in the last while, and when.
    said: Vec<(Option<Arc<str>>, Instant)>,
}

impl Told {
    /// Whether `words` are to be said now, or, without, that what was said before is over.
    pub(crate) fn is_news(&mut self, words: Option<&str>, now: Instant) -> bool {
        if self.now.as_deref() == words {
            return false;
        }
        self.said.retain(|(_, at)| now.duration_since(*at) < SELDOM);
        let was_said = self.said.iter().any(|(said, _)| said.as_deref() == words);
        if was_said || self.said.len() >= MOST_SAID {
            return false;
        }
        self.now = words.map(Into::into);
        self.said.push((self.now.clone(), now));
        true
    }

    /// It is over, of which nothing is said.
    pub(crate) fn over(&mut self) {
        self.now = None;
    }
}

#[derive(Debug)]
struct Buffer {
    waiting: Mutex<Waiting>,
    /// There is something to write.
    came: Condvar,
    /// Everything is written.
    gone: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Waiting {
    bytes: Vec<u8>,
    is_writing: bool,
}

impl Buffer {
    const fn new() -> Self {
        Self {
            waiting: Mutex::new(Waiting { bytes: Vec::new(), is_writing: false }),
            came: Condvar::new(),
            gone: Condvar::new(),
            dropped: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes.len() + line.len() > WAITING_BYTES {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes.extend_from_slice(line);
        self.came.notify_one();
    }

    /// Writes what comes, for ever.
    fn write_to(&self, out: &mut dyn Write) {
        let mut batch = Vec::new();
        loop {
            {
                let waiting = self.lock();
                let mut waiting = self
                    .came
                    .wait_while(waiting, |waiting| waiting.bytes.is_empty())
                    .unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut waiting.bytes, &mut batch);
                waiting.is_writing = true;
            }
            // An error is a reader that is gone; there is nobody to tell.
            let _ = out.write_all(&batch);
            batch.clear();
            self.lock().is_writing = false;
            self.gone.notify_all();
        }
    }

    fn flush(&self, limit: Duration) {
        let is_left = |waiting: &mut Waiting| waiting.is_writing || !waiting.bytes.is_empty();
        drop(self.gone.wait_timeout_while(self.lock(), limit, is_left));
    }
}

/// Writes to the buffer: the formatter gives each line in one piece.
struct Line(&'static Buffer);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_changes_with_each_picture_is_said_seldom_and_in_the_end() {
        let (mut told, start) = (Told::default(), Instant::now());
        let said = (0..3000_u64).filter(|number| {
            let words = (number % 2 == 0).then_some("4:4:4");
            told.is_news(words, start + Duration::from_millis(number * 33))
        });
        assert_eq!(said.count(), 20, "both in each ten seconds");
        let later = start + Duration::from_secs(200);
        assert!(
            told.is_news(Some("progressive"), later) && !told.is_news(Some("progressive"), later + SELDOM)
        );
        assert!(told.is_news(Some("damaged"), later) && told.is_news(None, later));
        assert!(!told.is_news(Some("damaged"), later) && told.is_news(Some("damaged"), later + SELDOM));
        let many = (0..1000).filter(|number| told.is_news(Some(&number.to_string()), later + 3 * SELDOM));
        assert_eq!(many.count(), MOST_SAID);
        told.over();
        assert!(told.is_news(Some("999"), later + 4 * SELDOM));
    }

    /// Takes nothing until it is let.
    struct Gate {
        opened: mpsc::Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.opened.recv();
            self.taken.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_nobody_reads_are_dropped_and_counted_and_the_others_come_in_order() {
        let buffer: &'static Buffer = Box::leak(Box::new(Buffer::new()));
        let (open, opened) = mpsc::channel();
        let taken = Arc::<Mutex<Vec<u8>>>::default();
        let mut gate = Gate { opened, taken: taken.clone() };
        thread::spawn(move || buffer.write_to(&mut gate));
        let lines = 4 * WAITING_BYTES / 100;
        for number in 0..lines {
            let line = format!("{number:0>99}\n");
            assert_eq!(Line(buffer).write(line.as_bytes()).unwrap(), 100);
        }
        let dropped = buffer.dropped.load(Ordering::Relaxed) as usize;
        assert!(dropped >= lines / 2 - 2, "{dropped} of {lines}");
        buffer.flush(Duration::from_millis(1));
        assert!(taken.lock().unwrap().is_empty(), "flushing does not wait for ever");
        drop(open);
        buffer.flush(Duration::from_secs(20));
        let taken = taken.lock().unwrap();
        assert_eq!(taken.len(), (lines - dropped) * 100);
        let numbers: Vec<u64> =
            taken.chunks(100).map(|l| str::from_utf8(&l[..99]).unwrap().parse().unwrap()).collect();
        assert!(numbers.is_sorted());
    }
}
