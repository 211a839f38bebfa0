//! How long a program's pipe must be silent until the picture that was read counts as whole.
//!
//! Where a picture of H.264 or H.265 ends is known when the next one begins, an interval later. Programs that write to a pipe write
//! a picture at once, so that a short silence says it too; one that sends it over a network (`ssh camera rpicam-vid …`) does not.
//! So the silences within pictures are measured, and what is waited is a multiple of the longest of the last minutes. A picture that
//! was torn nevertheless doubles the least that is waited for good. Reads no clock.

use std::time::{Duration, Instant};

/// The least that is waited: FFmpeg and GStreamer were never silent for 1 ms within a picture on a machine with much to do.
const LEAST: Duration = Duration::from_millis(4);
/// The least as long as little of the program is known.
const LEAST_AT_FIRST: Duration = Duration::from_millis(20);
/// So many pictures are little.
const KNOWN_AFTER: u32 = 30;
/// What is waited, in times of the longest silence within a picture.
const MARGIN: u32 = 4;
/// Where more would have to be waited, the next picture tells sooner or not much later.
const MOST: Duration = Duration::from_millis(250);
/// How long a silence is remembered at least; at most it is twice that.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What is known of a program's silences.
#[derive(Debug)]
pub(super) struct Patience {
    least: Duration,
    pictures: u32,
    /// Of the time at hand and of that before it.
    longest: [Duration; 2],
    turned: Instant,
}

impl Patience {
    /// Knows nothing yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { least: LEAST, pictures: 0, longest: [Duration::ZERO; 2], turned: now }
    }

    /// How long a silence says that the picture is whole; `None` where none that is of use does.
    pub(super) fn silence(&self) -> Option<Duration> {
        let least = if self.pictures < KNOWN_AFTER { self.least.max(LEAST_AT_FIRST) } else { self.least };
        let wait = least.max(self.longest[0].max(self.longest[1]).saturating_mul(MARGIN));
        (wait <= MOST).then_some(wait)
    }

    /// A picture came whole.
    pub(super) fn picture(&mut self) {
        self.pictures = self.pictures.saturating_add(1);
    }

    /// The program was silent for `gap` within a picture.
    pub(super) fn silent_within(&mut self, gap: Duration, now: Instant) {
        if now.saturating_duration_since(self.turned) >= REMEMBERED {
            self.longest = [Duration::ZERO, self.longest[0]];
            self.turned = now;
        }
        self.longest[0] = self.longest[0].max(gap);
    }

    /// A picture was taken for whole and was not: it went on after `gap`.
    pub(super) fn torn(&mut self, gap: Duration, now: Instant) {
        self.least = self.least.saturating_mul(2);
        self.silent_within(gap, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_program_that_writes_at_once_is_believed_sooner_when_it_is_known() {
        let mut patience = Patience::new(Instant::now());
        assert_eq!(patience.silence(), Some(ms(20)));
        (0..KNOWN_AFTER).for_each(|_| patience.picture());
        assert_eq!(patience.silence(), Some(ms(4)));
    }

    #[test]
    fn silences_within_pictures_are_outwaited_and_forgotten() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        (0..KNOWN_AFTER).for_each(|_| patience.picture());
        patience.silent_within(ms(12), start);
        assert_eq!(patience.silence(), Some(ms(48)));
        patience.silent_within(ms(80), start + ms(1));
        assert_eq!(patience.silence(), None, "the next picture tells");
        patience.silent_within(ms(1), start + REMEMBERED);
        assert_eq!(patience.silence(), None);
        patience.silent_within(ms(1), start + 2 * REMEMBERED);
        assert_eq!(patience.silence(), Some(ms(4)));
    }

    #[test]
    fn a_program_is_torn_a_few_times_at_most() {
        let start = Instant::now();
        let mut patience = Patience::new(start);
        let mut torn = 0;
        while patience.silence().is_some() {
            patience.torn(ms(1), start);
            torn += 1;
        }
        assert_eq!(torn, 6);
    }
}
