//! Receivers of variants that lose packets, and say so by RTCP.

use serde_json::Value;

use crate::rtp_feedback::Receiver;
use crate::rtsp_server::player::Player;
use crate::server::Server;

const CAMERA: &str = "[cameras.cam]\nsource = \"pattern:?width=640&height=480&fps=20\"\n";

/// What the camera's only variant is lowered to.
fn lowered(camera: &Value) -> Option<String> {
    let variant = camera["variants"].get(0)?;
    assert_eq!(variant["lowered"].is_null(), variant["lowered_because"].is_null(), "{variant}");
    variant["lowered"].as_str().map(str::to_owned)
}

/// The quality that it is lowered to.
fn quality(camera: &Value) -> Option<u8> {
    lowered(camera)?.rsplit_once("quality=")?.1.parse().ok()
}

fn because(camera: &Value) -> &str {
    camera["variants"][0]["lowered_because"].as_str().unwrap_or_default()
}

#[test]
fn an_rtsp_reader_that_reports_loss_lowers_its_variant_until_it_reports_none() {
    let server = Server::configured(&format!("{CAMERA}min_quality = 60\n"));
    server.until_state("cam", "ready");
    let mut receiver = Receiver::new();
    let [rtp, rtcp] = [&receiver.rtp, &receiver.rtcp].map(|socket| socket.local_addr().unwrap().port());
    let mut player = Player::connect(server.rtsp());
    let transport = format!("Transport: RTP/AVP;unicast;client_port={rtp}-{rtcp}\r\n");
    let set_up = player.ask("SETUP", "cam/trackID=0?width=480&quality=90", &transport);
    assert_eq!(set_up.status, 200, "{set_up:?}");
    assert_eq!(player.ask("PLAY", "cam", "").status, 200);
    receiver.run_until_camera("it is watched", &server, |camera| {
        camera["variants"][0]["frames"].as_u64() > Some(20) && lowered(camera).is_none()
    });
    receiver.loss = 0.2;
    let camera = receiver.run_until_camera("it is lowered", &server, |camera| quality(camera) == Some(60));
    assert!(because(&camera).starts_with("its viewer's network did not take "), "{camera}");
    let bytes = |camera: &Value| camera["variants"][0]["bytes"].as_u64().unwrap();
    let least = bytes(&camera);
    receiver.loss = 0.0;
    let camera = receiver.run_until_camera("it is raised", &server, |camera| {
        assert!(quality(camera).is_none_or(|quality| quality >= 60), "{camera}");
        lowered(camera).is_none()
    });
    assert!(bytes(&camera) > least, "{camera}");
    server.stop();
}

#[test]
fn a_push_whose_receiver_reports_loss_lowers_its_variant_and_sends_every_picture() {
    let mut receiver = Receiver::new();
    let push = receiver.push("?width=480&quality=90&mtu=700");
    let server = Server::configured(&format!("{CAMERA}min_quality = 60\npush = [\"{push}\"]\n"));
    let by = |camera: &Value, who: &str| camera["push"][0]["adapted_by"] == who;
    receiver.run_until_camera("reports come", &server, |camera| {
        camera["push"][0]["rtcp"]["receivers"] == 1 && by(camera, "variant")
    });
    receiver.loss = 0.2;
    let camera = receiver.run_until_camera("it is lowered", &server, |camera| lowered(camera).is_some());
    assert!(because(&camera).starts_with("its viewer's network did not take "), "{camera}");
    assert!(by(&camera, "variant") && camera["push"][0]["rate"] == 1.0, "{camera}");
    let camera = receiver.run_until_camera("the target helps itself too", &server, |camera| {
        by(camera, "target") && camera["push"][0]["rate"].as_f64() < Some(1.0)
    });
    assert_eq!(quality(&camera), Some(60), "the variant can do no more: {camera}");
    receiver.loss = 0.0;
    receiver.run_until_camera("every picture is sent", &server, |camera| camera["push"][0]["rate"] == 1.0);
    let camera = receiver.run_until_camera("it is raised", &server, |camera| lowered(camera).is_none());
    assert!(by(&camera, "variant") && camera["push"][0]["rate"] == 1.0, "{camera}");
    server.stop();
}
