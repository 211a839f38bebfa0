//! Whether anything can be made of a camera's pictures. One that is damaged is left out; where none can be decoded, as with
//! pictures that are too large or of a kind that the worker has no decoder of, those who watch are to be told. Reads no
//! clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// How long no picture may be decoded before that is told.
const AFTER: Duration = Duration::from_secs(2);
/// So many pictures that were decoded in no way have to follow one that was: of a film that is damaged once nothing is shown
/// up to its next keyframe, which may be far away.
const LEAST: u32 = 2;

/// Pictures that could not be decoded, and none since that could.
#[derive(Debug, Default)]
pub(super) struct Undecoded {
    since: Option<Instant>,
    pictures: u32,
    why: Option<Arc<str>>,
    has_shown: bool,
    /// Those who watch were told.
    told: bool,
}

impl Undecoded {
    /// A picture could not be decoded: why, in words.
    pub(super) fn failed(&mut self, why: &str, now: Instant) {
        if self.why.as_deref() != Some(why) {
            self.why = Some(why.into());
        }
        self.since.get_or_insert(now);
        self.pictures = self.pictures.saturating_add(1);
    }

    /// One could. Whether it was told that none can.
    pub(super) fn shown(&mut self) -> bool {
        std::mem::replace(self, Self { has_shown: true, ..Self::default() }).told
    }

    /// Why none can be decoded, as far as that is to be told, and whether it was not before.
    pub(super) fn told(&mut self, now: Instant) -> Option<(Arc<str>, bool)> {
        let lasts = self.since.is_some_and(|since| now.duration_since(since) >= AFTER);
        let why = self.why.clone().filter(|_| lasts && (!self.has_shown || self.pictures >= LEAST))?;
        Some((why, !std::mem::replace(&mut self.told, true)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_never_decoded_is_told_once() {
        let (mut undecoded, now) = (Undecoded::default(), Instant::now());
        undecoded.failed("too large", now);
        assert_eq!(undecoded.told(now + SECOND), None);
        assert_eq!(undecoded.told(now + 2 * SECOND), Some(("too large".into(), true)));
        undecoded.failed("larger still", now + 3 * SECOND);
        assert_eq!(undecoded.told(now + 3 * SECOND), Some(("larger still".into(), false)));
        assert!(undecoded.shown() && !undecoded.shown());
        assert_eq!(undecoded.told(now + 9 * SECOND), None);
    }

    #[test]
    fn a_film_that_is_damaged_once_is_waited_for() {
        let (mut undecoded, now) = (Undecoded::default(), Instant::now());
        undecoded.shown();
        undecoded.failed("damaged", now);
        assert_eq!(undecoded.told(now + 30 * SECOND), None, "its next keyframe is far away");
        undecoded.failed("damaged", now + 30 * SECOND);
        assert!(undecoded.told(now + 30 * SECOND).is_some());
    }
}
