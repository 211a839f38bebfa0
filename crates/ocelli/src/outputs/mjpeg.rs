//! MJPEG over HTTP: `multipart/x-mixed-replace` (no RFC; every browser and camera since 1995). Pictures that are not coded go the same
//! way, with their format and size in the header block.
//!
//! A picture and its header block are put together once, as a [`Part`] of a derived stream. A viewer is one task that
//! waits for the newest part and writes it from the one shared buffer by one `writev`. It holds at most the part it is
//! writing, and takes the newest one when the socket is ready for it, so a slow viewer skips pictures and stays live.
//! What the kernel keeps for it is bounded by `TCP_NOTSENT_LOWAT`.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use ocelli_hub::{Derivation, DerivedReader, Item, Next, Piece, RingSender, Subscriber, Want};
use ocelli_media::{Codec, Frame, Track, video_track};
use tokio::net::TcpStream;

use crate::variants::Unshaped;
use crate::viewers::{HELD_UP, Viewer};

#[cfg(test)]
mod tests;

/// `Content-Type` of the stream.
pub const CONTENT_TYPE: &str = "multipart/x-mixed-replace;boundary=ocelli";
/// The header block that is sent ahead of a picture whose length is not known yet.
const ADVANCE_HEADER: &[u8] = b"--ocelli\r\nContent-Type: image/jpeg\r\n\r\n";
/// The same, behind a picture.
const ADVANCE_NEXT: &[u8] = b"\r\n--ocelli\r\nContent-Type: image/jpeg\r\n\r\n";
/// A viewer, or any client, whose kernel has taken nothing for this long is closed: its machine is gone, or asleep.
pub(crate) const STALLED: Duration = Duration::from_secs(30);

/// A picture with the header block that goes before it, `Content-Length` and `X-Timestamp` included.
#[derive(Clone, Debug)]
pub struct Part {
    header: Bytes,
    frame: Frame,
    notice: bool,
}

impl Part {
    /// The picture: a whole JPEG file, or the samples of one that is not coded.
    pub fn picture(&self) -> &Bytes {
        &self.frame.data
    }

    /// When the camera took it.
    pub fn captured(&self) -> Option<SystemTime> {
        self.frame.captured
    }

    /// It says that the camera is lost: not the camera's picture.
    pub fn is_notice(&self) -> bool {
        self.notice
    }

    fn new(frame: Frame, notice: bool, content: &str) -> Self {
        let mut header = BytesMut::with_capacity(192);
        header.extend_from_slice(b"--ocelli\r\nContent-Type: ");
        header.extend_from_slice(content.as_bytes());
        header.extend_from_slice(b"\r\nContent-Length: ");
        header.extend_from_slice(frame.data.len().to_string().as_bytes());
        if let Some(captured) = frame.captured {
            header.extend_from_slice(b"\r\nX-Timestamp: ");
            header.extend_from_slice(timestamp(captured).as_bytes());
        }
        header.extend_from_slice(b"\r\n\r\n");
        Self { header: header.freeze(), frame, notice }
    }
}

impl Piece for Part {
    fn key(&self) -> bool {
        true
    }
    fn size(&self) -> usize {
        self.header.len() + self.frame.data.len()
    }
}

/// The type of pictures that are parts.
const JPEG: &str = "image/jpeg";

/// The type of a stream's pictures, if each stands for itself.
fn content_type(track: &Track) -> Option<Cow<'static, str>> {
    let format = match track.codec {
        Codec::Jpeg => return Some(JPEG.into()),
        Codec::Rgb24 => "rgb24",
        Codec::Yuv420 => "yuv420",
        _ => return None,
    };
    let size = track.size?;
    Some(format!("video/x-raw; format={format}; width={}; height={}", size.width, size.height).into())
}

/// Makes parts out of pictures that stand for themselves; sound is left out. Ends when other pictures come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MjpegParts;

impl Derivation for MjpegParts {
    type Piece = Part;

    fn want(&self) -> Want {
        Want::Latest
    }

    async fn run(self, mut input: Subscriber, mut output: RingSender<Part>) {
        let mut content = Cow::Borrowed(JPEG);
        loop {
            match input.next().await {
                Ok(Item::Frame(frame)) if !frame.is_picture() => {}
                Ok(Item::Frame(frame)) => drop(output.push(Part::new(frame, false, &content))),
                Ok(Item::Notice(frame)) => drop(output.push(Part::new(frame, true, JPEG))),
                Ok(Item::Tracks(tracks)) if video_track(&tracks).is_some() => {
                    match video_track(&tracks).and_then(content_type) {
                        Some(named) => content = named,
                        None => return,
                    }
                }
                // Nothing is lost to one who wants the newest.
                Ok(Item::Tracks(_) | Item::Lost { .. }) => {}
                Err(_) => return,
            }
        }
    }
}

/// Seconds since 1970 with six digits of microseconds: `1700000000.123456`.
pub fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:06}", since.as_secs(), since.subsec_micros())
}

/// How long the head of the answer waits for a picture, to go out with it by one system call.
const HEAD_WAIT: Duration = Duration::from_millis(100);

/// What one viewer asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StreamOptions {
    /// Sends the next part's header block right behind each picture, without `Content-Length`. Chromium shows a
    /// picture of an `<img>` only when the next part's headers are complete: one picture late without this.
    pub advance_headers: bool,
    /// At most so many pictures a second.
    pub fps: Option<f64>,
}

/// Why a viewer's stream ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// It closed its connection.
    #[error("the viewer left")]
    Left,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broke(#[from] io::Error),
    /// It read nothing for too long.
    #[error("the viewer read nothing for {} s", STALLED.as_secs())]
    Stalled,
    /// The camera is gone, or sends its viewers away, or is coded otherwise from here on.
    #[error("the camera's stream ended")]
    Closed,
    /// What it asked for cannot be made any more.
    #[error("{0}")]
    Unshaped(#[from] Unshaped),
}

/// Sends what is left of `head`, then pictures until the viewer leaves or there are no more. Then another stream's may follow.
///
/// # Errors
/// Always ends with one: why.
pub async fn serve(
    socket: &TcpStream,
    head: &mut Bytes,
    parts: &mut DerivedReader<Part>,
    options: StreamOptions,
    viewer: &Viewer,
) -> Ended {
    let seen = parts.skipped();
    let mut sender = Sender { socket, parts, viewer, options, head, seen, waited: Duration::ZERO };
    match sender.run().await {
        Ok(never) => match never {},
        Err(ended) => ended,
    }
}

/// Whether a picture that comes `now` is to be sent, with one sent every `interval`. Pictures come with some jitter,
/// so one that is early by less than half a camera's usual interval keeps its place.
fn is_due(due: &mut Option<Instant>, interval: Duration, now: Instant) -> bool {
    const EARLY: Duration = Duration::from_millis(8);
    match *due {
        Some(at) if now + EARLY < at => false,
        // On the grid while pictures keep coming; a new grid after a hole.
        Some(at) => {
            *due = Some(if now > at + interval { now + interval } else { at + interval });
            true
        }
        None => {
            *due = Some(now + interval);
            true
        }
    }
}

struct Sender<'a> {
    socket: &'a TcpStream,
    parts: &'a mut DerivedReader<Part>,
    viewer: &'a Viewer,
    options: StreamOptions,
    /// What is to be sent before the next part, once.
    head: &'a mut Bytes,
    /// How many parts were passed over by the time the last one was taken.
    seen: u64,
    /// How long the last part has waited for the socket.
    waited: Duration,
}

impl Sender<'_> {
    async fn run(&mut self) -> Result<Infallible, Ended> {
        let mut part = match tokio::time::timeout(HEAD_WAIT, self.next_part()).await {
            Ok(part) => part?,
            Err(_) => {
                self.write_head().await?;
                self.next_part().await?
            }
        };
        let mut due: Option<Instant> = None;
        loop {
            let interval = self.options.fps.map(|fps| Duration::from_secs_f64(1.0 / fps));
            if interval.is_none_or(|interval| is_due(&mut due, interval, Instant::now())) {
                self.write(part).await?;
            }
            part = self.next_part().await?;
        }
    }

    /// Writes the head alone: a camera that gives no picture for long must not look like a server that does not answer.
    async fn write_head(&mut self) -> Result<(), Ended> {
        if self.head.is_empty() {
            return Ok(());
        }
        let first = if self.options.advance_headers { ADVANCE_HEADER } else { b"" };
        let head = [&self.head[..], first].concat();
        let mut left = &head[..];
        while !left.is_empty() {
            tokio::time::timeout(STALLED, self.socket.writable()).await.map_err(|_| Ended::Stalled)??;
            match self.socket.try_write(left) {
                Ok(bytes) => left = &left[bytes..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Ended::Broke(error)),
            }
        }
        *self.head = Bytes::new();
        Ok(())
    }

    /// Waits for the next part, and notices meanwhile when the viewer leaves.
    async fn next_part(&mut self) -> Result<Part, Ended> {
        let part = poll_fn(|context| {
            loop {
                match self.parts.poll_next(context) {
                    Poll::Ready(Ok(Next::Piece(part))) => return Poll::Ready(Ok(part)),
                    Poll::Ready(Ok(Next::Lost { .. })) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Ended::Closed)),
                    Poll::Pending => return poll_left(self.socket, context).map(Err),
                }
            }
        })
        .await?;
        self.note_passed_over(0);
        Ok(part)
    }

    /// Tells how many parts were passed over for want of room, and `more` beside those that the reader counts.
    fn note_passed_over(&mut self, more: u64) {
        let skipped = self.parts.skipped();
        let passed_over = skipped - std::mem::replace(&mut self.seen, skipped) + more;
        if self.waited >= HELD_UP && passed_over > 0 {
            self.viewer.no_room(passed_over);
        }
    }

    /// Writes `part`, or the newest one there is by the time the socket takes the first byte.
    async fn write(&mut self, mut part: Part) -> Result<(), Ended> {
        let mut written = 0;
        self.waited = Duration::ZERO;
        loop {
            let slices = self.slices(&part);
            let total: usize = slices.iter().map(|slice| slice.len()).sum();
            match write_from(self.socket, slices, written) {
                Ok(0) => return Err(Ended::Left),
                Ok(bytes) => {
                    written += bytes;
                    if written == total {
                        self.sent(&part, total);
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let since = Instant::now();
                    let ready = poll_fn(|context| self.socket.poll_write_ready(context));
                    tokio::time::timeout(STALLED, ready).await.map_err(|_| Ended::Stalled)??;
                    self.waited += since.elapsed();
                    if written == 0
                        && let Ok(Some(Next::Piece(newer))) = self.parts.try_next()
                    {
                        self.viewer.skipped(1);
                        self.note_passed_over(1);
                        part = newer;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Ended::Broke(error)),
            }
        }
    }

    fn slices<'b>(&'b self, part: &'b Part) -> [IoSlice<'b>; 4] {
        let advance = self.options.advance_headers;
        let header: &[u8] = match (advance, self.head.is_empty()) {
            (false, _) => &part.header,
            (true, false) => ADVANCE_HEADER,
            (true, true) => b"",
        };
        let behind = if advance { ADVANCE_NEXT } else { b"\r\n" };
        [&self.head[..], header, &part.frame.data, behind].map(IoSlice::new)
    }

    fn sent(&mut self, part: &Part, bytes: usize) {
        *self.head = Bytes::new();
        let captured = part.captured().filter(|_| !part.notice);
        let latency = captured.and_then(|captured| SystemTime::now().duration_since(captured).ok());
        self.viewer.sent(bytes as u64, latency, self.parts.skipped());
    }
}

/// Writes what of `slices` is left after the first `written` bytes, by one system call.
fn write_from(socket: &TcpStream, mut slices: [IoSlice<'_>; 4], written: usize) -> io::Result<usize> {
    let mut left = &mut slices[..];
    IoSlice::advance_slices(&mut left, written);
    socket.try_write_vectored(left)
}

/// Ready when the viewer has closed its side. What it sends meanwhile is read and thrown away.
fn poll_left(socket: &TcpStream, context: &mut Context<'_>) -> Poll<Ended> {
    let mut sink = [0; 512];
    loop {
        match socket.poll_read_ready(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Ended::Broke(error)),
            Poll::Ready(Ok(())) => match socket.try_read_vectored(&mut [IoSliceMut::new(&mut sink)]) {
                Ok(0) => return Poll::Ready(Ended::Left),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Ended::Broke(error)),
            },
        }
    }
}
