//! What a description is to the rest of the program: tracks, what their packets are put together by, or why there are none.

use std::num::{NonZeroU8, NonZeroU32};

use bytes::Bytes;
use ocelli_media as media;
use ocelli_media::{ParameterSets, Track};

use super::{Codec, Description, Kind, Law, Medium};
use crate::rtp::audio::{AacConfig, Format};
use crate::rtp::nal;
use crate::rtp::receive::Payload;

/// Samples of a frame of AAC whose configuration does not say it (ISO/IEC 14496-3 4.5.1.1).
const AAC_SAMPLES: u32 = 1024;
/// Ticks a second of Opus' clock (RFC 7587 4.1).
const OPUS_RATE: NonZeroU32 = NonZeroU32::new(48_000).expect("not zero");

impl Description {
    /// Why no pictures of it can be received, in words that name what there is instead: "no pictures that Ocelli understands (offers:
    /// MP4V-ES)".
    pub fn nothing_understood(&self) -> String {
        let name = |medium: &Medium| {
            let encoding = medium.formats.first().and_then(|format| format.encoding.as_ref());
            let name = match (encoding, medium.kind) {
                (Some(encoding), _) => encoding.name.as_str(),
                (None, Kind::Video) => "video",
                (None, Kind::Audio) => "audio",
                (None, Kind::Other) => "data",
            };
            name.chars().filter(|letter| !letter.is_control()).take(40).collect::<String>()
        };
        let offers: Vec<String> = self.media.iter().take(8).map(name).collect();
        let mut pictures = self.media.iter().filter(|medium| medium.kind == Kind::Video);
        let why = pictures.find_map(|medium| medium.codec().err());
        let why = why.map_or_else(String::new, |error| format!(": {error}"));
        format!("no pictures that Ocelli understands (offers: {}){why}", offers.join(", "))
    }
}

impl Codec {
    /// Which one it is, without what the description says of it.
    pub fn media(&self) -> media::Codec {
        match self {
            Self::Jpeg => media::Codec::Jpeg,
            Self::H264 { .. } => media::Codec::H264,
            Self::H265 { .. } => media::Codec::H265,
            Self::Opus { .. } => media::Codec::Opus,
            Self::G711 { law: Law::Mu, .. } => media::Codec::Pcmu,
            Self::G711 { law: Law::A, .. } => media::Codec::Pcma,
            Self::Aac { .. } => media::Codec::Aac,
        }
    }

    /// What its packets carry.
    pub fn payload(&self) -> Payload {
        match self {
            Self::Jpeg => Payload::Jpeg,
            Self::H264 { .. } => Payload::Nal(nal::Format::H264),
            Self::H265 { .. } => Payload::Nal(nal::Format::H265),
            Self::Opus { .. } => Payload::Sound(Format::Opus),
            Self::G711 { channels, .. } => Payload::Sound(Format::G711 { channels: *channels }),
            Self::Aac { clock_hz, config, .. } => {
                let config = AacConfig::parse(config);
                let frame_ticks = config.map_or(AAC_SAMPLES, |config| config.frame_ticks(clock_hz.get()));
                Payload::Sound(Format::Aac { frame_ticks })
            }
        }
    }

    /// The track that it is, as far as the description tells it: pictures have the size that their parameter sets say, if those
    /// are there.
    pub fn track(&self) -> Track {
        let channels = |channels: u8| NonZeroU8::new(channels).unwrap_or(NonZeroU8::MIN);
        match self {
            Self::Jpeg => Track::jpeg(None),
            Self::H264 { parameter_sets, .. } | Self::H265 { parameter_sets } => {
                let mut sets = ParameterSets::new(self.media());
                for set in parameter_sets {
                    sets.take(set);
                }
                Track::video(self.media(), sets.size(), sets.units())
            }
            Self::Opus { stereo } => {
                Track::audio(self.media(), OPUS_RATE, channels(1 + u8::from(*stereo)), Bytes::new())
            }
            Self::G711 { clock_hz, channels: count, .. } => {
                Track::audio(self.media(), *clock_hz, channels(*count), Bytes::new())
            }
            Self::Aac { clock_hz, channels: written, config } => {
                // Cameras leave the channels out of the line, which then means one.
                let said = AacConfig::parse(config).and_then(|config| config.channels);
                Track::audio(self.media(), *clock_hz, channels(said.unwrap_or(*written)), config.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracks(lines: &str) -> Vec<(Track, Payload)> {
        let description = Description::parse(format!("v=0\r\n{lines}").as_bytes()).unwrap();
        let codecs = description.media.iter().map(|medium| medium.codec().unwrap().1);
        codecs.map(|codec| (codec.track(), codec.payload())).collect()
    }

    #[test]
    fn tracks_are_as_described() {
        let tracks = tracks(
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
             a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAH9kAUAW7ARAAAAMAEAAAAwPA8YMkgA==,aMuMsg==\r\n\
             m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000\r\n\
             a=fmtp:97 mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=2b118800\r\n\
             m=audio 0 RTP/AVP 0\r\n\
             m=audio 0 RTP/AVP 98\r\na=rtpmap:98 opus/48000/2\r\na=fmtp:98 sprop-stereo=1\r\n",
        );
        let [(video, _), (aac, aac_payload), (pcmu, _), (opus, _)] = &tracks[..] else {
            panic!("{tracks:?}")
        };
        assert!(video.size.is_some() && video.parameter_sets.len() == 2, "{video:?}");
        assert_eq!(aac.channels.map(NonZeroU8::get), Some(2), "the configuration's, not the line's");
        assert_eq!(*aac_payload, Payload::Sound(Format::Aac { frame_ticks: 2048 }));
        assert_eq!((pcmu.codec, pcmu.clock_rate.get()), (media::Codec::Pcmu, 8000));
        assert_eq!((opus.clock_rate.get(), opus.channels.map(NonZeroU8::get)), (48_000, Some(2)));
    }
}
