//! A thread that serves many readers: one poll loop, one buffer.
//!
//! With [`Orders::every`] it looks at its sockets at that interval only, and nobody waits at them in between: then no server pays
//! for waking the one who measures it, and the readers' own part of the machine is small; but latency is not seen.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use super::churn::{Churn, Leaving, Lives};
use super::reader::{Job, Manner, Reader, Scratch};
use super::record::{Now, Record, Times};
use crate::engine::{Shared, Stage};

/// How often slow readers read.
const SLOW_TICK: Duration = Duration::from_millis(10);
/// How often a thread looks whether the run is over, and who comes and goes.
const IDLE_TICK: Duration = Duration::from_millis(50);
const TEND_EVERY: Duration = Duration::from_secs(1);
/// Readers on their way in at once, below the listen backlog of servers.
const OPENING_AT_ONCE: usize = 32;

/// What all threads are to do.
#[derive(Debug, Clone)]
pub(super) struct Orders {
    pub(super) url: String,
    pub(super) address: SocketAddr,
    /// Zero: whenever something comes.
    pub(super) every: Duration,
    /// How long readers stay at most; `None`: to the end.
    pub(super) longest_stay: Option<Duration>,
}

/// What a thread saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) records: Vec<(Job, Record)>,
    pub(super) times: Times,
    pub(super) lives: Lives,
}

/// Runs readers until [`Stage::Done`].
pub(super) fn run(orders: &Orders, jobs: &[Job], thread: u64, shared: &Arc<Shared>) -> io::Result<Seen> {
    let now = Instant::now();
    let mut churn = orders.longest_stay.map(|longest| Churn::new(thread, longest));
    let places = jobs.iter().map(|job| Place {
        job: *job,
        reader: None,
        // Everybody at once is another test.
        due: now + churn.as_mut().map_or(Duration::ZERO, Churn::stay),
    });
    let places: Vec<_> = places.collect();
    let mut engine = Engine {
        orders,
        poll: Poll::new()?,
        unopened: places.len(),
        places,
        opening: 0,
        churn,
        lives: Lives::default(),
        scratch: Scratch::new(),
        shared,
        measured: false,
    };
    engine.turn()?;
    Ok(engine.finish())
}

/// Where one reader is, or will be, or was.
struct Place {
    job: Job,
    reader: Option<Reader>,
    /// When the next one comes, or this one goes.
    due: Instant,
}

struct Engine<'a> {
    orders: &'a Orders,
    poll: Poll,
    places: Vec<Place>,
    /// Places that have not been taken yet.
    unopened: usize,
    /// Readers that do not play yet.
    opening: usize,
    churn: Option<Churn>,
    lives: Lives,
    scratch: Scratch,
    shared: &'a Shared,
    measured: bool,
}

impl Engine<'_> {
    fn turn(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(4096);
        let any_slow = self.places.iter().any(|place| matches!(place.job.manner, Manner::Slow { .. }));
        let (mut slow, mut idle, mut tended) = (Instant::now(), Instant::now(), Instant::now());
        self.come_and_go(idle)?;
        while self.shared.stage() != Stage::Done {
            if !self.orders.every.is_zero() {
                std::thread::sleep(self.orders.every);
            }
            let wait = match (self.orders.every.is_zero(), any_slow) {
                (false, _) => Duration::ZERO,
                (true, true) => SLOW_TICK.saturating_sub(slow.elapsed()),
                (true, false) => IDLE_TICK,
            };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            self.enter_measured();
            for event in &events {
                self.event(event.token(), event.is_writable());
            }
            if any_slow && slow.elapsed() >= SLOW_TICK {
                let passed = slow.elapsed().as_secs_f64();
                slow = Instant::now();
                self.slow_tick(passed);
            }
            let room = self.unopened > 0 && self.opening < OPENING_AT_ONCE && self.churn.is_none();
            if room || idle.elapsed() >= IDLE_TICK {
                idle = Instant::now();
                self.come_and_go(idle)?;
            }
            if tended.elapsed() >= TEND_EVERY {
                tended = Instant::now();
                self.tend(tended);
            }
        }
        Ok(())
    }

    fn enter_measured(&mut self) {
        if !self.measured && self.shared.stage() == Stage::Measured {
            self.measured = true;
            if self.churn.is_none() {
                self.places.iter_mut().filter_map(|place| place.reader.as_mut()).for_each(Reader::begin);
            }
        }
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { at: Instant::now(), wall_micros: wall.as_micros() as u64, measured: self.measured }
    }

    /// Opens who is due to come and closes who is due to go.
    fn come_and_go(&mut self, now: Instant) -> io::Result<()> {
        for index in 0..self.places.len() {
            let place = &self.places[index];
            if place.due > now {
                continue;
            }
            match (&place.reader, self.churn.is_some()) {
                (None, _) if self.opening < OPENING_AT_ONCE => self.open(index, now)?,
                (Some(_), true) => self.leave(index, now),
                _ => {}
            }
        }
        Ok(())
    }

    fn open(&mut self, index: usize, now: Instant) -> io::Result<()> {
        let place = &mut self.places[index];
        let mut reader = Reader::connect(&self.orders.url, self.orders.address, place.job)?;
        let registry = self.poll.registry();
        registry.register(&mut reader.socket, Token(2 * index), Interest::READABLE | Interest::WRITABLE)?;
        if let Some(ports) = &reader.datagrams {
            let descriptor = ports.rtp.as_raw_fd();
            registry.register(&mut SourceFd(&descriptor), Token(2 * index + 1), Interest::READABLE)?;
        }
        place.reader = Some(reader);
        place.due = now + self.churn.as_mut().map_or(Duration::ZERO, Churn::stay);
        self.opening += 1;
        self.unopened = self.unopened.saturating_sub(1);
        Ok(())
    }

    fn leave(&mut self, index: usize, now: Instant) {
        let (Some(mut reader), Some(churn)) = (self.places[index].reader.take(), &mut self.churn) else {
            return;
        };
        self.opening -= usize::from(!reader.is_playing() && !reader.is_over);
        if reader.is_over {
            self.shared.failed.fetch_sub(1, Ordering::Relaxed);
        }
        match churn.leaving() {
            Leaving::Teardown => reader.say_goodbye(),
            Leaving::Close => {}
            // Where that is not to be had it is closed.
            Leaving::Reset => drop(SockRef::from(&reader.socket).set_linger(Some(Duration::ZERO))),
        }
        reader.end(None);
        self.lives.add(&reader.record, reader.age(now));
        self.places[index].due = now + churn.away();
    }

    fn event(&mut self, token: Token, writable: bool) {
        let (index, of_datagrams) = (token.0 / 2, token.0 % 2 == 1);
        let now = self.now();
        let Some(reader) = self.places.get_mut(index).and_then(|place| place.reader.as_mut()) else { return };
        if reader.is_over {
            return;
        }
        let waited = !reader.is_playing();
        let outcome = if of_datagrams {
            reader.datagrams(&mut self.scratch, now)
        } else {
            let written = if writable { reader.writable() } else { Ok(()) };
            written.and_then(|()| reader.readable(&mut self.scratch, now))
        };
        self.settle(index, waited, outcome);
    }

    /// What became of a reader that did something.
    fn settle(&mut self, index: usize, waited: bool, outcome: io::Result<()>) {
        let Some(reader) = self.places[index].reader.as_mut() else { return };
        if let Err(error) = outcome {
            reader.end(Some(&error));
            // It may be registered or not: either way it is silent from here.
            let _ = self.poll.registry().deregister(&mut reader.socket);
            self.opening -= usize::from(waited);
            self.shared.failed.fetch_add(1, Ordering::Relaxed);
        } else if waited && reader.is_playing() {
            self.opening -= 1;
            self.shared.started.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn slow_tick(&mut self, seconds: f64) {
        let now = self.now();
        for index in 0..self.places.len() {
            let Some(reader) = self.places[index].reader.as_mut() else { continue };
            if reader.is_playing() && matches!(reader.job.manner, Manner::Slow { .. }) {
                reader.allow(seconds);
                let outcome = reader.readable(&mut self.scratch, now);
                self.settle(index, false, outcome);
            }
        }
    }

    fn tend(&mut self, now: Instant) {
        for index in 0..self.places.len() {
            let Some(reader) = self.places[index].reader.as_mut().filter(|reader| !reader.is_over) else {
                continue;
            };
            let waited = !reader.is_playing();
            let outcome = reader.tend(&mut self.scratch, now);
            self.settle(index, waited, outcome);
        }
    }

    fn finish(mut self) -> Seen {
        let now = Instant::now();
        let mut records = Vec::new();
        for place in &mut self.places {
            let Some(mut reader) = place.reader.take() else { continue };
            reader.end(None);
            if self.churn.is_some() {
                self.lives.add(&reader.record, reader.age(now));
            }
            records.push((place.job, reader.record));
        }
        Seen { records, times: self.scratch.times, lives: self.lives }
    }
}
