//! What every source of pictures does with one: announces its size, stamps it, publishes it, counts it if it is damaged.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ocelli_hub::{DropReason, Publisher};
use ocelli_media::annexb::{self, AccessUnit};
use ocelli_media::jpeg::{Header, JpegError, Walker};
use ocelli_media::splitter::{self, Event};
use ocelli_media::{Codec, DisplayOrder, Frame, MediaTime, ParameterSets, Size, Track, TrackId, mjpeg};
use tokio::time::Instant;

use self::steady::Steady;
use super::SourceOptions;

mod steady;

/// Publishes the pictures of one run of a source. Make a new one for each run.
#[derive(Debug)]
pub struct Pictures {
    max_frame_bytes: usize,
    origin: Instant,
    last_time: Option<MediaTime>,
    /// What was announced.
    track: Option<Track>,
    /// What is announced beside it.
    sound: Option<Track>,
    order: DisplayOrder,
    /// The times of pictures of H.264 and H.265 as they come.
    steady: Steady,
    fault: Option<String>,
}

/// When a picture's last byte was read.
#[derive(Clone, Copy, Debug)]
pub struct Came {
    /// On the clock that is never set.
    pub at: Instant,
    /// On the wall clock.
    pub wall: SystemTime,
}

impl Came {
    /// Now.
    pub fn now() -> Self {
        Self { at: Instant::now(), wall: SystemTime::now() }
    }
}

/// When a picture is to be shown.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// When it came.
    Came(Came),
    /// So long after the film's beginning, where its pictures are shown at a steady pace.
    Film {
        /// When it would be shown if it were shown when it comes.
        since_beginning: Duration,
        /// Between two pictures.
        interval: Duration,
    },
    /// At this time of its track.
    At(MediaTime),
}

/// Between two pictures of H.264 or H.265 that do not say it, where nothing else does.
pub(super) const USUAL_INTERVAL: Duration = Duration::from_millis(40);

impl Pictures {
    /// Media time begins now.
    pub fn new(options: &SourceOptions) -> Self {
        Self {
            max_frame_bytes: options.max_frame_bytes,
            origin: Instant::now(),
            last_time: None,
            track: None,
            sound: None,
            order: DisplayOrder::default(),
            steady: Steady::new(USUAL_INTERVAL),
            fault: None,
        }
    }

    /// Publishes or counts what a splitter found, whose parameter sets are `sets`. Gives for how long a picture that was published is shown, where its film says it;
    /// `None` where none was.
    pub fn take(
        &mut self,
        out: &mut Publisher,
        event: Event,
        sets: Option<&ParameterSets>,
        when: When,
    ) -> Option<Duration> {
        match event {
            Event::Jpeg(jpeg) => self.jpeg(out, jpeg, when, None).then_some(when.interval()),
            Event::AccessUnit(unit) => {
                let sets = sets.expect("who splits H.264 or H.265 has its parameter sets");
                Some(self.access_unit(out, unit, sets, when))
            }
            Event::Dropped { reason, bytes } => {
                self.drop_split(out, reason, bytes);
                None
            }
        }
    }

    /// What follows begins anew with a keyframe.
    pub fn begin_anew(&mut self) {
        self.order.restart();
    }

    /// Publishes `jpeg`, which must reach from SOI to EOI as a framer gives it, and whether it did: one whose headers
    /// make no sense or that is too long is counted as dropped instead. `captured` is when the camera took it, if the
    /// camera says so; else it counts as taken now.
    pub fn publish(&mut self, out: &mut Publisher, jpeg: Bytes, captured: Option<SystemTime>) -> bool {
        self.jpeg(out, jpeg, When::Came(Came::now()), captured)
    }

    fn jpeg(&mut self, out: &mut Publisher, jpeg: Bytes, when: When, captured: Option<SystemTime>) -> bool {
        if jpeg.len() > self.max_frame_bytes {
            self.drop_picture(out, mjpeg::DropReason::TooLarge, jpeg.len() as u64);
            return false;
        }
        let header = match Header::parse(&jpeg) {
            Ok(header) => header,
            Err(error) => {
                self.drop_picture(out, mjpeg::DropReason::Damaged(error), jpeg.len() as u64);
                return false;
            }
        };
        let known = self.track.as_ref();
        if known.is_none_or(|track| track.codec != Codec::Jpeg || track.size != Some(header.size)) {
            let (size, coding, colour) = (header.size, header.process, header.chroma());
            tracing::debug!(camera = %out.name(), %size, %coding, %colour, "pictures");
            self.announce(out, Track::jpeg(Some(size)));
        }
        let (time, came) = match when {
            When::Came(came) => (self.time(came.at), came.wall),
            When::Film { .. } => (self.time(Instant::now()), SystemTime::now()),
            When::At(time) => (time, SystemTime::now()),
        };
        self.push(
            out,
            Frame { track: TrackId::VIDEO, time, captured: captured.or(Some(came)), key: true, data: jpeg },
        );
        true
    }

    /// Publishes a picture of H.264 or H.265; `sets` are those that came with it or before it. Gives for how long it is shown.
    fn access_unit(
        &mut self,
        out: &mut Publisher,
        unit: AccessUnit,
        sets: &ParameterSets,
        when: When,
    ) -> Duration {
        let AccessUnit { data, key, new_parameter_sets } = unit;
        let known = self.track.as_ref();
        if new_parameter_sets || known.is_none_or(|track| track.codec != sets.codec()) {
            let track = Track::video(sets.codec(), sets.size(), sets.units());
            tracing::debug!(camera = %out.name(), codec = %track.codec, size = ?track.size, "pictures");
            self.announce(out, track);
        }
        let (time, length, came) = match when {
            When::Came(came) => {
                let since = self.steady.place(came.at.saturating_duration_since(self.origin));
                let interval = sets.interval().unwrap_or(self.steady.interval());
                let place = self.order.place(&data, sets);
                (later(since, interval, place.later), Duration::ZERO, came.wall)
            }
            When::Film { since_beginning, interval } => {
                let place = self.order.place(&data, sets);
                let time = later(since_beginning, interval, place.later);
                (time, interval * place.fields / 2, SystemTime::now())
            }
            When::At(time) => (time, Duration::ZERO, SystemTime::now()),
        };
        self.push(out, Frame { track: TrackId::VIDEO, time, captured: Some(came), key, data });
        length
    }

    /// Publishes a packet of sound: see [`set_sound`](Self::set_sound).
    pub(super) fn sound(&mut self, out: &mut Publisher, time: MediaTime, data: Bytes) {
        // Without its pictures a track of sound is not announced.
        if self.track.is_some() {
            let captured = Some(SystemTime::now());
            out.push(Frame { track: TrackId::AUDIO, time, captured, key: false, data });
        }
    }

    /// Says that there is sound beside the pictures. Must be said before the first.
    pub(super) fn set_sound(&mut self, track: Option<Track>) {
        self.sound = track;
    }

    /// Says that there is sound beside the pictures, which may have begun.
    pub(super) fn add_sound(&mut self, out: &mut Publisher, track: Track) {
        self.sound = Some(track);
        if let Some(pictures) = self.track.clone() {
            self.announce(out, pictures);
        }
    }

    fn announce(&mut self, out: &mut Publisher, track: Track) {
        out.set_tracks(std::iter::once(track.clone()).chain(self.sound.clone()).collect());
        self.track = Some(track);
    }

    fn push(&mut self, out: &mut Publisher, frame: Frame) {
        out.push(frame);
        // What was wrong hours ago is not why the source ends now.
        self.fault = None;
    }

    /// Counts what a framer dropped: a picture as one, garbage between pictures, which is no lost picture, by its bytes.
    pub fn drop_picture(&mut self, out: &mut Publisher, reason: mjpeg::DropReason, bytes: u64) {
        self.drop_split(out, reason.into(), bytes);
    }

    /// Counts a picture of an MP4 that is not passed on.
    pub(super) fn drop_sample(&mut self, out: &mut Publisher, reason: DropReason, fault: String) {
        out.dropped(1, reason);
        self.fault = Some(fault);
    }

    fn drop_split(&mut self, out: &mut Publisher, reason: splitter::DropReason, bytes: u64) {
        match counted_as(reason) {
            Some(reason) => {
                out.dropped(1, reason);
                self.order.restart();
            }
            None => out.garbage(bytes),
        }
        self.fault = Some(match counted_as(reason) {
            Some(DropReason::TooLarge) => format!("a picture has more than {} bytes", self.max_frame_bytes),
            _ => reason.to_string(),
        });
    }

    /// The size of the pictures; `None` before the first.
    pub fn size(&self) -> Option<Size> {
        self.track.as_ref().and_then(|track| track.size)
    }

    /// What was wrong with the last thing that became no picture, if no picture came since: for the cause that a source
    /// gives when it ends.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// `at` on the track's clock; never the same twice.
    fn time(&mut self, at: Instant) -> MediaTime {
        let now = MediaTime::video(at.saturating_duration_since(self.origin));
        let time = match self.last_time {
            Some(last) if now.ticks() <= last.ticks() => MediaTime::new(last.ticks() + 1, now.rate()),
            _ => now,
        };
        self.last_time = Some(time);
        time
    }
}

impl When {
    fn interval(self) -> Duration {
        match self {
            Self::Came(_) | Self::At(_) => Duration::ZERO,
            Self::Film { interval, .. } => interval,
        }
    }
}

/// `since` the beginning and so many fields later, or earlier.
fn later(since: Duration, interval: Duration, fields: i64) -> MediaTime {
    let shift = interval.as_nanos() as i128 * i128::from(fields) / 2;
    let nanos = since.as_nanos() as i128 + shift;
    let ticks = (nanos * i128::from(MediaTime::VIDEO_RATE.get())).div_euclid(1_000_000_000);
    MediaTime::new(ticks as i64, MediaTime::VIDEO_RATE)
}

/// As what a drop is counted; `None` is garbage.
fn counted_as(reason: splitter::DropReason) -> Option<DropReason> {
    use annexb::DropReason as AnnexB;
    match reason {
        splitter::DropReason::Jpeg(reason) => match reason {
            mjpeg::DropReason::TooLarge => Some(DropReason::TooLarge),
            mjpeg::DropReason::Damaged(_) => Some(DropReason::Damaged),
            mjpeg::DropReason::Garbage => None,
        },
        splitter::DropReason::AnnexB(reason) => match reason {
            AnnexB::TooLarge => Some(DropReason::TooLarge),
            AnnexB::TooManyUnits | AnnexB::Damaged | AnnexB::Beheaded => Some(DropReason::Damaged),
            AnnexB::NeedsKey | AnnexB::NoParameterSets => Some(DropReason::NeedsKeyframe),
            AnnexB::Garbage => None,
        },
        splitter::DropReason::Unknown | splitter::DropReason::Mp4 => None,
    }
}

/// The JPEG that `bytes` begin with, without what follows its end.
///
/// # Errors
/// They begin with none, or not with a whole one.
pub fn whole_jpeg(bytes: &Bytes) -> Result<Bytes, JpegError> {
    match Walker::new().end(bytes)? {
        Some(length) => Ok(bytes.slice(..length)),
        None => Err(JpegError::Truncated { at: bytes.len() }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use ocelli_hub::{Bounds, Item, Stream, Want};

    use super::*;

    pub(crate) const BASELINE: &[u8] = include_bytes!("../../../media/testdata/baseline.jpg");
    pub(crate) const PROGRESSIVE: &[u8] = include_bytes!("../../../media/testdata/progressive.jpg");

    /// A stream for a source under test to publish into.
    pub(crate) fn stream() -> Arc<Stream> {
        let name = "test".parse().expect("a good name");
        Stream::new(name, Bounds { pieces: 64, bytes: 64 << 20 })
    }

    pub(crate) fn dropped(stream: &Stream, reason: DropReason) -> u64 {
        stream.stats().dropped[reason as usize].1
    }

    #[tokio::test]
    async fn tracks_come_before_the_first_picture_and_whenever_the_size_changes() {
        let stream = stream();
        let mut subscriber = stream.subscribe(Want::All);
        let mut out = stream.publish().expect("nobody else publishes");
        let mut pictures = Pictures::new(&SourceOptions::default());
        let mut wider = BASELINE.to_vec();
        let frame = wider.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame header");
        wider[frame + 8] = 65;
        for jpeg in [BASELINE, PROGRESSIVE, &wider[..]] {
            assert!(pictures.publish(&mut out, Bytes::copy_from_slice(jpeg), None));
        }
        let mut seen = Vec::new();
        let mut last_ticks = -1;
        for _ in 0..5 {
            match subscriber.next().await.expect("the stream lives") {
                Item::Tracks(tracks) => seen.push(tracks[0].size.expect("known").to_string()),
                Item::Frame(frame) => {
                    assert!(frame.time.ticks() > last_ticks && frame.captured.is_some());
                    last_ticks = frame.time.ticks();
                    seen.push("frame".to_owned());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, ["64x48", "frame", "frame", "65x48", "frame"]);
    }

    #[tokio::test]
    async fn what_is_no_picture_is_counted_and_named() {
        let stream = stream();
        let mut out = stream.publish().expect("nobody else publishes");
        let mut pictures =
            Pictures::new(&SourceOptions { max_frame_bytes: 2000, ..SourceOptions::default() });
        assert!(!pictures.publish(&mut out, Bytes::from_static(b"hello"), None));
        assert_eq!(
            pictures.fault(),
            Some("a damaged picture: byte 0: a picture begins with SOI, FF D8 (T.81 B.2.1)")
        );
        assert!(!pictures.publish(&mut out, Bytes::from(vec![0xFF; 2001]), None));
        assert_eq!(pictures.fault(), Some("a picture has more than 2000 bytes"));
        pictures.drop_picture(&mut out, mjpeg::DropReason::Garbage, 7);
        assert_eq!(stream.stats().garbage_bytes, 7);
        assert_eq!((dropped(&stream, DropReason::Damaged), dropped(&stream, DropReason::TooLarge)), (1, 1));
        assert_eq!(pictures.fault(), Some("bytes that are no picture"));
        assert!(pictures.publish(&mut out, Bytes::from_static(BASELINE), None));
        assert_eq!(pictures.fault(), None);
    }

    #[test]
    fn bytes_behind_the_end_of_a_picture_are_cut() {
        let padded = Bytes::from([BASELINE, b"\r\n\0"].concat());
        assert_eq!(whole_jpeg(&padded).expect("a whole picture"), BASELINE);
        assert!(whole_jpeg(&padded.slice(..100)).is_err());
    }
}
