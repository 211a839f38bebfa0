//! The smallest HTTP/1.1 client that says exactly what a test wants said, and a viewer of streams.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime};

use ocelli_media::Size;
use ocelli_media::jpeg::Header;
use ocelli_media::multipart::{Event, Part, Reader, boundary_of};
use serde_json::Value;

use crate::processes::SOON;

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) version: String,
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Looks that this is an error as the contract has it: JSON with both keys.
    pub(crate) fn error(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let json = self.json();
        assert!(json["hint"].is_string(), "{json}");
        json["error"].as_str().unwrap().to_owned()
    }
}

/// A connection that stays open between requests.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Sends as much as the server takes.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        self.response(true)
    }

    /// The next answer; its body too unless the request was HEAD.
    pub(crate) fn response(&mut self, has_body: bool) -> Response {
        let mut response = self.head();
        let length = response.header("content-length").map(|length| length.parse().unwrap());
        if !has_body || response.status == 304 {
            return response;
        }
        match length {
            Some(length) => {
                response.body = vec![0; length];
                self.stream.read_exact(&mut response.body).unwrap();
            }
            None => drop(self.stream.read_to_end(&mut response.body).unwrap()),
        }
        response
    }

    fn head(&mut self) -> Response {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let bytes = self.stream.read_line(&mut line).unwrap();
            assert!(bytes > 0, "closed before the end of the head: {lines:?}");
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut first = lines[0].splitn(3, ' ');
        let version = first.next().unwrap().to_owned();
        let status = first.next().unwrap().parse().unwrap();
        let headers = lines[1..].iter().map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Response { version, status, headers: headers.collect(), body: Vec::new() }
    }

    /// Waits until the server closes.
    ///
    /// # Panics
    /// It sends something before, or does not close.
    pub(crate) fn closed(&mut self) {
        match self.stream.read(&mut [0; 1]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("still open: {other:?}"),
        }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }
}

/// One request on a connection of its own.
pub(crate) fn request(address: SocketAddr, text: &str) -> Response {
    let mut connection = Connection::open(address);
    connection.send(text.as_bytes());
    connection.response(!text.starts_with("HEAD"))
}

/// Somebody who watches a stream.
pub(crate) struct Viewer {
    connection: Connection,
    parts: Reader,
    /// Read and not yet fed to `parts`.
    pending: Vec<u8>,
    /// The stream's head.
    pub(crate) head: Response,
}

impl Viewer {
    /// Asks for a stream, with further header lines, each with its line end.
    pub(crate) fn open(address: SocketAddr, path: &str, headers: &str) -> Self {
        let mut connection = Connection::open(address);
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n").as_bytes());
        Self::on(connection)
    }

    /// Reads the stream that was asked for on `connection`.
    pub(crate) fn on(mut connection: Connection) -> Self {
        let head = connection.head();
        assert_eq!(head.status, 200, "{head:?}");
        let boundary = boundary_of(head.header("content-type").unwrap()).unwrap().to_owned();
        connection.socket().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Self { connection, parts: Reader::new(&boundary, 32 << 20), pending: Vec::new(), head }
    }

    /// The next picture that comes before `deadline`; `None` when none does or the stream ends.
    pub(crate) fn next_before(&mut self, deadline: Instant) -> Option<Part> {
        let mut buffer = [0; 16 << 10];
        loop {
            if let Some(event) = self.parts.next_event() {
                match event {
                    Event::Part(part) => return Some(part),
                    other => panic!("not framed well: {other:?}"),
                }
            }
            if !self.pending.is_empty() {
                let left = self.parts.feed(&self.pending).len();
                self.pending.drain(..self.pending.len() - left);
                continue;
            }
            if Instant::now() >= deadline {
                return None;
            }
            match self.connection.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(bytes) => self.pending.extend_from_slice(&buffer[..bytes]),
                Err(error) if is_no_end(&error) => {}
                Err(error) => panic!("the stream broke: {error}"),
            }
        }
    }

    /// Reads no more than `bytes_per_second` for `time`; every picture that became complete, with its age at that
    /// moment.
    pub(crate) fn at_rate(&mut self, bytes_per_second: f64, time: Duration) -> Vec<(Part, Duration)> {
        let mut pictures = Vec::new();
        let mut buffer = [0; 4096];
        let mut read = 0;
        let began = Instant::now();
        while began.elapsed() < time {
            if read as f64 > began.elapsed().as_secs_f64() * bytes_per_second {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            match self.connection.stream.read(&mut buffer) {
                Ok(0) => panic!("the stream ended"),
                Ok(bytes) => {
                    read += bytes;
                    self.pending.extend_from_slice(&buffer[..bytes]);
                }
                Err(error) if is_no_end(&error) => {}
                Err(error) => panic!("the stream broke: {error}"),
            }
            while let Some(part) = self.next_before(began) {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
                let age = now.saturating_sub(part.timestamp.expect("X-Timestamp"));
                pictures.push((part, age));
            }
        }
        pictures
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        self.connection.socket()
    }

    /// The next picture, which must come.
    pub(crate) fn next(&mut self) -> Part {
        self.next_before(Instant::now() + SOON).expect("a picture comes soon")
    }

    /// Every picture that comes within `time`.
    pub(crate) fn during(&mut self, time: Duration) -> Vec<Part> {
        let deadline = Instant::now() + time;
        std::iter::from_fn(|| self.next_before(deadline)).collect()
    }

    /// Waits until the server ends the stream; pictures that still come are passed over.
    pub(crate) fn ends(&mut self) {
        let deadline = Instant::now() + SOON;
        while self.next_before(deadline).is_some() {}
        assert!(Instant::now() < deadline, "the stream goes on");
    }
}

/// Whether a read only gave nothing in its time. One with a timeout is not taken up again by itself after a signal.
fn is_no_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// The size that a picture's own header states.
pub(crate) fn size(picture: &[u8]) -> Size {
    Header::parse(picture).unwrap().size
}
