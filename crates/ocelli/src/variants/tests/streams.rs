//! Variants' streams: who gets what, of which picture, and for how many there is a place.

use std::num::{NonZeroU8, NonZeroU32};
use std::time::SystemTime;

use ocelli_media::{MediaTime, TrackId};
use tokio::time::{sleep, timeout};

use super::scene::*;
use super::*;

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
    assert!(late > 0 && stats.stream.frames > 1, "{late}");
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
    assert_eq!(error.to_string(), "there is no `codec=h265`: nothing here encodes h265");
    assert_eq!(rules.encoders.taken(), 0);
}

#[tokio::test]
async fn what_finds_no_place_has_ended_and_another_is_made_when_there_is_one() {
    let rules = Rules { encoders: Encoders::new(1), ..Rules::default() };
    let track = |codec| vec![Track::video(codec, Some(SIZE), Vec::new())];
    let one = Scene::new(track(Codec::Jpeg), rules.clone());
    let mut other = Scene::new(Vec::new(), rules.clone());
    let kept = one.shaped("width=640").unwrap();
    let mut reader = Reader::new(other.shaped("codec=mjpeg").unwrap());
    other.publisher.set_tracks(track(Codec::H264));
    other.give("first", true);
    assert!(timeout(SOON, reader.subscriber.next()).await.expect("in time").is_err(), "it is sent away");
    let words = "all 1 places of `encoders` in `[limits]` are taken";
    assert_eq!(other.pixels.variants()[0].note.as_deref(), Some(words));
    assert!(reader.shaped.has_ended() && reader.shaped.trouble().as_deref() == Some(words));
    assert_eq!(other.shaped("codec=mjpeg").unwrap_err().to_string(), words);
    drop(kept);
    let mut another = Reader::new(other.shaped("codec=mjpeg").unwrap());
    other.give("second", true);
    assert!(another.text_of("second").await.contains("codec=1"));
    assert_eq!(rules.encoders.taken(), 1);
}

#[tokio::test]
async fn who_asked_before_the_camera_was_known_shares_with_who_asks_later() {
    let mut scene = Scene::new(Vec::new(), Rules::default());
    let mut before = Reader::new(scene.shaped("codec=mjpeg&width=640").unwrap());
    scene.publisher.set_tracks(vec![Track::video(Codec::H264, Some(SIZE), Vec::new())]);
    scene.give("key", true);
    assert!(before.text().await.starts_with("key "));
    let later = scene.shaped("codec=mjpeg&width=640&height=2000").unwrap();
    assert!(Arc::ptr_eq(later.stream(), before.shaped.stream()));
    assert_eq!(scene.pixels.variants().len(), 1);
}

#[tokio::test]
async fn who_watches_is_told_that_no_picture_can_be_decoded() {
    let mut scene = Scene::of(Codec::Jpeg);
    let mut reader = Reader::new(scene.shaped("codec=mjpeg&width=640").unwrap());
    let film = scene.shaped("codec=h264").unwrap();
    let words = "no picture can be decoded: larger than anything";
    let deadline = Instant::now() + SOON;
    while film.trouble().as_deref() != Some(words) {
        assert!(Instant::now() < deadline, "{:?}", scene.pixels.variants());
        scene.give("refused", true);
        sleep(Duration::from_millis(50)).await;
    }
    assert!(scene.pixels.variants().iter().all(|variant| variant.note.as_deref() == Some(words)));
    assert!(matches!(reader.item().await, Item::Notice(_)));
    assert_eq!(reader.shaped.begun(deadline).await, Ok(()), "he sees a notice");
    assert_eq!(film.begun(deadline).await, Err(Unshaped::NotNow(words.to_owned())));
    scene.give("good", true);
    let frame = loop {
        if let Item::Frame(frame) = reader.item().await {
            break frame;
        }
    };
    assert!(text(&frame).starts_with("good "));
    scene
        .until("all is well", |scene| scene.pixels.variants().iter().all(|variant| variant.note.is_none()))
        .await;
}

#[tokio::test]
async fn what_is_larger_than_any_picture_may_be_is_refused() {
    let track = Track::video(Codec::Jpeg, Some(Size { width: 8000, height: 6000 }), Vec::new());
    let scene = Scene::new(vec![track], Rules::default());
    let error = scene.shaped("codec=rgb24").unwrap_err();
    let words =
        "there is no `codec=rgb24`: a picture of 8000x6000 takes more than 64 MiB: ask for a smaller one";
    assert_eq!(error, Unshaped::Impossible(words.to_owned()));
    assert!(scene.shaped("codec=rgb24&width=4000").is_ok());
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
