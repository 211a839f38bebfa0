//! The program's beginning and end: flags, exit statuses, signals, what a predecessor's command line means, and that
//! passwords stay where they are.

use std::net::TcpListener;
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::client::{Viewer, size};
use crate::processes::{self, eventually, until};
use crate::server::{STEADY, Server, command, picture};

const FFMPEG: &str = "exec:ffmpeg -re -f lavfi -i testsrc2=size=320x240:rate=10 -c:v mjpeg -f mjpeg -";

/// Runs the program until it ends by itself.
fn run(arguments: &[&str]) -> Output {
    let mut command = command();
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    eventually("the program ends", || child.try_wait().unwrap());
    child.wait_with_output().unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn it_ends_well_with_a_hundred_viewers_and_a_camera_process() {
    let server = Server::camera(FFMPEG);
    server.until_state("cam", "ready");
    let mut viewers: Vec<Viewer> =
        (0..100).map(|number| server.watch(["cam", "steady"][number % 2])).collect();
    for viewer in &mut viewers {
        viewer.next();
    }
    assert_eq!(server.stats()["viewers"].as_array().unwrap().len(), 100);
    server.stop();
}

#[test]
fn it_ends_well_while_its_cameras_come_and_go() {
    // Programs that end at once are being started and waited for all the time.
    let cameras: Vec<String> = (0..8).map(|number| format!("c{number}=exec:sh -c 'exit 1'")).collect();
    let arguments: Vec<&str> = cameras.iter().flat_map(|camera| ["--camera", camera]).collect();
    let server = Server::start(&arguments);
    server.lost_for("c7", "`sh` ended with status 1");
    server.stop();
}

#[test]
fn a_bad_configuration_is_status_2_and_one_that_cannot_run_status_1() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.toml");
    std::fs::write(&file, "[cameras.front]\nsorce = \"pattern:\"\n").unwrap();
    let output = run(&["--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let text = error(&output);
    assert!(text.contains("bad.toml") && text.contains("sorce") && text.contains("source"), "{text}");

    for arguments in
        [&["--config", "/nowhere/ocelli.toml"][..], &["--camera", "a b=pattern:"], &["--port", "99999"]]
    {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", error(&output));
        assert!(!error(&output).contains("panicked"), "{}", error(&output));
    }

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&["--address", "127.0.0.1", "--port", &port, "--camera", STEADY]);
    assert_eq!(output.status.code(), Some(1));
    let text = error(&output);
    assert!(text.contains(&format!("cannot listen on http://127.0.0.1:{port}")), "{text}");
    assert!(text.contains("--port"), "{text}");
}

#[test]
fn a_predecessors_command_line_works_as_it_stands() {
    // Its flags, all of them.
    let server = Server::of(
        command()
            .args([
                "--port",
                "0",
                "--address",
                "127.0.0.1",
                "--rtsp",
                "off",
                "--max-clients",
                "2",
                "--buffer-size",
                "4",
            ])
            .args(["--stats-interval", "1", "--log-level", "debug", "--verbose", "--camera-cmd", "ffmpeg"])
            .arg("--camera-args=-re -f lavfi -i testsrc2=size=320x240:rate=10 -c:v mjpeg -f mjpeg -"),
        None,
    );
    let mut viewers = [server.watch("camera"), server.watch("camera")];
    for viewer in &mut viewers {
        assert_eq!(size(&viewer.next().data).to_string(), "320x240");
    }
    let full = server.get("/stream");
    assert_eq!((full.status, full.header("retry-after")), (503, Some("5")));
    assert!(full.error().contains("2 places"), "{full:?}");
    assert_eq!(server.get("/?action=snapshot").status, 200);
    until("statistics are logged", || server.log().contains("statistics"));
    assert!(server.log().contains("DEBUG"));
    server.stop();
}

#[test]
fn the_environment_decides_what_is_logged() {
    let server = Server::of(
        command().env("RUST_LOG", "ocelli=trace").args([
            "--port",
            "0",
            "--address",
            "127.0.0.1",
            "--log-level",
            "off",
            "--camera",
            STEADY,
        ]),
        None,
    );
    server.watch("steady").next();
    until("a viewer is logged", || server.log().contains("viewer came"));
    server.stop();
}

#[test]
fn passwords_stay_inside() {
    let secret = "hunter2";
    let server = Server::start(&[
        "--log-level",
        "trace",
        "--camera",
        "a=http://user:hunter2@127.0.0.1:9/stream",
        "--camera",
        "b=exec:sh -c 'echo rtsp://user:hunter2@camera/1: refused >&2; exit 1' rtsp://user:hunter2@camera/1",
    ]);
    for camera in ["a", "b"] {
        server.lost_for(camera, "");
    }
    server.lost_for("b", "refused");
    let addresses =
        ["/stats", "/api/v1/cameras", "/api/v1/cameras/b", "/metrics", "/readyz", "/cameras/nobody/stream"];
    for address in addresses {
        let body = String::from_utf8(server.get(address).body).unwrap();
        assert!(!body.contains(secret), "{address}: {body}");
    }
    assert!(!server.log().contains(secret), "{}", server.log());
    server.stop();
    let output = run(&["check", "--camera", "a=htp://user:hunter2@127.0.0.1/"]);
    assert!(!error(&output).contains(secret), "{}", error(&output));
    let output = run(&["check", "--camera", "rtsp//user:hunter2@127.0.0.1/"]);
    assert!(!error(&output).contains(secret), "{}", error(&output));
}

#[test]
fn a_second_signal_ends_it_at_once_with_its_cameras() {
    // A camera that ignores SIGTERM would otherwise take its two seconds.
    let file = picture("baseline.jpg");
    let mut server =
        Server::camera(&format!("exec:sh -c 'trap \"\" TERM; cat {file}; while :; do sleep 0.1; done'"));
    server.until_state("cam", "ready");
    let [leader] = server.groups()[..] else { panic!("one camera") };
    processes::signal(server.id(), rustix::process::Signal::INT);
    until("it is stopping", || server.log().contains("stopping"));
    let exit = server.terminate();
    assert_eq!(exit.code, Some(1));
    assert!(exit.took < Duration::from_secs(2), "{:?}", exit.took);
    until("nothing is left", || processes::group(leader).is_empty());
}
