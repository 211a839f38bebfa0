//! `/stream.sdp`: what it says of a camera's push, and that FFmpeg, GStreamer and VLC receive by it.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use ocelli_media::Size;
use ocelli_proto::sdp::{Codec, Connection, Description, Direction, Host, PacketizationMode};
use tempfile::TempDir;

use crate::client::{request, size};
use crate::processes::{eventually, until};
use crate::programs::{Running, directory, free_port};
use crate::server::Server;

/// The protocols that FFmpeg needs leave for.
const PROTOCOLS: &str = "file,http,tcp,udp,rtp";

/// A camera called `cam` that is pushed to `targets`, and gives pictures.
fn pushing(targets: &[String]) -> Server {
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"pattern:?width=320&height=240&fps=10\"\npush = {targets:?}\n\
         [cameras.bare]\nsource = \"pattern:?width=64&height=48&fps=10\"\n"
    ));
    server.until_state("cam", "ready");
    server
}

fn described(server: &Server, target: &str) -> Description {
    let response = server.get(target);
    assert_eq!(
        (response.status, response.header("content-type")),
        (200, Some("application/sdp")),
        "{response:?}"
    );
    Description::parse(&response.body).unwrap()
}

#[test]
fn it_says_where_the_packets_go_and_what_they_are() {
    let (first, second) = (free_port(), free_port());
    let server = pushing(&[
        format!("rtp://127.0.0.1:{first}?ssrc=77"),
        format!("rtp://239.255.11.7:{second}?interface=127.0.0.1&ttl=3&payload_type=100"),
    ]);
    let description = described(&server, "/stream.sdp");
    assert_eq!((&description.name[..], description.origin.session), ("cam", 77));
    assert_eq!(description.origin.address.to_string(), "127.0.0.1");
    let medium = &description.media[0];
    assert_eq!((medium.port, medium.codec()), (first, Ok((26, Codec::Jpeg))));
    let host = Host::Address("127.0.0.1".parse().unwrap());
    assert_eq!(medium.connection, Some(Connection { host, ttl: None }));
    assert_eq!(
        (medium.size, medium.direction),
        (Some(Size { width: 320, height: 240 }), Direction::ReceiveOnly)
    );

    for target in ["1", &format!("239.255.11.7:{second}")] {
        let medium = &described(&server, &format!("/cameras/cam/stream.sdp?target={target}")).media[0];
        let host = Host::Address("239.255.11.7".parse().unwrap());
        assert_eq!(medium.connection, Some(Connection { host, ttl: Some(3) }));
        assert_eq!((medium.port, medium.codec()), (second, Ok((100, Codec::Jpeg))));
    }
    let saved = server.get("/stream.sdp");
    assert_eq!(saved.header("content-disposition"), Some("inline; filename=\"cam.sdp\""));
    assert_eq!(saved.header("cache-control"), Some("no-store"));
    let head = request(server.address(), "HEAD /stream.sdp HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    assert_eq!(head.status, 200);
    server.stop();
}

#[test]
fn what_cannot_be_described_is_answered_in_words() {
    let server = Server::configured(
        "[cameras.cam]\nsource = \"exec:sleep 1000\"\npush = [\"rtp://127.0.0.1:9\", \"rtp://no-such.invalid:9\"]\n\
         [cameras.bare]\nsource = \"pattern:?width=64&height=48&fps=10\"\n",
    );
    let error = |target: &str| {
        let response = server.get(target);
        let words = format!("{} {}", response.json()["error"], response.json()["hint"]);
        (response.status, response.header("retry-after").map(str::to_owned), words)
    };
    let (status, retry, words) = error("/stream.sdp");
    assert_eq!((status, retry.as_deref()), (503, Some("2")));
    assert!(words.contains("how the pictures of `cam` are coded is not known yet"), "{words}");
    until("the name is looked up in vain", || {
        let (status, retry, words) = error("/stream.sdp?target=1");
        assert_eq!((status, retry.as_deref()), (503, Some("2")), "{words}");
        assert!(words.contains("the address of no-such.invalid:9 is not known yet"), "{words}");
        words.contains("cannot be looked up")
    });
    for target in ["2", "127.0.0.1:10", "no-such.invalid"] {
        let (status, _, words) = error(&format!("/stream.sdp?target={target}"));
        assert_eq!(status, 404);
        assert!(words.contains("its targets, from 0 on: 127.0.0.1:9, no-such.invalid:9"), "{words}");
    }
    let (status, _, words) = error("/cameras/bare/stream.sdp");
    assert!(status == 404 && words.contains("`bare` is pushed nowhere by RTP"), "{words}");
    let (status, _, words) = error("/cameras/nobody/stream.sdp");
    assert!(status == 404 && words.contains("the cameras are: cam, bare"), "{words}");
    server.stop();
}

/// Runs a program that ends by itself, and gives what it wrote to standard output.
fn output_of(program: &str, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    eventually(&format!("{program} ends"), || child.try_wait().unwrap());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn save(server: &Server, target: &str, directory: &Path) -> String {
    let file = directory.join("cam.sdp");
    std::fs::write(&file, server.get(target).body).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn ffmpeg_receives_by_address_and_by_file() {
    let (to_host, to_group) = (free_port(), free_port());
    let server = pushing(&[
        format!("rtp://127.0.0.1:{to_host}"),
        format!("rtp://239.255.11.8:{to_group}?interface=127.0.0.1"),
    ]);
    let directory = tempfile::tempdir().unwrap();
    let receive = |input: &str, options: &[&str]| {
        let mut arguments = vec!["-loglevel", "error", "-protocol_whitelist", PROTOCOLS];
        arguments.extend_from_slice(options);
        arguments.extend_from_slice(&["-i", input, "-frames:v", "1", "-c", "copy", "-f", "mjpeg", "-"]);
        size(&output_of("ffmpeg", &arguments)).to_string()
    };
    assert_eq!(receive(&format!("http://{}/cameras/cam/stream.sdp", server.address()), &[]), "320x240");
    assert_eq!(receive(&save(&server, "/stream.sdp", directory.path()), &[]), "320x240");
    let group = save(&server, "/stream.sdp?target=1", directory.path());
    assert_eq!(receive(&group, &["-localaddr", "127.0.0.1"]), "320x240");
    server.stop();
}

#[test]
fn gstreamer_receives_by_address_and_by_file() {
    let port = free_port();
    let server = pushing(&[format!("rtp://127.0.0.1:{port}")]);
    let directory = tempfile::tempdir().unwrap();
    let file = save(&server, "/stream.sdp", directory.path());
    let sources = [
        vec!["souphttpsrc".to_owned(), format!("location=http://{}/stream.sdp", server.address())],
        vec!["filesrc".to_owned(), format!("location={file}")],
        vec!["sdpsrc".to_owned(), format!("location=sdp://{file}")],
    ];
    for source in sources {
        let picture = directory.path().join("picture.jpg");
        let location = format!("location={}", picture.display());
        let mut arguments: Vec<&str> = vec!["-q"];
        arguments.extend(source.iter().map(String::as_str));
        if source[0] != "sdpsrc" {
            arguments.extend(["!", "sdpdemux"]);
        }
        let rest = ["!", "rtpjpegdepay", "!", "identity", "eos-after=2", "!", "filesink", &location];
        arguments.extend(rest);
        output_of("gst-launch-1.0", &arguments);
        assert_eq!(size(&std::fs::read(&picture).unwrap()).to_string(), "320x240", "{source:?}");
        std::fs::remove_file(picture).unwrap();
    }
    server.stop();
}

/// VLC as Debian builds it reads session descriptions by FFmpeg's library only, and only if it is told to. It refuses to run
/// as root, so there it runs as nobody.
#[test]
fn vlc_receives_by_address_and_by_file() {
    let port = free_port();
    let server = pushing(&[format!("rtp://127.0.0.1:{port}")]);
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let saved = save(&server, "/stream.sdp", directory.path());
    for input in [format!("http://{}/stream.sdp", server.address()), saved] {
        let file = directory.path().join("watched.avi");
        let record = format!("--sout=#std{{access=file,mux=avi,dst={}}}", file.display());
        let mut command = Command::new("vlc");
        command.args(["-I", "dummy", "--no-audio", "--demux", "avformat", &record, &input]);
        command.env("HOME", directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        let mut vlc = command.spawn().expect("vlc is installed");
        // The head of an AVI file says how its pictures are coded; some of them must follow.
        eventually("VLC records pictures", || {
            let recorded = std::fs::read(&file).unwrap_or_default();
            let pictures = recorded.windows(4).filter(|four| four == b"00dc").count();
            (pictures >= 5 && recorded.windows(4).any(|four| four == b"MJPG")).then_some(())
        });
        vlc.kill().unwrap();
        vlc.wait().unwrap();
        std::fs::remove_file(file).unwrap();
    }
    server.stop();
}

/// FFmpeg as a camera of H.264 or H.265, whose pictures come by RTP and are pushed on.
fn relaying(directory: &TempDir, codec: &str, encoder: &str) -> (Server, Running) {
    let port = free_port();
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"rtp://127.0.0.1:0?codec={codec}\"\npush = \"rtp://127.0.0.1:{port}\"\n"
    ));
    let address = eventually("it says where it listens", || {
        server.stats_of("cam")["network"]["listens"].as_str().map(str::to_owned)
    });
    let response = server.get("/stream.sdp");
    assert_eq!((response.status, response.header("retry-after")), (503, Some("2")), "{response:?}");
    let camera = Running::start(
        directory,
        &format!(
            "ffmpeg -v error -re -f lavfi -i testsrc2=size=320x240:rate=25 -pix_fmt yuv420p {encoder} -f rtp \
             rtp://{address}?pkt_size=1200"
        ),
    );
    until("it is described", || server.get("/stream.sdp").status == 200);
    (server, camera)
}

/// FFmpeg and GStreamer get pictures by the description, though they come late.
fn is_received(server: &Server, depacketise: [&str; 2]) {
    let input = format!("http://{}/stream.sdp", server.address());
    let arguments = [
        "-loglevel",
        "error",
        "-protocol_whitelist",
        PROTOCOLS,
        "-i",
        &input,
        "-frames:v",
        "5",
        "-f",
        "framemd5",
        "-",
    ];
    let frames = String::from_utf8(output_of("ffmpeg", &arguments)).unwrap();
    assert_eq!(frames.lines().filter(|line| line.starts_with("0,")).count(), 5, "{frames}");
    let [depay, parse] = depacketise;
    let location = format!("location={input}");
    let pipeline = ["-q", "souphttpsrc", &location, "!", "sdpdemux", "!", depay, "!", parse, "!"];
    let end = ["identity", "eos-after=5", "!", "filesink", "location=/dev/stdout"];
    let stream = output_of("gst-launch-1.0", &[&pipeline[..], &end[..]].concat());
    assert!(stream.len() > 1000, "{} bytes", stream.len());
}

#[test]
fn h264_is_described_with_its_parameter_sets() {
    let directory = directory();
    let (server, camera) =
        relaying(&directory, "h264", "-c:v libx264 -profile:v high -preset veryfast -g 12");
    let Ok((96, Codec::H264 { mode, profile_level_id, parameter_sets })) =
        described(&server, "/stream.sdp").media[0].codec()
    else {
        panic!("no H.264");
    };
    assert_eq!((mode, profile_level_id.unwrap()[0]), (PacketizationMode::NonInterleaved, 100));
    assert_eq!(parameter_sets.iter().map(|unit| unit[0] & 0x1F).collect::<Vec<_>>(), [7, 8]);
    is_received(&server, ["rtph264depay", "h264parse"]);
    drop(camera);
    server.stop();
}

#[test]
fn h265_is_described_with_its_parameter_sets() {
    let directory = directory();
    let encoder = "-c:v libx265 -preset ultrafast -x265-params keyint=12:log-level=none";
    let (server, camera) = relaying(&directory, "h265", encoder);
    let Ok((96, Codec::H265 { parameter_sets })) = described(&server, "/stream.sdp").media[0].codec() else {
        panic!("no H.265");
    };
    assert_eq!(parameter_sets.iter().map(|unit| unit[0] >> 1).collect::<Vec<_>>(), [32, 33, 34]);
    is_received(&server, ["rtph265depay", "h265parse"]);
    drop(camera);
    server.stop();
}
