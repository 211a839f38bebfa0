//! The real program, and programs that are none.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ocelli_hub::{Item, Stream, Want};
use ocelli_media::{Codec, Frame};
use tempfile::TempDir;

use super::super::pictures::tests::stream;
use super::*;
use crate::children::script::write_program;
use crate::ffmpeg::Program;

const DEADLINE: Duration = Duration::from_secs(20);

/// Runs `text` until it ends or has given `most` pictures: why it ended, what came, the stream.
async fn show(text: &str, program: &str, most: usize) -> (Option<SourceError>, Vec<Frame>, Arc<Stream>) {
    let stream = stream();
    let mut subscriber = stream.subscribe(Want::All);
    let mut out = stream.publish().expect("nobody else publishes");
    let options = SourceOptions {
        ffmpeg: Arc::new(Program::new(program.to_owned(), true, Vec::new())),
        ..SourceOptions::default()
    };
    let mut source = super::super::build(text, &options).expect("a good text");
    let mut frames: Vec<Frame> = Vec::new();
    let mut running = source.run(&mut out);
    let mut ended = None;
    let all = async {
        while frames.iter().filter(|frame| frame.is_picture()).count() < most {
            tokio::select! {
                biased;
                item = subscriber.next() => {
                    if let Item::Frame(frame) = item.expect("the stream lives") {
                        frames.push(frame);
                    }
                }
                end = &mut running, if ended.is_none() => ended = end.err(),
                () = std::future::ready(()), if ended.is_some() => break,
            }
        }
    };
    tokio::time::timeout(DEADLINE, all).await.expect("in time");
    drop(running);
    (ended, frames, stream)
}

/// Has FFmpeg make a film of 20 pictures with sound.
fn film(folder: &TempDir, name: &str, arguments: &str) -> String {
    let path = folder.path().join(name);
    let made = Command::new("ffmpeg")
        .args(
            "-v error -y -f lavfi -i testsrc2=size=160x120:rate=25 -f lavfi -i sine=sample_rate=48000 -t 0.8"
                .split(' '),
        )
        .args(arguments.split(' '))
        .arg(&path)
        .status();
    assert!(made.expect("FFmpeg is installed").success());
    path.display().to_string()
}

fn codecs(stream: &Stream) -> Vec<Codec> {
    stream.stats().tracks.expect("announced").iter().map(|track| track.codec).collect()
}

#[tokio::test]
async fn films_are_copied_with_their_times_and_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, arguments, expected) in [
        (
            "a.mkv",
            "-c:v libx264 -x264-params keyint=10:bframes=3:b-adapt=0 -c:a aac",
            [Codec::H264, Codec::Aac],
        ),
        (
            "a.ts",
            "-c:v libx264 -x264-params keyint=10:bframes=3:b-adapt=0 -c:a aac",
            [Codec::H264, Codec::Aac],
        ),
        (
            "b.ts",
            "-c:v libx265 -x265-params log-level=none:keyint=10 -c:a libopus",
            [Codec::H265, Codec::Opus],
        ),
        ("a.avi", "-c:v mjpeg -pix_fmt yuvj420p -c:a pcm_alaw -ar 8000 -ac 1", [Codec::Jpeg, Codec::Pcma]),
    ] {
        let path = film(&folder, name, arguments);
        let start = std::time::Instant::now();
        let (ended, frames, stream) = show(&format!("ffmpeg:{path}"), "ffmpeg", 99).await;
        assert!(start.elapsed() >= Duration::from_millis(700), "{name} took {:?}", start.elapsed());
        assert_eq!(ended.expect("a film ends").cause(), "`ffmpeg` ended with status 0", "{name}");
        assert_eq!(codecs(&stream), expected, "{name}");
        let (pictures, sound): (Vec<_>, Vec<_>) = frames.into_iter().partition(Frame::is_picture);
        let mut times: Vec<i64> = pictures.iter().map(|frame| frame.time.ticks()).collect();
        times.sort_unstable();
        let apart: Vec<i64> = times.iter().map(|at| (at - times[0] + 1800) / 3600).collect();
        assert_eq!(apart, (0..20).collect::<Vec<_>>(), "{name}");
        assert!(sound.len() > 5, "{name}: {} packets of sound", sound.len());
        assert_eq!(stream.stats().dropped.iter().map(|(_, count)| count).sum::<u64>(), 0, "{name}");
    }
}

#[tokio::test]
async fn what_is_not_passed_on_is_refused_in_words_and_encoded_where_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = film(&folder, "a.mkv", "-c:v mpeg4 -c:a libmp3lame");
    let (ended, frames, _) = show(&format!("ffmpeg:{path}"), "ffmpeg", 1).await;
    assert!(frames.is_empty());
    let cause = ended.expect("refused").cause().to_owned();
    assert!(cause.starts_with("no H.264, H.265 or JPEG in it, but "), "{cause}");
    assert!(cause.ends_with("`#video=h264` or `#video=mjpeg` has FFmpeg encode them"), "{cause}");
    let (_, frames, stream) = show(&format!("ffmpeg:{path}#video=mjpeg"), "ffmpeg", 5).await;
    assert!(codecs(&stream) == [Codec::Jpeg] && frames.iter().all(|frame| frame.key));
    let note = stream.stats().note.expect("its sound is told of");
    assert!(note.contains("MP3") && note.contains("#audio=aac"), "{note}");
    let (_, _, stream) = show(&format!("ffmpeg:{path}#video=h264#audio=aac"), "ffmpeg", 20).await;
    assert_eq!(codecs(&stream), [Codec::H264, Codec::Aac]);
}

#[tokio::test]
async fn devices_are_encoded() {
    let (_, _, stream) = show("ffmpeg:lavfi:testsrc2=size=64x48:rate=25#realtime=1", "ffmpeg", 3).await;
    assert_eq!(codecs(&stream), [Codec::Jpeg]);
}

/// A program of this text in `folder`.
fn script(folder: &TempDir, text: &str) -> String {
    let path = folder.path().join("ffmpeg");
    write_program(&path, &format!("#!/bin/sh\n{text}\n"));
    path.display().to_string()
}

/// What a good FFmpeg says of its version.
const GOOD: &str = "if [ \"$1\" = -version ]; then printf 'ffmpeg version 5.1 x\\nlibavformat 59. 27.100 / 59. 27.100\\n'; exit; fi";

#[tokio::test]
async fn programs_that_are_absent_old_or_none_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let cause = |program: String| async move {
        show("ffmpeg:a.mkv", &program, 1).await.0.expect("it ends").cause().to_owned()
    };
    assert_eq!(cause("/no/such/ffmpeg".into()).await, "`ffmpeg` is not installed");
    let old = script(
        &folder,
        "printf 'ffmpeg version 3.4.8-0ubuntu0.2 x\\nlibavformat 57. 83.100 / 57. 83.100\\n'",
    );
    assert_eq!(
        cause(old).await,
        "`ffmpeg` is FFmpeg 3.4.8-0ubuntu0.2, which is too old: 4.3 or newer is needed"
    );
    let none = script(&folder, "echo hello");
    assert_eq!(cause(none).await, "`ffmpeg` does not answer `-version` as FFmpeg does");
    let garbage = script(&folder, &format!("{GOOD}\nhead -c 1000000 /dev/zero; sleep 1000"));
    assert_eq!(cause(garbage).await, "`ffmpeg`: what came is no NUT");
    let silent = script(&folder, &format!("{GOOD}\necho 'no such device' >&2; exit 3"));
    assert_eq!(cause(silent).await, "`ffmpeg` ended with status 3: no such device");
}

#[tokio::test]
async fn an_old_one_is_not_given_a_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = script(&folder, "printf 'ffmpeg version 4.4 x\\nlibavformat 58. 76.100 / 58. 76.100\\n'");
    let (ended, ..) = show("ffmpeg:rtmp://u:word@127.0.0.1:1/a", &old, 1).await;
    let cause = ended.expect("refused").cause().to_owned();
    assert!(cause.contains("would show this camera's password") && !cause.contains("word@"), "{cause}");
}

#[tokio::test]
async fn its_words_do_not_tell_the_address() {
    let (ended, ..) = show("ffmpeg:http://u:secretword@127.0.0.1:1/path?key=abcdefghi", "ffmpeg", 1).await;
    let cause = ended.expect("nobody listens there").cause().to_owned();
    assert!(!cause.contains("secretword") && !cause.contains("abcdefghi"), "{cause}");
    assert!(cause.contains("Connection refused") || cause.contains("Impossible to open"), "{cause}");
}
