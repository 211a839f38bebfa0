//! One time line for all a camera's pictures, in ticks of 90 kHz, through restarts of the camera and notices in its stead; and one
//! for its sound, in ticks of the sound's own clock.
//!
//! RTP's timestamps say when pictures were taken (RFC 3550 section 5.1), and are one line for as long as the sender has its
//! number. A camera's own times are not: [`MediaTime`] begins anew with each run, that of a notice is another clock
//! altogether, and the wall clock may be set. So what counts is the difference between two pictures of one clock, as long as
//! it is about what has passed meanwhile; where it is not, the time that has passed counts itself. Nothing is ever counted
//! on by a frame rate.
//!
//! The line begins at the wall clock's ticks since 1970, so that another one that begins later goes on where this one would
//! be, unless the wall clock was set meanwhile. A target that goes over to another one makes up for that ([`Splice`]), and
//! adds a random offset.
//!
//! [`MediaTime`]: ocelli_media::MediaTime

use std::num::NonZeroU32;
use std::time::{Duration, Instant, SystemTime};

use ocelli_media::{Codec, Frame, MediaTime};

/// By how much the time between two pictures may differ from the time between their coming here: what buffers and busy
/// machines make of it.
const TOLERANCE: Duration = Duration::from_secs(1);
/// How far the time at which a first picture was taken may be from the one at which it came: the camera's clock may be anything,
/// and the lines of pictures and sound begin at one time.
const MOST_TRAVEL: Duration = Duration::from_secs(10);

/// Which clock a picture's time was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// Wall clock at which it was taken.
    Captured,
    /// The track's own clock.
    Media,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    clock: Clock,
    on_its_clock: i64,
    on_the_line: i64,
    came: Instant,
}

/// Puts pictures, or sound, on the line.
#[derive(Debug)]
pub struct Timeline {
    rate: NonZeroU32,
    last: Option<Last>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self::new(MediaTime::VIDEO_RATE)
    }
}

impl Timeline {
    /// A line of `rate` ticks a second.
    pub fn new(rate: NonZeroU32) -> Self {
        Self { rate, last: None }
    }

    /// Where on the line a picture is that came at `now`, which the wall clock calls `wall`. Pictures of a codec without
    /// reordering are each later than the one before by at least one tick.
    pub fn place(&mut self, frame: &Frame, codec: Codec, now: Instant, wall: SystemTime) -> i64 {
        let rate = self.rate;
        // Where pictures are shown in the order in which they come, when the camera took them is known best. Where they are
        // not, only the track's clock says in which order they are shown; and sound is counted in samples.
        let (in_order, by_capture) = (codec == Codec::Jpeg || !codec.is_video(), codec == Codec::Jpeg);
        let (clock, on_its_clock) = match frame.captured.filter(|_| by_capture) {
            Some(captured) => (Clock::Captured, ticks_since_1970(captured, rate)),
            None => (Clock::Media, frame.time.rescale(rate).ticks()),
        };
        let on_the_line = match self.last {
            None if clock == Clock::Captured => on_its_clock,
            None => {
                ticks_since_1970(frame.captured.filter(|taken| is_near(*taken, wall)).unwrap_or(wall), rate)
            }
            Some(last) => {
                let passed = ticks(now.saturating_duration_since(last.came), rate);
                let difference = on_its_clock.saturating_sub(last.on_its_clock);
                let believed = clock == last.clock
                    && difference.saturating_sub(passed).saturating_abs() <= ticks(TOLERANCE, rate);
                let step = match (believed, in_order) {
                    (true, true) => difference.max(1),
                    (true, false) => difference,
                    (false, _) => passed.max(1),
                };
                last.on_the_line.saturating_add(step)
            }
        };
        self.last = Some(Last { clock, on_its_clock, on_the_line, came: now });
        on_the_line
    }
}

/// A target's own line, through those of one maker of packets after another.
#[derive(Clone, Debug, Default)]
pub(super) struct Splice {
    last: Option<(i64, Instant)>,
    /// What is added to the ticks of the line at hand.
    shift: i64,
    begins: bool,
}

impl Splice {
    /// The ticks that follow are another line's, beginning at a picture that needs none before it.
    pub(super) fn begin(&mut self) {
        self.begins = true;
    }

    /// Where on the target's line a picture is that came at `now`. The first one of another line that is earlier than the last
    /// one, or far from where it should be, is where the time that has passed has it.
    pub(super) fn place(&mut self, on_its_line: i64, now: Instant) -> i64 {
        let mut place = on_its_line.saturating_add(self.shift);
        if std::mem::take(&mut self.begins)
            && let Some((last, came)) = self.last
        {
            let passed = ticks(now.saturating_duration_since(came), MediaTime::VIDEO_RATE);
            let expected = last.saturating_add(passed.max(1));
            if place < last
                || place.saturating_sub(expected).saturating_abs() > ticks(TOLERANCE, MediaTime::VIDEO_RATE)
            {
                self.shift = expected.saturating_sub(on_its_line);
                place = expected;
            }
        }
        self.last = Some((place, now));
        place
    }
}

fn ticks(time: Duration, rate: NonZeroU32) -> i64 {
    MediaTime::from_duration(time, rate).ticks()
}

fn ticks_since_1970(time: SystemTime, rate: NonZeroU32) -> i64 {
    ticks(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(), rate)
}

fn is_near(taken: SystemTime, wall: SystemTime) -> bool {
    let apart = wall.duration_since(taken).unwrap_or_else(|error| error.duration());
    apart <= MOST_TRAVEL
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ocelli_media::TrackId;
    use proptest::prelude::*;

    use super::*;

    const WALL: Duration = Duration::from_secs(1_700_000_000);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn frame(captured: Option<Duration>, time: i64) -> Frame {
        let captured = captured.map(|since| SystemTime::UNIX_EPOCH + since);
        let time = MediaTime::new(time, MediaTime::VIDEO_RATE);
        Frame { track: TrackId::VIDEO, time, captured, key: true, data: Bytes::new() }
    }

    /// Simulated time.
    struct Test(Timeline, Instant);

    impl Test {
        fn new() -> Self {
            Self(Timeline::default(), Instant::now())
        }

        /// Where a picture is that comes this long after the start.
        fn place(&mut self, frame: &Frame, codec: Codec, after: Duration) -> i64 {
            self.0.place(frame, codec, self.1 + after, SystemTime::UNIX_EPOCH + WALL + after)
        }

        fn jpeg(&mut self, captured: Duration, after: Duration) -> i64 {
            self.place(&frame(Some(captured), 0), Codec::Jpeg, after)
        }
    }

    #[test]
    fn ticks_are_those_of_the_capture_not_of_the_coming() {
        let mut line = Test::new();
        let first = line.jpeg(WALL, ms(0));
        assert_eq!(first, 1_700_000_000 * 90_000);
        assert_eq!(line.jpeg(WALL + ms(40), ms(90)) - first, 3600);
        assert_eq!(line.jpeg(WALL + ms(80), ms(91)) - first, 7200);
        assert_eq!(line.jpeg(WALL + ms(10_080), ms(10_200)) - first, 907_200);
    }

    #[test]
    fn no_two_jpegs_have_one_time() {
        let mut line = Test::new();
        let first = line.jpeg(WALL + ms(40), ms(0));
        assert_eq!(line.jpeg(WALL + ms(40), ms(1)), first + 1);
        assert_eq!(line.jpeg(WALL + ms(20), ms(2)), first + 2);
    }

    #[test]
    fn a_clock_that_is_set_moves_the_line_no_more_than_the_time_that_passed() {
        let mut line = Test::new();
        let first = line.jpeg(WALL, ms(0));
        let second = line.jpeg(WALL - ms(3_600_000), ms(40));
        let third = line.jpeg(WALL + ms(86_400_000), ms(80));
        assert_eq!((second - first, third - first), (3600, 7200));
    }

    #[test]
    fn a_notice_and_a_new_run_go_on_from_where_the_line_was() {
        let mut line = Test::new();
        let h264 = |line: &mut Test, time, after| line.place(&frame(None, time), Codec::H264, after);
        let first = h264(&mut line, 5_000_000, ms(0));
        assert_eq!(h264(&mut line, 5_003_600, ms(40)) - first, 3600);
        // The camera's next run counts from zero again, two seconds later.
        assert_eq!(h264(&mut line, 0, ms(2_040)) - first, 183_600);
        assert_eq!(h264(&mut line, 3600, ms(2_080)) - first, 187_200);
        let notice = line.jpeg(WALL + ms(3_080), ms(3_080));
        assert_eq!(notice - first, 277_200);
    }

    #[test]
    fn sound_counts_its_samples_from_when_it_was_taken_if_that_can_be() {
        let rate = NonZeroU32::new(48_000).unwrap();
        for (captured, begins) in [(WALL - ms(500), WALL - ms(500)), (WALL - Duration::from_secs(90), WALL)] {
            let mut line = Test(Timeline::new(rate), Instant::now());
            let mut at = |samples, after| {
                let frame = Frame { time: MediaTime::new(samples, rate), ..frame(Some(captured), 0) };
                line.place(&frame, Codec::Opus, ms(after))
            };
            let first = at(7_000_000, 0);
            assert_eq!(first, begins.as_millis() as i64 * 48);
            assert_eq!([at(7_000_960, 3) - first, at(7_001_920, 300) - first], [960, 1920]);
        }
    }

    #[test]
    fn pictures_that_are_shown_earlier_than_those_before_them_say_so() {
        let mut line = Test::new();
        let mut at = |time, after| line.place(&frame(Some(WALL), time), Codec::H265, ms(after));
        let first = at(9000, 0);
        assert_eq!(
            [at(20_000, 30) - first, at(12_600, 60) - first, at(16_200, 90) - first],
            [11_000, 3600, 7200]
        );
    }

    #[test]
    fn another_line_begins_where_this_one_would_be() {
        let mut first = Test::new();
        first.jpeg(WALL, ms(0));
        let end = first.jpeg(WALL + ms(40), ms(40));
        let mut second = Test::new();
        assert_eq!(second.jpeg(WALL + ms(80), ms(0)) - end, 3600);
    }

    #[test]
    fn a_target_goes_on_through_lines_between_which_the_clock_was_set() {
        let start = Instant::now();
        for set in [1_000_000_000, -1_000_000_000] {
            let mut splice = Splice::default();
            assert_eq!([splice.place(1000, start), splice.place(4600, start + ms(40))], [1000, 4600]);
            // The same picture once more, from a maker of longer packets.
            splice.begin();
            assert_eq!(
                [splice.place(4600, start + ms(41)), splice.place(8200, start + ms(80))],
                [4600, 8200]
            );
            splice.begin();
            let after = [splice.place(set, start + ms(120)), splice.place(set + 3600, start + ms(161))];
            assert_eq!(after, [11_800, 15_400], "{set}");
        }
    }

    proptest! {
        #[test]
        fn the_line_of_jpegs_only_rises_whatever_the_clocks_do(
            steps in proptest::collection::vec((0_u64..5_000, any::<Option<u32>>(), any::<i64>()), 1..50),
        ) {
            let mut line = Test::new();
            let (mut after, mut before) = (Duration::ZERO, None);
            for (step, captured, time) in steps {
                after += ms(step);
                let captured = captured.map(|seconds| Duration::from_secs(seconds.into()));
                let place = line.place(&frame(captured, time), Codec::Jpeg, after);
                prop_assert!(before.is_none_or(|before| place > before));
                before = Some(place);
            }
        }
    }
}
