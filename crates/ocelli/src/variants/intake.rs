//! What waits to be decoded, and what of it is left out so that pictures are few rather than old.
//!
//! Reads no clock and holds no socket. Of pictures that stand for themselves (JPEG) the newest waits, and one before it is
//! left out. Of those that need others all wait, in order; what is older than the latency that is allowed is decoded and
//! not shown while a newer one is there. When decoding itself cannot keep up, it goes on at the newest keyframe.

use std::collections::VecDeque;
use std::time::Duration;

use ocelli_media::Frame;
use tokio::time::Instant;

/// How long pictures may wait to be decoded before decoding goes on at a keyframe.
const BEHIND: Duration = Duration::from_secs(2);
/// Most pictures that wait, and most of their bytes: those from a camera's last keyframe on, however far apart these are.
const MOST_WAITING: usize = 2048;
const MOST_WAITING_BYTES: usize = 64 << 20;
/// Most pictures at a time that a worker has been given and has not finished: one is worked on while the next is on its way.
const MOST_GIVEN: usize = 3;
/// Most while it catches up, of those that are not shown.
const MOST_GIVEN_UNSHOWN: usize = 16;
/// Most of their bytes, if there is more than one.
const MOST_GIVEN_BYTES: usize = 4 << 20;

/// The queue before a worker.
#[derive(Debug)]
pub(super) struct Intake {
    max_latency: Duration,
    /// Each picture stands for itself.
    alone: bool,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Nothing can be decoded before a keyframe.
    needs_key: bool,
    given: VecDeque<usize>,
    given_bytes: usize,
    /// What a picture that is shown takes about.
    cost: Duration,
}

#[derive(Debug)]
struct Waiting {
    frame: Frame,
    came: Instant,
    /// It was there before anybody wanted it.
    is_backlog: bool,
}

/// A picture for the worker.
#[derive(Debug)]
pub(super) struct Taken {
    /// The picture.
    pub(super) frame: Frame,
    /// It is decoded for the sake of those that follow, and shown to nobody.
    pub(super) unshown: Option<Unshown>,
}

/// Why a picture is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unshown {
    /// It was there before anybody wanted it.
    Before,
    /// It is older than is allowed, and a newer one is there.
    Late,
}

/// What became of those that were there before a picture that has come.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// These will not be shown.
    pub(super) pictures: Vec<Frame>,
    /// Nothing can be decoded before the next keyframe, which is wanted.
    pub(super) wants_key: bool,
}

impl Intake {
    pub(super) fn new(max_latency: Duration) -> Self {
        Self {
            max_latency,
            alone: true,
            waiting: VecDeque::new(),
            bytes: 0,
            needs_key: true,
            given: VecDeque::new(),
            given_bytes: 0,
            cost: Duration::ZERO,
        }
    }

    /// Begins anew, with pictures that stand for themselves or not. What waited is left out.
    pub(super) fn restart(&mut self, alone: bool) -> Vec<Frame> {
        self.alone = alone;
        self.cost = Duration::ZERO;
        self.leave_out()
    }

    /// What waits is left out, and nothing can be decoded before a keyframe. What the worker was given is still with it.
    pub(super) fn leave_out(&mut self) -> Vec<Frame> {
        self.needs_key = true;
        self.clear()
    }

    /// The worker is gone with all that it was given; what waits cannot be decoded without that, and is left out.
    pub(super) fn lose(&mut self) -> Vec<Frame> {
        self.given.clear();
        self.given_bytes = 0;
        self.leave_out()
    }

    fn clear(&mut self) -> Vec<Frame> {
        self.bytes = 0;
        self.waiting.drain(..).map(|waiting| waiting.frame).collect()
    }

    /// The picture that the next one takes the place of, where each stands for itself.
    pub(super) fn replaced(&self) -> Option<&Frame> {
        self.waiting.front().filter(|_| self.alone).map(|waiting| &waiting.frame)
    }

    /// Whether `frame` cannot be decoded, for want of those that it needs.
    pub(super) fn lacks_key(&self, frame: &Frame) -> bool {
        self.needs_key && !frame.key
    }

    /// A picture has come, or was there already when it was asked for. One that lacks a keyframe is left out. One whose place it
    /// takes is what [`replaced`](Self::replaced) said before, and not told again.
    pub(super) fn push(&mut self, frame: Frame, now: Instant, is_backlog: bool) -> LeftOut {
        if self.lacks_key(&frame) {
            return LeftOut { pictures: vec![frame], wants_key: true };
        }
        if self.alone {
            self.waiting.clear();
            self.bytes = 0;
        }
        self.needs_key = false;
        self.bytes += frame.data.len();
        self.waiting.push_back(Waiting { frame, came: now, is_backlog });
        if self.is_behind(now) { self.skip() } else { LeftOut::default() }
    }

    fn is_behind(&self, now: Instant) -> bool {
        self.waiting.len() > MOST_WAITING
            || self.bytes > MOST_WAITING_BYTES
            || self.waiting.front().is_some_and(|first| now.duration_since(first.came) > BEHIND)
    }

    /// Goes on at the newest keyframe, or waits for the next one.
    fn skip(&mut self) -> LeftOut {
        match self.waiting.iter().rposition(|waiting| waiting.frame.key) {
            // The picture alone that has waited for so long because there was no worker to take it.
            Some(0) if self.waiting.len() == 1 => LeftOut::default(),
            Some(at) if at > 0 => {
                let pictures: Vec<_> = self.waiting.drain(..at).map(|waiting| waiting.frame).collect();
                self.bytes -= pictures.iter().map(|frame| frame.data.len()).sum::<usize>();
                LeftOut { pictures, wants_key: false }
            }
            _ => {
                self.needs_key = true;
                LeftOut { pictures: self.clear(), wants_key: true }
            }
        }
    }

    /// The next picture for the worker, if it is to be given one now.
    pub(super) fn take(&mut self, now: Instant) -> Option<Taken> {
        let first = self.waiting.front()?;
        let is_newest = self.waiting.len() == 1;
        let unshown = match first.is_backlog {
            _ if is_newest || self.alone => None,
            true => Some(Unshown::Before),
            false => (now.duration_since(first.came) > self.max_latency).then_some(Unshown::Late),
        };
        let most = if unshown.is_some() { MOST_GIVEN_UNSHOWN } else { self.most_given() };
        let fits = self.given_bytes + first.frame.data.len() <= MOST_GIVEN_BYTES;
        if self.given.len() >= most || !(fits || self.given.is_empty()) {
            return None;
        }
        let Waiting { frame, .. } = self.waiting.pop_front()?;
        self.bytes -= frame.data.len();
        self.given.push_back(frame.data.len());
        self.given_bytes += frame.data.len();
        Some(Taken { frame, unshown })
    }

    /// What one that was taken needed not be given after all.
    pub(super) fn put_back(&mut self) {
        if let Some(bytes) = self.given.pop_back() {
            self.given_bytes -= bytes;
        }
    }

    /// So many that they are done well before they are too old.
    fn most_given(&self) -> usize {
        let within = self.max_latency.as_micros() / 2 / self.cost.as_micros().max(1);
        within.clamp(1, MOST_GIVEN as u128) as usize
    }

    /// The worker has finished the picture that it was given first; `cost` is what it took if it was shown.
    pub(super) fn done(&mut self, cost: Option<Duration>) {
        if let Some(bytes) = self.given.pop_front() {
            self.given_bytes -= bytes;
        }
        if let Some(cost) = cost {
            self.cost = if self.cost.is_zero() { cost } else { (self.cost * 7 + cost) / 8 };
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ocelli_media::{MediaTime, TrackId};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn frame(name: u8, key: bool) -> Frame {
        let time = MediaTime::new(i64::from(name) * 3000, MediaTime::VIDEO_RATE);
        Frame { track: TrackId::VIDEO, time, captured: None, key, data: vec![name; 1000].into() }
    }

    fn name(taken: Option<Taken>) -> Option<(u8, Option<Unshown>)> {
        taken.map(|taken| (taken.frame.data[0], taken.unshown))
    }

    /// How many, and whether a keyframe is wanted.
    fn left(left_out: &LeftOut) -> (usize, bool) {
        (left_out.pictures.len(), left_out.wants_key)
    }

    fn intake(alone: bool) -> Intake {
        let mut intake = Intake::new(200 * MS);
        intake.restart(alone);
        intake
    }

    #[test]
    fn of_pictures_that_stand_for_themselves_the_newest_waits() {
        let (mut intake, now) = (intake(true), Instant::now());
        for number in 0_u8..5 {
            let replaced = intake.replaced().map(|frame| frame.data[0]);
            assert_eq!(replaced, number.checked_sub(1));
            assert_eq!(left(&intake.push(frame(number, true), now, false)), (0, false));
        }
        // However old it is: nothing newer is there.
        assert_eq!(name(intake.take(now + 5000 * MS)), Some((4, None)));
        assert_eq!(name(intake.take(now)), None);
    }

    #[test]
    fn the_worker_is_given_what_it_finishes_in_time() {
        let (mut intake, now) = (intake(true), Instant::now());
        let mut given = 0;
        let mut fill = |intake: &mut Intake| {
            loop {
                intake.push(frame(given, true), now, false);
                if intake.take(now).is_none() {
                    return given;
                }
                given += 1;
            }
        };
        assert_eq!(fill(&mut intake), 3);
        for _ in 0..3 {
            intake.done(Some(150 * MS));
        }
        assert_eq!(fill(&mut intake), 4, "one at a time, where each takes as long as it may be old");
    }

    #[test]
    fn what_was_there_before_is_decoded_and_its_newest_shown() {
        let (mut intake, now) = (intake(false), Instant::now());
        for number in 0..40 {
            assert_eq!(left(&intake.push(frame(number, number == 0), now, true)), (0, false));
        }
        for number in 0..16 {
            assert_eq!(name(intake.take(now)), Some((number, Some(Unshown::Before))));
        }
        assert_eq!(name(intake.take(now)), None, "the worker has enough");
        for number in 16..39 {
            intake.done(None);
            assert_eq!(name(intake.take(now)), Some((number, Some(Unshown::Before))));
        }
        for _ in 0..16 {
            intake.done(None);
        }
        assert_eq!(name(intake.take(now)), Some((39, None)));
    }

    #[test]
    fn what_is_too_old_is_not_shown_while_there_is_a_newer_one() {
        let (mut intake, now) = (intake(false), Instant::now());
        intake.push(frame(0, true), now, false);
        intake.push(frame(1, false), now + 150 * MS, false);
        intake.push(frame(2, false), now + 250 * MS, false);
        let late = now + 300 * MS;
        assert_eq!(name(intake.take(late)), Some((0, Some(Unshown::Late))));
        assert_eq!(name(intake.take(late)), Some((1, None)));
        assert_eq!(name(intake.take(late + 1000 * MS)), Some((2, None)));
    }

    #[test]
    fn decoding_that_cannot_keep_up_goes_on_at_a_keyframe() {
        let (mut intake, now) = (intake(false), Instant::now());
        intake.push(frame(0, true), now, false);
        intake.push(frame(1, false), now, false);
        intake.push(frame(2, true), now + 1900 * MS, false);
        assert_eq!(left(&intake.push(frame(3, false), now + 2100 * MS, false)), (2, false));
        assert_eq!(left(&intake.push(frame(4, false), now + 4000 * MS, false)), (3, true));
        assert_eq!(left(&intake.push(frame(5, false), now, false)), (1, true));
        assert_eq!(left(&intake.push(frame(6, true), now + 4100 * MS, false)), (0, false));
        assert_eq!(name(intake.take(now + 4100 * MS)), Some((6, None)));
        assert_eq!(intake.bytes, 0);
    }

    #[test]
    fn what_the_worker_was_given_is_with_it_until_it_is_done_whatever_comes_meanwhile() {
        for begin_anew in [|intake: &mut Intake| intake.restart(true), Intake::leave_out] {
            let (mut intake, now) = (intake(true), Instant::now());
            for number in 0..3 {
                intake.push(frame(number, true), now, false);
                assert!(intake.take(now).is_some());
            }
            begin_anew(&mut intake);
            intake.push(frame(3, true), now, false);
            assert!(intake.take(now).is_none(), "it has three");
            intake.done(None);
            assert!(intake.take(now).is_some());
            (0..3).for_each(|_| intake.done(None));
            assert_eq!((intake.given.len(), intake.given_bytes), (0, 0));
        }
    }

    #[test]
    fn bytes_are_bounded_but_one_picture_always_fits() {
        let (mut intake, now) = (intake(true), Instant::now());
        let large = || Frame { data: Bytes::from(vec![0; MOST_GIVEN_BYTES + 1]), ..frame(0, true) };
        intake.push(large(), now, false);
        assert!(intake.take(now).is_some());
        intake.push(large(), now, false);
        assert!(intake.take(now).is_none());
        intake.done(None);
        assert!(intake.take(now).is_some());
        assert!(intake.lose().is_empty());
        assert_eq!((intake.given_bytes, intake.bytes), (0, 0));
    }
}
