//! A stream's ends: what is pushed, what is got, and what is counted.

use bytes::Bytes;
use ocelli_media::{Codec, MediaTime, Track, TrackId};

use super::*;
use crate::ring::Closed;

fn stream() -> Arc<Stream> {
    Stream::new("cam".parse().unwrap(), Bounds { pieces: 8, bytes: 1 << 20 })
}

fn frame(data: &'static [u8]) -> Frame {
    Frame {
        track: TrackId::VIDEO,
        time: MediaTime::new(0, MediaTime::VIDEO_RATE),
        captured: None,
        key: true,
        data: Bytes::from_static(data),
    }
}

#[tokio::test]
async fn tracks_come_before_the_first_frame_and_when_they_change() {
    let stream = stream();
    let mut publisher = stream.publish().unwrap();
    let mut subscriber = stream.subscribe(Want::Live);
    publisher.push(frame(b"too early"));
    publisher.set_tracks(vec![Track::jpeg(None)]);
    publisher.push(frame(b"1"));
    publisher.push(frame(b"2"));
    publisher.set_tracks(vec![]);
    publisher.push(frame(b"3"));
    let mut seen = String::new();
    for _ in 0..5 {
        match subscriber.next().await.unwrap() {
            Item::Tracks(tracks) => seen.push_str(&format!("t{} ", tracks.len())),
            Item::Frame(frame) => seen.push_str(&format!("{} ", String::from_utf8_lossy(&frame.data))),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, "t1 1 2 t0 3 ");
    let stats = stream.stats();
    assert_eq!((stats.frames, stats.bytes), (3, 3));
    assert_eq!(stats.dropped[DropReason::Damaged as usize], (DropReason::Damaged, 1));
}

#[test]
fn there_is_one_publisher_at_a_time() {
    let stream = stream();
    let first = stream.publish();
    assert!(first.is_some() && stream.publish().is_none());
    drop(first);
    assert!(stream.publish().is_some());
}

#[tokio::test]
async fn a_keyframe_asked_for_by_many_is_wanted_once() {
    let stream = stream();
    let mut publisher = stream.publish().unwrap();
    let subscribers = [stream.subscribe(Want::Live), stream.subscribe(Want::Live)];
    for subscriber in &subscribers {
        subscriber.ask_keyframe();
    }
    publisher.keyframe_wanted().await;
    let again = std::pin::pin!(publisher.keyframe_wanted());
    assert!(is_pending(again).await);
}

/// Whether `future` is not ready at its first poll.
async fn is_pending(mut future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

#[test]
fn subscribers_are_demand() {
    let stream = stream();
    let subscribers = [stream.subscribe(Want::Latest), stream.subscribe(Want::Live)];
    assert_eq!(stream.viewers(), 2);
    drop(subscribers);
    assert_eq!(stream.viewers(), 0);
}

#[tokio::test]
async fn a_notice_in_another_codec_than_the_cameras_is_kept_back() {
    let stream = stream();
    let mut publisher = stream.publish().unwrap();
    publisher.set_tracks(vec![Track::video(Codec::H264, None, Vec::new())]);
    let mut subscriber = stream.subscribe(Want::All);
    stream.notice(frame(b"jpeg"), vec![Track::jpeg(None)]);
    publisher.push(frame(b"h264"));
    assert!(matches!(subscriber.next().await, Ok(Item::Tracks(tracks)) if tracks[0].codec == Codec::H264));
    assert!(matches!(subscriber.next().await, Ok(Item::Frame(frame)) if frame.data == "h264"));
}

#[tokio::test]
async fn what_a_source_says_of_its_network_is_there_to_read() {
    let stream = stream();
    assert_eq!(stream.stats().network, None);
    let mut publisher = stream.publish().unwrap();
    let path = NetworkPath { packets: 7, lost: 2, ..NetworkPath::default() };
    publisher.network(path);
    publisher.dropped(3, DropReason::NeedsKeyframe);
    let stats = stream.stats();
    assert_eq!(stats.network, Some(path));
    assert_eq!(stats.dropped[DropReason::NeedsKeyframe as usize], (DropReason::NeedsKeyframe, 3));
}

/// A packet of sound, as a source that says wrongly of it that a viewer can begin with it would publish it.
fn sound(data: &'static [u8]) -> Frame {
    Frame { track: TrackId::AUDIO, ..frame(data) }
}

#[tokio::test]
async fn sound_goes_with_the_pictures_and_is_counted_apart() {
    let stream = stream();
    let mut publisher = stream.publish().unwrap();
    let mut every = stream.subscribe(Want::All);
    let mut newest = stream.subscribe(Want::Latest);
    let (rate, channels) = (MediaTime::VIDEO_RATE, std::num::NonZeroU8::MIN);
    publisher.set_tracks(vec![Track::jpeg(None), Track::audio(Codec::Opus, rate, channels, Bytes::new())]);
    publisher.push(sound(b"before"));
    assert!(!stream.gives_pictures(), "sound makes no camera ready");
    assert_eq!(stream.stats().last_picture, None);
    stream.notice(frame(b"notice"), vec![Track::jpeg(None)]);
    for data in [frame(b"1"), sound(b"a"), sound(b"b"), frame(b"2"), sound(b"c")] {
        publisher.push(data);
    }
    let mut seen = String::new();
    for _ in 0..7 {
        match every.next().await.unwrap() {
            Item::Frame(frame) | Item::Notice(frame) => {
                seen.push_str(&format!("{} ", String::from_utf8_lossy(&frame.data)));
            }
            Item::Tracks(_) => seen.push_str("tracks "),
            Item::Lost { .. } => seen.push_str("lost "),
        }
    }
    assert_eq!(seen, "tracks notice 1 a b 2 c ", "a stream begins with a picture");
    assert!(matches!(newest.next().await, Ok(Item::Tracks(_))));
    assert!(matches!(newest.next().await, Ok(Item::Frame(frame)) if frame.data == "2"));
    assert_eq!(newest.skipped(), 2, "the notice and a picture");
    let stats = stream.stats();
    assert_eq!((stats.frames, stats.bytes, stats.sound_frames, stats.sound_bytes), (2, 2, 4, 9));
}

#[tokio::test]
async fn what_is_there_is_taken_without_waiting() {
    let stream = stream();
    let mut publisher = stream.publish().unwrap();
    let mut subscriber = stream.subscribe(Want::Live);
    assert!(matches!(subscriber.try_next(), Ok(None)));
    publisher.set_tracks(vec![Track::jpeg(None)]);
    publisher.push(frame(b"1"));
    assert!(matches!(subscriber.try_next(), Ok(Some(Item::Tracks(_)))));
    assert!(matches!(subscriber.try_next(), Ok(Some(Item::Frame(frame))) if frame.data == "1"));
    assert!(matches!(subscriber.try_next(), Ok(None)));
    subscriber.ask_keyframe();
    assert!(publisher.is_keyframe_wanted() && !publisher.is_keyframe_wanted());
}

#[tokio::test]
async fn a_publisher_may_show_notices_between_its_pictures_and_send_its_viewers_away() {
    let stream = stream();
    let mut publisher = stream.publish().unwrap();
    let mut subscriber = stream.subscribe(Want::All);
    publisher.set_tracks(vec![Track::jpeg(None)]);
    publisher.push(frame(b"1"));
    publisher.notice(frame(b"lost"), vec![Track::jpeg(None)]);
    publisher.push(frame(b"2"));
    let mut seen = String::new();
    while let Some(item) = subscriber.try_next().unwrap() {
        match item {
            Item::Frame(frame) => seen.push_str(&format!("{} ", String::from_utf8_lossy(&frame.data))),
            Item::Notice(frame) => seen.push_str(&format!("({}) ", String::from_utf8_lossy(&frame.data))),
            _ => {}
        }
    }
    assert_eq!(seen, "1 (lost) 2 ");
    publisher.send_away();
    assert_eq!(subscriber.next().await.unwrap_err(), Closed);
    assert!(matches!(stream.subscribe(Want::Live).try_next(), Ok(None)), "nobody begins at an old picture");
}

#[tokio::test]
async fn who_waits_for_tracks_gets_the_first_that_are_enough() {
    let stream = stream();
    let mut publisher = stream.publish().unwrap();
    let waiting = |count: usize| {
        let stream = stream.clone();
        tokio::spawn(async move { stream.tracks_known(|tracks| tracks.len() >= count).await.len() })
    };
    let (one, two) = (waiting(1), waiting(2));
    tokio::task::yield_now().await;
    publisher.set_tracks(vec![]);
    publisher.set_tracks(vec![Track::jpeg(None)]);
    assert_eq!(one.await.unwrap(), 1);
    assert!(!two.is_finished());
    publisher.set_tracks(vec![Track::jpeg(None), Track::jpeg(None)]);
    assert_eq!(two.await.unwrap(), 2);
    assert_eq!(waiting(1).await.unwrap(), 2, "what was said before is known");
}
