//! A client and a server's state machine, joined: whole sessions over a network that splits bytes as it likes.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::rtsp::auth::{Access, Algorithm, Gate, Scheme, Verdict};
use crate::rtsp::server::{
    self, Answer, Connection, Description, Grant, Offer, Refusal, SessionId, SetUp, Started, TrackStart,
};
use crate::rtsp::{Status, control};

/// Asks for a password that has everything in it.
struct Door;

impl Gate for Door {
    fn check(&self, access: &Access<'_>) -> Verdict {
        match access.credentials {
            Some(shown) if shown.matches("us er", "p@ss:\"w\\ord") => Verdict::Allowed,
            _ => Verdict::Unauthorized,
        }
    }
}

const URL: &str = "rtsp://us%20er:p%40ss:\"w\\ord@h:8554/front?width=640";

/// Both ends, and what happened at each.
struct Joined {
    client: Client,
    server: Option<Connection>,
    settings: Arc<server::Settings>,
    now: Duration,
    chunk: usize,
    events: Vec<Event>,
    served: Vec<server::Event>,
    connections: u32,
}

impl Joined {
    fn new(settings: Settings, server: server::Settings, chunk: usize) -> Self {
        let now = s(1000);
        let client = Client::new(Address::parse(URL).unwrap(), settings, 0, now);
        let settings = Arc::new(server);
        let (events, served) = (Vec::new(), Vec::new());
        Self { client, server: None, settings, now, chunk, events, served, connections: 0 }
    }

    /// Goes on until neither end has anything more to say.
    fn run(&mut self) {
        loop {
            while let Some(event) = self.client.next_event(self.now) {
                match event {
                    Event::Connect(_) => {
                        let nonce = u128::from(self.connections);
                        self.connections += 1;
                        let settings = Arc::clone(&self.settings);
                        self.server = Some(Connection::new(settings, Arc::new(Door), nonce, self.now));
                        self.client.input(self.now, Input::Connected);
                    }
                    Event::PortsNeeded { track } => {
                        let rtp = 5000 + 2 * u16::from(track);
                        self.client.input(self.now, Input::Ports { rtp, rtcp: rtp + 1 });
                    }
                    _ => {}
                }
                self.events.push(event);
            }
            let Some(server) = &mut self.server else { return };
            let asked = self.client.output().len().min(self.chunk);
            if server.wants_bytes() && asked > 0 {
                let room = server.room();
                let asked = asked.min(room.capacity() - room.len());
                room.extend_from_slice(&self.client.output()[..asked]);
                self.client.sent(asked);
            }
            while let Some(event) = server.next_event(self.now) {
                if let Some(answer) = answer(&event) {
                    server.answer(self.now, answer).unwrap();
                }
                self.served.push(event);
            }
            let answered = server.output().len().min(self.chunk);
            if self.client.wants_bytes() && answered > 0 {
                let room = self.client.room();
                let answered = answered.min(room.capacity() - room.len());
                room.extend_from_slice(&server.output()[..answered]);
                server.sent(answered);
            } else if asked == 0 {
                return;
            }
        }
    }

    /// Gives the client what the server sends between its messages.
    fn send(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(self.chunk) {
            self.client.room().extend_from_slice(chunk);
            self.events.extend(std::iter::from_fn(|| self.client.next_event(self.now)));
        }
    }
}

fn answer(event: &server::Event) -> Option<Answer> {
    Some(match event {
        server::Event::Describe { path, query, base } if path == "front" => {
            let media = ["m=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000", "m=audio 0 RTP/AVP 0"];
            let media = media.iter().zip(0..).map(|(medium, track)| {
                format!("{medium}\r\na=control:{}\r\n", control(base, query.as_deref(), track))
            });
            let sdp = format!("v=0\r\na=control:*\r\n{}", media.collect::<String>());
            Answer::Description(Description { sdp })
        }
        server::Event::Describe { .. } => Answer::Refused(Refusal::new(Status::NOT_FOUND, "no such camera")),
        server::Event::Setup { track, offers, .. } => {
            let grant = match offers[0] {
                Offer::Interleaved { .. } => Grant::Interleaved,
                Offer::Udp { .. } => Grant::Udp { rtp: 6000, rtcp: 6001 },
                Offer::Multicast => {
                    Grant::Multicast { group: [239, 1, 1, 1].into(), rtp: 7000, rtcp: 7001, ttl: 4 }
                }
            };
            let track = track.expect("it is in the URL");
            Answer::SetUp(SetUp { track, offer: 0, grant, ssrc: Some(7), session: SessionId(1) })
        }
        server::Event::Play { .. } => {
            let start = |track| TrackStart { track, sequence: 10 + u16::from(track), rtp_time: 5 };
            Answer::Started(Started { range: None, tracks: vec![start(0), start(1)] })
        }
        _ => return None,
    })
}

fn schemes() -> impl Strategy<Value = Vec<Scheme>> {
    let each = prop_oneof![
        Just(Scheme::Basic),
        Just(Scheme::Digest(Algorithm::Md5)),
        Just(Scheme::Digest(Algorithm::Sha256)),
    ];
    proptest::collection::vec(each, 1..4)
}

proptest! {
    #[test]
    fn every_session_plays_and_ends(
        carrier in prop_oneof![Just(Carrier::Tcp), Just(Carrier::Udp), Just(Carrier::Multicast)],
        (tcp, udp, multicast) in any::<(bool, bool, bool)>(),
        schemes in schemes(),
        options in any::<bool>(),
        chunk in 1_usize..400,
    ) {
        let others = [Carrier::Tcp, Carrier::Udp, Carrier::Multicast].into_iter().filter(|other| *other != carrier);
        let carriers = std::iter::once(carrier).chain(others).collect();
        let server = server::Settings { tcp, udp, multicast, schemes, ..server::Settings::default() };
        let mut joined = Joined::new(Settings { carriers, options, ..Settings::default() }, server, chunk);
        joined.run();
        if !(tcp || udp || multicast) {
            let last = joined.events.pop();
            prop_assert!(matches!(last, Some(Event::Closed(Cause::Transport(_)))), "{:?}", last);
            return Ok(());
        }
        let Some(Event::Playing(playing)) = joined.events.last() else {
            return Err(TestCaseError::fail(format!("{:?}", joined.events)));
        };
        let starts = playing.tracks.iter().map(|track| (track.track, track.sequence)).collect::<Vec<_>>();
        prop_assert_eq!(starts, [(0, Some(10)), (1, Some(11))]);
        let ways = joined.events.iter().filter(|event| matches!(event, Event::SetUp { ssrc: Some(7), .. })).count();
        prop_assert_eq!((ways, joined.connections), (2, 1));
        if joined.client.report(1, b"report!!") {
            joined.run();
            let report = server::Event::Data { track: 1, rtcp: true, packet: (&b"report!!"[..]).into() };
            prop_assert_eq!(joined.served.last(), Some(&report));
            joined.send(b"$\x02\0\x05sound$\0\0\x05video$\x01\0\x01r");
            let data = |track, rtcp, packet: &'static [u8]| Event::Data { track, rtcp, packet: packet.into() };
            let wanted = [data(1, false, b"sound"), data(0, false, b"video"), data(0, true, b"r")];
            prop_assert!(joined.events.ends_with(&wanted), "{:?}", joined.events);
        }
        // It lives on for as long as packets come, and the server sees that its client does.
        for _ in 0..40 {
            joined.now += s(4);
            joined.client.input(joined.now, Input::Heard);
            if joined.client.deadline().is_some_and(|at| at <= joined.now) {
                joined.client.expire(joined.now);
            }
            joined.run();
            let server = joined.server.as_mut().unwrap();
            prop_assert!(server.deadline().is_none_or(|at| at > joined.now) && joined.client.is_playing());
        }
        joined.client.input(joined.now, Input::End);
        joined.run();
        prop_assert_eq!(joined.events.last(), Some(&Event::Closed(Cause::Asked)));
        prop_assert_eq!(joined.served.last(), Some(&server::Event::Ended(server::End::Asked)));
    }

    #[test]
    fn nothing_panics(
        parts in proptest::collection::vec((0_usize..16, 0_u64..8), 0..40),
        noise in proptest::collection::vec(any::<u8>(), 0..40),
        chunk in 1_usize..100,
        carriers in proptest::collection::vec(prop_oneof![Just(Carrier::Tcp), Just(Carrier::Udp), Just(Carrier::Multicast)], 1..4),
    ) {
        let described = format!("RTSP/1.0 200 OK\r\nContent-Type: application/sdp\r\n\r\n{SDP}");
        let pieces: [&[u8]; 16] = [
            b"RTSP/1.0 200 OK\r\nSession: 1;timeout=3\r\n\r\n",
            described.as_bytes(),
            b"RTSP/1.0 200 OK\r\nTransport: RTP/AVP/TCP;interleaved=2-3\r\n\r\n",
            b"RTSP/1.0 200 OK\r\nTransport: RTP/AVP;multicast;server_port=1-2\r\n\r\n",
            b"RTSP/1.0 461 x\r\n\r\n",
            b"RTSP/1.0 404 x\r\n\r\n",
            b"RTSP/1.0 401 x\r\nWWW-Authenticate: Digest nonce=\"1\"\r\n\r\n",
            b"RTSP/1.0 401 x\r\nWWW-Authenticate: Digest nonce=\"2\", stale=true\r\n\r\n",
            b"RTSP/1.0 302 x\r\nLocation: /x\r\n\r\n",
            b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
            b"TEARDOWN * RTSP/1.0\r\n\r\n",
            b"$\0\0\x0c\x80\0\0\0\0\0\0\0\0\0\0\0",
            b"$\x03\0\x04\x80\0\0\0",
            b"RTSP/1.0 200 OK\r\nContent-Length: 400\r\n\r\n",
            b"",
            &noise,
        ];
        let settings = Settings { carriers, ..Settings::default() };
        let mut camera = Camera::with(URL, settings);
        let inputs = [Input::Connected, Input::Disconnected, Input::Ports { rtp: 2, rtcp: 3 }, Input::NoPorts, Input::Heard, Input::End];
        for (piece, input) in parts {
            pieces[piece].chunks(chunk).for_each(|chunk| camera.give(chunk));
            if let Some(input) = inputs.get(input as usize) {
                camera.input(*input);
            }
            camera.pass(s(input));
            camera.client.report(0, b"x");
            let sent = camera.sent();
            prop_assert!(!sent.contains("p@ss") && sent.split_inclusive('\n').all(|line| line.starts_with('$') || line.ends_with("\r\n")));
        }
        let closes = camera.happened().iter().filter(|event| matches!(event, Event::Closed(_))).count();
        prop_assert!(closes <= 1);
    }
}
