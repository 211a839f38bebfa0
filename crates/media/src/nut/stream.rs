//! A stream's header (specification of NUT, section 3.5), and its packets: from the bytes that FFmpeg has of them to what is passed on.
//!
//! FFmpeg passes on how its input had them. H.264 and H.265 come with lengths and a configuration record (ISO/IEC 14496-15) out of MP4,
//! Matroska and RTMP, with start codes (Annex B) out of MPEG-TS and RTSP; AAC with its configuration, or with an ADTS header (ISO/IEC
//! 13818-7 section 6.2) before each packet.

use std::num::{NonZeroU8, NonZeroU32};
use std::ops::Range;

use bytes::Bytes;

use super::fields::Fields;
use super::header::{MainHeader, TimeBase};
use super::{NutError, media_time};
use crate::annexb::packet::{self, Laid};
use crate::intake::Intake;
use crate::mp4::{DropReason, Entry, Unpacked, Unpacker, avc_record, hevc_record};
use crate::{Codec, MediaTime, ParameterSets, Size, Track, TrackId};

/// Most lowest bits of a time that are coded alone.
const MOST_TICKS_BITS: u64 = 15;
/// Samples a second of AAC by their number (ISO/IEC 14496-3 table 1.18).
const AAC_RATES: [u32; 13] =
    [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

/// One stream.
pub(super) struct Stream {
    pub(super) time_base: TimeBase,
    pub(super) ticks_bits: u32,
    /// Of its last frame, or of the last syncpoint.
    pub(super) last_ticks: i64,
    name: String,
    kind: Kind,
    is_taken: bool,
    unpacker: Unpacker,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).finish_non_exhaustive()
    }
}

enum Kind {
    Pictures { size: Option<Size>, coding: Coding },
    Sound { codec: Option<Codec>, rate: u32, channels: u8, config: Bytes },
    Other,
}

/// How pictures are coded.
enum Coding {
    /// In packets that are whole, or are NAL units with lengths.
    Packets(Entry),
    /// In NAL units with start codes.
    AnnexB(Entry),
    /// Not at all: 4:2:0.
    Not,
    Unknown,
}

/// Reads a stream's header: its number, and what it is.
pub(super) fn read(body: &[u8], main: &MainHeader) -> Result<(usize, Stream), NutError> {
    const DAMAGED: NutError = NutError::Damaged("a stream's header");
    let mut fields = Fields::new(body);
    macro_rules! number {
        () => {
            fields.v()?.ok_or(DAMAGED)?
        };
    }
    let id = number!();
    let class = number!();
    // FFmpeg writes numbers of two bytes with four.
    let fourcc = fields.vb()?.ok_or(DAMAGED)?;
    let fourcc = fourcc.strip_suffix(&[0, 0]).unwrap_or(fourcc);
    let time_base = usize::try_from(number!()).ok().and_then(|id| main.time_bases.get(id)).ok_or(DAMAGED)?;
    let ticks_bits = number!();
    let (_longest_gap, _decode_delay, _flags) = (number!(), number!(), number!());
    let config = fields.vb()?.ok_or(DAMAGED)?;
    if ticks_bits > MOST_TICKS_BITS {
        return Err(DAMAGED);
    }
    let kind = match class {
        0 => {
            let (width, height) = (number!(), number!());
            let side = |length: u64| u32::try_from(length).unwrap_or(u32::MAX);
            Kind::Pictures { size: Size::new(side(width), side(height)), coding: coding(fourcc, config) }
        }
        1 => {
            let (rate, _divisor, channels) = (number!(), number!(), number!());
            let rate = u32::try_from(rate).unwrap_or(0);
            sound(fourcc, rate, u8::try_from(channels).unwrap_or(0), config)
        }
        _ => Kind::Other,
    };
    let unpacker = Unpacker::new(match &kind {
        Kind::Pictures { coding: Coding::Packets(entry) | Coding::AnnexB(entry), .. } => Some(entry),
        _ => None,
    });
    let stream = Stream {
        time_base: *time_base,
        ticks_bits: ticks_bits as u32,
        last_ticks: 0,
        name: name(fourcc),
        kind,
        is_taken: false,
        unpacker,
    };
    Ok((usize::try_from(id).unwrap_or(usize::MAX), stream))
}

/// A codec's name, as it may be shown.
fn name(fourcc: &[u8]) -> String {
    match fourcc {
        [0x55, 0] => "MP3".to_owned(),
        [_, ..] if fourcc.len() <= 4 && fourcc.iter().all(u8::is_ascii_graphic) => {
            String::from_utf8_lossy(fourcc).into_owned()
        }
        _ => fourcc.iter().take(4).map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn coding(fourcc: &[u8], config: &[u8]) -> Coding {
    let nal = |codec, record: fn(&[u8]) -> Option<Entry>| match config {
        // A configuration record begins with its version.
        [1, ..] => record(config).map_or(Coding::Unknown, Coding::Packets),
        _ => {
            let mut sets = Vec::new();
            let mut units = Vec::new();
            packet::find_units(config, &mut units);
            sets.extend(units.into_iter().map(|unit: Range<usize>| config[unit].to_vec()));
            Coding::AnnexB(Entry::Nal { codec, length_bytes: 4, parameter_sets: sets })
        }
    };
    match &fourcc.to_ascii_lowercase()[..] {
        b"h264" | b"x264" | b"avc1" | b"avc3" | b"davc" => nal(Codec::H264, avc_record),
        b"hevc" | b"h265" | b"x265" | b"hvc1" | b"hev1" => nal(Codec::H265, hevc_record),
        b"mjpg" | b"jpeg" | b"mjpa" => Coding::Packets(Entry::Jpeg),
        b"i420" => Coding::Not,
        _ => Coding::Unknown,
    }
}

fn sound(fourcc: &[u8], rate: u32, channels: u8, config: &[u8]) -> Kind {
    let codec = match &fourcc.to_ascii_lowercase()[..] {
        // Numbers are WAVE's (RFC 2361).
        [0xFF, 0] | b"mp4a" | b"aac " => Some(Codec::Aac),
        b"opus" => Some(Codec::Opus),
        [6, 0] | b"alaw" => Some(Codec::Pcma),
        [7, 0] | b"ulaw" => Some(Codec::Pcmu),
        _ => None,
    };
    match codec {
        Some(Codec::Aac) => Kind::Sound { codec, rate, channels, config: Bytes::copy_from_slice(config) },
        Some(Codec::Opus) => Kind::Sound { codec, rate: 48_000, channels, config: Bytes::new() },
        _ => Kind::Sound { codec, rate, channels, config: Bytes::new() },
    }
}

impl Stream {
    pub(super) fn is_video(&self) -> bool {
        matches!(self.kind, Kind::Pictures { .. })
    }

    pub(super) fn is_sound(&self) -> bool {
        matches!(self.kind, Kind::Sound { .. })
    }

    pub(super) fn is_taken(&self) -> bool {
        self.is_taken
    }

    /// Its pictures are passed on as they are.
    pub(super) fn is_raw(&self) -> bool {
        matches!(self.kind, Kind::Pictures { coding: Coding::Not, .. })
    }

    /// Passes this stream on, if that can be and it is `wanted`, pictures that are not coded only if `raw` says so.
    pub(super) fn choose(&mut self, wanted: bool, raw: bool) {
        self.is_taken = wanted
            && match &self.kind {
                Kind::Pictures { coding: Coding::Not, .. } => raw,
                Kind::Pictures { coding, .. } => !matches!(coding, Coding::Unknown),
                Kind::Sound { codec, rate, channels, .. } => codec.is_some() && *rate > 0 && *channels > 0,
                Kind::Other => false,
            };
    }

    /// What its pictures or its sound are called.
    pub(super) fn codec_name(&self) -> String {
        self.name.clone()
    }

    pub(super) fn id(&self) -> TrackId {
        if self.is_sound() { TrackId::AUDIO } else { TrackId::VIDEO }
    }

    pub(super) fn parameter_sets(&self) -> Option<&ParameterSets> {
        self.unpacker.parameter_sets().filter(|_| self.is_taken)
    }

    /// What is passed on of it, once that is known.
    pub(super) fn track(&self) -> Option<Track> {
        match &self.kind {
            _ if !self.is_taken => None,
            Kind::Pictures { size, coding: Coding::Packets(Entry::Jpeg) } => Some(Track::jpeg(*size)),
            Kind::Pictures { size, coding: Coding::Not } => {
                Some(Track::video(Codec::Yuv420, *size, Vec::new()))
            }
            Kind::Pictures { size, .. } => {
                let sets = self.unpacker.parameter_sets()?;
                Some(Track::video(sets.codec(), sets.size().or(*size), sets.units()))
            }
            Kind::Sound { codec: Some(Codec::Aac), config, .. } if config.is_empty() => None,
            Kind::Sound { codec, rate, channels, config } => {
                let (rate, channels) = (NonZeroU32::new(*rate)?, NonZeroU8::new(*channels)?);
                Some(Track::audio((*codec)?, rate, channels, config.clone()))
            }
            Kind::Other => None,
        }
    }

    /// `ticks` on its track's clock.
    pub(super) fn time(&self, ticks: i64) -> MediaTime {
        let rate = match &self.kind {
            Kind::Sound { rate, .. } => NonZeroU32::new(*rate).unwrap_or(MediaTime::VIDEO_RATE),
            _ => MediaTime::VIDEO_RATE,
        };
        media_time(ticks, self.time_base, rate)
    }

    /// A packet was dropped unseen.
    pub(super) fn lost(&mut self) {
        self.unpacker.lost();
    }

    /// Takes a packet off the beginning of `intake`.
    pub(super) fn unpack(
        &mut self,
        intake: &mut Intake,
        length: usize,
        units: &mut Vec<Range<usize>>,
    ) -> Result<Unpacked, DropReason> {
        match &mut self.kind {
            Kind::Pictures { coding: Coding::Packets(entry), .. } => {
                self.unpacker.unpack(entry, 1, intake.take(length))
            }
            Kind::Pictures { coding: Coding::AnnexB(entry), .. } => {
                let data = match packet::lay(&mut intake.bytes_mut()[..length], units) {
                    Laid::InPlace { end } => {
                        let data = intake.take(end);
                        intake.discard(length - end);
                        data
                    }
                    Laid::Copied(data) => {
                        intake.expect(length);
                        intake.discard(length);
                        data
                    }
                };
                self.unpacker.unpack(entry, 1, data)
            }
            Kind::Sound { codec: Some(Codec::Aac), rate, channels, config } => {
                let data = intake.take(length);
                without_adts(data, rate, channels, config).map(Unpacked::Sound).ok_or(DropReason::Damaged)
            }
            _ => Ok(Unpacked::Sound(intake.take(length))),
        }
    }
}

/// An access unit of AAC without the header that a stream of ADTS has before each, of which the configuration is made.
///
/// ```text
/// syncword 12 | ID 1 | layer 2 = 0 | no CRC 1 | profile 2 | rate 4 | private 1 | channels 3 | ... | length 13 | fullness 11 | blocks 2
/// ```
fn without_adts(data: Bytes, rate: &mut u32, channels: &mut u8, config: &mut Bytes) -> Option<Bytes> {
    let &[0xFF, second, third, fourth, ..] = &data[..] else { return Some(data) };
    // With a configuration there is none, and an access unit may begin with anything.
    if second & 0xF6 != 0xF0 || data.len() < 7 || !config.is_empty() && config.len() != ADTS_CONFIG_BYTES {
        return Some(data);
    }
    let length = usize::from(fourth & 3) << 11 | usize::from(data[4]) << 3 | usize::from(data[5] >> 5);
    let header = if second & 1 == 1 { 7 } else { 9 };
    if length != data.len() {
        return if config.is_empty() { None } else { Some(data) };
    }
    let (object, index) = ((third >> 6) + 1, third >> 2 & 0xF);
    let count = (third & 1) << 2 | fourth >> 6;
    if config.is_empty() {
        *rate = *AAC_RATES.get(usize::from(index))?;
        *channels = match count {
            0 => *channels,
            7 => 8,
            count => count,
        };
        *config = Bytes::copy_from_slice(&[object << 3 | index >> 1, index << 7 | count << 3]);
    }
    (length > header).then(|| data.slice(header..))
}

/// A configuration of AAC-LC without extensions.
const ADTS_CONFIG_BYTES: usize = 2;
