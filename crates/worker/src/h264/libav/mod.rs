//! x264 and devices, through FFmpeg's libavcodec.
//!
//! Refuses what libavcodec refuses, in its own words. Of devices only those are known that take pictures from memory.

mod ffi;

use std::ffi::{CStr, CString, c_int};

use self::ffi::{Encoder, Rates};
use super::settings::{Plan, Spending};
use super::{Backend, Kind, Source, Take};

/// Slower ones are only a little better at the same bit rate: see docs/benchmarks.md.
const X264_PRESET: &CStr = c"superfast";

/// An open encoder.
pub(super) struct Libav {
    kind: Kind,
    encoder: Encoder,
}

impl Libav {
    pub(super) fn open(kind: Kind, plan: &Plan) -> Result<Self, String> {
        let name = match kind {
            Kind::V4l2m2m => c"h264_v4l2m2m",
            Kind::Nvenc => c"h264_nvenc",
            Kind::X264 => c"libx264",
            Kind::Openh264 => c"libopenh264",
        };
        let encoder = Encoder::open(
            name,
            plan.size,
            plan.rate,
            plan.matrix,
            &rates(kind, plan.spending),
            &options(kind, plan),
        )?;
        Ok(Self { kind, encoder })
    }

    /// Takes all that has come out, and says how many pictures that were.
    fn pull(&mut self, take: Take<'_>) -> Result<usize, String> {
        let mut count = 0;
        while let Some((tick, data)) = self.encoder.receive()? {
            take(tick, data);
            count += 1;
        }
        Ok(count)
    }
}

impl Backend for Libav {
    fn encode(&mut self, source: &Source<'_>, tick: i64, key: bool, take: Take<'_>) -> Result<(), String> {
        let (planes, strides) = self.encoder.picture()?;
        source.write(planes, strides);
        let mut taken = self.encoder.send(tick, key)?;
        if !taken && self.pull(take)? > 0 {
            taken = self.encoder.send(tick, key)?;
        }
        if !taken {
            return Err("takes no more pictures".to_owned());
        }
        self.pull(take)?;
        Ok(())
    }

    fn spend(&mut self, spending: Spending) -> bool {
        let can = matches!(self.kind, Kind::X264 | Kind::Nvenc);
        if can {
            self.encoder.spend(&rates(self.kind, spending));
        }
        can
    }

    fn finish(&mut self, take: Take<'_>) -> Result<(), String> {
        self.encoder.drain()?;
        self.pull(take)?;
        Ok(())
    }
}

fn rates(kind: Kind, spending: Spending) -> Rates {
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
        buffer_bits: c_int::try_from(buffer).unwrap_or(c_int::MAX),
        rate_factor,
    }
}

/// Names and values as `ffmpeg -h encoder=NAME` explains them.
fn options(kind: Kind, plan: &Plan) -> Vec<(&'static CStr, CString)> {
    let all: &[(&CStr, &CStr)] = match kind {
        Kind::X264 => &[
            (c"preset", X264_PRESET),
            (c"tune", c"zerolatency"),
            (c"profile", c"baseline"),
            (c"forced-idr", c"1"),
            // Keyframes are asked for, never made because a scene changes: the bit rate is held better so.
            (c"x264-params", c"keyint=infinite:scenecut=0"),
        ],
        Kind::Openh264 => &[(c"profile", c"constrained_baseline"), (c"allow_skip_frames", c"0")],
        // Constrained baseline, as FF_PROFILE_H264_CONSTRAINED_BASELINE has it.
        Kind::V4l2m2m => &[(c"profile", c"578")],
        Kind::Nvenc => &[
            (c"preset", c"p2"),
            (c"tune", c"ull"),
            (c"profile", c"baseline"),
            (c"rc", c"cbr"),
            (c"zerolatency", c"1"),
            (c"delay", c"0"),
            (c"forced-idr", c"1"),
        ],
    };
    let mut options: Vec<_> = all.iter().map(|(name, value)| (*name, CString::from(*value))).collect();
    if kind.is_hardware() {
        // A device makes keyframes by itself too: each ten seconds, since they are asked for before.
        let pictures = CString::new((plan.rate / 100).max(10).to_string());
        options.extend(pictures.map(|pictures| (c"g", pictures)));
    }
    options
}
