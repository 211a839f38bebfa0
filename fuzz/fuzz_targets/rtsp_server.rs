//! No client makes a server's connection panic, and what it gets does not depend on how its bytes are split; every line of an
//! answer ends in CR LF.

#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ocelli_proto::rtsp::auth::{Access, Gate, Verdict};
use ocelli_proto::rtsp::server::{
    Answer, Connection, Description, Event, Grant, Offer, SessionId, SetUp, Settings, Started, TrackStart,
};

struct Door;

impl Gate for Door {
    fn check(&self, access: &Access<'_>) -> Verdict {
        match access.credentials {
            Some(shown) if shown.matches("user", "secret") => Verdict::Allowed,
            Some(_) => Verdict::Unauthorized,
            None => Verdict::Allowed,
        }
    }
}

fn answer(event: &Event) -> Option<Answer> {
    Some(match event {
        Event::Describe { .. } => Answer::Description(Description { sdp: "v=0\r\n".to_owned() }),
        Event::Setup { offers, track, .. } => {
            let grant = match offers[0] {
                Offer::Interleaved { .. } => Grant::Interleaved,
                Offer::Udp { .. } => Grant::Udp { rtp: 6000, rtcp: 6001 },
                Offer::Multicast => {
                    Grant::Multicast { group: [239, 1, 1, 1].into(), rtp: 1, rtcp: 2, ttl: 1 }
                }
            };
            // A name that the fuzzer can guess.
            let session = SessionId(0);
            Answer::SetUp(SetUp { track: track.unwrap_or(0), offer: 0, grant, ssrc: None, session })
        }
        Event::Play { .. } => {
            let tracks = vec![TrackStart { track: 0, sequence: 0, rtp_time: 0 }];
            Answer::Started(Started { range: None, tracks })
        }
        Event::Announce { .. } => Answer::Announced(vec!["streamid=0".to_owned(), "streamid=1".to_owned()]),
        Event::Record => Answer::Recording,
        Event::Pause | Event::Ended(_) | Event::Data { .. } | Event::Close(_) => return None,
    })
}

fn serve(bytes: &[u8], chunk: usize) -> (Vec<Event>, Vec<u8>) {
    let settings = Settings { publish: true, multicast: true, ..Settings::default() };
    let now = Duration::from_secs(1);
    let mut connection = Connection::new(Arc::new(settings), Arc::new(Door), 0, now);
    let (mut events, mut output) = (Vec::new(), Vec::new());
    for mut chunk in bytes.chunks(chunk) {
        while !chunk.is_empty() && connection.wants_bytes() {
            let room = connection.room();
            let (given, later) = chunk.split_at(chunk.len().min(room.capacity() - room.len()));
            room.extend_from_slice(given);
            chunk = later;
            while let Some(event) = connection.next_event(now) {
                if let Some(answer) = answer(&event) {
                    connection.answer(now, answer).expect("it was asked");
                }
                events.push(event);
            }
            output.extend_from_slice(connection.output());
            connection.sent(usize::MAX);
        }
    }
    (events, output)
}

mod rtsp;

fuzz_target!(|input: &[u8]| {
    let (chunk, bytes) = (usize::from(input.first().copied().unwrap_or(0)) + 1, rtsp::requests(input));
    let (events, output) = serve(&bytes, chunk);
    for (at, _) in output.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        assert_eq!(output[at - 1], b'\r');
    }
    assert_eq!((events, output), serve(&bytes, usize::MAX));
});
