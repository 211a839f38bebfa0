//! The camera beside those that a test does something to ([`STEADY`](crate::server::STEADY)), which is to miss nothing of it.

use std::time::{Duration, Instant};

use crate::client::Viewer;
use crate::server::Server;

/// Pictures of it a second.
const FPS: f64 = 10.0;

/// One who watches it.
pub(crate) struct Steady<'a> {
    server: &'a Server,
    viewer: Viewer,
    began: Instant,
    /// Pictures that it had given then.
    before: u64,
    seen: u64,
}

impl<'a> Steady<'a> {
    /// Watches from here on.
    pub(crate) fn watch(server: &'a Server) -> Self {
        let mut viewer = server.watch("steady");
        viewer.next();
        Self { viewer, began: Instant::now(), before: given(server), seen: 0, server }
    }

    /// Goes on watching for `time`.
    pub(crate) fn during(&mut self, time: Duration) {
        self.seen += self.viewer.during(time).len() as u64;
    }

    /// Looks that nine of ten pictures of the camera were seen, and that it gave half of what it should at least: a busy machine
    /// may hold up both together.
    pub(crate) fn has_missed_nothing(&mut self) {
        // Those that have come while it was counted.
        let given = given(self.server) - self.before;
        let expected = self.began.elapsed().as_secs_f64() * FPS;
        self.during(Duration::from_millis(100));
        let seen = self.seen;
        assert!(seen as f64 >= given as f64 * 0.9 - 2.0, "{seen} pictures of {given}");
        assert!(given as f64 >= expected * 0.5 - 2.0, "{given} pictures of {expected:.0}");
    }
}

fn given(server: &Server) -> u64 {
    server.stats_of("steady")["frames"].as_u64().unwrap()
}
