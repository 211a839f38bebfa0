//! What a payload type carries, as its `a=rtpmap` and `a=fmtp` say it, and those lines for what is sent: JPEG (RFC 2435), H.264
//! (RFC 6184 section 8), H.265 (RFC 7798 section 7), Opus (RFC 7587 section 7), G.711 (RFC 3551), AAC (RFC 3640 section 4).
//!
//! Refused by name: interleaved packets, other modes than AAC-hbr, encodings that are not in that list. Parameter sets that
//! cannot be decoded are left out: cameras that write broken ones send sound ones with their pictures.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use super::{Encoding, Format, Kind};
use crate::rtp::{h264, h265, nal};

/// What a payload carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Codec {
    /// JPEG pictures.
    Jpeg,
    /// H.264 pictures.
    H264 {
        /// How NAL units become packets.
        mode: PacketizationMode,
        /// `profile_idc`, constraint flags and `level_idc`, where the description says them.
        profile_level_id: Option<[u8; 3]>,
        /// SPS and PPS, NAL units without start code, as far as the description has them.
        parameter_sets: Vec<Bytes>,
    },
    /// H.265 pictures.
    H265 {
        /// VPS, SPS and PPS, NAL units without start code, as far as the description has them.
        parameter_sets: Vec<Bytes>,
    },
    /// Opus; its clock always has 48 000 ticks a second and its line two channels, whatever is sent.
    Opus {
        /// The sender means both channels.
        stereo: bool,
    },
    /// G.711.
    G711 {
        /// Which of the two.
        law: Law,
        /// Samples a second, nearly always 8000.
        clock_hz: NonZeroU32,
        /// Channels, 1 or more.
        channels: u8,
    },
    /// AAC in packets of mode AAC-hbr.
    Aac {
        /// Ticks a second of the timestamps: samples a second.
        clock_hz: NonZeroU32,
        /// Channels, 1 or more.
        channels: u8,
        /// AudioSpecificConfig (ISO 14496-3 1.6.2.1).
        config: Bytes,
    },
}

/// How H.264 becomes packets (RFC 6184 section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketizationMode {
    /// 0: every packet is a NAL unit. What a description without a word of it means.
    SingleUnits,
    /// 1: NAL units may share packets or be spread over them, in their order.
    NonInterleaved,
}

/// G.711's two ways to squeeze a sample into a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// PCMA.
    A,
    /// PCMU.
    Mu,
}

/// Why a medium cannot be received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Not RTP, or encrypted.
    #[error("the protocol is `{protocol}`, expected `RTP/AVP`")]
    Protocol {
        /// As written in the `m=` line.
        protocol: String,
    },
    /// No number of 0 to 127 in the `m=` line.
    #[error("the `m=` line has no payload type (RFC 8866 5.14)")]
    NoPayloadType,
    /// A number whose meaning only the description can give.
    #[error("payload type {payload_type} has no `a=rtpmap` line that says what it is (RFC 8866 6.6)")]
    NoEncoding {
        /// 0 to 127.
        payload_type: u8,
    },
    /// One that is not known here.
    #[error(
        "`a=rtpmap:{payload_type} {name}`: not spoken; spoken are JPEG, H264, H265, opus, PCMA, PCMU and mpeg4-generic"
    )]
    UnknownEncoding {
        /// 0 to 127.
        payload_type: u8,
        /// As written.
        name: String,
    },
    /// Timestamps of a rate that the payload's RFC does not allow.
    #[error("`a=rtpmap:{payload_type} {name}/{clock_hz}`: expected {name}/{expected_hz}")]
    Clock {
        /// 0 to 127.
        payload_type: u8,
        /// As written.
        name: String,
        /// As written.
        clock_hz: u32,
        /// As it has to be.
        expected_hz: u32,
    },
    /// A parameter that asks for what is not spoken, or is missing.
    #[error("`a=fmtp:{payload_type}`: `{parameter}`: {why}")]
    Parameter {
        /// 0 to 127.
        payload_type: u8,
        /// `name=value` as written, cut to 80 characters.
        parameter: String,
        /// What it means, and where that stands.
        why: &'static str,
    },
}

/// Base64 as it is found: with or without padding, and with bits behind the last byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const VIDEO_HZ: u32 = nal::CLOCK_HZ;
const OPUS_HZ: u32 = 48_000;

impl Codec {
    /// What is seen or heard.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Jpeg | Self::H264 { .. } | Self::H265 { .. } => Kind::Video,
            Self::Opus { .. } | Self::G711 { .. } | Self::Aac { .. } => Kind::Audio,
        }
    }

    /// H.264 as it is sent here: non-interleaved, with the profile and level of its first SPS.
    pub fn h264(parameter_sets: Vec<Bytes>) -> Self {
        let sps = parameter_sets.iter().find(|unit| unit.len() > 3 && h264::kind(unit[0]) == h264::SPS);
        let profile_level_id = sps.map(|sps| [sps[1], sps[2], sps[3]]);
        Self::H264 { mode: PacketizationMode::NonInterleaved, profile_level_id, parameter_sets }
    }

    /// As lines of a description, under `payload_type`.
    pub fn format(&self, payload_type: u8) -> Format {
        let (name, clock_hz, channels) = match self {
            Self::Jpeg => ("JPEG", video_clock(), None),
            Self::H264 { .. } => ("H264", video_clock(), None),
            Self::H265 { .. } => ("H265", video_clock(), None),
            Self::Opus { .. } => ("opus", NonZeroU32::new(OPUS_HZ).expect("not zero"), Some(2)),
            Self::G711 { law, clock_hz, channels } => {
                let name = if *law == Law::A { "PCMA" } else { "PCMU" };
                (name, *clock_hz, (*channels > 1).then_some(*channels))
            }
            Self::Aac { clock_hz, channels, .. } => ("mpeg4-generic", *clock_hz, Some(*channels)),
        };
        let encoding = Some(Encoding { name: name.to_owned(), clock_hz, channels });
        Format { payload_type, encoding, parameters: self.parameters() }
    }

    fn parameters(&self) -> Vec<(String, String)> {
        let mut list = Vec::new();
        let mut add = |name: &str, value: String| list.push((name.to_owned(), value));
        match self {
            Self::Jpeg | Self::G711 { .. } | Self::Opus { stereo: false } => {}
            Self::H264 { mode, profile_level_id, parameter_sets } => {
                let mode = if *mode == PacketizationMode::SingleUnits { "0" } else { "1" };
                add("packetization-mode", mode.to_owned());
                if let Some(id) = profile_level_id {
                    add("profile-level-id", hex(id));
                }
                add_sets(&mut add, "sprop-parameter-sets", parameter_sets, |_| true);
            }
            Self::H265 { parameter_sets } => {
                let is_of = |kind| move |unit: &Bytes| h265::kind(unit[0]) == kind;
                add_sets(&mut add, "sprop-vps", parameter_sets, is_of(h265::VPS));
                add_sets(&mut add, "sprop-sps", parameter_sets, is_of(h265::SPS));
                add_sets(&mut add, "sprop-pps", parameter_sets, is_of(h265::PPS));
            }
            Self::Opus { stereo: true } => add("sprop-stereo", "1".to_owned()),
            Self::Aac { config, .. } => {
                let fixed = [
                    ("streamtype", "5"),
                    ("profile-level-id", "1"),
                    ("mode", "AAC-hbr"),
                    ("sizelength", "13"),
                    ("indexlength", "3"),
                    ("indexdeltalength", "3"),
                ];
                fixed.iter().for_each(|(name, value)| add(name, (*value).to_owned()));
                add("config", hex(config));
            }
        }
        list
    }
}

fn add_sets(
    add: &mut impl FnMut(&str, String),
    name: &str,
    parameter_sets: &[Bytes],
    belongs: impl Fn(&Bytes) -> bool,
) {
    let sets = parameter_sets.iter().filter(|unit| !unit.is_empty() && belongs(unit));
    let sets: Vec<String> = sets.map(|unit| BASE64.encode(unit)).collect();
    if !sets.is_empty() {
        add(name, sets.join(","));
    }
}

impl Format {
    /// What it carries.
    ///
    /// # Errors
    /// It is not known, or packed in a way that is not spoken.
    pub fn codec(&self) -> Result<Codec, CodecError> {
        let payload_type = self.payload_type;
        let encoding = self.encoding.as_ref().ok_or(CodecError::NoEncoding { payload_type })?;
        let channels = encoding.channels.unwrap_or(1);
        let clock_hz = encoding.clock_hz;
        match encoding.name.to_ascii_uppercase().as_str() {
            "JPEG" => self.clocked(encoding, VIDEO_HZ).map(|()| Codec::Jpeg),
            "H264" => self.h264(encoding),
            "H265" => self.h265(encoding),
            "OPUS" => {
                self.clocked(encoding, OPUS_HZ)?;
                Ok(Codec::Opus { stereo: self.parameter("sprop-stereo") == Some("1") })
            }
            "PCMA" => Ok(Codec::G711 { law: Law::A, clock_hz, channels }),
            "PCMU" => Ok(Codec::G711 { law: Law::Mu, clock_hz, channels }),
            "MPEG4-GENERIC" => self.aac(encoding, channels),
            _ => Err(CodecError::UnknownEncoding { payload_type, name: encoding.name.clone() }),
        }
    }

    fn h264(&self, encoding: &Encoding) -> Result<Codec, CodecError> {
        self.clocked(encoding, VIDEO_HZ)?;
        let mode = match self.parameter("packetization-mode") {
            None | Some("0" | "") => PacketizationMode::SingleUnits,
            Some("1") => PacketizationMode::NonInterleaved,
            Some("2") => {
                let why = "interleaved packets are not spoken (RFC 6184 5.4)";
                return Err(self.refused("packetization-mode", why));
            }
            Some(_) => return Err(self.refused("packetization-mode", "expected 0 or 1 (RFC 6184 8.1)")),
        };
        let profile_level_id = self.parameter("profile-level-id").and_then(from_hex);
        let profile_level_id = profile_level_id.and_then(|bytes| <[u8; 3]>::try_from(&bytes[..]).ok());
        let parameter_sets =
            self.sets("sprop-parameter-sets", |unit| h264::is_parameter_set(h264::kind(unit)));
        Ok(Codec::H264 { mode, profile_level_id, parameter_sets: parameter_sets.collect() })
    }

    fn h265(&self, encoding: &Encoding) -> Result<Codec, CodecError> {
        self.clocked(encoding, VIDEO_HZ)?;
        // Above 0 every packet has a decoding order number, which nothing but this parameter tells.
        if !matches!(self.parameter("sprop-max-don-diff"), None | Some("0" | "")) {
            let why = "NAL units out of their order are not spoken (RFC 7798 7.1)";
            return Err(self.refused("sprop-max-don-diff", why));
        }
        let is_parameter_set = |unit| (h265::VPS..=h265::PPS).contains(&h265::kind(unit));
        let names = ["sprop-vps", "sprop-sps", "sprop-pps"];
        let mut parameter_sets: Vec<Bytes> =
            names.iter().flat_map(|name| self.sets(name, is_parameter_set)).collect();
        // Decoders want them in this order, and some cameras mix up the names.
        parameter_sets.sort_by_key(|unit| h265::kind(unit[0]));
        Ok(Codec::H265 { parameter_sets })
    }

    fn aac(&self, encoding: &Encoding, channels: u8) -> Result<Codec, CodecError> {
        let is_high_rate = |mode: &str| mode.eq_ignore_ascii_case("AAC-hbr");
        if !self.parameter("mode").is_some_and(is_high_rate) {
            return Err(self.refused("mode", "expected AAC-hbr (RFC 3640 3.3.6)"));
        }
        for (name, expected) in [("sizelength", "13"), ("indexlength", "3"), ("indexdeltalength", "3")] {
            if self.parameter(name).is_some_and(|value| value != expected) {
                return Err(self.refused(name, "AAC-hbr has 13, 3 and 3 bits (RFC 3640 3.3.6)"));
            }
        }
        let config = self.parameter("config").and_then(from_hex).filter(|config| config.len() >= 2);
        let Some(config) = config else {
            return Err(self.refused("config", "expected AudioSpecificConfig in hexadecimal (RFC 3640 4.1)"));
        };
        Ok(Codec::Aac { clock_hz: encoding.clock_hz, channels, config: config.into() })
    }

    fn clocked(&self, encoding: &Encoding, expected_hz: u32) -> Result<(), CodecError> {
        let (payload_type, clock_hz) = (self.payload_type, encoding.clock_hz.get());
        if clock_hz == expected_hz {
            return Ok(());
        }
        Err(CodecError::Clock { payload_type, name: encoding.name.clone(), clock_hz, expected_hz })
    }

    fn refused(&self, name: &str, why: &'static str) -> CodecError {
        let parameter = match self.parameter(name) {
            Some(value) => format!("{name}={value}").chars().take(80).collect(),
            None => format!("{name} missing"),
        };
        CodecError::Parameter { payload_type: self.payload_type, parameter, why }
    }

    /// The NAL units of a parameter, those that are parameter sets by their first byte.
    fn sets<'a>(&'a self, name: &str, is_set: impl Fn(u8) -> bool + 'a) -> impl Iterator<Item = Bytes> + 'a {
        let text = self.parameter(name).unwrap_or_default();
        let units = text.split(',').filter_map(|piece| BASE64.decode(piece.trim()).ok());
        let units = units.map(|unit| without_start_code(unit.into()));
        units.filter(move |unit| unit.first().is_some_and(|first| is_set(*first)))
    }
}

/// Some cameras write Annex B's start code in front of each set.
fn without_start_code(unit: Bytes) -> Bytes {
    let zeros = unit.iter().take_while(|byte| **byte == 0).count();
    match unit.get(zeros) {
        Some(1) if zeros >= 2 => unit.slice(zeros + 1..),
        _ => unit,
    }
}

fn video_clock() -> NonZeroU32 {
    NonZeroU32::new(VIDEO_HZ).expect("not zero")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some((digit(pair[0])? << 4 | digit(*pair.get(1)?)?) as u8)).collect()
}
