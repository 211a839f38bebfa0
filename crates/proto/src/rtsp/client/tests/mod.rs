//! Whole sessions as tables of bytes out and in, with simulated time; what cameras do that no RFC says.

mod sessions;

use std::time::Duration;

use super::*;

/// Seconds.
const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const SDP: &str = "v=0\r\n\
    o=- 1 1 IN IP4 127.0.0.1\r\n\
    s=camera\r\n\
    t=0 0\r\n\
    a=control:*\r\n\
    m=video 0 RTP/AVP 96\r\n\
    a=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1\r\n\
    a=control:trackID=0\r\n\
    m=audio 0 RTP/AVP 8\r\n\
    a=control:trackID=1\r\n";

/// A camera, and the program around the client.
struct Camera {
    client: Client,
    now: Duration,
    events: Vec<Event>,
}

impl Camera {
    fn new(url: &str) -> Self {
        Self::with(url, Settings::default())
    }

    /// A camera to which the connection stands.
    fn with(url: &str, settings: Settings) -> Self {
        let settings = Settings { name: "Test".to_owned(), ..settings };
        let now = s(1000);
        let client = Client::new(Address::parse(url).unwrap(), settings, 0, now);
        let mut camera = Self { client, now, events: Vec::new() };
        camera.connect();
        camera
    }

    /// Takes the wish for a connection, which stands then.
    fn connect(&mut self) -> Place {
        self.take_events();
        let Some(Event::Connect(place)) = self.events.pop() else { panic!("{:?}", self.events) };
        self.input(Input::Connected);
        place
    }

    fn input(&mut self, input: Input) {
        self.client.input(self.now, input);
        self.take_events();
    }

    fn give(&mut self, bytes: impl AsRef<[u8]>) {
        let mut rest = bytes.as_ref();
        while !rest.is_empty() && self.client.wants_bytes() {
            let room = self.client.room();
            let (now, later) = rest.split_at(rest.len().min(room.capacity() - room.len()));
            room.extend_from_slice(now);
            rest = later;
            self.take_events();
        }
    }

    fn take_events(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.client.next_event(self.now)));
    }

    /// Lets time pass, and what is due happen.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.client.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.client.expire(self.now);
            self.take_events();
        }
        self.now = until;
    }

    /// What was sent since.
    fn sent(&mut self) -> String {
        let sent = String::from_utf8_lossy(self.client.output()).into_owned();
        self.client.sent(usize::MAX);
        sent
    }

    /// What happened since.
    fn happened(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}
