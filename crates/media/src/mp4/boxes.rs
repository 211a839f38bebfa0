//! The boxes of MP4 (ISO/IEC 14496-12, 14496-15, 14496-14; RFC 7845 for Opus): which are looked for, and what they say.
//!
//! Containers are walked here, boxes without boxes in them are read by `mp4-atom`, which appears in this file only. What is not
//! looked for may be anything: a strange box of metadata keeps no film from being shown.

use mp4_atom::{
    Atom, Avcc, Co64, Ctts, Elst, Hvcc, Mdhd, Mp4a, Mvhd, Opus, Stco, Stsc, Stsz, StszSamples, Stts,
};
use mp4_atom::{Tfdt, Tfhd, Tkhd, Trex, Trun};

use super::error::Mp4Error;
use super::fragment::{Fragment, Run, RunSample};
use super::table::{Chunk, SampleTable, Sizes};
use crate::Codec;

/// Bytes of a sample entry of pictures before the boxes in it.
const VISUAL_BYTES: usize = 78;

/// A box's kind and what is in it.
pub(super) type Named<'a> = ([u8; 4], &'a [u8]);

/// What a film's `moov` says.
pub(super) struct Movie {
    pub(super) tracks: Vec<TrackBox>,
    /// Samples may come in fragments, too.
    pub(super) fragments: bool,
}

/// One track that can be passed on, or why it cannot.
pub(super) struct TrackBox {
    pub(super) id: u32,
    /// Ticks a second of its times.
    pub(super) timescale: u32,
    /// How long after the film's beginning it begins, in nanoseconds.
    pub(super) delay: i64,
    /// At which of its times it begins then.
    pub(super) start: i64,
    pub(super) entries: Vec<Entry>,
    pub(super) table: SampleTable,
    pub(super) defaults: Defaults,
}

/// What fragments of a track may leave out.
#[derive(Clone, Copy, Default)]
pub(super) struct Defaults {
    pub(super) duration: u32,
    pub(super) bytes: u32,
}

/// How samples are coded.
pub(crate) enum Entry {
    Nal { codec: Codec, length_bytes: usize, parameter_sets: Vec<Vec<u8>> },
    Jpeg,
    Sound { codec: Codec, rate: u32, channels: u8, config: Vec<u8> },
    Other([u8; 4]),
}

/// The boxes in `bytes`. What is no whole box ends them; `kind` is in what they stand.
pub(super) fn children<'a>(
    kind: &'static str,
    bytes: &'a [u8],
) -> impl Iterator<Item = Result<Named<'a>, Mp4Error>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        // Padding of less than a header is borne.
        let (head, _) = rest.split_first_chunk::<8>()?;
        let name = [head[4], head[5], head[6], head[7]];
        let (header, length) = match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            0 if name == [0; 4] => return None,
            0 => (8, rest.len()),
            1 => {
                let long = rest.get(8..16).and_then(|long| <[u8; 8]>::try_from(long).ok());
                (16, long.map_or(0, |long| usize::try_from(u64::from_be_bytes(long)).unwrap_or(usize::MAX)))
            }
            length => (8, length as usize),
        };
        let Some(body) = rest.get(header..length) else {
            rest = &[];
            return Some(Err(Mp4Error::Damaged { kind }));
        };
        rest = &rest[length..];
        Some(Ok((name, body)))
    })
}

/// Reads a `moov`.
pub(super) fn movie(moov: &[u8]) -> Result<Movie, Mp4Error> {
    let mut timescale = 1;
    let (mut tracks, mut defaults, mut fragments) = (Vec::new(), Vec::new(), false);
    for child in children("moov", moov) {
        match child? {
            (name, body) if &name == b"mvhd" => timescale = decode::<Mvhd>(body, "mvhd")?.timescale.max(1),
            (name, body) if &name == b"trak" => tracks.push(body),
            (name, body) if &name == b"mvex" => {
                fragments = true;
                for child in children("mvex", body) {
                    if let (name, body) = child?
                        && &name == b"trex"
                    {
                        defaults.push(decode::<Trex>(body, "trex")?);
                    }
                }
            }
            _ => {}
        }
    }
    let tracks = tracks.into_iter().map(|body| track(body, timescale, &defaults));
    Ok(Movie { tracks: tracks.collect::<Result<_, _>>()?, fragments })
}

fn track(trak: &[u8], movie_timescale: u32, defaults: &[Trex]) -> Result<TrackBox, Mp4Error> {
    let id = decode::<Tkhd>(need(trak, "trak", "tkhd")?, "tkhd")?.track_id;
    let mdia = need(trak, "trak", "mdia")?;
    let timescale = decode::<Mdhd>(need(mdia, "mdia", "mdhd")?, "mdhd")?.timescale;
    let minf = need(mdia, "mdia", "minf")?;
    let stbl = need(minf, "minf", "stbl")?;
    let entries = entries(need(stbl, "stbl", "stsd")?)?;
    if timescale == 0 && entries.iter().any(|entry| !matches!(entry, Entry::Other(_))) {
        return Err(Mp4Error::Damaged { kind: "mdhd" });
    }
    let (mut delay, mut start) = (0, 0);
    if let Some(edits) =
        find(trak, "trak", "edts")?.map(|edts| find(edts, "edts", "elst")).transpose()?.flatten()
    {
        // One that cannot be read changes nothing but the beginning.
        let edits = Elst::decode_body(&mut &edits[..]).unwrap_or_default().entries;
        for edit in edits {
            match edit.media_time {
                None => {
                    let nanos =
                        u128::from(edit.segment_duration) * 1_000_000_000 / u128::from(movie_timescale);
                    delay = i64::try_from(nanos).unwrap_or(0);
                }
                Some(time) => {
                    start = i64::try_from(time).unwrap_or(0);
                    break;
                }
            }
        }
    }
    let defaults = defaults.iter().find(|defaults| defaults.track_id == id);
    let defaults = defaults
        .map(|found| Defaults { duration: found.default_sample_duration, bytes: found.default_sample_size });
    Ok(TrackBox {
        id,
        timescale: timescale.max(1),
        delay,
        start,
        table: if entries.iter().all(|entry| matches!(entry, Entry::Other(_))) {
            SampleTable::default()
        } else {
            table(stbl)?
        },
        entries,
        defaults: defaults.unwrap_or_default(),
    })
}

fn entries(stsd: &[u8]) -> Result<Vec<Entry>, Mp4Error> {
    let list = stsd.get(8..).ok_or(Mp4Error::Damaged { kind: "stsd" })?;
    children("stsd", list).map(|child| child.map(|(name, body)| entry(name, body))).collect()
}

/// What a sample entry says; one that cannot be read is another.
fn entry(name: [u8; 4], body: &[u8]) -> Entry {
    let within = || body.get(VISUAL_BYTES..).unwrap_or_default();
    let known = match &name {
        b"avc1" | b"avc3" => find(within(), "avc1", "avcC").ok().flatten().and_then(avc),
        b"hvc1" | b"hev1" => find(within(), "hvc1", "hvcC").ok().flatten().and_then(hevc),
        // MPEG-4's own name of many formats; its object type 0x6C is JPEG (14496-1 table 5), which the samples show.
        b"jpeg" | b"mjpg" | b"mp4v" => Some(Entry::Jpeg),
        b"mp4a" => aac(body),
        b"Opus" => Opus::decode_body(&mut &body[..]).ok().map(|opus| Entry::Sound {
            codec: Codec::Opus,
            rate: 48_000,
            channels: opus.dops.output_channel_count,
            config: Vec::new(),
        }),
        _ => None,
    };
    known.unwrap_or(Entry::Other(name))
}

/// What `avcC` says (ISO/IEC 14496-15 section 5.3.3.1).
pub(crate) fn avc(avcc: &[u8]) -> Option<Entry> {
    let avcc = Avcc::decode_body(&mut &avcc[..]).ok()?;
    let sets = avcc.sequence_parameter_sets.into_iter().chain(avcc.picture_parameter_sets);
    let length_bytes = avcc.length_size.into();
    Some(Entry::Nal { codec: Codec::H264, length_bytes, parameter_sets: sets.collect() })
}

/// What `hvcC` says (ISO/IEC 14496-15 section 8.3.3.1).
pub(crate) fn hevc(hvcc: &[u8]) -> Option<Entry> {
    let hvcc = Hvcc::decode_body(&mut &hvcc[..]).ok()?;
    let sets = hvcc.arrays.into_iter().flat_map(|array| array.nalus);
    let length_bytes = usize::from(hvcc.length_size_minus_one) + 1;
    Some(Entry::Nal { codec: Codec::H265, length_bytes, parameter_sets: sets.collect() })
}

/// AAC's sample entry; `mp4a` may hold MP3 and others as well.
fn aac(body: &[u8]) -> Option<Entry> {
    const RATES: [u32; 13] =
        [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
    let mp4a = Mp4a::decode_body(&mut &body[..]).ok()?;
    let decoder = mp4a.esds.es_desc.dec_config;
    let is_aac = matches!(decoder.object_type_indication, 0x40 | 0x66..=0x68);
    let config = decoder.dec_specific.filter(|config| is_aac && config.raw.len() >= 2)?;
    let stated = u32::from(mp4a.audio.sample_rate.integer());
    let rate = RATES.get(usize::from(config.freq_index)).copied().unwrap_or(stated);
    let channels = match config.chan_conf {
        0 => u8::try_from(mp4a.audio.channel_count).ok()?,
        7 => 8,
        channels => channels,
    };
    Some(Entry::Sound { codec: Codec::Aac, rate, channels, config: config.raw })
}

fn table(stbl: &[u8]) -> Result<SampleTable, Mp4Error> {
    let mut table = SampleTable::default();
    let mut sizes = None;
    for child in children("stbl", stbl) {
        let (name, body) = child?;
        match &name {
            b"stts" => {
                let times = decode::<Stts>(body, "stts")?.entries;
                table.times = times.iter().map(|entry| (entry.sample_count, entry.sample_delta)).collect();
            }
            b"ctts" => {
                let offsets = decode::<Ctts>(body, "ctts")?.entries;
                // Some writers use version 0 for negative offsets.
                let signed = |offset: i64| offset as u32 as i32;
                table.offsets =
                    offsets.iter().map(|entry| (entry.sample_count, signed(entry.sample_offset))).collect();
            }
            b"stsc" => {
                let chunks = decode::<Stsc>(body, "stsc")?.entries;
                table.chunks = chunks
                    .iter()
                    .map(|entry| Chunk {
                        first: entry.first_chunk,
                        samples: entry.samples_per_chunk,
                        entry: entry.sample_description_index,
                    })
                    .collect();
            }
            b"stsz" => {
                sizes = Some(match decode::<Stsz>(body, "stsz")?.samples {
                    StszSamples::Identical { count, size } => Sizes::Same { count, bytes: size },
                    StszSamples::Different { sizes } => Sizes::Each(sizes),
                });
            }
            b"stco" => {
                let places = decode::<Stco>(body, "stco")?.entries;
                table.places = places.into_iter().map(u64::from).collect();
            }
            b"co64" => table.places = decode::<Co64>(body, "co64")?.entries,
            _ => {}
        }
    }
    table.sizes = sizes.ok_or(Mp4Error::Missing { kind: "stsz" })?;
    Ok(table)
}

/// Reads a `moof` that begins at `at` in the file.
pub(super) fn fragment(moof: &[u8], at: u64) -> Result<Vec<Fragment>, Mp4Error> {
    let mut fragments: Vec<Fragment> = Vec::new();
    for child in children("moof", moof) {
        let (name, body) = child?;
        if &name == b"traf" {
            fragments.push(track_fragment(body, at, fragments.is_empty())?);
        }
    }
    Ok(fragments)
}

fn track_fragment(traf: &[u8], moof_at: u64, first: bool) -> Result<Fragment, Mp4Error> {
    let head = decode::<Tfhd>(need(traf, "traf", "tfhd")?, "tfhd")?;
    let time = find(traf, "traf", "tfdt")?.map(|body| decode::<Tfdt>(body, "tfdt")).transpose()?;
    let base = match head.base_data_offset {
        Some(base) => Some(base),
        None if head.default_base_is_moof || first => Some(moof_at),
        // Behind the data of the track before it.
        None => None,
    };
    let mut runs = Vec::new();
    for child in children("traf", traf) {
        let (name, body) = child?;
        if &name == b"trun" {
            let run = decode::<Trun>(body, "trun")?;
            let sample = |entry: mp4_atom::TrunEntry| RunSample {
                duration: entry.duration,
                bytes: entry.size,
                offset: entry.cts.map_or(0, |offset| offset as u32 as i32),
            };
            let count = run.samples.len();
            // As many as are read: who has more is refused by the count.
            let samples = run.samples.iter().take(super::MOST_FRAGMENT_SAMPLES + 1).map(sample).collect();
            runs.push(Run { offset: run.data_offset.map(i64::from), samples, count });
        }
    }
    Ok(Fragment {
        track: head.track_id,
        base,
        time: time.map(|time| i64::try_from(time.base_media_decode_time).unwrap_or(i64::MAX)),
        entry: head.sample_description_index,
        duration: head.default_sample_duration,
        bytes: head.default_sample_size,
        runs,
    })
}

fn need<'a>(bytes: &'a [u8], within: &'static str, kind: &'static str) -> Result<&'a [u8], Mp4Error> {
    find(bytes, within, kind)?.ok_or(Mp4Error::Missing { kind })
}

fn find<'a>(bytes: &'a [u8], within: &'static str, kind: &str) -> Result<Option<&'a [u8]>, Mp4Error> {
    for child in children(within, bytes) {
        let (name, body) = child?;
        if name == kind.as_bytes() {
            return Ok(Some(body));
        }
    }
    Ok(None)
}

fn decode<T: Atom>(body: &[u8], kind: &'static str) -> Result<T, Mp4Error> {
    T::decode_body(&mut &body[..]).map_err(|_| Mp4Error::Damaged { kind })
}
