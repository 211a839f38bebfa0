//! A frame (one access unit), the track it belongs to, and the set of tracks that a stream has.

use std::fmt;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::SystemTime;

use bytes::Bytes;

use crate::MediaTime;

/// One access unit: a whole picture, or a stretch of sound. Cloning it bumps a count and copies none of its bytes.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The track it belongs to.
    pub track: TrackId,
    /// When it is to be shown, on the track's own clock.
    pub time: MediaTime,
    /// Wall clock at which the camera took it, or, where the camera does not say, at which its last byte was read.
    /// Latency is measured from here. `None` where neither is known.
    pub captured: Option<SystemTime>,
    /// One who watches can begin here. Every JPEG is such a one; sound never is, since it goes with the pictures.
    pub key: bool,
    /// JPEG: a whole file, SOI to EOI. H.264 and H.265: NAL units, each behind its length as 4 bytes, big endian. Pictures
    /// that are not coded: as their [`Codec`] says. Opus: a packet (RFC 6716). AAC: an access unit as it is, without ADTS.
    /// G.711: a byte for each sample of each channel, channels in turn.
    pub data: Bytes,
}

impl Frame {
    /// A picture; otherwise sound.
    pub fn is_picture(&self) -> bool {
        self.track == TrackId::VIDEO
    }
}

/// Names a track within its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u8);

impl TrackId {
    /// The only video track of a stream that has one.
    pub const VIDEO: Self = Self(0);
    /// The only track of sound of a stream that has one.
    pub const AUDIO: Self = Self(1);
}

/// How a track's access units are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// JPEG, ITU-T T.81: any process that ends in one whole file a picture.
    Jpeg,
    /// H.264, ITU-T H.264.
    H264,
    /// H.265, ITU-T H.265.
    H265,
    /// Not coded: red, green and blue of each pixel as a byte, rows from the top, nothing between them.
    Rgb24,
    /// Not coded: 4:2:0, the plane of luma and then those of Cb and Cr, a byte a sample, nothing between rows. Sides are even.
    Yuv420,
    /// Opus, RFC 6716: sound.
    Opus,
    /// AAC, ISO/IEC 14496-3: sound.
    Aac,
    /// G.711 with the law of North America: sound.
    Pcmu,
    /// G.711 with the law of Europe: sound.
    Pcma,
}

impl Codec {
    /// Pictures; otherwise sound.
    pub fn is_video(self) -> bool {
        matches!(self, Self::Jpeg | Self::H264 | Self::H265 | Self::Rgb24 | Self::Yuv420)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "mjpeg",
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Rgb24 => "rgb24",
            Self::Yuv420 => "yuv420",
            Self::Opus => "opus",
            Self::Aac => "aac",
            Self::Pcmu => "pcmu",
            Self::Pcma => "pcma",
        })
    }
}

/// Width and height of a picture in pixels; neither is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Columns, 1 to 65535.
    pub width: u16,
    /// Rows, 1 to 65535.
    pub height: u16,
}

impl Size {
    /// `None` where one side is 0 or more than 65535.
    pub fn new(width: u32, height: u32) -> Option<Self> {
        let side = |length: u32| u16::try_from(length).ok().filter(|length| *length > 0);
        Some(Self { width: side(width)?, height: side(height)? })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// What a stream's frames of one [`TrackId`] are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its name within the stream.
    pub id: TrackId,
    /// How its access units are coded.
    pub codec: Codec,
    /// Ticks a second of its frames' [`MediaTime`]. Sound: its samples a second.
    pub clock_rate: NonZeroU32,
    /// Size of its pictures, where it is known before they are decoded.
    pub size: Option<Size>,
    /// H.264 and H.265: the parameter sets that decoding begins with, a NAL unit each, without length or start code;
    /// empty where they are not known. Keyframes hold them too. AAC: its AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1), alone.
    /// The others have none.
    pub parameter_sets: Vec<Bytes>,
    /// Sound: its channels. `None` for pictures.
    pub channels: Option<NonZeroU8>,
}

impl Track {
    /// A video track of JPEG pictures on the 90 kHz clock.
    pub fn jpeg(size: Option<Size>) -> Self {
        Self::video(Codec::Jpeg, size, Vec::new())
    }

    /// The video track of a stream, on the 90 kHz clock.
    pub fn video(codec: Codec, size: Option<Size>, parameter_sets: Vec<Bytes>) -> Self {
        let clock_rate = MediaTime::VIDEO_RATE;
        Self { id: TrackId::VIDEO, codec, clock_rate, size, parameter_sets, channels: None }
    }

    /// The sound of a stream, sampled `rate` times a second. `config` is AAC's, and empty for the others.
    pub fn audio(codec: Codec, rate: NonZeroU32, channels: NonZeroU8, config: Bytes) -> Self {
        let parameter_sets = Some(config).filter(|config| !config.is_empty()).into_iter().collect();
        let (id, channels) = (TrackId::AUDIO, Some(channels));
        Self { id, codec, clock_rate: rate, size: None, parameter_sets, channels }
    }
}

/// The tracks of a stream at one time.
pub type Tracks = Vec<Track>;

/// The pictures among a stream's tracks.
pub fn video_track(tracks: &[Track]) -> Option<&Track> {
    tracks.iter().find(|track| track.id == TrackId::VIDEO)
}

/// The sound among a stream's tracks.
pub fn audio_track(tracks: &[Track]) -> Option<&Track> {
    tracks.iter().find(|track| track.id == TrackId::AUDIO)
}
