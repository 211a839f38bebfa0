//! AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1), as far as RTP needs it: how many samples a frame has, and how many channels.
//!
//! ```text
//! object type (5; 31: 6 more) | rate (4; 15: 24 more) | channels (4)
//!   object type 5 or 29, band replication: its rate (4; 15: 24 more) | the core's object type (5; 31: 6 more)
//! | frames of 960 samples instead of 1024 (1) | ...
//! ```

/// Samples a second by their index (table 1.18).
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// Channels by `channelConfiguration` (table 1.19).
const CHANNELS: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 8];

/// What an AudioSpecificConfig says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// Samples a second of the core coder: half of what is heard with band replication.
    pub core_hz: u32,
    /// Channels; `None` where they are described elsewhere, or with a number that means nothing.
    pub channels: Option<u8>,
    /// Samples of a frame of the core coder: 1024 or 960.
    pub core_samples: u32,
}

impl AacConfig {
    /// Reads `config`; `None` where it ends too early, or names no rate.
    pub fn parse(config: &[u8]) -> Option<Self> {
        let mut bits = Bits { bytes: config, at: 0 };
        let object_type = bits.object_type()?;
        let core_hz = bits.rate()?;
        let channels = CHANNELS.get(bits.take(4)? as usize).copied().filter(|channels| *channels > 0);
        if matches!(object_type, 5 | 29) {
            bits.rate()?;
            bits.object_type()?;
        }
        let core_samples = if bits.take(1)? == 1 { 960 } else { 1024 };
        Some(Self { core_hz, channels, core_samples })
    }

    /// Ticks from one frame to the next of a clock with `clock_hz` ticks a second.
    pub fn frame_ticks(self, clock_hz: u32) -> u32 {
        let ticks = u64::from(self.core_samples) * u64::from(clock_hz) / u64::from(self.core_hz.max(1));
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => Some(32 + self.take(6)?),
            other => Some(other),
        }
    }

    fn rate(&mut self) -> Option<u32> {
        match self.take(4)? {
            15 => self.take(24).filter(|rate| *rate > 0),
            index => RATES.get(index as usize).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_encoders_write_is_read() {
        // AAC-LC, 44.1 kHz stereo and 16 kHz mono, as FFmpeg and cameras have them.
        let stereo = AacConfig::parse(&[0x12, 0x10]).unwrap();
        assert_eq!(stereo, AacConfig { core_hz: 44_100, channels: Some(2), core_samples: 1024 });
        assert_eq!(stereo.frame_ticks(44_100), 1024);
        let mono = AacConfig::parse(&[0x14, 0x08]).unwrap();
        assert_eq!((mono.core_hz, mono.channels), (16_000, Some(1)));
        // HE-AAC, 24 kHz inside of 48 kHz.
        let replicated = AacConfig::parse(&[0x2B, 0x11, 0x88, 0x00]).unwrap();
        assert_eq!((replicated.core_hz, replicated.frame_ticks(48_000)), (24_000, 2048));
        // 960 samples a frame, and a rate of its own.
        assert_eq!(AacConfig::parse(&[0x11, 0x94]).unwrap().core_samples, 960);
        assert_eq!(AacConfig::parse(&[0x17, 0x80, 0x1F, 0x40, 0x08]).unwrap().core_hz, 16_000);
        assert_eq!(AacConfig::parse(&[0x16, 0x88, 0]), None, "index 13 means nothing");
        assert_eq!(AacConfig::parse(&[0x12]), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(config in proptest::collection::vec(any::<u8>(), 0..9), clock_hz: u32) {
            if let Some(config) = AacConfig::parse(&config) {
                config.frame_ticks(clock_hz);
            }
        }
    }
}
