//! How a camera's pictures are made anew: turned, decoded, encoded, and its variants, `[cameras.NAME.variants.VARIANT]`.

use std::time::Duration;

use ocelli_hub::StreamName;
use ocelli_media::{Codec, Turn};
use toml::Spanned;
use toml::de::DeValue;

use super::keys;
use super::problem::Problem;
use super::reader::{Reader, in_file_order};
use super::section::Section;
use super::value::short;
use crate::variants::adapt::Bounds;
use crate::variants::{Fps, Shape};

/// How a camera's pictures are made anew, where they are.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelOptions {
    /// What its viewers get who ask for nothing else.
    pub shape: Shape,
    /// A picture that is older is not decoded or encoded any more.
    pub max_latency: Duration,
    /// How far variants are lowered to what their viewers' networks take; `None`: not at all.
    pub lowest: Option<Bounds>,
    /// Hardware that decodes, in the order in which it is tried before the processor does it: words of [`keys::DECODERS`].
    pub decoders: Vec<String>,
    /// The FFmpeg program does it all in the worker's stead.
    pub by_ffmpeg: bool,
    /// What encodes H.264, in the order in which it is tried: words of [`keys::ENCODERS`]. Empty: the program's own order.
    pub encoders: Vec<String>,
    /// Its variants by name, in the order of the file.
    pub variants: Vec<(StreamName, Shape)>,
}

impl Default for PixelOptions {
    fn default() -> Self {
        Self {
            shape: Shape::default(),
            max_latency: Duration::from_millis(200),
            lowest: None,
            decoders: Vec::new(),
            by_ffmpeg: false,
            encoders: Vec::new(),
            variants: Vec::new(),
        }
    }
}

/// Reads what a camera's `section` and the tables in its `value` say. Problems are left with `reader`.
pub(super) fn read(section: &Section, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> PixelOptions {
    let default = PixelOptions::default();
    let words = |key: &str| section.texts(key).iter().map(|text| text.text.clone()).collect::<Vec<String>>();
    PixelOptions {
        shape: Shape { turn: turn(section), ..Shape::default() },
        max_latency: section.integer("max_latency_ms").map_or(default.max_latency, Duration::from_millis),
        lowest: lowest(section),
        decoders: words("decoders"),
        by_ffmpeg: section.word("transcoder") == "ffmpeg",
        encoders: words("encoders"),
        variants: variants(&section.path, value, reader),
    }
}

/// What is not said is above what any variant gives, which leaves that alone.
fn lowest(section: &Section) -> Option<Bounds> {
    let quality: Option<u8> = section.integer("min_quality");
    let (width, fps) = (section.integer("min_width"), section.number("min_fps"));
    let is_any = quality.is_some() || width.is_some() || fps.is_some();
    is_any.then(|| Bounds {
        quality_min: quality.unwrap_or(100),
        width_min: width.unwrap_or(u16::MAX),
        fps_min: fps.unwrap_or(1000.0),
    })
}

fn turn(section: &Section) -> Turn {
    let turn = match section.integer("rotate") {
        Some(90) => Turn::Clockwise,
        Some(180) => Turn::Half,
        Some(270) => Turn::Counterclockwise,
        _ => Turn::None,
    };
    match section.word("flip") {
        "horizontal" => turn.mirrored(),
        "vertical" => turn.upside_down(),
        "both" => turn.mirrored().upside_down(),
        _ => turn,
    }
}

fn variants(path: &str, camera: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Vec<(StreamName, Shape)> {
    let DeValue::Table(camera) = camera.get_ref() else { return Vec::new() };
    let Some((key, value)) = camera.get_key_value(keys::VARIANT.name) else { return Vec::new() };
    let path = format!("{path}.{}", keys::VARIANT.name);
    let DeValue::Table(table) = value.get_ref() else {
        let problem = Problem::new(Some(reader.place(key.span().start)), path.clone(), "found a value");
        reader.problems.push(problem.expected(format!("one table `[{path}.NAME]` for each variant")));
        return Vec::new();
    };
    in_file_order(table).into_iter().filter_map(|(key, value)| variant(&path, key, value, reader)).collect()
}

fn variant(
    path: &str,
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    reader: &mut Reader<'_>,
) -> Option<(StreamName, Shape)> {
    let path = format!("{path}.{}", short(key.get_ref()));
    let place = reader.place(key.span().start);
    let section = reader.section(&path, key, value, keys::VARIANT.keys, &[]);
    let name = key.get_ref().parse::<StreamName>();
    let name = name.map_err(|error| {
        let why = error.to_string().replace("a camera", "a variant");
        reader.problems.push(Problem::new(Some(place), path.clone(), why));
    });
    let shape = Shape {
        codec: match section.word("codec") {
            "mjpeg" => Some(Codec::Jpeg),
            "h264" => Some(Codec::H264),
            "rgb24" => Some(Codec::Rgb24),
            "yuv420" => Some(Codec::Yuv420),
            _ => None,
        },
        width: section.integer("width"),
        height: section.integer("height"),
        quality: section.integer("quality"),
        fps: section.number("fps").and_then(Fps::new),
        turn: turn(&section),
        bit_rate_kbps: section.integer("bitrate"),
    };
    if shape == Shape::default() && section.values.is_empty() && reader.problems.is_empty() {
        reader.warn(Some(place), format!("{path}: says nothing, so it is the camera itself"));
    }
    let unfit = [("bitrate", Codec::H264), ("quality", Codec::Jpeg)];
    for (key, _) in unfit.into_iter().filter(|(_, fit)| shape.codec.is_some_and(|codec| codec != *fit)) {
        if let Some(place) = section.place_of(key) {
            let why = match shape.codec {
                Some(Codec::Jpeg) => "of JPEGs the quality is chosen",
                Some(Codec::H264) => "of H.264 the bit rate is chosen",
                _ => "pictures that are not coded have none",
            };
            reader.warn(Some(place), format!("{path}.{key}: ignored, {why}"));
        }
    }
    Some((name.ok()?, shape))
}
