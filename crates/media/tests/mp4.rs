//! MP4 as FFmpeg writes it: as many samples as it finds, at its times, with the same pixels; cut off and damaged.

use bytes::Bytes;
use ocelli_media::mp4::{Demuxer, Mp4Error, Sample, Step, Unpacked};
use ocelli_media::{Codec, Track, TrackId, nal_units};
use proptest::prelude::*;

mod folder;

use folder::{Folder, run};

/// What was read of a file.
#[derive(Default)]
struct Film {
    tracks: Vec<Track>,
    samples: Vec<(Sample, Unpacked)>,
    dropped: usize,
    cut_off: usize,
    length: i64,
    /// The most bytes that were asked for at once.
    most_bytes: usize,
}

fn read(file: &[u8]) -> Result<Film, Mp4Error> {
    let mut demuxer = Demuxer::new(file.len() as u64);
    let mut film = Film::default();
    let part = |at: u64, bytes: usize| {
        let at = usize::try_from(at).expect("within the file").min(file.len());
        &file[at..at.saturating_add(bytes).min(file.len())]
    };
    loop {
        match demuxer.step()? {
            Step::Read { at, bytes } => {
                film.most_bytes = film.most_bytes.max(bytes);
                demuxer.give(part(at, bytes))?;
            }
            Step::Sample(sample) => {
                let data = part(sample.at, sample.bytes as usize);
                assert_eq!(data.len(), sample.bytes as usize, "samples are within the file");
                match demuxer.unpack(&sample, Bytes::copy_from_slice(data)) {
                    Ok(unpacked) => film.samples.push((sample, unpacked)),
                    Err(_) => film.dropped += 1,
                }
            }
            Step::CutOff(_) => film.cut_off += 1,
            Step::End => break,
        }
    }
    film.tracks = demuxer.tracks();
    film.length = demuxer.length();
    Ok(film)
}

impl Film {
    fn pictures(&self) -> Vec<&(Sample, Unpacked)> {
        self.samples.iter().filter(|(sample, _)| sample.track == TrackId::VIDEO).collect()
    }

    /// Its pictures as a byte stream.
    fn stream(&self) -> Vec<u8> {
        let bytes = |(_, unpacked): &&(Sample, Unpacked)| match unpacked {
            Unpacked::AccessUnit(unit) => {
                nal_units(&unit.data).flat_map(|unit| [&[0, 0, 0, 1], unit].concat()).collect()
            }
            Unpacked::Jpeg(jpeg) | Unpacked::Sound(jpeg) => jpeg.to_vec(),
        };
        self.pictures().iter().flat_map(bytes).collect()
    }
}

/// Has FFmpeg make a second and a bit of film with sound, and reads it.
fn made(folder: &Folder, name: &str, arguments: &str) -> Vec<u8> {
    let path = folder.0.join(name);
    run(&format!(
        "ffmpeg -v error -y -f lavfi -i testsrc2=size=160x120:rate=30000/1001 -f lavfi -i sine=sample_rate=48000 -t 1.5 {arguments} {}",
        path.display()
    ));
    std::fs::read(path).expect("it was written")
}

/// The time and length of each packet of a stream, as FFmpeg finds it.
fn packets(folder: &Folder, name: &str, stream: &str) -> Vec<(f64, u32)> {
    let path = folder.0.join(name);
    let line = format!(
        "ffprobe -v error -select_streams {stream} -show_entries packet=pts_time,size -of csv=p=0 {}",
        path.display()
    );
    let text = run(&line);
    let packet = |line: &str| {
        let mut fields = line.split(',');
        let mut field = || fields.next().expect("two fields").to_owned();
        (field().parse().expect("a time"), field().parse().expect("a length"))
    };
    text.lines().filter(|line| !line.is_empty()).map(packet).collect()
}

fn hashes(path: &std::path::Path, format: &str) -> Vec<String> {
    let text = run(&format!("ffmpeg -v error {format} -i {} -map 0:v -f framemd5 -", path.display()));
    let frames = text.lines().filter(|line| !line.starts_with('#'));
    frames.filter_map(|line| line.rsplit_once(", ")).map(|(_, hash)| hash.to_owned()).collect()
}

const X264: &str = "-c:v libx264 -x264-params keyint=15:bframes=3:b-adapt=0:scenecut=0";
const X265: &str = "-c:v libx265 -x265-params log-level=none:pools=2:keyint=15:bframes=3";
const MJPEG: &str = "-c:v mjpeg -pix_fmt yuvj420p";

#[test]
fn every_kind_of_file_is_read_as_ffmpeg_reads_it() {
    let folder = Folder::new("mp4");
    let cases = [
        (Codec::H264, "plain.mp4", format!("{X264} -c:a aac")),
        (Codec::H264, "silent.mp4", format!("{X264} -an")),
        (Codec::H264, "front.mp4", format!("{X264} -c:a aac -movflags +faststart")),
        (Codec::H264, "negative.mp4", format!("{X264} -c:a aac -movflags +negative_cts_offsets")),
        (Codec::H264, "plain.mov", format!("{X264} -c:a aac")),
        (Codec::H264, "opus.mp4", format!("{X264} -c:a libopus")),
        (Codec::H264, "mp3.mp4", format!("{X264} -c:a libmp3lame")),
        (Codec::H264, "fragments.mp4", format!("{X264} -c:a aac -movflags +frag_keyframe+empty_moov")),
        (
            Codec::H264,
            "based.mp4",
            format!("{X264} -c:a aac -movflags +frag_keyframe+empty_moov+default_base_moof"),
        ),
        (
            Codec::H264,
            "single.mp4",
            format!("{X264} -c:a aac -movflags +frag_every_frame+empty_moov+separate_moof"),
        ),
        (Codec::H264, "cmaf.mp4", format!("{X264} -an -movflags +cmaf")),
        (Codec::H264, "mixed.mp4", format!("{X264} -c:a aac -movflags +frag_keyframe")),
        (
            Codec::H264,
            "absolute.mp4",
            format!("{X264} -c:a aac -movflags +frag_keyframe+empty_moov+omit_tfhd_offset"),
        ),
        (
            Codec::H264,
            "slices.mp4",
            "-c:v libx264 -x264-params slices=4:aud=1:bframes=0 -an -tag:v avc3".to_owned(),
        ),
        (Codec::H265, "hev1.mp4", format!("{X265} -c:a aac -tag:v hev1")),
        (Codec::H265, "hvc1.mp4", format!("{X265} -an -tag:v hvc1 -movflags +faststart")),
        (Codec::Jpeg, "jpeg.mp4", format!("{MJPEG} -c:a aac")),
        (Codec::Jpeg, "jpeg.mov", format!("{MJPEG} -c:a aac")),
    ];
    for (codec, name, arguments) in &cases {
        let file = made(&folder, name, arguments);
        let film = read(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((film.dropped, film.cut_off), (0, 0), "{name}");
        assert!(film.most_bytes < 8192, "{name}: {} bytes were asked for at once", film.most_bytes);
        let expected = packets(&folder, name, "v");
        let pictures = film.pictures();
        assert_eq!(pictures.len(), expected.len(), "{name}");
        assert!(pictures.len() >= 40, "{name}");
        // Where the first pictures are shown earlier than they are decoded, FFmpeg has the film begin later.
        let later = if *name == "cmaf.mp4" { expected[0].0 } else { 0.0 };
        for ((sample, _), (time, bytes)) in pictures.iter().zip(&expected) {
            let shown = sample.shown.ticks() as f64 / 90_000.0 + later;
            assert!((shown - time).abs() < 0.002 && sample.bytes == *bytes, "{name}: {sample:?}, {time}");
        }
        let sorted = film.samples.windows(2).all(|pair| pair[0].0.decoded <= pair[1].0.decoded);
        assert!(sorted, "{name}: in the order of decoding");
        assert!((1_400_000_000..1_700_000_000).contains(&film.length), "{name}: {}", film.length);
        let track = &film.tracks[0];
        assert_eq!(track.codec, *codec, "{name}");
        if *codec != Codec::Jpeg {
            assert_eq!(track.size.map(|size| size.to_string()).as_deref(), Some("160x120"), "{name}");
            let Unpacked::AccessUnit(first) = &pictures[0].1 else { panic!() };
            assert!(first.key && first.new_parameter_sets, "{name}");
        }
        sound(&folder, name, &film);
        let stream = folder.0.join("stream");
        std::fs::write(&stream, film.stream()).expect("written");
        let format = match codec {
            Codec::H264 => "-f h264",
            Codec::H265 => "-f hevc",
            _ => "-f mjpeg",
        };
        assert_eq!(hashes(&stream, format), hashes(&folder.0.join(name), ""), "{name}: other pixels");
    }
}

fn sound(folder: &Folder, name: &str, film: &Film) {
    let sound: Vec<_> = film.samples.iter().filter(|(sample, _)| sample.track == TrackId::AUDIO).collect();
    let Some(track) = film.tracks.get(1) else {
        assert!(
            sound.is_empty()
                && matches!(name, "mp3.mp4" | "silent.mp4" | "cmaf.mp4" | "slices.mp4" | "hvc1.mp4")
        );
        return;
    };
    assert_eq!((track.clock_rate.get(), track.channels.map(u8::from)), (48_000, Some(1)), "{name}");
    let expected = packets(folder, name, "a");
    assert_eq!(sound.len(), expected.len(), "{name}");
    for ((sample, _), (time, bytes)) in sound.iter().zip(&expected) {
        let shown = sample.shown.ticks() as f64 / 48_000.0;
        assert!((shown - time).abs() < 0.002 && sample.bytes == *bytes, "{name}: {sample:?}, {time}");
    }
    match track.codec {
        Codec::Aac => assert_eq!(track.parameter_sets.len(), 1, "{name}"),
        other => assert_eq!(other, Codec::Opus, "{name}"),
    }
}

#[test]
fn what_cannot_be_shown_is_named() {
    let folder = Folder::new("mp4-errors");
    let error = |name, arguments| read(&made(&folder, name, arguments)).err().expect("refused").to_string();
    assert_eq!(error("mpeg2.mov", "-c:v mpeg2video -an"), "no H.264, H.265 or MJPEG in it, but m2v1");
    assert_eq!(error("sound.mp4", "-map 1:a -c:a aac"), "no H.264, H.265 or MJPEG in it, but sound");
    let whole = made(&folder, "a.mp4", &format!("{X264} -c:a aac"));
    let cut = "it has no table of contents (`moov`): was the recording cut off before it was finished?";
    assert_eq!(read(&whole[..whole.len() / 2]).err().expect("refused").to_string(), cut);
    assert_eq!(read(&[]).err().expect("refused").to_string(), cut);
}

#[test]
fn what_is_there_of_a_file_that_was_cut_off_is_read() {
    let folder = Folder::new("mp4-cut");
    for arguments in ["-movflags +faststart", "-movflags +frag_keyframe+empty_moov"] {
        let whole = made(&folder, "a.mp4", &format!("{X264} -c:a aac {arguments}"));
        let all = read(&whole).expect("a film").pictures().len();
        let film = read(&whole[..whole.len() * 2 / 3]).expect("a film");
        let pictures = film.pictures().len();
        assert!((all / 3..all).contains(&pictures), "{pictures} of {all}");
        let is_plain = arguments.contains("faststart");
        // Where a fragment ends there, nothing in it is cut.
        let cut = if is_plain { 2..=2 } else { 0..=2 };
        assert!(cut.contains(&film.cut_off), "sound and pictures end there: {}", film.cut_off);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn damage_is_borne(seed: u64) {
        static FILES: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
        let files = FILES.get_or_init(|| {
            let folder = Folder::new("mp4-damage");
            let kinds = ["", "-movflags +frag_keyframe+empty_moov", "-movflags +faststart"];
            kinds.iter().map(|kind| made(&folder, "a.mp4", &format!("{X264} -c:a aac {kind}"))).collect()
        });
        let mut random = seed | 1;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below
        };
        for file in files {
            // Where the tables are.
            let tables: Vec<usize> = [&b"moov"[..], b"moof", b"stbl"]
                .iter()
                .filter_map(|name| file.windows(4).position(|four| four == *name))
                .collect();
            for _ in 0..40 {
                let mut damaged = file.clone();
                for _ in 0..1 + next(6) {
                    let at = tables[next(tables.len())] + next(1200);
                    if at < damaged.len() {
                        damaged[at] = [0, 0xFF, 0x7F, 1, next(256) as u8][next(5)];
                    }
                }
                damaged.truncate(damaged.len() - next(2) * next(damaged.len() / 2));
                let _ = read(&damaged);
            }
        }
    }
}
