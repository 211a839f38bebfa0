//! The picture that viewers of a lost camera see, in the camera's size. That is what the camera's own bytes say, which may be
//! anything up to 65535x65535: one that would take too much memory to draw is halved until it does not.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ocelli_codec::notice::{self, Notice};
use ocelli_hub::Lost;
use ocelli_media::{Frame, MediaTime, Size, Track, TrackId, Tracks};

/// Size of the notice of a camera that never gave a picture.
const DEFAULT_SIZE: Size = Size { width: 640, height: 480 };
/// Largest notice, in pixels: three bytes of memory each.
const MOST_PIXELS: u32 = 4096 * 4096;
/// Flat colours and text: more quality shows nothing more.
const QUALITY: u8 = 75;

/// Draws the notice of `lost`, as a JPEG in the camera's size or, where that is excessive, one of its shape.
pub(crate) fn draw(lost: &Lost) -> Option<(Frame, Tracks)> {
    let size = bounded(lost.size.unwrap_or(DEFAULT_SIZE));
    let local = |time: std::time::SystemTime| {
        let time = Timestamp::try_from(time).unwrap_or_default();
        time.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string()
    };
    let retry = match lost.retry_in {
        Some(wait) => Some(format!("Trying again at {}", local(lost.now + wait))),
        None if lost.waits => None,
        None => Some("Trying again now".to_owned()),
    };
    let now = local(lost.now);
    let notice = Notice { title: &lost.camera, cause: &lost.cause, retry: retry.as_deref(), time: &now };
    let data = match notice::picture(size, &notice, QUALITY) {
        Ok(data) => data,
        Err(error) => {
            tracing::error!(camera = lost.camera, "the notice could not be drawn: {error}");
            return None;
        }
    };
    let since = lost.now.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = MediaTime::video(since);
    let frame = Frame { track: TrackId::VIDEO, time, captured: Some(lost.now), key: true, data };
    Some((frame, vec![Track::jpeg(Some(size))]))
}

fn bounded(mut size: Size) -> Size {
    while u32::from(size.width) * u32::from(size.height) > MOST_PIXELS {
        size = Size { width: size.width / 2, height: size.height / 2 };
    }
    size
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_notice_has_the_cameras_size_or_a_usual_one() {
        let mut lost = Lost {
            camera: "front".into(),
            cause: "it broke".into(),
            retry_in: Some(Duration::from_secs(2)),
            waits: false,
            size: Some(Size { width: 320, height: 240 }),
            now: SystemTime::now(),
        };
        let (frame, tracks) = draw(&lost).unwrap();
        assert!(frame.data.starts_with(&[0xFF, 0xD8]) && frame.data.ends_with(&[0xFF, 0xD9]));
        assert_eq!(tracks[0].size, lost.size);
        lost.size = None;
        assert_eq!(draw(&lost).unwrap().1[0].size, Some(DEFAULT_SIZE));
    }

    #[test]
    fn a_notice_has_a_size_that_can_be_drawn() {
        let bounded = |width, height| bounded(Size { width, height }).to_string();
        assert_eq!(bounded(4096, 4096), "4096x4096");
        assert_eq!(bounded(65_535, 65_535), "4095x4095");
        assert_eq!(bounded(7680, 4320), "3840x2160");
        assert_eq!((bounded(65_535, 1), bounded(1, 65_535)), ("65535x1".to_owned(), "1x65535".to_owned()));
    }
}
