//! `PATCH /api/v1/cameras/{cam}`: what it changes while the camera runs, what it refuses, and whose pages may not send it.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use ocelli_proto::rtcp::{Compound, Packet as RtcpPacket, Rules};
use ocelli_proto::rtp::Packet;

use crate::client::{Response, request};
use crate::processes::until;
use crate::server::{STEADY, Server};

/// How long nothing comes to somebody who is not pushed to any more: ten pictures' time.
const SILENCE: Duration = Duration::from_millis(500);

/// Somebody who is pushed to, and looks at the packets' numbers only.
struct Listener {
    socket: UdpSocket,
    last: Option<(u32, u16)>,
    timestamp: Option<u32>,
    longest: usize,
    packets: usize,
    heard: Instant,
}

impl Listener {
    fn new() -> Self {
        Self::at(UdpSocket::bind("127.0.0.1:0").unwrap())
    }

    fn at(socket: UdpSocket) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self { socket, last: None, timestamp: None, longest: 0, packets: 0, heard: Instant::now() }
    }

    /// One with the port above for reports.
    fn with_reports() -> (Self, UdpSocket) {
        for _ in 0..100 {
            let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
            let above = rtp.local_addr().unwrap().port().saturating_add(1);
            if let Ok(rtcp) = UdpSocket::bind(("127.0.0.1", above)) {
                rtcp.set_nonblocking(true).unwrap();
                return (Self::at(rtp), rtcp);
            }
        }
        panic!("no two ports are free");
    }

    fn url(&self) -> String {
        format!("rtp://{}", self.socket.local_addr().unwrap())
    }

    /// Takes what has come. Each packet must follow the one before, of the same sender.
    fn listen(&mut self) {
        let mut datagram = [0; 2048];
        while let Ok((length, _)) = self.socket.recv_from(&mut datagram) {
            let packet = Packet::parse(&datagram[..length]).unwrap();
            let (ssrc, sequence) = (packet.ssrc(), packet.sequence());
            if let Some((sender, last)) = self.last.replace((ssrc, sequence)) {
                assert_eq!((ssrc, sequence), (sender, last.wrapping_add(1)), "a gap, or another sender");
            }
            if let Some(before) = self.timestamp.replace(packet.timestamp()) {
                let step = packet.timestamp().wrapping_sub(before);
                assert!(step < 5 * 90_000, "the time goes from {before} to {}", packet.timestamp());
            }
            self.longest = self.longest.max(length);
            self.packets += 1;
            self.heard = Instant::now();
        }
    }

    fn is_silent(&self) -> bool {
        self.heard.elapsed() > SILENCE
    }
}

/// Waits until each of `listeners` has got ten packets more.
fn all_hear(listeners: &mut [&mut Listener]) {
    let before: Vec<usize> = listeners.iter().map(|listener| listener.packets).collect();
    until("each is pushed to", || {
        listeners.iter_mut().for_each(|listener| listener.listen());
        listeners.iter().zip(&before).all(|(listener, before)| listener.packets >= before + 10)
    });
}

/// A camera called `cam` that is pushed to `target`. Its pictures are of one packet or two, so that a listener's buffer holds
/// those of seconds.
fn pushing(target: &str) -> Server {
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"pattern:?width=64&height=48&fps=20\"\npush = \"{target}\"\n"
    ));
    server.until_state("cam", "ready");
    server
}

/// `PATCH` of the camera called `cam`.
pub(crate) fn patch(server: &Server, headers: &str, body: &str) -> Response {
    patch_of(server, "cam", headers, body)
}

fn patch_of(server: &Server, camera: &str, headers: &str, body: &str) -> Response {
    let length = body.len();
    request(
        server.address(),
        &format!(
            "PATCH /api/v1/cameras/{camera} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n{headers}\
             Connection: close\r\n\r\n{body}",
            server.address()
        ),
    )
}

pub(crate) const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn targets_change_while_the_others_go_on() {
    let (mut stays, mut comes) = (Listener::new(), Listener::new());
    let server = pushing(&stays.url());
    all_hear(&mut [&mut stays]);

    let response = patch(&server, JSON, &format!("{{\"push\": [{:?}, {:?}]}}", comes.url(), stays.url()));
    assert_eq!(response.status, 200, "{response:?}");
    let labels: Vec<_> =
        response.json()["push"].as_array().unwrap().iter().map(|to| to["target"].clone()).collect();
    assert_eq!(labels, [comes.url()[6..].to_owned(), stays.url()[6..].to_owned()]);
    all_hear(&mut [&mut stays, &mut comes]);

    let response = patch(&server, JSON, &format!("{{\"push\": [{:?}]}}", comes.url()));
    assert_eq!(response.json()["push"].as_array().unwrap().len(), 1);
    until("the first is not pushed to any more", || {
        stays.listen();
        comes.listen();
        stays.is_silent()
    });
    all_hear(&mut [&mut comes]);

    assert_eq!(
        patch(&server, JSON, "{}").json()["push"].as_array().unwrap().len(),
        1,
        "nothing is asked for"
    );
    let response = patch(&server, "Content-Type: application/merge-patch+json\r\n", "{\"push\": null}");
    assert_eq!(response.json()["push"], serde_json::json!([]));
    until("nobody is pushed to", || {
        comes.listen();
        comes.is_silent()
    });
    assert_eq!(server.get("/stream.sdp").status, 404);
    assert!(server.log().contains("RTP push: targets changed"), "{}", server.log());
    server.stop();
}

/// Whether a sender has said farewell.
fn has_left(reports: &UdpSocket) -> bool {
    let mut datagram = [0; 2048];
    let mut left = false;
    while let Ok((length, _)) = reports.recv_from(&mut datagram) {
        let compound = Compound::parse(&datagram[..length], Rules::Compound).unwrap();
        left |= compound.packets().any(|packet| matches!(packet, RtcpPacket::Bye { .. }));
    }
    left
}

#[test]
fn a_target_whose_parameters_change_goes_on_with_the_same_stream() {
    let (mut target, reports) = Listener::with_reports();
    let server = pushing(&target.url());
    all_hear(&mut [&mut target]);
    let from = server.stats_of("cam")["push"][0]["local_address"].clone();
    assert!(from.is_string(), "{from}");
    for (parameters, longest) in [("?mtu=300", 272), ("?mtu=1000&dscp=46", 972), ("", 1372)] {
        let response = patch(&server, JSON, &format!("{{\"push\": [\"{}{parameters}\"]}}", target.url()));
        assert_eq!(response.status, 200, "{response:?}");
        all_hear(&mut [&mut target]);
        target.longest = 0;
        all_hear(&mut [&mut target]);
        assert!(target.longest <= longest, "{parameters}: {} bytes", target.longest);
        assert_eq!(server.stats_of("cam")["push"][0]["local_address"], from, "it is sent from the same port");
        assert!(!has_left(&reports), "{parameters}");
    }
    // Two changes at once.
    for parameters in ["?mtu=400", "?mtu=500"] {
        patch(&server, JSON, &format!("{{\"push\": [\"{}{parameters}\"]}}", target.url()));
    }
    all_hear(&mut [&mut target]);
    assert!(!has_left(&reports));
    let (ssrc, _) = target.last.take().unwrap();
    target.timestamp = None;
    let other = ssrc.wrapping_add(1);
    patch(&server, JSON, &format!("{{\"push\": [\"{}?ssrc={other}\"]}}", target.url()));
    until("the old number leaves", || has_left(&reports));
    // What was under way when the number changed.
    while target.socket.recv(&mut [0; 2048]).is_ok() {}
    all_hear(&mut [&mut target]);
    assert_eq!(target.last.map(|(ssrc, _)| ssrc), Some(other));
    patch(&server, JSON, "{\"push\": null}");
    until("it leaves", || has_left(&reports));
    server.stop();
}

#[test]
fn a_target_ends_though_another_change_is_still_being_sent() {
    let mut target = Listener::new();
    let server = pushing(&target.url());
    let mut slow = TcpStream::connect(server.address()).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let host = server.address();
    write!(
        slow,
        "PATCH /api/v1/cameras/cam HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n{JSON}Expect: 100-continue\r\n\r\n"
    )
    .unwrap();
    let mut told = [0; 12];
    slow.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100", "it waits for the body");
    all_hear(&mut [&mut target]);
    assert_eq!(patch(&server, JSON, "{\"push\": null}").status, 200);
    let began = Instant::now();
    until("nobody is pushed to", || {
        target.listen();
        target.is_silent()
    });
    // The body is waited for 10 s.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    server.stop();
}

#[test]
fn what_is_no_change_changes_nothing() {
    let mut listener = Listener::new();
    let server = pushing(&listener.url());
    let error = |response: Response| {
        (response.status, format!("{} {}", response.json()["error"], response.json()["hint"]))
    };
    for (body, words) in [
        (
            "{\"push\": [\"rtp://127.0.0.1:9\", \"rtp://127.0.0.1:9?dscp=64\"]}",
            "`push[1]`: dscp=64: not a whole number from 0 to 63",
        ),
        ("{\"push\": [], \"quality\": 3}", "what can be changed: push"),
        ("{\"push\": ", "the body is no JSON"),
    ] {
        let (status, error) = error(patch(&server, JSON, body));
        assert!(status == 400 && error.contains(words), "{body}: {status} {error}");
    }
    assert_eq!(error(patch_of(&server, "nobody", JSON, "{}")).0, 404);
    assert_eq!(error(patch(&server, "", "{\"push\": []}")).0, 415);
    assert_eq!(error(patch(&server, "Content-Type: text/plain\r\n", "{\"push\": []}")).0, 415);
    assert_eq!(error(patch(&server, JSON, &" ".repeat((64 << 10) + 1))).0, 413);
    all_hear(&mut [&mut listener]);
    server.stop();
}

#[test]
fn pages_of_other_origins_change_nothing() {
    let steady = "[cameras.cam]\nsource = \"pattern:?width=64&height=48&fps=10\"\n";
    let panel = "Origin: https://panel.example\r\n";
    for (cors, allowed) in [("[]", false), ("[\"*\"]", false), ("[\"https://panel.example\"]", true)] {
        let server = Server::configured(&format!("[http]\ncors = {cors}\n{steady}"));
        let answer = patch(&server, &format!("{JSON}{panel}"), "{\"push\": []}");
        assert_eq!(answer.status, if allowed { 200 } else { 403 }, "{cors}: {answer:?}");
        let own = format!("{JSON}Origin: http://{}\r\n", server.address());
        assert_eq!(patch(&server, &own, "{}").status, 200, "the server's own page");
        // Browsers ask first whether they may send it.
        let asked = format!(
            "OPTIONS /api/v1/cameras/cam HTTP/1.1\r\nHost: t\r\n{panel}Access-Control-Request-Method: PATCH\r\n\
             Access-Control-Request-Headers: content-type\r\nConnection: close\r\n\r\n"
        );
        let answer = request(server.address(), &asked);
        let methods = answer.header("access-control-allow-methods").unwrap_or_default().to_owned();
        let headers = answer.header("access-control-allow-headers").unwrap_or_default().to_owned();
        assert_eq!(
            (methods.contains("PATCH"), headers == "content-type"),
            (allowed, allowed),
            "{cors}: {answer:?}"
        );
        server.stop();
    }
    // A name that leads here for a while (DNS rebinding) makes origin and host equal.
    let server = Server::start(&["--camera", STEADY]);
    let rebound = "PATCH /api/v1/cameras/steady HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\
                   Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    assert_eq!(request(server.address(), rebound).status, 403);
    server.stop();
}
