//! A camera's whole life in simulated time: the exact items that a viewer sees.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use ocelli_media::{MediaTime, Track, TrackId};

use super::*;
use crate::ring::{Bounds, Closed, Want};
use crate::source::BoxFuture;
use crate::stream::Item;

/// One run of a scripted camera.
enum Run {
    /// This many pictures, then the error.
    Fails(u8, &'static str),
    /// One picture, and the error right behind it.
    Flashes(&'static str),
    /// This many pictures, then silence for ever.
    Hangs(u8),
    /// Silence for this long, then pictures for ever.
    Waits(Duration),
    /// One picture, then sound for ever.
    Sounds,
    /// Waits to be called for so long, then one picture and the error.
    IsCalled(Duration, &'static str),
}

struct Scripted {
    runs: VecDeque<Run>,
    dropped: Arc<Mutex<u32>>,
}

/// Counts how often a run was given up from outside.
struct CountDrop(Arc<Mutex<u32>>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        *self.0.lock().unwrap() += 1;
    }
}

impl Source for Scripted {
    fn run<'a>(&'a mut self, out: &'a mut Publisher) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            let (pictures, error) = match self.runs.pop_front() {
                Some(Run::Fails(pictures, error)) => (pictures, Some(error)),
                Some(Run::Flashes(error)) => {
                    out.set_tracks(vec![Track::jpeg(None)]);
                    out.push(frame(b"picture"));
                    return Err(SourceError::lost(error));
                }
                Some(Run::Waits(silence)) => {
                    tokio::time::sleep(silence).await;
                    out.set_tracks(vec![Track::jpeg(None)]);
                    loop {
                        out.push(frame(b"picture"));
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                Some(Run::IsCalled(after, error)) => {
                    out.waits("waits for a call");
                    tokio::time::sleep(after).await;
                    out.set_tracks(vec![Track::jpeg(None)]);
                    out.push(frame(b"picture"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    return Err(SourceError::silent(error));
                }
                Some(Run::Sounds) => {
                    out.set_tracks(vec![Track::jpeg(None)]);
                    out.push(frame(b"picture"));
                    loop {
                        out.push(Frame { track: TrackId::AUDIO, key: false, ..frame(b"sound") });
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                Some(Run::Hangs(pictures)) => (pictures, None),
                None => return Err(SourceError::refused("the script is over")),
            };
            let _count = error.is_none().then(|| CountDrop(self.dropped.clone()));
            out.set_tracks(vec![Track::jpeg(None)]);
            for _ in 0..pictures {
                out.push(frame(b"picture"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            match error {
                Some(error) => Err(SourceError::lost(error)),
                None => std::future::pending().await,
            }
        })
    }
}

fn frame(data: &'static [u8]) -> Frame {
    let time = MediaTime::new(0, MediaTime::VIDEO_RATE);
    Frame { track: TrackId::VIDEO, time, captured: None, key: true, data: Bytes::from_static(data) }
}

fn camera(runs: impl Into<VecDeque<Run>>, policy: Policy, on_lost: OnLost) -> (Camera, Arc<Mutex<u32>>) {
    let stream = Stream::new("cam".parse().unwrap(), Bounds { pieces: 64, bytes: 1 << 20 });
    let dropped = Arc::new(Mutex::new(0));
    let source = Box::new(Scripted { runs: runs.into(), dropped: dropped.clone() });
    let draw = Arc::new(|lost: &Lost| {
        assert_eq!(lost.camera, "cam");
        Some((frame(b"notice"), vec![Track::jpeg(None)]))
    });
    let parts = CameraParts { stream, source, policy, on_lost, draw };
    (Camera::start(parts).unwrap(), dropped)
}

/// The next `count` frames and notices, as text. A notice drawn anew each second, until a moment that is left to
/// chance, counts once.
async fn watch(camera: &Camera, count: usize) -> Vec<&'static str> {
    let mut subscriber = camera.stream().subscribe(Want::Live);
    let mut seen = Vec::new();
    while seen.len() < count {
        match subscriber.next().await {
            Ok(Item::Frame(_)) => seen.push("picture"),
            Ok(Item::Notice(_)) if seen.last() != Some(&"notice") => seen.push("notice"),
            Ok(Item::Notice(_) | Item::Tracks(_) | Item::Lost { .. }) => {}
            Err(Closed) => {
                seen.push("closed");
                break;
            }
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_viewer_keeps_its_connection_through_a_loss() {
    let (camera, _) =
        camera([Run::Fails(2, "it broke"), Run::Fails(2, "again")], Policy::default(), OnLost::Picture);
    let seen = watch(&camera, 5).await;
    assert_eq!(seen, ["picture", "picture", "notice", "picture", "picture"]);
}

#[tokio::test(start_paused = true)]
async fn the_cause_stays_visible_while_the_camera_is_tried_again() {
    let (camera, _) = camera([Run::Fails(1, "it broke"), Run::Hangs(0)], Policy::default(), OnLost::Picture);
    assert_eq!(watch(&camera, 2).await, ["picture", "notice"]);
    assert!(matches!(camera.status().state, State::Lost { .. }));
    assert_eq!(camera.status().cause.as_deref(), Some("it broke"));
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_ready_by_the_picture_of_the_run_before_it() {
    let (camera, _) = camera([Run::Flashes("it broke"), Run::Hangs(0)], Policy::default(), OnLost::Picture);
    assert_eq!(watch(&camera, 2).await, ["picture", "notice"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = camera.status();
    assert!(matches!(status.state, State::Starting { .. }), "{status:?}");
    assert_eq!((status.restarts, status.cause.as_deref()), (1, Some("it broke")));
}

/// Counts what a camera says of itself that is no warning.
#[derive(Clone, Default)]
struct Said(Arc<AtomicUsize>);

impl tracing::Subscriber for Said {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::INFO
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_ends_with_its_first_picture_was_ready_and_says_so() {
    let said = Said::default();
    // Of this thread, on which all that the test starts runs.
    let _said = tracing::subscriber::set_default(said.clone());
    let (camera, _) = camera([Run::Flashes("it broke"), Run::Hangs(0)], Policy::default(), OnLost::Picture);
    assert_eq!(watch(&camera, 2).await, ["picture", "notice"]);
    assert!(matches!(camera.status().state, State::Lost { .. }));
    assert_eq!(said.0.load(Ordering::Relaxed), 1, "it was ready once");
}

#[tokio::test(start_paused = true)]
async fn the_notice_is_repeated_while_the_camera_is_tried_again_until_it_gives_a_picture() {
    let stream = Stream::new("cam".parse().unwrap(), Bounds { pieces: 64, bytes: 1 << 20 });
    let mut subscriber = stream.subscribe(Want::Live);
    let runs = [Run::Fails(1, "it broke"), Run::Waits(Duration::from_millis(5500))];
    let source = Box::new(Scripted { runs: runs.into(), dropped: Arc::default() });
    let waits = Arc::<Mutex<Vec<Option<Duration>>>>::default();
    let drawn = waits.clone();
    let draw = Arc::new(move |lost: &Lost| {
        assert_eq!(&*lost.cause, "it broke");
        drawn.lock().unwrap().push(lost.retry_in);
        Some((frame(b"notice"), vec![Track::jpeg(None)]))
    });
    let parts = CameraParts { stream, source, policy: Policy::default(), on_lost: OnLost::Picture, draw };
    let _camera = Camera::start(parts).unwrap();
    let mut seen = Vec::new();
    while seen.iter().filter(|item| **item == "picture").count() < 30 {
        match subscriber.next().await.unwrap() {
            Item::Frame(_) => seen.push("picture"),
            Item::Notice(_) => seen.push("notice"),
            Item::Tracks(_) | Item::Lost { .. } => {}
        }
    }
    let waits = waits.lock().unwrap();
    assert_eq!(waits.iter().filter(|wait| wait.is_none()).count(), 5, "one each second: {waits:?}");
    let tried = waits.iter().position(Option::is_none).unwrap();
    assert!(tried > 0 && waits[tried..].iter().all(Option::is_none), "{waits:?}");
    assert_eq!(seen.iter().filter(|item| **item == "notice").count(), waits.len());
    assert!(
        seen[seen.len() - 29..].iter().all(|item| *item == "picture"),
        "no notice among pictures: {seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn holding_sends_nothing_and_closing_ends_the_viewer() {
    let runs = || [Run::Fails(1, "it broke"), Run::Hangs(1)];
    let (hold, _) = camera(runs(), Policy::default(), OnLost::Hold);
    assert_eq!(watch(&hold, 2).await, ["picture", "picture"]);
    let (close, _) = camera(runs(), Policy::default(), OnLost::Close);
    assert_eq!(watch(&close, 2).await, ["picture", "closed"]);
    assert_eq!(watch(&close, 1).await, ["picture"], "the next viewer waits for the next run");
}

#[tokio::test(start_paused = true)]
async fn a_silent_camera_is_given_up_and_tried_again() {
    let (camera, dropped) = camera([Run::Hangs(1), Run::Hangs(1)], Policy::default(), OnLost::Picture);
    assert_eq!(watch(&camera, 3).await, ["picture", "notice", "picture"]);
    assert_eq!(*dropped.lock().unwrap(), 1);
    assert_eq!(camera.status().cause.as_deref(), Some("no picture came for 10 s"));
    assert_eq!(camera.status().restarts, 1);
    camera.abort();
    while !camera.has_stopped() {
        tokio::task::yield_now().await;
    }
    assert_eq!(*dropped.lock().unwrap(), 2, "stopping drops the source");
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_gives_nothing_but_sound_any_more_is_given_up() {
    let (camera, _) = camera([Run::Sounds, Run::Hangs(0)], Policy::default(), OnLost::Picture);
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(matches!(camera.status().state, State::Ready { .. }), "{:?}", camera.status());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(camera.status().cause.as_deref(), Some("no picture came for 10 s"));
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_waits_to_be_called_is_not_given_up_and_its_viewers_are_told() {
    let stream = Stream::new("cam".parse().unwrap(), Bounds { pieces: 64, bytes: 1 << 20 });
    let hour = Duration::from_secs(3600);
    let runs = [Run::IsCalled(hour, "it hung up"), Run::IsCalled(hour, "again")];
    let source = Box::new(Scripted { runs: runs.into(), dropped: Arc::default() });
    let told = Arc::<Mutex<Vec<(String, bool, bool)>>>::default();
    let drawn = told.clone();
    let draw = Arc::new(move |lost: &Lost| {
        let said = (lost.cause.to_string(), lost.retry_in.is_some(), lost.waits);
        let mut drawn = drawn.lock().unwrap();
        if drawn.last() != Some(&said) {
            drawn.push(said);
        }
        Some((frame(b"notice"), vec![Track::jpeg(None)]))
    });
    let parts = CameraParts { stream, source, policy: Policy::default(), on_lost: OnLost::Picture, draw };
    let camera = Camera::start(parts).unwrap();
    tokio::time::sleep(Duration::from_secs(1800)).await;
    let status = camera.status();
    assert!(matches!(status.state, State::Waiting { .. }), "{status:?}");
    assert_eq!((status.cause.as_deref(), status.restarts), (Some("waits for a call"), 0));
    assert_eq!(*told.lock().unwrap(), [], "nobody watches");
    let watching = watch(&camera, 5);
    assert_eq!(watching.await, ["notice", "picture", "notice", "picture", "notice"]);
    let waits = ("waits for a call".to_owned(), false, true);
    let (lost, again) = (("it hung up".to_owned(), true, false), ("again".to_owned(), true, false));
    assert_eq!(*told.lock().unwrap(), [waits.clone(), lost, waits, again]);
}

#[tokio::test(start_paused = true)]
async fn an_on_demand_camera_runs_only_while_somebody_watches() {
    let policy = Policy { on_demand: true, ..Policy::default() };
    let (camera, dropped) = camera([Run::Hangs(1), Run::Hangs(1)], policy, OnLost::Picture);
    tokio::task::yield_now().await;
    assert_eq!(camera.status().state, State::Idle);
    assert_eq!(watch(&camera, 1).await, ["picture"]);
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(matches!(camera.status().state, State::Closing { .. }), "{:?}", camera.status());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(camera.status().state, State::Idle);
    assert_eq!(*dropped.lock().unwrap(), 1);
    assert_eq!(watch(&camera, 1).await, ["picture"], "a new run: the old picture is forgotten");
}
