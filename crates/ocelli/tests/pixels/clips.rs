//! Short clips in every way that cameras code pictures, made by FFmpeg once and kept in the build's directory for temporary
//! files, each with FFmpeg's own decoding of it.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use ocelli_codec::worker::protocol::Input;
use ocelli_media::Codec;
use ocelli_media::splitter::{Event, Splitter};

use crate::pictures::Picture;

/// Pictures of each clip, and how far apart two are.
pub(crate) const PICTURES: usize = 30;
pub(crate) const INTERVAL_US: i64 = 40_000;
/// Pictures from one keyframe to the next.
pub(crate) const GROUP: usize = 10;

/// How a clip is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    source: &'static str,
    encoder: Encoder,
    /// What is said to the encoder beside what it always is.
    options: &'static str,
    /// Pictures that the decoder may keep back, as later ones are shown before them.
    pub(crate) delay: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoder {
    X264,
    X265,
    Jpeg,
}

const fn recipe(
    name: &'static str,
    source: &'static str,
    encoder: Encoder,
    options: &'static str,
    delay: usize,
) -> Recipe {
    Recipe { name, source, encoder, options, delay }
}

const CIF: &str = "testsrc2=size=352x288:rate=25";
const CROPPED: &str = "testsrc2=size=354x290:rate=25";
const ODD: &str = "testsrc2=size=351x287:rate=25";
const HD: &str = "testsrc2=size=1920x1080:rate=25";
const BARS: &str = "smptebars=size=352x288:rate=25";

/// Every kind of stream whose pictures are compared one by one.
pub(crate) const ALL: &[Recipe] = &[
    BASELINE,
    recipe("h264-main", CIF, Encoder::X264, "-pix_fmt yuv420p -profile:v main -bf 0", 0),
    recipe("h264-high", CIF, Encoder::X264, "-pix_fmt yuv420p -profile:v high -bf 0", 0),
    B_FRAMES,
    recipe(
        "h264-interlaced",
        CIF,
        Encoder::X264,
        "-pix_fmt yuv420p -profile:v high -bf 0 -flags +ildct+ilme -x264-params tff=1",
        0,
    ),
    SLICES,
    recipe("h264-422", CIF, Encoder::X264, "-pix_fmt yuv422p -profile:v high422 -bf 0", 0),
    recipe("h264-10-bit", CIF, Encoder::X264, "-pix_fmt yuv420p10le -profile:v high10 -bf 0", 0),
    OTHER_SIZE,
    recipe("h264-odd", ODD, Encoder::X264, "-pix_fmt yuv444p -profile:v high444 -bf 0", 0),
    H265,
    recipe("h265-main10", CIF, Encoder::X265, "-pix_fmt yuv420p10le -x265-params bframes=0:", 0),
    recipe("h265-b-frames", CIF, Encoder::X265, "-pix_fmt yuv420p -x265-params bframes=3:b-adapt=0:", 4),
    recipe("h265-other-size", CROPPED, Encoder::X265, "-pix_fmt yuv420p -x265-params bframes=0:", 0),
    recipe("jpeg-420", CIF, Encoder::Jpeg, "-pix_fmt yuvj420p", 0),
    recipe("jpeg-422", CIF, Encoder::Jpeg, "-pix_fmt yuvj422p", 0),
    recipe("jpeg-444", ODD, Encoder::Jpeg, "-pix_fmt yuvj444p", 0),
    recipe("jpeg-odd", ODD, Encoder::Jpeg, "-pix_fmt yuvj420p -huffman default", 0),
];
pub(crate) const BASELINE: Recipe =
    recipe("h264-baseline", CIF, Encoder::X264, "-pix_fmt yuv420p -profile:v baseline", 0);
pub(crate) const B_FRAMES: Recipe = recipe(
    "h264-b-frames",
    CIF,
    Encoder::X264,
    "-pix_fmt yuv420p -profile:v high -x264-params b-adapt=0:bframes=3:b-pyramid=normal",
    4,
);
/// Without marks of where pictures begin: slices of a group can be lost.
pub(crate) const SLICES: Recipe = recipe(
    "h264-slices",
    CIF,
    Encoder::X264,
    "-pix_fmt yuv420p -profile:v main -bf 0 -x264-params slices=4",
    0,
);
pub(crate) const OTHER_SIZE: Recipe =
    recipe("h264-other-size", CROPPED, Encoder::X264, "-pix_fmt yuv420p -profile:v high -bf 0", 0);
pub(crate) const H265: Recipe =
    recipe("h265-main", CIF, Encoder::X265, "-pix_fmt yuv420p -x265-params bframes=0:", 0);

/// As large as most cameras, with B-frames, so that the decoder keeps as many pictures as it may.
pub(crate) const HD_H264: Recipe = recipe(
    "h264-1080",
    HD,
    Encoder::X264,
    "-pix_fmt yuv420p -profile:v high -x264-params b-adapt=0:bframes=3:b-pyramid=normal:ref=4",
    4,
);
pub(crate) const HD_H265: Recipe =
    recipe("h265-1080", HD, Encoder::X265, "-pix_fmt yuv420p -x265-params bframes=3:b-adapt=0:", 4);

/// Flat colours, by matrix and range, as the stream says them.
pub(crate) const COLOURS: &[Recipe] = &[
    recipe("colours-plain", BARS, Encoder::X264, "-pix_fmt yuv420p -bf 0", 0),
    recipe(
        "colours-601",
        BARS,
        Encoder::X264,
        "-vf scale=out_color_matrix=bt601:out_range=limited -pix_fmt yuv420p -bf 0 -colorspace smpte170m -color_range tv",
        0,
    ),
    recipe(
        "colours-709",
        BARS,
        Encoder::X264,
        "-vf scale=out_color_matrix=bt709:out_range=limited -pix_fmt yuv420p -bf 0 -colorspace bt709 -color_range tv",
        0,
    ),
    recipe("colours-full", BARS, Encoder::X264, "-vf scale=out_range=full -pix_fmt yuvj420p -bf 0", 0),
    recipe(
        "colours-709-full",
        BARS,
        Encoder::X264,
        "-vf scale=out_color_matrix=bt709:out_range=full -pix_fmt yuvj420p -bf 0 -colorspace bt709 -color_range pc",
        0,
    ),
    recipe(
        "colours-h265-709",
        BARS,
        Encoder::X265,
        "-vf scale=out_color_matrix=bt709:out_range=limited -pix_fmt yuv420p -colorspace bt709 -color_range tv \
         -x265-params bframes=0:",
        0,
    ),
    recipe("colours-jpeg", BARS, Encoder::Jpeg, "-vf scale=out_range=full -pix_fmt yuvj420p", 0),
];

/// A clip and what it shows.
pub(crate) struct Clip {
    pub(crate) input: Input,
    /// In the order in which they come.
    pub(crate) frames: Vec<Coded>,
    /// As FFmpeg decodes them, in the order in which they are shown.
    pub(crate) shown: Vec<Picture>,
}

/// One access unit.
#[derive(Clone, Debug)]
pub(crate) struct Coded {
    pub(crate) data: Bytes,
    pub(crate) key: bool,
    /// Its place among [`Clip::shown`].
    pub(crate) place: usize,
}

impl Coded {
    pub(crate) fn time_us(&self) -> i64 {
        self.place as i64 * INTERVAL_US
    }
}

impl Recipe {
    /// The clip, made if it is not there yet.
    pub(crate) fn clip(&self) -> Clip {
        let (codec, input) = match self.encoder {
            Encoder::X264 => (Codec::H264, Input::H264),
            Encoder::X265 => (Codec::H265, Input::H265),
            Encoder::Jpeg => (Codec::Jpeg, Input::Jpeg),
        };
        let folder = self.folder();
        let units = split(codec, &fs::read(folder.join("stream")).unwrap());
        let times: Vec<i64> = fs::read_to_string(folder.join("times"))
            .unwrap()
            .lines()
            .map(|line| line.trim_end_matches(',').parse().unwrap())
            .collect();
        assert_eq!(units.len(), times.len(), "{}", self.name);
        let place = |time: i64| times.iter().filter(|other| **other < time).count();
        let frames = units.into_iter().zip(&times);
        let frames = frames.map(|((data, key), time)| Coded { data, key, place: place(*time) }).collect();
        let shown = Picture::all_of_ppm(&fs::read(folder.join("shown")).unwrap());
        assert_eq!(shown.len(), self.compared(), "{}", self.name);
        Clip { input, frames, shown }
    }

    /// Large pictures are there to be decoded, and not to be compared.
    fn compared(&self) -> usize {
        if self.source == HD { 1 } else { PICTURES }
    }

    /// Where its files are: `stream`, `times` of its pictures as they come, and `shown`.
    fn folder(&self) -> PathBuf {
        let mut hash = DefaultHasher::new();
        format!("{self:?}{PICTURES}{GROUP}{}", include_str!("clips.rs")).hash(&mut hash);
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pixels");
        let folder = kept.join(format!("{}-{:08x}", self.name, hash.finish() as u32));
        if !folder.exists() {
            fs::create_dir_all(&kept).unwrap();
            let unfinished = tempfile::tempdir_in(&kept).unwrap();
            self.make(unfinished.path());
            // Another test may have made it meanwhile.
            if fs::rename(unfinished.path(), &folder).is_ok() {
                let _ = unfinished.keep();
            }
        }
        folder
    }

    fn make(&self, folder: &Path) {
        let group = GROUP.to_string();
        let (encoder, raw) = match self.encoder {
            Encoder::X264 => (
                "-c:v libx264 -preset veryfast -threads 1 -sc_threshold 0",
                "-bsf:v h264_mp4toannexb -f h264",
            ),
            Encoder::X265 => ("-c:v libx265 -preset ultrafast", "-bsf:v hevc_mp4toannexb -f hevc"),
            Encoder::Jpeg => ("-c:v mjpeg -q:v 3", "-f mjpeg"),
        };
        let mut options = self.options.to_owned();
        if self.encoder == Encoder::X265 {
            options += &format!("log-level=none:pools=1:frame-threads=1:keyint={group}:min-keyint={group}");
        }
        let source = self.source;
        run(
            folder,
            &format!(
                "ffmpeg -v error -f lavfi -i {source} -frames:v {PICTURES} {encoder} {options} -g {group} -keyint_min {group} clip.mov"
            ),
        );
        run(folder, &format!("ffmpeg -v error -i clip.mov -c copy {raw} stream"));
        let times =
            run(folder, "ffprobe -v error -select_streams v -show_entries packet=pts -of csv=p=0 clip.mov");
        fs::write(folder.join("times"), times).unwrap();
        // PPM needs no description of what is in it, and no conversion by those who read it.
        let compared = self.compared();
        run(
            folder,
            &format!(
                "ffmpeg -v error -i clip.mov -fps_mode passthrough -sws_flags accurate_rnd+full_chroma_int+bitexact \
                 -pix_fmt rgb24 -frames:v {compared} -c:v ppm -f image2pipe shown"
            ),
        );
    }
}

/// Runs `line` in `folder`, and gives what it writes.
fn run(folder: &Path, line: &str) -> Vec<u8> {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    let done =
        command.args(words).current_dir(folder).output().unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// The access units of a byte stream, as the server splits it.
pub(crate) fn split(codec: Codec, bytes: &[u8]) -> Vec<(Bytes, bool)> {
    let mut splitter = Splitter::new(Some(codec), 16 << 20);
    splitter.room().extend_from_slice(bytes);
    let mut units = Vec::new();
    while let Some(event) = splitter.next_event().or_else(|| splitter.finish()) {
        match event {
            Event::Jpeg(data) => units.push((data, true)),
            Event::AccessUnit(unit) => units.push((unit.data, unit.key)),
            Event::Dropped { reason, bytes } => panic!("{bytes} bytes: {reason}"),
        }
    }
    units
}
