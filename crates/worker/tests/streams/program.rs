//! The worker by way of the FFmpeg program: its protocol from outside, the real program, and programs that are none.

use std::io::{PipeWriter, Write, pipe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ocelli_codec::recode::Wish;
use ocelli_codec::worker::protocol::{
    Answer, Coding, FrameHead, Hello, Input, NoteKind, Outcome, Output, OutputId, Piece, Request, Still,
};
use ocelli_media::{Codec, Size, Turn, nal_units};
use ocelli_worker::{WorkerError, program};

use crate::clips::{self, Unit, clip};

const SOON: Duration = Duration::from_secs(20);

/// What was written to the server.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Said {
    /// Its messages, without their lengths; the first is the hello.
    fn messages(&self) -> Vec<Vec<u8>> {
        let bytes = self.0.lock().unwrap().clone();
        let mut rest = &bytes[..];
        let mut messages = Vec::new();
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let Some((message, behind)) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)
            else {
                break;
            };
            messages.push(message.to_vec());
            rest = behind;
        }
        messages
    }

    fn answers(&self) -> Vec<(Answer, Vec<u8>)> {
        let messages = self.messages().into_iter().skip(1);
        messages.map(|message| (Answer::read(&message).unwrap(), message)).collect()
    }

    fn pieces(&self) -> Vec<(Piece, Vec<u8>)> {
        let piece = |(answer, message): (Answer, Vec<u8>)| match answer {
            Answer::Piece(piece) => Some((piece, message[Answer::PIECE_HEAD_BYTES..].to_vec())),
            _ => None,
        };
        self.answers().into_iter().filter_map(piece).collect()
    }

    /// Polls until there is what `find` looks for.
    fn until<T>(&self, what: &str, find: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(found) = find(self) {
                return found;
            }
            let others = self.answers().into_iter().filter(|(answer, _)| !matches!(answer, Answer::Piece(_)));
            assert!(
                Instant::now() < deadline,
                "{what}: {:?}",
                others.map(|(answer, _)| answer).collect::<Vec<_>>()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A worker that runs in a thread.
struct Worker {
    input: Option<PipeWriter>,
    said: Said,
    thread: Option<JoinHandle<Result<(), WorkerError>>>,
}

impl Worker {
    fn start(program: &str) -> Self {
        let (from, input) = pipe().unwrap();
        let said = Said::default();
        let (sink, program) = (said.clone(), PathBuf::from(program));
        let thread = std::thread::spawn(move || program::serve(&program, from, sink));
        Self { input: Some(input), said, thread: Some(thread) }
    }

    fn send(&mut self, parts: &[&[u8]]) {
        self.input.as_mut().unwrap().write_all(&parts.concat()).unwrap();
    }

    fn give(&mut self, number: u32, unit: &Unit, wanted: &[OutputId]) {
        let wanted = wanted.iter().map(|id| (*id, false));
        let head = FrameHead::new(number, unit.time_us, unit.is_key, wanted, unit.data.len()).unwrap();
        self.send(&[head.as_bytes(), &unit.data]);
    }

    fn end(mut self) -> Said {
        self.input = None;
        self.thread.take().unwrap().join().unwrap().unwrap();
        self.said.clone()
    }
}

/// The FFmpeg that is installed.
fn installed() -> String {
    let folders = std::env::var_os("PATH").unwrap();
    let found =
        std::env::split_paths(&folders).map(|folder| folder.join("ffmpeg")).find(|file| file.is_file());
    found.unwrap_or_else(|| Path::new("ffmpeg").to_owned()).display().to_string()
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

const JPEG: OutputId = OutputId(1);
const H264: OutputId = OutputId(2);

#[test]
fn pictures_come_out_at_the_times_of_those_that_went_in() {
    let clip = clip(Codec::H264, "320x180", 40, &["-c:v", "libx264", "-x264-params", "keyint=10:bframes=0"]);
    let mut worker = Worker::start(&installed());
    worker.send(&[&Request::write_input(Input::H264)]);
    let jpeg = Output { width: Some(160), turn: Turn::Clockwise, ..Output::new(Coding::Jpeg) };
    worker.send(&[&Request::write_output(JPEG, &jpeg)]);
    worker.send(&[&Request::write_output(H264, &Output { bit_rate_kbps: 500, ..Output::new(Coding::H264) })]);
    let start = Instant::now();
    for (number, unit) in (0..).zip(&clip.units) {
        let wanted: &[OutputId] = if number % 2 == 0 { &[JPEG, H264] } else { &[H264] };
        worker.give(number, unit, wanted);
    }
    worker.said.until("a first picture of each", |said| {
        let pieces = said.pieces();
        (pieces.iter().any(|(piece, _)| piece.id == JPEG) && pieces.iter().any(|(piece, _)| piece.id == H264))
            .then_some(())
    });
    eprintln!("the first pictures were there after {:?}", start.elapsed());
    let of =
        |said: &Said, id| said.pieces().into_iter().filter(|(piece, _)| piece.id == id).collect::<Vec<_>>();
    worker.said.until("nearly all pictures", |said| {
        (of(said, H264).len() >= 34 && of(said, JPEG).len() >= 16).then_some(())
    });
    let said = worker.end();
    for (piece, data) in said.pieces() {
        assert_eq!(piece.time_us, clip.units[piece.number as usize].time_us);
        if piece.id == JPEG {
            assert_eq!((piece.size, piece.number % 2), (Size { width: 160, height: 284 }, 0));
            assert!(data.starts_with(&[0xFF, 0xD8]) && data.ends_with(&[0xFF, 0xD9]));
        } else {
            assert_eq!(piece.size, Size { width: 320, height: 180 });
            assert_eq!(nal_units(&data).map(|unit| unit.len() + 4).sum::<usize>(), data.len());
        }
    }
    assert!(of(&said, H264)[0].0.key);
    let done = said.answers().into_iter().filter(|(answer, _)| matches!(answer, Answer::Done { .. })).count();
    assert_eq!(done, clip.units.len());
}

#[test]
fn jpegs_become_h264_and_stills_are_made() {
    let units = jpegs("320x180", "12");
    let mut worker = Worker::start(&installed());
    worker.send(&[&Request::write_input(Input::Jpeg)]);
    worker.send(&[&Request::write_output(H264, &Output { width: Some(160), ..Output::new(Coding::H264) })]);
    for (number, unit) in (0..).zip(&units) {
        worker.give(number, unit, &[H264]);
    }
    worker.said.until("H.264", |said| (said.pieces().len() >= 8).then_some(()));
    let wish = Wish { quality: Some(80), sampling: None, most: Size { width: 100, height: 100 } };
    let still = Still { input: Input::Jpeg, wish, turn: Turn::None };
    let data = &units[0].data;
    worker.send(&[&Request::still_head(77, &still, data.len()).unwrap(), data]);
    let broken = &data[..20];
    worker.send(&[&Request::still_head(78, &still, broken.len()).unwrap(), broken]);
    worker.said.until("a still, and a refusal", |said| {
        let answers = said.answers();
        let picture = answers.iter().any(|(answer, _)| {
            *answer == Answer::Picture { number: 77, size: Size { width: 100, height: 56 } }
        });
        let refused = answers.iter().any(|(answer, _)| matches!(answer, Answer::Refused { number: 78, .. }));
        (picture && refused).then_some(())
    });
    let said = worker.end();
    let hello = Hello::read(&said.messages()[0]).unwrap();
    assert!(hello.words.contains("not confined") && hello.able.encodes(Coding::H264), "{hello:?}");
    assert!(!hello.able.encodes(Coding::Rgb24));
}

#[test]
fn a_program_that_is_none_ends_the_output_in_words() {
    let units = jpegs("64x48", "30");
    for program in ["/no/such/ffmpeg", "/bin/false"] {
        let mut worker = Worker::start(program);
        worker.send(&[
            &Request::write_input(Input::Jpeg),
            &Request::write_output(JPEG, &Output::new(Coding::Jpeg)),
        ]);
        for (number, unit) in (0..).zip(&units) {
            worker.give(number, unit, &[JPEG]);
            std::thread::sleep(Duration::from_millis(20));
        }
        let words = worker.said.until("its end", |said| {
            said.answers().into_iter().find_map(|(answer, _)| match answer {
                Answer::Note { kind: NoteKind::Ended, words, .. } => Some(words),
                _ => None,
            })
        });
        assert!(words.contains("FFmpeg's program"), "{words}");
        let said = worker.end();
        let done = |answer: &Answer| {
            matches!(answer, Answer::Done { outcome: Outcome::Later | Outcome::NeedsKeyframe, .. })
        };
        assert_eq!(said.answers().iter().filter(|(answer, _)| done(answer)).count(), units.len());
    }
}
