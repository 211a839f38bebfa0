//! Clients that mean harm, or are broken: the others keep their rate, and everything is given back when they are gone.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::client::{Connection, Viewer, request};
use crate::processes::until;
use crate::server::{STEADY, Server};
use crate::steady::Steady;

/// Runs `abuse` while somebody watches, who must miss nothing; the server must be as small as before after.
fn survives(server: &Server, abuse: impl FnOnce(SocketAddr) + Send) {
    server.until_state("steady", "ready");
    let address = server.address();
    let mut steady = Steady::watch(server);
    until("one connection", || server.stats()["connections"]["open"] == 2);
    let files = server.open_files();
    let memory = server.memory_bytes();
    std::thread::scope(|scope| {
        let abusing = scope.spawn(move || abuse(address));
        while !abusing.is_finished() {
            steady.during(Duration::from_millis(100));
        }
    });
    steady.during(Duration::from_secs(1));
    steady.has_missed_nothing();
    until("file descriptors are given back", || server.open_files() <= files + 1);
    until("connections are given back", || server.stats()["connections"]["open"] == 2);
    // What an allocator keeps for the next time is not what was asked for: some megabytes.
    until("memory is given back", || server.memory_bytes() < memory + (16 << 20));
}

/// A head that is allowed to take a second.
fn impatient() -> Server {
    Server::configured(
        "[limits]\nrequest_timeout_seconds = 1\n\
         [cameras.steady]\nsource = \"pattern:?width=160&height=120&fps=10\"\n",
    )
}

/// Sends what the server takes; that it closes in between is its right.
fn throw(address: SocketAddr, bytes: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(bytes).is_ok().then_some(stream)
}

/// Whether the server has closed the connection, or does within a millisecond.
fn is_cut_off(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    match stream.read(&mut [0; 4096]) {
        Ok(bytes) => bytes == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// The server closes the connection, whatever it answers before.
fn is_closed(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                return;
            }
            Err(error) => panic!("still open: {error}"),
        }
    }
}

#[test]
fn heads_that_come_a_byte_at_a_time_are_cut_off() {
    let server = impatient();
    survives(&server, |address| {
        let began = Instant::now();
        let mut slow: Vec<TcpStream> =
            (0..50).map(|_| throw(address, b"GET /stream HTTP/1.1\r\nHost: ").unwrap()).collect();
        while !slow.is_empty() {
            assert!(began.elapsed() < Duration::from_secs(10), "{} are still there", slow.len());
            slow.retain_mut(|stream| stream.write_all(b"x").is_ok() && !is_cut_off(stream));
        }
        assert!(began.elapsed() > Duration::from_millis(800), "an honest client has its second");
        // One that says nothing at all, and one that is idle between requests.
        is_closed(throw(address, b"").unwrap());
        let mut idle = Connection::open(address);
        assert_eq!(idle.get("/healthz").status, 200);
        idle.closed();
    });
    server.stop();
}

#[test]
fn heads_of_a_megabyte_are_refused_with_431() {
    let server = impatient();
    survives(&server, |address| {
        let long = "a".repeat(1 << 20);
        let many = "A: b\r\n".repeat(200_000);
        for text in [
            format!("GET / HTTP/1.1\r\nHost: t\r\nX-Long: {long}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: t\r\n{many}\r\n"),
        ] {
            // The client is told, although it is not listened to any more.
            let mut connection = Connection::open(address);
            let sent = connection.try_send(text.as_bytes());
            let response = connection.response(true);
            assert_eq!(response.status, 431, "{sent:?} {response:?}");
        }
        let response = request(address, &format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(12_000)));
        assert!(matches!(response.status, 404 | 414 | 431), "{response:?}");
    });
    server.stop();
}

#[test]
fn garbage_is_refused() {
    let server = impatient();
    survives(&server, |address| {
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random as u8
        })
        .take(20_000)
        .collect();
        let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        let parts: [&[u8]; 8] = [
            &noise,
            tls,
            b"\r\n\r\n\r\n\r\nGET",
            b"GET / HTTP/9.9\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n",
            b"POST /stream HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
            b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: t\r\n\r\n",
        ];
        for _ in 0..10 {
            for part in parts {
                if let Some(stream) = throw(address, part) {
                    is_closed(stream);
                }
            }
        }
    });
    assert!(!server.log().contains("panicked"), "{}", server.log());
    server.stop();
}

#[test]
fn two_thousand_who_come_and_go_leave_nothing() {
    let server = impatient();
    survives(&server, |address| {
        for number in 0..2000 {
            let mut stream = TcpStream::connect(address).unwrap();
            match number % 4 {
                0 => {}
                1 => stream.write_all(b"GET /str").unwrap(),
                2 => stream.write_all(b"GET /stream HTTP/1.1\r\n\r\n").unwrap(),
                _ => stream.write_all(b"GET /snapshot HTTP/1.1\r\n\r\n").unwrap(),
            }
        }
    });
    until("viewers are gone", || server.stats()["viewers"].as_array().unwrap().is_empty());
    server.stop();
}

#[test]
fn viewers_that_never_read_take_little_and_stop_nobody() {
    // Pictures of more than 100 KB, so that what the server keeps for each would show.
    let server = Server::start(&[
        "--camera",
        STEADY,
        "--camera",
        "big=pattern:?width=1280&height=720&fps=10&quality=95",
    ]);
    server.until_state("big", "ready");
    let before = server.memory_bytes();
    survives(&server, |address| {
        let stalled: Vec<Viewer> =
            (0..50).map(|_| Viewer::open(address, "/cameras/big/stream", "")).collect();
        until("they hold what they can hold", || {
            let skipped = server.stats_of("big")["frames_skipped"].as_u64();
            let frames = server.stats_of("big")["frames"].as_u64();
            skipped > Some(50) || frames > Some(100)
        });
        let more = server.memory_bytes().saturating_sub(before);
        assert!(more < 20 << 20, "{} MB for 50", more >> 20);
        drop(stalled);
    });
    server.stop();
}

#[test]
fn answers_that_are_not_read_are_not_piled_up() {
    let server = Server::start(&[
        "--camera",
        STEADY,
        "--camera",
        "big=pattern:?width=1280&height=720&fps=10&quality=95",
    ]);
    server.until_state("big", "ready");
    survives(&server, |address| {
        let asked = b"GET /cameras/big/snapshot HTTP/1.1\r\nHost: t\r\n\r\n".repeat(300);
        let streams: Vec<_> = (0..20).filter_map(|_| throw(address, &asked)).collect();
        let before = server.memory_bytes();
        let frames = server.stats_of("big")["frames"].as_u64().unwrap();
        until("time goes on", || server.stats_of("big")["frames"].as_u64() > Some(frames + 5));
        let after = server.memory_bytes();
        assert!(after < before + (20 << 20), "{} MB more", after.saturating_sub(before) >> 20);
        drop(streams);
    });
    server.stop();
}

#[test]
fn past_the_limits_everyone_is_told_to_come_later() {
    let server = Server::configured(
        "[limits]\nviewers = 3\nconnections = 12\n\
         [cameras.steady]\nsource = \"pattern:?width=160&height=120&fps=10\"\n",
    );
    survives(&server, |address| {
        let mut watching: Vec<Viewer> = (0..2).map(|_| Viewer::open(address, "/stream", "")).collect();
        for _ in 0..3 {
            let full = request(address, "GET /stream HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
            assert_eq!((full.status, full.header("retry-after")), (503, Some("5")));
            assert!(full.error().contains("3 places"), "{full:?}");
        }
        (0..5).for_each(|_| drop(watching[1].next()));
        // Now more connections than there may be; those that are too many are told, too.
        // The server counts one as open until it has seen its end, so that the last place may be free a moment later.
        let mut idle: Vec<Connection> = Vec::new();
        until("every place is taken", || {
            let mut connection = Connection::open(address);
            match connection.get("/healthz").status {
                200 => idle.push(connection),
                status => assert_eq!(status, 503),
            }
            idle.len() == 9
        });
        for _ in 0..50 {
            let full = request(address, "GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n");
            assert_eq!((full.status, full.header("retry-after")), (503, Some("5")));
            assert!(full.error().contains("connections"), "{full:?}");
        }
        drop(idle);
        until("there is room again", || {
            request(address, "GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").status == 200
        });
        drop(watching);
    });
    assert!(server.stats()["viewers_refused"].as_u64() >= Some(3));
    assert!(server.stats()["connections"]["refused"].as_u64() >= Some(50));
    server.stop();
}

#[test]
fn a_viewer_that_is_half_closed_or_talks_all_the_time_is_handled() {
    let server = Server::start(&["--camera", STEADY]);
    survives(&server, |address| {
        let half = Viewer::open(address, "/stream", "");
        half.socket().shutdown(std::net::Shutdown::Write).unwrap();
        until("who says that he is done is done", || {
            server.stats()["viewers"].as_array().unwrap().len() == 1
        });
        let mut talking = Viewer::open(address, "/stream", "");
        let mut mouth = talking.socket().try_clone().unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(1) {
            mouth.write_all(&[b'x'; 1000]).unwrap();
            talking.during(Duration::from_millis(1));
        }
        talking.next();
    });
    server.stop();
}
