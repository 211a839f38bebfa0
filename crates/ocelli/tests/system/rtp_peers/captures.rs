//! What tshark, Wireshark without a window, makes of our packets: nothing in them is malformed or deserves a warning.
//!
//! The capture is a file that the test writes of what its own socket received, so nobody needs to be root.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::corpus;
use super::players::pushed;
use crate::processes::SOON;
use crate::programs::{Running, directory, free_port, installed};
use crate::relay::{Faults, Relay};
use crate::server::Server;

/// One packet: when it came, from and to which port, what it holds.
pub(super) type Captured = (Duration, u16, u16, Vec<u8>);

/// Receives on all of `sockets` until `enough` says so of what came.
pub(super) fn receive(sockets: &[UdpSocket], mut enough: impl FnMut(&[Captured]) -> bool) -> Vec<Captured> {
    let (begin, mut packets, mut buffer) = (Instant::now(), Vec::new(), vec![0; 65_536]);
    for socket in sockets {
        socket.set_nonblocking(true).unwrap();
    }
    while !enough(&packets) {
        assert!(begin.elapsed() < SOON, "{} packets came", packets.len());
        for socket in sockets {
            let to = socket.local_addr().unwrap().port();
            while let Ok((length, SocketAddr::V4(from))) = socket.recv_from(&mut buffer) {
                packets.push((begin.elapsed(), from.port(), to, buffer[..length].to_vec()));
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    packets
}

/// The values of `fields` in each packet, as tshark sees them when the payload of UDP is decoded by `rules`.
///
/// # Panics
/// It finds something malformed, or worth a warning.
pub(super) fn dissect(
    directory: &TempDir,
    packets: &[Captured],
    rules: &[String],
    fields: &[&str],
) -> Vec<Vec<String>> {
    let file = directory.path().join("capture.pcap");
    std::fs::write(&file, pcap(packets)).unwrap();
    let shown = ["_ws.malformed", "_ws.expert.severity", "_ws.expert.message"];
    let mut command = Command::new("tshark");
    command.arg("-r").arg(&file).args(["-n", "-T", "fields", "-E", "separator=|"]);
    command.args(rules.iter().flat_map(|rule| ["-d", rule]));
    command.args(shown.iter().chain(fields).flat_map(|field| ["-e", field]));
    let output = command.env("HOME", directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut rows = Vec::new();
    let mut complaints = String::new();
    for (index, line) in text.lines().enumerate() {
        let values: Vec<_> = line.split('|').map(str::to_owned).collect();
        assert_eq!(values.len(), shown.len() + fields.len(), "{line}");
        // A warning or worse; chats and notes are below. Where it stops to read H.264 is tshark's own affair.
        let levels = values[1].split(',').filter_map(|text| text.parse().ok());
        let severe = levels
            .zip(values[2].split(','))
            .any(|(level, message): (u32, _)| level >= 0x60_0000 && message != "[Not decoded yet]");
        if severe || !values[0].is_empty() {
            let _ = writeln!(complaints, "packet {}: {line}", index + 1);
        }
        rows.push(values[shown.len()..].to_vec());
    }
    assert!(complaints.is_empty(), "tshark complains:\n{complaints}");
    assert_eq!(rows.len(), packets.len());
    rows
}

/// A capture file of bare IPv4 packets on loopback.
fn pcap(packets: &[Captured]) -> Vec<u8> {
    const RAW_IP: u32 = 101;
    let mut out = Vec::new();
    for word in [0xA1B2_C3D4_u32, 2 | 4 << 16, 0, 0, 65_535, RAW_IP] {
        out.extend(word.to_le_bytes());
    }
    for (time, from, to, payload) in packets {
        let udp_length = 8 + payload.len() as u16;
        let mut ip = vec![0x45, 0];
        ip.extend((20 + udp_length).to_be_bytes());
        // Not fragmented; 64 hops; UDP; no checksum; from loopback to loopback.
        ip.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        for half in [*from, *to, udp_length, 0] {
            ip.extend(half.to_be_bytes());
        }
        ip.extend(payload);
        let length = ip.len() as u32;
        for word in [time.as_secs() as u32, time.subsec_micros(), length, length] {
            out.extend(word.to_le_bytes());
        }
        out.extend(ip);
    }
    out
}

const FIELDS: [&str; 9] = [
    "udp.dstport",
    "rtp.version",
    "rtp.p_type",
    "rtp.marker",
    "rtp.seq",
    "rtp.timestamp",
    "jpeg.main_hdr.offset",
    "jpeg.main_hdr.type",
    "jpeg.main_hdr.q",
];

/// Whole pictures that came to `port`: packets with the marker.
fn pictures(packets: &[Captured], port: u16) -> usize {
    packets.iter().filter(|(.., to, bytes)| *to == port && bytes[1] & 0x80 != 0).count()
}

#[test]
fn tshark_finds_nothing_wrong_with_pushed_pictures() {
    if !installed(&["tshark", "cjpeg", "ffmpeg", "gst-launch-1.0"]) {
        return;
    }
    let directory = directory();
    let cameras = corpus::all(&directory);
    let ports: Vec<_> = cameras.iter().map(|_| free_port()).collect();
    let sockets: Vec<_> = ports.iter().map(|port| UdpSocket::bind(("127.0.0.1", *port)).unwrap()).collect();
    let server = pushed(&directory, &cameras, |index| vec![ports[index]]);
    let packets = receive(&sockets, |packets| ports.iter().all(|port| pictures(packets, *port) >= 3));
    server.stop();

    let rules: Vec<_> = ports.iter().map(|port| format!("udp.port=={port},rtp")).collect();
    let rows = dissect(&directory, &packets, &rules, &FIELDS);
    let mut types: Vec<_> = rows.iter().map(|row| row[7].clone()).collect();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types, ["0", "1", "64", "65"]);
    for port in ports {
        let rows = rows.iter().filter(|row| row[0] == port.to_string());
        let number = |row: &Vec<String>, field: usize| row[field].parse::<u32>().unwrap();
        let mut last: Option<&Vec<String>> = None;
        for row in rows {
            assert_eq!((row[1].as_str(), row[2].as_str()), ("2", "26"), "{row:?}");
            assert!((128..=255).contains(&number(row, 8)), "{row:?}");
            if let Some(last) = last {
                assert_eq!(number(row, 4), (number(last, 4) + 1) % 65_536, "{last:?} {row:?}");
                let (ended, began) = (last[3] == "1", row[6] == "0");
                assert_eq!(ended, began, "{last:?} {row:?}");
                assert_eq!(ended, row[5] != last[5], "{last:?} {row:?}");
            }
            last = Some(row);
        }
    }
}

/// Sockets for RTP and, on the port above, for RTCP.
fn pair() -> (u16, [UdpSocket; 2]) {
    let port = free_port();
    (port, [port, port + 1].map(|port| UdpSocket::bind(("127.0.0.1", port)).unwrap()))
}

#[test]
fn tshark_finds_nothing_wrong_with_a_senders_reports() {
    if !installed(&["tshark"]) {
        return;
    }
    let directory = directory();
    let (port, sockets) = pair();
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"pattern:?width=160&height=120&fps=10\"\npush = [\"rtp://127.0.0.1:{port}?ssrc=7\"]\n"
    ));
    let reports = |packets: &[Captured]| packets.iter().filter(|(_, _, to, _)| *to == port + 1).count();
    let packets = receive(&sockets, |packets| reports(packets) >= 2);
    server.stop();
    let rules = [format!("udp.port=={port},rtp"), format!("udp.port=={},rtcp", port + 1)];
    let fields = ["udp.dstport", "rtcp.pt", "rtcp.senderssrc", "rtcp.sdes.text", "rtcp.length_check"];
    let rows = dissect(&directory, &packets, &rules, &fields);
    for row in rows.iter().filter(|row| row[0] != port.to_string()) {
        // A sender report, then the canonical name (RFC 3550 6.1).
        assert!(row[1].starts_with("200,202"), "{row:?}");
        assert!(row[2].starts_with("0x00000007") && !row[3].is_empty() && row[4] == "1", "{row:?}");
    }
}

#[test]
fn tshark_finds_nothing_wrong_with_h264_sent_on() {
    if !installed(&["tshark", "ffmpeg"]) {
        return;
    }
    let directory = directory();
    let (taken, (port, sockets)) = (free_port(), pair());
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"rtp://127.0.0.1:{taken}?codec=h264\"\npush = [\"rtp://127.0.0.1:{port}?mtu=700\"]\n"
    ));
    let _ffmpeg = Running::start(
        &directory,
        &format!(
            "ffmpeg -v error -re -f lavfi -i testsrc2=size=320x240:rate=25 -c:v libx264 -preset ultrafast -tune zerolatency -g 12 -pix_fmt yuv420p -f rtp rtp://127.0.0.1:{taken}?pkt_size=1400"
        ),
    );
    let packets = receive(&sockets, |packets| pictures(packets, port) >= 30);
    server.stop();
    let rules =
        [format!("udp.port=={port},rtp"), "rtp.pt==96,h264".into(), format!("udp.port=={},rtcp", port + 1)];
    let rows =
        dissect(&directory, &packets, &rules, &["udp.dstport", "rtp.p_type", "h264.nal_unit_hdr", "rtp.seq"]);
    let rows: Vec<_> = rows.into_iter().filter(|row| row[0] == port.to_string()).collect();
    let units: BTreeSet<u8> =
        rows.iter().flat_map(|row| row[2].split(',')).filter_map(|unit| unit.parse().ok()).collect();
    // Parameter sets, a keyframe in parts (FU-A), and others.
    assert!([7, 8, 28].iter().all(|unit| units.contains(unit)), "{units:?}");
    assert!(rows.iter().all(|row| row[1] == "96"), "{rows:?}");
    for pair in rows.windows(2) {
        let number = |row: &[String]| row[3].parse::<u16>().unwrap();
        assert_eq!(number(&pair[1]), number(&pair[0]).wrapping_add(1));
    }
}

/// FFmpeg's H.264 comes to a camera with losses; what the camera says of them goes to the port above the sender's.
#[test]
fn tshark_finds_nothing_wrong_with_a_receivers_reports() {
    if !installed(&["tshark", "ffmpeg"]) {
        return;
    }
    let directory = directory();
    let (taken, (port, [media, reports])) = (free_port(), pair());
    let server = Server::configured(&format!(
        "[cameras.cam]\nsource = \"rtp://127.0.0.1:{taken}?codec=h264\"\non_lost = \"hold\"\n"
    ));
    let to = SocketAddr::from(([127, 0, 0, 1], taken));
    let _relay = Relay::start(media, None, vec![to], Faults { lost: 30, late: 0, twice: 0 });
    let _ffmpeg = Running::start(
        &directory,
        &format!(
            "ffmpeg -v error -re -f lavfi -i testsrc2=size=320x240:rate=25 -c:v libx264 -preset ultrafast -tune zerolatency -g 12 -pix_fmt yuv420p -f rtp rtp://127.0.0.1:{port}?pkt_size=700"
        ),
    );
    // From the port above the camera's: a report in front, and somewhere a request for a keyframe.
    let own = |packet: &&Captured| packet.1 == taken + 1;
    let asks = |packet: &Captured| packet.3.windows(2).any(|two| two == [0x81, 206]);
    let packets = receive(&[reports], |packets| {
        let own = packets.iter().filter(own);
        own.clone().count() >= 3 && own.clone().any(asks)
    });
    server.stop();
    let packets: Vec<_> = packets.iter().filter(own).cloned().collect();
    let rules = [format!("udp.port=={},rtcp", port + 1)];
    let rows = dissect(&directory, &packets, &rules, &["rtcp.pt", "rtcp.sdes.text", "rtcp.length_check"]);
    for row in &rows {
        // A receiver report, then the canonical name (RFC 3550 6.1).
        assert!(row[0].starts_with("201,202") && !row[1].is_empty() && row[2] == "1", "{row:?}");
    }
    assert!(rows.iter().any(|row| row[0].ends_with(",206")), "{rows:?}");
}
