//! A server for one client: the state machine between two sockets, a stream that is played over and over, and what is published.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes};
use ocelli_media::annexb::AccessUnit;
use ocelli_media::{ParameterSets, nal_units};
use ocelli_proto::rtp::nal::{Burst, Depacketiser, Format};
use ocelli_proto::rtp::{Interleaved, Packet, Stamp};
use ocelli_proto::rtsp::auth::{Access, Gate, Verdict};
use ocelli_proto::rtsp::server::{
    Answer, Close, Connection, Description, Event, Grant, Offer, SessionId, SetUp, Settings, Started,
    TrackStart,
};
use ocelli_proto::rtsp::{Transport, control};
use ocelli_proto::sdp::{self, Medium};

const PICTURE: Duration = Duration::from_millis(40);
const STAMP: Stamp = Stamp { payload_type: 96, sequence: 65_530, timestamp: 5000, ssrc: 0x1234_5678 };

struct Door;

impl Gate for Door {
    fn check(&self, access: &Access<'_>) -> Verdict {
        match access.credentials {
            Some(shown) if shown.matches("user", "secret") => Verdict::Allowed,
            _ => Verdict::Unauthorized,
        }
    }
}

/// A server on a port of its own.
pub(crate) struct Server {
    pub(crate) port: u16,
    thread: JoinHandle<Vec<String>>,
    received: Receiver<Bytes>,
}

impl Server {
    /// One that plays these, and takes one client.
    pub(crate) fn start(format: &str, units: Vec<AccessUnit>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let format = if format == "h264" { Format::H264 } else { Format::H265 };
        let (sender, received) = channel();
        let thread = std::thread::spawn(move || {
            let (stream, peer) = listener.accept().unwrap();
            Session::new(stream, peer, format, units, sender).run()
        });
        Self { port, thread, received }
    }

    /// What went wrong, once the client has gone.
    pub(crate) fn end(self) -> Vec<String> {
        self.thread.join().unwrap()
    }

    /// The first access units that were published.
    pub(crate) fn received(&self, count: usize, deadline: Duration) -> Vec<Bytes> {
        let begin = Instant::now();
        let next = || {
            let left = deadline.saturating_sub(begin.elapsed());
            self.received.recv_timeout(left).expect("the client publishes")
        };
        std::iter::repeat_with(next).take(count).collect()
    }
}

struct Session {
    stream: TcpStream,
    peer: SocketAddr,
    begin: Instant,
    connection: Connection,
    format: Format,
    units: Vec<AccessUnit>,
    sockets: [UdpSocket; 2],
    publishes: bool,
    /// When the next picture is due, and which one it is.
    playing: Option<(Instant, usize)>,
    stamp: Stamp,
    depacketiser: Depacketiser,
    received: Sender<Bytes>,
    faults: Vec<String>,
}

impl Session {
    fn new(
        stream: TcpStream,
        peer: SocketAddr,
        format: Format,
        units: Vec<AccessUnit>,
        received: Sender<Bytes>,
    ) -> Self {
        stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let settings = Settings { publish: true, ..Settings::default() };
        let begin = Instant::now();
        let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        Self {
            stream,
            peer,
            begin,
            connection: Connection::new(Arc::new(settings), Arc::new(Door), 7, Duration::ZERO),
            format,
            units,
            sockets,
            publishes: false,
            playing: None,
            stamp: STAMP,
            depacketiser: Depacketiser::new(format, 1 << 20),
            received,
            faults: Vec::new(),
        }
    }

    fn run(mut self) -> Vec<String> {
        let mut buffer = vec![0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return self.faults,
                Ok(length) => self.connection.room().put_slice(&buffer[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return self.faults,
            }
            while let Some(event) = self.connection.next_event(self.begin.elapsed()) {
                if let Event::Close(reason) = event {
                    self.fault(reason);
                    return self.faults;
                }
                if let Some(answer) = self.handle(event) {
                    self.connection.answer(self.begin.elapsed(), answer).unwrap();
                }
            }
            let output = self.connection.output().to_vec();
            self.connection.sent(output.len());
            if self.stream.write_all(&output).is_err() || self.send_due().is_err() {
                return self.faults;
            }
            self.receive_datagrams();
        }
    }

    fn fault(&mut self, reason: Close) {
        self.faults.push(reason.to_string());
    }

    fn handle(&mut self, event: Event) -> Option<Answer> {
        Some(match event {
            Event::Describe { base, query, .. } => {
                Answer::Description(Description { sdp: self.describe(&base, query.as_deref()) })
            }
            Event::Setup { offers, publish, .. } => {
                self.publishes = publish;
                let port = |index: usize| self.sockets[index].local_addr().unwrap().port();
                let grant = match offers[0] {
                    Offer::Interleaved { .. } => Grant::Interleaved,
                    Offer::Udp { .. } => Grant::Udp { rtp: port(0), rtcp: port(1) },
                    Offer::Multicast => panic!("it is switched off"),
                };
                let ssrc = (!publish).then_some(self.stamp.ssrc);
                Answer::SetUp(SetUp { track: 0, offer: 0, grant, ssrc, session: SessionId(99) })
            }
            Event::Play { .. } => {
                self.playing = Some((Instant::now(), 0));
                let Stamp { sequence, timestamp, .. } = self.stamp;
                Answer::Started(Started {
                    range: None,
                    tracks: vec![TrackStart { track: 0, sequence, rtp_time: timestamp }],
                })
            }
            Event::Announce { sdp, .. } => {
                let description = sdp::Description::parse(&sdp).unwrap();
                Answer::Announced(
                    description.media.into_iter().map(|medium| medium.control.unwrap_or_default()).collect(),
                )
            }
            Event::Record => Answer::Recording,
            Event::Data { rtcp: false, packet, .. } => {
                self.receive(&packet);
                return None;
            }
            Event::Pause | Event::Ended(_) => {
                self.playing = None;
                return None;
            }
            Event::Data { .. } | Event::Close(_) => return None,
        })
    }

    fn describe(&self, base: &str, query: Option<&str>) -> String {
        let (codec, codec_sdp): (_, fn(Vec<Bytes>) -> sdp::Codec) = match self.format {
            Format::H264 => (ocelli_media::Codec::H264, sdp::Codec::h264),
            Format::H265 => (ocelli_media::Codec::H265, |parameter_sets| sdp::Codec::H265 { parameter_sets }),
        };
        let mut sets = ParameterSets::new(codec);
        for unit in &self.units {
            sets.take_all(&unit.data);
        }
        let anywhere = sdp::Connection::to([0, 0, 0, 0].into(), 0);
        let mut medium = Medium::sent(&codec_sdp(sets.units()), 96, anywhere, 0);
        medium.control = Some(control(base, query, 0));
        let description = sdp::Description {
            name: "front".into(),
            control: Some("*".into()),
            media: vec![medium],
            ..Default::default()
        };
        description.to_string()
    }

    /// Sends the pictures whose time has come.
    fn send_due(&mut self) -> std::io::Result<()> {
        while let Some((due, index)) = self.playing.filter(|(due, _)| *due <= Instant::now()) {
            let unit = &self.units[index % self.units.len()].data;
            let burst = Burst::new(self.format, unit, 1200).unwrap();
            let transport = self.connection.tracks()[0].transport.clone();
            self.send(&burst, &transport)?;
            self.stamp.sequence = self.stamp.sequence.wrapping_add(burst.packet_count() as u16);
            self.stamp.timestamp = self.stamp.timestamp.wrapping_add(3600);
            self.playing = Some((due + PICTURE, index + 1));
        }
        Ok(())
    }

    fn send(&mut self, burst: &Burst, transport: &Transport) -> std::io::Result<()> {
        let mut headers = Vec::new();
        let Some((channel, _)) = transport.interleaved else {
            let (rtp, _) = transport.client_port.unwrap();
            burst.stamp(self.stamp, &mut headers);
            for (header, payload) in burst.packets(&headers) {
                self.sockets[0].send_to(&[header, payload].concat(), (self.peer.ip(), rtp))?;
            }
            return Ok(());
        };
        let burst = Interleaved::from(burst);
        burst.stamp(channel, self.stamp, &mut headers);
        let mut written = 0;
        while written < burst.total_bytes() {
            let slices: Vec<_> = burst.slices(&headers, written).take(1024).map(IoSlice::new).collect();
            written += self.stream.write_vectored(&slices)?;
        }
        Ok(())
    }

    fn receive_datagrams(&mut self) {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = self.sockets[0].recv_from(&mut buffer) {
            if self.publishes && from.ip() == self.peer.ip() {
                self.connection.alive(self.begin.elapsed());
                self.receive(&buffer[..length]);
            }
        }
    }

    fn receive(&mut self, packet: &[u8]) {
        let mut units = Vec::new();
        self.depacketiser.push(&Packet::parse(packet).unwrap(), &mut units);
        for unit in units.into_iter().flatten() {
            if nal_units(&unit.data).next().is_some() {
                let _ = self.received.send(unit.data);
            }
        }
    }
}
