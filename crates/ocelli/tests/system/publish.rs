//! Cameras that are published to by FFmpeg and GStreamer: every way, lost and found again, refused.

use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::processes::{eventually, until};
use crate::programs::{Running, directory, installed};
use crate::rtsp_server::player::Player;
use crate::server::Server;

/// FFmpeg's pictures and sound.
const PICTURES: &str = "ffmpeg -v error -re -f lavfi -i testsrc=size=320x240:rate=15";
const SOUND: &str = "-f lavfi -i sine=frequency=440:sample_rate=48000";
const H264: &str = "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -tune zerolatency -g 15";
const MJPEG: &str = "-pix_fmt yuvj420p -c:v mjpeg -huffman default";

fn server() -> Server {
    Server::configured("[cameras.cam]\nsource = \"publish:\"\nsilence_timeout_seconds = 4\n")
}

/// Where the server says that a camera is published to.
fn address(server: &Server, camera: &str) -> String {
    eventually("the camera waits", || {
        let stats = server.stats_of(camera);
        let cause = stats["cause"].as_str()?.strip_prefix("waits for somebody to publish to ")?.to_owned();
        (stats["state"] == "waiting").then_some(cause)
    })
}

/// Runs what is to be refused; what it says of it.
fn refused(line: &str) -> String {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    let output = command.args(words).stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success(), "{line}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// FFmpeg plays `address` for a second, both tracks and each alone, and finds nothing wrong.
fn plays(directory: &TempDir, address: &str) {
    let players = ["video+audio", "video", "audio"].map(|media| {
        let line = format!(
            "ffmpeg -v error -stats -xerror -allowed_media_types {media} -rtsp_transport tcp -i {address} \
             -map 0 -t 1 -c copy -f null -"
        );
        (media, Running::start(directory, &line))
    });
    for (media, player) in players {
        let said = player.ends("the player");
        // With no pictures there is no count of them.
        let statistics = said.rsplit('\r').next().unwrap();
        assert_eq!(statistics.contains("frame="), media != "audio", "{media}: {said}");
        assert!(!said.contains(" @ 0x"), "{media}: {said}");
    }
}

#[test]
fn ffmpeg_and_gstreamer_publish_by_every_way_and_are_played() {
    if !installed(&["ffmpeg", "gst-launch-1.0"]) {
        return;
    }
    let directory = directory();
    let ffmpeg = |pictures: &str, sound: &str, transport: &str| {
        format!("{PICTURES} {SOUND} {pictures} {sound} -f rtsp -rtsp_transport {transport} ADDRESS")
    };
    let gstreamer = |pictures: &str, sound: &str, transport: &str| {
        format!(
            "gst-launch-1.0 -q rtspclientsink name=sink location=ADDRESS protocols={transport} latency=0 \
             videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=15/1 ! {pictures} ! sink. \
             audiotestsrc is-live=true ! audioconvert ! audioresample ! {sound} ! sink."
        )
    };
    let x264 = "x264enc tune=zerolatency key-int-max=15";
    for (line, codec, sound, by_udp) in [
        (ffmpeg(H264, "-c:a aac", "tcp"), "h264", "aac", false),
        (
            ffmpeg(
                "-pix_fmt yuv420p -c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=15:bframes=0",
                "-c:a libopus",
                "udp",
            ),
            "h265",
            "opus",
            true,
        ),
        (ffmpeg(MJPEG, "-ar 8000 -c:a pcm_mulaw", "udp"), "mjpeg", "pcmu", true),
        (gstreamer(x264, "opusenc", "tcp"), "h264", "opus", false),
        (gstreamer(x264, "alawenc", "udp"), "h264", "pcma", true),
        (gstreamer("jpegenc", "mulawenc", "tcp"), "mjpeg", "pcmu", false),
    ] {
        let server = server();
        let address = address(&server, "cam");
        let publisher = Running::start(&directory, &line.replace("ADDRESS", &address));
        server.until_state("cam", "ready");
        until("pictures and sound come", || {
            let stats = server.stats_of("cam");
            let (pictures, packets) = (stats["frames"].as_u64(), stats["sound"]["packets"].as_u64());
            pictures > Some(20) && packets > Some(20)
        });
        let stats = server.stats_of("cam");
        assert_eq!((&stats["codec"], &stats["sound"]["codec"]), (&codec.into(), &sound.into()), "{line}");
        assert_eq!(stats["network"]["listens"].is_string(), by_udp, "{stats}");
        assert_eq!(stats["network"]["transport"], if by_udp { "udp" } else { "tcp" }, "{stats}");
        assert_eq!((&stats["dropped"], &stats["network"]["lost"]), (&0.into(), &0.into()), "{line}: {stats}");
        until("their rate is told", || server.stats_of("cam")["fps"].as_f64() > Some(5.0));
        plays(&directory, &address);
        drop(publisher);
        server.lost_for("cam", "is gone");
        server.stop();
    }
}

#[test]
fn pictures_of_many_packets_come_whole_within_the_connection() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let server = server();
    let address = address(&server, "cam");
    // Keyframes of some hundred packets, which FFmpeg writes in one go.
    let line = format!(
        "ffmpeg -v error -re -f lavfi -i testsrc2=size=640x480:rate=10,noise=alls=60:allf=t -pix_fmt yuv420p \
         -c:v libx264 -preset ultrafast -tune zerolatency -qp 10 -g 5 -f rtsp -rtsp_transport tcp {address}"
    );
    let publisher = Running::start(&directory, &line);
    until("pictures come", || server.stats_of("cam")["frames"].as_u64() > Some(20));
    let stats = server.stats_of("cam");
    assert!(stats["bytes"].as_u64() > Some(20 * 100_000), "{stats}");
    assert_eq!((&stats["dropped"], &stats["network"]["lost"]), (&0.into(), &0.into()), "{stats}");
    drop(publisher);
    server.lost_for("cam", "is gone");
    server.stop();
}

#[test]
fn readers_go_on_when_a_publisher_is_killed_and_another_comes() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let server = server();
    let address = address(&server, "cam");
    let publish = |transport: &str| {
        let line = format!("{PICTURES} {H264} -f rtsp -rtsp_transport {transport} {address}");
        let publisher = Running::start(&directory, &line);
        server.until_state("cam", "ready");
        publisher
    };
    let first = publish("tcp");
    let line = format!("ffmpeg -v error -xerror -rtsp_transport tcp -i {address} -frames:v 90 -f null -");
    let mut player = Running::start(&directory, &line);
    let reader = || {
        let stats = server.stats();
        let viewers = stats["viewers"].as_array().unwrap();
        viewers.first().map(|viewer| (viewer["id"].as_u64().unwrap(), viewer["frames"].as_u64().unwrap()))
    };
    let (id, _) = eventually("it plays", || reader().filter(|(_, frames)| *frames > 20));
    drop(first);
    server.lost_for("cam", "is gone");
    server.until_state("cam", "waiting");
    let (_, before) = reader().unwrap();
    assert!(before < 90, "{before}");
    let second = publish("udp");
    until("the reader goes on", || player.has_ended() || reader().is_some_and(|now| now > (id, before + 10)));
    player.ends("the player");
    // A publisher whose machine hangs is given up.
    second.signal(Signal::STOP);
    server.lost_for("cam", "sent no pictures for 4 s");
    let _third = publish("tcp");
    until("both are counted", || {
        let ended = &server.stats()["rtsp"]["publishers_ended"];
        (&ended["left"], &ended["camera"]) == (&1.into(), &1.into())
    });
    let times = server.log().matches("waits for somebody to publish to").count();
    assert!(times <= 4, "{}", server.log());
}

#[test]
fn mjpeg_viewers_see_that_nobody_publishes() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let server = server();
    let address = address(&server, "cam");
    let mut viewer = server.watch("cam");
    let size = |picture: &[u8]| ocelli_media::jpeg::Header::parse(picture).unwrap().size.to_string();
    assert_eq!(size(&viewer.next().data), "640x480", "a notice of a camera that nobody knows yet");
    assert_eq!(server.get("/readyz").json()["waiting_for"][0]["state"], "waiting");
    let line = format!("{PICTURES} {MJPEG} -f rtsp -rtsp_transport tcp {address}");
    let publisher = Running::start(&directory, &line);
    eventually("its pictures come", || (size(&viewer.next().data) == "320x240").then_some(()));
    drop(publisher);
    server.lost_for("cam", "is gone");
    eventually("they are told again", || {
        let snapshot = server.get("/cameras/cam/snapshot");
        (snapshot.status == 503 && size(&snapshot.body) == "320x240").then_some(())
    });
    server.stop();
}

#[test]
fn what_is_not_understood_is_passed_over_and_named() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let server = server();
    let address = address(&server, "cam");
    let tracks = "-map 0 -map 1 -map 1 -c:a:0 mp2 -c:a:1 aac";
    let line = format!("{PICTURES} {SOUND} {H264} {tracks} -f rtsp -rtsp_transport udp {address}");
    let _publisher = Running::start(&directory, &line);
    server.until_state("cam", "ready");
    let stats = server.stats_of("cam");
    let note = stats["note"].as_str().unwrap();
    assert!(
        note.starts_with("a part of what is published is passed over: ") && note.contains("MPA"),
        "{note}"
    );
    until("its sound comes", || server.stats_of("cam")["sound"]["packets"].as_u64() > Some(10));
    assert_eq!(server.stats_of("cam")["sound"]["codec"], "aac");
    server.stop();
}

#[test]
fn who_may_not_publish_is_told_why() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let directory = directory();
    let server = Server::configured(
        "[cameras.cam]\nsource = \"publish:?user=me&password=secret%20words\"\non_demand = true\n\
         [cameras.other]\nsource = \"pattern:\"\n",
    );
    until("the warning of a key that is left out", || {
        server.log().contains("cameras.cam.on_demand: left out")
    });
    let address = address(&server, "cam");
    let with = |user: &str| address.replace("rtsp://", &format!("rtsp://{user}@"));
    let publish = |address: &str| format!("{PICTURES} {H264} -f rtsp -rtsp_transport tcp {address}");
    for (address, words) in [
        (address.clone(), "401 Unauthorized"),
        (with("me:wrong"), "401 Unauthorized"),
        (with("you:secret%20words"), "401 Unauthorized"),
        (
            address.replace("/cam", "/other"),
            "405 Method Not Allowed (camera `other` takes its pictures from elsewhere",
        ),
        (
            address.replace("/cam", "/nobody"),
            "404 Not Found (there is no camera `nobody`; those that are published to: cam)",
        ),
    ] {
        let said = refused(&publish(&address));
        assert!(said.contains(words), "{address}: {said}");
    }
    let sound = format!(
        "ffmpeg -v error -re {SOUND} -c:a aac -f rtsp -rtsp_transport tcp {}",
        with("me:secret%20words")
    );
    let said = refused(&sound);
    assert!(said.contains("415 Unsupported Media Type") && said.contains("pictures"), "{said}");
    let first = Running::start(&directory, &publish(&with("me:secret%20words")));
    server.until_state("cam", "ready");
    let said = refused(&publish(&with("me:secret%20words")));
    assert!(
        said.contains("455 Method Not Valid In This State (camera `cam` is published by 127.0.0.1 already)"),
        "{said}"
    );
    // The first goes on.
    let before = server.stats_of("cam")["frames"].as_u64();
    until("more pictures come", || {
        server.stats_of("cam")["frames"].as_u64() > before.map(|count| count + 10)
    });
    assert_eq!(server.stats_of("cam")["restarts"], 0);
    for text in [server.log(), server.stats().to_string()] {
        assert!(!text.contains("secret"), "{text}");
    }
    drop(first);
    server.stop();
}

#[test]
fn who_prepares_to_publish_and_does_not_gives_its_place_back() {
    let server = server();
    address(&server, "cam");
    let sdp = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0";
    let prepare = || {
        let mut publisher = Player::connect(server.rtsp());
        let length = sdp.len() + 2;
        let body = format!("Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{sdp}");
        assert_eq!(publisher.ask("ANNOUNCE", "cam", &body).status, 200);
        let transport = "Transport: RTP/AVP;unicast;client_port=40000-40001;mode=record\r\n";
        let status = publisher.ask("SETUP", "cam/trackID=0", transport).status;
        (publisher, status)
    };
    let mut idle: Vec<_> = std::iter::repeat_with(prepare).take_while(|(_, status)| *status == 200).collect();
    assert_eq!(idle.len(), 8, "there are so many places");
    let (publisher, _) = &mut idle[0];
    assert!(publisher.closes_within(std::time::Duration::from_secs(30)));
    until("there are places again", || prepare().1 == 200);
    until("they are counted", || server.stats()["rtsp"]["connections_ended"]["silent"].as_u64() > Some(0));
    assert_eq!(server.stats()["rtsp"]["publishers_ended"]["silent"], 0, "they have not published");
    server.stop();
}

#[test]
fn without_an_rtsp_server_nobody_is_waited_for() {
    let mut command = crate::server::command();
    command.args(["--port", "0", "--address", "127.0.0.1", "--rtsp", "off", "--camera", "cam=publish:"]);
    let server = Server::of(&mut command, None);
    server.lost_for("cam", "nobody can publish to it: there is no RTSP server");
    server.stop();
}
