//! The FFmpeg program in the place of codecs that this worker's libraries lack, or of all of theirs: H.264 and H.265 decoded, H.264
//! encoded. JPEG, sizes, turns and what is shared between outputs stay the worker's own.
//!
//! | file | does |
//! |---|---|
//! | `decoder.rs` | one FFmpeg for a camera: access units in, pictures out |
//! | `encoder.rs` | one for each output of H.264: pictures in, access units out |
//! | `run.rs`, `flight.rs` | which pictures are on their way, and how long one is waited for |
//! | `process.rs` | the process, its pipes and its end |
//!
//! FFmpeg is not confined: it needs its libraries, drivers and devices, and a worker that starts it is not confined either.

mod decoder;
mod encoder;
mod flight;
mod process;
mod run;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ocelli_codec::worker::PROGRAM_UNUSABLE;
use ocelli_codec::worker::protocol::Input;
use ocelli_media::Codec;

pub use self::decoder::Decoder;
pub(crate) use self::encoder::Encoder;
use crate::h264::Kind;

/// Most that it says of its codecs; it is about 60 KB.
const MOST_WORDS: u64 = 1 << 20;

/// An FFmpeg and what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    decodes: Vec<Input>,
    encodes: Vec<Kind>,
}

/// An encoder of H.264 by the FFmpeg program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Named {
    /// The program.
    pub program: PathBuf,
    /// Which of its encoders: none that is by the program itself.
    pub kind: Kind,
}

/// Why the program is not used.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It cannot be started, or its answer not be read.
    #[error("{unusable}: {0} could not be asked what it can do: {1}", unusable = PROGRAM_UNUSABLE)]
    NotAsked(PathBuf, io::Error),
    /// It lists no codecs as FFmpeg does.
    #[error("{unusable}: {0} does not list its codecs as FFmpeg does", unusable = PROGRAM_UNUSABLE)]
    Strange(PathBuf),
}

impl Program {
    /// Asks the program at `path` what it can do. It is waited for, however long it takes.
    ///
    /// # Errors
    /// It is not there, or is none.
    pub fn ask(path: &Path) -> Result<Self, ProgramError> {
        let answer = answer(path).map_err(|error| ProgramError::NotAsked(path.to_owned(), error))?;
        let mut program = Self { path: path.to_owned(), decodes: Vec::new(), encodes: Vec::new() };
        for line in answer.lines() {
            program.take(line);
        }
        // Every FFmpeg knows of it, whether it can do something with it or not.
        if answer.contains(" h264 ") { Ok(program) } else { Err(ProgramError::Strange(path.to_owned())) }
    }

    /// Whether it decodes that.
    pub fn decodes(&self, input: Input) -> bool {
        self.decodes.contains(&input)
    }

    /// Those of `kinds`, in their order, that it has. They are leaked: what a worker works with is settled once, at its start.
    pub fn encoders(&self, kinds: &[Kind]) -> Vec<Kind> {
        let of_it = kinds.iter().filter(|kind| self.encodes.contains(kind));
        let named = of_it.map(|kind| Named { program: self.path.clone(), kind: *kind });
        named.map(|named| Kind::Program(Box::leak(Box::new(named)))).collect()
    }

    /// ` DEV.LS h264                 H.264 / AVC (decoders: h264 h264_v4l2m2m ) (encoders: libx264 h264_nvenc )`; without the
    /// lists where there is but one, of the codec's own name.
    fn take(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some(flags), Some(name)) = (words.next(), words.next()) else { return };
        let input = match name {
            "h264" => Input::H264,
            "hevc" => Input::H265,
            _ => return,
        };
        let of = |what: &str, flag: usize| -> Vec<&str> {
            match line.split_once(what).and_then(|(_, list)| list.split_once(')')) {
                Some((list, _)) => list.split_whitespace().collect(),
                None if flags.as_bytes().get(flag).is_some_and(|flag| *flag != b'.') => vec![name],
                None => Vec::new(),
            }
        };
        if of("(decoders:", 0).contains(&name) {
            self.decodes.push(input);
        }
        if input == Input::H264 {
            let kinds = of("(encoders:", 1).into_iter().filter_map(|name| name.parse::<Kind>().ok());
            self.encodes.extend(kinds);
        }
    }
}

fn answer(path: &Path) -> io::Result<String> {
    let mut command = Command::new(path);
    command.args(["-hide_banner", "-loglevel", "error", "-codecs"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    let mut answer = Vec::new();
    let read = match child.stdout.take() {
        Some(stdout) => stdout.take(MOST_WORDS).read_to_end(&mut answer),
        None => Ok(0),
    };
    let _ = child.kill();
    child.wait()?;
    read.map(|_| String::from_utf8_lossy(&answer).into_owned())
}

/// What it is told before its input, which comes through its standard input as NUT.
const BEFORE: &str = "-nostdin -hide_banner -loglevel error -threads 1 -flags low_delay -probesize 32 -fpsprobesize 0 \
                      -f nut -i pipe:0 -map 0:v:0 -copyts -enc_time_base 1:90000";
/// What it is told behind all else. With more threads some of its encoders hold pictures back, `rawvideo` among them.
const BEHIND: &str = "-threads 1 -flush_packets 1 -f nut pipe:1";

/// The words of a command line.
fn words(line: &str) -> impl Iterator<Item = String> {
    line.split_whitespace().map(str::to_owned)
}

fn codec(input: Input) -> Codec {
    match input {
        Input::Jpeg => Codec::Jpeg,
        Input::H264 => Codec::H264,
        Input::H265 => Codec::H265,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_can_do_is_read_of_its_own_list() {
        let program = |lines: &[&str]| {
            let mut program = Program { path: "f".into(), decodes: Vec::new(), encodes: Vec::new() };
            lines.iter().for_each(|line| program.take(line));
            (program.decodes, program.encodes)
        };
        let h264 = " DEV.LS h264                 H.264 / AVC / MPEG-4 AVC (decoders: h264 h264_v4l2m2m h264_cuvid ) (encoders: libx264 libx264rgb h264_nvenc h264_v4l2m2m h264_vaapi )";
        let hevc = " D.V.L. hevc                 H.265 / HEVC";
        assert_eq!(
            program(&[h264, hevc]),
            (vec![Input::H264, Input::H265], vec![Kind::X264, Kind::Nvenc, Kind::V4l2m2m])
        );
        let poor = [
            " ..V.LS h264                 H.264",
            " .EV.L. hevc                 H.265 / HEVC (encoders: libx265 )",
            " D.V... mjpeg",
            "",
        ];
        assert_eq!(program(&poor), (vec![], vec![]));
        let fedora = " .EV.LS h264  H.264 / AVC (encoders: libopenh264 )";
        assert_eq!(program(&[fedora]), (vec![], vec![Kind::Openh264]));
    }
}
