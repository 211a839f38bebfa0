//! Parts, pacing, and viewers on real sockets.

use std::sync::Arc;

use ocelli_hub::{Bounds, Publisher, Stream};
use ocelli_media::{MediaTime, Size, Track, TrackId};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;
use crate::viewers::{ViewerKind, Viewers};

fn frame(data: impl Into<Bytes>) -> Frame {
    Frame {
        track: TrackId::VIDEO,
        time: MediaTime::new(0, MediaTime::VIDEO_RATE),
        captured: Some(SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_042)),
        key: true,
        data: data.into(),
    }
}

#[test]
fn a_part_says_its_type_length_and_time() {
    let part = Part::new(frame("jpeg"), false, JPEG);
    let expected =
        "--ocelli\r\nContent-Type: image/jpeg\r\nContent-Length: 4\r\nX-Timestamp: 1700000000.000042\r\n\r\n";
    assert_eq!(part.header, expected);
    assert_eq!(part.size(), expected.len() + 4);
}

#[test]
fn pictures_that_are_not_coded_say_their_format_and_size() {
    let track = |codec, size| Track::video(codec, size, Vec::new());
    let size = Size::new(320, 240);
    let named = content_type(&track(Codec::Rgb24, size));
    assert_eq!(named.as_deref(), Some("video/x-raw; format=rgb24; width=320; height=240"));
    assert!(content_type(&track(Codec::Yuv420, size)).expect("named").contains("format=yuv420"));
    assert_eq!(content_type(&track(Codec::Jpeg, None)).as_deref(), Some("image/jpeg"));
    assert_eq!(content_type(&track(Codec::H264, size)), None);
}

#[test]
fn a_rate_is_held_on_a_grid_in_spite_of_jitter() {
    let start = Instant::now();
    let mut due = None;
    let pictures = (0..300).map(|n| start + Duration::from_micros(33_333 * n + (n * 7919 % 5000)));
    let sent = pictures.filter(|now| is_due(&mut due, Duration::from_millis(200), *now)).count();
    assert_eq!(sent, 50, "five a second of thirty, for ten seconds");
    let after_a_hole = start + Duration::from_secs(100);
    assert!(is_due(&mut due, Duration::from_millis(200), after_a_hole));
    assert!(
        !is_due(&mut due, Duration::from_millis(200), after_a_hole + Duration::from_millis(100)),
        "no burst"
    );
}

struct Setup {
    publisher: Publisher,
    stream: Arc<Stream>,
    viewers: Arc<Viewers>,
    server: TcpStream,
    client: TcpStream,
}

async fn setup() -> Setup {
    let stream = Stream::new("cam".parse().unwrap(), Bounds { pieces: 8, bytes: 64 << 20 });
    let mut publisher = stream.publish().unwrap();
    publisher.set_tracks(vec![Track::jpeg(None)]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    Setup { publisher, stream, viewers: Viewers::new(1), server, client }
}

impl Setup {
    fn viewer(&self) -> Viewer {
        let address = self.client.local_addr().unwrap();
        self.viewers.admit(ViewerKind::HttpMjpeg, "cam".parse().unwrap(), address, Arc::default()).unwrap()
    }
}

#[tokio::test]
async fn a_browser_gets_the_next_header_block_behind_each_picture() {
    let mut setup = setup().await;
    setup.publisher.push(frame("one"));
    let (viewer, mut parts) = (setup.viewer(), setup.stream.derive(&MjpegParts, Want::Latest));
    let options = StreamOptions { advance_headers: true, fps: None };
    let mut head = Bytes::from_static(b"HEAD\r\n\r\n");
    let serving = serve(&setup.server, &mut head, &mut parts, options, &viewer);
    let reading = async {
        let mut text = String::new();
        let mut buffer = [0; 1024];
        for expected in [1, 2] {
            while text.matches("\r\n--ocelli").count() < expected + 1 {
                let bytes = setup.client.read(&mut buffer).await.unwrap();
                text.push_str(std::str::from_utf8(&buffer[..bytes]).unwrap());
            }
            setup.publisher.push(frame("two"));
        }
        text
    };
    let text = tokio::select! { text = reading => text, ended = serving => panic!("{ended}") };
    let block = "--ocelli\r\nContent-Type: image/jpeg\r\n\r\n";
    assert_eq!(text, format!("HEAD\r\n\r\n{block}one\r\n{block}two\r\n{block}"));
}

#[tokio::test]
async fn a_cameras_sound_is_left_out() {
    let mut setup = setup().await;
    let (rate, channels) = (MediaTime::VIDEO_RATE, std::num::NonZeroU8::MIN);
    let sound = Track::audio(Codec::Opus, rate, channels, Bytes::new());
    setup.publisher.set_tracks(vec![Track::jpeg(None), sound]);
    let mut parts = setup.stream.derive(&MjpegParts, Want::Latest);
    for _ in 0..2 {
        setup.publisher.push(Frame { track: TrackId::AUDIO, key: false, ..frame("sound") });
        setup.publisher.push(frame("picture"));
        let Ok(Next::Piece(part)) = parts.next().await else { panic!("the stream lives") };
        assert_eq!(part.picture(), "picture");
    }
    assert_eq!(parts.skipped(), 0);
}

#[tokio::test]
async fn a_viewer_that_does_not_read_skips_to_the_newest_and_holds_one_picture() {
    let mut setup = setup().await;
    let (viewer, mut parts) = (setup.viewer(), setup.stream.derive(&MjpegParts, Want::Latest));
    let (server, client) = (setup.server, &mut setup.client);
    crate::http::tune(&server).unwrap();
    let mut head = Bytes::new();
    let serving = serve(&server, &mut head, &mut parts, StreamOptions::default(), &viewer);
    let picture = |number: u8| frame(vec![number; 1 << 20]);
    let mut derived = setup.stream.derive(&MjpegParts, Want::Latest);
    let publishing = async {
        // Nobody reads: the first pictures fill the kernel, the rest are passed over. Each has become a part, which the
        // viewer then knows of, before the next one comes.
        for number in 128..=227 {
            setup.publisher.push(picture(number));
            while !matches!(derived.next().await, Ok(Next::Piece(part)) if part.picture()[0] == number) {}
            tokio::task::yield_now().await;
        }
        let mut buffer = vec![0; 1 << 16];
        let mut of_the_newest = 0;
        while of_the_newest < 1 << 20 {
            let bytes = client.read(&mut buffer).await.unwrap();
            of_the_newest += buffer[..bytes].iter().filter(|byte| **byte == 227).count();
        }
        // Counted when the whole part is written, its line end included.
        while viewer.stats().skipped() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! { () = publishing => {}, ended = serving => panic!("{ended}") }
    let stats = viewer.stats();
    assert!(stats.skipped() >= 80, "{} skipped, {} sent", stats.skipped(), stats.frames());
}

#[tokio::test]
async fn a_viewer_that_leaves_between_pictures_is_noticed() {
    let setup = setup().await;
    let (viewer, mut parts) = (setup.viewer(), setup.stream.derive(&MjpegParts, Want::Latest));
    drop(setup.client);
    let mut head = Bytes::new();
    let ended = serve(&setup.server, &mut head, &mut parts, StreamOptions::default(), &viewer).await;
    assert!(matches!(ended, Ended::Left | Ended::Broke(_)), "{ended}");
}

#[tokio::test]
async fn a_camera_of_another_codec_has_no_parts() {
    let Setup { mut publisher, stream, .. } = setup().await;
    let mut parts = stream.derive(&MjpegParts, Want::Latest);
    publisher.set_tracks(vec![Track::video(Codec::H264, None, Vec::new())]);
    publisher.push(frame("an access unit"));
    assert!(parts.next().await.is_err());
}
