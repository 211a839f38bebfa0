//! What is asked of an encoder, and what follows from it where something is left open.

use ocelli_media::Size;

use crate::picture::Matrix;

/// What an H.264 stream is to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bits a second, in units of 1000; 0 for as many as `quality` needs.
    pub bit_rate_kbps: u32,
    /// 1 to 100, where no bit rate is asked; 0 for the usual one.
    pub quality: u8,
    /// Pictures expected in 1000 s; 0 where that is not known.
    pub rate: u32,
    /// Longest time from one keyframe to the next, in ms; 0 for the usual one. It is kept by the pictures' own times, to
    /// half an interval.
    pub key_every_ms: u32,
}

/// Where nobody has said anything.
const USUAL_QUALITY: u8 = 75;
/// A viewer that joins without asking for a keyframe waits so long, in ms.
const USUAL_KEY_EVERY_MS: u32 = 2000;
/// Least and greatest bit rates, in bits a second.
const BIT_RATES: (u64, u64) = (16_000, 200_000_000);

/// Everything that a library is told when it is opened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    /// What is coded: even sides.
    pub(crate) size: Size,
    /// Pictures in 1000 s: the unit of a picture's time.
    pub(crate) rate: u32,
    /// What luma and colour are made of.
    pub(crate) matrix: Matrix,
    /// How many bits are spent.
    pub(crate) spending: Spending,
}

/// How many bits are spent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Spending {
    /// So many a second, and never more in any half second than belong to it.
    BitRate(u64),
    /// As many as a constant quality takes, but not more than `most` a second.
    Quality {
        /// x264's rate factor: 0 is lossless, 23 is usual, 51 is worst.
        rate_factor: f32,
        /// About the bit rate that most pictures need for it, for encoders that have no such thing.
        typical: u64,
        /// Bits a second.
        most: u64,
    },
}

impl Settings {
    /// Longest time between keyframes, in µs.
    pub(super) fn key_every_us(&self) -> i64 {
        let ms = if self.key_every_ms == 0 { USUAL_KEY_EVERY_MS } else { self.key_every_ms };
        i64::from(ms) * 1000
    }

    pub(super) fn plan(&self, size: Size, matrix: Matrix, rate: u32) -> Plan {
        let spending = match self.bit_rate_kbps {
            0 => {
                let quality = if self.quality == 0 { USUAL_QUALITY } else { self.quality.min(100) };
                let rate_factor = 48.0 - f32::from(quality) / 3.0;
                let typical = typical_bit_rate(size, rate, rate_factor);
                Spending::Quality { rate_factor, typical, most: typical.saturating_mul(4).min(BIT_RATES.1) }
            }
            kbps => Spending::BitRate((u64::from(kbps) * 1000).clamp(BIT_RATES.0, BIT_RATES.1)),
        };
        Plan { size, rate, matrix, spending }
    }
}

/// A tenth of a bit for each pixel at a rate factor of 23, half as many for each 6 more.
fn typical_bit_rate(size: Size, rate: u32, rate_factor: f32) -> u64 {
    let pixels = f64::from(size.width) * f64::from(size.height) * f64::from(rate) / 1000.0;
    let bits = pixels * 0.1 * 2_f64.powf(f64::from(23.0 - rate_factor) / 6.0);
    (bits as u64).clamp(BIT_RATES.0, BIT_RATES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_open_follows_from_the_rest() {
        let size = Size { width: 1280, height: 720 };
        let open = Settings { bit_rate_kbps: 0, quality: 0, rate: 0, key_every_ms: 0 };
        assert_eq!(open.key_every_us(), 2_000_000);
        let Spending::Quality { rate_factor, typical, most } =
            open.plan(size, Matrix::Bt601, 30_000).spending
        else {
            panic!("no bit rate was asked");
        };
        assert_eq!((rate_factor, typical, most), (23.0, 2_764_800, 11_059_200));
        let size = Size { width: 640, height: 360 };
        assert_eq!(typical_bit_rate(size, 30_000, 29.0), 345_600, "a quarter of the pixels at half the bits");
        let huge = Settings { bit_rate_kbps: u32::MAX, ..open }.plan(size, Matrix::Bt601, 30_000);
        assert_eq!(huge.spending, Spending::BitRate(BIT_RATES.1));
    }
}
