//! Which pictures are on their way through a program that says nothing of them but what comes out: reckoned from those that do.
//!
//! A program that gives one picture for each as soon as it can owes one for each that it was given, but for as many as it holds back
//! for their order. How many that are is not known beforehand. It is learned: a picture that does not come although it is waited for
//! is held back, as far as anybody can tell; and what is on the way when the next picture is given was mostly not so for want of time.
//!
//! Reads no clock.

use std::collections::VecDeque;

/// The time of a picture that comes out is so much off at most, at 90 kHz: a millisecond.
const NEAR_TICKS: i64 = 90;
/// What is held back is looked at anew each so many pictures.
const LOOK_EACH: u8 = 32;
/// More than any order holds back.
const MOST_HELD: usize = 24;

/// The pictures that are on their way, and what was given with each.
#[derive(Debug)]
pub(super) struct Flight<T> {
    given: VecDeque<(i64, T)>,
    /// So many are held back.
    held: usize,
    /// How often how many were on their way when another was given, since `held` was looked at.
    seen: [u8; MOST_HELD],
    looks: u8,
}

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Self { given: VecDeque::new(), held: 0, seen: [0; MOST_HELD], looks: 0 }
    }
}

impl<T> Flight<T> {
    /// A picture is given, which is shown at `ticks`.
    pub(super) fn give(&mut self, ticks: i64, with: T) {
        self.seen[self.given.len().min(MOST_HELD - 1)] += 1;
        self.looks += 1;
        if self.looks == LOOK_EACH {
            self.held = self.usual();
            (self.seen, self.looks) = ([0; MOST_HELD], 0);
        }
        self.given.push_back((ticks, with));
    }

    /// As many as were on their way half of the times, or fewer: not those of a machine that was busy for a moment, and not
    /// those of a keyframe, before which all come out.
    fn usual(&self) -> usize {
        let mut times = 0;
        let until = self.seen.iter().take_while(|seen| {
            times += **seen;
            times < LOOK_EACH / 2
        });
        until.count()
    }

    /// A picture has come, in the order in which they are shown: what was given with it, if it is one that was given. Those that are
    /// shown before it do not come any more.
    pub(super) fn came(&mut self, ticks: i64) -> Option<T> {
        let mut found = None;
        let mut place = 0;
        while let Some((given, _)) = self.given.get(place) {
            if given.abs_diff(ticks) <= NEAR_TICKS as u64 {
                found = self.given.remove(place).map(|(_, with)| with);
            } else if *given < ticks {
                self.given.remove(place);
            } else {
                place += 1;
            }
        }
        found
    }

    /// So many are on their way.
    pub(super) fn len(&self) -> usize {
        self.given.len()
    }

    /// One is to come without another being given.
    pub(super) fn is_owed(&self) -> bool {
        self.given.len() > self.held
    }

    /// It did not come.
    pub(super) fn hold(&mut self) {
        self.held = self.given.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `count` pictures to a program that holds back `held` of them; how often one was waited for in vain.
    fn run(flight: &mut Flight<i64>, from: i64, count: i64, held: usize) -> u32 {
        let mut in_vain = 0;
        let mut inside = VecDeque::from_iter(flight.given.iter().map(|(ticks, _)| *ticks));
        for ticks in (from..from + count).map(|number| number * 3600) {
            flight.give(ticks, ticks);
            inside.push_back(ticks);
            while flight.is_owed() {
                if inside.len() > held {
                    let out = inside.pop_front().unwrap();
                    // Times are rounded on their way.
                    assert_eq!(flight.came(out + 1), Some(out));
                } else {
                    in_vain += 1;
                    flight.hold();
                }
            }
        }
        in_vain
    }

    #[test]
    fn what_is_held_back_is_learned_once() {
        for held in 0..4 {
            let mut flight = Flight::default();
            assert_eq!(run(&mut flight, 0, 100, held), held as u32, "{held}");
            assert_eq!(run(&mut flight, 100, 1000, held), 0, "{held}");
            assert_eq!(flight.len(), held);
        }
    }

    #[test]
    fn what_was_late_once_is_not_held_back_for_ever() {
        let mut flight = Flight::default();
        for ticks in 0..5 {
            flight.give(ticks * 3600, ticks);
            flight.hold();
        }
        assert!(!flight.is_owed());
        assert_eq!(flight.came(4 * 3600), Some(4), "and those before it do not come");
        assert_eq!(flight.len(), 0);
        run(&mut flight, 10, 64, 0);
        flight.give(1_000_000, 0);
        assert!(flight.is_owed());
    }

    #[test]
    fn pictures_come_in_the_order_in_which_they_are_shown() {
        let mut flight = Flight::default();
        for (ticks, name) in [(0, 'I'), (10_800, 'P'), (3600, 'b'), (7200, 'c')] {
            flight.give(ticks, name);
        }
        let names = [0, 3600, 7200, 10_800].map(|ticks| flight.came(ticks));
        assert_eq!(names, [Some('I'), Some('b'), Some('c'), Some('P')]);
        flight.give(14_400, 'd');
        assert_eq!(flight.came(20_000), None, "a picture that was not given");
    }
}
