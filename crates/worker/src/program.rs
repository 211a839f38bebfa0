//! The worker by way of the FFmpeg program: for builds whose worker lacks a decoder or an encoder, for hardware that only FFmpeg
//! reaches, and where the configuration asks for it.
//!
//! It speaks the worker's protocol to the server and has an FFmpeg process for each output, which is given the pictures as NUT through
//! its standard input and gives back those it has made. So each output decodes for itself. FFmpeg is not confined as the worker is:
//! it needs its libraries, drivers and devices.
//!
//! Keyframes of H.264 cannot be had on request: there is one each second.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use bytes::Bytes;
use ocelli_codec::recode::Wish;
use ocelli_codec::worker::protocol::{
    Able, Answer, Coding, Hello, Input, NoteKind, Outcome, Output, OutputId, Piece, Request,
};
use ocelli_media::jpeg::Header;
use ocelli_media::mp4::Unpacked;
use ocelli_media::nut::{Event, Reader, Writer};
use ocelli_media::{Codec, Frame, MediaTime, ParameterSets, Size, Track, TrackId, Turn};

use crate::serve::{WorkerError, read_message, write_both};

/// Longest picture that is believed to have been made.
const MOST_BYTES: usize = 64 << 20;
/// Pictures that are on their way through FFmpeg at most, for the server to be told which is which.
const REMEMBERED: usize = 256;
/// An FFmpeg that ended is started again until so many in a row have ended without a picture.
const MOST_FAILED: u32 = 5;

/// What all who write to the server share.
type Pipe<W> = Arc<Mutex<W>>;

/// Says hello and does what it is asked by `program` until `input` ends between two messages.
///
/// # Errors
/// The server's pipe breaks, or what it sends is none of this protocol.
pub fn serve<W: Write + Send + 'static>(
    program: &Path,
    mut input: impl Read,
    output: W,
) -> Result<(), WorkerError> {
    let inputs = [Input::Jpeg, Input::H264, Input::H265];
    let words = format!("by the program {}; not confined", program.display());
    let hello = Hello::new(Able::new(&inputs, &[Coding::Jpeg, Coding::H264]), &words);
    let pipe = Arc::new(Mutex::new(output));
    lock(&pipe).write_all(&hello.write())?;
    let mut worker =
        Worker { program, pipe, input: Input::Jpeg, sets: None, size: None, outputs: Vec::new() };
    let mut message = Vec::new();
    while read_message(&mut input, &mut message)? {
        worker.handle(&message)?;
    }
    Ok(())
}

struct Worker<'a, W> {
    program: &'a Path,
    pipe: Pipe<W>,
    input: Input,
    sets: Option<ParameterSets>,
    /// Of the pictures that come.
    size: Option<Size>,
    outputs: Vec<Made>,
}

/// One output.
struct Made {
    id: OutputId,
    output: Output,
    running: Option<Running>,
    /// How many have ended one after the other, the last ones without a picture.
    failed: u32,
}

impl<W: Write + Send + 'static> Worker<'_, W> {
    fn handle(&mut self, message: &[u8]) -> io::Result<()> {
        let request = match Request::read(message) {
            Ok(request) => request,
            Err(error) => {
                return self.say(&Answer::write_refused(Request::number(message), &error.to_string()));
            }
        };
        match request {
            Request::Input(input) => {
                self.input = input;
                self.sets = (input != Input::Jpeg).then(|| ParameterSets::new(codec(input)));
                self.outputs.iter_mut().for_each(|made| made.running = None);
                Ok(())
            }
            Request::Output { id, output } => self.set_output(id, output),
            Request::End(id) => {
                self.outputs.retain(|made| made.id != id);
                Ok(())
            }
            Request::Frame { number, time_us, key, wanted, data } => {
                let wanted: Vec<OutputId> = wanted.iter().map(|(id, _)| id).collect();
                let outcome = self.frame(number, time_us, key, &wanted, data)?;
                self.say(&Answer::write_done(number, outcome, 0, 0))
            }
            Request::Recode { number, wish, jpeg } => self.one(number, Input::Jpeg, &wish, Turn::None, jpeg),
            Request::Still { number, still, data } => {
                self.one(number, still.input, &still.wish, still.turn, data)
            }
        }
    }

    fn say(&self, message: &[u8]) -> io::Result<()> {
        lock(&self.pipe).write_all(message)
    }

    /// Makes an output, or one of the same name anew.
    fn set_output(&mut self, id: OutputId, output: Output) -> io::Result<()> {
        self.outputs.retain(|made| made.id != id);
        if !matches!(output.coding, Coding::Jpeg | Coding::H264) {
            let words = format!("FFmpeg's program is not asked for {}", output.coding);
            return self.say(&Answer::write_note(id, NoteKind::Ended, &words));
        }
        self.outputs.push(Made { id, output, running: None, failed: 0 });
        let words = format!("decoded, scaled and encoded as {} by FFmpeg's program", output.coding);
        self.say(&Answer::write_note(id, NoteKind::Way, &words))
    }

    /// Gives a picture to those who want it, and to those who need it for what follows.
    fn frame(
        &mut self,
        number: u32,
        time_us: i64,
        key: bool,
        wanted: &[OutputId],
        data: &[u8],
    ) -> io::Result<Outcome> {
        let key = key || self.input == Input::Jpeg;
        if key {
            self.learn(data);
        }
        let Some(size) = self.size else { return Ok(Outcome::NeedsKeyframe) };
        let track = Track::video(codec(self.input), Some(size), Vec::new());
        let picture = Picture { number, time_us, key, data };
        let mut outcome = Outcome::Later;
        let mut ended = Vec::new();
        for made in &mut self.outputs {
            let is_wanted = wanted.contains(&made.id);
            if self.input == Input::Jpeg && !is_wanted {
                continue;
            }
            if let Some(words) = made.running.as_mut().and_then(Running::ended) {
                let has_made = made.running.take().is_some_and(|running| running.has_made());
                made.failed = if has_made { 1 } else { made.failed + 1 };
                let kind = if made.failed >= MOST_FAILED { NoteKind::Ended } else { NoteKind::Warning };
                lock(&self.pipe).write_all(&Answer::write_note(made.id, kind, &words))?;
                if kind == NoteKind::Ended {
                    ended.push(made.id);
                    continue;
                }
            }
            if made.running.is_none() && key {
                match Running::start(self.program, made, &track, size, &self.pipe) {
                    Ok(running) => made.running = Some(running),
                    Err(error) => {
                        let words = format!("FFmpeg's program could not be started: {error}");
                        lock(&self.pipe).write_all(&Answer::write_note(made.id, NoteKind::Ended, &words))?;
                        ended.push(made.id);
                    }
                }
            }
            match &mut made.running {
                Some(running) => running.give(&picture, is_wanted),
                None => outcome = Outcome::NeedsKeyframe,
            }
        }
        self.outputs.retain(|made| !ended.contains(&made.id));
        Ok(outcome)
    }

    /// Learns the size of the pictures from one that stands for itself.
    fn learn(&mut self, data: &[u8]) {
        self.size = size_of(data, self.sets.as_mut()).or(self.size);
    }

    /// Makes one JPEG of a picture that stands for itself.
    fn one(&self, number: u32, input: Input, wish: &Wish, turn: Turn, data: &[u8]) -> io::Result<()> {
        match one(self.program, input, wish, turn, data) {
            Ok((size, jpeg)) => match Answer::picture_head(number, size, jpeg.len()) {
                Some(head) => write_both(&mut *lock(&self.pipe), &head, &jpeg),
                None => self.say(&Answer::write_refused(number, "the picture became too long")),
            },
            Err(words) => self.say(&Answer::write_refused(number, &words)),
        }
    }
}

/// A picture of the stream.
struct Picture<'a> {
    number: u32,
    time_us: i64,
    key: bool,
    data: &'a [u8],
}

/// A frame that FFmpeg was given.
#[derive(Clone, Copy)]
struct Given {
    ticks: i64,
    number: u32,
    time_us: i64,
    is_wanted: bool,
}

/// What is on its way through an FFmpeg.
#[derive(Default)]
struct Way {
    given: Mutex<VecDeque<Given>>,
    /// A picture has come out.
    has_made: AtomicBool,
}

/// An FFmpeg process. Dropping it ends it.
struct Running {
    child: Child,
    /// Closed before the process is waited for.
    stdin: Option<ChildStdin>,
    writer: Writer,
    way: Arc<Way>,
    broken: bool,
}

impl Running {
    fn start<W: Write + Send + 'static>(
        program: &Path,
        made: &Made,
        track: &Track,
        size: Size,
        pipe: &Pipe<W>,
    ) -> io::Result<Self> {
        let writer = Writer::new(track).ok_or(io::ErrorKind::InvalidInput)?;
        let mut child = command(program, &stream_words(&made.output, size)).spawn()?;
        let mut stdin = child.stdin.take();
        let way = Arc::<Way>::default();
        if let Some(stdout) = child.stdout.take() {
            let (id, way, pipe) = (made.id, way.clone(), pipe.clone());
            thread::Builder::new().name("ffmpeg".to_owned()).spawn(move || read(id, stdout, &way, &pipe))?;
        }
        let broken = stdin.as_mut().is_none_or(|stdin| stdin.write_all(&writer.header()).is_err());
        Ok(Self { child, stdin, writer, way, broken })
    }

    fn give(&mut self, picture: &Picture<'_>, is_wanted: bool) {
        const MICROS: std::num::NonZeroU32 = std::num::NonZeroU32::new(1_000_000).expect("not zero");
        let time = MediaTime::new(picture.time_us, MICROS).rescale(MediaTime::VIDEO_RATE);
        let data = Bytes::copy_from_slice(picture.data);
        let frame = Frame { track: TrackId::VIDEO, time, captured: None, key: picture.key, data };
        let written = self.writer.frame(&frame);
        let given =
            Given { ticks: written.ticks, number: picture.number, time_us: picture.time_us, is_wanted };
        {
            let mut way = lock(&self.way.given);
            if way.len() >= REMEMBERED {
                way.pop_front();
            }
            way.push_back(given);
        }
        let Some(stdin) = &mut self.stdin else { return };
        self.broken |= write_both(stdin, &written.head, &written.data).is_err();
    }

    /// It has made pictures.
    fn has_made(&self) -> bool {
        self.way.has_made.load(Ordering::Relaxed)
    }

    /// Why it has ended, if it has.
    fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten();
        match status {
            Some(status) => Some(format!("FFmpeg's program ended: {status}")),
            None if self.broken => Some("FFmpeg's program takes no more pictures".to_owned()),
            None => None,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads what FFmpeg makes, and passes on what is wanted.
fn read<W: Write>(id: OutputId, mut stdout: ChildStdout, way: &Way, pipe: &Pipe<W>) {
    let mut reader = Reader::new(MOST_BYTES);
    let mut buffer = vec![0; 256 << 10];
    while let Ok(bytes @ 1..) = stdout.read(&mut buffer) {
        let mut left = &buffer[..bytes];
        while !left.is_empty() {
            left = reader.feed(left);
            loop {
                match reader.next_event() {
                    Ok(Some(Event::Packet { time, unpacked, .. })) => {
                        if pass(id, time.ticks(), unpacked, &reader, way, pipe).is_err() {
                            return;
                        }
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
        }
    }
}

fn pass<W: Write>(
    id: OutputId,
    ticks: i64,
    unpacked: Unpacked,
    reader: &Reader,
    way: &Way,
    pipe: &Pipe<W>,
) -> io::Result<()> {
    let given = {
        way.has_made.store(true, Ordering::Relaxed);
        let mut way = lock(&way.given);
        // FFmpeg counts in its own ticks, which may be a little off.
        let nearest = way.iter().enumerate().min_by_key(|(_, given)| given.ticks.abs_diff(ticks));
        let found = nearest
            .filter(|(_, given)| given.ticks.abs_diff(ticks) <= NEAR_TICKS)
            .map(|(at, given)| (at, *given));
        found.map(|(at, given)| {
            way.remove(at);
            given
        })
    };
    let Some(given) = given.filter(|given| given.is_wanted) else { return Ok(()) };
    let (key, data) = match unpacked {
        Unpacked::AccessUnit(unit) => (unit.key, unit.data),
        Unpacked::Jpeg(data) => (true, data),
        Unpacked::Sound(_) => return Ok(()),
    };
    let size = match Header::parse(&data) {
        Ok(header) => Some(header.size),
        Err(_) => reader.parameter_sets().and_then(ParameterSets::size),
    };
    let Some(size) = size else { return Ok(()) };
    let piece =
        Piece { id, number: given.number, time_us: given.time_us, key, size, scale_us: 0, encode_us: 0 };
    match Answer::piece_head(&piece, data.len()) {
        Some(head) => write_both(&mut *lock(pipe), &head, &data),
        None => Ok(()),
    }
}

/// So much off is FFmpeg's time of a picture at most: a millisecond.
const NEAR_TICKS: u64 = 90;

/// Makes one JPEG.
fn one(
    program: &Path,
    input: Input,
    wish: &Wish,
    turn: Turn,
    data: &[u8],
) -> Result<(Size, Vec<u8>), String> {
    let codec = codec(input);
    let size = size_of(data, Some(&mut ParameterSets::new(codec))).ok_or("it is damaged")?;
    let track = Track::video(codec, Some(size), Vec::new());
    let mut writer = Writer::new(&track).ok_or("it cannot be given to FFmpeg")?;
    let asked = Output {
        width: Some(wish.most.width),
        height: Some(wish.most.height),
        turn,
        quality: wish.quality,
        ..Output::new(Coding::Jpeg)
    };
    let mut words = words(&asked, size);
    words.extend(["-frames:v", "1", "-f", "mjpeg", "pipe:1"].map(str::to_owned));
    let failed = |error: io::Error| format!("FFmpeg's program: {error}");
    let mut child = command(program, &words).spawn().map_err(failed)?;
    let time = MediaTime::new(0, MediaTime::VIDEO_RATE);
    let data = Bytes::copy_from_slice(data);
    let written = writer.frame(&Frame { track: TrackId::VIDEO, time, captured: None, key: true, data });
    if let Some(mut stdin) = child.stdin.take() {
        // FFmpeg may have had enough before the end.
        let _ = stdin.write_all(&writer.header());
        let _ = write_both(&mut stdin, &written.head, &written.data);
    }
    let mut jpeg = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MOST_BYTES as u64).read_to_end(&mut jpeg).map_err(failed)?;
    }
    let status = child.wait().map_err(failed)?;
    match Header::parse(&jpeg) {
        Ok(header) => Ok((header.size, jpeg)),
        Err(_) => Err(format!("FFmpeg's program made no picture of it: {status}")),
    }
}

/// FFmpeg with pipes, whose last words are the worker's.
fn command(program: &Path, words: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

/// What FFmpeg is told for a stream.
fn stream_words(output: &Output, size: Size) -> Vec<String> {
    let mut words = words(output, size);
    words.extend(["-flush_packets", "1", "-f", "nut", "pipe:1"].map(str::to_owned));
    words
}

fn words(output: &Output, source: Size) -> Vec<String> {
    let size = output.size(source);
    let mut words: Vec<String> =
        "-nostdin -hide_banner -loglevel error -flags low_delay -probesize 32 -fpsprobesize 0 -f nut \
         -i pipe:0 -map 0:v:0 -copyts -enc_time_base -1 -vf"
            .split_whitespace()
            .map(str::to_owned)
            .collect();
    words.push(format!("{}scale={}:{}", turned(output.turn), size.width, size.height));
    let quality = u32::from(output.quality.unwrap_or(85).clamp(1, 100));
    let coded = match output.coding {
        Coding::H264 => {
            let rate = match output.bit_rate_kbps {
                0 => u32::from(size.width) * u32::from(size.height) / 460 + 200,
                rate => rate,
            };
            format!(
                "-c:v libx264 -preset superfast -tune zerolatency -pix_fmt yuv420p -b:v {rate}k -maxrate {rate}k -bufsize {}k \
                 -force_key_frames expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+1))",
                rate / 2
            )
        }
        // FFmpeg's own scale runs from 2 to 31.
        _ => format!("-c:v mjpeg -q:v {} -pix_fmt yuvj420p -huffman default", 2 + (100 - quality) * 29 / 99),
    };
    words.extend(coded.split_whitespace().map(str::to_owned));
    words
}

/// The filters that turn a picture, each with a comma behind it.
fn turned(turn: Turn) -> &'static str {
    match turn {
        Turn::None => "",
        Turn::Clockwise => "transpose=clock,",
        Turn::Half => "hflip,vflip,",
        Turn::Counterclockwise => "transpose=cclock,",
        Turn::LeftRight => "hflip,",
        Turn::TopBottom => "vflip,",
        Turn::Transposed => "transpose=cclock_flip,",
        Turn::Transverse => "transpose=clock_flip,",
    }
}

fn codec(input: Input) -> Codec {
    match input {
        Input::Jpeg => Codec::Jpeg,
        Input::H264 => Codec::H264,
        Input::H265 => Codec::H265,
    }
}

/// The size of a picture that stands for itself.
fn size_of(data: &[u8], sets: Option<&mut ParameterSets>) -> Option<Size> {
    match Header::parse(data) {
        Ok(header) => Some(header.size),
        Err(_) => sets.and_then(|sets| {
            sets.take_all(data);
            sets.size()
        }),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
