//! OpenH264, Cisco's library, built in from its source: for machines without FFmpeg's libraries.
//!
//! It makes no B-frames, which nobody wants here, and holds a bit rate less exactly than x264. Refuses pictures of more than 3840x2160 or fewer than 16x16 pixels.

use ocelli_media::Size;
use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, ColorPrimaries, Complexity, Encoder, EncoderConfig, FrameRate, MatrixCoefficients, Profile,
    QpRange, RateControlMode, TransferCharacteristics, UsageType, VuiConfig,
};
use openh264::formats::YUVSource;

use super::settings::{Plan, Spending};
use super::{Backend, Source, Take};
use crate::picture::Matrix;

/// Sides of a picture that is taken: the longer and the shorter one.
const MOST_SIDES: (u16, u16) = (3840, 2160);
const LEAST_SIDE: u16 = 16;

/// An open encoder and its picture.
pub(super) struct Openh264 {
    encoder: Encoder,
    picture: Picture,
    stream: Vec<u8>,
}

/// Planes one behind the other, without gaps.
struct Picture {
    size: Size,
    planes: [Vec<u8>; 3],
}

impl Openh264 {
    pub(super) fn open(plan: &Plan) -> Result<Self, String> {
        let Size { width, height } = plan.size;
        let (long, short) = (width.max(height), width.min(height));
        if long > MOST_SIDES.0 || short > MOST_SIDES.1 || short < LEAST_SIDE {
            return Err(format!("takes no picture of {}", plan.size));
        }
        // It has no constant quality; not to be better than asked, within a bit rate, is near to one.
        let (bits, least_quantiser) = match plan.spending {
            Spending::BitRate(bits) => (bits, 0),
            Spending::Quality { rate_factor, most, .. } => (most, (rate_factor - 2.0).clamp(0.0, 51.0) as u8),
        };
        let bits = bits.min(u32::MAX.into()) as u32;
        let matrix = match plan.matrix {
            Matrix::Bt601 => MatrixCoefficients::Smpte170M,
            Matrix::Bt709 => MatrixCoefficients::Bt709,
        };
        let colours = VuiConfig::bt709()
            .color_primaries(ColorPrimaries::Bt709)
            .transfer_characteristics(TransferCharacteristics::Srgb)
            .matrix_coefficients(matrix)
            .full_range(false);
        let config = EncoderConfig::new()
            .usage_type(UsageType::CameraVideoRealTime)
            .profile(Profile::Baseline)
            .complexity(Complexity::Low)
            .rate_control_mode(RateControlMode::Bitrate)
            .bitrate(BitRate::from_bps(bits))
            .max_frame_rate(FrameRate::from_hz(plan.rate as f32 / 1000.0))
            .qp(QpRange::new(least_quantiser, 51))
            // Every picture is coded; keyframes are asked for.
            .skip_frames(false)
            .scene_change_detect(false)
            .num_threads(1)
            .vui(colours);
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config);
        let encoder = encoder.map_err(|error| error.to_string())?;
        let samples = usize::from(width) * usize::from(height);
        let planes = [vec![0; samples], vec![0; samples / 4], vec![0; samples / 4]];
        Ok(Self { encoder, picture: Picture { size: plan.size, planes }, stream: Vec::new() })
    }
}

impl Backend for Openh264 {
    fn encode(&mut self, source: &Source<'_>, tick: i64, key: bool, take: Take<'_>) -> Result<(), String> {
        let (wide, _, _) = self.picture.strides();
        let [luma, blue, red] = &mut self.picture.planes;
        source.write([luma, blue, red], [wide, wide / 2, wide / 2]);
        // The first one is a keyframe anyway, and asking before it would be too early for the library.
        if key && tick > 0 {
            self.encoder.force_intra_frame();
        }
        let coded = self.encoder.encode(&self.picture).map_err(|error| error.to_string())?;
        self.stream.clear();
        coded.write_vec(&mut self.stream);
        if self.stream.is_empty() {
            return Err("gave nothing for a picture".to_owned());
        }
        take(tick, &self.stream);
        Ok(())
    }

    fn spend(&mut self, _: Spending) -> bool {
        false
    }

    fn finish(&mut self, _: Take<'_>) -> Result<(), String> {
        Ok(())
    }
}

impl YUVSource for Picture {
    fn dimensions(&self) -> (usize, usize) {
        (self.size.width.into(), self.size.height.into())
    }

    fn strides(&self) -> (usize, usize, usize) {
        let wide = usize::from(self.size.width);
        (wide, wide / 2, wide / 2)
    }

    fn y(&self) -> &[u8] {
        &self.planes[0]
    }

    fn u(&self) -> &[u8] {
        &self.planes[1]
    }

    fn v(&self) -> &[u8] {
        &self.planes[2]
    }
}
