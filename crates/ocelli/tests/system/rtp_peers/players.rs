//! What FFmpeg, GStreamer and VLC show of pushed cameras is, pixel for pixel, what the cameras' own files hold.

use std::fmt::Write as _;
use std::path::Path;

use tempfile::TempDir;

use super::corpus::{self, Jpeg};
use super::pictures::{Planes, decode, in_blocks};
use crate::processes::{eventually, until};
use crate::programs::{Running, directory, free_port, installed, run, vlc};
use crate::server::Server;

/// RTP/JPEG by its static payload type, on each of some ports.
fn description(ports: &[u16]) -> String {
    let head = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n".to_owned();
    ports.iter().fold(head, |text, port| format!("{text}m=video {port} RTP/AVP 26\r\n"))
}

/// A server with a camera for each picture, which shows it ten times a second and pushes it to the ports.
pub(super) fn pushed(directory: &TempDir, pictures: &[Jpeg], ports: impl Fn(usize) -> Vec<u16>) -> Server {
    let mut configuration = "[rtp]\nreencode = \"never\"\n".to_owned();
    for (index, picture) in pictures.iter().enumerate() {
        let file = directory.path().join(format!("{index}.jpg"));
        std::fs::write(&file, &picture.data).unwrap();
        let push: Vec<_> = ports(index).iter().map(|port| format!("rtp://127.0.0.1:{port}")).collect();
        let _ = write!(
            configuration,
            "[cameras.cam{index}]\nsource = \"file:{}?fps=10\"\npush = {push:?}\n",
            file.display()
        );
    }
    Server::configured(&configuration)
}

/// The pictures as their files have them.
fn originals(directory: &TempDir, pictures: &[Jpeg]) -> Vec<Planes> {
    let files: Vec<_> =
        pictures.iter().enumerate().map(|(index, picture)| (format!("{index}.jpg"), picture.size)).collect();
    decode(directory, &files)
}

/// The names of pictures that are shown with other pixels.
fn different(pictures: &[Jpeg], originals: &[Planes], shown: &[Planes]) -> Vec<&'static str> {
    assert_eq!((originals.len(), shown.len()), (pictures.len(), pictures.len()));
    let all = pictures.iter().zip(originals).zip(shown);
    let other = all.filter(|((_, original), shown)| shown.cropped_like(original) != **original);
    other.map(|((picture, _), _)| picture.name).collect()
}

fn ffmpeg_shows(directory: &TempDir, ports: &[u16]) -> Running {
    std::fs::write(directory.path().join("all.sdp"), description(ports)).unwrap();
    let mut line = "ffmpeg -v error -y -protocol_whitelist file,udp,rtp -i all.sdp".to_owned();
    for index in 0..ports.len() {
        let _ = write!(line, " -map 0:{index} -frames:v 1 -f rawvideo ffmpeg-{index}.raw");
    }
    Running::start(directory, &line)
}

/// Depacketised, in files that another has decoded.
fn gstreamer_takes(directory: &TempDir, ports: &[u16]) -> Running {
    let mut line = "gst-launch-1.0 -q".to_owned();
    for (index, port) in ports.iter().enumerate() {
        let _ = write!(
            line,
            " udpsrc port={port} address=127.0.0.1 caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=JPEG,payload=26 ! rtpjpegdepay ! multifilesink location=gstreamer-{index}-%d.jpg"
        );
    }
    Running::start(directory, &line)
}

#[test]
fn every_encoders_pictures_arrive_pixel_for_pixel() {
    if !installed(&["ffmpeg", "gst-launch-1.0", "cjpeg"]) {
        return;
    }
    let directory = directory();
    let pictures = corpus::all(&directory);
    let pairs: Vec<_> = pictures.iter().map(|_| (free_port(), free_port())).collect();
    let (to_ffmpeg, to_gstreamer): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    let mut ffmpeg = ffmpeg_shows(&directory, &to_ffmpeg);
    let _gstreamer = gstreamer_takes(&directory, &to_gstreamer);
    let server = pushed(&directory, &pictures, |index| vec![pairs[index].0, pairs[index].1]);
    let originals = originals(&directory, &pictures);

    until("FFmpeg shows them all", || ffmpeg.has_ended());
    let read = |file: &str| std::fs::read(directory.path().join(file)).unwrap();
    let shown: Vec<_> = pictures
        .iter()
        .enumerate()
        .map(|(index, picture)| Planes::new(in_blocks(picture.size), &read(&format!("ffmpeg-{index}.raw"))))
        .collect();
    // FFmpeg takes no tables of 16 bits, and shows such a picture with others.
    assert_eq!(different(&pictures, &originals, &shown), [corpus::WIDE]);

    let mut files = Vec::new();
    for (index, picture) in pictures.iter().enumerate() {
        // The first is whole when the second is there.
        until(picture.name, || directory.path().join(format!("gstreamer-{index}-1.jpg")).exists());
        files.push((format!("gstreamer-{index}-0.jpg"), in_blocks(picture.size)));
    }
    // GStreamer takes them, and writes a file in which they are said to be of 8 bits.
    assert_eq!(different(&pictures, &originals, &decode(&directory, &files)), [corpus::WIDE]);
    server.stop();
}

#[test]
fn every_encoders_pictures_come_back_pixel_for_pixel() {
    if !installed(&["ffmpeg", "gst-launch-1.0", "cjpeg"]) {
        return;
    }
    let directory = directory();
    let pictures = corpus::all(&directory);
    let ports: Vec<_> = pictures.iter().map(|_| free_port()).collect();
    let cameras = ports.iter().enumerate().map(|(index, port)| {
        format!("[cameras.back{index}]\nsource = \"rtp://127.0.0.1:{port}?codec=jpeg\"\n")
    });
    let receiver = Server::configured(&cameras.collect::<String>());
    let sender = pushed(&directory, &pictures, |index| vec![ports[index]]);
    let mut files = Vec::new();
    for (index, picture) in pictures.iter().enumerate() {
        receiver.until_state(&format!("back{index}"), "ready");
        let snapshot = receiver.get(&format!("/cameras/back{index}/snapshot"));
        std::fs::write(directory.path().join(format!("back-{index}.jpg")), snapshot.body).unwrap();
        files.push((format!("back-{index}.jpg"), in_blocks(picture.size)));
    }
    let originals = originals(&directory, &pictures);
    assert_eq!(different(&pictures, &originals, &decode(&directory, &files)), [""; 0]);
    sender.stop();
    receiver.stop();
}

/// A camera whose pictures have optimised Huffman tables, its size in whole units, and a port that it is pushed to.
fn optimised() -> (TempDir, Server, u16, Planes) {
    let (directory, port, size) = (directory(), free_port(), (320, 240));
    let picture = [corpus::optimised(&directory, size)];
    let server = pushed(&directory, &picture, |_| vec![port]);
    let original = originals(&directory, &picture).remove(0);
    std::fs::write(directory.path().join("stream.sdp"), description(&[port])).unwrap();
    (directory, server, port, original)
}

/// The first picture of a file of raw ones, once it is whole.
fn first(file: &Path, size: (usize, usize), head: &str) -> Planes {
    eventually("a picture is shown", || {
        let bytes = std::fs::read(file).unwrap_or_default();
        let length = size.0 * size.1 * 3 / 2;
        let begin = head.len();
        (bytes.len() >= begin + length).then(|| Planes::new(size, &bytes[begin..begin + length]))
    })
}

#[test]
fn ffmpeg_shows_optimised_pictures_pixel_for_pixel() {
    if !installed(&["ffmpeg", "cjpeg"]) {
        return;
    }
    let (directory, server, _, original) = optimised();
    run(
        &directory,
        "ffmpeg -v error -protocol_whitelist file,udp,rtp -i stream.sdp -frames:v 1 -f rawvideo shown.raw",
    );
    assert!(first(&directory.path().join("shown.raw"), (320, 240), "") == original, "other pixels");
    server.stop();
}

/// By its own decoder, as is the original then: it decodes faster and less exactly than FFmpeg.
#[test]
fn gstreamer_shows_optimised_pictures_pixel_for_pixel() {
    if !installed(&["gst-launch-1.0", "cjpeg", "ffmpeg"]) {
        return;
    }
    let (directory, server, port, _) = optimised();
    run(&directory, "gst-launch-1.0 -q filesrc location=0.jpg ! jpegdec ! filesink location=original.raw");
    let _gstreamer = Running::start(
        &directory,
        &format!(
            "gst-launch-1.0 -q udpsrc port={port} address=127.0.0.1 caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=JPEG,payload=26 ! rtpjpegdepay ! jpegdec ! filesink location=shown.raw buffer-mode=unbuffered"
        ),
    );
    let picture = |file: &str| first(&directory.path().join(file), (320, 240), "");
    assert!(picture("shown.raw") == picture("original.raw"), "other pixels");
    server.stop();
}

/// Debian's VLC is built without the library that reads session descriptions elsewhere: FFmpeg's demuxer in it does. It
/// writes the pictures that it shows to a file, behind a line that says what they are.
#[test]
fn vlc_shows_optimised_pictures_pixel_for_pixel() {
    if !installed(&["vlc", "cjpeg", "ffmpeg"]) {
        return;
    }
    let (directory, server, _, original) = optimised();
    let file = directory.path().join("shown.yuv");
    let _vlc =
        vlc(&directory, &format!("--demux=avformat --vout=yuv --yuv-file={} stream.sdp", file.display()));
    let head = eventually("VLC shows something", || {
        let bytes = std::fs::read(&file).ok()?;
        let at = bytes.windows(6).position(|six| six == b"FRAME\n" || six == b"FRAME ")?;
        Some(String::from_utf8_lossy(&bytes[..at + 6]).into_owned())
    });
    assert!(head.contains("W320 H240"), "{head}");
    assert!(first(&file, (320, 240), &head) == original, "other pixels");
    server.stop();
}
