//! What every source of JPEGs does with one: announces its size, stamps it, publishes it, counts it if it is damaged.

use std::time::SystemTime;

use bytes::Bytes;
use ocelli_hub::{DropReason, Publisher};
use ocelli_media::jpeg::{Header, JpegError, Walker};
use ocelli_media::{Frame, MediaTime, Size, Track, TrackId, mjpeg};
use tokio::time::Instant;

use super::SourceOptions;

/// Publishes the JPEGs of one run of a source. Make a new one for each run.
#[derive(Debug)]
pub struct Pictures {
    max_frame_bytes: usize,
    origin: Instant,
    last_time: Option<MediaTime>,
    size: Option<Size>,
    fault: Option<String>,
}

impl Pictures {
    /// Media time begins now.
    pub fn new(options: &SourceOptions) -> Self {
        Self {
            max_frame_bytes: options.max_frame_bytes,
            origin: Instant::now(),
            last_time: None,
            size: None,
            fault: None,
        }
    }

    /// Publishes `jpeg`, which must reach from SOI to EOI as a framer gives it, and whether it did: one whose headers
    /// make no sense or that is too long is counted as dropped instead. `captured` is when the camera took it, if the
    /// camera says so; else it counts as taken now.
    pub fn publish(&mut self, out: &mut Publisher, jpeg: Bytes, captured: Option<SystemTime>) -> bool {
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
        if self.size != Some(header.size) {
            let (size, coding, colour) = (header.size, header.process, header.chroma());
            tracing::debug!(camera = %out.name(), %size, %coding, %colour, "pictures");
            self.size = Some(size);
            out.set_tracks(vec![Track::jpeg(Some(size))]);
        }
        let captured = Some(captured.unwrap_or_else(SystemTime::now));
        let time = self.time();
        out.push(Frame { track: TrackId::VIDEO, time, captured, key: true, data: jpeg });
        // What was wrong hours ago is not why the source ends now.
        self.fault = None;
        true
    }

    /// Counts what a framer dropped: a picture as one, garbage between pictures, which is no lost picture, by its bytes.
    pub fn drop_picture(&mut self, out: &mut Publisher, reason: mjpeg::DropReason, bytes: u64) {
        match reason {
            mjpeg::DropReason::TooLarge => out.dropped(1, DropReason::TooLarge),
            mjpeg::DropReason::Damaged(_) => out.dropped(1, DropReason::Damaged),
            mjpeg::DropReason::Garbage => out.garbage(bytes),
        }
        self.fault = Some(match reason {
            mjpeg::DropReason::TooLarge => format!("a picture has more than {} bytes", self.max_frame_bytes),
            other => other.to_string(),
        });
    }

    /// The size of the pictures; `None` before the first.
    pub fn size(&self) -> Option<Size> {
        self.size
    }

    /// What was wrong with the last thing that became no picture, if no picture came since: for the cause that a source
    /// gives when it ends.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Now, on the track's clock; never the same twice.
    fn time(&mut self) -> MediaTime {
        let now = MediaTime::video(self.origin.elapsed());
        let time = match self.last_time {
            Some(last) if now.ticks() <= last.ticks() => MediaTime::new(last.ticks() + 1, now.rate()),
            _ => now,
        };
        self.last_time = Some(time);
        time
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
