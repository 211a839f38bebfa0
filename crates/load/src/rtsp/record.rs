//! What is written down about one reader, and about all of a thread together.

use std::time::{Duration, Instant};

use super::mark;
use crate::histogram::Histogram;
use crate::rtp::flow::{Counts, Flow};
use crate::stamp::Stamp;

/// The same moment on three clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) at: Instant,
    /// Since 1970.
    pub(super) wall_micros: u64,
    /// Within the time that counts.
    pub(super) measured: bool,
}

/// Times of all readers of a thread, within the time that counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    /// Between the ends of two pictures of one reader.
    pub(super) intervals: Histogram,
    /// From the camera's mark to the picture's last packet.
    pub(super) latency: Histogram,
}

/// One reader.
#[derive(Debug, Default)]
pub(super) struct Record {
    flow: Flow,
    /// Pictures that the camera sent between two that came; `None` without marks.
    pub(super) missed: Option<u64>,
    /// From the call to connect.
    pub(super) first_packet: Option<Duration>,
    /// From the call to connect to the first packet of the first keyframe.
    pub(super) first_key: Option<Duration>,
    /// Packets that its own socket had no room for.
    pub(super) dropped_by_reader: u64,
    /// Why it stopped before the end.
    pub(super) failure: Option<String>,
    last_picture: Option<Instant>,
    last_stamp: Option<Stamp>,
    stamp: Option<Stamp>,
}

impl Record {
    /// Counts from here.
    pub(super) fn begin(&mut self) {
        self.flow.counts = Counts::default();
        self.missed = self.missed.map(|_| 0);
    }

    pub(super) fn counts(&self) -> Counts {
        self.flow.counts
    }

    /// Whether the first packet of all was a keyframe's.
    pub(super) fn began_with_key(&self) -> bool {
        self.first_packet.is_some() && self.first_packet == self.first_key
    }

    /// Takes the beginning of an RTP packet of `length` bytes. True at the end of a picture.
    pub(super) fn packet(
        &mut self,
        head: &[u8],
        length: usize,
        since_opened: Duration,
        now: Now,
        times: &mut Times,
    ) -> bool {
        let beginning = mark::look(head);
        self.first_packet.get_or_insert(since_opened);
        if beginning.key {
            self.first_key.get_or_insert(since_opened);
        }
        self.stamp = beginning.stamp.or(self.stamp);
        let ended = self.flow.packet_of(head, length, beginning.begins);
        if ended {
            self.picture(now, times);
        }
        ended
    }

    fn picture(&mut self, now: Now, times: &mut Times) {
        let last = self.last_picture.replace(now.at);
        let stamp = self.stamp.take();
        if let (Some(stamp), Some(before)) = (stamp, self.last_stamp) {
            // A camera that began anew begins at 0: not a loss.
            *self.missed.get_or_insert(0) +=
                u64::from(stamp.sequence.saturating_sub(before.sequence).saturating_sub(1));
        }
        self.last_stamp = stamp.or(self.last_stamp);
        if !now.measured {
            return;
        }
        if let Some(last) = last {
            times.intervals.add((now.at - last).as_micros() as u64);
        }
        if let Some(stamp) = stamp {
            times.latency.add(now.wall_micros.saturating_sub(stamp.written_micros));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtsp::film::{Film, test_clip};

    #[test]
    fn a_picture_that_never_came_is_missed() {
        let mut film = Film::new(&test_clip(1500), 1000, 30.0, true).unwrap();
        let (mut record, mut times) = (Record::default(), Times::default());
        let start = Instant::now();
        for index in 0..6_u32 {
            let micros = u64::from(index) * 1000;
            let picture = film.advance(Duration::from_micros(micros));
            let (mut at, lengths) = (0, picture.lengths.clone());
            for length in lengths {
                let packet = &picture.bare[at..at + length];
                at += length;
                if index == 3 {
                    continue;
                }
                let now = Now {
                    at: start + Duration::from_micros(micros),
                    wall_micros: micros + 400,
                    measured: index > 1,
                };
                record.packet(packet, length, now.at - start + Duration::from_millis(1), now, &mut times);
            }
            if index == 1 {
                record.begin();
            }
        }
        assert!(record.began_with_key());
        let counts = record.counts();
        assert_eq!((counts.pictures, counts.damaged, record.missed), (3, 0, Some(1)));
        assert_eq!((times.latency.max(), times.intervals.max()), (Some(400), Some(2000)));
    }
}
