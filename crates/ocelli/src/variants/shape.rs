//! What somebody asks of a camera's pictures beyond what the camera gives: codec, size, quality, rate, turn.
//!
//! A [`Shape`] is read from an address's parameters, refused with the range that is allowed, and rounded to few
//! ([`Shape::rounded`]), so that near requests share one encoder. What it comes to for a camera, in pixels, is
//! [`Shape::size`].

use std::fmt;

use ocelli_codec::worker::protocol::{Coding, Output};
use ocelli_media::{Codec, Size, Track, Turn};

#[cfg(test)]
mod tests;

/// Widths that requests are rounded to, in pixels.
const WIDTHS: &[u16] =
    &[16, 32, 64, 96, 128, 160, 240, 320, 480, 640, 800, 960, 1280, 1600, 1920, 2560, 3840];
/// Heights that requests are rounded to, in pixels.
const HEIGHTS: &[u16] = &[16, 32, 48, 64, 90, 120, 180, 240, 360, 480, 540, 600, 720, 960, 1080, 1440, 2160];
/// Rates that requests are rounded to, in thousandths of pictures a second.
const RATES: &[u32] = &[
    10, 20, 50, 100, 200, 500, 1000, 2000, 3000, 5000, 8000, 10_000, 12_000, 15_000, 20_000, 25_000, 30_000,
    60_000,
];
/// Bit rates that requests are rounded to, in kbit/s.
const BIT_RATES: &[u32] = &[
    50, 100, 200, 300, 500, 800, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 12_000, 16_000, 25_000, 40_000,
    60_000, 100_000,
];
/// Smallest and greatest side that can be asked for.
const SIDES: (u16, u16) = (16, 8192);

/// What is asked. The default is the camera's own stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    /// How pictures are coded; `None` as the camera's.
    pub codec: Option<Codec>,
    /// Greatest width, 16 to 8192 pixels, behind the turn. Pictures keep their proportions and are never enlarged.
    pub width: Option<u16>,
    /// Greatest height, the same.
    pub height: Option<u16>,
    /// Quality, 1 to 100: of JPEG as libjpeg has it. `None` is about the camera's own.
    pub quality: Option<u8>,
    /// Most pictures a second.
    pub fps: Option<Fps>,
    /// How they are turned, before their size is counted.
    pub turn: Turn,
    /// H.264: bits a second that are held, in kbit/s, 50 to 200 000. `None` is what size and rate call for.
    pub bit_rate_kbps: Option<u32>,
}

/// Pictures a second, 0.01 to 1000, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fps(u32);

impl Fps {
    /// `None` outside 0.01 to 1000.
    pub fn new(fps: f64) -> Option<Self> {
        (0.01..=1000.0).contains(&fps).then(|| Self((fps * 1000.0).round() as u32))
    }

    /// Pictures in a thousand seconds.
    pub fn millihertz(self) -> u32 {
        self.0
    }

    /// Pictures a second.
    pub fn per_second(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl fmt::Display for Fps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.per_second().fmt(f)
    }
}

/// A parameter whose value cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value}: expected {expected}")]
pub struct BadParameter {
    /// The parameter.
    pub name: &'static str,
    /// What was found, cut to what may be shown.
    pub value: String,
    /// What is allowed, in words.
    pub expected: &'static str,
}

impl BadParameter {
    /// A bit rate of what is no film.
    pub fn no_bit_rate(value: &str) -> Self {
        bad("bitrate", value, "only with H.264: of JPEGs the quality is chosen")
    }
}

impl Shape {
    /// Reads parameters of an address, later ones over earlier ones. Those that say nothing of a shape are passed over.
    ///
    /// `width`, `height`, `quality`, `fps`, `codec`, `bitrate` (kbit/s), `rotate` (degrees clockwise) and `flip`, which comes
    /// after the rotation.
    ///
    /// # Errors
    /// The first that cannot be, with what is allowed.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, BadParameter> {
        let mut shape = Self::default();
        let (mut rotated, mut is_mirrored, mut is_upside_down) = (Turn::None, false, false);
        for (name, value) in pairs {
            match name {
                "width" => shape.width = Some(side("width", value)?),
                "height" => shape.height = Some(side("height", value)?),
                "quality" => shape.quality = Some(within("quality", value, 1, 100, "1 to 100")?),
                "fps" => {
                    let fps = value.parse().ok().and_then(Fps::new);
                    shape.fps = Some(fps.ok_or_else(|| bad("fps", value, "0.01 to 1000"))?);
                }
                "bitrate" => {
                    shape.bit_rate_kbps =
                        Some(within("bitrate", value, 50, 200_000, "50 to 200000, in kbit/s")?);
                }
                "codec" => shape.codec = Some(codec(value)?),
                "rotate" => rotated = rotation(value)?,
                "flip" => (is_mirrored, is_upside_down) = flip(value)?,
                _ => {}
            }
        }
        if let (Some(kbps), Some(Codec::Jpeg | Codec::Rgb24 | Codec::Yuv420)) =
            (shape.bit_rate_kbps, shape.codec)
        {
            return Err(BadParameter::no_bit_rate(&kbps.to_string()));
        }
        shape.turn = if is_mirrored { rotated.mirrored() } else { rotated };
        if is_upside_down {
            shape.turn = shape.turn.upside_down();
        }
        Ok(shape)
    }

    /// The next of the few shapes that requests are rounded to that is no more than was asked: whoever says how many pixels,
    /// pictures or bits has no room for more. A quality is none of these, and becomes the nearest.
    #[must_use]
    pub fn rounded(self) -> Self {
        Self {
            width: self.width.map(|width| at_most(WIDTHS, width)),
            height: self.height.map(|height| at_most(HEIGHTS, height)),
            quality: self.quality.map(|quality| ((quality + 5) / 10 * 10).clamp(10, 100)),
            fps: self.fps.map(|fps| Fps(at_most(RATES, fps.0))),
            bit_rate_kbps: self.bit_rate_kbps.map(|rate| at_most(BIT_RATES, rate)),
            ..self
        }
    }

    /// What it comes to for pictures of `track`: what is said twice, and what changes nothing, is left out. So shapes that
    /// give the same pictures become equal.
    #[must_use]
    pub fn of(self, track: &Track) -> Self {
        let codec = self.codec.unwrap_or(track.codec);
        let (width, height) = match track.size {
            Some(size) if self.fitted(size) == self.turn.of(size) => (None, None),
            Some(size) => {
                let size = self.size(size, codec);
                (Some(size.width), Some(size.height))
            }
            None => (self.width, self.height),
        };
        // Neither has what the other is told by.
        let quality = self.quality.filter(|_| codec == Codec::Jpeg);
        let bit_rate_kbps = self.bit_rate_kbps.filter(|_| matches!(codec, Codec::H264 | Codec::H265));
        Self { codec: Some(codec), width, height, quality, bit_rate_kbps, ..self }
    }

    /// The size of pictures of a camera that gives `camera`, coded as `codec`: turned, as large as fits, in proportion.
    pub fn size(&self, camera: Size, codec: Codec) -> Size {
        self.output(Coding::of_codec(codec).unwrap_or(Coding::H264)).size(camera)
    }

    fn fitted(&self, camera: Size) -> Size {
        self.output(Coding::Rgb24).size(camera)
    }

    /// What a worker is asked for.
    pub(super) fn output(&self, coding: Coding) -> Output {
        Output {
            width: self.width,
            height: self.height,
            turn: self.turn,
            quality: self.quality,
            bit_rate_kbps: self.bit_rate_kbps.unwrap_or(0),
            ..Output::new(coding)
        }
    }

    /// Whether the camera's own pictures are what is asked, so that nothing has to be decoded: its rate is told apart.
    pub fn is_given_by(&self, track: &Track) -> bool {
        let wanted = self.of(track);
        let own = Self { codec: Some(track.codec), fps: self.fps, ..Self::default() };
        // Of H.264 no picture can be left out without those that need it.
        wanted == own && (self.fps.is_none() || track.codec == Codec::Jpeg)
    }
}

/// As the parameters of an address would say it.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { codec, width, height, quality, fps, turn, bit_rate_kbps } = self;
        let (rotate, flip) = words_of(*turn);
        let said = [
            codec.map(|codec| format!("codec={codec}")),
            width.map(|width| format!("width={width}")),
            height.map(|height| format!("height={height}")),
            quality.map(|quality| format!("quality={quality}")),
            fps.map(|fps| format!("fps={fps}")),
            bit_rate_kbps.map(|rate| format!("bitrate={rate}")),
            (rotate > 0).then(|| format!("rotate={rotate}")),
            flip.map(|flip| format!("flip={flip}")),
        ];
        let said: Vec<String> = said.into_iter().flatten().collect();
        f.write_str(&said.join("&"))
    }
}

/// The degrees clockwise and the mirroring behind them that a turn is.
fn words_of(turn: Turn) -> (u16, Option<&'static str>) {
    match turn {
        Turn::None => (0, None),
        Turn::Clockwise => (90, None),
        Turn::Half => (180, None),
        Turn::Counterclockwise => (270, None),
        Turn::LeftRight => (0, Some("horizontal")),
        Turn::TopBottom => (0, Some("vertical")),
        Turn::Transposed => (90, Some("horizontal")),
        Turn::Transverse => (270, Some("horizontal")),
    }
}

/// The greatest step up to `wanted`.
fn at_most<N: Copy + PartialOrd>(steps: &[N], wanted: N) -> N {
    steps.iter().rev().copied().find(|step| *step <= wanted).unwrap_or(steps[0])
}

fn bad(name: &'static str, value: &str, expected: &'static str) -> BadParameter {
    let value = value.chars().filter(|c| !c.is_control()).take(32).collect();
    BadParameter { name, value, expected }
}

fn within<N: std::str::FromStr + PartialOrd>(
    name: &'static str,
    value: &str,
    least: N,
    most: N,
    expected: &'static str,
) -> Result<N, BadParameter> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| bad(name, value, expected))
}

fn side(name: &'static str, value: &str) -> Result<u16, BadParameter> {
    within(name, value, SIDES.0, SIDES.1, "16 to 8192")
}

fn codec(value: &str) -> Result<Codec, BadParameter> {
    match value {
        "mjpeg" | "jpeg" => Ok(Codec::Jpeg),
        "h264" => Ok(Codec::H264),
        "h265" => Ok(Codec::H265),
        "rgb24" | "raw" => Ok(Codec::Rgb24),
        "yuv420" => Ok(Codec::Yuv420),
        _ => Err(bad("codec", value, "mjpeg, h264, h265, rgb24 or yuv420")),
    }
}

fn rotation(value: &str) -> Result<Turn, BadParameter> {
    match value {
        "0" => Ok(Turn::None),
        "90" => Ok(Turn::Clockwise),
        "180" => Ok(Turn::Half),
        "270" => Ok(Turn::Counterclockwise),
        _ => Err(bad("rotate", value, "0, 90, 180 or 270")),
    }
}

/// Whether left and right, and whether top and bottom are exchanged.
fn flip(value: &str) -> Result<(bool, bool), BadParameter> {
    match value {
        "none" => Ok((false, false)),
        "horizontal" => Ok((true, false)),
        "vertical" => Ok((false, true)),
        "both" => Ok((true, true)),
        _ => Err(bad("flip", value, "none, horizontal, vertical or both")),
    }
}
