//! Every key of a configuration file, once: the loader checks against these tables, takes its defaults from them, and
//! the JSON schema is made of them, so that none can drift from another.

use ocelli_codec::worker::protocol::MOST_WANTED;

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As written in the file.
    pub name: &'static str,
    /// What its value may be, and what it is when the key is not there.
    pub kind: Kind,
    /// What it means, in one sentence.
    pub about: &'static str,
    /// The part of the program that it belongs to, while that part is not there yet. The key is then checked,
    /// reported in one warning and otherwise ignored.
    pub planned: Option<&'static str>,
}

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A text without a default.
    Text,
    /// `"address:port"`, `":port"` or a bare port.
    Address(&'static str),
    /// The same, or `"off"`.
    AddressOrOff(&'static str),
    /// `true` or `false`.
    Flag(bool),
    /// A whole number within bounds; the default stands last.
    Integer(i64, i64, Option<i64>),
    /// A time in seconds, whole or not, within bounds; the default, if there is one, stands last.
    Seconds(f64, f64, Option<f64>),
    /// A number, whole or not, within bounds.
    Number(f64, f64),
    /// One of a few words; the first is the default.
    Choice(&'static [&'static str]),
    /// One of a few whole numbers; the first is the default.
    OneOf(&'static [i64]),
    /// A list of some of a few words, the one that counts most first; a single one counts as a list.
    Words(&'static [&'static str]),
    /// A list of texts; a single text counts as a list of one.
    Texts,
    /// A text or a whole number: predecessors wrote devices and rotations both ways.
    TextOrInteger,
    /// A table of tables, looked into elsewhere.
    Tables,
    /// Anything at all.
    Anything,
}

const fn key(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, about, planned: None }
}

const fn planned(name: &'static str, kind: Kind, feature: &'static str, about: &'static str) -> Key {
    Key { name, kind, about, planned: Some(feature) }
}

/// A table of the file: its name, its keys, what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// As written between the brackets.
    pub name: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// What it is for, in one sentence.
    pub about: &'static str,
}

/// `[listen]`
pub const LISTEN: Table = Table {
    name: "listen",
    about: "Where the server listens.",
    keys: &[
        key(
            "http",
            Kind::Address("0.0.0.0:8080"),
            "Address and port of the web page, MJPEG, snapshots and the API. Port 0 takes any free port.",
        ),
        key(
            "rtsp",
            Kind::AddressOrOff("0.0.0.0:8554"),
            "Address and port of the RTSP server, or `\"off\"`. Port 0 takes any free port.",
        ),
        planned(
            "webrtc",
            Kind::Address("0.0.0.0:8189"),
            "WebRTC",
            "Address and port of WebRTC media, UDP and TCP.",
        ),
    ],
};

/// `[limits]`
pub const LIMITS: Table = Table {
    name: "limits",
    about: "What the server may use; past a limit a request gets 503 with Retry-After.",
    keys: &[
        key(
            "viewers",
            Kind::Integer(1, 1_000_000, Some(100)),
            "How many viewers may watch at the same time, all protocols together.",
        ),
        key(
            "connections",
            Kind::Integer(1, 1_000_000, None),
            "How many network connections may be open at the same time, viewers included. Default: 1024, or a \
             quarter more than `viewers` when that is more.",
        ),
        key(
            "request_head_bytes",
            Kind::Integer(1024, 1 << 20, Some(16 << 10)),
            "Longest request head (request line and headers) accepted, in bytes.",
        ),
        key(
            "request_timeout_seconds",
            Kind::Seconds(0.1, 3600.0, Some(10.0)),
            "How long a client may take to send a request's head.",
        ),
        key(
            "buffer_size",
            Kind::Integer(2, 4096, Some(32)),
            "How many pictures that stand for themselves are kept of each stream for those who read more slowly than they come, in pictures: of H.264 and H.265, how many groups, each from a keyframe to the next.",
        ),
        key(
            "worker_threads",
            Kind::Integer(1, 1024, None),
            "Threads that serve the network. Default: one for each core.",
        ),
        key(
            "encoders",
            Kind::Integer(0, 1024, Some(16)),
            "How many streams of other sizes, qualities or codecs than the cameras' own may be made at the same time.",
        ),
        key(
            "variants_per_camera",
            // One picture is given to no more of them.
            Kind::Integer(0, MOST_WANTED as i64, Some(8)),
            "How many of them may be one camera's.",
        ),
    ],
};

/// `[http]`
pub const HTTP: Table = Table {
    name: "http",
    about: "How HTTP requests are answered.",
    keys: &[key(
        "cors",
        Kind::Texts,
        "Origins whose pages may read from this server (`https://example.org`), or `*` for all. Default: none.",
    )],
};

/// `[log]`
pub const LOG: Table = Table {
    name: "log",
    about: "What is written to the log.",
    keys: &[
        key(
            "level",
            Kind::Choice(&["info", "trace", "debug", "warn", "error", "off"]),
            "Least important kind of line that is written. The environment variable RUST_LOG, when set, decides instead.",
        ),
        key(
            "stats_interval_seconds",
            Kind::Seconds(0.0, 86_400.0, Some(30.0)),
            "Time between two lines of statistics for each camera; 0 writes none.",
        ),
    ],
};

/// `[rtp]`
pub const RTP: Table = Table {
    name: "rtp",
    about: "How cameras are pushed by RTP, where a `push` address does not say otherwise.",
    keys: &[
        key(
            "reencode",
            Kind::Choice(&["auto", "never"]),
            "What is done with JPEGs that RTP cannot carry: encode them anew, or refuse them.",
        ),
        key(
            "min_fps",
            Kind::Integer(1, 1000, Some(5)),
            "The frame rate is not lowered below this for a receiver that loses packets, in pictures a second.",
        ),
        key(
            "min_quality",
            Kind::Integer(1, 100, None),
            "The quality is not lowered below this for a receiver that loses packets, 1 to 100. Default: the quality is \
             left alone.",
        ),
    ],
};

/// `[rtsp_server]`
pub const RTSP_SERVER: Table = Table {
    name: "rtsp_server",
    about: "How cameras are served by RTSP.",
    keys: &[
        key("tcp", Kind::Flag(true), "Whether packets may travel within the connection."),
        key("udp", Kind::Flag(true), "Whether packets may travel by UDP, to ports of the client's."),
        key(
            "udp_port",
            Kind::Integer(1024, 65_534, None),
            "The port that RTP comes from by UDP, and RTCP from the next, for all clients: what a firewall has to let out. \
             Default: free ones.",
        ),
        key(
            "multicast",
            Kind::Text,
            "The multicast addresses that packets may travel to, once for all who watch a camera: a range such as \
             `239.255.42.0/24`, of which each camera has one, in their order. Default: none.",
        ),
        key(
            "multicast_port",
            Kind::Integer(1024, 65_000, Some(5004)),
            "The port of a group that RTP goes to, and RTCP to the next; sound to the two that follow.",
        ),
        key(
            "multicast_ttl",
            Kind::Integer(1, 255, Some(1)),
            "How far multicast packets go: 1 stays in the network, each router takes one off.",
        ),
        key(
            "multicast_interface",
            Kind::Text,
            "The network interface that multicast packets leave by, by its name or one of its addresses. Default: as the \
             routes have it.",
        ),
        key(
            "session_timeout_seconds",
            Kind::Integer(1, 86_400, Some(60)),
            "How long a client by UDP may give no sign of life before its session ends, in whole seconds. Five seconds \
             more are allowed for its being on the way.",
        ),
        key(
            "mtu",
            Kind::Integer(256, 65_535, Some(1400)),
            "Longest packet, in bytes, with the headers of RTP, UDP and IP.",
        ),
        key(
            "connections",
            Kind::Integer(1, 1_000_000, None),
            "How many connections may be open at the same time; further ones are closed. Default: as `connections` in \
             `[limits]`.",
        ),
        key(
            "connections_per_address",
            Kind::Integer(1, 1_000_000, None),
            "How many connections one address may have at the same time; further ones are closed. A session through HTTP \
             takes two. Default: nine tenths of `connections`.",
        ),
        key(
            "half_open_per_address",
            Kind::Integer(1, 1_000_000, Some(64)),
            "How many connections of one address may be without a request for more than a second; further ones of that \
             address are closed.",
        ),
        key(
            "sessions_per_address",
            Kind::Integer(1, 1_000_000, None),
            "How many sessions one address may have at the same time. Default: as `viewers` in `[limits]`.",
        ),
    ],
};

/// `[ffmpeg]`
pub const FFMPEG: Table = Table {
    name: "ffmpeg",
    about: "The FFmpeg program, which reads `ffmpeg:` cameras, and decodes and encodes for others what the worker cannot.",
    keys: &[
        key("enabled", Kind::Flag(true), "Whether it is used."),
        key(
            "path",
            Kind::Text,
            "Where it is, or what it is called among the programs of `PATH`. Default: `ffmpeg`.",
        ),
        key(
            "extra_args",
            Kind::Texts,
            "More words for its command line. Options of what is read (`-rtsp_transport`, `-hwaccel`, `-analyzeduration` and the like) \
             are put before its input, all others behind.",
        ),
    ],
};

/// `[cameras.NAME]`
pub const CAMERA: Table = Table {
    name: "cameras",
    about: "One camera; NAME stands in its addresses. The first camera of the file is the one that `/stream` and \
            `/snapshot` show.",
    keys: &[
        key(
            "source",
            Kind::Text,
            "Where its pictures come from: `v4l2:///dev/video0?width=1280`, `exec:rpicam-vid …`, `rtsp://user:password@host/path`, `http://…`, \
             `rtp://0.0.0.0:5000`, `file:clip.mjpeg`, `ffmpeg:rtmp://…`, `publish:`, `pattern:`. Required.",
        ),
        key("enabled", Kind::Flag(true), "Whether the camera is used."),
        key(
            "on_demand",
            Kind::Flag(false),
            "Start the camera with its first viewer and stop it 10 s after the last, instead of running it always.",
        ),
        key(
            "on_lost",
            Kind::Choice(&["picture", "hold", "close"]),
            "What viewers see while the camera is lost: a picture that says why, the last picture, or the end of \
             their stream.",
        ),
        key(
            "quality",
            Kind::Integer(1, 100, Some(80)),
            "JPEG quality of pictures that are encoded here, 1 (smallest) to 100 (best).",
        ),
        key(
            "max_frame_bytes",
            Kind::Integer(1024, 1 << 30, Some(16 << 20)),
            "Longest picture accepted, in bytes; a longer one is dropped and counted.",
        ),
        key(
            "silence_timeout_seconds",
            Kind::Seconds(0.1, 3600.0, Some(10.0)),
            "How long a running camera may give no picture before it counts as lost and is started again. Of an `rtsp:` \
             camera it is 5 where it is not set.",
        ),
        key(
            "reconnect_interval",
            Kind::Seconds(0.1, 3600.0, None),
            "Time between two tries of a camera that was lost. Default: 1 s, which grows to 30 s while it stays lost.",
        ),
        key(
            "codec",
            Kind::Choice(&["auto", "mjpeg", "h264", "h265"]),
            "What the bytes of `exec:` and `file:` are; `auto` tells by themselves.",
        ),
        key("push", Kind::Texts, "Where to send its pictures by RTP: `rtp://host:port?dscp=46`."),
        key(
            "transport",
            Kind::Choice(&["auto", "tcp", "udp", "multicast"]),
            "How an `rtsp:` camera sends its pictures: within the connection (tcp), or in datagrams to ports of ours (udp) or \
             to a group. With auto it is tcp, and udp where the camera refuses that or no picture comes.",
        ),
        key(
            "rotate",
            Kind::OneOf(&[0, 90, 180, 270]),
            "By how many degrees its pictures are turned clockwise.",
        ),
        key(
            "flip",
            Kind::Choice(&["none", "horizontal", "vertical", "both"]),
            "How they are mirrored, after they were turned: left and right exchanged, or top and bottom.",
        ),
        key(
            "max_latency_ms",
            Kind::Integer(10, 60_000, Some(200)),
            "How old a picture may be, in milliseconds, when it is decoded or encoded anew. Older ones are left out, so that a slow \
             machine shows fewer pictures and no later ones.",
        ),
        key(
            "min_quality",
            Kind::Integer(1, 100, None),
            "The quality of what is made of its pictures is not lowered below this for viewers whose networks take less, 1 to \
             100. Default: it is left alone.",
        ),
        key(
            "min_width",
            Kind::Integer(16, 8192, None),
            "Its width is not lowered below this for them, in pixels. Default: it is left alone.",
        ),
        key(
            "min_fps",
            Kind::Number(0.01, 1000.0),
            "Its rate is not lowered below this for them, in pictures a second. Default: it is left alone.",
        ),
        key(
            "decoders",
            Kind::Words(DECODERS),
            "Hardware that decodes its H.264 and H.265, in the order in which it is tried before the processor does it. Default: none.",
        ),
        key(
            "transcoder",
            Kind::Choice(&["worker", "ffmpeg"]),
            "What decodes H.264 and H.265 and encodes H.264 for it: the worker's libraries, and the FFmpeg program of `[ffmpeg]` for what \
             these lack; or that program for all that it can.",
        ),
        key(
            "encoders",
            Kind::Words(ENCODERS),
            "What encodes H.264 of its pictures, in the order in which it is tried. Default: `x264`, then `openh264`, those \
             that the program was built with and the machine has.",
        ),
        key(
            "variants",
            Kind::Tables,
            "Smaller, slower or otherwise coded copies of the camera, by name: see below.",
        ),
    ],
};

/// What may stand in `decoders`.
pub const DECODERS: &[&str] = &["v4l2m2m", "cuda"];
/// What may stand in a camera's `encoders`.
pub const ENCODERS: &[&str] = &["v4l2m2m", "nvenc", "x264", "openh264"];

/// `[cameras.NAME.variants.VARIANT]`
pub const VARIANT: Table = Table {
    name: "variants",
    about: "A copy of the camera that is made while somebody watches it. What is not said is as the camera's own.",
    keys: &[
        key(
            "codec",
            Kind::Choice(&["same", "mjpeg", "h264", "rgb24", "yuv420"]),
            "How its pictures are coded.",
        ),
        key(
            "width",
            Kind::Integer(16, 8192, None),
            "Its greatest width in pixels, after it was turned. Pictures keep their proportions and are never enlarged.",
        ),
        key("height", Kind::Integer(16, 8192, None), "Its greatest height in pixels, the same."),
        key(
            "quality",
            Kind::Integer(1, 100, None),
            "Quality of its JPEGs, 1 (smallest) to 100 (best). Default: the camera's `quality`.",
        ),
        key("fps", Kind::Number(0.01, 1000.0), "At most so many pictures a second. Default: all."),
        key(
            "bitrate",
            Kind::Integer(50, 200_000, None),
            "Of H.264, in kilobits a second. Default: by its size and rate.",
        ),
        key("rotate", Kind::OneOf(&[0, 90, 180, 270]), "As a camera's, beyond the camera's own."),
        key(
            "flip",
            Kind::Choice(&["none", "horizontal", "vertical", "both"]),
            "As a camera's, beyond the camera's own.",
        ),
    ],
};

/// Every table of our own format but `[cameras.NAME]`.
pub const TABLES: &[Table] = &[LISTEN, LIMITS, HTTP, LOG, RTP, RTSP_SERVER, FFMPEG];

/// Names that people write for a key that is called otherwise here.
pub(super) const OTHER_NAMES: &[(&str, &str)] = &[
    ("device", "source"),
    ("url", "source"),
    ("input", "source"),
    ("max_clients", "viewers"),
    ("max_viewers", "viewers"),
    ("timeout", "silence_timeout_seconds"),
    ("port", "http"),
    ("log_level", "level"),
    ("stats_interval", "stats_interval_seconds"),
];

/// `[mjpeg-rtp]`, of the RTP/JPEG senders that Ocelli replaces. `camera1` and so on are tables in it.
pub(super) const MJPEG_RTP: Table = Table {
    name: "mjpeg-rtp",
    about: "",
    keys: &[
        key("enabled", Kind::Flag(true), ""),
        key("mtu", Kind::Integer(256, 65_535, Some(1400)), ""),
        key("dscp", Kind::Integer(0, 63, Some(0)), ""),
        key("stats_interval_seconds", Kind::Seconds(0.0, 86_400.0, Some(10.0)), ""),
    ],
};

/// `[mjpeg-rtp.camera1]`
pub(super) const MJPEG_RTP_CAMERA: Table = Table {
    name: "mjpeg-rtp.camera",
    about: "",
    keys: &[
        key("enabled", Kind::Flag(true), ""),
        key("device", Kind::TextOrInteger, ""),
        key("width", Kind::Integer(16, 8192, None), ""),
        key("height", Kind::Integer(16, 8192, None), ""),
        key("fps", Kind::Integer(1, 1000, None), ""),
        key("quality", Kind::Integer(1, 100, None), ""),
        key("dest_host", Kind::Text, ""),
        key("dest_port", Kind::Integer(1, 65_535, None), ""),
        key("local_port", Kind::Integer(0, 65_535, None), ""),
        key("ssrc", Kind::Integer(0, u32::MAX as i64, None), ""),
    ],
};

/// `[camera1]`
pub(super) const NUMBERED_CAMERA: Table = Table {
    name: "camera",
    about: "",
    keys: &[
        key("device", Kind::TextOrInteger, ""),
        key("width", Kind::Integer(16, 8192, None), ""),
        key("height", Kind::Integer(16, 8192, None), ""),
        key("fps", Kind::Integer(1, 1000, None), ""),
        key("flip_method", Kind::TextOrInteger, ""),
    ],
};

/// `[server]`, of the RTSP-to-browser server's design, as all that follow.
pub(super) const SERVER: Table = Table {
    name: "server",
    about: "",
    keys: &[
        key("host", Kind::Text, ""),
        key("port", Kind::Integer(0, 65_535, None), ""),
        planned("websocket_port", Kind::Integer(0, 65_535, None), "WebSocket", ""),
    ],
};

/// `[rtsp]`
pub(super) const RTSP: Table = Table {
    name: "rtsp",
    about: "",
    keys: &[
        key("url", Kind::Text, ""),
        key("transport", Kind::Choice(&["tcp", "udp"]), ""),
        key("reconnect_interval", Kind::Seconds(0.0, 86_400.0, None), ""),
    ],
};

/// `[transcoding]`
pub(super) const TRANSCODING: Table = Table {
    name: "transcoding",
    about: "",
    keys: &[
        key("output_format", Kind::Text, ""),
        key("quality", Kind::Integer(1, 100, None), ""),
        key("framerate", Kind::Integer(1, 1000, None), ""),
        key("resolution", Kind::Anything, ""),
        key("max_latency_ms", Kind::Integer(0, 3_600_000, None), ""),
    ],
};

/// `[performance]`
pub(super) const PERFORMANCE: Table = Table {
    name: "performance",
    about: "",
    keys: &[
        key("worker_threads", Kind::Integer(0, 1024, None), ""),
        key("max_clients", Kind::Integer(1, 1_000_000, None), ""),
        key("frame_buffer_size", Kind::Integer(1, 4096, None), ""),
    ],
};
