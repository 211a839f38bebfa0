//! A camera on demand under a thousand random joins and leaves: it runs once at a time, everybody who waits sees a
//! picture of a run of his own time, and it is idle when the last has left.
#![cfg(not(feature = "model"))]
#![allow(clippy::unwrap_used)] // helpers of tests fail a test by panicking

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ocelli_hub::{
    Bounds, BoxFuture, Camera, CameraParts, Derivation, Item, Next, OnLost, Piece, Policy, Publisher,
    RingSender, Source, SourceError, State, Stream, Subscriber, Want,
};
use ocelli_media::{Frame, MediaTime, Track, TrackId};

/// Gives a picture every millisecond, each with the number of its run.
struct Counted {
    runs: Arc<AtomicU64>,
    running: Arc<AtomicU64>,
}

/// Counts as running until it is dropped.
struct Running(Arc<AtomicU64>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Source for Counted {
    fn run<'a>(&'a mut self, out: &'a mut Publisher) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async move {
            let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
            let others = self.running.fetch_add(1, Ordering::SeqCst);
            let _running = Running(self.running.clone());
            assert_eq!(others, 0, "two runs at once");
            out.set_tracks(vec![Track::jpeg(None)]);
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                out.push(Frame {
                    track: TrackId::VIDEO,
                    time: MediaTime::new(0, MediaTime::VIDEO_RATE),
                    captured: None,
                    key: true,
                    data: Bytes::copy_from_slice(&run.to_be_bytes()),
                });
            }
        })
    }
}

/// The frames as they are, as the parts of a stream would be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Same;

#[derive(Clone, Debug)]
struct Run(Bytes);

impl Piece for Run {
    fn key(&self) -> bool {
        true
    }
    fn size(&self) -> usize {
        self.0.len()
    }
}

impl Derivation for Same {
    type Piece = Run;

    fn want(&self) -> Want {
        Want::Latest
    }

    async fn run(self, mut input: Subscriber, mut output: RingSender<Run>) {
        while let Ok(item) = input.next().await {
            if let Item::Frame(frame) = item {
                output.push(Run(frame.data));
            }
        }
    }
}

fn number(data: &[u8]) -> u64 {
    u64::from_be_bytes(data.try_into().unwrap())
}

/// Joins, waits for a picture, and gives the run it is of.
async fn join(stream: &Stream, derived: bool) -> u64 {
    if derived {
        let mut reader = stream.derive(&Same, Want::Latest);
        return match reader.next().await {
            Ok(Next::Piece(run)) => number(&run.0),
            other => panic!("{other:?}"),
        };
    }
    let mut subscriber = stream.subscribe(Want::Latest);
    loop {
        if let Item::Frame(frame) = subscriber.next().await.unwrap() {
            return number(&frame.data);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_random_joins_leave_an_idle_camera() {
    let (runs, running) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let stream = Stream::new("cam".parse().unwrap(), Bounds { pieces: 8, bytes: 1 << 20 });
    let policy = Policy { on_demand: true, linger: Duration::from_millis(3), ..Policy::default() };
    let camera = Camera::start(CameraParts {
        stream: stream.clone(),
        source: Box::new(Counted { runs: runs.clone(), running: running.clone() }),
        policy,
        on_lost: OnLost::Picture,
        draw: Arc::new(|_| None),
    })
    .unwrap();
    let mut joins = tokio::task::JoinSet::new();
    for number in 0..1000 {
        let (stream, runs) = (stream.clone(), runs.clone());
        joins.spawn(async move {
            // Spread so that the camera is left and joined again many times.
            tokio::time::sleep(Duration::from_micros(fastrand::u64(0..3_000_000))).await;
            let before = runs.load(Ordering::SeqCst);
            let joined = join(&stream, number % 2 == 0);
            match tokio::time::timeout(Duration::from_secs(20), joined).await {
                Ok(run) => assert!(run >= before, "a picture of run {run} after run {before} had begun"),
                Err(_) => panic!("join {number} saw no picture"),
            }
        });
    }
    while let Some(joined) = joins.join_next().await {
        joined.unwrap();
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while camera.status().state != State::Idle || running.load(Ordering::SeqCst) > 0 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{:?}, {} viewers",
            camera.status(),
            stream.viewers()
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(stream.viewers(), 0);
    assert!(runs.load(Ordering::SeqCst) > 10, "{runs:?} runs: it was hardly ever left");
}
