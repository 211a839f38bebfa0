//! A thread that serves many viewers: one poll loop, one scratch buffer.
//!
//! The readers share the machine with the server they measure, so they do as little as can be told from watching:
//! no task or thread per viewer, no copies of pictures, no timers for prompt readers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use crate::record::Record;
use crate::target::Target;
use crate::viewer::{Manner, Phase, Scratch, Viewer};

/// How often slow viewers read.
const SLOW_TICK: Duration = Duration::from_millis(10);
/// How often a thread looks whether the run is over.
const IDLE_TICK: Duration = Duration::from_millis(100);

/// What the threads and the one who waits for them both see.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    stage: AtomicU8,
    /// Viewers that have seen their first picture.
    pub(crate) started: AtomicU64,
    /// Stalled viewers that have sent their request.
    pub(crate) stalled: AtomicU64,
    /// Viewers that are over.
    pub(crate) failed: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

/// The three times of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    WarmUp,
    Measured,
    Done,
}

impl Shared {
    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::WarmUp,
            1 => Stage::Measured,
            _ => Stage::Done,
        }
    }
}

/// Runs viewers of the given manners until [`Stage::Done`]; returns what each saw.
pub(crate) fn run(
    target: &Target,
    manners: Vec<Manner>,
    shared: &Arc<Shared>,
) -> io::Result<Vec<(Manner, Record)>> {
    let mut engine = Engine {
        poll: Poll::new()?,
        viewers: Vec::with_capacity(manners.len()),
        opening: 0,
        opening_at_once: target.opening_at_once(),
        waits_for_picture: target.server_speaks_first(),
        scratch: Scratch::new(),
        shared: Arc::clone(shared),
    };
    let any_slow = manners.iter().any(|manner| matches!(manner, Manner::Slow { .. }));
    let mut manners = manners.into_iter();
    let mut events = Events::with_capacity(1024);
    let mut last_slow = Instant::now();
    while shared.stage() != Stage::Done {
        while engine.opening < engine.opening_at_once
            && let Some(manner) = manners.next()
        {
            engine.open(target, manner)?;
        }
        let wait = if any_slow { SLOW_TICK.saturating_sub(last_slow.elapsed()) } else { IDLE_TICK };
        match engine.poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            engine.event(event);
        }
        if any_slow && last_slow.elapsed() >= SLOW_TICK {
            let passed = last_slow.elapsed().as_secs_f64();
            last_slow = Instant::now();
            engine.slow_tick(passed);
        }
    }
    Ok(engine.viewers.into_iter().map(|viewer| (viewer.manner, viewer.record)).collect())
}

struct Engine {
    poll: Poll,
    viewers: Vec<Viewer>,
    /// Viewers of this thread on their way in.
    opening: usize,
    opening_at_once: usize,
    /// A connection whose server speaks first is known to be accepted only when it has spoken.
    waits_for_picture: bool,
    scratch: Scratch,
    shared: Arc<Shared>,
}

impl Engine {
    fn open(&mut self, target: &Target, manner: Manner) -> io::Result<()> {
        let mut viewer = Viewer::connect(target.address, target.protocol(), manner)?;
        let token = Token(self.viewers.len());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut viewer.socket, token, interest)?;
        self.opening += 1;
        self.viewers.push(viewer);
        Ok(())
    }

    fn event(&mut self, event: &Event) {
        let index = event.token().0;
        let Some(viewer) = self.viewers.get_mut(index) else { return };
        if viewer.phase == Phase::Connecting && (event.is_writable() || event.is_error()) {
            let outcome = viewer.writable();
            let outcome = match viewer.phase {
                Phase::Watching => outcome.and_then(|()| self.watching(index)),
                Phase::Connecting | Phase::Over => outcome,
            };
            if let Err(error) = outcome {
                self.opening -= 1;
                self.fail(index, &error);
                return;
            }
        }
        let viewer = &self.viewers[index];
        if viewer.phase == Phase::Watching && viewer.manner == Manner::Prompt && event.is_readable() {
            self.read(index);
        }
    }

    /// The request is out: prompt viewers need no more writable events, the others no events at all.
    fn watching(&mut self, index: usize) -> io::Result<()> {
        let viewer = &mut self.viewers[index];
        let registry = self.poll.registry();
        match viewer.manner {
            Manner::Prompt => registry.reregister(&mut viewer.socket, Token(index), Interest::READABLE)?,
            Manner::Slow { .. } => registry.deregister(&mut viewer.socket)?,
            Manner::Stalled => {
                self.shared.stalled.fetch_add(1, Ordering::Relaxed);
                registry.deregister(&mut viewer.socket)?;
            }
        }
        self.opening -= usize::from(!self.waits_for_picture(index));
        Ok(())
    }

    fn waits_for_picture(&self, index: usize) -> bool {
        self.waits_for_picture && self.viewers[index].manner == Manner::Prompt
    }

    fn slow_tick(&mut self, seconds: f64) {
        for index in 0..self.viewers.len() {
            let viewer = &mut self.viewers[index];
            if viewer.phase == Phase::Watching && matches!(viewer.manner, Manner::Slow { .. }) {
                viewer.allow(seconds);
                self.read(index);
            }
        }
    }

    fn read(&mut self, index: usize) {
        let measured = self.shared.stage() == Stage::Measured;
        let viewer = &mut self.viewers[index];
        let waited = viewer.record.first_picture.is_none();
        let outcome = viewer.readable(&mut self.scratch, measured);
        let started = viewer.record.first_picture.is_some();
        if waited && started {
            self.shared.started.fetch_add(1, Ordering::Relaxed);
        }
        if waited && (started || outcome.is_err()) {
            self.opening -= usize::from(self.waits_for_picture(index));
        }
        match outcome {
            Ok((0, _)) => {}
            Ok((frames, bytes)) => {
                self.shared.frames.fetch_add(frames, Ordering::Relaxed);
                self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Err(error) => self.fail(index, &error),
        }
    }

    fn fail(&mut self, index: usize, error: &io::Error) {
        let viewer = &mut self.viewers[index];
        viewer.fail(error);
        // A viewer that failed while connecting may be registered or not: either way it is silent from here.
        let _ = self.poll.registry().deregister(&mut viewer.socket);
        self.shared.failed.fetch_add(1, Ordering::Relaxed);
    }
}
