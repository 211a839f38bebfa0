//! What real clients send, recorded from FFmpeg 5.1, GStreamer 1.22, live555 2026.06 (which VLC is built with elsewhere) and Debian's
//! VLC 3.0 (which speaks SAT>IP without it). OBS publishes by FFmpeg's library.
//!
//! The recordings are in `testdata/rtsp`: requests between `<<<` and `>>>`, and `## packet CHANNEL LENGTH` for interleaved packets. They
//! were made against a server that gave out this session and this nonce.

use super::*;

/// The bytes of each connection in a recording.
fn connections(recording: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut connections = Vec::new();
    let mut rest = recording;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, behind) = rest.split_at(end);
        rest = behind;
        let words: Vec<_> = std::str::from_utf8(line).unwrap().split_whitespace().collect();
        match words[..] {
            ["##", "open", _] => connections.push(Vec::new()),
            ["##", "packet", channel, length] => {
                let (channel, length): (u8, u16) = (channel.parse().unwrap(), length.parse().unwrap());
                let [high, low] = length.to_be_bytes();
                let packet = [&[b'$', channel, high, low][..], &vec![0; length.into()]].concat();
                connections.last_mut().unwrap().push(packet);
            }
            ["<<<"] => {
                let end = memchr::memmem::find(rest, b">>>").unwrap();
                connections.last_mut().unwrap().push(rest[..end].to_vec());
                rest = &rest[end + 4..];
            }
            _ => panic!("{words:?}"),
        }
    }
    connections
}

/// Events in a word each.
fn words(events: &[Event]) -> String {
    let word = |event: &Event| match event {
        Event::Describe { .. } => "describe".to_owned(),
        Event::Setup { track, offers, .. } => {
            let kind = match offers[0] {
                Offer::Interleaved { rtp, .. } => format!("tcp{rtp}"),
                Offer::Udp { .. } => "udp".to_owned(),
                Offer::Multicast => "group".to_owned(),
            };
            format!("{kind}:{}", track.map_or("-".to_owned(), |track| track.to_string()))
        }
        Event::Play { .. } => "play".to_owned(),
        Event::Pause => "pause".to_owned(),
        Event::Ended(_) => "ended".to_owned(),
        Event::Announce { .. } => "announce".to_owned(),
        Event::Record => "record".to_owned(),
        Event::Data { track, rtcp, .. } => format!("{}{track}", if *rtcp { "rtcp" } else { "rtp" }),
        Event::Close(_) => "close".to_owned(),
    };
    events.iter().map(word).collect::<Vec<_>>().join(" ")
}

macro_rules! recordings {
    ($($name:literal: $expected:literal,)*) => {
        const RECORDINGS: &[(&str, &[u8], &str)] = &[
            $(($name, include_bytes!(concat!("../../../../testdata/rtsp/", $name, ".txt")), $expected),)*
        ];
    };
}

recordings! {
    "ffmpeg-tcp": "describe tcp0:0 tcp2:1 play ended",
    "ffmpeg-udp": "describe udp:0 udp:1 play ended",
    "ffmpeg-multicast": "describe group:0 group:1 play ended",
    "ffmpeg-tcp-digest": "401 describe tcp0:0 tcp2:1 play ended",
    "ffmpeg-tcp-basic": "401 describe tcp0:0 tcp2:1 play ended",
    "ffmpeg-publishes-tcp": "announce tcp0:0 record rtcp0 rtp0 ended",
    "ffmpeg-publishes-tcp-digest": "401 announce tcp0:0 record rtcp0 rtp0 ended",
    "ffmpeg-publishes-udp": "announce udp:0 record ended",
    "ffmpeg-http": "505 close",
    "gstreamer-tcp": "describe tcp0:0 tcp2:1 play",
    "gstreamer-udp": "describe udp:0 udp:1 play ended",
    "gstreamer-multicast": "describe group:0 group:1",
    "gstreamer-tcp-digest": "401 describe tcp0:0 tcp2:1 play",
    "gstreamer-falls-back": "describe udp:0 udp:1 play ended | describe tcp0:0 tcp2:1 play",
    "gstreamer-publishes-tcp": "announce tcp0:0 record rtp0 rtp0 rtp0 rtp0 pause",
    "gstreamer-publishes-udp": "announce udp:0 record pause ended",
    "live555-tcp": "describe tcp0:0 tcp2:1 play rtcp1 rtcp0",
    "live555-udp": "describe udp:0 udp:1 play",
    "live555-tcp-digest": "401 describe tcp0:0 tcp2:1 play rtcp1 rtcp0",
    "vlc-satip-udp": "udp:- play ended",
}

#[test]
fn real_clients_get_what_they_ask_for() {
    let mut wrong = Vec::new();
    for (name, recording, expected) in RECORDINGS {
        let door = || Door((name.contains("digest") || name.contains("basic")).then_some(("user", "secret")));
        let mut seen = Vec::new();
        for connection in connections(recording).iter().filter(|connection| !connection.is_empty()) {
            let mut peer = Peer::with(settings(), door());
            connection.iter().for_each(|bytes| peer.give(bytes));
            let refused = peer.statuses().into_iter().filter(|status| *status != 200);
            let refused = refused.map(|status| format!("{status} ")).collect::<String>();
            seen.push(format!("{refused}{}", words(&peer.events)));
        }
        if seen.join(" | ") != *expected {
            wrong.push((name, seen));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
