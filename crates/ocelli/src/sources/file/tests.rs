//! Real files and folders, whole and broken.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Instant;

use ocelli_hub::{DropReason as Dropped, Item, Stream, Want};

use super::*;
use crate::sources::build;
use crate::sources::pictures::tests::{BASELINE, PROGRESSIVE, dropped, stream};

/// Runs what `text` names until it ends or has published `most` pictures: why it ended, the pictures, the stream.
async fn show(text: &str, most: usize) -> (Option<SourceError>, Vec<Bytes>, Arc<Stream>) {
    let stream = stream();
    let mut subscriber = stream.subscribe(Want::All);
    let mut publisher = stream.publish().expect("nobody else publishes");
    let mut source = build(text, &SourceOptions::default()).expect("a good text");
    let mut pictures = Vec::new();
    let mut running = source.run(&mut publisher);
    let mut ended = None;
    while pictures.len() < most {
        tokio::select! {
            biased;
            item = subscriber.next() => {
                if let Item::Frame(frame) = item.expect("the stream lives") {
                    pictures.push(frame.data);
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
    assert!(ended.expect("it ends").cause().ends_with("a.mjpeg has come to its end"));
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
    assert_eq!(cause(empty).await, format!("{path}/a.mjpeg holds no JPEG"));
    let text = write(&folder, "b.mjpeg", &[b"hello"]);
    assert_eq!(cause(text).await, format!("{path}/b.mjpeg holds no JPEG: bytes that are no picture"));
    let broken = write(&folder, "c.jpg", &[&BASELINE[..900]]);
    assert_eq!(
        cause(broken).await,
        format!("{path}/c.jpg: a damaged picture: byte 900: the bytes end within the picture (T.81 B.2.1)")
    );
    let pipe = folder.path().join("pipe");
    let made =
        std::process::Command::new("mkfifo").arg(OsStr::from_bytes(pipe.as_os_str().as_bytes())).status();
    assert!(made.expect("mkfifo runs").success());
    assert_eq!(
        cause(format!("file:{path}/pipe")).await,
        format!("{path}/pipe is neither a file nor a folder")
    );
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
