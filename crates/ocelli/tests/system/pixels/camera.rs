//! The camera is lost and comes back, or changes what it gives, while somebody watches a variant of it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::crowd::Crowd;
use super::{Film, small, worker};
use crate::client::{Viewer, size};
use crate::server::Server;

/// A program that plays films in turn, once each or for ever.
fn program(film: &Film, lines: &str) -> String {
    let script = film.path("camera");
    std::fs::write(&script, format!("#!/bin/sh\nplay() {{ ffmpeg -v error -nostdin -re -f h264 -framerate 25 -i \"$1\" -c copy -f h264 -; }}\ncd {}\n{lines}\n", film.directory.path().display())).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    format!("[cameras.cam]\nsource = \"exec:{script}\"\n")
}

#[test]
fn a_camera_that_is_lost_and_back_goes_on_in_its_variants() {
    let Some(film) = Film::new("320x240") else { return };
    // Four seconds of film, then it has ended, and is started again.
    let server = Server::configured(&program(&film, "play film.h264"));
    server.until_state("cam", "ready");
    let crowd = Crowd::watch(server.address(), &small("cam", 160), 160, 5);
    crowd.all_get(10);
    let first = worker(&server, "cam");
    for _ in 0..2 {
        server.until_state("cam", "lost");
        server.until_state("cam", "ready");
        // More than notices, of which one comes each second.
        crowd.all_get(20);
    }
    assert_eq!(worker(&server, "cam"), first, "its worker stays");
    drop(crowd);
    server.stop();
}

#[test]
fn another_size_in_the_middle_is_followed_by_every_variant() {
    let Some(film) = Film::new("320x240") else { return };
    film.add("wide.h264", "320x180");
    let server = Server::configured(&program(&film, "while :; do play film.h264; play wide.h264; done"));
    server.until_state("cam", "ready");
    let mut viewer = Viewer::open(server.address(), &small("cam", 160), "");
    let mut heights = BTreeSet::new();
    let mut changes = 0;
    let mut last = None;
    let deadline = Instant::now() + Duration::from_secs(40);
    while changes < 3 {
        let part = viewer.next_before(deadline).expect("pictures go on");
        let size = size(&part.data);
        assert_eq!(size.width, 160);
        changes += usize::from(last.is_some_and(|last| last != size.height));
        last = Some(size.height);
        heights.insert(size.height);
    }
    assert_eq!(heights, BTreeSet::from([90, 120]));
    drop(viewer);
    server.stop();
}
