//! What becomes of variants when the worker is lost, or cannot do what is asked, or a picture is damaged.

use std::sync::atomic::AtomicBool;

use tokio::time::{sleep, timeout};

use super::scene::*;
use super::*;

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
async fn what_a_lost_worker_takes_along_is_missed_by_those_who_wanted_it() {
    let rules = Rules { max_latency: SOON, ..Rules::default() };
    let mut scene = Scene::new(vec![Track::video(Codec::H264, Some(SIZE), Vec::new())], rules);
    let mut all = Reader::new(scene.shaped("codec=mjpeg&width=640").unwrap());
    let mut few = Reader::new(scene.shaped("codec=mjpeg&width=320&fps=1").unwrap());
    scene.give("key", true);
    assert!(all.text().await.starts_with("key ") && few.text().await.starts_with("key "));
    // Three are with the worker then, and the others wait.
    for name in ["crash", "1", "2", "3", "4", "5", "6", "7"] {
        scene.give(name, false);
    }
    scene.until("it is lost", |scene| scene.pixels.stats().lost == 1).await;
    let variants = scene.pixels.variants();
    let mut missed: Vec<_> = variants.iter().map(|stats| stats.missed.map(|(_, count)| count)).collect();
    missed.sort_unstable();
    assert_eq!(missed, [[0; 4], [0, 0, 0, 8]]);
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
    assert!(seen > 5, "{seen}");
    let words = "`ocelli-codec` did not answer within 3 s and was killed";
    assert_eq!(hanging.pixels.stats().away.as_deref(), Some(words));
    hanging.give("again", true);
    assert!(reader.text_of("again").await.contains("frames=1"));
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
    let words = "`ocelli-codec` was built without a decoder of H.265, and FFmpeg is not used (`enabled` of `[ffmpeg]`)";
    assert_eq!(scene.pixels.variants()[0].note.as_deref(), Some(words));
    drop(reader);
    let Err(Unshaped::Impossible(refusal)) = scene.shaped("codec=mjpeg") else { panic!("there is none") };
    assert!(refusal.ends_with(words), "{refusal}");
    assert_eq!(rules.encoders.taken(), 0);
}

/// Panics where the task of a camera's pixels first says something.
#[derive(Default)]
struct Faulty(AtomicBool);

impl tracing::Subscriber for Faulty {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let is_task = event.metadata().target().ends_with("::variants::task");
        assert!(!is_task || self.0.swap(true, Ordering::Relaxed), "a fault that the test has made");
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn a_fault_of_the_task_ends_its_variants_in_words_and_what_is_held_begins_again() {
    // Of this thread, on which all that the test starts runs.
    let _faulty = tracing::subscriber::set_default(Faulty::default());
    let mut scene = Scene::of(Codec::H264);
    let mut reader = Reader::new(scene.shaped("codec=mjpeg").unwrap());
    let (pixels, asked) = (scene.pixels.clone(), shape("width=640"));
    scene.give("key", true);
    // The worker says hello, and the task says so.
    let still = tokio::spawn(async move { pixels.still(&asked).await.map(|still| text(&still.frame)) });
    let ended = timeout(SOON, reader.subscriber.next()).await.expect("in time");
    assert!(ended.is_err(), "{ended:?}");
    let words = "a fault of the server itself ended this, which its log shows";
    assert_eq!(still.await.unwrap(), Err(Failure::Lost(words.into())));
    assert_eq!(scene.pixels.variants()[0].note.as_deref(), Some(words));
    // As a push holds it.
    let mut again = Reader::new(reader.shaped);
    scene.until("it reads the camera again", |scene| scene.readers_of_camera() == 1).await;
    scene.give("again", true);
    assert_eq!(again.text_of("again").await, "again codec=1 frames=2 outputs=1 width=0 keyframe=0");
}
