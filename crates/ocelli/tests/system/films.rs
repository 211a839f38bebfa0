//! H.264 and H.265 of programs and files, from the encoder to FFmpeg as an RTSP player: every picture decoded, none too much, each
//! at its time; and what HTTP says of them.

use serde_json::Value;
use tempfile::TempDir;

use crate::processes::until;
use crate::programs::{directory, installed, run};
use crate::server::Server;

/// Has FFmpeg make two seconds of film at 25 pictures a second in `directory`, and gives its address.
fn film(directory: &TempDir, name: &str, arguments: &str) -> String {
    let path = directory.path().join(name).display().to_string();
    run(
        directory,
        &format!(
            "ffmpeg -v error -y -f lavfi -i testsrc2=size=320x240:rate=25 -f lavfi -i sine=sample_rate=48000 -t 2 {arguments} {path}"
        ),
    );
    format!("file:{path}?loop=1")
}

fn rtsp(server: &Server, camera: &str) -> String {
    let listens = server.stats()["rtsp"]["listens"].as_str().unwrap().to_owned();
    format!("rtsp://{listens}/{camera}")
}

/// The times of so many pictures that FFmpeg shows, in milliseconds, of a stream that it reads over TCP. It must decode them
/// all and find no fault with any.
fn shown(directory: &TempDir, address: &str, pictures: u32) -> Vec<i64> {
    let frames = directory.path().join("frames");
    let said = run(
        directory,
        &format!(
            "ffprobe -v warning -rtsp_transport tcp -select_streams v -read_intervals %+#{pictures} -show_entries frame=pts_time -of csv=p=0 -o {} {address}",
            frames.display()
        ),
    );
    let faults: Vec<_> = said.lines().filter(|line| is_fault(line)).collect();
    assert!(faults.is_empty(), "{address}: {faults:#?}");
    let frames = std::fs::read_to_string(frames).unwrap();
    let lines: Vec<_> = frames.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), pictures as usize, "{address}: {lines:?}");
    let time = |line: &str| line.split(',').next().unwrap().parse::<f64>().ok();
    let times: Vec<_> = lines.iter().filter_map(|line| time(line)).collect();
    // FFmpeg does not say when the first picture of a stream is shown.
    assert!(times.len() + 1 >= lines.len(), "{lines:?}");
    times.iter().map(|time| (time * 1000.0).round() as i64).collect()
}

/// What FFmpeg says of a stream whose packets or pictures it cannot use.
fn is_fault(line: &str) -> bool {
    [
        "error",
        "corrupt",
        "missed",
        "concealing",
        "non-existing",
        "Could not find ref",
        "Non-monot",
        "non monot",
    ]
    .iter()
    .any(|word| line.contains(word))
}

#[test]
fn every_picture_of_a_film_reaches_players_at_its_time() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let x264 = "-c:v libx264 -preset ultrafast -x264-params keyint=25:bframes=3:b-adapt=0:scenecut=0";
    let x265 =
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:pools=1:keyint=25:bframes=3:open-gop=0";
    let films = [
        ("mp4", film(&directory, "a.mp4", &format!("{x264} -c:a aac"))),
        (
            "fragments",
            film(&directory, "b.mp4", &format!("{x264} -c:a libopus -movflags +frag_keyframe+empty_moov")),
        ),
        ("h264", film(&directory, "c.h264", &format!("-map 0:v {x264} -f h264"))),
        ("h265", film(&directory, "d.h265", &format!("-map 0:v {x265} -f hevc"))),
        ("hevc", film(&directory, "e.mp4", &format!("{x265} -an"))),
    ];
    let cameras: Vec<String> =
        films.iter().flat_map(|(name, source)| ["--camera".to_owned(), format!("{name}={source}")]).collect();
    let arguments: Vec<&str> = cameras.iter().map(String::as_str).collect();
    let server = Server::start(&arguments);
    for (name, _) in &films {
        server.until_state(name, "ready");
        let times = shown(&directory, &rtsp(&server, name), 80);
        let odd: Vec<_> =
            times.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| !(39..=41).contains(step)).collect();
        // Where the film begins anew, it waits for its sound to end.
        let seams = if matches!(*name, "mp4" | "fragments") { 40..240 } else { 0..0 };
        assert!(odd.len() <= 2 && odd.iter().all(|step| seams.contains(step)), "{name}: {times:?}");
        let stats = server.stats_of(name);
        assert_eq!(
            (&stats["dropped"], &stats["garbage_bytes"]),
            (&Value::from(0), &Value::from(0)),
            "{name}"
        );
        assert_eq!(stats["width"], 320, "{name}");
        until("its rate is its own", || (stats_rate(&server, name) - 25.0).abs() < 2.0);
    }
    server.stop();
}

fn stats_rate(server: &Server, camera: &str) -> f64 {
    server.stats_of(camera)["fps"].as_f64().unwrap()
}

#[test]
fn programs_that_write_h264_and_h265_are_cameras_and_http_says_where_to_watch_them() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let source = "exec:ffmpeg -v error -re -f lavfi -i testsrc2=size=320x240:rate=25";
    let server = Server::start(&[
        "--camera",
        &format!("h264={source} -c:v libx264 -preset ultrafast -tune zerolatency -g 25 -f h264 -"),
        "--camera",
        &format!(
            "aud={source} -c:v libx264 -preset ultrafast -x264-params slices=4:aud=1:keyint=25:bframes=2 -f h264 -"
        ),
        "--camera",
        &format!(
            "h265={source} -c:v libx265 -preset ultrafast -x265-params log-level=none:pools=1:keyint=25:bframes=0 -f hevc -"
        ),
    ]);
    for (name, codec) in [("h264", "h264"), ("aud", "h264"), ("h265", "h265")] {
        server.until_state(name, "ready");
        let times = shown(&directory, &rtsp(&server, name), 50);
        assert!(times.windows(2).all(|pair| pair[1] > pair[0]), "{name}: {times:?}");
        let span = times[times.len() - 1] - times[0];
        // At least as long as the film; a busy machine may encode it more slowly.
        assert!((1600..10_000).contains(&span), "{name}: {times:?}");
        let stats = server.stats_of(name);
        assert_eq!((&stats["codec"], &stats["dropped"]), (&codec.into(), &0.into()), "{name}");
    }
    server.stop();
}
