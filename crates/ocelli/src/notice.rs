//! The picture that viewers of a lost camera see.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ocelli_codec::notice::{self, Notice};
use ocelli_hub::Lost;
use ocelli_media::{Frame, MediaTime, Size, Track, TrackId, Tracks};

/// Size of the notice of a camera that never gave a picture.
const DEFAULT_SIZE: Size = Size { width: 640, height: 480 };
/// Flat colours and text: more quality shows nothing more.
const QUALITY: u8 = 75;

/// Draws the notice of `lost`, as a JPEG in the camera's size.
pub(crate) fn draw(lost: &Lost) -> Option<(Frame, Tracks)> {
    let size = lost.size.unwrap_or(DEFAULT_SIZE);
    let local = |time: std::time::SystemTime| {
        let time = Timestamp::try_from(time).unwrap_or_default();
        time.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string()
    };
    let retry = match lost.retry_in {
        Some(wait) => format!("Trying again at {}", local(lost.now + wait)),
        None => "Trying again now".to_owned(),
    };
    let now = local(lost.now);
    let notice = Notice { title: &lost.camera, cause: &lost.cause, retry: Some(&retry), time: &now };
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
            size: Some(Size { width: 320, height: 240 }),
            now: SystemTime::now(),
        };
        let (frame, tracks) = draw(&lost).unwrap();
        assert!(frame.data.starts_with(&[0xFF, 0xD8]) && frame.data.ends_with(&[0xFF, 0xD9]));
        assert_eq!(tracks[0].size, lost.size);
        lost.size = None;
        assert_eq!(draw(&lost).unwrap().1[0].size, Some(DEFAULT_SIZE));
    }
}
