//! RTP timestamps, which wrap (every 13 hours at 90 kHz) and begin anywhere, as one clock that goes on through every sender.

use std::num::NonZeroU32;
use std::time::Duration;

use ocelli_media::MediaTime;

/// Timestamps that are farther than this from what the arrivals say have begun anew.
const MOST_DRIFT: Duration = Duration::from_secs(10);

/// The clock of one track of a camera.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    rate: NonZeroU32,
    last: Option<Last>,
    restarted: bool,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    timestamp: u32,
    ticks: i64,
    arrived: Duration,
}

impl Timeline {
    /// A clock of `rate` ticks a second: 90 000 for pictures.
    pub fn new(rate: NonZeroU32) -> Self {
        Self { rate, last: None, restarted: false }
    }

    /// The timestamps that follow are another sender's.
    pub fn restart(&mut self) {
        self.restarted = true;
    }

    /// When a picture is to be shown, or sound to be heard, whose first packet came at `arrived`. As far from the one before it as
    /// the timestamps are, which may go backwards with B-frames; or, where those have begun anew, as far as the arrivals are.
    pub fn time(&mut self, timestamp: u32, arrived: Duration) -> MediaTime {
        let restarted = std::mem::take(&mut self.restarted);
        let ticks = self.last.map_or(0, |last| {
            let sent = i64::from(timestamp.wrapping_sub(last.timestamp) as i32);
            let came = MediaTime::from_duration(arrived.saturating_sub(last.arrived), self.rate).ticks();
            let drift = MediaTime::from_duration(MOST_DRIFT, self.rate).ticks();
            let anew = restarted || (sent - came).abs() > drift;
            // One tick at least: pictures of two senders are never at the same time.
            last.ticks + if anew { came.max(1) } else { sent }
        });
        self.last = Some(Last { timestamp, ticks, arrived });
        MediaTime::new(ticks, self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(pictures: &[(u32, u64)]) -> Vec<i64> {
        let mut timeline = Timeline::new(MediaTime::VIDEO_RATE);
        let time = |&(timestamp, millis)| timeline.time(timestamp, Duration::from_millis(millis)).ticks();
        pictures.iter().map(time).collect()
    }

    #[test]
    fn timestamps_decide_through_the_wrap_and_backwards() {
        assert_eq!(times(&[(u32::MAX - 2999, 5), (0, 70), (6000, 71), (3000, 140)]), [0, 3000, 9000, 6000]);
    }

    #[test]
    fn timestamps_that_begin_anew_go_on_with_the_arrivals() {
        assert_eq!(
            times(&[(7, 0), (3007, 33), (900_000_000, 133), (900_003_000, 166)]),
            [0, 3000, 12_000, 15_000]
        );
        let mut timeline = Timeline::new(MediaTime::VIDEO_RATE);
        timeline.time(1000, Duration::ZERO);
        timeline.restart();
        assert_eq!(timeline.time(4000, Duration::from_secs(2)).ticks(), 180_000, "another sender's");
        assert_eq!(timeline.time(7000, Duration::from_secs(2)).ticks(), 183_000);
    }
}
