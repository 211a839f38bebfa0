//! Real files and folders, whole and broken.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ocelli_hub::{DropReason as Dropped, Item, Stream, Want};
use ocelli_media::{Frame, TrackId};

use super::*;
use crate::sources::build;
use crate::sources::pictures::tests::{BASELINE, PROGRESSIVE, dropped, stream};

/// Runs what `text` names until it ends or has published `most` pictures: why it ended, the pictures, the stream.
async fn show(text: &str, most: usize) -> (Option<SourceError>, Vec<Bytes>, Arc<Stream>) {
    let (ended, frames, stream) = show_frames(text, most).await;
    (ended, frames.into_iter().map(|frame| frame.data).collect(), stream)
}

/// The same with all that is known of the pictures.
async fn show_frames(text: &str, most: usize) -> (Option<SourceError>, Vec<Frame>, Arc<Stream>) {
    show_with(text, most, &SourceOptions::default()).await
}

async fn show_with(
    text: &str,
    most: usize,
    options: &SourceOptions,
) -> (Option<SourceError>, Vec<Frame>, Arc<Stream>) {
    let stream = stream();
    let mut subscriber = stream.subscribe(Want::All);
    let mut publisher = stream.publish().expect("nobody else publishes");
    let mut source = build(text, options).expect("a good text");
    let mut pictures = Vec::new();
    let mut running = source.run(&mut publisher);
    let mut ended = None;
    while pictures.len() < most {
        tokio::select! {
            biased;
            item = subscriber.next() => {
                if let Item::Frame(frame) = item.expect("the stream lives") {
                    pictures.push(frame);
                }
            }
            end = &mut running, if ended.is_none() => ended = end.err(),
            () = std::future::ready(()), if ended.is_some() => break,
        }
    }
    drop(running);
    (ended, pictures, stream)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn write(folder: &tempfile::TempDir, name: &str, parts: &[&[u8]]) -> String {
    let path = folder.path().join(name);
    fs::write(&path, parts.concat()).expect("written");
    format!("file:{}", path.display())
}

#[tokio::test]
async fn a_film_is_shown_to_its_end_at_its_pace() {
    let folder = folder();
    let text = write(&folder, "a.mjpeg", &[BASELINE, PROGRESSIVE, BASELINE, PROGRESSIVE]);
    let start = Instant::now();
    let (ended, pictures, stream) = show(&format!("{text}?fps=20"), 99).await;
    assert_eq!(pictures, [BASELINE, PROGRESSIVE, BASELINE, PROGRESSIVE]);
    assert!(start.elapsed() >= Duration::from_millis(150), "took {:?}", start.elapsed());
    assert!(ended.expect("it ends").cause().contains("a.mjpeg has come to its end"));
    assert_eq!(dropped(&stream, Dropped::Damaged), 0);
}

#[tokio::test]
async fn a_film_loops_and_its_damaged_pictures_are_counted() {
    let folder = folder();
    let text = write(&folder, "a.mjpeg", &[BASELINE, &PROGRESSIVE[..500], BASELINE, b"trailing"]);
    let (_, pictures, stream) = show(&format!("{text}?fps=1000"), 99).await;
    assert_eq!((pictures.len(), dropped(&stream, Dropped::Damaged)), (2, 1));
    let (ended, pictures, _) = show(&format!("{text}?fps=1000&loop"), 7).await;
    assert_eq!((ended, pictures.len()), (None, 7));
}

#[tokio::test]
async fn a_picture_is_repeated_without_reading_it_again() {
    let folder = folder();
    let text = write(&folder, "a.JPG", &[BASELINE, b"padding"]);
    let (ended, pictures, _) = show(&format!("{text}?fps=1000"), 5).await;
    assert_eq!(ended, None);
    assert!(pictures.iter().all(|data| *data == BASELINE && data.as_ptr() == pictures[0].as_ptr()));
    let (ended, pictures, _) = show(&format!("{text}?loop=0"), 5).await;
    assert!(ended.is_some() && pictures.len() == 1);
}

#[tokio::test]
async fn a_folder_is_shown_in_the_order_of_names_and_again() {
    let folder = folder();
    write(&folder, "2.jpg", &[PROGRESSIVE]);
    write(&folder, "1.jpeg", &[BASELINE]);
    write(&folder, "3.jpg", &[b"no picture"]);
    write(&folder, "notes.txt", &[b"none either"]);
    write(&folder, ".0.jpg", &[PROGRESSIVE]);
    let text = format!("file:{}?fps=500", folder.path().display());
    let (_, pictures, _) = show(&text, 4).await;
    assert_eq!(pictures, [BASELINE, PROGRESSIVE, BASELINE, PROGRESSIVE]);
    let (_, pictures, stream) = show(&format!("{text}&loop=0"), 99).await;
    assert_eq!((pictures.len(), dropped(&stream, Dropped::Damaged)), (2, 1));
}

#[tokio::test]
async fn pictures_longer_than_a_read_are_put_together() {
    let folder = folder();
    let mut large = BASELINE[..BASELINE.len() - 2].to_vec();
    large.resize(300_000, 0x55);
    large.extend_from_slice(&[0xFF, 0xD9]);
    let text = write(&folder, "a.mjpeg", &vec![&large[..]; 20]);
    let (_, pictures, _) = show(&format!("{text}?fps=1000"), 20).await;
    assert!(pictures.iter().all(|data| *data == large));
}

#[tokio::test]
async fn errors_say_what_is_wrong_in_words() {
    let folder = folder();
    let cause = |text: String| async move { show(&text, 1).await.0.expect("it ends").cause().to_owned() };
    let path = folder.path().display().to_string();
    assert_eq!(cause(format!("file:{path}/x.jpg")).await, format!("there is no file or folder {path}/x.jpg"));
    assert_eq!(cause(format!("file:{path}")).await, format!("{path} holds no JPEG"));
    let empty = write(&folder, "a.mjpeg", &[]);
    assert_eq!(cause(empty).await, format!("{path}/a.mjpeg holds no picture"));
    let text = write(&folder, "b.mjpeg", &[b"hello"]);
    assert_eq!(cause(text).await, format!("{path}/b.mjpeg holds no picture: bytes that are no picture"));
    let broken = write(&folder, "c.jpg", &[&BASELINE[..900]]);
    assert_eq!(
        cause(broken).await,
        format!("{path}/c.jpg: a damaged picture: byte 900: the bytes end within the picture (T.81 B.2.1)")
    );
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(OsStr::from_bytes(pipe.as_os_str().as_bytes())).status();
    assert!(made.expect("mkfifo runs").success());
    assert_eq!(
        cause(format!("file:{path}/pipe")).await,
        format!("{path}/pipe is neither a file nor a folder")
    );
}

/// Has FFmpeg make a film of 160x120 at 50 pictures a second.
fn film(folder: &tempfile::TempDir, name: &str, arguments: &str) -> String {
    let path = folder.path().join(name);
    let made = Command::new("ffmpeg")
        .args("-v error -y -f lavfi -i testsrc2=size=160x120:rate=50".split_whitespace())
        .args(arguments.split_whitespace())
        .arg(&path)
        .status();
    assert!(made.expect("FFmpeg is installed").success());
    format!("file:{}", path.display())
}

/// The times of frames in the order in which they are shown, in milliseconds from the first.
fn shown_at(frames: &[Frame]) -> Vec<i64> {
    let mut ticks: Vec<i64> = frames.iter().map(|frame| frame.time.ticks()).collect();
    ticks.sort_unstable();
    ticks.iter().map(|at| (at - ticks[0]) / 90).collect()
}

#[tokio::test]
async fn h264_and_h265_are_shown_at_their_own_pace_and_order_and_loop_on_one_line_of_time() {
    let folder = folder();
    for (name, encoder) in [
        ("a.h264", "-c:v libx264 -x264-params keyint=10:bframes=3:b-adapt=0:scenecut=0"),
        ("a.h265", "-c:v libx265 -x265-params log-level=none:pools=2:keyint=10:bframes=3:open-gop=0"),
        ("aud.264", "-c:v libx264 -x264-params aud=1:slices=4:keyint=10:bframes=0"),
        // The end of what is none of their business is not looked at.
        ("film", "-c:v libx264 -x264-params keyint=10:bframes=3:b-adapt=0:scenecut=0 -f h264"),
    ] {
        let text = film(&folder, name, &format!("-frames:v 20 {encoder}"));
        let start = Instant::now();
        let (ended, frames, stream) = show_frames(&text, 99).await;
        assert!(start.elapsed() >= Duration::from_millis(380), "{name} took {:?}", start.elapsed());
        assert!(ended.expect("it ends").cause().contains("has come to its end"));
        let expected: Vec<i64> = (0..20).map(|at| at * 20).collect();
        assert_eq!(shown_at(&frames), expected, "{name}");
        assert_eq!(frames.iter().filter(|frame| frame.key).count(), 2, "{name}");
        let stats = stream.stats();
        assert_eq!((stats.dropped.iter().map(|(_, count)| count).sum::<u64>(), stats.garbage_bytes), (0, 0));
        let track = &stats.tracks.expect("announced")[0];
        assert_eq!(track.size.map(|size| size.to_string()).as_deref(), Some("160x120"));

        let (ended, frames, _) = show_frames(&format!("{text}?loop=1&fps=200"), 60).await;
        assert_eq!(ended, None);
        let expected: Vec<i64> = (0..60).map(|at| at * 5).collect();
        assert_eq!(shown_at(&frames), expected, "{name}");
        assert!(frames[20].key && frames[40].key && frames[20].data == frames[0].data, "{name}");
    }
}

/// Clips with sound, which FFmpeg makes of 20 pictures and 400 ms of it.
#[tokio::test]
async fn mp4_is_shown_at_its_own_times_with_its_sound_and_loops_on_one_line_of_time() {
    let folder = folder();
    let x264 = "-c:v libx264 -x264-params keyint=10:bframes=3:b-adapt=0:scenecut=0";
    for (name, arguments) in [
        ("plain.mp4", format!("{x264} -c:a aac")),
        ("front.mp4", format!("{x264} -c:a libopus -movflags +faststart")),
        ("fragments.mp4", format!("{x264} -c:a aac -movflags +frag_keyframe+empty_moov")),
        (
            "hevc.mp4",
            "-c:v libx265 -x265-params log-level=none:pools=2:keyint=10:open-gop=0 -c:a aac".to_owned(),
        ),
        ("jpeg.mov", "-c:v mjpeg -pix_fmt yuvj420p -c:a aac".to_owned()),
    ] {
        let sound = "-f lavfi -i sine=sample_rate=48000 -t 0.4";
        let text = film(&folder, name, &format!("{sound} {arguments}"));
        let start = Instant::now();
        let (ended, frames, stream) = show_frames(&text, 999).await;
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(380), "{name} took {took:?}");
        assert!(ended.expect("it ends").cause().contains("has come to its end"), "{name}");
        let (pictures, sound): (Vec<_>, Vec<_>) = frames.into_iter().partition(|f| f.track == TrackId::VIDEO);
        assert_eq!(shown_at(&pictures), (0..20).map(|at| at * 20).collect::<Vec<_>>(), "{name}");
        assert!((18..=22).contains(&sound.len()), "{name}: {} packets of sound", sound.len());
        let tracks = stream.stats().tracks.expect("announced");
        assert_eq!(tracks.len(), 2, "{name}");
        assert_eq!(tracks[0].size.map(|size| size.to_string()).as_deref(), Some("160x120"), "{name}");
        assert_eq!(stream.stats().dropped.iter().map(|(_, count)| count).sum::<u64>(), 0, "{name}");

        let (ended, frames, _) = show_frames(&format!("{text}?loop"), 100).await;
        assert_eq!(ended, None);
        let pictures: Vec<_> = frames.into_iter().filter(|frame| frame.track == TrackId::VIDEO).collect();
        assert!(pictures.len() > 40 && pictures[20].key && pictures[20].data == pictures[0].data, "{name}");
        let apart = pictures[20].time.since(pictures[0].time);
        assert!((400..=460).contains(&apart.as_millis()), "{name}: {apart:?}");
    }
}

#[tokio::test]
async fn sound_of_an_mp4_that_is_not_passed_on_counts_as_sound() {
    let folder = folder();
    let sound = "-f lavfi -i sine=sample_rate=48000 -t 0.4 -c:a aac";
    let text = film(&folder, "a.mov", &format!("{sound} -c:v mjpeg -pix_fmt yuvj420p"));
    let options = SourceOptions { max_frame_bytes: 10, ..SourceOptions::default() };
    let (ended, frames, stream) = show_with(&text, 99, &options).await;
    assert!(ended.is_some());
    let stats = stream.stats();
    let heard = frames.iter().filter(|frame| frame.track != TrackId::VIDEO).count();
    assert!(stats.sound_dropped > 0, "{heard} came");
    assert_eq!(dropped(&stream, Dropped::TooLarge), 20, "the pictures, and nothing else");
}

#[tokio::test]
async fn an_mp4_that_cannot_be_shown_says_why() {
    let folder = folder();
    let text = film(&folder, "a.mp4", "-frames:v 20 -c:v libx264");
    let path = folder.path().join("a.mp4");
    let whole = fs::read(&path).expect("it was written");
    fs::write(&path, &whole[..whole.len() - 300]).expect("written");
    let (ended, frames, _) = show_frames(&text, 99).await;
    let cause = "damaged: its `moov` makes no sense";
    assert_eq!(ended, Some(SourceError::refused(format!("{}: {cause}", path.display()))));
    assert!(frames.is_empty());
    let text = film(&folder, "b.mp4", "-frames:v 20 -c:v libx264 -movflags +faststart");
    let path = folder.path().join("b.mp4");
    let whole = fs::read(&path).expect("it was written");
    fs::write(&path, &whole[..whole.len() * 3 / 4]).expect("written");
    let (ended, frames, stream) = show_frames(&text, 99).await;
    assert!(ended.is_some() && (1..20).contains(&frames.len()), "{} came", frames.len());
    assert_eq!(dropped(&stream, Dropped::Damaged), 1);
}

#[tokio::test]
async fn a_damaged_film_of_h264_goes_on_at_the_next_keyframe() {
    let folder = folder();
    let text = film(&folder, "a.h264", "-frames:v 20 -c:v libx264 -x264-params keyint=10:bframes=0 -f h264");
    let path = folder.path().join("a.h264");
    let whole = fs::read(&path).expect("it was written");
    // In the middle, as a recording that was begun late.
    fs::write(&path, &whole[40..]).expect("written");
    let (ended, frames, stream) = show_frames(&format!("{text}?fps=500"), 99).await;
    assert!(ended.is_some() && frames.len() == 10 && frames[0].key, "{} came", frames.len());
    assert!(dropped(&stream, Dropped::NeedsKeyframe) > 0);
}

#[test]
fn parameters_have_names_and_ranges() {
    let error = |text| build(text, &SourceOptions::default()).err().expect("refused").to_string();
    assert!(error("file:").contains("needs the name"));
    assert!(error("file:a.jpg?fps=0").contains("expected 0.01 to 1000"));
    assert!(error("file:a.jpg?fps=NaN").contains("expected 0.01 to 1000"));
    assert!(error("file:a.jpg?fps=0.05").contains("no picture comes for 10 s, and this is one every 20 s"));
    assert!(error("file:a.jpg?lop=1").contains("did you mean `loop`"));
}
