//! Programs that behave and programs that do not, as real processes.

use std::time::{Duration, Instant};

use ocelli_hub::{DropReason, Item, Want};
use ocelli_media::Codec;

use super::super::pictures::tests::{BASELINE, PROGRESSIVE, dropped, stream};
use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// Runs `command` once and gives its cause and the pictures that came.
async fn run(command: &str, options: SourceOptions) -> (SourceError, u64, u64) {
    let stream = stream();
    let mut out = stream.publish().expect("nobody else publishes");
    let mut source = super::super::build(&format!("exec:{command}"), &options).expect("a good command");
    let ended = tokio::time::timeout(DEADLINE, source.run(&mut out)).await.expect("ended in time");
    (
        ended.expect_err("a program that ends is lost"),
        stream.stats().frames,
        dropped(&stream, DropReason::Damaged),
    )
}

fn picture_file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("written");
    file
}

#[tokio::test]
async fn pictures_come_whole_and_the_end_names_status_and_last_words() {
    let file = picture_file(&[BASELINE, PROGRESSIVE, BASELINE].concat());
    let command = format!("sh -c \"cat {}; echo 'no such camera' >&2; exit 3\"", file.path().display());
    let (error, frames, _) = run(&command, SourceOptions::default()).await;
    assert_eq!(frames, 3);
    assert_eq!(error, SourceError::lost("`sh` ended with status 3: no such camera"));
}

#[tokio::test]
async fn a_program_that_closes_its_output_and_goes_on_is_asked_to_end() {
    let told = tempfile::NamedTempFile::new().expect("a temporary file");
    let script =
        "trap 'echo told >$0; exit' TERM; exec >&- 2>/dev/null; while :; do read line; sleep 0.01; done";
    let command = format!("sh -c \"{script}\" {}", told.path().display());
    let (error, ..) = run(&command, SourceOptions::default()).await;
    assert_eq!(error, SourceError::lost("`sh` closed its standard output and did not end"));
    let deadline = Instant::now() + DEADLINE;
    while std::fs::read_to_string(told.path()).expect("readable") != "told\n" {
        assert!(Instant::now() < deadline, "it was killed without a word");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn half_a_picture_is_counted_not_shown() {
    let file = picture_file(&[BASELINE, &BASELINE[..BASELINE.len() / 2]].concat());
    let (error, frames, damaged) =
        run(&format!("cat {}", file.path().display()), SourceOptions::default()).await;
    assert_eq!((frames, damaged), (1, 1));
    assert!(error.cause().starts_with("`cat` ended with status 0: a damaged picture"), "{error}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_refused() {
    let (error, ..) = run("/no/such/rpicam-vid -t 0", SourceOptions::default()).await;
    assert_eq!(error, SourceError::refused("the program `rpicam-vid` is not installed"));
}

#[tokio::test]
async fn endless_garbage_is_given_up_in_bounds() {
    let options = SourceOptions { max_frame_bytes: 1 << 20, ..SourceOptions::default() };
    let (error, frames, _) = run("cat /dev/zero", options).await;
    assert_eq!(frames, 0);
    assert!(error.cause().starts_with("`cat`: 4 MB came without a whole picture"), "{error}");
}

#[tokio::test]
async fn bytes_that_are_no_picture_are_named_before_the_silence_is() {
    let options = SourceOptions { silence_timeout: Duration::from_millis(300), ..SourceOptions::default() };
    let (error, frames, _) = run("sh -c \"echo this is no JPEG; sleep 1000\"", options).await;
    assert_eq!(frames, 0);
    assert_eq!(error.cause(), "`sh`: 16 bytes came without a whole picture: bytes that are no picture");
}

/// Parameter sets and a keyframe, and a picture that needs it; each whole, as H.264 in Annex B.
const KEY: &[u8] = &[
    0, 0, 0, 1, 0x67, 0x42, 0xC0, 0x0A, 0xDA, 0x0F, 0x0A, 0x69, 0xA8, 0x10, 0x10, 0, 0, 0, 1, 0x68, 0xCE, 0,
    0, 0, 1, 0x65, 0x88, 1, 1,
];
const DELTA: &[u8] = &[0, 0, 0, 1, 0x41, 0x9A, 3, 3, 3, 3];

#[tokio::test]
async fn h264_is_recognised_and_its_last_picture_comes_with_the_end() {
    let file = picture_file(&[b"starting\n", KEY, DELTA, DELTA, KEY, DELTA].concat());
    let command = format!("cat {}", file.path().display());
    for codec in [None, Some(Codec::H264)] {
        let options = SourceOptions { codec, ..SourceOptions::default() };
        let (error, frames, damaged) = run(&command, options).await;
        assert_eq!((frames, damaged), (5, 0), "{error}");
    }
    let options = SourceOptions { codec: Some(Codec::Jpeg), ..SourceOptions::default() };
    let (error, frames, _) = run(&command, options).await;
    assert_eq!((frames, error.cause()), (0, "`cat` ended with status 0: bytes that are no picture"));
}

/// How long after a picture's last byte the picture is there, of a program that writes it and then nothing.
#[tokio::test]
async fn a_picture_does_not_wait_for_the_next_one() {
    let (key, delta) = (picture_file(KEY), picture_file(DELTA));
    let script = format!(
        "while :; do cat {}; sleep 0.2; cat {}; sleep 0.2; done",
        key.path().display(),
        delta.path().display()
    );
    let stream = stream();
    let mut subscriber = stream.subscribe(Want::All);
    let mut out = stream.publish().expect("nobody else publishes");
    let mut source =
        super::super::build(&format!("exec:sh -c \"{script}\""), &SourceOptions::default()).expect("good");
    let mut waits = Vec::new();
    tokio::select! {
        ended = source.run(&mut out) => panic!("ended: {ended:?}"),
        () = async {
            while waits.len() < 6 {
                if let Item::Frame(frame) = subscriber.next().await.expect("the stream lives") {
                    let read = frame.captured.expect("pipes are timed");
                    waits.push((frame.key, frame.time, read.elapsed().expect("in the past")));
                }
            }
        } => {}
    }
    assert_eq!(
        waits.iter().map(|(key, ..)| *key).collect::<Vec<_>>(),
        [true, false, true, false, true, false]
    );
    let mut sorted: Vec<_> = waits.iter().map(|(.., wait)| *wait).collect();
    sorted.sort();
    assert!(sorted[3] < Duration::from_millis(100), "{waits:?}");
    for pair in waits.windows(2) {
        let apart = pair[1].1.since(pair[0].1);
        assert!((Duration::from_millis(50)..Duration::from_secs(5)).contains(&apart), "{apart:?}");
    }
    assert_eq!(dropped(&stream, DropReason::Damaged), 0);
}

#[tokio::test]
async fn a_picture_that_comes_in_pieces_is_torn_a_few_times_at_most() {
    let mut long = KEY.to_vec();
    long.resize(3000, 0x55);
    let (one, two) = (picture_file(&long[..1500]), picture_file(&long[1500..]));
    let script = format!(
        "for i in 1 2 3 4 5 6 7 8; do cat {}; sleep 0.05; cat {}; sleep 0.05; done",
        one.path().display(),
        two.path().display()
    );
    let stream = stream();
    let mut out = stream.publish().expect("nobody else publishes");
    let mut source =
        super::super::build(&format!("exec:sh -c \"{script}\""), &SourceOptions::default()).expect("good");
    let ended = tokio::time::timeout(DEADLINE, source.run(&mut out)).await.expect("ended in time");
    let torn = stream.stats().garbage_bytes / 1500;
    assert!(torn <= 2, "{torn} of 8 were torn: {ended:?}");
    assert_eq!(stream.stats().frames, 8);
}

#[tokio::test]
async fn mp4_is_refused_in_words() {
    let file = picture_file(&[&[0, 0, 0, 0x18][..], b"ftypisom", &[0; 12]].concat());
    let (error, frames, _) = run(&format!("cat {}", file.path().display()), SourceOptions::default()).await;
    assert_eq!(frames, 0);
    assert!(
        error.cause().starts_with("`cat` ended with status 0: MP4, which cannot be read from"),
        "{error}"
    );
}

#[test]
fn words_are_split_as_a_shell_would() {
    let options = SourceOptions::default();
    assert!(super::super::build("exec:sh -c 'a b' \"c\"", &options).is_ok());
    let error = |text| super::super::build(text, &options).err().expect("bad").to_string();
    assert!(error("exec:sh -c 'a").contains("quote"));
    assert!(error("exec:  ").contains("command line"));
}

/// A program that ignores SIGTERM and has a child of its own: after dropping the run, none of the two is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_stubborn_program_and_its_children_are_killed() {
    let file = picture_file(BASELINE);
    let pids = tempfile::NamedTempFile::new().expect("a temporary file");
    let script = format!(
        "exec:sh -c \"trap '' TERM; sh -c \\\"trap '' TERM; sleep 1000\\\" & echo $$ $! > {}; cat {}; wait\"",
        pids.path().display(),
        file.path().display()
    );
    let stream = stream();
    let mut subscriber = stream.subscribe(Want::Latest);
    let mut out = stream.publish().expect("nobody else publishes");
    let mut source = super::super::build(&script, &SourceOptions::default()).expect("a good command");
    tokio::select! {
        ended = source.run(&mut out) => panic!("ended: {ended:?}"),
        () = async { while !matches!(subscriber.next().await, Ok(Item::Frame(_))) {} } => {}
    }
    let pids = std::fs::read_to_string(pids.path()).expect("the script wrote its process ids");
    let pids: Vec<i32> = pids.split_whitespace().map(|pid| pid.parse().expect("a number")).collect();
    assert_eq!(pids.len(), 2);
    let deadline = Instant::now() + DEADLINE;
    while pids.iter().any(|pid| is_running(*pid)) {
        assert!(Instant::now() < deadline, "{pids:?} still run");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether there is such a process and it has not ended.
fn is_running(pid: i32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.contains(") Z "),
        Err(_) => false,
    }
}
