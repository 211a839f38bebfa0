//! A camera whose streams are decoded and encoded by the FFmpeg program: the real one, beside what it shows of the same clips; one that
//! is killed and stopped; and programs that are none.
#![allow(clippy::unwrap_used)]

#[path = "streams/clips.rs"]
mod clips;

use std::convert::Infallible;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ocelli_codec::recode::Wish;
use ocelli_codec::worker::protocol::{
    Coding, FrameHead, Input, NoteKind, Outcome, Output, OutputId, Piece, Request, Still,
};
use ocelli_media::{Codec, DisplayOrder, ParameterSets, Size, Turn, nal_units};
use ocelli_worker::camera::{Camera, Done, Frame};
use ocelli_worker::decode::Decoders;
use ocelli_worker::encode::Moment;
use ocelli_worker::h264::Kind;
use ocelli_worker::outputs::Sink;
use ocelli_worker::program::Program;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use clips::{Unit, clip, psnr, shown_by_ffmpeg};

const JPEG: OutputId = OutputId(1);
const SMALL: OutputId = OutputId(2);
const H264: OutputId = OutputId(3);
/// The longest that one frame may hold up a worker: its server gives it up after three seconds.
const PATIENCE: Duration = Duration::from_millis(2500);

/// A camera, and what it has given.
struct Scene {
    camera: Camera,
    given: Given,
    number: u32,
}

#[derive(Default)]
struct Given {
    pieces: Vec<(Piece, Vec<u8>)>,
    notes: Vec<(NoteKind, String)>,
}

impl Sink for Given {
    type Error = Infallible;

    fn piece(&mut self, piece: &Piece, data: &[u8]) -> Result<(), Infallible> {
        self.pieces.push((*piece, data.to_vec()));
        Ok(())
    }

    fn note(&mut self, _: OutputId, kind: NoteKind, words: &str) -> Result<(), Infallible> {
        self.notes.push((kind, words.to_owned()));
        Ok(())
    }
}

impl Given {
    fn of(&self, id: OutputId) -> Vec<&(Piece, Vec<u8>)> {
        self.pieces.iter().filter(|(piece, _)| piece.id == id).collect()
    }

    /// What was said of that kind.
    fn said(&self, kind: NoteKind) -> Vec<&str> {
        let said = self.notes.iter().filter(|(said, _)| *said == kind);
        said.map(|(_, words)| words.as_str()).collect()
    }
}

impl Scene {
    fn new(program: &Path, input: Input) -> Self {
        let program = Program::ask(program).unwrap();
        let kinds = program.encoders(Kind::OF_PROGRAM);
        let decoders =
            Decoders { program: Some(Arc::new(program)), program_first: true, ..Decoders::default() };
        let mut camera = Camera::with(&kinds, decoders).unwrap();
        camera.set_input(input);
        Self { camera, given: Given::default(), number: 0 }
    }

    fn output(mut self, id: OutputId, output: Output) -> Self {
        let Ok(()) = self.camera.set_output(id, output, &mut self.given);
        self
    }

    /// Gives a frame, which holds nobody up.
    fn give(&mut self, unit: &Unit, wanted: &[(OutputId, bool)]) -> Done {
        let (mut data, number) = (unit.data.clone(), self.number);
        self.number += 1;
        let head = FrameHead::new(number, unit.time_us, unit.is_key, wanted.iter().copied(), 0).unwrap();
        let Ok(Request::Frame { wanted, .. }) = Request::read(&head.as_bytes()[4..]) else { panic!() };
        let moment = Moment { number, time_us: unit.time_us };
        let frame = Frame { moment, is_key: unit.is_key, wanted };
        let start = Instant::now();
        let Ok(done) = self.camera.frame(&frame, &mut data, &mut self.given);
        assert!(start.elapsed() < PATIENCE, "{:?}: {:?}", start.elapsed(), self.given.notes);
        done
    }

    fn give_all(&mut self, units: &[Unit], wanted: &[OutputId]) {
        let wanted: Vec<_> = wanted.iter().map(|id| (*id, false)).collect();
        for unit in units {
            self.give(unit, &wanted);
        }
    }
}

/// The FFmpeg that is installed.
fn installed() -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap();
    let mut files = std::env::split_paths(&folders).map(|folder| folder.join("ffmpeg"));
    files.find(|file| file.is_file()).expect("FFmpeg is installed: scripts/setup.sh test")
}

/// A script in FFmpeg's place, in which `REAL` is the real one, `"$@"` are its words, and which says like that one what it can do.
fn script(lines: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("ffmpeg");
    let real = installed().display().to_string();
    let lines = lines.replace("REAL", &real).replace("HERE", &directory.path().display().to_string());
    let codecs = format!("case \"$*\" in *-codecs*) exec {real} \"$@\";; esac");
    write_program(&path, &format!("#!/bin/sh\n{codecs}\n{lines}\n"));
    (directory, path)
}

/// Writes a file that is to be run. Another program does: while this one had it open, a process that another test starts would
/// hold it open too, for a moment, and a file that is open to be written cannot be run.
fn write_program(path: &Path, text: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Sends a signal to the FFmpeg that wrote its number into a file `id`.
fn signal(directory: &TempDir, signal: Signal) {
    let id = fs::read_to_string(directory.path().join("id")).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
}

const WRITES_ID: &str = "echo $$ > HERE/id; exec REAL \"$@\"";
const KEYFRAMES: &[&str] = &["-c:v", "libx264", "-x264-params", "keyint=10:scenecut=0:bframes=0"];

fn jpeg(width: Option<u16>) -> Output {
    Output { width, quality: Some(95), ..Output::new(Coding::Jpeg) }
}

/// Each picture is the one that FFmpeg shows at its place.
fn assert_faithful(codec: Codec, size: &str, options: &[&str]) {
    let mut clip = clip(codec, size, 30, options);
    // Times as they are shown, which the bytes of a stream with B-frames do not have.
    let (mut order, mut sets) = (DisplayOrder::default(), ParameterSets::new(codec));
    for unit in &mut clip.units {
        sets.take_all(&unit.data);
        unit.time_us += order.place(&unit.data, &sets).later * 20_000;
    }
    let mut scene = Scene::new(&installed(), Input::of_codec(codec).unwrap()).output(JPEG, jpeg(None));
    scene.give_all(&clip.units, &[JPEG]);
    let (width, height) = size.split_once('x').unwrap();
    let right = shown_by_ffmpeg(codec, &clip, (width.parse().unwrap(), height.parse().unwrap()));
    let pieces = &scene.given.pieces;
    // What FFmpeg holds back for the order comes with the frames that follow.
    assert!(pieces.len() + 4 >= right.len(), "{options:?}: {} of {}", pieces.len(), right.len());
    for (place, (piece, jpeg)) in pieces.iter().enumerate() {
        let found = psnr(jpeg, &right[place]);
        assert!(found > 35.0, "{options:?}: picture {place} of frame {} has {found:.1} dB", piece.number);
        assert_eq!(piece.time_us, clip.units[piece.number as usize].time_us);
    }
    assert!(scene.given.said(NoteKind::Warning).is_empty(), "{:?}", scene.given.notes);
}

#[test]
fn pictures_are_those_that_ffmpeg_shows() {
    let h264 = ["-c:v", "libx264", "-crf", "18", "-g", "10"];
    let h265 = ["-c:v", "libx265", "-crf", "18", "-x265-params", "log-level=none:keyint=10:bframes=0"];
    let cases: [(Codec, &str, &[&str], &[&str]); 6] = [
        (Codec::H264, "320x180", &h264, &["-bf", "0"]),
        (Codec::H264, "320x180", &h264, &["-bf", "2"]),
        (Codec::H264, "320x180", &h264, &["-pix_fmt", "yuvj420p", "-bf", "0"]),
        (Codec::H264, "322x182", &h264, &["-pix_fmt", "yuv422p", "-bf", "0"]),
        (Codec::H265, "320x180", &h265, &["-pix_fmt", "yuv420p"]),
        (Codec::H265, "320x180", &h265, &["-pix_fmt", "yuv420p10le"]),
    ];
    for (codec, size, common, options) in cases {
        assert_faithful(codec, size, &[common, options].concat());
    }
}

#[test]
fn one_decoder_serves_all_outputs_and_each_picture_comes_before_the_next_is_given() {
    let clip = clip(Codec::H264, "320x180", 60, KEYFRAMES);
    let (directory, program) = script("echo x >> HERE/started; exec REAL \"$@\"");
    let small = Output { turn: Turn::Clockwise, ..jpeg(Some(90)) };
    let h264 = Output { bit_rate_kbps: 500, rate_mhz: 25_000, ..Output::new(Coding::H264) };
    let mut scene = Scene::new(&program, Input::H264).output(JPEG, jpeg(Some(160))).output(SMALL, small);
    // It takes its time to begin, and a busy machine to go on.
    let (mut at_once, deadline) = (0, Instant::now() + Duration::from_secs(60));
    let mut units = endless(&clip.units);
    while at_once < 20 {
        assert!(Instant::now() < deadline, "no 20 pictures were there at once");
        let number = scene.number;
        let done = scene.give(&units.next().unwrap(), &[(JPEG, false), (SMALL, false)]);
        let last = scene.given.pieces.last().map(|(piece, _)| piece.number);
        let is_there = done.outcome == Outcome::Shown && last == Some(number);
        at_once = if is_there { at_once + 1 } else { 0 };
    }
    assert_eq!(scene.given.of(JPEG).len(), scene.given.of(SMALL).len());
    let started = || fs::read_to_string(directory.path().join("started")).unwrap().lines().count();
    assert_eq!(started(), 1);
    assert_eq!(scene.given.of(SMALL)[0].0.size, Size { width: 90, height: 160 });
    // Another output has nothing started but its own encoder, and a change of one nothing at all.
    let mut scene = scene.output(H264, h264).output(SMALL, jpeg(Some(100)));
    scene.give_all(&units.by_ref().take(60).collect::<Vec<_>>(), &[JPEG, SMALL, H264]);
    assert_eq!(started(), 2);
    assert!(scene.given.of(H264).len() >= 30, "{}", scene.given.of(H264).len());
    assert_eq!(scene.given.said(NoteKind::Warning), [""; 0]);
    let ways = scene.given.said(NoteKind::Way).join("\n");
    assert!(ways.contains("H.264 by FFmpeg's program, scaled to 160x90, JPEG by libjpeg-turbo"), "{ways}");
    assert!(ways.contains("H.264 by x264 by FFmpeg's program"), "{ways}");
}

#[test]
fn jpegs_become_h264_with_a_keyframe_when_one_is_wanted() {
    let units = jpegs("320x180", "50");
    let output =
        Output { keyframe_ms: 60_000, rate_mhz: 25_000, width: Some(160), ..Output::new(Coding::H264) };
    let mut scene = Scene::new(&installed(), Input::Jpeg).output(H264, output);
    for (place, unit) in units.iter().enumerate() {
        scene.give(unit, &[(H264, place == 20 || place == 33)]);
    }
    let pieces = scene.given.of(H264);
    let keys: Vec<_> = pieces.iter().filter(|(piece, _)| piece.key).map(|(piece, _)| piece.number).collect();
    assert_eq!(keys, [0, 20, 33]);
    // On a busy machine those that come late are there with the next ones.
    assert!(pieces.len() >= 40, "{}", pieces.len());
    for (number, (piece, data)) in (0..).zip(&pieces) {
        assert_eq!((piece.number, piece.time_us), (number, i64::from(number) * 40_000));
        assert_eq!(nal_units(data).map(|unit| unit.len() + 4).sum::<usize>(), data.len());
    }
}

#[test]
fn a_bit_rate_is_held() {
    let units = jpegs("640x360", "100");
    let output = Output { bit_rate_kbps: 300, rate_mhz: 25_000, ..Output::new(Coding::H264) };
    let mut scene = Scene::new(&installed(), Input::Jpeg).output(H264, output);
    scene.give_all(&units, &[H264]);
    let bytes: usize = scene.given.of(H264).iter().map(|(_, data)| data.len()).sum();
    let kbps = bytes as f64 * 8.0 / 1000.0 / 4.0;
    assert!((200.0..360.0).contains(&kbps), "{kbps} kbit/s");
}

#[test]
fn stills_are_made() {
    let wish = Wish { quality: Some(80), sampling: None, most: Size { width: 100, height: 100 } };
    for codec in [Codec::H264, Codec::H265] {
        let encoder = if codec == Codec::H264 { "libx264" } else { "libx265" };
        let clip = clip(codec, "320x180", 1, &["-c:v", encoder]);
        let mut scene = Scene::new(&installed(), Input::Jpeg);
        let still = Still { input: Input::of_codec(codec).unwrap(), wish, turn: Turn::None };
        let size = scene.camera.still(&still, &mut clip.units[0].data.clone(), |size, _| size);
        assert_eq!(size, Ok(Size { width: 100, height: 56 }));
        assert!(scene.camera.still(&still, &mut [0, 0, 0, 2, 1, 2], |_, _| ()).is_err());
    }
}

#[test]
fn one_that_is_killed_goes_on_at_the_next_keyframe() {
    let clip = clip(Codec::H264, "320x180", 60, KEYFRAMES);
    let (directory, program) = script(WRITES_ID);
    let mut scene = Scene::new(&program, Input::H264).output(JPEG, jpeg(None));
    scene.give_all(&clip.units[..15], &[JPEG]);
    let before = scene.given.pieces.len();
    signal(&directory, Signal::KILL);
    scene.give_all(&clip.units[15..], &[JPEG]);
    let words = scene.given.said(NoteKind::Warning);
    assert!(matches!(words[..], [words] if words.contains("signal: 9")), "{words:?}");
    // From the keyframe on there are 40.
    assert!(scene.given.pieces.len() >= before + 20, "{} after {before}", scene.given.pieces.len());
}

#[test]
fn an_encoder_that_is_killed_goes_on_with_the_very_picture() {
    let units = jpegs("320x180", "40");
    let (directory, program) = script(WRITES_ID);
    let output = Output { rate_mhz: 25_000, ..Output::new(Coding::H264) };
    let mut scene = Scene::new(&program, Input::Jpeg).output(H264, output);
    scene.give_all(&units[..20], &[H264]);
    signal(&directory, Signal::KILL);
    scene.give_all(&units[20..], &[H264]);
    let pieces = scene.given.of(H264);
    assert!(pieces.len() >= 25, "{}: {:?}", pieces.len(), scene.given.notes);
    let next = pieces.iter().find(|(piece, _)| piece.number >= 20).unwrap();
    assert!(next.0.key && next.0.number <= 22, "{:?}", next.0);
}

#[test]
fn an_encoder_that_begins_slowly_or_after_failures_is_waited_for() {
    // One of these pictures is more than a socket takes before somebody reads.
    let units = jpegs("640x360", "40");
    let fails_twice = "echo x >> HERE/started; [ $(wc -l < HERE/started) -gt 2 ] || exit 3; exec REAL \"$@\"";
    for lines in ["sleep 1.2; exec REAL \"$@\"", fails_twice] {
        let (_directory, program) = script(lines);
        let output = Output { rate_mhz: 25_000, ..Output::new(Coding::H264) };
        let mut scene = Scene::new(&program, Input::Jpeg).output(H264, output);
        scene.give_all(&units, &[H264]);
        let pieces = scene.given.of(H264);
        assert!(pieces.len() >= 20 && pieces[0].0.key, "{lines}: {}", pieces.len());
        let ways = scene.given.said(NoteKind::Way);
        assert!(ways.iter().all(|way| !way.contains("openh264")), "{lines}: {ways:?}");
    }
}

#[test]
fn an_encoder_that_ends_again_and_again_is_given_up() {
    let units = jpegs("320x180", "60");
    // The last word, where it puts what it makes, stays the last.
    let few = "echo x >> HERE/started; left=$#; for word; do shift; left=$((left - 1)); \
               [ $left = 0 ] && set -- \"$@\" -frames:v 3; set -- \"$@\" \"$word\"; done; exec REAL \"$@\"";
    let (directory, program) = script(few);
    let output = Output { rate_mhz: 25_000, ..Output::new(Coding::H264) };
    let mut scene = Scene::new(&program, Input::Jpeg).output(H264, output);
    scene.give_all(&units, &[H264]);
    let started = fs::read_to_string(directory.path().join("started")).unwrap().lines().count();
    // Three of each encoder that it has.
    assert!((3..=6).contains(&started), "{started}: {:?}", scene.given.notes);
    assert_eq!(scene.given.said(NoteKind::Ended).len(), 1, "{:?}", scene.given.notes);
    assert!(scene.given.of(H264).len() >= 6, "{}", scene.given.of(H264).len());
}

#[test]
fn one_that_is_stopped_holds_nobody_up_and_is_replaced() {
    let clip = clip(Codec::H264, "320x180", 150, KEYFRAMES);
    let (directory, program) = script(WRITES_ID);
    let mut scene = Scene::new(&program, Input::H264).output(JPEG, jpeg(None));
    scene.give_all(&clip.units[..30], &[JPEG]);
    let before = scene.given.pieces.len();
    signal(&directory, Signal::STOP);
    scene.give_all(&clip.units[30..], &[JPEG]);
    let words = scene.given.said(NoteKind::Warning);
    assert!(matches!(words[..], [words] if words.contains("hangs")), "{words:?}");
    assert!(scene.given.pieces.len() >= before + 30, "{} after {before}", scene.given.pieces.len());
}

#[test]
fn one_that_is_slow_for_a_while_loses_nothing() {
    let clip = clip(Codec::H264, "320x180", 110, KEYFRAMES);
    let (directory, program) = script(WRITES_ID);
    let mut scene = Scene::new(&program, Input::H264).output(JPEG, jpeg(None));
    scene.give_all(&clip.units[..20], &[JPEG]);
    signal(&directory, Signal::STOP);
    scene.give_all(&clip.units[20..25], &[JPEG]);
    signal(&directory, Signal::CONT);
    for unit in &clip.units[25..110] {
        scene.give(unit, &[(JPEG, false)]);
        // As a camera gives them: FFmpeg has time to finish each.
        std::thread::sleep(Duration::from_millis(20));
    }
    // None was lost, and few are on their way.
    assert!(scene.given.said(NoteKind::Warning).is_empty(), "{:?}", scene.given.notes);
    let pieces = &scene.given.pieces;
    assert!(pieces.len() >= 100, "{}", pieces.len());
    assert!(pieces.windows(2).all(|pair| pair[0].0.number + 1 == pair[1].0.number));
}

#[test]
fn another_size_and_a_clock_that_is_set_back_are_followed() {
    let (first, second) =
        (clip(Codec::H264, "320x180", 20, KEYFRAMES), clip(Codec::H264, "240x180", 20, KEYFRAMES));
    let mut scene = Scene::new(&installed(), Input::H264).output(JPEG, jpeg(None));
    scene.give_all(&first.units, &[JPEG]);
    scene.give_all(&second.units, &[JPEG]);
    let early = |unit: &Unit| Unit { time_us: unit.time_us - 3_600_000_000, ..unit.clone() };
    let early: Vec<_> = second.units.iter().map(early).collect();
    // In the middle of a group, it is waited for the next keyframe.
    scene.give_all(&early[5..], &[JPEG]);
    let width = |width| scene.given.pieces.iter().filter(|(piece, _)| piece.size.width == width).count();
    // Those that are on their way are lost: some at the beginning, when FFmpeg is slow.
    assert!(width(320) >= 10 && width(240) >= 20, "{}: {:?}", width(240), scene.given.notes);
}

#[test]
fn programs_that_give_no_pictures_end_all_outputs_in_words() {
    let clip = clip(Codec::H264, "64x48", 200, KEYFRAMES);
    for (lines, words) in [
        ("exit 3", "exit status: 3"),
        ("cat /dev/zero", "gives what was not asked"),
        ("exec sleep 60", "hangs"),
        ("kill -SEGV $$", "signal: 11"),
    ] {
        let (_directory, program) = script(lines);
        let mut scene =
            Scene::new(&program, Input::H264).output(JPEG, jpeg(None)).output(SMALL, jpeg(Some(32)));
        let units = if words == "hangs" { &clip.units[..40] } else { &clip.units[..] };
        scene.give_all(units, &[JPEG, SMALL]);
        let said = scene.given.notes.iter().map(|(_, words)| words).collect::<Vec<_>>();
        assert!(said.iter().all(|said| said.contains(words)) && !said.is_empty(), "{lines}: {said:?}");
        let ended = scene.given.said(NoteKind::Ended).len();
        assert_eq!(ended, if words == "hangs" { 0 } else { 2 }, "{lines}");
        assert!(scene.given.pieces.is_empty());
    }
}

#[test]
fn what_is_no_ffmpeg_is_said() {
    for (program, words) in
        [("/no/such/ffmpeg", "could not be asked"), ("/bin/false", "does not list its codecs")]
    {
        let error = Program::ask(Path::new(program)).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(program), "{error}");
    }
}

/// The units over and over, as one film.
fn endless(units: &[Unit]) -> impl Iterator<Item = Unit> {
    let times = (0..).map(|place| i64::from(place) * 40_000);
    units.iter().cycle().zip(times).map(|(unit, time_us)| Unit { time_us, ..unit.clone() })
}

/// Pictures of their own.
fn jpegs(size: &str, frames: &str) -> Vec<Unit> {
    let source = format!("testsrc2=size={size}:rate=25");
    let arguments =
        ["-f", "lavfi", "-i", &source, "-frames:v", frames, "-pix_fmt", "yuvj420p", "-huffman", "default"];
    let bytes = clips::ffmpeg(&[&arguments[..], &["-f", "mjpeg", "-"]].concat(), Vec::new());
    let starts = bytes.windows(3).enumerate().filter(|(_, three)| three == b"\xff\xd8\xff").map(|(at, _)| at);
    let starts: Vec<usize> = starts.chain([bytes.len()]).collect();
    let unit = |(at, pair): (usize, &[usize])| Unit {
        data: bytes[pair[0]..pair[1]].to_vec(),
        is_key: true,
        time_us: at as i64 * 40_000,
    };
    starts.windows(2).enumerate().map(unit).collect()
}
