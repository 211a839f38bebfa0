//! A camera, a worker that is a script, and those who read variants.

use std::time::SystemTime;

use ocelli_hub::{Publisher, Subscriber};
use ocelli_media::{MediaTime, TrackId, Tracks};
use tokio::time::{sleep, timeout};

use super::*;

pub(super) const SCRIPT: &str = include_str!("worker.py");
pub(super) const SOON: Duration = Duration::from_secs(20);
pub(super) const SIZE: Size = Size { width: 1920, height: 1080 };

/// A camera, what fills it, and its pixels.
pub(super) struct Scene {
    pub(super) pixels: Pixels,
    pub(super) publisher: Publisher,
    number: i64,
    _directory: TempDir,
}

impl Scene {
    pub(super) fn new(tracks: Tracks, rules: Rules) -> Self {
        let (path, directory) = program(&good_hello(), SCRIPT);
        Self::with_program(path, directory, tracks, rules)
    }

    pub(super) fn with_program(path: PathBuf, directory: TempDir, tracks: Tracks, rules: Rules) -> Self {
        let camera = camera();
        let mut publisher = camera.publish().unwrap();
        if !tracks.is_empty() {
            publisher.set_tracks(tracks);
        }
        Self {
            pixels: Pixels::with_program(camera, path, rules),
            publisher,
            number: 0,
            _directory: directory,
        }
    }

    pub(super) fn of(codec: Codec) -> Self {
        Self::new(vec![Track::video(codec, Some(SIZE), Vec::new())], Rules::default())
    }

    /// Publishes a picture called `name`.
    pub(super) fn give(&mut self, name: &str, key: bool) {
        let time = MediaTime::new(self.number * 3000, MediaTime::VIDEO_RATE);
        self.number += 1;
        let captured = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(self.number as u64));
        let data = Bytes::from(name.to_owned().into_bytes());
        self.publisher.push(Frame { track: TrackId::VIDEO, time, captured, key, data });
    }

    pub(super) fn shaped(&self, query: &str) -> Result<Shaped, Unshaped> {
        self.pixels.shaped(&shape(query))
    }

    pub(super) fn readers_of_camera(&self) -> usize {
        self.pixels.0.camera.viewers()
    }

    pub(super) async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let waited = timeout(SOON, async {
            while !condition(self) {
                sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "{what}: {:?} {:?}", self.pixels.stats(), self.pixels.variants());
    }
}

pub(super) fn shape(query: &str) -> Shape {
    Shape::parse(query.split('&').filter_map(|pair| pair.split_once('='))).unwrap()
}

/// One who reads a variant.
pub(super) struct Reader {
    pub(super) shaped: Shaped,
    pub(super) subscriber: Subscriber,
    pub(super) tracks: Option<Arc<Tracks>>,
}

impl Reader {
    pub(super) fn new(shaped: Shaped) -> Self {
        let subscriber = shaped.stream().subscribe(Want::All);
        Self { shaped, subscriber, tracks: None }
    }

    pub(super) async fn item(&mut self) -> Item {
        loop {
            match timeout(SOON, self.subscriber.next()).await.expect("in time").unwrap() {
                Item::Tracks(tracks) => self.tracks = Some(tracks),
                item => return item,
            }
        }
    }

    pub(super) async fn frame(&mut self) -> Frame {
        match self.item().await {
            Item::Frame(frame) => frame,
            other => panic!("{other:?}"),
        }
    }

    /// What the next picture says.
    pub(super) async fn text(&mut self) -> String {
        text(&self.frame().await)
    }

    /// What the first picture that is made of one called `name` says.
    pub(super) async fn text_of(&mut self, name: &str) -> String {
        loop {
            let text = self.text().await;
            if text.starts_with(name) {
                return text;
            }
        }
    }
}

pub(super) fn text(frame: &Frame) -> String {
    // Of a unit of H.264, what is behind its length and its kind.
    let data = if frame.data.starts_with(&[0, 0]) { &frame.data[5..] } else { &frame.data };
    let printable = data.iter().filter(|byte| byte.is_ascii_graphic() || **byte == b' ');
    printable.map(|byte| char::from(*byte)).collect()
}
