//! Other people's programs: players that read what the server sends, and camera programs that it reads.
//!
//! FFmpeg, GStreamer, VLC and curl must be installed.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::client::size;
use crate::processes::eventually;
use crate::server::{STEADY, Server, picture};

/// Runs a program that ends by itself. `None` if it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{program}: {error}"),
    };
    eventually(&format!("{program} ends"), || child.try_wait().unwrap());
    Some(child.wait_with_output().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn server() -> (Server, String) {
    let server = Server::start(&["--camera", "cam=pattern:?width=320&height=240&fps=25", "--camera", STEADY]);
    server.until_state("cam", "ready");
    let address = format!("http://{}", server.address());
    (server, address)
}

/// A camera program's pictures arrive in the size that it was told to make.
fn camera_gives(source: &str, expected: &str) {
    let server = Server::camera(source);
    let mut viewer = server.watch("cam");
    for _ in 0..5 {
        assert_eq!(size(&viewer.next().data).to_string(), expected);
    }
    let stats = server.stats_of("cam");
    assert_eq!((stats["dropped"].as_u64(), stats["restarts"].as_u64()), (Some(0), Some(0)), "{stats}");
    server.stop();
}

#[test]
fn ffmpeg_watches() {
    let (server, address) = server();
    let stream = format!("{address}/stream");
    let output = run(
        "ffmpeg",
        &["-hide_banner", "-xerror", "-f", "mpjpeg", "-i", &stream, "-frames:v", "30", "-f", "null", "-"],
    )
    .expect("FFmpeg is installed");
    let said = text(&output.stderr);
    assert!(output.status.success() && said.contains("320x240"), "{said}");
    assert!(said.contains("frame=   30"), "{said}");
    server.stop();
}

#[test]
fn ffmpeg_takes_the_format_by_its_name_alone_and_a_snapshot() {
    let (server, address) = server();
    for path in ["/stream", "/?action=stream", "/snapshot"] {
        let output = run(
            "ffprobe",
            &[
                "-v",
                "error",
                "-show_entries",
                "stream=codec_name,width",
                "-of",
                "csv=p=0",
                &format!("{address}{path}"),
            ],
        )
        .expect("FFmpeg is installed");
        assert_eq!(text(&output.stdout).trim(), "mjpeg,320", "{path}: {}", text(&output.stderr));
    }
    server.stop();
}

#[test]
fn gstreamer_watches() {
    let (server, address) = server();
    let location = format!("location={address}/stream");
    let output = run(
        "gst-launch-1.0",
        &["souphttpsrc", &location, "!", "multipartdemux", "!", "jpegdec", "!", "fakesink", "num-buffers=30"],
    )
    .expect("GStreamer is installed");
    // fakesink ends the pipeline as an end of stream after its last picture.
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    server.stop();
}

#[test]
fn curl_takes_a_snapshot() {
    let (server, address) = server();
    let output = run("curl", &["-sSf", &format!("{address}/snapshot")]).expect("curl is installed");
    assert_eq!(size(&output.stdout).to_string(), "320x240");
    let output = run("curl", &["-sSf", "-0", &format!("{address}/cameras/steady/snapshot")]);
    assert_eq!(size(&output.unwrap().stdout).to_string(), "160x120");
    server.stop();
}

/// VLC records what it watches. It refuses to run as root, so there it runs as nobody.
#[test]
fn vlc_watches() {
    let (server, address) = server();
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    let file = directory.path().join("watched.avi");
    let record = format!("--sout=#std{{access=file,mux=avi,dst={}}}", file.display());
    let mut command = Command::new("vlc");
    command.args(["-I", "dummy", "--no-audio", &record, &format!("{address}/stream")]);
    command.env("HOME", directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let mut vlc = command.spawn().expect("vlc is installed");
    // The head of an AVI file says how its pictures are coded; some of them must follow.
    eventually("VLC records pictures", || {
        let recorded = std::fs::read(&file).unwrap_or_default();
        let pictures = recorded.windows(4).filter(|four| four == b"00dc").count();
        (pictures >= 10 && recorded.windows(4).any(|four| four == b"MJPG")).then_some(())
    });
    vlc.kill().unwrap();
    vlc.wait().unwrap();
    server.stop();
}

#[test]
fn ffmpeg_is_a_camera() {
    camera_gives(
        "exec:ffmpeg -loglevel error -re -f lavfi -i testsrc2=size=320x240:rate=10 -c:v mjpeg -f mjpeg -",
        "320x240",
    );
}

#[test]
fn ffmpeg_that_cannot_is_quoted() {
    let server =
        Server::camera("exec:ffmpeg -hide_banner -loglevel error -f v4l2 -i /dev/video250 -f mjpeg -");
    server.lost_for("cam", "/dev/video250: No such file or directory");
    server.stop();
}

#[test]
fn gstreamer_is_a_camera() {
    camera_gives(
        "exec:gst-launch-1.0 -q videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=10/1 ! \
         jpegenc ! fdsink",
        "320x240",
    );
}

#[test]
fn a_server_is_another_servers_camera() {
    let (server, address) = server();
    camera_gives(&format!("{address}/stream"), "320x240");
    camera_gives(&format!("{address}/cameras/steady/snapshot"), "160x120");
    server.stop();
}

#[test]
fn a_camera_that_writes_by_the_second_is_shown_at_once() {
    // A picture is passed on with its own last byte, not with the next one's first.
    let server =
        Server::camera(&format!("exec:sh -c 'sleep 0.2; cat {}; exec sleep 1000'", picture("baseline.jpg")));
    let mut viewer = server.watch("cam");
    viewer.next();
    assert!(viewer.during(Duration::from_millis(300)).is_empty());
    server.stop();
}
