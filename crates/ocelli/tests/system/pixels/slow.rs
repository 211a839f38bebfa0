//! A viewer whose network takes less than is made for him.

use std::time::{Duration, Instant};

use super::Film;
use super::crowd::Crowd;
use crate::client::Viewer;
use crate::processes::{SOON, until};
use crate::server::Server;

const PATH: &str = "/cameras/cam/stream?width=320&quality=90";

#[test]
fn a_slow_viewer_alone_gets_a_lower_quality_and_others_have_it_raised_again() {
    let Some(film) = Film::new("320x240") else { return };
    let server = Server::configured(&format!("{}min_quality = 20\n", film.camera("cam")));
    server.until_state("cam", "ready");
    let mut slow = Viewer::open(server.address(), PATH, "");
    let full = slow.next().data.len();
    let share = 0.4;
    let pictures = slow.at_rate(full as f64 * 25.0 * share, Duration::from_secs(18));
    let last = pictures.last().unwrap().0.data.len();
    assert!((last as f64) < full as f64 * 0.75, "{last} of {full} bytes");
    let rate = || server.stats_of("cam")["variants"][0]["bits_per_second"].as_f64().unwrap();
    let lowest = rate();
    let fast = Crowd::watch(server.address(), PATH, 320, 2);
    let deadline = Instant::now() + SOON;
    while rate() < lowest * 1.15 {
        assert!(Instant::now() < deadline, "{}", server.stats_of("cam")["variants"]);
        // The slow one reads on, for one that does not is closed.
        slow.at_rate(full as f64 * 25.0 * share, Duration::from_millis(200));
    }
    drop((slow, fast));
    until("nobody watches", || server.stats()["viewers"].as_array().unwrap().is_empty());
    server.stop();
}
