//! H.264 and H.265 as x264, x265 and OpenH264 write it: as many pictures and keyframes as FFmpeg finds, and the same pixels.

use std::path::PathBuf;
use std::process::Command;

use ocelli_media::annexb::{AccessUnit, Event, Framer};
use ocelli_media::{Codec, Recognised, nal_units, recognise};

/// A file that is removed when the test ends.
struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let file =
            Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id())));
        std::fs::write(&file.0, bytes).expect("a file can be written");
        file
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What a program writes to its standard output; `{}` is the file.
fn run(line: &str, file: Option<&File>) -> Vec<u8> {
    let path = file.map(|file| file.0.display().to_string()).unwrap_or_default();
    let mut words = line.split_whitespace().map(|word| word.replace("{}", &path));
    let output =
        Command::new(words.next().expect("a program")).args(words).output().expect("it is installed");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// All access units of a stream that is read in pieces of this length; nothing may be dropped.
fn frame(codec: Codec, stream: &[u8], chunk: usize) -> Vec<AccessUnit> {
    let mut framer = Framer::new(codec, 8 << 20);
    let mut units = Vec::new();
    let mut take = |event| match event {
        Event::Frame(unit) => units.push(unit),
        dropped @ Event::Dropped { .. } => panic!("{dropped:?}"),
    };
    for mut bytes in stream.chunks(chunk) {
        while !bytes.is_empty() {
            bytes = framer.feed(bytes);
            std::iter::from_fn(|| framer.next_event()).for_each(&mut take);
        }
    }
    std::iter::from_fn(|| framer.finish()).for_each(take);
    assert!(framer.parameter_sets().size().is_some());
    units
}

fn annex_b(units: &[AccessUnit]) -> Vec<u8> {
    let codes = |unit: &AccessUnit| {
        nal_units(&unit.data).flat_map(|unit| [&[0, 0, 0, 1], unit].concat()).collect::<Vec<_>>()
    };
    units.iter().flat_map(codes).collect()
}

/// The keyframe flag of each packet that FFmpeg's parser finds.
fn keys_by_ffmpeg(format: &str, stream: &File) -> Vec<bool> {
    let line = format!("ffprobe -v error -f {format} -show_entries packet=flags -of csv=p=0 {{}}");
    let packets = String::from_utf8(run(&line, Some(stream))).expect("text");
    packets.lines().map(|flags| flags.starts_with('K')).collect()
}

fn pixels(format: &str, stream: &File) -> String {
    let line = format!("ffmpeg -v error -f {format} -i {{}} -f framemd5 -");
    let hashes = String::from_utf8(run(&line, Some(stream))).expect("text");
    let frames = hashes.lines().filter(|line| !line.starts_with('#'));
    frames.filter_map(|line| line.rsplit_once(", ")).map(|(_, hash)| hash.to_owned() + "\n").collect()
}

/// Whether FFmpeg calls other pictures keyframes too: those from which a picture becomes whole bit by bit, or that others are shown
/// before.
#[derive(PartialEq)]
enum Keys {
    Same,
    FewerThanFfmpeg,
}

const X264: &str = "ffmpeg -v error -f lavfi -i testsrc2=size=160x120:rate=25 -frames:v 40 -c:v libx264 -threads 2 -x264-params keyint=15:PARAMS -f h264 -";
const X265: &str = "ffmpeg -v error -f lavfi -i testsrc2=size=160x120:rate=25 -frames:v 40 -c:v libx265 -x265-params log-level=none:pools=2:keyint=15:PARAMS -f hevc -";
const OPENH264: &str = "gst-launch-1.0 -q videotestsrc num-buffers=40 ! video/x-raw,width=160,height=120,framerate=25/1 ! openh264enc gop-size=15 PARAMS ! video/x-h264,stream-format=byte-stream ! fdsink";

fn each(codec: Codec, format: &str, cases: &[(&str, &str, Keys)]) {
    for (index, (line, parameters, keys)) in cases.iter().enumerate() {
        let stream = run(&line.replace("PARAMS", parameters), None);
        let file = File::new(&format!("{format}-{index}"), &stream);
        assert_eq!(recognise(&stream[..64]), Recognised::As(codec), "{parameters}");
        let units = frame(codec, &stream, 4096);
        assert_eq!(units, frame(codec, &stream, 1000), "{parameters}");
        let found: Vec<_> = units.iter().map(|unit| unit.key).collect();
        let by_ffmpeg = keys_by_ffmpeg(format, &file);
        assert_eq!((found.len(), by_ffmpeg.len()), (40, 40), "{parameters}");
        if *keys == Keys::Same {
            assert_eq!(found, by_ffmpeg, "{parameters}");
        }
        assert!(found[0] && units[0].new_parameter_sets);
        assert!(!units[1..].iter().any(|unit| unit.new_parameter_sets), "{parameters}");
        let again = File::new(&format!("{format}-{index}-again"), &annex_b(&units));
        let shown = pixels(format, &again);
        assert!(shown.lines().count() == 40 && shown == pixels(format, &file), "{parameters}: other pixels");
    }
}

#[test]
fn h264_is_split_as_ffmpeg_splits_it() {
    each(
        Codec::H264,
        "h264",
        &[
            (X264, "bframes=0", Keys::Same),
            (X264, "bframes=3:b-adapt=0:scenecut=0", Keys::Same),
            (X264, "slices=4:bframes=2", Keys::Same),
            (X264, "aud=1:slices=3:sliced-threads=1", Keys::Same),
            (X264, "interlaced=1", Keys::Same),
            (X264, "nal-hrd=cbr:vbv-maxrate=300:vbv-bufsize=300:bitrate=300:filler=1", Keys::Same),
            (X264, "open-gop=1:bframes=3", Keys::FewerThanFfmpeg),
            (X264, "intra-refresh=1", Keys::FewerThanFfmpeg),
            (OPENH264, "", Keys::Same),
            (OPENH264, "slice-mode=n-slices num-slices=4", Keys::Same),
        ],
    );
}

#[test]
fn h265_is_split_as_ffmpeg_splits_it() {
    each(
        Codec::H265,
        "hevc",
        &[
            (X265, "bframes=0", Keys::Same),
            (X265, "bframes=3:open-gop=0", Keys::Same),
            (X265, "slices=2:ctu=16:aud=1:repeat-headers=1", Keys::Same),
            (X265, "open-gop=1:bframes=3:hash=1", Keys::Same),
        ],
    );
}

#[test]
fn parameter_sets_that_came_once_make_every_keyframe_whole() {
    let stream = run(&X264.replace("PARAMS", "bframes=0"), None);
    let units = frame(Codec::H264, &stream, 4096);
    let is_set = |unit: &&[u8]| matches!(unit[0] & 31, 7 | 8);
    let bare: Vec<u8> = units
        .iter()
        .enumerate()
        .flat_map(|(index, unit)| {
            nal_units(&unit.data)
                .filter(move |unit| index == 0 || !is_set(unit))
                .flat_map(|unit| [&[0, 0, 0, 1], unit].concat())
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(bare.len() < annex_b(&units).len());
    let again = frame(Codec::H264, &bare, 4096);
    assert_eq!(again.len(), units.len());
    for (again, unit) in again.iter().zip(&units) {
        assert_eq!(
            nal_units(&again.data).filter(is_set).count(),
            nal_units(&unit.data).filter(is_set).count()
        );
    }
}

#[test]
fn pictures_that_are_settled_one_by_one_are_the_same() {
    let stream = run(&X264.replace("PARAMS", "slices=2:aud=1"), None);
    let units = frame(Codec::H264, &stream, 4096);
    let mut framer = Framer::new(Codec::H264, 8 << 20);
    for unit in &units {
        framer.room().extend_from_slice(&annex_b(std::slice::from_ref(unit)));
        assert_eq!(framer.next_event(), None);
        assert_eq!(framer.settle(), Some(Event::Frame(unit.clone())));
    }
}
