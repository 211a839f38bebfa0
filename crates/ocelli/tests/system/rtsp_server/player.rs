//! The smallest RTSP client that says exactly what a test wants said, and counts what it is sent.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ocelli_proto::rtp::Packet;
use ocelli_proto::rtp::nal::{AccessUnit, Depacketiser, Dropped, Format};
use ocelli_proto::rtsp::{Item, Limits, Reader, Response, session_field};

use crate::processes::SOON;

/// One connection.
pub(crate) struct Player {
    stream: TcpStream,
    reader: Reader,
    address: SocketAddr,
    cseq: u32,
    /// The session's name, once there is one.
    pub(crate) session: String,
    /// Packets that came while an answer was waited for.
    early: Vec<(u8, Vec<u8>)>,
}

impl Player {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Self {
            stream,
            reader: Reader::new(Limits::default()),
            address,
            cseq: 0,
            session: String::new(),
            early: Vec::new(),
        }
    }

    /// One that plays the first track of `camera`, with its answers to DESCRIBE, SETUP and PLAY.
    pub(crate) fn play(address: SocketAddr, camera: &str) -> (Self, [Response; 3]) {
        let mut player = Self::connect(address);
        let described = player.ask("DESCRIBE", camera, "");
        assert_eq!(described.status, 200, "{described:?}");
        let set_up = player.set_up(camera);
        assert_eq!(set_up.status, 200, "{set_up:?}");
        let played = player.ask("PLAY", camera, "");
        assert_eq!(played.status, 200, "{played:?}");
        (player, [described, set_up, played])
    }

    pub(crate) fn set_up(&mut self, camera: &str) -> Response {
        let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
        self.ask("SETUP", &format!("{camera}/trackID=0"), transport)
    }

    /// Sends a request about `path` with these fields besides the usual ones, and gives its answer.
    pub(crate) fn ask(&mut self, method: &str, path: &str, fields: &str) -> Response {
        self.cseq += 1;
        let session = match &self.session[..] {
            "" => String::new(),
            session => format!("Session: {session}\r\n"),
        };
        let (address, cseq) = (self.address, self.cseq);
        self.send(
            format!("{method} rtsp://{address}/{path} RTSP/1.0\r\nCSeq: {cseq}\r\n{session}{fields}\r\n")
                .as_bytes(),
        );
        let answer = self.answer();
        assert_eq!(answer.fields.first("CSeq"), Some(&cseq.to_string()[..]), "{answer:?}");
        if let Some(session) = answer.fields.first("Session") {
            self.session = session_field(session).0.to_owned();
        }
        answer
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends as much as the server takes.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next answer, behind packets.
    pub(crate) fn answer(&mut self) -> Response {
        loop {
            match self.item().expect("an answer before the end") {
                Item::Response(response) => return response,
                Item::Data(data) => self.early.push((data.channel, data.packet.to_vec())),
                Item::Request(request) => panic!("{request:?}"),
            }
        }
    }

    /// The next packet, with its channel; `None` once the server has closed.
    pub(crate) fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        if !self.early.is_empty() {
            return Some(self.early.remove(0));
        }
        match self.item()? {
            Item::Data(data) => Some((data.channel, data.packet.to_vec())),
            other => panic!("{other:?}"),
        }
    }

    /// Throws away what came while answers were waited for.
    pub(crate) fn forget_packets(&mut self) {
        self.early.clear();
    }

    /// The next whole message or packet; `None` once the server has closed.
    fn item(&mut self) -> Option<Item> {
        let mut buffer = [0; 16 << 10];
        loop {
            if let Some(item) = self.reader.next_item().unwrap() {
                return Some(item);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(bytes) => self.reader.room().extend_from_slice(&buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Whether the server closes before long.
    pub(crate) fn closes_within(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let deadline = Instant::now() + time;
        let mut buffer = [0; 16 << 10];
        while Instant::now() < deadline {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::ConnectionReset,
            }
        }
        false
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream
    }
}

/// Puts pictures of H.264 together, and looks that none is torn.
pub(crate) struct Screen {
    depacketiser: Depacketiser,
    next_sequence: Option<u16>,
    /// Packets that did not come.
    pub(crate) missing: u64,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { depacketiser: Depacketiser::new(Format::H264, 8 << 20), next_sequence: None, missing: 0 }
    }

    /// The next picture of `player`; `None` once the server has closed.
    pub(crate) fn picture(&mut self, player: &mut Player) -> Option<AccessUnit> {
        let mut units: Vec<Result<AccessUnit, Dropped>> = Vec::new();
        loop {
            let (channel, bytes) = player.packet()?;
            if channel != 0 {
                continue;
            }
            let packet = Packet::parse(&bytes).unwrap();
            let expected = self.next_sequence.replace(packet.sequence().wrapping_add(1));
            let missing = packet.sequence().wrapping_sub(expected.unwrap_or(packet.sequence()));
            if missing > 0 {
                // What follows has to be whole without what is missing.
                self.depacketiser = Depacketiser::new(Format::H264, 8 << 20);
            }
            self.missing += u64::from(missing);
            self.depacketiser.push(&packet, &mut units);
            if let Some(unit) = units.drain(..).next() {
                return Some(unit.unwrap_or_else(|dropped| panic!("{dropped:?}")));
            }
        }
    }
}
