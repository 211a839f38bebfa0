//! Ocelli's own tables: `[listen]`, `[limits]`, `[http]`, `[log]`, `[rtp]`, `[rtsp_server]`, `[ffmpeg]`, `[cameras.NAME]`. A camera's
//! variants are in [`pixels`](super::pixels).

use std::sync::Arc;
use std::time::Duration;

use ocelli_hub::{OnLost, StreamName};
use ocelli_media::Codec;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys;
use super::pixels;
use super::ports;
use super::predecessors;
use super::problem::Problem;
use super::reader::{Reader, in_file_order, unknown_table};
use super::section::{Section, Text};
use super::value::short;
use super::{
    CameraConfig, Config, Cors, Limits, LogLevel, PixelOptions, RtspListen, SourceText, Surroundings,
};
use crate::cli::Mode;
use crate::ffmpeg::Program;
use crate::outputs::rtp::{PushAddress, Reencode, RtpOptions};
use crate::outputs::rtsp::{Multicast, RtspOptions, of_one_address};
use crate::sources::{self, SourceOptions, SourceUrl, Transport, hide_user};
use crate::udp::Interface;

/// In the place of a number that depends on others, until all of them are known.
const UNSET: usize = 0;

/// Fills in what depends on the file and the flags together, and warns of what contradicts itself.
pub(super) fn finish(config: &mut Config, reader: &mut Reader<'_>) {
    let limits = &mut config.limits;
    if limits.connections == UNSET {
        // Room for snapshots and the page's own requests beside the viewers.
        limits.connections = (limits.viewers + limits.viewers / 4).max(1024);
    } else if limits.connections < limits.viewers {
        let text = format!(
            "limits.connections: {} connections cannot hold {} viewers",
            limits.connections, limits.viewers
        );
        reader.warn(None, text);
    }
    let rtsp = &mut config.rtsp;
    if rtsp.connections == UNSET {
        rtsp.connections = limits.connections;
    }
    if rtsp.connections_per_address == UNSET {
        rtsp.connections_per_address = of_one_address(rtsp.connections);
    }
    if rtsp.sessions_per_address == UNSET {
        rtsp.sessions_per_address = limits.viewers;
    }
    if !config.cameras.is_empty() && config.cameras.iter().all(|camera| !camera.enabled) {
        reader.warn(None, "every camera is disabled");
    }
    for camera in &mut config.cameras {
        camera.options.ffmpeg = config.ffmpeg.clone();
    }
    ports::warn(&config.cameras, reader);
}

/// How long an RTSP camera may be silent, where its owner does not say.
pub(super) const RTSP_SILENCE: Duration = Duration::from_secs(5);

/// Kinds of source that the contract promises and a build may lack: what is missing when one is.
const PROMISED: &[(&str, &str)] = &[
    ("whip", "WebRTC"),
    ("exec", "camera programs"),
    ("v4l2", "V4L2 capture (Linux only)"),
    ("file", "pictures from files"),
    ("http", "HTTP cameras"),
    ("https", "HTTP cameras behind TLS"),
    ("pattern", "the test pattern"),
];

/// Reads a whole file. Problems and warnings are left with `reader`.
pub(super) fn read(
    text: &str,
    mode: Option<Mode>,
    reader: &mut Reader<'_>,
    around: Surroundings<'_>,
) -> Config {
    let (root, errors) = DeTable::parse_recoverable(text);
    // What could be read of a file that is no TOML would only add problems that are none.
    let empty = DeTable::new();
    let root = if errors.is_empty() { root.get_ref() } else { &empty };
    for error in errors {
        let place = error.span().map(|span| reader.place(span.start));
        reader.problems.push(Problem::new(place, "", format!("not valid TOML: {}", error.message())));
    }
    reader.lenient = predecessors::recognised(root);
    check_tables(root, reader);

    let listen = reader.top(root, keys::LISTEN);
    let limits = reader.top(root, keys::LIMITS);
    let http = reader.top(root, keys::HTTP);
    let log = reader.top(root, keys::LOG);
    let rtp_section = reader.top(root, keys::RTP);
    let rtsp_section = reader.top(root, keys::RTSP_SERVER);
    let rtsp = rtsp(&rtsp_section, reader);
    let ffmpeg = reader.top(root, keys::FFMPEG);
    let mut config = Config {
        file: None,
        http: listen.address("http").unwrap_or_else(|| ([0, 0, 0, 0], 8080).into()),
        rtsp_listen: match (listen.address_unless_off("rtsp"), listen.place_of("rtsp")) {
            (None, _) => RtspListen::Off,
            (Some(address), None) => RtspListen::Usual(address),
            (Some(address), Some(_)) => RtspListen::At(address),
        },
        rtsp,
        limits: Limits {
            viewers: limits.integer("viewers").unwrap_or(100),
            connections: limits.integer("connections").unwrap_or(UNSET),
            request_head_bytes: limits.integer("request_head_bytes").unwrap_or(16 << 10),
            request_timeout: limits.seconds("request_timeout_seconds"),
            buffer_size: limits.integer("buffer_size").unwrap_or(32),
            worker_threads: limits.integer("worker_threads"),
            encoders: limits.integer("encoders").unwrap_or(16),
            variants_per_camera: limits.integer("variants_per_camera").unwrap_or(8),
        },
        cors: cors(&http, reader),
        rtp: rtp(&rtp_section),
        ffmpeg: program(&ffmpeg),
        stats_interval: interval(log.seconds("stats_interval_seconds")),
        log_level: match log.word("level") {
            "trace" => LogLevel::Trace,
            "debug" => LogLevel::Debug,
            "warn" => LogLevel::Warn,
            "error" => LogLevel::Error,
            "off" => LogLevel::Off,
            _ => LogLevel::Info,
        },
        cameras: cameras(root, reader),
        chosen: None,
        warnings: Vec::new(),
    };
    predecessors::read(root, mode, &mut config, reader, around, &ffmpeg);
    config
}

/// A time between two things, of which zero means never.
pub(super) fn interval(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

/// A camera with every default.
pub(super) fn camera(name: StreamName, source: impl Into<SourceText>) -> CameraConfig {
    CameraConfig {
        name,
        source: source.into(),
        options: SourceOptions::default(),
        enabled: true,
        on_demand: false,
        on_lost: OnLost::Picture,
        push: Vec::new(),
        pixels: PixelOptions::default(),
    }
}

fn check_tables(root: &DeTable<'_>, reader: &mut Reader<'_>) {
    let mut known: Vec<&str> = keys::TABLES.iter().map(|table| table.name).collect();
    known.push(keys::CAMERA.name);
    for (key, _) in in_file_order(root) {
        let name = key.get_ref().as_ref();
        if known.contains(&name) || predecessors::owns(name) {
            continue;
        }
        let place = reader.place(key.span().start);
        if reader.lenient {
            reader.warn(Some(place), format!("{}: ignored, Ocelli has no such setting", short(name)));
            continue;
        }
        // A camera's key at the top of the file is most often a forgotten `[cameras.NAME]`.
        let problem = match keys::CAMERA.keys.iter().any(|key| key.name == name) {
            true => Problem::new(Some(place), name, "this key belongs to a camera")
                .expected("it below `[cameras.NAME]`"),
            false => unknown_table(place, name, &known),
        };
        reader.problems.push(problem);
    }
}

fn cors(http: &Section, reader: &mut Reader<'_>) -> Cors {
    let mut origins = Vec::new();
    let mut any = false;
    for origin in http.texts("cors") {
        let text = origin.text.trim_end_matches('/');
        let (scheme, host) = text.split_once("://").unwrap_or_default();
        if text == "*" {
            any = true;
        } else if scheme.is_empty()
            || host.is_empty()
            || host.contains(['/', '@', ' ', '?', '#'])
            || !text.is_ascii()
        {
            let problem = Problem::new(Some(origin.place), "http.cors", format!("found {}", origin.quoted()));
            reader.problems.push(problem.expected("an origin such as \"https://example.org\", or \"*\""));
        } else {
            origins.push(text.to_ascii_lowercase());
        }
    }
    match (any, origins.is_empty()) {
        (true, _) => Cors::Any,
        (false, true) => Cors::None,
        (false, false) => Cors::Origins(origins),
    }
}

fn cameras(root: &DeTable<'_>, reader: &mut Reader<'_>) -> Vec<CameraConfig> {
    let Some((key, value)) = root.get_key_value(keys::CAMERA.name) else { return Vec::new() };
    let DeValue::Table(table) = value.get_ref() else {
        let place = reader.place(key.span().start);
        let problem = Problem::new(Some(place), "cameras", "found a value");
        reader.problems.push(problem.expected("one table `[cameras.NAME]` for each camera"));
        return Vec::new();
    };
    in_file_order(table).into_iter().filter_map(|(name, value)| one_camera(name, value, reader)).collect()
}

fn one_camera(
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    reader: &mut Reader<'_>,
) -> Option<CameraConfig> {
    let path = format!("cameras.{}", short(key.get_ref()));
    let place = reader.place(key.span().start);
    let name = match key.get_ref().parse::<StreamName>() {
        Ok(name) => Some(name),
        Err(error) => {
            reader.problems.push(Problem::new(Some(place), path.clone(), error.to_string()));
            None
        }
    };
    // `front = "pattern:"` below `[cameras]` is a camera with nothing but a source.
    if let DeValue::String(_) = value.get_ref() {
        let text = reader.text(&path, value)?;
        let mut camera = camera(name?, &text);
        check_source(&path, &text, &mut camera, reader);
        return Some(camera);
    }
    let section = reader.section(&path, key, value, keys::CAMERA.keys, &[]);
    let source = section.text("source").cloned();
    if source.is_none() && matches!(value.get_ref(), DeValue::Table(table) if !table.contains_key("source")) {
        let problem = Problem::new(Some(place), path.clone(), "the key `source` is missing");
        reader.problems.push(problem.expected("source = \"…\", such as \"v4l2:///dev/video0\""));
    }
    let pixels = pixels::read(&section, value, reader);
    let push = pushes(&section, &pixels, reader);
    let source = source?;
    let mut camera = CameraConfig {
        options: options(&section, is_rtsp(&source.text)),
        enabled: section.flag("enabled"),
        on_demand: section.flag("on_demand"),
        on_lost: match section.word("on_lost") {
            "hold" => OnLost::Hold,
            "close" => OnLost::Close,
            _ => OnLost::Picture,
        },
        push,
        pixels,
        ..camera(name?, &source)
    };
    if let (codec @ ("h264" | "h265"), Some(place)) = (section.word("codec"), section.place_of("codec")) {
        let key = format!("{path}.codec");
        match camera.source.scheme() {
            "exec" | "file" => {}
            "rtp" => {
                let found = format!("for `rtp:` write `?codec={codec}` in the source");
                reader.problems.push(Problem::new(Some(place), key, found));
            }
            scheme => {
                let text = format!("{key}: ignored, `{scheme}:` says itself what its pictures are");
                reader.warn(Some(place), text);
            }
        }
    }
    check_source(&format!("{path}.source"), &source, &mut camera, reader);
    if camera.on_demand && camera.source.scheme() == "publish" {
        camera.on_demand = false;
        let text = "on_demand: left out, for whoever publishes begins and ends by himself";
        reader.warn(section.place_of("on_demand"), format!("{path}.{text}"));
    }
    Some(camera)
}

fn options(section: &Section, is_rtsp: bool) -> SourceOptions {
    let default = SourceOptions::default();
    SourceOptions {
        codec: match section.text("codec").map(|codec| codec.text.as_str()) {
            Some("mjpeg") => Some(Codec::Jpeg),
            Some("h264") => Some(Codec::H264),
            Some("h265") => Some(Codec::H265),
            _ => None,
        },
        quality: section.integer("quality").unwrap_or(default.quality),
        max_frame_bytes: section.integer("max_frame_bytes").unwrap_or(default.max_frame_bytes),
        silence_timeout: match (section.place_of("silence_timeout_seconds"), is_rtsp) {
            (None, true) => RTSP_SILENCE,
            _ => section.seconds("silence_timeout_seconds"),
        },
        transport: Transport::parse(section.word("transport")).unwrap_or(default.transport),
        reconnect_interval: section
            .place_of("reconnect_interval")
            .map(|_| section.seconds("reconnect_interval")),
        ..default
    }
}

/// Whether a camera is dialled by RTSP, which tells silence from a keyframe that is awaited.
pub(super) fn is_rtsp(source: &str) -> bool {
    SourceUrl::parse(source).is_ok_and(|url| matches!(url.scheme(), "rtsp" | "rtsps"))
}

/// Asks the source's own kind whether it can be made of its text; nothing is opened.
pub(super) fn check_source(key: &str, text: &Text, camera: &mut CameraConfig, reader: &mut Reader<'_>) {
    if let Some(feature) = missing_kind(&text.text) {
        reader.plan(feature, key, text.place);
        return;
    }
    let Err(error) = sources::build(&text.text, &camera.options) else { return };
    // The words of an error may repeat a variable's value. So they come from the text with the variables' names in
    // place of their values, if that is wrong as well, and are not shown otherwise.
    let message = match text.secret {
        false => hide_user(&error.to_string()),
        true => match sources::build(&text.shown, &camera.options) {
            Err(error) => hide_user(&error.to_string()),
            Ok(_) => format!("{} is no source once its variables are put in", text.quoted()),
        },
    };
    reader.problems.push(Problem::new(Some(text.place), key, short_message(&message)));
}

/// The part of the program that a source asks for and this build does not have.
pub(super) fn missing_kind(text: &str) -> Option<&'static str> {
    let url = SourceUrl::parse(text).ok()?;
    if sources::KINDS.iter().any(|kind| kind.scheme == url.scheme()) {
        return None;
    }
    PROMISED.iter().find(|(scheme, _)| *scheme == url.scheme()).map(|(_, feature)| *feature)
}

fn short_message(message: &str) -> String {
    match message.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

fn program(section: &Section) -> Arc<Program> {
    let path = section.text("path").map_or("ffmpeg", |path| &path.text);
    let extra_args = section.texts("extra_args").iter().map(|word| word.text.clone()).collect();
    Arc::new(Program::new(path.to_owned(), section.flag("enabled"), extra_args))
}

fn rtp(section: &Section) -> RtpOptions {
    let default = RtpOptions::default();
    RtpOptions {
        reencode: match section.word("reencode") {
            "never" => Reencode::Never,
            _ => Reencode::Auto,
        },
        min_fps: section.integer("min_fps").unwrap_or(default.min_fps),
        min_quality: section.integer("min_quality"),
    }
}

/// What is wrong with it is left with `reader`.
fn multicast(section: &Section, reader: &mut Reader<'_>) -> Option<Multicast> {
    let text = section.text("multicast")?;
    let (first, addresses) = Multicast::parse_range(&text.text)
        .map_err(|why| {
            let path = format!("{}.multicast", section.path);
            let problem = Problem::new(Some(text.place), path, format!("{}: {why}", short(&text.text)));
            reader.problems.push(problem.expected("a range such as 239.255.42.0/24"));
        })
        .ok()?;
    Some(Multicast {
        first,
        addresses,
        port: section.integer("multicast_port")?,
        ttl: section.integer("multicast_ttl")?,
        interface: section.text("multicast_interface").map(|text| Interface::from(&*text.text)),
    })
}

fn rtsp(section: &Section, reader: &mut Reader<'_>) -> RtspOptions {
    let default = RtspOptions::default();
    RtspOptions {
        tcp: section.flag("tcp"),
        udp: section.flag("udp"),
        udp_port: section.integer("udp_port"),
        multicast: multicast(section, reader),
        session_timeout: section
            .integer("session_timeout_seconds")
            .map_or(default.session_timeout, Duration::from_secs),
        mtu: section.integer("mtu").unwrap_or(default.mtu),
        connections: section.integer("connections").unwrap_or(UNSET),
        connections_per_address: section.integer("connections_per_address").unwrap_or(UNSET),
        half_open_per_address: section
            .integer("half_open_per_address")
            .unwrap_or(default.half_open_per_address),
        sessions_per_address: section.integer("sessions_per_address").unwrap_or(UNSET),
    }
}

/// The `push` addresses of a camera. What is wrong with them is left with `reader`.
fn pushes(section: &Section, pixels: &PixelOptions, reader: &mut Reader<'_>) -> Vec<PushAddress> {
    let path = format!("{}.push", section.path);
    let mut targets: Vec<PushAddress> = Vec::new();
    for text in section.texts("push") {
        let Some(target) = push(&path, text, reader) else { continue };
        if let Err(error) = target.asked(pixels) {
            reader.problems.push(Problem::new(Some(text.place), path.clone(), error.to_string()));
        }
        if targets.contains(&target) {
            let problem =
                Problem::new(Some(text.place), path.clone(), format!("{target} stands there twice"));
            reader.problems.push(problem.expected("each target once"));
        } else {
            targets.push(target);
        }
    }
    targets
}

/// One `push` address, called `key` in an error.
pub(super) fn push(key: &str, text: &Text, reader: &mut Reader<'_>) -> Option<PushAddress> {
    let message = match (PushAddress::parse(&text.text), text.secret) {
        (Ok(address), _) => return Some(address.shown_as(&text.shown)),
        (Err(error), false) => short(&error.to_string()),
        // As with a source: the words of an error may repeat a variable's value.
        (Err(_), true) => match PushAddress::parse(&text.shown) {
            Err(error) => short(&error.to_string()),
            Ok(_) => format!("{} is no address once its variables are put in", text.quoted()),
        },
    };
    let problem = Problem::new(Some(text.place), key, message);
    reader.problems.push(problem.expected("rtp://host:port, with parameters such as ?dscp=46&mtu=1400"));
    None
}
