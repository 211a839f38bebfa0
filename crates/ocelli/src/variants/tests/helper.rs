//! A worker that lacks a codec, and FFmpeg's program, which may have it.

use ocelli_codec::worker::protocol::Coding;
use tokio::time::{advance, pause, resume, timeout};

use super::scene::*;
use super::*;
use crate::transcode::LOOK_AGAIN;

/// A camera of JPEG, a worker that encodes nothing else, and FFmpeg at `ffmpeg`.
fn poor(ffmpeg: &str) -> Scene {
    let able = Able::new(&Input::ALL, &[Coding::Jpeg]);
    let (path, directory) = program(&Hello::new(able, "not at all").write(), SCRIPT);
    let ffmpeg = Arc::new(Program::new(ffmpeg.to_owned(), true, Vec::new()));
    let tracks = vec![Track::video(Codec::Jpeg, Some(SIZE), Vec::new())];
    Scene::with_program(path, directory, tracks, Rules { ffmpeg, ..Rules::default() })
}

#[tokio::test]
async fn a_program_that_cannot_be_used_costs_nobody_the_worker_there_is() {
    let mut scene = poor("/no/such/ffmpeg");
    let mut small = Reader::new(scene.shaped("width=640").unwrap());
    for _ in 0..3 {
        scene.give("before", true);
        small.text_of("before").await;
        let film = scene.shaped("codec=h264").unwrap();
        scene.give("during", true);
        small.text_of("during").await;
        drop(film);
        scene.until("it is known", |scene| scene.shaped("codec=h264").is_err()).await;
        let Err(Unshaped::Impossible(why)) = scene.shaped("codec=h264") else { panic!("it is known") };
        assert!(why.ends_with("and the program that could help: `ffmpeg` is not installed"), "{why}");
        // Once it has answered this, it owes nothing, and time may pass.
        let picture = Bytes::from(JPEG.to_vec());
        let wish = Wish { quality: None, sampling: None, most: SIZE };
        timeout(SOON, scene.pixels.recode(picture, wish)).await.expect("in time").unwrap();
        pause();
        advance(LOOK_AGAIN).await;
        resume();
    }
    let stats = scene.pixels.stats();
    assert_eq!((stats.starts, stats.lost), (1, 0));
}

#[tokio::test]
async fn one_that_can_be_used_is_given_to_another_worker() {
    let answer = "ffmpeg version 5.1 of a test\nlibavformat    59. 27.100 / 59. 27.100";
    let (ffmpeg, _directory) = program(b"", &format!("#!/bin/sh\necho '{answer}'\n"));
    let mut scene = poor(ffmpeg.to_str().unwrap());
    let mut small = Reader::new(scene.shaped("width=640").unwrap());
    scene.give("before", true);
    small.text_of("before").await;
    let mut film = Reader::new(scene.shaped("codec=h264").unwrap());
    scene.until("another is there", |scene| scene.pixels.stats().starts == 2).await;
    scene.give("behind", true);
    film.text_of("behind").await;
    small.text_of("behind").await;
    assert_eq!(scene.pixels.stats().lost, 0);
}
