//! The real worker in the hands of the library: what it makes, what it may do, and how it is lost and comes back.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // helpers of tests fail a test by panicking

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use ocelli::outputs::rtp::{Burst, Done, Outcome, RtpBursts, RtpPicture};
use ocelli::transcode::Failure;
use ocelli::variants::{Pixels, Rules, Wish};
use ocelli_hub::{Bounds, Next, Stream, Want};
use ocelli_media::jpeg::rewrite::{Rewriter, Work};
use ocelli_media::{Frame, MediaTime, Size, Track, TrackId};
use rustix::process::{Pid, Signal, kill_process};

const WISH: Wish = Wish { quality: None, sampling: None, most: Size { width: 2040, height: 2040 } };
/// How long anything may take that should happen soon.
const SOON: Duration = Duration::from_secs(30);

fn recoder(camera: &str) -> Pixels {
    let stream = Stream::new(camera.parse().unwrap(), Bounds { pieces: 4, bytes: 1 << 20 });
    Pixels::with_program(stream, env!("CARGO_BIN_EXE_ocelli-codec").into(), Rules::default())
}

fn picture(name: &str) -> Bytes {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../media/testdata").join(name)).unwrap().into()
}

/// The worker of `camera`, by the argument that it is started with.
fn worker(camera: &str) -> Option<Pid> {
    let own = std::process::id();
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent: u32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        (parent == own && line.ends_with(format!("ocelli-codec\0{camera}\0").as_bytes()))
            .then(|| Pid::from_raw(id))?
    })
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + SOON;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn recode(recoder: &Pixels, name: &str) -> Result<Bytes, Failure> {
    tokio::time::timeout(SOON, recoder.recode(picture(name), WISH)).await.unwrap()
}

#[tokio::test]
async fn what_rtp_refuses_becomes_what_it_carries() {
    let recoder = recoder("carried");
    for name in ["progressive.jpg", "yuv444.jpg", "grey.jpg"] {
        assert!(Rewriter::new().rewrite(&picture(name)).is_err(), "{name}");
        let made = recode(&recoder, name).await.unwrap();
        assert_eq!(Rewriter::new().rewrite(&made).unwrap().1, Work::AsIs, "{name}");
    }
    let Err(Failure::Refused(words)) = recoder.recode(Bytes::from_static(b"no picture"), WISH).await else {
        panic!("expected a refusal")
    };
    assert!(words.contains("begins with SOI"), "{words}");
    recode(&recoder, "grey.jpg").await.unwrap();
    let stats = recoder.stats();
    assert_eq!((stats.pictures, stats.failed, stats.starts, stats.cause), (4, 1, 1, None));
}

#[tokio::test]
async fn the_same_picture_in_the_same_way_is_encoded_once() {
    let recoder = recoder("once");
    let jpeg = picture("yuv444.jpg");
    let first = recoder.recode(jpeg.clone(), WISH).await.unwrap();
    let second = recoder.recode(jpeg.clone(), WISH).await.unwrap();
    assert_eq!(first.as_ptr(), second.as_ptr());
    let smaller = recoder.recode(jpeg, Wish { quality: Some(20), ..WISH }).await.unwrap();
    assert!(smaller.len() < first.len());
}

#[tokio::test]
async fn it_has_given_up_what_it_does_not_need() {
    let recoder = recoder("confined");
    recode(&recoder, "grey.jpg").await.unwrap();
    let proc = format!("/proc/{}", worker("confined").unwrap().as_raw_nonzero());
    let limits = fs::read_to_string(format!("{proc}/limits")).unwrap();
    for limit in ["Max open files", "Max core file size", "Max file size", "Max processes"] {
        let line = limits.lines().find(|line| line.starts_with(limit)).unwrap();
        assert_eq!(line[limit.len()..].split_whitespace().next(), Some("0"), "{line}");
    }
    let line = limits.lines().find(|line| line.starts_with("Max address space")).unwrap();
    assert!(line.contains("1073741824"), "{line}");
    if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        let status = fs::read_to_string(format!("{proc}/status")).unwrap();
        assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
    }
    assert_eq!(fs::read(format!("{proc}/environ")).unwrap(), b"");
    recode(&recoder, "progressive.jpg").await.unwrap();
}

#[tokio::test]
async fn a_killed_worker_is_back_at_the_next_picture() {
    let recoder = recoder("killed");
    recode(&recoder, "grey.jpg").await.unwrap();
    kill_process(worker("killed").unwrap(), Signal::KILL).unwrap();
    let words = "`ocelli-codec` was killed by signal 9";
    assert_eq!(recode(&recoder, "yuv444.jpg").await, Err(Failure::Lost(words.into())));
    assert_eq!(recoder.stats().cause.as_deref(), Some(words));
    recode(&recoder, "yuv444.jpg").await.unwrap();
    assert_eq!((recoder.stats().starts, recoder.stats().cause), (2, None));
}

#[tokio::test]
async fn a_stopped_worker_is_killed_and_replaced_while_others_go_on() {
    let (hanging, other) = (recoder("hanging"), recoder("other"));
    recode(&hanging, "grey.jpg").await.unwrap();
    recode(&other, "grey.jpg").await.unwrap();
    let process = worker("hanging").unwrap();
    kill_process(process, Signal::STOP).unwrap();
    let waiting = tokio::spawn({
        let hanging = hanging.clone();
        async move { recode(&hanging, "yuv444.jpg").await }
    });
    let mut meanwhile = 0;
    while !waiting.is_finished() {
        recode(&other, "yuv444.jpg").await.unwrap();
        meanwhile += 1;
    }
    assert!(meanwhile > 10, "{meanwhile}");
    let words = "`ocelli-codec` did not answer within 3 s and was killed";
    assert_eq!(waiting.await.unwrap(), Err(Failure::Lost(words.into())));
    recode(&hanging, "yuv444.jpg").await.unwrap();
    until("it is gone", || fs::metadata(format!("/proc/{}", process.as_raw_nonzero())).is_err()).await;
}

#[tokio::test]
async fn it_ends_when_nothing_comes_and_comes_back_when_something_does() {
    let recoder = recoder("idle");
    recode(&recoder, "grey.jpg").await.unwrap();
    let process = worker("idle").unwrap();
    until("it has ended", || fs::metadata(format!("/proc/{}", process.as_raw_nonzero())).is_err()).await;
    assert!(!recoder.stats().running);
    recode(&recoder, "grey.jpg").await.unwrap();
    recoder.stop();
    until("it has ended", || worker("idle").is_none()).await;
}

/// What RTP sends of `name` at most at `quality`.
async fn pushed(name: &str, recoder: &Pixels, quality: Option<u8>) -> RtpPicture {
    let stream = Stream::new("pushed".parse().unwrap(), Bounds { pieces: 4, bytes: 1 << 20 });
    let key = RtpBursts { packet_bytes: 1372, recoder: Some(recoder.clone()), quality };
    let mut pictures = stream.derive(&key, Want::Latest);
    let mut publisher = stream.publish().unwrap();
    publisher.set_tracks(vec![Track::jpeg(None)]);
    let time = MediaTime::new(0, MediaTime::VIDEO_RATE);
    publisher.push(Frame { track: TrackId::VIDEO, time, captured: None, key: true, data: picture(name) });
    loop {
        if let Next::Piece(picture) = pictures.next().await.unwrap() {
            return picture;
        }
    }
}

#[tokio::test]
async fn a_quality_is_a_limit_and_not_a_wish() {
    let recoder = recoder("quality");
    let mut lengths = Vec::new();
    for (quality, done) in [(None, Done::AsIs), (Some(100), Done::AsIs), (Some(20), Done::Reencoded)] {
        let picture = pushed("baseline.jpg", &recoder, quality).await;
        let Outcome::Burst(Burst::Jpeg(burst), found) = &picture.outcome else { panic!("{picture:?}") };
        assert_eq!(*found, done, "{quality:?}");
        let why = (done == Done::Reencoded).then_some("the quality is lowered to 20");
        assert_eq!(picture.reencoded.as_deref(), why);
        lengths.push(burst.total_bytes());
    }
    assert!(lengths[0] == lengths[1] && lengths[2] < lengths[0], "{lengths:?}");
    let picture = pushed("progressive.jpg", &recoder, None).await;
    assert!(picture.reencoded.unwrap().contains("progressive"));
}
