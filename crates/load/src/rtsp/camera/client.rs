//! One client of the camera: what it asks for, and what of a picture it has not taken yet.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::BufMut;
use mio::net::TcpStream;
use ocelli_proto::rtcp::{SenderInfo, write};
use ocelli_proto::rtp::interleaved::prefix;
use ocelli_proto::rtsp::Status;
use ocelli_proto::rtsp::server::{
    Answer, Connection, Description, Event, Grant, Offer, Refusal, SessionId, SetUp, Started, TrackStart,
};

use super::Stage;
use crate::rtp::udp;
use crate::rtsp::film::{Picture, SSRC};

/// What one UDP datagram can hold over IPv4, which bounds what the kernel takes to cut.
const MOST_BYTES_A_SEND: usize = 65_507;
/// The fewest pieces that every kernel cuts a send into.
const MOST_SEGMENTS_A_SEND: usize = 64;
/// Between two reports (RFC 3550 6.2).
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// A picture on its way to everybody.
pub(super) struct Outgoing<'a> {
    pub(super) picture: &'a Picture,
    pub(super) packet_bytes: usize,
    pub(super) timestamp: u32,
    /// Since 1970.
    pub(super) wall: Duration,
}

pub(super) struct Client {
    pub(super) socket: TcpStream,
    from: SocketAddr,
    connection: Connection,
    id: SessionId,
    way: Option<Way>,
    playing: bool,
    /// What the socket has not taken of the last picture.
    rest: Vec<u8>,
    packets: u32,
    bytes: u32,
    reported: Duration,
}

/// How packets travel.
enum Way {
    Tcp,
    Udp(UdpSocket),
}

impl Client {
    pub(super) fn new(socket: StdStream, from: SocketAddr, number: usize, stage: &Stage) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let id = SessionId(number as u128);
        let connection = Connection::new(Arc::clone(&stage.settings), stage.gate.clone(), id.0, stage.now());
        Ok(Self {
            socket: TcpStream::from_std(socket),
            from,
            connection,
            id,
            way: None,
            playing: false,
            rest: Vec::new(),
            packets: 0,
            bytes: 0,
            reported: Duration::ZERO,
        })
    }

    /// Its socket can be read or written. An error: it is gone.
    pub(super) fn serve(&mut self, stage: &Stage) -> io::Result<()> {
        self.flush()?;
        loop {
            let mut bytes = [0; 2048];
            match self.socket.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.connection.room().put_slice(&bytes[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            while let Some(event) = self.connection.next_event(stage.now()) {
                if let Some(answer) = self.answer(event, stage)? {
                    self.connection.answer(stage.now(), answer).map_err(io::Error::other)?;
                }
            }
            self.flush()?;
        }
    }

    fn answer(&mut self, event: Event, stage: &Stage) -> io::Result<Option<Answer>> {
        Ok(match event {
            Event::Describe { base, query, .. } => {
                let sdp = stage.description(self.socket.local_addr()?, &base, query.as_deref());
                Some(Answer::Description(Description { sdp }))
            }
            Event::Setup { offers, .. } => Some(self.set_up(&offers, stage)?),
            Event::Play { .. } => {
                self.playing = true;
                let (sequence, rtp_time) = (stage.film.sequence(), stage.film.timestamp());
                let tracks = vec![TrackStart { track: 0, sequence, rtp_time }];
                Some(Answer::Started(Started { range: None, tracks }))
            }
            Event::Pause | Event::Ended(_) => {
                self.playing = false;
                None
            }
            Event::Announce { .. } | Event::Record => {
                Some(Answer::Refused(Refusal::new(Status::FORBIDDEN, "it only plays")))
            }
            Event::Data { .. } => None,
            Event::Close(reason) => {
                // It is gone whether it takes the last answer or not.
                let _ = self.flush();
                return Err(io::Error::other(reason));
            }
        })
    }

    /// The first offer that needs nothing to be laid anew.
    fn set_up(&mut self, offers: &[Offer], stage: &Stage) -> io::Result<Answer> {
        let taken = offers.iter().enumerate().find_map(|(index, offer)| match offer {
            Offer::Interleaved { rtp: 0, rtcp: 1 } => Some((index, None)),
            Offer::Udp { rtp, .. } => Some((index, Some(*rtp))),
            _ => None,
        });
        let Some((offer, port)) = taken else {
            let reason = "channels 0 and 1, or ports";
            return Ok(Answer::Refused(Refusal::new(Status::UNSUPPORTED_TRANSPORT, reason)));
        };
        let (way, grant) = match port {
            None => (Way::Tcp, Grant::Interleaved),
            Some(port) => {
                let socket = UdpSocket::bind((self.socket.local_addr()?.ip(), 0))?;
                socket.connect((self.from.ip(), port))?;
                udp::cut_sends(&socket, stage.film.packet_bytes() as u16)?;
                socket.set_nonblocking(true)?;
                let rtp = socket.local_addr()?.port();
                let rtcp = stage.reports.local_addr()?.port();
                (Way::Udp(socket), Grant::Udp { rtp, rtcp })
            }
        };
        self.way = Some(way);
        Ok(Answer::SetUp(SetUp { track: 0, offer, grant, ssrc: Some(SSRC), session: self.id }))
    }

    /// Sends a picture if the client plays. An error: it is gone.
    pub(super) fn send(&mut self, outgoing: &Outgoing<'_>) -> io::Result<()> {
        let Outgoing { picture, packet_bytes, .. } = *outgoing;
        match &self.way {
            Some(Way::Tcp) if self.playing && self.rest.is_empty() && self.connection.output().is_empty() => {
                let written = write_some(&mut self.socket, &picture.framed)?;
                self.rest.extend_from_slice(&picture.framed[written..]);
            }
            Some(Way::Udp(socket)) if self.playing => {
                let most = (MOST_BYTES_A_SEND / packet_bytes).min(MOST_SEGMENTS_A_SEND);
                for row in picture.rows(packet_bytes, most) {
                    match socket.send(row) {
                        Err(error) if is_passing(&error) => {}
                        outcome => drop(outcome?),
                    }
                }
            }
            _ => return Ok(()),
        }
        self.packets = self.packets.wrapping_add(picture.lengths.len() as u32);
        self.bytes = self.bytes.wrapping_add(picture.bare.len() as u32);
        self.report(outgoing)
    }

    /// Which picture was sent when, for those who ask for the time.
    fn report(&mut self, outgoing: &Outgoing<'_>) -> io::Result<()> {
        let (Some(Way::Tcp), true) = (&self.way, self.rest.is_empty()) else { return Ok(()) };
        if outgoing.wall - self.reported < REPORT_EVERY {
            return Ok(());
        }
        self.reported = outgoing.wall;
        let info = SenderInfo {
            ntp: (UNIX_EPOCH + outgoing.wall).into(),
            timestamp: outgoing.timestamp,
            packets: self.packets,
            bytes: self.bytes,
        };
        let mut packet = Vec::new();
        write::sender_report(SSRC, &info, &[], &mut packet);
        write::cname(SSRC, "ocelli-load", &mut packet);
        let framed = [&prefix(1, packet.len() as u16)[..], &packet].concat();
        let written = write_some(&mut self.socket, &framed)?;
        self.rest.extend_from_slice(&framed[written..]);
        Ok(())
    }

    /// What is left of a picture goes before answers: a packet must not be torn.
    fn flush(&mut self) -> io::Result<()> {
        let written = write_some(&mut self.socket, &self.rest)?;
        self.rest.drain(..written);
        if self.rest.is_empty() {
            let written = write_some(&mut self.socket, self.connection.output())?;
            self.connection.sent(written);
        }
        Ok(())
    }
}

/// How much the socket takes.
fn write_some(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    match socket.write(bytes) {
        Err(error) if is_passing(&error) => Ok(0),
        outcome => outcome,
    }
}

/// A full socket, or a reader's port that is not open any more.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionRefused)
}
