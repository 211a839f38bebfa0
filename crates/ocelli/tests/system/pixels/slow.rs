//! A viewer whose network takes less than is made for him.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use super::Film;
use crate::client::Viewer;
use crate::processes::until;
use crate::rtsp_server::player::Player;
use crate::server::Server;

/// A step up takes six seconds or so, and longer where one did not hold.
const PATIENCE: Duration = Duration::from_secs(120);
const PATH: &str = "/cameras/cam/stream?width=320&quality=90";

/// What comes to one who takes everything, on a machine as busy as this one.
fn bytes_per_second(viewer: &mut Viewer) -> f64 {
    let seconds = 2;
    let all: usize = viewer.during(Duration::from_secs(seconds)).iter().map(|part| part.data.len()).sum();
    all as f64 / seconds as f64
}

#[test]
fn a_slow_viewer_alone_gets_a_lower_quality_until_it_is_fast() {
    let Some(film) = Film::new("320x240") else { return };
    let server = Server::configured(&format!("{}min_quality = 20\n", film.camera("cam")));
    server.until_state("cam", "ready");
    let mut slow = Viewer::open(server.address(), PATH, "");
    let full = slow.next().data.len();
    let rate = bytes_per_second(&mut slow);
    let lowered = || server.stats_of("cam")["variants"][0]["lowered"].as_str().map(str::to_owned);
    let quality = || lowered()?.rsplit_once("quality=")?.1.parse::<u8>().ok();
    let (deadline, mut last) = (Instant::now() + PATIENCE, full);
    while last as f64 > full as f64 * 0.75 || quality().is_none_or(|quality| quality >= 70) {
        assert!(Instant::now() < deadline, "{last} of {full} bytes: {}", server.stats());
        if let Some((picture, _)) = slow.at_rate(rate * 0.4, Duration::from_millis(500)).last() {
            last = picture.data.len();
        }
    }
    // It reads as fast as pictures come from here on.
    let deadline = Instant::now() + PATIENCE;
    while let Some(shape) = lowered() {
        assert!(quality().is_none_or(|quality| quality >= 20), "{shape}");
        assert!(Instant::now() < deadline, "still {shape}: {}", server.stats());
        assert!(!slow.during(Duration::from_millis(500)).is_empty());
    }
    let last = slow.during(Duration::from_secs(2)).last().unwrap().data.len();
    assert!(last as f64 > full as f64 * 0.9, "{last} of {full} bytes");
    drop(slow);
    until("nobody watches", || server.stats()["viewers"].as_array().unwrap().is_empty());
    server.stop();
}

#[test]
fn a_slow_viewer_among_others_takes_nothing_from_them() {
    let Some(film) = Film::new("320x240") else { return };
    let server = Server::configured(&format!("{}min_quality = 20\n", film.camera("cam")));
    server.until_state("cam", "ready");
    let mut slow = Viewer::open(server.address(), PATH, "");
    let full = slow.next().data.len();
    let rate = bytes_per_second(&mut slow);
    let others = [(); 2].map(|()| {
        let mut viewer = Viewer::open(server.address(), PATH, "");
        std::thread::spawn(move || viewer.during(Duration::from_secs(20)))
    });
    let pictures = slow.at_rate(rate * 0.3, Duration::from_secs(16)).len();
    assert_eq!(server.stats_of("cam")["variants"][0]["lowered"], serde_json::Value::Null);
    for other in others {
        let all = other.join().unwrap();
        assert!(all.len() > pictures, "{} and {pictures}", all.len());
        assert!(all.iter().all(|picture| picture.data.len() as f64 > full as f64 * 0.8));
    }
    server.stop();
}

/// Reads no more than `bytes_per_second` of a player's connection for `time`; how much that was.
fn read(player: &Player, bytes_per_second: f64, time: Duration) -> usize {
    let (began, mut bytes, mut buffer) = (Instant::now(), 0, [0; 4096]);
    while began.elapsed() < time {
        if bytes as f64 > began.elapsed().as_secs_f64() * bytes_per_second {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        match player.socket().read(&mut buffer) {
            Ok(0) => panic!("the session ended"),
            Ok(more) => bytes += more,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => panic!("{error}"),
        }
    }
    bytes
}

#[test]
fn an_rtsp_reader_whose_connection_is_slow_has_the_bit_rate_lowered_until_it_is_fast() {
    let server = Server::configured(
        "[cameras.cam]\nsource = \"pattern:?width=640&height=480&fps=20\"\nmin_quality = 30\n",
    );
    server.until_state("cam", "ready");
    let mut player = Player::connect(server.rtsp());
    // What it does not read is not to wait in its own buffer for minutes.
    socket2::SockRef::from(player.socket()).set_recv_buffer_size(32 << 10).unwrap();
    let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    let set_up = player.ask("SETUP", "cam/trackID=0?codec=h264&bitrate=2000", transport);
    assert_eq!(set_up.status, 200, "{set_up:?}");
    assert_eq!(player.ask("PLAY", "cam", "").status, 200);
    player.socket().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    read(&player, f64::MAX, Duration::from_secs(3));
    let full = read(&player, f64::MAX, Duration::from_secs(3)) as f64 / 3.0;
    let lowered = || server.stats_of("cam")["variants"][0]["lowered"].as_str().map(str::to_owned);
    assert_eq!(lowered(), None);
    let deadline = Instant::now() + PATIENCE;
    while lowered().is_none() {
        assert!(Instant::now() < deadline, "not lowered: {}", server.stats());
        read(&player, full * 0.4, Duration::from_millis(500));
    }
    assert!(lowered().is_some_and(|shape| shape.contains("bitrate=")), "{:?}", lowered());
    let deadline = Instant::now() + PATIENCE;
    while lowered().is_some() {
        assert!(Instant::now() < deadline, "not raised: {}", server.stats());
        read(&player, f64::MAX, Duration::from_millis(500));
    }
    server.stop();
}
