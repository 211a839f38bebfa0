//! A camera that is killed, frozen, moved or given another password: noticed, told in words, and back by itself.

use std::time::{Duration, Instant};

use super::{playing, server, shows};
use crate::processes::{eventually, until};
use crate::rtsp_peers::camera::Camera;
use crate::server::Server;

const SOON_AGAIN: &str = "reconnect_interval = 0.5";

/// Waits until more pictures came than until now.
fn back(server: &Server) {
    let before = server.stats_of("cam")["frames"].as_u64();
    until("the camera is back", || {
        let stats = server.stats_of("cam");
        stats["state"] == "ready" && stats["frames"].as_u64() > before
    });
}

#[test]
fn a_camera_that_is_killed_is_dialled_until_it_is_there_again() {
    let Some(mut camera) = Camera::start("--codec jpeg") else { return };
    let server = server(&camera.address(""), SOON_AGAIN);
    let before = playing(&server)["network"]["packets"].as_u64();
    let mut viewer = server.watch("cam");
    shows(&mut viewer, 2);
    let port = camera.port();
    camera.kill();
    server.lost_for("cam", "the camera closed the connection");
    // Its port is taken away.
    server.lost_for("cam", &format!("the host 127.0.0.1 answers but port {port} is closed"));
    let Some(_camera) = Camera::at(port, "--codec jpeg") else { return };
    back(&server);
    shows(&mut viewer, 20);
    assert!(server.stats_of("cam")["network"]["packets"].as_u64() > before, "counts go on");
    drop(viewer);
    server.stop();
}

#[test]
fn a_camera_that_is_frozen_is_noticed_and_comes_back() {
    for (transport, arguments) in [("tcp", "--codec h264"), ("udp", "--codec h264 --sound pcmu")] {
        let Some(camera) = Camera::start(arguments) else { return };
        let lines = format!("transport = \"{transport}\"\n{SOON_AGAIN}");
        let server = server(&camera.address(""), &lines);
        playing(&server);
        camera.freeze();
        let frozen = Instant::now();
        eventually("it is noticed", || (server.stats_of("cam")["state"] != "ready").then_some(()));
        assert!(frozen.elapsed() < Duration::from_secs(7), "{:?}", frozen.elapsed());
        let cause = server.cause("cam");
        assert!(cause.contains("the camera has sent no pictures for 5 s"), "{cause}");
        camera.thaw();
        back(&server);
        server.stop();
    }
}

#[test]
fn a_camera_whose_password_changes_comes_back_with_the_old_one() {
    let Some(mut camera) = Camera::start("--codec h264 --user me:hunter2") else { return };
    let server = server(&camera.address("me:hunter2"), SOON_AGAIN);
    playing(&server);
    camera.change_password("other");
    server.lost_for("cam", "401: the camera refused the password");
    camera.change_password("hunter2");
    back(&server);
    assert!(!server.log().contains("hunter2") && !server.stats().to_string().contains("hunter2"));
    server.stop();
}

#[test]
fn passwords_in_the_query_are_not_shown() {
    let Some(camera) = Camera::start("--codec jpeg") else { return };
    let address = format!("{}?user=me&password=hunter2", camera.address(""));
    let server = server(&address, "");
    server.until_state("cam", "ready");
    let shown = format!("{}{}", server.log(), server.stats());
    assert!(shown.contains("password=***") && !shown.contains("hunter2"), "{shown}");
    server.stop();
}
