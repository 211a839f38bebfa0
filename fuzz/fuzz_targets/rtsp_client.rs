//! No camera makes a client panic, fills its memory or learns its password; every line that is sent ends in CR LF.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ocelli_proto::rtsp::client::{Address, Carrier, Client, Event, Input, MOST_OUTPUT_BYTES, Settings};

const PASSWORD: &str = "s3cr3t-w0rd";

fuzz_target!(|input: &[u8]| {
    let [chunk, way, bytes @ ..] = input else { return };
    // A fuzzer reads the password in the comparisons below, and then has the camera say it.
    if bytes.windows(PASSWORD.len()).any(|window| window.eq_ignore_ascii_case(PASSWORD.as_bytes())) {
        return;
    }
    let carriers = match way % 4 {
        0 => vec![Carrier::Tcp],
        1 => vec![Carrier::Udp, Carrier::Tcp],
        2 => vec![Carrier::Multicast, Carrier::Udp],
        _ => vec![Carrier::Tcp, Carrier::Udp],
    };
    let address = Address::parse(&format!("rtsp://user:{PASSWORD}@host/front?a=b")).expect("an address");
    let mut now = Duration::from_secs(1);
    let settings = Settings { carriers, options: way & 4 == 0, ..Settings::default() };
    let mut client = Client::new(address, settings, 0, now);
    let mut closed = 0;
    for mut chunk in bytes.chunks(usize::from(*chunk) + 1) {
        // A byte that no RTSP has lets time pass, or the connection end.
        if let Some(byte @ 0xF0..) = chunk.first() {
            now += Duration::from_secs(u64::from(byte & 7));
            client.expire(now);
            match byte {
                0xF8 => client.input(now, Input::Disconnected),
                0xF9 => client.input(now, Input::End),
                0xFA => client.input(now, Input::Heard),
                0xFB => client.input(now, Input::NoPorts),
                _ => {}
            }
        }
        loop {
            while let Some(event) = client.next_event(now) {
                assert!(!format!("{event:?}").contains(PASSWORD));
                match event {
                    Event::Connect(_) => client.input(now, Input::Connected),
                    Event::PortsNeeded { .. } => client.input(now, Input::Ports { rtp: 5000, rtcp: 5001 }),
                    Event::Closed(cause) => {
                        closed += 1;
                        assert!(!cause.to_string().contains(PASSWORD));
                    }
                    _ => {}
                }
            }
            client.report(0, b"report\n");
            let output = client.output();
            assert!(output.len() < MOST_OUTPUT_BYTES + (64 << 10));
            assert!(!output.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()));
            for (at, _) in output.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                assert!(output[at - 1] == b'\r' || output[..at].ends_with(b"report"));
            }
            client.sent(usize::MAX);
            if chunk.is_empty() || !client.wants_bytes() {
                break;
            }
            let room = client.room();
            assert!(room.capacity() <= 512 << 10);
            let (given, later) = chunk.split_at(chunk.len().min(room.capacity() - room.len()));
            room.extend_from_slice(given);
            chunk = later;
        }
    }
    assert!(closed <= 1);
});
