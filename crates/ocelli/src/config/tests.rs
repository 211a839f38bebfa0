//! Files and flags: what they mean, what is wrong with them, and what must not be shown.

use std::collections::BTreeSet;
use std::time::Duration;

use ocelli_media::Codec;
use proptest::prelude::*;

use super::keys::{CAMERA, TABLES, VARIANT};
use super::*;
use crate::capture::{MadeUp, System};
use crate::cli::{Mode, RtspFlag};
use crate::sources::Transport;

const MACHINE: MadeUp =
    MadeUp { system: System::Linux, programs: &["rpicam-vid", "ffmpeg"], paths: &["/dev/video0"] };

fn environment(name: &str) -> Option<String> {
    match name {
        // A slash ends the part of an address that holds user and password.
        "SLASHED" => Some("hun/hunter2".into()),
        "CAMERA_PASSWORD" => Some("hunter2".into()),
        "PORT" => Some("8123".into()),
        "WIDTH" => Some("wide-hunter2".into()),
        _ => None,
    }
}

const AROUND: Surroundings<'_> = Surroundings { environment: &environment, machine: &MACHINE };

fn args() -> ServeArgs {
    ServeArgs { config: Some("cameras.toml".into()), ..ServeArgs::default() }
}

pub(super) fn loaded(text: &str) -> Config {
    from_text(text, &args(), AROUND).unwrap_or_else(|errors| panic!("{errors}"))
}

fn refused(text: &str) -> String {
    match from_text(text, &args(), AROUND) {
        Ok(config) => panic!("{config:?}"),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn the_codec_of_an_rtp_source_stands_in_the_source() {
    let errors = refused("[cameras.door]\nsource = \"rtp://0.0.0.0:5000\"\ncodec = \"h264\"");
    assert_eq!(errors, "cameras.toml:3:9: cameras.door.codec: for `rtp:` write `?codec=h264` in the source");
}

#[test]
fn the_codec_of_bytes_is_stated_or_told_by_themselves() {
    let config = loaded(
        "[cameras]\na = \"exec:x\"\nb = { source = \"exec:x\", codec = \"h264\" }\nc = { source = \"file:x\", codec = \"h265\" }\nd = { source = \"sdp:x.sdp\", codec = \"h264\" }",
    );
    let codecs: Vec<_> = config.cameras.iter().map(|camera| camera.options.codec).collect();
    assert_eq!(codecs[..3], [None, Some(Codec::H264), Some(Codec::H265)]);
    let warnings: Vec<_> = config.warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert_eq!(warnings, ["cameras.d.codec: ignored, `sdp:` says itself what its pictures are"]);
}

#[test]
fn the_documented_example_loads_with_one_warning_for_what_is_not_there_yet() {
    let config = loaded(
        r#"[listen]
http = "0.0.0.0:8080"
rtsp = "0.0.0.0:8554"
webrtc = "0.0.0.0:8189"

[limits]
viewers = 100

[cameras.front]
source = "v4l2:///dev/video0?width=1280&height=720&fps=30"
push = ["rtp://192.168.1.100:5000?dscp=46&ssrc=0x12345678"]

[cameras.yard]
source = "rtsp://user:secret@10.0.0.7/stream"
transport = "tcp"

[cameras.pi]
source = "exec:rpicam-vid -t 0 --codec mjpeg -o -"

[cameras.test]
source = "pattern:?width=1280&height=720&fps=30"
"#,
    );
    let names: Vec<&str> = config.cameras.iter().map(|camera| camera.name.as_str()).collect();
    assert_eq!(names, ["front", "yard", "pi", "test"], "in the order of the file");
    assert_eq!(config.cameras[0].push[0].to_string(), "rtp://192.168.1.100:5000?dscp=46&ssrc=0x12345678");
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    let warning = config.warnings[0].to_string();
    assert!(warning.contains("WebRTC (`listen.webrtc` in line 4)"), "{warning}");
    assert!(!format!("{config:?}").contains("secret"));
}

#[test]
fn rtsp_is_served_at_its_usual_port_or_where_the_owner_says_or_not_at_all() {
    let at = |text: &str| loaded(text).rtsp_listen;
    let usual = RtspListen::Usual(([0, 0, 0, 0], 8554).into());
    assert_eq!(at(""), usual);
    assert_eq!(at("[listen]\nrtsp = 554"), RtspListen::At(([0, 0, 0, 0], 554).into()));
    assert_eq!(at("[listen]\nrtsp = \"[::1]:0\""), RtspListen::At("[::1]:0".parse().unwrap()));
    assert_eq!(at("[listen]\nrtsp = \"off\""), RtspListen::Off);
    assert!(refused("[listen]\nrtsp = \"on\"").contains("\"0.0.0.0:8554\", or \"off\""));
    let flags = |text: &str, address: Option<&str>, rtsp: Option<RtspFlag>| {
        let address = address.map(|address| address.parse().unwrap());
        let args = ServeArgs { address, rtsp, ..ServeArgs::default() };
        from_text(text, &args, AROUND).unwrap().rtsp_listen
    };
    let loopback = Some("127.0.0.1");
    assert_eq!(flags("", loopback, None), RtspListen::Usual(([127, 0, 0, 1], 8554).into()));
    assert_eq!(flags("[listen]\nrtsp = 554", loopback, None), RtspListen::At(([127, 0, 0, 1], 554).into()));
    assert_eq!(flags("[listen]\nrtsp = \"off\"", loopback, None), RtspListen::Off);
    let elsewhere = ([0, 0, 0, 0], 9).into();
    assert_eq!(flags("", loopback, Some(RtspFlag::At(elsewhere))), RtspListen::At(elsewhere));
    assert_eq!(flags("", None, Some(RtspFlag::Off)), RtspListen::Off);
}

#[test]
fn limits_of_rtsp_are_as_those_of_all_viewers_unless_they_are_given() {
    let rtsp = |text: &str| loaded(text).rtsp;
    assert_eq!(rtsp(""), RtspOptions::default());
    let grown = rtsp("[limits]\nviewers = 2000");
    assert_eq!((grown.connections, grown.sessions_per_address), (2500, 2000));
    assert_eq!(grown.connections_per_address, 2250, "room for as many, and for others");
    let text = "[limits]\nviewers = 2000\n[rtsp_server]\nconnections = 7\nsessions_per_address = 3\nhalf_open_per_address = 2\nmtu = 576\ntcp = false";
    let given = rtsp(text);
    assert_eq!((given.connections, given.sessions_per_address, given.half_open_per_address), (7, 3, 2));
    assert_eq!(given.connections_per_address, 6, "one address may not have them all");
    assert_eq!(rtsp("[rtsp_server]\nconnections_per_address = 4").connections_per_address, 4);
    assert_eq!((given.tcp, given.mtu), (false, 576));
}

#[test]
fn an_empty_file_gives_the_defaults_and_a_chosen_camera() {
    let config = loaded("");
    assert_eq!(config.http, ([0, 0, 0, 0], 8080).into());
    assert_eq!(
        config.limits,
        Limits {
            viewers: 100,
            connections: 1024,
            request_head_bytes: 16 << 10,
            request_timeout: Duration::from_secs(10),
            buffer_size: 32,
            worker_threads: None,
            encoders: 16,
            variants_per_camera: 8,
        }
    );
    assert_eq!(config.cors, Cors::None);
    assert_eq!(config.stats_interval, Some(Duration::from_secs(30)));
    assert_eq!(config.log_level, LogLevel::Info);
    assert_eq!(config.cameras[0].name.as_str(), "camera");
    assert!(config.chosen.unwrap().contains("rpicam-vid"));
    let camera = &loaded("[cameras.a]\nsource = \"pattern:\"").cameras[0];
    assert_eq!(camera.options, SourceOptions::default());
    assert_eq!((camera.enabled, camera.on_demand, camera.on_lost), (true, false, OnLost::Picture));
}

#[test]
fn every_key_is_read() {
    let config = loaded(
        r#"
[listen]
http = 8081
[limits]
viewers = 7
connections = 50
request_head_bytes = 2048
request_timeout_seconds = 2.5
buffer_size = 8
worker_threads = 3
[http]
cors = ["https://Example.org", "http://localhost:3000/"]
[log]
level = "warn"
stats_interval_seconds = 0
[cameras]
short = "pattern:"
[cameras.long]
source = "pattern:"
enabled = false
on_demand = true
on_lost = "hold"
quality = 55
max_frame_bytes = 2000
silence_timeout_seconds = 3
codec = "mjpeg"
"#,
    );
    assert_eq!(config.http, ([0, 0, 0, 0], 8081).into());
    assert_eq!(config.limits.request_timeout, Duration::from_millis(2500));
    assert_eq!((config.limits.viewers, config.limits.connections), (7, 50));
    assert_eq!((config.limits.request_head_bytes, config.limits.buffer_size), (2048, 8));
    assert_eq!(config.limits.worker_threads, Some(3));
    assert_eq!(
        config.cors,
        Cors::Origins(vec!["https://example.org".into(), "http://localhost:3000".into()])
    );
    assert_eq!((config.log_level, config.stats_interval), (LogLevel::Warn, None));
    assert_eq!(config.cameras[0].name.as_str(), "short");
    let camera = &config.cameras[1];
    assert_eq!((camera.enabled, camera.on_demand, camera.on_lost), (false, true, OnLost::Hold));
    let options = SourceOptions {
        quality: 55,
        max_frame_bytes: 2000,
        codec: Some(Codec::Jpeg),
        silence_timeout: Duration::from_secs(3),
        ..SourceOptions::default()
    };
    assert_eq!(camera.options, options);
    assert!(config.warnings.iter().all(|warning| !warning.text.contains("codec")));
}

#[test]
fn every_problem_is_reported_with_line_column_key_and_nearest_name() {
    let errors = refused(
        r#"[listen]
http = "0.0.0.0"
[limit]
[limits]
viewers = "many"
[cameras.front]
sorce = "pattern:"
quality = 300
on_lost = "picure"
[cameras."a b"]
source = "pattern:"
[cameras.front2]
device = "/dev/video0"
on_demand = 1
push = ["udp://1.2.3.4:5", "rtp://h:5?dscp=99", "rtp://h:6", "rtp://h:6"]
source = 5
"#,
    );
    let expected = [
        r#"cameras.toml:2:8: listen.http: found "0.0.0.0"; expected an IP address and a port such as "0.0.0.0:8080""#,
        "cameras.toml:3:2: limit: unknown table; did you mean `limits`?; expected one of listen, limits, http, log, rtp, rtsp_server, ffmpeg, cameras",
        r#"cameras.toml:5:11: limits.viewers: found "many"; expected a whole number from 1 to 1000000"#,
        "cameras.toml:6:10: cameras.front: the key `source` is missing",
        "cameras.toml:7:1: cameras.front.sorce: unknown key; did you mean `source`?",
        "cameras.toml:8:11: cameras.front.quality: found 300; expected a whole number from 1 to 100",
        r#"cameras.toml:9:11: cameras.front.on_lost: found "picure"; did you mean `picture`?"#,
        r#"cameras.toml:10:10: cameras.a b: `a b` is no name for a camera"#,
        "cameras.toml:13:1: cameras.front2.device: unknown key; did you mean `source`?",
        "cameras.toml:14:13: cameras.front2.on_demand: found 1; expected true or false",
        r#"cameras.toml:15:9: cameras.front2.push: found "udp://1.2.3.4:5", which does not begin with rtp://; expected rtp://host:port"#,
        "cameras.toml:15:28: cameras.front2.push: dscp=99: not a whole number from 0 to 63",
        "cameras.toml:15:62: cameras.front2.push: rtp://h:6 stands there twice; expected each target once",
        "cameras.toml:16:10: cameras.front2.source: found 5; expected a text",
    ];
    let found: Vec<&str> = errors.lines().collect();
    assert_eq!(found.len(), expected.len(), "{errors}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "found    {found}\nexpected {expected}");
    }
}

#[test]
fn text_that_is_no_toml_is_placed_and_not_shown() {
    let errors = refused("[cameras.yard]\nsource = http://user:hunter2@h/\nquality = 80\nquality = 70\n");
    assert!(errors.starts_with("cameras.toml:2:10: not valid TOML: "), "{errors}");
    assert!(errors.contains("cameras.toml:4:1: not valid TOML: duplicate key"), "{errors}");
    assert!(!errors.contains("hunter2"));
}

#[test]
fn variables_are_replaced_and_never_shown() {
    let config = loaded(
        "[listen]\nhttp = \":${PORT}\"\n[limits]\nviewers = \"${PORT}\"\n[cameras.a]\n\
         source = \"http://user:${CAMERA_PASSWORD}@10.0.0.7/$${x}\"",
    );
    assert_eq!((config.http.port(), config.limits.viewers), (8123, 8123));
    assert_eq!(config.cameras[0].source.as_str(), "http://user:hunter2@10.0.0.7/${x}");
    assert!(!format!("{config:?}{}", config.cameras[0].source).contains("hunter2"));

    let config =
        loaded("[cameras.a]\nsource = \"rtsp://u:${SLASHED}@h/\"\n[camera1]\ndevice = \"exec:x ${SLASHED}\"");
    assert_eq!(config.cameras[0].source.as_str(), "rtsp://u:hun/hunter2@h/");
    assert_eq!(config.cameras[1].source.as_str(), "exec:x hun/hunter2");
    assert_eq!(config.cameras[1].source.to_string(), "exec:x ${SLASHED}");
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");

    let errors = refused(
        "[limits]\nviewers = \"${CAMERA_PASSWORD}\"\n[cameras.a]\nsource = \"http://u:${NOT_SET}@h/\"\n\
         [cameras.b]\nsource = \"${CAMERA_PASSWORD}://x\"\n[cameras.c]\nsource = \"nothing:${WIDTH}\"\n\
         on_lost = \"${CAMERA_PASSWORD}\"\npush = \"${CAMERA_PASSWORD}\"\n[listen]\nhttp = \"${CAMERA_PASSWORD}\"",
    );
    assert!(
        errors.contains(":4:10: cameras.a.source: the environment variable `NOT_SET` is not set"),
        "{errors}"
    );
    assert_eq!(errors.lines().count(), 7, "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn flags_count_before_the_file() {
    let args = ServeArgs {
        port: Some(9000),
        address: Some([127, 0, 0, 1].into()),
        max_clients: Some(5),
        buffer_size: Some(4),
        stats_interval: Some(Duration::from_secs(1)),
        verbose: true,
        camera: vec!["a=file:x.jpg?loop=1".into(), "pattern:?width=640".into()],
        camera_cmd: Some("ffmpeg".into()),
        camera_args: Some("-f v4l2 -i /dev/video0 -c:v mjpeg -f mjpeg -".into()),
        ..args()
    };
    let text = "[listen]\nhttp = \"0.0.0.0:1\"\n[limits]\nviewers = 1\nbuffer_size = 2\n[log]\nlevel = \"error\"\n\
                [cameras.a]\nsource = \"pattern:\"\nenabled = false\non_lost = \"close\"";
    let config = from_text(text, &args, AROUND).unwrap();
    assert_eq!(config.http, ([127, 0, 0, 1], 9000).into());
    assert_eq!((config.limits.viewers, config.limits.buffer_size), (5, 4));
    assert_eq!((config.stats_interval, config.log_level), (Some(Duration::from_secs(1)), LogLevel::Debug));
    assert_eq!(config.cameras.len(), 2);
    assert_eq!(config.cameras[0].source.as_str(), "file:x.jpg?loop=1");
    assert_eq!((config.cameras[0].enabled, config.cameras[0].on_lost), (true, OnLost::Close));
    assert_eq!(config.cameras[1].name.as_str(), "camera");
    assert_eq!(
        config.cameras[1].source.as_str(),
        "exec:ffmpeg -f v4l2 -i /dev/video0 -c:v mjpeg -f mjpeg -",
        "the later flag of the same name"
    );
    assert_eq!(config.chosen, None);
}

#[test]
fn connections_follow_viewers_unless_they_are_set() {
    let connections = |text: &str, max_clients| {
        let config = from_text(text, &ServeArgs { max_clients, ..args() }, AROUND).unwrap();
        (config.limits.connections, config.warnings.len())
    };
    assert_eq!(connections("", Some(2000)), (2500, 0));
    assert_eq!(connections("[limits]\nviewers = 10", None), (1024, 0));
    assert_eq!(connections("[limits]\nconnections = 10", None), (10, 1));
}

#[test]
fn bad_flags_are_problems_of_the_same_kind() {
    let args = ServeArgs {
        camera: vec!["front".into(), "a b=pattern:".into(), "x=nothing:".into()],
        camera_args: Some("'open".into()),
        ..ServeArgs::default()
    };
    let errors = from_text("", &args, AROUND).unwrap_err();
    assert_eq!(errors.problems.len(), 4, "{errors}");
    let text = errors.to_string();
    assert!(text.contains("--camera: found \"front\"; expected NAME=SOURCE"), "{text}");
    assert!(text.contains("--camera: `a b` is no name for a camera"), "{text}");
    assert!(text.contains("no kind of source is called `nothing:`"), "{text}");
    assert!(text.contains("--camera-args: a quote is opened"), "{text}");
}

#[test]
fn a_camera_this_build_cannot_run_loads_and_is_refused_when_it_is_dialled() {
    let config = loaded("[cameras.yard]\nsource = \"whip://u:hunter2@h/x\"");
    let warning = config.warnings[0].to_string();
    assert!(warning.contains("WebRTC (`cameras.yard.source` in line 2)"), "{warning}");
    let _refused = config.cameras[0].build();
}

#[test]
fn the_schema_names_every_key() {
    let schema = schema();
    let named = |value: &serde_json::Value| -> BTreeSet<String> {
        value["properties"].as_object().unwrap().keys().cloned().collect()
    };
    for table in TABLES {
        let keys = table.keys.iter().map(|key| key.name.to_owned()).collect();
        assert_eq!(named(&schema["properties"][table.name]), keys);
    }
    let camera = &schema["properties"]["cameras"]["patternProperties"][NAME_PATTERN]["anyOf"][0];
    assert_eq!(named(camera), CAMERA.keys.iter().map(|key| key.name.to_owned()).collect());
    let variant = &camera["properties"]["variants"]["patternProperties"][NAME_PATTERN];
    assert_eq!(named(variant), VARIANT.keys.iter().map(|key| key.name.to_owned()).collect());
}

mod pixels;
mod predecessors;

/// Pieces that make texts which are nearly configurations.
fn nearly_toml() -> impl Strategy<Value = String> {
    let mut pieces: Vec<String> = [
        "\n",
        " = ",
        "[",
        "]",
        "{",
        "}",
        "\"",
        ",",
        ".",
        "camera1",
        "mjpeg-rtp",
        "rtsp",
        "url",
        "server",
        "${",
        "}",
        "${PORT}",
        "-1",
        "1e400",
        "nan",
        "9223372036854775808",
        "true",
        "[[cameras]]",
        "é",
        "\u{0}",
        "pattern:",
        "exec:'",
        "rtp://h:1?ssrc=0x",
        "transcoding",
        "resolution",
        "0x0",
        "\"x\"",
        "flip_method",
        "device",
        "[cameras.a.variants.b]",
        "[cameras.a.variants]",
    ]
    .map(str::to_owned)
    .into();
    for table in TABLES.iter().chain([&CAMERA, &VARIANT]) {
        pieces.push(format!("\n[{}]\n", table.name));
        pieces.push(format!("\n[{}.a]\n", table.name));
        pieces.extend(table.keys.iter().map(|key| key.name.to_owned()));
    }
    prop::collection::vec(prop::sample::select(pieces), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in prop_oneof![nearly_toml(), any::<String>()]) {
        if let Err(errors) = from_text(&text, &args(), AROUND) {
            prop_assert!(!errors.problems.is_empty());
            prop_assert!(!errors.to_string().contains("hunter2"));
        }
    }
}
