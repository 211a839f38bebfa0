//! `pattern:` — the moving test picture, for trying things out with no camera.
//!
//! Pictures are painted and encoded on the blocking pool, one at a time: 1 ms each at 1280x720. A machine that cannot
//! keep up skips the times it missed, and counts them as late; pictures are never queued here.

use std::time::{Duration, SystemTime};

use ocelli_codec::pattern::Pattern;
use ocelli_codec::{EncodeError, Encoder};
use ocelli_hub::{BoxFuture, DropReason, Publisher, Source, SourceError};
use ocelli_media::{Frame, MediaTime, Size, Track, TrackId};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{SourceKind, SourceOptions, SourceUrl, SpecError};

/// The kind's line in the registry.
pub(super) const KIND: SourceKind = SourceKind {
    scheme: "pattern",
    about: "a moving test picture with the time of day: pattern:?width=1280&height=720&fps=30&quality=80",
    build,
};

fn build(url: &SourceUrl, options: &SourceOptions) -> Result<Box<dyn Source>, SpecError> {
    url.only(&["width", "height", "fps", "quality"])?;
    let rest = url.rest().trim_start_matches('/');
    if !rest.is_empty() {
        return Err(SpecError::new(format!("`pattern:` takes parameters only, found `{rest}`")));
    }
    Ok(Box::new(PatternSource {
        size: Size {
            width: url.number("width", 16..=7680_u16)?.unwrap_or(1280),
            height: url.number("height", 16..=4320_u16)?.unwrap_or(720),
        },
        fps: url.number("fps", 1..=240_u16)?.unwrap_or(30),
        quality: url.number("quality", 1..=100_u8)?.unwrap_or(options.quality),
    }))
}

struct PatternSource {
    size: Size,
    fps: u16,
    quality: u8,
}

impl Source for PatternSource {
    fn run<'a>(&'a mut self, out: &'a mut Publisher) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            let mut painter =
                Painter::new(self.size, self.quality).map_err(|e| SourceError::refused(e.to_string()))?;
            out.set_tracks(vec![Track::jpeg(Some(self.size))]);
            let period = Duration::from_secs(1) / u32::from(self.fps);
            let start = Instant::now();
            let mut due = interval(period);
            due.set_missed_tick_behavior(MissedTickBehavior::Skip);
            // Times at which a picture was due: the first is now.
            let mut expected = 0;
            loop {
                let due_at = due.tick().await - start;
                let number = (due_at.as_secs_f64() / period.as_secs_f64()).round() as u64;
                if number > expected {
                    out.dropped(number - expected, DropReason::Late);
                }
                expected = number + 1;
                let time = MediaTime::video(due_at);
                let painted = tokio::task::spawn_blocking(move || {
                    let frame = painter.paint(SystemTime::now(), number, time);
                    (painter, frame)
                });
                let (back, frame) = painted
                    .await
                    .map_err(|_| SourceError::lost("the painter of the test picture stopped"))?;
                painter = back;
                out.push(frame.map_err(|e| SourceError::lost(e.to_string()))?);
            }
        })
    }
}

struct Painter {
    pattern: Pattern,
    encoder: Encoder,
}

impl Painter {
    fn new(size: Size, quality: u8) -> Result<Self, EncodeError> {
        Ok(Self { pattern: Pattern::new(size), encoder: Encoder::new(quality)? })
    }

    fn paint(&mut self, now: SystemTime, number: u64, time: MediaTime) -> Result<Frame, EncodeError> {
        let data = self.encoder.encode_canvas(self.pattern.paint(now, number))?;
        Ok(Frame { track: TrackId::VIDEO, time, captured: Some(now), key: true, data })
    }
}

#[cfg(test)]
mod tests {
    use ocelli_hub::{Item, Want};

    use super::*;
    use crate::sources::build;
    use crate::sources::pictures::tests::stream;

    #[test]
    fn parameters_have_names_and_ranges() {
        let options = SourceOptions::default();
        let error = |text| build(text, &options).err().unwrap().to_string();
        assert!(build("pattern:", &options).is_ok());
        assert!(build("pattern://?width=640&height=480&fps=5&quality=50", &options).is_ok());
        assert!(error("pattern:?width=8").contains("16 to 7680"));
        assert!(error("pattern:?quality=0").contains("1 to 100"));
        assert!(error("pattern:?hieght=9").contains("did you mean `height`"));
        assert!(error("pattern:bars").contains("found `bars`"));
    }

    #[tokio::test]
    async fn pictures_come_at_once_and_at_their_rate() {
        let stream = stream();
        let mut subscriber = stream.subscribe(Want::All);
        let mut source = build("pattern:?width=160&height=120&fps=50", &SourceOptions::default()).unwrap();
        let publisher = stream.clone();
        let running = tokio::spawn(async move {
            let mut out = publisher.publish().unwrap();
            source.run(&mut out).await
        });
        let mut times = Vec::new();
        while times.len() < 4 {
            match subscriber.next().await.unwrap() {
                Item::Tracks(tracks) => {
                    assert_eq!(tracks[0].size, Some(Size { width: 160, height: 120 }));
                    assert!(times.is_empty());
                }
                Item::Frame(frame) => times.push(frame.time.ticks()),
                other => panic!("{other:?}"),
            }
        }
        // Pictures lie on a grid of 1800 ticks, even where some were skipped.
        assert!(times.windows(2).all(|pair| pair[1] > pair[0]));
        assert!(times.iter().all(|ticks| (ticks - times[0] + 90) % 1800 < 180), "{times:?}");
        running.abort();
    }

    #[test]
    fn a_picture_is_a_whole_jpeg_of_the_time_it_shows() {
        let mut painter = Painter::new(Size { width: 1280, height: 720 }, 80).unwrap();
        let now = SystemTime::now();
        let frame = painter.paint(now, 0, MediaTime::video(Duration::ZERO)).unwrap();
        assert!(frame.data.starts_with(&[0xff, 0xd8]) && frame.data.ends_with(&[0xff, 0xd9]));
        assert_eq!(frame.captured, Some(now));
    }
}
