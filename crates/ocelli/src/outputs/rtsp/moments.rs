//! When what has an RTP timestamp was taken: one opinion for all readers of a camera, and what one of them is told of it.
//!
//! A camera's frames say when they were taken, but what they say is not one line: until the camera's first report (RFC 3550 section
//! 6.4.1) it is when they came, with all the unrest of the way, and from then on what the camera says. [`Moments`] makes of it what
//! can be told to a player: by a clock that nobody sets, the earliest of the last seconds counts.
//!
//! A player moves sound and pictures when it is told something else than before; FFmpeg has time go back then, which is an error to
//! whatever follows it; and where pictures are not sent in the order in which they are shown, going forward mixes them up as well. So a
//! reader is told the best that is known when it begins, and is led from there to what becomes known by small steps ([`Told`]).

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::numbers::TRACKS;

/// How long what a frame says counts, at least; at most twice as long.
const WINDOW: Duration = Duration::from_secs(2);
/// What is said to have been taken longer ago is not believed: the wall clock was set. It was taken when it came.
const MOST_AGE: Duration = Duration::from_secs(10);
/// By how much what a reader is told follows, per nanosecond. Reports are some 6 s apart at most; a step of 6 ms is shorter than any
/// frame of sound. No camera's clock runs so wrong.
const CATCHING_UP: f64 = 0.001;

/// When the frames of a camera's tracks were taken.
#[derive(Debug)]
pub(super) struct Moments {
    origin: Instant,
    tracks: Mutex<[Option<Line>; TRACKS]>,
}

/// What is known of a track's line.
#[derive(Clone, Copy, Debug)]
struct Line {
    rate: NonZeroU32,
    /// The place on it of the last frame, and its RTP timestamp.
    ticks: i64,
    timestamp: u32,
    /// By how many nanoseconds the origin's time is ahead of the line's: the least of this window, and of the one before.
    least: [i128; 2],
    /// When this window began.
    since: Instant,
}

impl Moments {
    pub(super) fn new(origin: Instant) -> Self {
        Self { origin, tracks: Mutex::default() }
    }

    /// A frame of `track` is laid at `now`, which says that it was taken `age` before: at `ticks` of its line, with this timestamp.
    pub(super) fn note(
        &self,
        track: u8,
        rate: NonZeroU32,
        (ticks, timestamp): (i64, u32),
        age: Duration,
        now: Instant,
    ) {
        let mut tracks = self.lock();
        let Some(line) = tracks.get_mut(usize::from(track)) else { return };
        let age = if age <= MOST_AGE { age } else { Duration::ZERO };
        let taken = self.since_origin(now) - age.as_nanos() as i128;
        let ahead = taken - nanos(ticks, rate);
        let (least, since) = match line {
            Some(line) if now.saturating_duration_since(line.since) < WINDOW => {
                ([line.least[0].min(ahead), line.least[1]], line.since)
            }
            Some(line) if now.saturating_duration_since(line.since) < 2 * WINDOW => {
                ([ahead, line.least[0]], now)
            }
            _ => ([ahead, ahead], now),
        };
        *line = Some(Line { rate, ticks, timestamp, least, since });
    }

    /// When what has `timestamp` was taken, if anything is known of `track`.
    pub(super) fn taken(&self, track: u8, timestamp: u32) -> Option<Instant> {
        let line = (*self.lock().get(usize::from(track))?)?;
        let ticks = line.ticks + i64::from(timestamp.wrapping_sub(line.timestamp).cast_signed());
        let nanos = nanos(ticks, line.rate) + line.ahead();
        let distance = Duration::from_nanos(u64::try_from(nanos.unsigned_abs()).ok()?);
        if nanos < 0 { self.origin.checked_sub(distance) } else { self.origin.checked_add(distance) }
    }

    /// The timestamp of what is taken at `moment`, if anything is known of `track`.
    pub(super) fn timestamp(&self, track: u8, moment: Instant) -> Option<u32> {
        let line = (*self.lock().get(usize::from(track))?)?;
        let nanos = self.since_origin(moment) - line.ahead();
        let ticks = (nanos * i128::from(line.rate.get())).div_euclid(1_000_000_000) as i64;
        Some(line.timestamp.wrapping_add(ticks.wrapping_sub(line.ticks) as u32))
    }

    fn since_origin(&self, moment: Instant) -> i128 {
        match moment.checked_duration_since(self.origin) {
            Some(since) => since.as_nanos() as i128,
            None => -(self.origin.duration_since(moment).as_nanos() as i128),
        }
    }

    /// A lock whose holders only ever assign.
    fn lock(&self) -> MutexGuard<'_, [Option<Line>; TRACKS]> {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn ahead(&self) -> i128 {
        self.least[0].min(self.least[1])
    }
}

/// A time of a line, in nanoseconds.
fn nanos(ticks: i64, rate: NonZeroU32) -> i128 {
    i128::from(ticks) * 1_000_000_000 / i128::from(rate.get())
}

/// What a reader was told of a track's clock: what has `timestamp` was taken at `taken`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) timestamp: u32,
    pub(super) taken: Instant,
}

impl Told {
    /// The same, told of what has `timestamp`.
    pub(super) fn at(self, timestamp: u32, rate: NonZeroU32) -> Self {
        let ticks = timestamp.wrapping_sub(self.timestamp).cast_signed();
        Self { timestamp, ..self.later(nanos(ticks.into(), rate) as i64) }
    }

    /// The same, as near to its having been taken at `known` as it may be told the time `passed` after it was told last.
    pub(super) fn follow(self, known: Instant, passed: Duration) -> Self {
        let most = (passed.as_nanos() as f64 * CATCHING_UP) as i64;
        self.later(self.off(known).clamp(-most, most))
    }

    /// By how many nanoseconds it is earlier than `known`.
    fn off(self, known: Instant) -> i64 {
        let nanos = |later: Duration| i64::try_from(later.as_nanos()).unwrap_or(i64::MAX);
        match known.checked_duration_since(self.taken) {
            Some(later) => nanos(later),
            None => -nanos(self.taken.duration_since(known)),
        }
    }

    /// Later by so many nanoseconds.
    fn later(self, nanos: i64) -> Self {
        let by = Duration::from_nanos(nanos.unsigned_abs());
        let taken = if nanos < 0 { self.taken.checked_sub(by) } else { self.taken.checked_add(by) };
        Self { taken: taken.unwrap_or(self.taken), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: NonZeroU32 = NonZeroU32::new(1000).unwrap();

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// One track whose ticks are milliseconds, with a frame each 40 of them.
    struct Test(Moments, Instant);

    impl Test {
        fn new() -> Self {
            // Away from the machine's start.
            let start = Instant::now() + ms(100_000);
            Self(Moments::new(start), start)
        }

        /// The frame of the tick `ticks` is laid `late` milliseconds after it was taken, and says that it is `age` old.
        fn note(&self, ticks: u64, late: u64, age: u64) {
            let line = (1_000_000 + ticks as i64, 77 + ticks as u32);
            self.0.note(0, RATE, line, ms(age), self.1 + ms(ticks + late));
        }

        /// How much later than at its tick a frame is said to be taken, in milliseconds.
        fn taken(&self, ticks: u32) -> i64 {
            let taken = Told { timestamp: 0, taken: self.1 + ms(ticks.into()) };
            taken.off(self.0.taken(0, 77 + ticks).unwrap()) / 1_000_000
        }
    }

    #[test]
    fn the_frame_that_was_least_long_on_its_way_counts_and_is_forgotten() {
        let test = Test::new();
        assert_eq!(test.0.taken(0, 77), None);
        for (index, late) in [90, 50, 120, 70].into_iter().enumerate() {
            test.note(index as u64 * 40, late, 0);
        }
        assert_eq!([test.taken(0), test.taken(120)], [50, 50]);
        assert_eq!(test.0.timestamp(0, test.1 + ms(130)), Some(77 + 80));
        assert_eq!(test.0.timestamp(1, test.1), None);
        (4..200).for_each(|index| test.note(index * 40, 100, 0));
        assert_eq!(test.taken(8000), 100);
    }

    #[test]
    fn what_the_camera_says_counts_at_once_where_it_is_earlier() {
        let test = Test::new();
        (0..50).for_each(|index| test.note(index * 40, 240, 0));
        assert_eq!(test.taken(2000), 240);
        test.note(2000, 270, 265);
        assert_eq!(test.taken(2000), 5);
        test.note(2040, 270, 3_600_000);
        assert_eq!(test.taken(2040), 5, "an hour old, because the wall clock was set");
    }

    #[test]
    fn what_was_told_is_told_of_any_other_timestamp() {
        let start = Instant::now() + ms(100_000);
        let told = Told { timestamp: u32::MAX - 9, taken: start };
        assert_eq!(told.at(90, RATE), Told { timestamp: 90, taken: start + ms(100) });
        assert_eq!(told.at(90, RATE).at(u32::MAX - 9, RATE), told);
        assert_eq!(told.off(start + ms(3)), 3_000_000);
        assert_eq!(told.later(-2_000_000).off(start), 2_000_000);
    }

    #[test]
    fn what_was_told_follows_what_is_known_by_small_steps() {
        let told = Told { timestamp: 7, taken: Instant::now() + ms(100_000) };
        let follow = |off: i64| {
            let known = told.later(off * 1_000_000).taken;
            told.off(told.follow(known, ms(5000)).taken) / 1_000_000
        };
        assert_eq!([3, -2, 206, -219, -3_600_000].map(follow), [3, -2, 5, -5, -5]);
    }
}
