//! The file of the RTSP-to-browser server: `[server]`, `[rtsp]`, `[transcoding]`, `[ffmpeg]`, `[performance]`.
//!
//! Its one camera is called `camera`. `[transcoding]` says what its viewers get who ask for nothing else; it is made here, by the
//! worker, which has FFmpeg decode and encode where the file itself says `enabled = true` and FFmpeg is installed. Where `[ffmpeg]` has
//! words of its own for FFmpeg (`extra_args`), that is what reads the camera and turns it into MJPEG.

use std::time::Duration;

use ocelli_media::Codec;
use toml::de::DeTable;

use super::super::keys::{PERFORMANCE, RTSP, SERVER, TRANSCODING};
use super::super::ours::{self, RTSP_SILENCE, check_source, is_rtsp};
use super::super::problem::Problem;
use super::super::reader::Reader;
use super::super::section::{Section, Text};
use super::super::value::host;
use super::super::{CameraConfig, Config, Surroundings, default_name};
use crate::sources::{SourceOptions, Transport};
use crate::variants::{Fps, Shape};

/// The shortest time between two tries.
const LEAST_RECONNECT_INTERVAL: Duration = Duration::from_millis(100);
/// Within these bounds `max_latency_ms` holds.
const LEAST_LATENCY: Duration = Duration::from_millis(10);
const LONGEST_LATENCY: Duration = Duration::from_secs(60);

pub(super) fn read(
    root: &DeTable<'_>,
    config: &mut Config,
    reader: &mut Reader<'_>,
    around: Surroundings<'_>,
    ffmpeg: &Section,
) {
    server(&reader.top(root, SERVER), config, reader);
    performance(&reader.top(root, PERFORMANCE), config);
    let rtsp = reader.top(root, RTSP);
    let transcoding = reader.top(root, TRANSCODING);
    let Some(url) = rtsp.text("url").cloned() else {
        if rtsp.place.is_some() && rtsp.place_of("url").is_none() && reader.problems.is_empty() {
            let problem = Problem::new(rtsp.place, "rtsp", "the key `url` is missing");
            reader.problems.push(problem.expected("url = \"rtsp://…\""));
        }
        return;
    };
    let quality = transcoding.known_integer("quality");
    let default = SourceOptions::default();
    let mut camera = CameraConfig {
        options: SourceOptions {
            quality: quality.unwrap_or(default.quality),
            silence_timeout: if is_rtsp(&url.text) { RTSP_SILENCE } else { default.silence_timeout },
            transport: Transport::parse(rtsp.word("transport")).unwrap_or(default.transport),
            reconnect_interval: rtsp
                .place_of("reconnect_interval")
                .map(|_| rtsp.seconds("reconnect_interval").max(LEAST_RECONNECT_INTERVAL)),
            ..default.clone()
        },
        ..ours::camera(default_name(), &url)
    };
    if config.cameras.iter().any(|known| known.name == camera.name) {
        let problem = Problem::new(Some(url.place), "rtsp.url", "there is a `[cameras.camera]` as well");
        reader.problems.push(problem.expected("one camera of a name"));
        return;
    }
    let size = resolution(&transcoding, reader);
    let codec = output_codec(&transcoding, reader);
    let has_words = !ffmpeg.texts("extra_args").is_empty();
    let read_by_ffmpeg = (is_rtsp(&url.text) && codec.is_none() && has_words)
        .then(|| through_ffmpeg(&url, &rtsp, &transcoding, size, ffmpeg, reader, around))
        .flatten();
    if let Some(source) = read_by_ffmpeg {
        camera.source = (&source).into();
        camera.options.silence_timeout = default.silence_timeout;
        check_source("rtsp.url", &source, &mut camera, reader);
    } else {
        check_source("rtsp.url", &url, &mut camera, reader);
        camera.pixels.shape = Shape {
            codec,
            width: size.0,
            height: size.1,
            fps: transcoding.known_integer::<u32>("framerate").and_then(|fps| Fps::new(fps.into())),
            ..Shape::default()
        };
        camera.pixels.by_ffmpeg = wants_ffmpeg(ffmpeg, reader, around);
    }
    if let Some(limit) = transcoding.known_integer("max_latency_ms") {
        // Without a bound the longest that there is.
        let limit = if limit == 0 { LONGEST_LATENCY } else { Duration::from_millis(limit) };
        camera.pixels.max_latency = limit.clamp(LEAST_LATENCY, LONGEST_LATENCY);
    }
    config.cameras.push(camera);
}

/// Whether the file itself asks for FFmpeg, and there is one. Without it the worker does the same.
fn wants_ffmpeg(ffmpeg: &Section, reader: &mut Reader<'_>, around: Surroundings<'_>) -> bool {
    let program = ffmpeg.text("path").map_or("ffmpeg", |text| text.text.as_str());
    let Some(place) = ffmpeg.place_of("enabled").filter(|_| ffmpeg.flag("enabled")) else { return false };
    let is_there = around.machine.has_program(program);
    if !is_there {
        reader.warn(
            Some(place),
            "ffmpeg.enabled: FFmpeg is not installed, and the worker decodes and encodes without it",
        );
    }
    is_there
}

/// What players by RTSP get: the camera's own codec unless another is named. Browsers get MJPEG, whatever it is.
fn output_codec(transcoding: &Section, reader: &mut Reader<'_>) -> Option<Codec> {
    let format = transcoding.text("output_format")?;
    match format.text.to_ascii_lowercase().as_str() {
        "mjpeg" | "jpeg" | "mjpg" => None,
        "h264" | "h.264" | "avc" => Some(Codec::H264),
        "raw" => {
            reader.plan("raw pictures to browsers", "transcoding.output_format", format.place);
            None
        }
        _ => {
            let found = format.quoted();
            let text = format!("transcoding.output_format: {found} ignored, expected \"mjpeg\" or \"h264\"");
            reader.warn(Some(format.place), text);
            None
        }
    }
}

/// The source by which FFmpeg reads the camera and turns it into MJPEG, if it may and can. Its address is in no command line.
fn through_ffmpeg(
    url: &Text,
    rtsp: &Section,
    transcoding: &Section,
    size: (Option<u16>, Option<u16>),
    ffmpeg: &Section,
    reader: &mut Reader<'_>,
    around: Surroundings<'_>,
) -> Option<Text> {
    let program = ffmpeg.text("path").map_or("ffmpeg", |text| text.text.as_str());
    if !ffmpeg.flag("enabled") || !around.machine.has_program(program) {
        return None;
    }
    let rate = transcoding.known_integer::<u32>("framerate").map(|rate| format!("-r {rate}"));
    let size = match size {
        (Some(width), Some(height)) => Some(format!("-s {width}x{height}")),
        _ => None,
    };
    let output: Vec<String> = rate.into_iter().chain(size).collect();
    let parameters = format!(
        "#video=mjpeg&audio=off&input=-rtsp_transport {}&output={}",
        rtsp.word("transport"),
        output.join(" ")
    );
    reader.warn(
        Some(url.place),
        "rtsp.url: FFmpeg reads this camera and turns it into MJPEG, as `[ffmpeg]` has it",
    );
    Some(Text {
        text: format!("ffmpeg:{}{parameters}", url.text),
        shown: format!("ffmpeg:{}{parameters}", url.shown),
        ..url.clone()
    })
}

fn server(server: &Section, config: &mut Config, reader: &mut Reader<'_>) {
    if let Some(text) = server.text("host") {
        match host(&text.text) {
            Some(address) => config.http.set_ip(address),
            None => {
                let problem =
                    Problem::new(Some(text.place), "server.host", format!("found {}", text.quoted()));
                reader.problems.push(problem.expected("an IP address such as \"0.0.0.0\""));
            }
        }
    }
    if let Some(port) = server.known_integer("port") {
        config.http.set_port(port);
    }
}

fn performance(performance: &Section, config: &mut Config) {
    // Zero threads meant one for each core.
    let threads = performance.known_integer::<usize>("worker_threads").filter(|threads| *threads > 0);
    config.limits.worker_threads = threads.or(config.limits.worker_threads);
    config.limits.viewers = performance.known_integer("max_clients").unwrap_or(config.limits.viewers);
    let pictures = performance.known_integer::<usize>("frame_buffer_size");
    config.limits.buffer_size = pictures.map_or(config.limits.buffer_size, |pictures| pictures.max(2));
}

/// `"1280x720"`.
fn resolution(transcoding: &Section, reader: &mut Reader<'_>) -> (Option<u16>, Option<u16>) {
    let Some(text) = transcoding.text("resolution") else {
        if let Some(place) = transcoding.place_of("resolution") {
            reader.warn(Some(place), "transcoding.resolution: ignored, expected a text such as \"1280x720\"");
        }
        return (None, None);
    };
    let (width, height) = text.text.split_once(['x', 'X', '*', ':']).unwrap_or_default();
    match (width.trim().parse::<u16>(), height.trim().parse::<u16>()) {
        (Ok(width @ 16..=8192), Ok(height @ 16..=8192)) => (Some(width), Some(height)),
        _ => {
            let problem = format!(
                "transcoding.resolution: {} ignored, expected a size such as \"1280x720\"",
                text.quoted()
            );
            reader.warn(Some(text.place), problem);
            (None, None)
        }
    }
}
