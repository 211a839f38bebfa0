//! H.264 and H.265: FFmpeg's packets become the NAL units that it writes to a file, and ours the pictures that it decodes from
//! one.

use std::net::UdpSocket;
use std::time::Instant;

use bytes::Bytes;
use ocelli_proto::rtp::nal::{Burst, Depacketiser, Format};
use ocelli_proto::rtp::reorder::{Item, Limits, Reorder};
use ocelli_proto::rtp::{Packet, Stamp};

use super::{DEADLINE, Directory, PICTURE, free_port};

const FRAMES: usize = 24;

/// A clip whose keyframes have slices, and parameter sets before them.
fn make(directory: &Directory, format: Format) {
    let encoder = match format {
        Format::H264 => "libx264 -preset ultrafast -tune zerolatency -x264-params slices=3:keyint=12:log=-1",
        Format::H265 => "libx265 -preset ultrafast -tune zerolatency -x265-params keyint=12:log-level=none",
    };
    let name = file(format);
    directory.run(&format!(
        "ffmpeg -v error -y -f lavfi -i testsrc2=size=320x240:rate=25 -frames:v {FRAMES} -pix_fmt yuv420p -c:v {encoder} %/{name}"
    ));
}

fn file(format: Format) -> &'static str {
    match format {
        Format::H264 => "a.h264",
        Format::H265 => "a.hevc",
    }
}

/// The NAL units of a file in which start codes stand before them.
fn units_of_file(bytes: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<_> = (0..bytes.len() - 2).filter(|at| bytes[*at..].starts_with(&[0, 0, 1])).collect();
    let ends = starts[1..].iter().copied().chain([bytes.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| without_zeros(&bytes[start + 3..end])).collect()
}

/// Zero bytes behind a unit are not its own, whose last byte is never zero. FFmpeg sends one behind some of H.265's.
fn without_zeros(unit: &[u8]) -> &[u8] {
    &unit[..unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)]
}

/// The NAL units of an access unit.
fn units_of_access_unit(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (unit, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        units.push(without_zeros(unit));
        rest = behind;
    }
    units
}

/// FFmpeg sends the clip; the access units that come.
fn receive(directory: &Directory, format: Format) -> Vec<Bytes> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PICTURE)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let mut ffmpeg = directory.start(&format!(
        "ffmpeg -v error -re -framerate 25 -i %/{} -c copy -f rtp rtp://127.0.0.1:{port}?pkt_size=1200",
        file(format)
    ));
    let mut reorder = Reorder::new(Limits { wait: PICTURE, packets: 500 });
    let mut depacketiser = Depacketiser::new(format, 1 << 22);
    let (mut items, mut out) = (Vec::new(), Vec::new());
    let (begin, mut buffer) = (Instant::now(), vec![0; 65_536]);
    loop {
        assert!(begin.elapsed() < DEADLINE, "{} access units came", out.len());
        let Ok(length) = socket.recv(&mut buffer) else {
            if ffmpeg.0.try_wait().unwrap().is_some() {
                break;
            }
            continue;
        };
        let bytes = buffer[..length].to_vec();
        let packet = Packet::parse(&bytes).unwrap();
        let (ssrc, sequence) = (packet.ssrc(), packet.sequence());
        reorder.push(begin.elapsed(), ssrc, sequence, bytes, &mut items);
        for item in items.drain(..) {
            if let Item::Packet { packet, .. } = item {
                depacketiser.push(&Packet::parse(&packet).unwrap(), &mut out);
            }
        }
    }
    assert_eq!((depacketiser.dropped(), reorder.counts().lost), (0, 0));
    out.into_iter().map(|result| result.unwrap().data).collect()
}

fn packets_become_the_file(format: Format, test: &str) {
    let directory = Directory::new(test);
    make(&directory, format);
    let clip = std::fs::read(directory.0.join(file(format))).unwrap();
    let received = receive(&directory, format);
    assert_eq!(received.len(), FRAMES);
    let units: Vec<_> = received.iter().flat_map(|unit| units_of_access_unit(unit)).collect();
    assert!(units == units_of_file(&clip), "other NAL units");
}

#[test]
fn ffmpegs_h264_becomes_its_file() {
    packets_become_the_file(Format::H264, "h264-from-ffmpeg");
}

#[test]
fn ffmpegs_h265_becomes_its_file() {
    packets_become_the_file(Format::H265, "h265-from-ffmpeg");
}

/// The clip's access units: what FFmpeg sends of it, which the tests above find to be whole.
fn our_packets_become_the_pictures(format: Format, test: &str) {
    let directory = Directory::new(test);
    make(&directory, format);
    let clip = receive(&directory, format);
    let port = free_port();
    let sdp = format!(
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video {port} RTP/AVP 96\r\na=rtpmap:96 {}/90000\r\n",
        format.encoding_name()
    );
    std::fs::write(directory.0.join("stream.sdp"), sdp).unwrap();
    let mut ffmpeg = directory.start(&format!(
        "ffmpeg -v error -y -protocol_whitelist file,udp,rtp -i %/stream.sdp -fps_mode passthrough -frames:v {FRAMES} -f framemd5 %/shown.md5"
    ));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    let begin = Instant::now();
    // Refused until FFmpeg listens; one byte is no packet.
    let mut answered = 0;
    while answered < 3 {
        assert!(begin.elapsed() < DEADLINE, "FFmpeg does not listen");
        answered = if socket.send(&[0]).is_ok() { answered + 1 } else { 0 };
        std::thread::sleep(PICTURE);
    }
    let mut stamp = Stamp { payload_type: 96, sequence: 65_500, timestamp: u32::MAX - 9000, ssrc: 7 };
    let (begin, mut headers) = (Instant::now(), Vec::new());
    for (index, unit) in clip.iter().cycle().enumerate() {
        if ffmpeg.0.try_wait().unwrap().is_some() {
            break;
        }
        assert!(begin.elapsed() < DEADLINE, "FFmpeg shows nothing");
        let burst = Burst::new(format, unit, 1200).unwrap();
        burst.stamp(stamp, &mut headers);
        for (header, payload) in burst.packets(&headers) {
            let _ = socket.send(&[header, payload].concat());
        }
        stamp.sequence = stamp.sequence.wrapping_add(burst.packet_count() as u16);
        stamp.timestamp = stamp.timestamp.wrapping_add(3600);
        std::thread::sleep((PICTURE * (index as u32 + 1)).saturating_sub(begin.elapsed()));
    }
    directory.run(&format!("ffmpeg -v error -y -i %/{} -f framemd5 %/clip.md5", file(format)));
    let sums = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(directory.0.join(name)).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit(", ").next().unwrap().to_owned()).collect()
    };
    let shown = sums("shown.md5");
    assert_eq!(shown.len(), FRAMES);
    assert_eq!(shown, sums("clip.md5"));
}

#[test]
fn ffmpeg_shows_our_h264() {
    our_packets_become_the_pictures(Format::H264, "h264-to-ffmpeg");
}

#[test]
fn ffmpeg_shows_our_h265() {
    our_packets_become_the_pictures(Format::H265, "h265-to-ffmpeg");
}
