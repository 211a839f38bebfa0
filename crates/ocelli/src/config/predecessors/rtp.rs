//! The files of the RTP/JPEG senders: `[camera1]`, `[camera2]`, `[mjpeg-rtp]`, `[mjpeg-rtp.camera1]`, …
//!
//! `[cameraN]` describes a camera, `[mjpeg-rtp.cameraN]` the same camera as the RTP sender is to take it. Where both
//! are there and the sender is enabled, its values count and the rest comes from `[cameraN]`.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use ocelli_hub::StreamName;
use toml::de::{DeTable, DeValue};

use super::super::keys::{MJPEG_RTP, MJPEG_RTP_CAMERA, NUMBERED_CAMERA};
use super::super::ours::{self, check_source, interval};
use super::super::problem::Problem;
use super::super::reader::Reader;
use super::super::section::{Section, Text};
use super::super::{CameraConfig, Config, PixelOptions, SourceText, Surroundings};
use crate::capture::{self, Device, Flip, Request};
use crate::cli::Mode;
use crate::outputs::rtp::PushAddress;
use crate::sources::{SourceOptions, hide_user};
use crate::variants::Shape;

/// What the predecessors took when the file gave no size or rate.
const SIZE: (u16, u16) = (640, 480);
const FPS: u16 = 30;

/// The number of `camera1`, from 1.
pub(super) fn number(table: &str) -> Option<u32> {
    let digits = table.strip_prefix("camera")?;
    if digits.len() > 3 || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Both descriptions of one camera.
#[derive(Default)]
struct Both {
    plain: Option<Section>,
    sender: Option<Section>,
}

pub(super) fn read(
    root: &DeTable<'_>,
    mode: Option<Mode>,
    config: &mut Config,
    reader: &mut Reader<'_>,
    around: Surroundings<'_>,
) {
    let mut cameras: BTreeMap<u32, Both> = BTreeMap::new();
    for (key, value) in root {
        let Some(number) = number(key.get_ref()) else { continue };
        let section = reader.section(key.get_ref(), key, value, NUMBERED_CAMERA.keys, &[]);
        cameras.entry(number).or_default().plain = Some(section);
    }
    let mut sender_enabled = mode == Some(Mode::MjpegRtp);
    let mut sender = None;
    if let Some((key, value)) = root.get_key_value(MJPEG_RTP.name) {
        let table = match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => None,
        };
        let inner: Vec<&str> =
            table.iter().flat_map(|table| table.keys()).map(|key| key.get_ref().as_ref()).collect();
        let inner: Vec<&str> = inner.into_iter().filter(|name| number(name).is_some()).collect();
        let section = reader.section(MJPEG_RTP.name, key, value, MJPEG_RTP.keys, &inner);
        sender_enabled |= section.flag("enabled");
        config.stats_interval = interval(section.seconds("stats_interval_seconds"));
        sender = Some(section);
        for (key, value) in table.into_iter().flatten() {
            let Some(number) = number(key.get_ref()) else { continue };
            let path = format!("{}.{}", MJPEG_RTP.name, key.get_ref());
            let section = reader.section(&path, key, value, MJPEG_RTP_CAMERA.keys, &[]);
            cameras.entry(number).or_default().sender = Some(section);
        }
    }
    for (number, both) in cameras {
        let name: StreamName =
            format!("camera{number}").parse().expect("a word and a number are a valid name");
        if config.cameras.iter().any(|known| known.name == name) {
            let place = both.plain.or(both.sender).and_then(|section| section.place);
            let problem = Problem::new(place, name.as_str(), "there is a `[cameras.…]` of this name as well");
            reader.problems.push(problem.expected("one camera of a name"));
            continue;
        }
        let camera = camera(name, number, &both, sender.as_ref().filter(|_| sender_enabled), reader, around);
        config.cameras.push(camera);
    }
}

fn camera(
    name: StreamName,
    number: u32,
    both: &Both,
    sender: Option<&Section>,
    reader: &mut Reader<'_>,
    around: Surroundings<'_>,
) -> CameraConfig {
    let sending = both.sender.as_ref().filter(|section| sender.is_some() && section.flag("enabled"));
    // The tables that describe the camera, the one that counts first.
    let tables: Vec<&Section> = match sending {
        Some(section) => std::iter::once(section).chain(&both.plain).collect(),
        None => both.plain.iter().chain(&both.sender).collect(),
    };
    let number_of = |key: &str| tables.iter().find_map(|table| table.known_integer::<u16>(key));
    let device = tables.iter().find_map(|table| device(table));
    let request = Request {
        device: device.as_ref().map_or(Device::Index(number - 1), |text| Device::parse(&text.text)),
        fallback_index: number - 1,
        width: number_of("width").or(Some(SIZE.0)),
        height: number_of("height").or(Some(SIZE.1)),
        fps: number_of("fps").or(Some(FPS)),
        quality: number_of("quality").and_then(|quality| u8::try_from(quality).ok()),
        flip: both.plain.as_ref().map(|section| flip(section, reader)).unwrap_or_default(),
    };
    let choice = capture::choose(&request, around.machine);
    // The same with the names of variables in the place of their values, to be shown.
    let shown = match &device {
        Some(text) if text.secret => {
            let request = Request { device: Device::parse(&text.shown), ..request.clone() };
            capture::choose(&request, around.machine)
        }
        _ => choice.clone(),
    };
    let place = tables.iter().find_map(|table| table.place);
    for note in shown.notes {
        reader.warn(place, format!("{name}: {note}"));
    }
    let default = SourceOptions::default();
    let mut camera = CameraConfig {
        options: SourceOptions { quality: request.quality.unwrap_or(default.quality), ..default },
        enabled: both.plain.is_some() || sending.is_some(),
        pixels: PixelOptions {
            shape: Shape { turn: choice.turn, ..Shape::default() },
            ..PixelOptions::default()
        },
        push: sending.and_then(|section| push(section, sender, reader)).into_iter().collect(),
        ..ours::camera(name, SourceText::new(choice.source.clone(), &shown.source))
    };
    if let Some(device) = device {
        let table = tables.iter().find(|table| table.place_of("device") == Some(device.place));
        let key = format!("{}.device", table.map_or("", |table| table.path.as_str()));
        let device = Text { text: choice.source, shown: hide_user(&shown.source), ..device };
        check_source(&key, &device, &mut camera, reader);
    }
    camera
}

/// `device = 0`, `"0"`, a path or any source.
fn device(section: &Section) -> Option<Text> {
    if let Some(text) = section.text("device") {
        return Some(text.clone());
    }
    let index = section.known_integer::<u32>("device")?.to_string();
    let place = section.place_of("device")?;
    Some(Text { text: index.clone(), shown: index, secret: false, place })
}

fn flip(section: &Section, reader: &mut Reader<'_>) -> Flip {
    let written = match (section.text("flip_method"), section.known_integer::<i64>("flip_method")) {
        (Some(text), _) => text.text.clone(),
        (None, Some(number)) => number.to_string(),
        (None, None) => return Flip::None,
    };
    written.parse().unwrap_or_else(|error: capture::FlipError| {
        let key = format!("{}.flip_method", section.path);
        let found = section.text("flip_method").map_or(written, Text::quoted);
        let problem = Problem::new(section.place_of("flip_method"), key, format!("found {found}"));
        reader.problems.push(Problem { expected: error.to_string().replace("expected ", ""), ..problem });
        Flip::None
    })
}

/// Where the camera is sent, as a `push` address.
fn push(camera: &Section, sender: Option<&Section>, reader: &mut Reader<'_>) -> Option<PushAddress> {
    let host = camera.text("dest_host")?;
    let port: u16 = camera.integer("dest_port")?;
    let mut parameters = String::new();
    let mut separator = '?';
    let tables = [(sender, "mtu"), (sender, "dscp"), (Some(camera), "ssrc"), (Some(camera), "local_port")];
    for (section, key) in tables {
        if let Some(number) = section.and_then(|section| section.known_integer::<u32>(key)) {
            parameters.push_str(&format!("{separator}{key}={number}"));
            separator = '&';
        }
    }
    let address = |host: &str| {
        let bare_ipv6 = host.parse::<Ipv6Addr>().is_ok();
        let host = if bare_ipv6 { format!("[{host}]") } else { host.to_owned() };
        format!("rtp://{host}:{port}{parameters}")
    };
    let text = Text { text: address(&host.text), shown: address(&host.shown), ..host.clone() };
    ours::push(&format!("{}.dest_host", camera.path), &text, reader)
}
