//! What encoders are told by FFmpeg's names, whether through its libraries or its program.

use std::ffi::c_int;

use super::Kind;
pub(crate) use super::settings::{Plan, Spending};

/// Slower ones are only a little better at the same bit rate: see docs/benchmarks.md.
const X264_PRESET: &str = "superfast";

/// How many bits are spent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// Bits a second.
    pub(crate) bit_rate: i64,
    /// Most bits a second over the time in which `buffer_bits` fills.
    pub(crate) most_bit_rate: i64,
    /// See [`Rates::most_bit_rate`].
    pub(crate) buffer_bits: i64,
    /// x264's constant quality, less than 0 for none.
    pub(crate) rate_factor: f32,
}

/// FFmpeg's name of an encoder; none for what is by its program.
pub(crate) fn name(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::V4l2m2m => Some("h264_v4l2m2m"),
        Kind::Nvenc => Some("h264_nvenc"),
        Kind::X264 => Some("libx264"),
        Kind::Openh264 => Some("libopenh264"),
        Kind::Program(_) => None,
    }
}

/// What of the bits an encoder is told.
pub(crate) fn rates(kind: Kind, spending: Spending) -> Rates {
    let signed = |bits: u64| i64::try_from(bits).unwrap_or(i64::MAX);
    // No picture may take longer to send than half a second at the bit rate, or viewers behind a network of just that
    // rate would see it so much later.
    let (bit_rate, most, buffer, rate_factor) = match spending {
        Spending::BitRate(bits) => (bits, bits, bits / 2, -1.0),
        Spending::Quality { rate_factor, most, .. } if kind == Kind::X264 => (0, most, most, rate_factor),
        Spending::Quality { typical, most, .. } => (typical, most, most, -1.0),
    };
    Rates {
        bit_rate: signed(bit_rate),
        most_bit_rate: signed(most),
        buffer_bits: c_int::try_from(buffer).unwrap_or(c_int::MAX).into(),
        rate_factor,
    }
}

/// Names and values as `ffmpeg -h encoder=NAME` explains them.
pub(crate) fn options(kind: Kind, plan: &Plan) -> Vec<(&'static str, String)> {
    let all: &[(&str, &str)] = match kind {
        Kind::X264 => &[
            ("preset", X264_PRESET),
            ("tune", "zerolatency"),
            ("profile", "baseline"),
            ("forced-idr", "1"),
            // Keyframes are asked for, never made because a scene changes: the bit rate is held better so.
            ("x264-params", "keyint=infinite:scenecut=0"),
        ],
        Kind::Openh264 => &[("profile", "constrained_baseline"), ("allow_skip_frames", "0")],
        // Constrained baseline, as FF_PROFILE_H264_CONSTRAINED_BASELINE has it.
        Kind::V4l2m2m => &[("profile", "578")],
        Kind::Nvenc => &[
            ("preset", "p2"),
            ("tune", "ull"),
            ("profile", "baseline"),
            ("rc", "cbr"),
            ("zerolatency", "1"),
            ("delay", "0"),
            ("forced-idr", "1"),
        ],
        Kind::Program(_) => &[],
    };
    let mut options: Vec<_> = all.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    if kind.is_hardware() {
        // A device makes keyframes by itself too: each ten seconds, since they are asked for before.
        options.push(("g", (plan.rate / 100).max(10).to_string()));
    }
    options
}
