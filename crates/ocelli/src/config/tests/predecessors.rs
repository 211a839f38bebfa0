//! Files that were written for other programs.

use ocelli_media::Turn;

use super::*;
use crate::variants::{Fps, Shape};

const SENDER: &str = r#"
[mjpeg-rtp]
enabled = true
mtu = 1400
dscp = 46
stats_interval_seconds = 5

[mjpeg-rtp.camera1]
enabled = true
device = "/dev/video0"
width = 1280
height = 720
fps = 25
quality = 85
dest_host = "192.168.1.100"
dest_port = 5000
local_port = 0
ssrc = 0x12345678

[mjpeg-rtp.camera2]
enabled = false
device = "/dev/video2"
dest_host = "192.168.1.100"
dest_port = 5002

[logging]
colour = true
"#;

#[test]
fn the_rtp_senders_file_loads_as_it_stands() {
    let config = loaded(SENDER);
    assert_eq!(config.stats_interval, Some(Duration::from_secs(5)));
    let [first, second] = &config.cameras[..] else { panic!("{config:?}") };
    assert_eq!(first.name.as_str(), "camera1");
    assert_eq!(first.source.as_str(), "v4l2:///dev/video0?width=1280&height=720&fps=25");
    assert_eq!((first.enabled, first.options.quality), (true, 85));
    assert_eq!(
        first.push[0].to_string(),
        "rtp://192.168.1.100:5000?mtu=1400&dscp=46&ssrc=305419896&local_port=0"
    );
    assert_eq!((second.name.as_str(), second.enabled), ("camera2", false));
    assert_eq!((first.push[0].ssrc, first.push[0].socket.dscp), (Some(0x1234_5678), Some(46)));
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert!(!warnings.iter().any(|w| w.contains("RTP")), "{warnings:?}");
    assert!(warnings.iter().any(|w| w.contains("logging: ignored")), "{warnings:?}");
}

#[test]
fn numbered_cameras_load_with_devices_of_every_kind() {
    let config = loaded(
        r#"
[camera1]
device = "0"
width = 640
height = 480
fps = 30
flip_method = "rotate-180"
[camera2]
device = 1
flip_method = 2
[camera3]
device = "pattern:?width=320"
[camera4]
device = "/dev/video9"
[camera10]
device = "/base/axi/pcie@1000120000/rp1/i2c@80000/imx708@1a"
"#,
    );
    let sources: Vec<&str> = config.cameras.iter().map(|camera| camera.source.as_str()).collect();
    assert!(sources[0].starts_with("exec:rpicam-vid -t 0 ") && sources[0].contains("--hflip --vflip"));
    assert!(sources[1].contains("--camera 1 --width 640") && sources[1].contains("--hflip --vflip"));
    assert_eq!(sources[2], "pattern:?width=320");
    assert_eq!(sources[3], "v4l2:///dev/video9?width=640&height=480&fps=30");
    assert_eq!(config.cameras[4].name.as_str(), "camera10");
    assert!(config.warnings.iter().any(|w| w.text.contains("cannot choose a camera by its name")));
}

#[test]
fn the_mode_decides_which_of_two_tables_counts() {
    let text = "[camera1]\ndevice = \"/dev/video1\"\nwidth = 320\n[mjpeg-rtp]\nenabled = false\n\
                    [mjpeg-rtp.camera1]\ndevice = \"/dev/video7\"\nheight = 1080\n\
                    dest_host = \"h\"\ndest_port = 5000";
    let with = |mode| from_text(text, &ServeArgs { mode, ..args() }, AROUND).unwrap();
    let plain = with(Some(Mode::Webrtc));
    assert_eq!(plain.cameras[0].source.as_str(), "v4l2:///dev/video1?width=320&height=1080&fps=30");
    assert!(plain.warnings.iter().any(|w| w.text.contains("WebRTC (`-mode webrtc`)")), "{plain:?}");
    let sending = with(Some(Mode::MjpegRtp));
    assert_eq!(sending.cameras[0].source.as_str(), "v4l2:///dev/video7?width=320&height=1080&fps=30");
    assert_eq!(sending.cameras[0].push.len(), 1);
}

const BROWSER: &str = r#"
[server]
host = "127.0.0.1"
port = 8080
websocket_port = 8081
[rtsp]
url = "rtsp://admin:${CAMERA_PASSWORD}@192.168.1.7:554/stream"
transport = "tcp"
reconnect_interval = 5
[transcoding]
output_format = "mjpeg"
quality = 80
framerate = 15
resolution = "1280x720"
max_latency_ms = 200
[ffmpeg]
enabled = true
path = "ffmpeg"
extra_args = ["-flags", "low_delay", "-threads", "1"]
[performance]
worker_threads = 4
max_clients = 60
frame_buffer_size = 30
"#;

#[test]
fn the_rtsp_servers_file_loads_and_its_camera_is_read_by_ffmpeg() {
    let config = loaded(&BROWSER.replace("admin:${CAMERA_PASSWORD}@", ""));
    assert_eq!(config.http, ([127, 0, 0, 1], 8080).into());
    assert_eq!((config.limits.viewers, config.limits.buffer_size), (60, 30));
    assert_eq!(config.limits.worker_threads, Some(4));
    assert_eq!(
        config.cameras[0].source.as_str(),
        "ffmpeg:rtsp://192.168.1.7:554/stream#video=mjpeg&audio=off&input=-rtsp_transport tcp&output=-r 15 -s 1280x720"
    );
    assert_eq!(config.cameras[0].options.reconnect_interval, Some(Duration::from_secs(5)));
    assert_eq!(config.cameras[0].pixels.shape, Shape::default(), "FFmpeg does it all");
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
    assert!(config.warnings[0].text.contains("FFmpeg reads this camera and turns it into MJPEG"));
    assert!(config.warnings[1].text.contains("WebSocket (`server.websocket_port`"));
}

#[test]
fn what_the_rtsp_server_transcodes_is_transcoded_here() {
    let untouched = BROWSER.replace("enabled = true", "enabled = false").replace("\"tcp\"", "\"udp\"");
    let config = loaded(&untouched);
    let camera = &config.cameras[0];
    assert_eq!(camera.source.as_str(), "rtsp://admin:hunter2@192.168.1.7:554/stream");
    assert_eq!(camera.options.transport, Transport::Udp);
    assert_eq!(camera.options.reconnect_interval, Some(Duration::from_secs(5)));
    assert_eq!((camera.options.silence_timeout, camera.options.quality), (Duration::from_secs(5), 80));
    let shape = Shape { width: Some(1280), height: Some(720), fps: Fps::new(15.0), ..Shape::default() };
    assert_eq!((camera.pixels.shape, camera.pixels.max_latency), (shape, Duration::from_millis(200)));
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(config.warnings[0].text.contains("server.websocket_port"));
    let bare = loaded("[rtsp]\nurl = \"rtsp://192.168.1.7/stream\"\n");
    assert_eq!((bare.cameras[0].source.scheme(), bare.warnings.len()), ("rtsp", 0));
    assert_eq!(bare.cameras[0].options.reconnect_interval, None);
    assert_eq!(bare.cameras[0].pixels, PixelOptions::default());
}

#[test]
fn the_rtsp_servers_formats_and_bounds_are_read() {
    let with = |transcoding: &str| {
        loaded(&format!(
            "[rtsp]\nurl = \"rtsp://h/s\"\n[transcoding]\n{transcoding}\n[ffmpeg]\nenabled = true\n"
        ))
    };
    let h264 = with("output_format = \"H264\"\nmax_latency_ms = 0");
    assert_eq!(h264.cameras[0].source.scheme(), "rtsp", "FFmpeg is not asked where nothing is said to it");
    assert_eq!(h264.cameras[0].pixels.shape.codec, Some(Codec::H264));
    assert_eq!(h264.cameras[0].pixels.max_latency, Duration::from_secs(60));
    assert!(h264.cameras[0].pixels.by_ffmpeg, "but where it is enabled, it decodes and encodes");
    let silent =
        loaded("[rtsp]\nurl = \"rtsp://h/s\"\n[transcoding]\nquality = 50\n[ffmpeg]\npath = \"ffmpeg\"\n");
    assert!(!silent.cameras[0].pixels.by_ffmpeg, "nobody has said that it should");
    let absent = loaded("[rtsp]\nurl = \"rtsp://h/s\"\n[ffmpeg]\nenabled = true\npath = \"/opt/ffmpeg\"\n");
    assert!(!absent.cameras[0].pixels.by_ffmpeg && absent.warnings[0].text.contains("not installed"));
    let raw = with("output_format = \"raw\"");
    assert!(raw.warnings[0].text.contains("raw pictures to browsers"), "{:?}", raw.warnings);
    let odd = with("output_format = \"vp9\"\nresolution = \"big\"\nmax_latency_ms = 1");
    assert_eq!((odd.warnings.len(), odd.cameras[0].pixels.max_latency), (2, Duration::from_millis(10)));
}

#[test]
fn pictures_that_no_program_turns_are_turned_here() {
    let config = loaded(
        "[camera1]\ndevice = \"pattern:\"\nflip_method = \"clockwise\"\n[camera2]\ndevice = \"0\"\nflip_method = 1\n\
         [camera3]\ndevice = \"0\"\nflip_method = 2\n",
    );
    let turns: Vec<Turn> = config.cameras.iter().map(|camera| camera.pixels.shape.turn).collect();
    assert_eq!(turns, [Turn::Clockwise, Turn::Clockwise, Turn::None]);
    assert_eq!(config.warnings, []);
}

#[test]
fn an_rtsp_cameras_own_keys_are_read() {
    let config = loaded(
        "[cameras.a]\nsource = \"rtsp://h/\"\ntransport = \"udp\"\nreconnect_interval = 2.5\n\
             [cameras.b]\nsource = \"rtsp://h/\"\nsilence_timeout_seconds = 20\n[cameras.c]\nsource = \"pattern:\"\n",
    );
    let [a, b, c] = &config.cameras[..] else { panic!() };
    assert_eq!(a.options.transport, Transport::Udp);
    assert_eq!(a.options.reconnect_interval, Some(Duration::from_millis(2500)));
    assert_eq!(a.options.silence_timeout, Duration::from_secs(5));
    assert_eq!(b.options.transport, Transport::Auto);
    assert_eq!(
        (b.options.silence_timeout, c.options.silence_timeout),
        (Duration::from_secs(20), Duration::from_secs(10))
    );
    let errors =
        refused("[cameras.a]\nsource = \"rtsp://h/\"\ntransport = \"quic\"\nreconnect_interval = 0\n");
    assert!(errors.contains("reconnect_interval") && errors.contains("transport"), "{errors}");
}

#[test]
fn a_password_is_told_ffmpeg_and_nobody_else() {
    let in_query = |query: &str| {
        BROWSER.replace("admin:${CAMERA_PASSWORD}@", "").replace("/stream", &format!("/stream?{query}"))
    };
    for file in
        [BROWSER.to_owned(), in_query("user=admin&pwd=${CAMERA_PASSWORD}"), in_query("a=${CAMERA_PASSWORD}")]
    {
        let config = loaded(&file);
        let source = &config.cameras[0].source;
        assert!(source.scheme() == "ffmpeg" && source.as_str().contains("hunter2"), "{source}");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

#[test]
fn a_variable_among_the_extra_words_is_not_shown() {
    let config = loaded(&BROWSER.replace("\"low_delay\"", "\"${CAMERA_PASSWORD}\""));
    assert_eq!(config.ffmpeg.extra_args()[1], "hunter2");
    assert_eq!(config.cameras[0].options.ffmpeg, config.ffmpeg);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn without_ffmpeg_the_camera_is_there() {
    let config = loaded(&BROWSER.replace("enabled = true", "enabled = false"));
    assert_eq!(config.cameras[0].source.scheme(), "rtsp");
    let config = loaded(&BROWSER.replace("rtsp://admin", "http://admin"));
    assert_eq!(config.cameras[0].source.scheme(), "http");
}

#[test]
fn their_mistakes_are_reported_like_ours() {
    let errors = refused(
        "[server]\nhost = \"here\"\nport = 80800\n[rtsp]\ntransport = \"tpc\"\n[camera1]\nflip_method = \"up\"",
    );
    assert_eq!(errors.lines().count(), 4, "{errors}");
    assert!(errors.contains(":2:8: server.host: found \"here\"; expected an IP address"), "{errors}");
    assert!(errors.contains("did you mean `tcp`?"), "{errors}");
    assert!(errors.contains("camera1.flip_method: found \"up\"; expected none, clockwise"), "{errors}");
    assert!(refused("[rtsp]\n").contains("the key `url` is missing"));
}
