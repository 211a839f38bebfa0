//! Viewers of a thousand different minds who come and go: nothing is left of them.

use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use super::Film;
use crate::client::{Connection, Viewer};
use crate::processes::until;
use crate::server::Server;

const THREADS: usize = 10;
const EACH: usize = 100;
const KEPT_BYTES: u64 = 24 << 20;

fn dice(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |sides| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % sides
    }
}

/// Comes, stays for a moment or for some pictures, and leaves. Whether it was let in.
fn visit(server: &Server, random: &mut impl FnMut(usize) -> usize) -> bool {
    let camera = ["cam", "other"][random(2)];
    let width = [160, 240, 320][random(3)];
    let quality = [30, 60][random(2)];
    let path = format!("/cameras/{camera}/stream?width={width}&quality={quality}");
    let mut connection = Connection::open(server.address());
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
    match random(4) {
        // Without looking at the answer.
        0 => {}
        1 => {
            if connection.response(false).status == 503 {
                return false;
            }
            thread::sleep(Duration::from_millis(random(100) as u64));
        }
        _ => {
            let mut viewer = Viewer::on(connection);
            let deadline = Instant::now() + Duration::from_millis(random(600) as u64);
            while viewer.next_before(deadline).is_some() {}
            if random(2) == 0 {
                // A reset in the place of a good-bye.
                set_socket_linger(viewer.socket(), Some(Duration::ZERO)).unwrap();
            }
        }
    }
    true
}

#[test]
fn a_thousand_come_and_go_and_nothing_is_left() {
    let Some(film) = Film::new("320x240") else { return };
    let server = Server::configured(&[film.camera("cam"), film.camera("other")].concat());
    for camera in ["cam", "other"] {
        server.until_state(camera, "ready");
    }
    let mut random = dice(1);
    for _ in 0..20 {
        visit(&server, &mut random);
    }
    until("nobody is left", || {
        server.stats()["viewers"].as_array().unwrap().is_empty() && server.groups().is_empty()
    });
    let (files, memory) = (server.open_files(), server.memory_bytes());
    let let_in: usize = thread::scope(|scope| {
        let visitors: Vec<_> = (0..THREADS)
            .map(|thread| {
                let server = &server;
                scope.spawn(move || {
                    let mut random = dice(thread as u64 + 2);
                    (0..EACH).filter(|_| visit(server, &mut random)).count()
                })
            })
            .collect();
        visitors.into_iter().map(|visitor| visitor.join().unwrap()).sum()
    });
    assert!(let_in > THREADS * EACH * 9 / 10, "{let_in}");
    // Meanwhile nothing has worn out.
    let mut last = Viewer::open(server.address(), "/cameras/cam/stream?width=160", "");
    last.next();
    drop(last);
    until("the workers are gone", || server.groups().is_empty());
    until("no descriptor is left", || server.open_files() <= files);
    let grown = server.memory_bytes().saturating_sub(memory);
    assert!(grown < KEPT_BYTES, "{grown} bytes");
    server.stop();
}
