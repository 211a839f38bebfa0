//! The camera programs and their flags.

use ocelli_media::Turn;

use super::{Choice, Device, Flip, Machine, Request};
use crate::ffmpeg::jpeg_scale;

/// The programs of Raspberry Pi's libcamera family that write MJPEG, newest name first.
pub(super) const RPICAM: [&str; 2] = ["rpicam-vid", "libcamera-vid"];

/// What such a program needs to write MJPEG to its standard output for ever. `-n`: no window.
pub(super) const RPICAM_ARGUMENTS: &str =
    "-t 0 --codec mjpeg -n --width 1280 --height 720 --framerate 30 -o -";

const GSTREAMER: &str = "gst-launch-1.0";

/// The program of the rpicam family that is installed.
pub(super) fn rpicam(machine: &dyn Machine) -> Option<&'static str> {
    RPICAM.into_iter().find(|program| machine.has_program(program))
}

pub(super) fn on_linux(request: &Request, machine: &dyn Machine) -> Choice {
    match &request.device {
        Device::Path(path) => device_file(path, request, machine),
        Device::Index(index) => match rpicam(machine) {
            Some(program) => pi_camera(program, *index, None, request, machine),
            None => device_file(&format!("/dev/video{index}"), request, machine),
        },
        Device::Named(name) => {
            if machine.has_program(GSTREAMER) {
                let camera = format!("libcamerasrc camera-name={}", shell_words::quote(name));
                return Choice::whole(gstreamer(&camera, request));
            }
            let program = rpicam(machine).unwrap_or(RPICAM[0]);
            let index = request.fallback_index;
            let mut choice = pi_camera(program, index, Some(name), request, machine);
            choice.notes.push(format!(
                "{program} cannot choose a camera by its name {name:?}: taking camera {index} \
                 ({GSTREAMER} could, and is not installed)"
            ));
            choice
        }
        Device::Source(text) => Choice { turn: request.flip.turn(), ..Choice::whole(text) },
    }
}

/// A V4L2 device: captured by ourselves, unless the picture must be turned and a program can do that.
fn device_file(path: &str, request: &Request, machine: &dyn Machine) -> Choice {
    let captured = || {
        let numbers =
            [("width", request.width), ("height", request.height), ("fps", request.fps)].into_iter();
        let parameters: Vec<String> =
            numbers.filter_map(|(name, number)| Some(format!("{name}={}", number?))).collect();
        match parameters.is_empty() {
            true => format!("v4l2://{path}"),
            false => format!("v4l2://{path}?{}", parameters.join("&")),
        }
    };
    if request.flip == Flip::None {
        return Choice::whole(captured());
    }
    if machine.has_program(GSTREAMER) {
        let camera = format!("v4l2src device={} ! decodebin", shell_words::quote(path));
        return Choice::whole(gstreamer(&camera, request));
    }
    if machine.has_program("ffmpeg") {
        let source = ffmpeg(&capture_flags("v4l2", request), path, request);
        return Choice::whole(source);
    }
    Choice { turn: request.flip.turn(), ..Choice::whole(captured()) }
}

/// A camera of the Pi's own: by the rpicam program, or by GStreamer, where it is there, when it must be turned by a quarter.
fn pi_camera(
    program: &str,
    index: u32,
    name: Option<&str>,
    request: &Request,
    machine: &dyn Machine,
) -> Choice {
    let mut turn = Turn::None;
    let flip = match request.flip.rpicam_flags() {
        Some(flags) => flags,
        None if index == 0 && name.is_none() && machine.has_program(GSTREAMER) => {
            return Choice::whole(gstreamer("libcamerasrc", request));
        }
        None => {
            turn = request.flip.turn();
            &[]
        }
    };
    let mut words = vec![program.to_owned()];
    words.extend(["-t", "0", "--codec", "mjpeg", "-n", "--camera"].map(str::to_owned));
    words.push(index.to_string());
    let numbers = [
        ("--width", request.width.map(u32::from)),
        ("--height", request.height.map(u32::from)),
        ("--framerate", request.fps.map(u32::from)),
        ("--quality", request.quality.map(u32::from)),
    ];
    for (flag, number) in numbers {
        if let Some(number) = number {
            words.extend([flag.to_owned(), number.to_string()]);
        }
    }
    words.extend(flip.iter().map(|flag| (*flag).to_owned()));
    words.extend(["-o".to_owned(), "-".to_owned()]);
    Choice { turn, ..Choice::whole(exec(&words)) }
}

/// A pipeline that takes pictures from `camera`, turns them, drops old ones when behind, and writes JPEGs.
fn gstreamer(camera: &str, request: &Request) -> String {
    let mut caps = "video/x-raw".to_owned();
    for (name, number) in [("width", request.width), ("height", request.height)] {
        if let Some(number) = number {
            caps.push_str(&format!(",{name}={number}"));
        }
    }
    if let Some(fps) = request.fps {
        caps.push_str(&format!(",framerate={fps}/1"));
    }
    let flip = match request.flip {
        Flip::None => String::new(),
        flip => format!("videoflip video-direction={} ! ", flip.gstreamer_direction()),
    };
    let quality = request.quality.unwrap_or(85);
    format!(
        "exec:{GSTREAMER} -q {camera} ! videoconvert ! videoscale ! videorate ! {caps} ! {flip}\
         queue leaky=downstream max-size-buffers=1 ! jpegenc quality={quality} ! fdsink fd=1"
    )
}

/// The flags that open a camera with FFmpeg.
fn capture_flags(format: &str, request: &Request) -> Vec<String> {
    let mut flags = vec!["-f".to_owned(), format.to_owned()];
    if let Some(fps) = request.fps {
        flags.extend(["-framerate".to_owned(), fps.to_string()]);
    }
    if let (Some(width), Some(height)) = (request.width, request.height) {
        flags.extend(["-video_size".to_owned(), format!("{width}x{height}")]);
    }
    flags
}

/// FFmpeg capturing `input` and writing MJPEG; `request`'s size and rate are among the input's flags.
fn ffmpeg(before_input: &[String], input: &str, request: &Request) -> String {
    let mut words: Vec<String> =
        ["ffmpeg", "-nostdin", "-loglevel", "error", "-fflags", "nobuffer"].map(str::to_owned).into();
    words.extend_from_slice(before_input);
    words.extend(["-i", input, "-an"].map(str::to_owned));
    if request.flip != Flip::None {
        words.extend(["-vf".to_owned(), request.flip.ffmpeg_filter().to_owned()]);
    }
    words.extend(["-c:v", "mjpeg", "-q:v"].map(str::to_owned));
    words.push(jpeg_scale(request.quality.unwrap_or(85)).to_string());
    words.extend(["-f", "mjpeg", "-"].map(str::to_owned));
    exec(&words)
}

/// A Mac's cameras, by FFmpeg.
pub(super) fn on_macos(request: &Request) -> Choice {
    let camera = match &request.device {
        Device::Index(index) => index.to_string(),
        Device::Named(name) => name.clone(),
        Device::Path(_) | Device::Source(_) => request.fallback_index.to_string(),
    };
    let mut notes = Vec::new();
    if let Device::Path(path) = &request.device {
        notes.push(format!("there is no {path} on this system: taking camera {camera}"));
    }
    // A Mac's cameras refuse to be opened without a rate that they have; all have 30.
    let request = Request { fps: request.fps.or(Some(30)), ..request.clone() };
    let input = format!("{camera}:none");
    let source = ffmpeg(&capture_flags("avfoundation", &request), &input, &request);
    Choice { notes, ..Choice::whole(source) }
}

fn exec(words: &[String]) -> String {
    format!("exec:{}", shell_words::join(words))
}
