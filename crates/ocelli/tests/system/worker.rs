//! The worker as a process of its own, without a server: confined, with real streams of 1080p, and what it takes of memory.
//! And that the server does not have what the worker has.
#![cfg(feature = "libav")]

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ocelli_codec::recode::Wish;
use ocelli_codec::worker::protocol::{
    Answer, Coding, FrameHead, Hello, Input, Outcome, Output, OutputId, Request, Still, message_bytes,
};
use ocelli_media::annexb::{Event, Framer};
use ocelli_media::{Codec, Size, Turn};

/// A worker, asked by this process.
struct Worker {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    hello: Hello,
}

impl Worker {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ocelli-codec"));
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let hello = Hello::read(&message(&mut output)).unwrap();
        Self { child, input, output, hello }
    }

    fn say(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.input.write_all(part).unwrap());
    }

    fn hear(&mut self) -> (Answer, Vec<u8>) {
        let message = message(&mut self.output);
        (Answer::read(&message).unwrap(), message)
    }

    /// Gives a frame and returns the outcome, and the size and key mark of each piece.
    fn frame(
        &mut self,
        number: u32,
        unit: &(Vec<u8>, bool),
        wanted: &[OutputId],
    ) -> (Outcome, Vec<(u16, Size)>) {
        let wanted = wanted.iter().map(|id| (*id, false));
        let head = FrameHead::new(number, 0, unit.1, wanted, unit.0.len()).unwrap();
        self.say(&[head.as_bytes(), &unit.0]);
        let mut pieces = Vec::new();
        loop {
            match self.hear().0 {
                Answer::Piece(piece) => pieces.push((piece.id.0, piece.size)),
                Answer::Done { number: done, outcome, .. } => {
                    assert_eq!(done, number);
                    return (outcome, pieces);
                }
                Answer::Note { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn status_kb(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn message(output: &mut ChildStdout) -> Vec<u8> {
    let mut head = [0; 4];
    output.read_exact(&mut head).expect("the worker lives");
    let mut message = vec![0; message_bytes(head).unwrap()];
    output.read_exact(&mut message).expect("the worker lives");
    message
}

/// Access units, and whether each is a keyframe.
fn clip(codec: Codec, size: &str, options: &[&str]) -> Vec<(Vec<u8>, bool)> {
    let source = format!("testsrc2=size={size}:rate=25");
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", &source, "-frames:v", "12"])
        .args(options)
        .args(["-f", if codec == Codec::H264 { "h264" } else { "hevc" }, "-"])
        .output()
        .expect("FFmpeg is installed: scripts/setup.sh test");
    let mut framer = Framer::new(codec, 8 << 20);
    let mut units = Vec::new();
    let mut take = |event| {
        if let Event::Frame(unit) = event {
            units.push((unit.data.to_vec(), unit.key));
        }
    };
    let mut left = &output.stdout[..];
    while !left.is_empty() {
        left = framer.feed(left);
        while let Some(event) = framer.next_event() {
            take(event);
        }
    }
    while let Some(event) = framer.finish() {
        take(event);
    }
    units
}

const FAST: &[&str] = &["-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", "6"];
const H265: &[&str] =
    &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:bframes=0"];

#[test]
fn it_decodes_in_its_confinement_and_does_not_grow() {
    let mut worker = Worker::start();
    let Hello { able, words, .. } = worker.hello.clone();
    assert!(words.starts_with("limited, system calls filtered"), "{words}");
    assert!(Input::ALL.into_iter().all(|input| able.decodes(input)) && able.encodes(Coding::Jpeg));

    let units = clip(Codec::H264, "1920x1080", FAST);
    worker.say(&[&Request::write_input(Input::H264)]);
    let outputs = [(OutputId(1), None), (OutputId(2), Some(640)), (OutputId(3), Some(320))];
    for (id, width) in outputs {
        worker.say(&[&Request::write_output(id, &Output { width, ..Output::new(Coding::Jpeg) })]);
    }
    let ids = outputs.map(|(id, _)| id);
    let mut number = 0;
    let mut round = |worker: &mut Worker| {
        for unit in &units {
            number += 1;
            let (outcome, pieces) = worker.frame(number, unit, &ids);
            assert_eq!((outcome, pieces.len()), (Outcome::Shown, 3));
        }
        let still = Still {
            input: Input::H264,
            wish: Wish { quality: None, sampling: None, most: Size { width: 4096, height: 4096 } },
            turn: Turn::None,
        };
        let head = Request::still_head(7, &still, units[0].0.len()).unwrap();
        worker.say(&[&head, &units[0].0]);
        let size = Size { width: 1920, height: 1080 };
        assert_eq!(worker.hear().0, Answer::Picture { number: 7, size });
    };
    for _ in 0..3 {
        round(&mut worker);
    }
    let before = worker.status_kb("VmRSS");
    for _ in 0..8 {
        round(&mut worker);
    }
    let after = worker.status_kb("VmRSS");
    println!(
        "a worker of 1080p, three outputs and stills: {after} KB, of address space {} KB",
        worker.status_kb("VmPeak")
    );
    assert!(after < 80 << 10, "{after} KB");
    assert!(after < before + 1024, "{before} KB became {after} KB");

    // Another codec, and another size, in the same worker.
    worker.say(&[&Request::write_input(Input::H265)]);
    for (number, unit) in (0..).zip(&clip(Codec::H265, "640x360", H265)) {
        assert_eq!(worker.frame(number, unit, &ids[..1]).0, Outcome::Shown);
    }
    // And JPEG, from its own still.
    worker.say(&[&Request::write_input(Input::Jpeg)]);
    let still = Still {
        input: Input::H264,
        wish: Wish { quality: Some(80), sampling: None, most: Size { width: 640, height: 640 } },
        turn: Turn::Clockwise,
    };
    worker.say(&[&Request::still_head(8, &still, units[0].0.len()).unwrap(), &units[0].0]);
    let (Answer::Picture { number: 8, size }, message) = worker.hear() else { panic!() };
    assert_eq!(size, Size { width: 360, height: 640 });
    let jpeg = message[Answer::PICTURE_HEAD_BYTES..].to_vec();
    assert_eq!(worker.frame(1, &(jpeg, true), &ids[2..]).1, [(3, Size { width: 320, height: 569 })]);
}

#[test]
fn the_server_has_none_of_ffmpegs_libraries() {
    let needed = |program: &str| {
        let output = Command::new("readelf").args(["-d", program]).output().expect("binutils come with gcc");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| line.contains("(NEEDED)")).map(str::to_owned).collect::<Vec<_>>()
    };
    let worker = needed(env!("CARGO_BIN_EXE_ocelli-codec"));
    assert!(worker.iter().any(|line| line.contains("libavcodec")), "{worker:?}");
    let server = needed(env!("CARGO_BIN_EXE_ocelli"));
    assert!(!server.is_empty());
    for library in ["libav", "libsw"] {
        assert!(!server.iter().any(|line| line.contains(library)), "{server:?}");
    }
}
