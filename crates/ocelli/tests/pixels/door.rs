//! A running worker and the two pipes to it.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use ocelli_codec::worker::protocol::{
    Answer, Coding, FrameHead, Hello, Input, NoteKind, Outcome, Output, OutputId, Piece, Request, Still,
    message_bytes,
};

use crate::clips::Coded;

/// How long a worker may take for anything: the machine may be busy.
const SOON: Duration = Duration::from_secs(30);

/// A worker. It ends with its input.
pub(crate) struct Door {
    child: Child,
    input: Option<ChildStdin>,
    said: Receiver<Vec<u8>>,
    number: u32,
}

/// What came of a frame.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) outcome: Outcome,
    pub(crate) pieces: Vec<(Piece, Vec<u8>)>,
}

impl Door {
    pub(crate) fn open() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ocelli-codec"));
        command.arg("test").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, said) = channel();
        let output = child.stdout.take().unwrap();
        std::thread::spawn(move || listen(output, &sender));
        Hello::read(&said.recv_timeout(SOON).expect("a hello")).unwrap();
        Self { input: child.stdin.take(), child, said, number: 0 }
    }

    /// One that decodes `codec` and gives JPEGs of `quality` as output 1.
    pub(crate) fn to_jpeg(input: Input, quality: u8) -> Self {
        let mut door = Self::open();
        door.input(input);
        door.output(1, &Output { quality: Some(quality), ..Output::new(Coding::Jpeg) });
        door
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.write(&[&Request::write_input(input)]);
    }

    pub(crate) fn output(&mut self, id: u16, output: &Output) {
        self.write(&[&Request::write_output(OutputId(id), output)]);
    }

    /// Gives it a frame that is wanted for `outputs`, and waits for what comes of it.
    pub(crate) fn frame(&mut self, frame: &Coded, outputs: &[u16]) -> Came {
        self.number += 1;
        let wanted = outputs.iter().map(|id| (OutputId(*id), false));
        let head = FrameHead::new(self.number, frame.time_us(), frame.key, wanted, frame.data.len()).unwrap();
        self.write(&[head.as_bytes(), &frame.data]);
        let mut pieces = Vec::new();
        loop {
            let message = self.message();
            match Answer::read(&message).unwrap() {
                Answer::Piece(piece) => {
                    pieces.push((piece, message[Answer::PIECE_HEAD_BYTES..].to_vec()));
                }
                Answer::Note { kind: NoteKind::Way | NoteKind::Warning, .. } => {}
                Answer::Done { number, outcome, .. } if number == self.number => {
                    return Came { outcome, pieces };
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// A JPEG of one keyframe, or why there is none.
    pub(crate) fn still(&mut self, still: &Still, data: &[u8]) -> Result<Vec<u8>, String> {
        self.number += 1;
        let head = Request::still_head(self.number, still, data.len()).unwrap();
        self.write(&[&head, data]);
        let message = self.message();
        match Answer::read(&message).unwrap() {
            Answer::Picture { number, .. } if number == self.number => {
                Ok(message[Answer::PICTURE_HEAD_BYTES..].to_vec())
            }
            Answer::Refused { number, reason } if number == self.number => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    /// A line of its `/proc/…/status`, in KiB.
    pub(crate) fn memory_kib(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|found| found.starts_with(line)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn message(&mut self) -> Vec<u8> {
        self.said.recv_timeout(SOON).unwrap_or_else(|error| panic!("{error}: {:?}", self.child.try_wait()))
    }

    fn write(&mut self, parts: &[&[u8]]) {
        let input = self.input.as_mut().unwrap();
        match input.write_all(&parts.concat()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("{error}"),
            _ => {}
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        drop(self.input.take());
        if std::thread::panicking() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn listen(mut output: impl Read, sender: &Sender<Vec<u8>>) {
    let mut head = [0; 4];
    while output.read_exact(&mut head).is_ok() {
        let mut message = vec![0; message_bytes(head).unwrap()];
        if output.read_exact(&mut message).is_err() || sender.send(message).is_err() {
            return;
        }
    }
}

/// Real pictures that the parsers are tested with.
pub(crate) fn testdata(name: &str) -> Vec<u8> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../media/testdata").join(name);
    let mut bytes = Vec::new();
    File::open(file).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}
