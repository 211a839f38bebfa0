//! Bytes on their way into a connection: answers and pictures, none within another.
//!
//! A piece is written from the one buffer that all readers share, by one system call where the socket takes it; one whose client has
//! given its track another channel has prefixes of its own, and the rest shared. What was begun is finished before anything else.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use ocelli_proto::rtp::interleaved::{PREFIX_BYTES, prefix};
use ocelli_proto::rtsp::server::Connection;
use tokio::net::TcpStream;

use super::bursts::{Laid, Piece};
use crate::viewers::HELD_UP;

/// Slices of one system call: prefix and packet, of 32 packets or some 45 KB.
const SLICES: usize = 64;
/// No further report waits behind this much.
const MOST_REPORTS_BYTES: usize = 1024;

/// What is on its way into a connection.
#[derive(Default)]
pub(super) struct Outlet {
    piece: Option<Writing>,
    /// RTCP, as it stands in the connection.
    reports: Vec<u8>,
    /// A part of these is written.
    reports_begun: bool,
    /// Since when the socket takes nothing.
    blocked_since: Option<Instant>,
    /// How long it took nothing before that, since the last piece was begun.
    waited: Duration,
}

struct Writing {
    piece: Piece,
    channel: u8,
    written: usize,
}

impl Outlet {
    /// Puts `piece` next, on `channel`, in the place of one of which nothing was written.
    pub(super) fn begin(&mut self, piece: Piece, channel: u8) {
        self.waited = Duration::ZERO;
        self.piece = Some(Writing { piece, channel, written: 0 });
    }

    /// Puts RTCP next, on `channel`. Where much of it waits already, it is left out: newer reports say the same. Whether it was not.
    pub(super) fn report(&mut self, channel: u8, report: &[u8]) -> bool {
        if self.reports.len() >= MOST_REPORTS_BYTES {
            return false;
        }
        // RTCP of one session is shorter than what UDP carries.
        self.reports.extend(prefix(channel, report.len() as u16));
        self.reports.extend_from_slice(report);
        true
    }

    /// There is a piece, and nothing of it was written.
    pub(super) fn is_untouched(&self) -> bool {
        self.piece.as_ref().is_some_and(|writing| writing.written == 0)
    }

    /// Leaves out a piece of which nothing was written: its client wants no more.
    pub(super) fn leave_out(&mut self) {
        drop(self.piece.take_if(|writing| writing.written == 0));
    }

    /// Remembers since when the socket takes nothing.
    pub(super) fn block(&mut self, now: Instant) {
        self.blocked_since.get_or_insert(now);
    }

    /// Since when the socket takes nothing, if it does not.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// Whether pieces were passed over, if any were since the last one was begun, for want of room in the socket.
    pub(super) fn is_held_up(&self) -> bool {
        self.waited + self.blocked_since.map_or(Duration::ZERO, |since| since.elapsed()) >= HELD_UP
    }

    /// Writes the piece that was begun, the machine's answers, reports, and the piece that was not; gives back the piece that was
    /// written to its end.
    ///
    /// # Errors
    /// The socket takes no more for now (`WouldBlock`), or has failed.
    pub(super) fn write(
        &mut self,
        stream: &TcpStream,
        machine: &mut Connection,
    ) -> io::Result<Option<Piece>> {
        loop {
            let answers = machine.output();
            let wrote = match &mut self.piece {
                Some(writing) if writing.written > 0 => writing.write(stream),
                _ if self.reports_begun || (answers.is_empty() && !self.reports.is_empty()) => {
                    stream.try_write(&self.reports).inspect(|written| {
                        self.reports.drain(..written);
                        self.reports_begun = !self.reports.is_empty();
                    })
                }
                Some(writing) if answers.is_empty() => writing.write(stream),
                None if answers.is_empty() => return Ok(None),
                _ => {
                    let wrote = stream.try_write(answers);
                    machine.sent(*wrote.as_ref().unwrap_or(&0));
                    wrote
                }
            };
            match wrote {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => self.waited += self.blocked_since.take().map_or(Duration::ZERO, |at| at.elapsed()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if let Some(written) = self.piece.take_if(|writing| writing.is_done()) {
                return Ok(Some(written.piece));
            }
        }
    }
}

impl Writing {
    fn is_done(&self) -> bool {
        self.written == self.piece.packets.len()
    }

    /// Writes what the socket takes, by one system call; how much that was.
    fn write(&mut self, stream: &TcpStream) -> io::Result<usize> {
        let bytes = if self.channel == 2 * self.piece.track {
            stream.try_write(&self.piece.packets[self.written..])?
        } else {
            self.write_on_another_channel(stream)?
        };
        self.written += bytes;
        Ok(bytes)
    }

    fn write_on_another_channel(&self, stream: &TcpStream) -> io::Result<usize> {
        let prefixes: Vec<_> = prefixes(&self.piece, self.channel, self.written).collect();
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = fill(&mut slices, &self.piece, &prefixes, self.written);
        stream.try_write_vectored(&slices[..count])
    }
}

/// The prefixes of the packets that `written` bytes do not hold whole, as many as one system call takes.
fn prefixes(piece: &Laid, channel: u8, written: usize) -> impl Iterator<Item = [u8; PREFIX_BYTES]> {
    let packets = piece.ranges().skip_while(move |packet| packet.end <= written).take(SLICES / 2);
    packets.map(move |packet| prefix(channel, packet.len() as u16))
}

/// Fills `slices` with those packets and their prefixes, without what is written of the first; how many were filled.
fn fill<'a>(
    slices: &mut [IoSlice<'a>; SLICES],
    piece: &'a Laid,
    prefixes: &'a [[u8; PREFIX_BYTES]],
    written: usize,
) -> usize {
    let packets = piece.ranges().skip_while(|packet| packet.end <= written);
    let mut count = 0;
    for (packet, prefix) in packets.zip(prefixes) {
        let done = (written + PREFIX_BYTES).saturating_sub(packet.start);
        if let Some(left) = prefix.get(done..).filter(|left| !left.is_empty()) {
            slices[count] = IoSlice::new(left);
            count += 1;
        }
        slices[count] = IoSlice::new(&piece.packets[packet.start.max(written)..packet.end]);
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests;
