//! Which transport is tried, and what is made of a camera that wants another.

use super::scripted::{Scripted, Sends};
use super::{playing, server};
use crate::rtsp_peers::camera::Camera;

#[test]
fn a_camera_that_refuses_a_transport_is_asked_for_the_other() {
    for (only, expected) in [("udp", "udp"), ("tcp", "tcp")] {
        let Some(camera) = Camera::start(&format!("--codec jpeg --transports {only}")) else { return };
        let of_auto = server(&camera.address(""), "transport = \"auto\"");
        assert_eq!(playing(&of_auto)["network"]["transport"], expected);
        of_auto.stop();
        let other = if only == "udp" { "tcp" } else { "udp" };
        let of_other = server(&format!("{}#transport={other}", camera.address("")), "");
        of_other.lost_for("cam", "461: the camera does not send its packets like that");
        of_other.stop();
    }
}

#[test]
fn a_camera_that_sends_nothing_over_one_transport_is_asked_for_the_other_and_that_is_remembered() {
    let camera = Scripted::start(Sends::ByUdpOnly);
    let server = server(&camera.address(), "transport = \"auto\"\nreconnect_interval = 0.3");
    assert_eq!(playing(&server)["network"]["transport"], "udp");
    assert!(server.log().contains("tries another transport: no packet came in 3 s"), "{}", server.log());
    let asked = camera.asked_for_tcp();
    camera.close();
    crate::processes::until("it is dialled again", || camera.connections() > 2);
    assert_eq!(playing(&server)["network"]["transport"], "udp");
    assert_eq!(camera.asked_for_tcp(), asked, "what has worked is tried first");
    server.stop();
}

#[test]
fn a_camera_that_refuses_tcp_by_a_wrong_status_is_asked_for_udp() {
    let camera = Scripted::start(Sends::ByUdpAndRefusesTcp);
    let server = server(&camera.address(), "transport = \"auto\"");
    assert_eq!(playing(&server)["network"]["transport"], "udp");
    server.stop();
}

#[test]
fn a_camera_whose_keyframes_are_far_apart_is_waited_for() {
    let camera = Scripted::start(Sends::AKeyframeLate);
    let server = server(&camera.address(), "transport = \"udp\"");
    let stats = playing(&server);
    assert_eq!((stats["restarts"].as_u64(), camera.connections()), (Some(0), 1), "{stats}");
    assert!(stats["network"]["keyframes_asked"].as_u64() > Some(0), "{stats}");
    server.stop();
}

#[test]
fn packets_of_others_are_not_the_cameras() {
    let camera = Scripted::start(Sends::ByUdpBesideAStranger);
    let server = server(&camera.address(), "transport = \"udp\"");
    playing(&server);
    crate::processes::until("the stranger is counted", || {
        server.stats_of("cam")["network"]["strange"].as_u64() > Some(10)
    });
    let stats = server.stats_of("cam");
    assert_eq!(
        stats["network"]["sender"].as_str().map(|sender| sender.starts_with("127.0.0.1:")),
        Some(true)
    );
    server.stop();
}

#[test]
fn a_camera_that_offers_nothing_that_is_understood_is_refused_by_name() {
    let camera = Scripted::start(Sends::SomethingElse);
    let (status, _, errors) = super::probe(&camera.address());
    assert_eq!(status, Some(1));
    assert!(
        errors.contains(
            "the camera offers no pictures that Ocelli understands (offers: MP4V-ES, vnd.onvif.metadata)"
        ),
        "{errors}"
    );
}
