//! The command line's flags, put over what the file said.

use ocelli_hub::StreamName;

use super::ours::{self, interval};
use super::problem::Problem;
use super::reader::Reader;
use super::section::Text;
use super::value::short;
use super::{CameraConfig, Config, LogLevel, Place, RtspListen, Surroundings, default_name};
use crate::capture;
use crate::cli::{Mode, RtspFlag, ServeArgs};
use crate::sources::hide_user;

pub(super) fn apply(
    args: &ServeArgs,
    config: &mut Config,
    reader: &mut Reader<'_>,
    around: Surroundings<'_>,
) {
    if let Some(address) = args.address {
        config.http.set_ip(address);
    }
    match args.rtsp {
        Some(RtspFlag::Off) => config.rtsp_listen = RtspListen::Off,
        Some(RtspFlag::At(address)) => config.rtsp_listen = RtspListen::At(address),
        None => {
            if let (Some(address), RtspListen::Usual(at) | RtspListen::At(at)) =
                (args.address, &mut config.rtsp_listen)
            {
                at.set_ip(address);
            }
        }
    }
    if let Some(port) = args.port {
        config.http.set_port(port);
    }
    if let Some(viewers) = args.max_clients {
        config.limits.viewers = viewers as usize;
    }
    if let Some(pictures) = args.buffer_size {
        config.limits.buffer_size = usize::from(pictures);
    }
    if let Some(time) = args.stats_interval {
        config.stats_interval = interval(time);
    }
    match (args.log_level, args.verbose) {
        (Some(level), _) => config.log_level = level,
        (None, true) => config.log_level = LogLevel::Debug,
        (None, false) => {}
    }
    let mut named = Vec::new();
    for text in &args.camera {
        named_camera(text, &mut named, config, reader);
    }
    if args.camera_cmd.is_some() || args.camera_args.is_some() {
        camera_command(args, config, reader, around);
    }
    match args.mode {
        Some(Mode::Webrtc) => reader.plan("WebRTC", "-mode webrtc", NOWHERE),
        Some(Mode::MjpegRtp) | None => {}
    }
}

/// The place of what stands on the command line. Line 0 is none.
const NOWHERE: Place = Place { line: 0, column: 0 };

/// `NAME=SOURCE`, or a source alone, which is then called `camera`. `named`: the names given by flags so far.
fn named_camera(text: &str, named: &mut Vec<StreamName>, config: &mut Config, reader: &mut Reader<'_>) {
    let problem = |found: String| Problem::new(None, "--camera", found);
    let (name, source) = match text.split_once('=') {
        // A `=` after the colon is part of the source.
        Some((name, source)) if !name.contains(':') => match name.parse::<StreamName>() {
            Ok(name) => (name, source),
            Err(error) => return reader.problems.push(problem(error.to_string())),
        },
        _ if text.contains(':') => (default_name(), text),
        _ => {
            let found = format!("found {:?}", short(&hide_user(text)));
            return reader
                .problems
                .push(problem(found).expected("NAME=SOURCE, such as front=v4l2:///dev/video0"));
        }
    };
    if named.contains(&name) {
        return reader
            .problems
            .push(problem(format!("`{name}` is named twice")).expected("one source a name"));
    }
    named.push(name.clone());
    add("--camera", ours::camera(name, source.to_owned()), config, reader);
}

fn camera_command(args: &ServeArgs, config: &mut Config, reader: &mut Reader<'_>, around: Surroundings<'_>) {
    match capture::command(args.camera_cmd.as_deref(), args.camera_args.as_deref(), around.machine) {
        Ok(source) => add("--camera-cmd", ours::camera(default_name(), source), config, reader),
        Err(error) => {
            let key = if args.camera_args.is_some() { "--camera-args" } else { "--camera-cmd" };
            reader.problems.push(Problem::new(None, key, error.to_string()));
        }
    }
}

/// Adds a camera, or puts its source in the place of that of the file's camera of the same name.
fn add(flag: &str, mut camera: CameraConfig, config: &mut Config, reader: &mut Reader<'_>) {
    let text = Text {
        text: camera.source.as_str().to_owned(),
        shown: camera.source.to_string(),
        secret: false,
        place: NOWHERE,
    };
    let problems = reader.problems.len();
    ours::check_source(flag, &text, &mut camera, reader);
    for problem in &mut reader.problems[problems..] {
        problem.place = None;
    }
    match config.cameras.iter_mut().find(|known| known.name == camera.name) {
        Some(known) => {
            known.source = camera.source;
            known.enabled = true;
        }
        None => config.cameras.push(camera),
    }
}
