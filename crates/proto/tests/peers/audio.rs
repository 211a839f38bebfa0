//! Sound: FFmpeg's packets become the frames of its file, and ours too, where FFmpeg reads them.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use ocelli_proto::rtp::audio::{Burst, Depacketiser, Format, Frame};
use ocelli_proto::rtp::{Packet, Stamp};

use super::{DEADLINE, Directory, PICTURE, free_port};

/// Length and checksum of each frame, as FFmpeg writes them.
fn frames_of(directory: &Directory, list: &str) -> Vec<(usize, u32)> {
    let text = std::fs::read_to_string(directory.0.join(list)).unwrap();
    let line = |line: &str| {
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        (fields[4].parse().unwrap(), u32::from_str_radix(fields[5].trim_start_matches("0x"), 16).unwrap())
    };
    text.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

/// Adler-32 as FFmpeg begins it: with zero.
fn sum(data: &[u8]) -> (usize, u32) {
    let (low, high) = data.iter().fold((0_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    (data.len(), high << 16 | low)
}

/// A second of sound in `%/a.EXTENSION`, and its frames in `%/a.crc`.
fn make(directory: &Directory, encoder: &str, extension: &str) {
    directory.run(&format!(
        "ffmpeg -v error -y -f lavfi -i sine=frequency=440:sample_rate=48000:duration=1 -c:a {encoder} %/a.{extension}"
    ));
    directory.run(&format!("ffmpeg -v error -y -i %/a.{extension} -c copy -f framecrc %/a.crc"));
}

/// What comes of `%/a.EXTENSION` when FFmpeg sends it.
fn receive(directory: &Directory, format: Format, extension: &str) -> Vec<Frame> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PICTURE)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let mut ffmpeg = directory.start(&format!(
        "ffmpeg -v error -re -i %/a.{extension} -c copy -f rtp rtp://127.0.0.1:{port}?pkt_size=1200"
    ));
    let mut depacketiser = Depacketiser::new(format);
    let (begin, mut buffer, mut out) = (Instant::now(), vec![0; 65_536], Vec::new());
    loop {
        assert!(begin.elapsed() < DEADLINE, "{} frames came", out.len());
        match socket.recv(&mut buffer) {
            Ok(length) => depacketiser.push(&Packet::parse(&buffer[..length]).unwrap(), &mut out),
            Err(_) if ffmpeg.0.try_wait().unwrap().is_some() => break,
            Err(_) => {}
        }
    }
    out.into_iter().map(Result::unwrap).collect()
}

/// What FFmpeg makes of our packets, of which it gets the frames over and over.
fn through_ffmpeg(directory: &Directory, format: Format, media: &str, frames: &[Frame]) {
    let port = free_port();
    let sdp = format!(
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 97\r\n{media}\r\n"
    );
    std::fs::write(directory.0.join("stream.sdp"), sdp).unwrap();
    let mut ffmpeg = directory.start(
        "ffmpeg -v error -y -protocol_whitelist file,udp,rtp -i %/stream.sdp -c copy -frames:a 20 -f framecrc %/heard.crc"
    );
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    let mut stamp = Stamp { payload_type: 97, sequence: 65_530, timestamp: u32::MAX - 9000, ssrc: 7 };
    let (begin, mut headers) = (Instant::now(), Vec::new());
    for (index, frame) in frames.iter().cycle().enumerate() {
        if ffmpeg.0.try_wait().unwrap().is_some() {
            return;
        }
        assert!(begin.elapsed() < DEADLINE, "FFmpeg hears nothing");
        let burst = Burst::new(format, &frame.data, 100).unwrap();
        burst.stamp(stamp, &mut headers);
        for (header, payload) in burst.packets(&headers) {
            // Refused until FFmpeg listens.
            let _ = socket.send(&[header, payload].concat());
        }
        stamp.sequence = stamp.sequence.wrapping_add(burst.packet_count() as u16);
        stamp.timestamp = stamp.timestamp.wrapping_add(1024);
        let due = Duration::from_millis(20) * (index as u32 + 1);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
    }
}

#[test]
fn ffmpegs_opus_becomes_its_file() {
    let directory = Directory::new("opus-from-ffmpeg");
    make(&directory, "libopus", "ogg");
    let heard: Vec<_> =
        receive(&directory, Format::Opus, "ogg").iter().map(|frame| sum(&frame.data)).collect();
    assert_eq!(heard, frames_of(&directory, "a.crc"));
}

#[test]
fn ffmpegs_g711_becomes_its_file() {
    let directory = Directory::new("g711-from-ffmpeg");
    make(&directory, "pcm_mulaw -ar 8000", "wav");
    directory.run("ffmpeg -v error -y -i %/a.wav -c copy -f mulaw %/a.raw");
    let frames = receive(&directory, Format::G711 { channels: 1 }, "wav");
    let heard = frames.iter().flat_map(|frame| frame.data.to_vec()).collect::<Vec<_>>();
    assert!(heard == std::fs::read(directory.0.join("a.raw")).unwrap(), "other samples");
    for pair in frames.windows(2) {
        assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), pair[0].data.len() as u32);
    }
}

#[test]
fn ffmpegs_aac_becomes_its_file_and_ours_what_it_hears() {
    let directory = Directory::new("aac-with-ffmpeg");
    make(&directory, "aac -b:a 96k", "m4a");
    let format = Format::Aac { frame_ticks: 1024 };
    let frames = receive(&directory, format, "m4a");
    let sums: Vec<_> = frames.iter().map(|frame| sum(&frame.data)).collect();
    let file = frames_of(&directory, "a.crc");
    // FFmpeg collects frames for a packet, and at its end keeps those that do not fill one.
    assert!(sums.len() + 4 >= file.len(), "{} of {} frames came", sums.len(), file.len());
    assert!(file.starts_with(&sums), "other frames");
    assert!(frames.windows(2).all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) == 1024));
    // AAC-LC, 48 kHz, one channel.
    let media = "a=rtpmap:97 MPEG4-GENERIC/48000/1\r\na=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1188";
    through_ffmpeg(&directory, format, media, &frames);
    let heard = frames_of(&directory, "heard.crc");
    assert_eq!(heard.len(), 20);
    let round: Vec<_> = sums.iter().cycle().take(sums.len() + 20).copied().collect();
    assert!(round.windows(20).any(|window| window == heard), "other frames, or in another order");
}
