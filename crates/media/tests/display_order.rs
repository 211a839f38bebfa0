//! In which order x264's and x265's pictures are shown, and how fast, as MP4 says it and as their bytes do.

use std::time::Duration;

use ocelli_media::annexb::{AccessUnit, Event, Framer};
use ocelli_media::{Codec, DisplayOrder};

mod folder;

use folder::{Folder, run};

/// The access units of a film whose MP4 stands in `folder`, with the framer that found them.
fn units(folder: &Folder, codec: Codec) -> (Vec<AccessUnit>, Framer) {
    let (format, filter) = match codec {
        Codec::H264 => ("h264", "h264_mp4toannexb"),
        _ => ("hevc", "hevc_mp4toannexb"),
    };
    let path = folder.0.display();
    run(&format!("ffmpeg -v error -y -i {path}/film.mp4 -c copy -bsf:v {filter} -f {format} {path}/film"));
    let stream = std::fs::read(folder.0.join("film")).expect("it was written");
    let mut framer = Framer::new(codec, 8 << 20);
    let mut units = Vec::new();
    framer.room().extend_from_slice(&stream);
    let mut take = |event| match event {
        Event::Frame(unit) => units.push(unit),
        dropped @ Event::Dropped { .. } => panic!("{dropped:?}"),
    };
    std::iter::from_fn(|| framer.next_event()).for_each(&mut take);
    std::iter::from_fn(|| framer.finish()).for_each(&mut take);
    (units, framer)
}

fn each(codec: Codec, encoder: &str, option: &str, cases: &[&str]) {
    for (index, parameters) in cases.iter().enumerate() {
        let folder = Folder::new(&format!("order-{encoder}-{index}"));
        let path = folder.0.display();
        run(&format!(
            "ffmpeg -v error -y -f lavfi -i testsrc2=size=160x120:rate=30000/1001 -frames:v 70 -c:v {encoder} {option} {parameters} -video_track_timescale 30000 {path}/film.mp4"
        ));
        let packets = run(&format!("ffprobe -v error -show_entries packet=pts -of csv=p=0 {path}/film.mp4"));
        let shown: Vec<i64> =
            packets.lines().map(|pts| pts.trim_end_matches(',').parse().expect("a time")).collect();
        let (units, framer) = units(&folder, codec);
        assert_eq!(units.len(), 70, "{parameters}");
        let interval = framer.parameter_sets().interval().expect("the encoder says it");
        assert_eq!(interval, Duration::from_nanos(33_366_666), "{parameters}");
        let mut order = DisplayOrder::default();
        let places: Vec<i64> = units
            .iter()
            .enumerate()
            .map(|(index, unit)| {
                let place = order.place(&unit.data, framer.parameter_sets());
                assert_eq!(place.fields, 2, "{parameters}");
                (2 * index as i64 + place.later) * 1001 / 2
            })
            .collect();
        let shown: Vec<i64> = shown.iter().map(|time| time - shown[0]).collect();
        assert_eq!(places, shown, "{parameters}");
    }
}

#[test]
fn h264_is_shown_in_the_order_that_mp4_says() {
    each(
        Codec::H264,
        "libx264",
        "-x264-params",
        &[
            "bframes=0",
            "keyint=20:bframes=3:b-adapt=0",
            "keyint=20:bframes=5:b-pyramid=normal:b-adapt=0:slices=3:aud=1",
            "keyint=25:open-gop=1:bframes=3",
            "interlaced=1:bframes=2",
        ],
    );
}

#[test]
fn h265_is_shown_in_the_order_that_mp4_says() {
    each(
        Codec::H265,
        "libx265",
        "-x265-params",
        &[
            "log-level=none:pools=2:bframes=0",
            "log-level=none:pools=2:keyint=20:bframes=4:open-gop=0",
            "log-level=none:pools=2:keyint=20:bframes=4:open-gop=1:slices=2:aud=1",
            "log-level=none:pools=2:keyint=20:scaling-list=default:temporal-layers=2:pools=1:frame-threads=1",
        ],
    );
}
