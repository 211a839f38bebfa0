//! Variants' streams: who gets what, of which picture, and what becomes of them when the worker is lost.

use std::num::{NonZeroU8, NonZeroU32};
use std::time::SystemTime;

use ocelli_hub::{Publisher, Subscriber};
use ocelli_media::{MediaTime, TrackId, Tracks};
use tokio::time::{sleep, timeout};

use super::*;

const SCRIPT: &str = include_str!("worker.py");
const SOON: Duration = Duration::from_secs(20);
const SIZE: Size = Size { width: 1920, height: 1080 };

/// A camera, what fills it, and its pixels.
struct Scene {
    pixels: Pixels,
    publisher: Publisher,
    number: i64,
    _directory: TempDir,
}

impl Scene {
    fn new(tracks: Tracks, rules: Rules) -> Self {
        let (path, directory) = program(&good_hello(), SCRIPT);
        Self::with_program(path, directory, tracks, rules)
    }

    fn with_program(path: PathBuf, directory: TempDir, tracks: Tracks, rules: Rules) -> Self {
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

    fn of(codec: Codec) -> Self {
        Self::new(vec![Track::video(codec, Some(SIZE), Vec::new())], Rules::default())
    }

    /// Publishes a picture called `name`.
    fn give(&mut self, name: &str, key: bool) {
        let time = MediaTime::new(self.number * 3000, MediaTime::VIDEO_RATE);
        self.number += 1;
        let captured = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(self.number as u64));
        let data = Bytes::from(name.to_owned().into_bytes());
        self.publisher.push(Frame { track: TrackId::VIDEO, time, captured, key, data });
    }

    fn shaped(&self, query: &str) -> Result<Shaped, Unshaped> {
        self.pixels.shaped(&shape(query))
    }

    fn readers_of_camera(&self) -> usize {
        self.pixels.0.camera.viewers()
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let waited = timeout(SOON, async {
            while !condition(self) {
                sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "{what}: {:?} {:?}", self.pixels.stats(), self.pixels.variants());
    }
}

fn shape(query: &str) -> Shape {
    Shape::parse(query.split('&').filter_map(|pair| pair.split_once('='))).unwrap()
}

/// One who reads a variant.
struct Reader {
    shaped: Shaped,
    subscriber: Subscriber,
    tracks: Option<Arc<Tracks>>,
}

impl Reader {
    fn new(shaped: Shaped) -> Self {
        let subscriber = shaped.stream().subscribe(Want::All);
        Self { shaped, subscriber, tracks: None }
    }

    async fn item(&mut self) -> Item {
        loop {
            match timeout(SOON, self.subscriber.next()).await.expect("in time").unwrap() {
                Item::Tracks(tracks) => self.tracks = Some(tracks),
                item => return item,
            }
        }
    }

    async fn frame(&mut self) -> Frame {
        match self.item().await {
            Item::Frame(frame) => frame,
            other => panic!("{other:?}"),
        }
    }

    /// What the next picture says.
    async fn text(&mut self) -> String {
        text(&self.frame().await)
    }

    /// What the first picture that is made of one called `name` says.
    async fn text_of(&mut self, name: &str) -> String {
        loop {
            let text = self.text().await;
            if text.starts_with(name) {
                return text;
            }
        }
    }
}

fn text(frame: &Frame) -> String {
    // Of a unit of H.264, what is behind its length and its kind.
    let data = if frame.data.starts_with(&[0, 0]) { &frame.data[5..] } else { &frame.data };
    let printable = data.iter().filter(|byte| byte.is_ascii_graphic() || **byte == b' ');
    printable.map(|byte| char::from(*byte)).collect()
}

#[tokio::test]
async fn each_picture_is_given_once_for_all_who_want_it() {
    let mut scene = Scene::of(Codec::Jpeg);
    let mut small = Reader::new(scene.shaped("width=640").unwrap());
    let mut film = Reader::new(scene.shaped("codec=h264").unwrap());
    let same = scene.shaped("codec=mjpeg&width=640&height=2000").unwrap();
    assert!(Arc::ptr_eq(same.stream(), small.shaped.stream()));
    assert_eq!(scene.pixels.variants().len(), 2);
    scene.give("first", true);
    let frame = small.frame().await;
    assert_eq!(text(&frame), "first codec=0 frames=1 outputs=2 width=640 keyframe=0");
    assert_eq!(film.text().await, "first codec=0 frames=1 outputs=2 width=0 keyframe=0");
    assert_eq!((frame.time.ticks(), frame.key), (0, true));
    assert_eq!(frame.captured, Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1)));
    let track =
        |reader: &Reader| reader.tracks.as_deref().and_then(|tracks| video_track(tracks).cloned()).unwrap();
    assert_eq!((track(&small).codec, track(&film).codec), (Codec::Jpeg, Codec::H264));
    assert_eq!(track(&small).size.unwrap().width, 640);

    drop((small, same));
    scene.until("the variant is no more", |scene| scene.pixels.variants().len() == 1).await;
    film.shaped.stream().ask_keyframe();
    sleep(Duration::from_millis(600)).await;
    scene.give("second", true);
    assert_eq!(film.text().await, "second codec=0 frames=2 outputs=1 width=0 keyframe=1");
    let stats = scene.pixels.variants().remove(0);
    assert_eq!((stats.wanted, stats.stream.frames, stats.viewers), (2, 2, 1));
    assert_eq!(stats.encode, Some(Duration::from_micros(200)));
    assert_eq!(scene.pixels.stats().starts, 1);
}

#[tokio::test]
async fn what_the_camera_gives_already_is_its_own_stream() {
    let mut scene = Scene::of(Codec::Jpeg);
    for query in ["", "codec=mjpeg", "width=1920", "width=3840&height=3000"] {
        let shaped = scene.shaped(query).unwrap();
        assert!(shaped.is_own() && Arc::ptr_eq(shaped.stream(), &scene.pixels.0.camera), "{query}");
    }
    let (shaped, fps) = scene.pixels.shaped_but_for_rate(&shape("fps=10")).unwrap();
    assert!(shaped.is_own() && fps == Fps::new(10.0));
    // For one who does not leave out pictures himself they are left out, and still nothing is decoded.
    let mut thinned = Reader::new(scene.shaped("fps=10").unwrap());
    for number in 0..30 {
        scene.give(&format!("{number}"), true);
        sleep(Duration::from_millis(1)).await;
    }
    for number in (0..30).step_by(3) {
        assert_eq!(thinned.text().await, format!("{number}"));
    }
    assert_eq!(scene.pixels.stats().starts, 0);
    assert_eq!(scene.pixels.variants()[0].path.as_deref(), Some("the camera's own pictures"));
}

#[tokio::test]
async fn a_camera_that_is_not_known_yet_is_decided_about_when_it_begins() {
    for (codec, is_decoded) in [(Codec::Jpeg, false), (Codec::H264, true)] {
        let rules = Rules { encoders: Encoders::new(1), ..Rules::default() };
        let mut scene = Scene::new(Vec::new(), rules.clone());
        let mut reader = Reader::new(scene.shaped("codec=mjpeg").unwrap());
        assert_eq!(rules.encoders.taken(), 0);
        scene.publisher.set_tracks(vec![Track::video(codec, Some(SIZE), Vec::new())]);
        scene.give("first", true);
        let text = reader.text().await;
        assert_eq!(text.contains("frames=1"), is_decoded, "{codec}: {text}");
        assert_eq!(rules.encoders.taken(), usize::from(is_decoded));
    }
}

#[tokio::test]
async fn a_variant_begins_with_the_newest_picture_of_what_is_there() {
    let mut scene = Scene::of(Codec::H264);
    let _before = scene.pixels.0.camera.subscribe(Want::All);
    for number in 0..10 {
        scene.give(&format!("p{number}"), number == 0);
    }
    let mut reader = Reader::new(scene.shaped("codec=mjpeg").unwrap());
    assert_eq!(reader.text().await, "p9 codec=1 frames=10 outputs=1 width=0 keyframe=0");
    scene.give("p10", false);
    assert_eq!(reader.text().await, "p10 codec=1 frames=11 outputs=1 width=0 keyframe=0");
    assert_eq!(scene.pixels.variants()[0].missed.map(|(_, count)| count), [0; 4]);
}

#[tokio::test]
async fn a_worker_that_is_lost_is_back_at_the_next_keyframe_and_nobody_is_sent_away() {
    for (fault, words) in [
        ("crash", "`ocelli-codec` ended with status 3: a doctored picture"),
        ("nonsense", "`ocelli-codec` answered what it should not: a message of 4294967295 bytes"),
        ("lie", "`ocelli-codec` answered what it should not: a picture of a frame that it was not given"),
    ] {
        let mut scene = Scene::of(Codec::H264);
        let mut reader = Reader::new(scene.shaped("codec=mjpeg").unwrap());
        scene.give("key", true);
        assert!(reader.text().await.starts_with("key "));
        scene.give(fault, false);
        scene.until(fault, |scene| scene.pixels.stats().lost == 1).await;
        let away = scene.pixels.stats().away;
        assert!(away.as_deref().is_some_and(|away| away.starts_with(words)), "{fault}: {away:?}");
        timeout(SOON, scene.publisher.keyframe_wanted()).await.expect("it is asked for a keyframe");
        scene.give("delta", false);
        scene.give("again", true);
        assert_eq!(reader.text().await, "again codec=1 frames=1 outputs=1 width=0 keyframe=0");
        let stats = scene.pixels.stats();
        assert_eq!((stats.starts, stats.away), (2, None));
        let missed = scene.pixels.variants()[0].missed;
        assert_eq!(missed.map(|(_, count)| count), [0, 1, 0, 1], "{missed:?}");
    }
}

#[tokio::test]
async fn what_a_damaged_picture_takes_along_is_missed_by_those_who_wanted_it() {
    let rules = Rules { max_latency: SOON, ..Rules::default() };
    let mut scene = Scene::new(vec![Track::video(Codec::H264, Some(SIZE), Vec::new())], rules);
    let mut all = Reader::new(scene.shaped("codec=mjpeg&width=640").unwrap());
    let mut few = Reader::new(scene.shaped("codec=mjpeg&width=320&fps=1").unwrap());
    scene.give("key", true);
    assert!(all.text().await.starts_with("key ") && few.text().await.starts_with("key "));
    for name in ["held", "held", "damaged"] {
        scene.give(name, false);
    }
    scene.give("again", true);
    assert!(all.text().await.starts_with("again "));
    let variants = scene.pixels.variants();
    let mut missed: Vec<_> = variants.iter().map(|stats| stats.missed.map(|(_, count)| count)).collect();
    missed.sort_unstable();
    assert_eq!(missed, [[0; 4], [0, 0, 3, 0]]);
}

#[tokio::test]
async fn a_worker_that_hangs_is_killed_while_other_cameras_miss_nothing() {
    let (mut hanging, mut other) = (Scene::of(Codec::Jpeg), Scene::of(Codec::Jpeg));
    let mut reader = Reader::new(hanging.shaped("width=640").unwrap());
    let mut others = Reader::new(other.shaped("width=640").unwrap());
    hanging.give("hang", true);
    let mut seen = 0;
    while hanging.pixels.stats().lost == 0 {
        other.give("p", true);
        assert!(others.text().await.starts_with("p "));
        seen += 1;
        sleep(Duration::from_millis(10)).await;
    }
    assert!(seen > 50, "{seen}");
    let words = "`ocelli-codec` did not answer within 3 s and was killed";
    assert_eq!(hanging.pixels.stats().away.as_deref(), Some(words));
    hanging.give("again", true);
    assert!(reader.text_of("again").await.contains("frames=1"));
}

#[tokio::test]
async fn pictures_are_few_rather_than_old() {
    let mut scene = Scene::of(Codec::Jpeg);
    let mut reader = Reader::new(scene.shaped("width=640").unwrap());
    scene.give("late", true);
    reader.text().await;
    // A tenth of a second each, and thirty of them in one.
    for number in 0..30 {
        scene.give(&format!("late {number}"), true);
        sleep(Duration::from_millis(33)).await;
    }
    scene.give("late end", true);
    reader.text_of("late end").await;
    let stats = scene.pixels.variants().remove(0);
    let late = stats.missed[Missed::Late as usize].1;
    assert_eq!(stats.stream.frames + late, 32);
    assert!((15..=28).contains(&late), "{late}");
}

#[tokio::test]
async fn places_are_limited_and_given_back() {
    let rules = Rules { encoders: Encoders::new(3), per_camera: 2, ..Rules::default() };
    let track = || vec![Track::video(Codec::Jpeg, Some(SIZE), Vec::new())];
    let (one, other) = (Scene::new(track(), rules.clone()), Scene::new(track(), rules.clone()));
    let kept = [one.shaped("width=640").unwrap(), one.shaped("width=320").unwrap()];
    let error = one.shaped("width=160").unwrap_err();
    assert_eq!(error, Unshaped::TooMany { limit: "variants_per_camera", most: 2 });
    assert_eq!(error.to_string(), "all 2 places of `variants_per_camera` in `[limits]` are taken");
    assert!(one.shaped("width=640").is_ok(), "one that is there already takes none");
    let third = other.shaped("width=640").unwrap();
    assert_eq!(other.shaped("width=320").unwrap_err(), Unshaped::TooMany { limit: "encoders", most: 3 });
    assert!(other.shaped("fps=10").is_ok() && other.shaped("codec=mjpeg").is_ok(), "these need no encoder");
    drop(kept);
    assert!(other.shaped("width=320").is_ok() && one.shaped("width=160").is_ok());
    drop(third);
    assert_eq!(rules.encoders.taken(), 0);
    let error = one.shaped("codec=h265").unwrap_err();
    assert_eq!(error.to_string(), "there is no `codec=h265`: nothing here encodes that");
    assert_eq!(rules.encoders.taken(), 0);
}

#[tokio::test]
async fn what_finds_no_place_is_made_for_who_holds_it_when_there_is_one() {
    let rules = Rules { encoders: Encoders::new(1), ..Rules::default() };
    let track = |codec| vec![Track::video(codec, Some(SIZE), Vec::new())];
    let one = Scene::new(track(Codec::Jpeg), rules.clone());
    let mut other = Scene::new(Vec::new(), rules.clone());
    let kept = one.shaped("width=640").unwrap();
    let mut reader = Reader::new(other.shaped("codec=mjpeg").unwrap());
    other.publisher.set_tracks(track(Codec::H264));
    other.give("first", true);
    assert!(timeout(SOON, reader.subscriber.next()).await.expect("in time").is_err(), "it is sent away");
    let note = other.pixels.variants()[0].note.clone();
    assert_eq!(note.as_deref(), Some("all 1 places of `encoders` in `[limits]` are taken"));
    reader.subscriber = reader.shaped.stream().subscribe(Want::All);
    drop(kept);
    other.until("it is tried again", |other| other.pixels.variants()[0].note.is_none()).await;
    other.give("second", true);
    assert!(reader.text_of("second").await.contains("codec=1"));
    assert_eq!(rules.encoders.taken(), 1);
}

#[tokio::test]
async fn a_thousand_joins_and_leaves_leave_nothing_behind() {
    let rules = Rules { encoders: Encoders::new(4), per_camera: 4, ..Rules::default() };
    let mut scene = Scene::new(vec![Track::video(Codec::H264, Some(SIZE), Vec::new())], rules.clone());
    let shapes = ["codec=mjpeg", "codec=mjpeg&width=640", "codec=mjpeg&fps=5", "width=320", "rotate=90"];
    let mut random = fastrand::Rng::with_seed(7);
    let (mut present, mut refused): (Vec<Reader>, u32) = (Vec::new(), 0);
    for round in 0..1000 {
        if round % 10 == 0 {
            scene.give(&format!("{round}"), round % 50 == 0);
        }
        if random.bool() && present.len() < 20 {
            match scene.shaped(shapes[random.usize(..shapes.len())]) {
                Ok(shaped) => present.push(Reader::new(shaped)),
                Err(Unshaped::TooMany { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        } else if !present.is_empty() {
            present.swap_remove(random.usize(..present.len()));
        }
        if random.u8(..) < 40 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    assert!(refused > 0);
    drop(present);
    assert_eq!((rules.encoders.taken(), scene.pixels.variants().len()), (0, 0));
    scene.until("the camera is left", |scene| scene.readers_of_camera() == 0).await;
    assert_eq!(scene.pixels.stats().lost, 0);
    let mut reader = Reader::new(scene.shaped("width=640").unwrap());
    scene.give("after", true);
    assert!(reader.text_of("after").await.contains("outputs=1 "));
}

#[tokio::test]
async fn sound_goes_with_the_pictures() {
    let rate = NonZeroU32::new(48_000).unwrap();
    let sound = Track::audio(Codec::Opus, rate, NonZeroU8::MIN, Bytes::new());
    let mut scene =
        Scene::new(vec![Track::video(Codec::Jpeg, Some(SIZE), Vec::new()), sound], Rules::default());
    let mut reader = Reader::new(scene.shaped("codec=h264").unwrap());
    scene.give("one", true);
    assert!(reader.text().await.starts_with("one "));
    assert_eq!(reader.tracks.as_ref().unwrap().len(), 2);
    let time = MediaTime::new(7, rate);
    let packet = Frame { track: TrackId::AUDIO, time, captured: None, key: false, data: JPEG };
    scene.publisher.push(packet);
    let frame = reader.frame().await;
    assert_eq!((frame.track, frame.time, frame.data), (TrackId::AUDIO, time, JPEG));
}

#[tokio::test]
async fn a_camera_may_change_its_codec() {
    let mut scene = Scene::of(Codec::Jpeg);
    let mut reader = Reader::new(scene.shaped("codec=mjpeg&width=640").unwrap());
    scene.give("jpeg", true);
    assert_eq!(reader.text().await, "jpeg codec=0 frames=1 outputs=1 width=640 keyframe=0");
    scene.publisher.set_tracks(vec![Track::video(Codec::H265, Some(SIZE), Vec::new())]);
    scene.give("h265", true);
    assert_eq!(reader.text().await, "h265 codec=2 frames=2 outputs=1 width=640 keyframe=0");
    let small = Some(Size { width: 640, height: 360 });
    scene.publisher.set_tracks(vec![Track::video(Codec::Jpeg, small, Vec::new())]);
    scene.give("small", true);
    assert_eq!(reader.text().await, "small", "which is what was asked, as it is");
}

#[tokio::test]
async fn a_variant_that_needs_no_encoder_any_more_leaves_its_place_and_the_worker() {
    let rules = Rules { encoders: Encoders::new(2), ..Rules::default() };
    let track = |size| vec![Track::video(Codec::Jpeg, Some(size), Vec::new())];
    let mut scene = Scene::new(track(SIZE), rules.clone());
    let mut wide = Reader::new(scene.shaped("width=640").unwrap());
    let mut small = Reader::new(scene.shaped("width=320").unwrap());
    scene.give("large", true);
    assert!(wide.text().await.contains("outputs=2") && small.text().await.contains("outputs=2"));
    scene.publisher.set_tracks(track(Size { width: 640, height: 360 }));
    scene.give("less", true);
    assert_eq!(wide.text().await, "less", "which is what was asked, as it is");
    assert_eq!(small.text().await, "less codec=0 frames=2 outputs=1 width=320 keyframe=0");
    assert_eq!(rules.encoders.taken(), 1);
}

#[tokio::test]
async fn viewers_are_told_why_there_are_no_pictures() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join(PROGRAM);
    let tracks = vec![Track::video(Codec::H264, Some(SIZE), Vec::new())];
    let mut scene = Scene::with_program(missing, directory, tracks, Rules::default());
    let mut reader = Reader::new(scene.shaped("codec=mjpeg&width=320").unwrap());
    scene.give("key", true);
    let Item::Notice(frame) = reader.item().await else { panic!("a notice is expected") };
    let header = turbojpeg::read_header(&frame.data).unwrap();
    assert_eq!((header.width, header.height), (320, 180));
    let Err(Unshaped::Impossible(words)) = scene.shaped("width=160") else { panic!("there is none") };
    assert!(words.contains("is missing: install it beside `ocelli`"), "{words}");
    scene.give("delta", false);
    assert!(matches!(reader.item().await, Item::Notice(_)));
    assert!(!scene.publisher.is_keyframe_wanted(), "it would be for nobody");
}

#[tokio::test]
async fn what_the_worker_does_not_decode_is_refused_in_words() {
    let able = Able::new(&[Input::Jpeg], &ocelli_codec::worker::protocol::Coding::ALL);
    let (path, directory) = program(&Hello::new(able, "not at all").write(), SCRIPT);
    let rules = Rules { encoders: Encoders::new(1), ..Rules::default() };
    let tracks = vec![Track::video(Codec::H265, Some(SIZE), Vec::new())];
    let mut scene = Scene::with_program(path, directory, tracks, rules.clone());
    let mut reader = Reader::new(scene.shaped("codec=mjpeg&width=320").unwrap());
    scene.give("key", true);
    let ended = timeout(SOON, reader.subscriber.next()).await.expect("in time");
    assert!(ended.is_err(), "{ended:?}");
    let words = "`ocelli-codec` was built without a decoder of H.265";
    assert_eq!(scene.pixels.variants()[0].note.as_deref(), Some(words));
    drop(reader);
    let Err(Unshaped::Impossible(refusal)) = scene.shaped("codec=mjpeg") else { panic!("there is none") };
    assert!(refusal.ends_with(words), "{refusal}");
    assert_eq!(rules.encoders.taken(), 0);
}

#[tokio::test]
async fn a_still_is_made_once_for_all_who_ask() {
    let mut scene = Scene::of(Codec::H264);
    scene.give("key", true);
    scene.give("delta", false);
    let ask = |query: &str| {
        let (pixels, shape) = (scene.pixels.clone(), shape(query));
        tokio::spawn(async move { pixels.still(&shape).await.map(|still| text(&still.frame)) })
    };
    let asked: Vec<_> = (0..50).map(|_| ask("")).collect();
    for asked in asked {
        assert_eq!(asked.await.unwrap().as_deref(), Ok("still 1"));
    }
    assert_eq!(ask("width=640").await.unwrap().as_deref(), Ok("still 2"));
    assert_eq!(ask("").await.unwrap().as_deref(), Ok("still 1"));
    scene.give("newer", true);
    assert_eq!(
        scene.pixels.still(&shape("")).await.map(|still| text(&still.frame)).as_deref(),
        Ok("still 3")
    );
    let mut webcam = Scene::of(Codec::Jpeg);
    webcam.give("own", true);
    assert_eq!(text(&webcam.pixels.still(&shape("codec=mjpeg")).await.unwrap().frame), "own");
    assert_eq!(webcam.pixels.stats().starts, 0);
}
