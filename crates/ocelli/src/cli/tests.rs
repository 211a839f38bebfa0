//! Command lines, the predecessors' among them, and what `check` says.

use super::*;
use crate::capture::{MadeUp, System};

fn parsed(line: &[&str]) -> Result<Command, clap::Error> {
    parse(std::iter::once("ocelli").chain(line.iter().copied()).map(OsString::from))
}

fn serve(line: &[&str]) -> ServeArgs {
    match parsed(line) {
        Ok(Command::Serve(args)) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_sound() {
    <CommandLine as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn serving_needs_no_command() {
    let line = [
        "--port",
        "8080",
        "--address",
        "0.0.0.0",
        "--max-clients",
        "100",
        "--buffer-size",
        "32",
        "--stats-interval",
        "30",
        "--log-level",
        "info",
        "--verbose",
    ];
    let bare = serve(&line);
    let named = serve(&[&["serve"], &line[..]].concat());
    for args in [bare, named] {
        assert_eq!(args.port, Some(8080));
        assert_eq!(args.max_clients, Some(100));
        assert_eq!(args.buffer_size, Some(32));
        assert_eq!(args.stats_interval, Some(Duration::from_secs(30)));
        assert_eq!(args.log_level, Some(LogLevel::Info));
        assert!(args.verbose);
    }
}

#[test]
fn camera_arguments_may_begin_with_a_dash() {
    let arguments = "-f v4l2 -i /dev/video0 -c:v mjpeg -f mjpeg -";
    for line in [
        &["--camera-cmd", "ffmpeg", "--camera-args", arguments][..],
        &["--camera-cmd", "ffmpeg", &format!("--camera-args={arguments}")],
    ] {
        assert_eq!(serve(line).camera_args.as_deref(), Some(arguments));
    }
    assert_eq!(serve(&["--camera-args", "-config"]).camera_args.as_deref(), Some("-config"));
}

#[test]
fn flags_with_one_dash_are_understood() {
    let args = serve(&["-mode", "mjpeg-rtp", "-config", "config.toml"]);
    assert_eq!(args.mode, Some(Mode::MjpegRtp));
    assert_eq!(args.config, Some("config.toml".into()));
    assert_eq!(serve(&["-mode=webrtc"]).mode, Some(Mode::Webrtc));
    assert_eq!(serve(&["-c", "x"]).config, Some("x".into()));
    let Ok(Command::Probe(args)) = parsed(&["probe", "exec:camera", "-mode", "fast"]) else {
        panic!("probe")
    };
    assert_eq!(args.source, ["exec:camera", "-mode", "fast"]);
}

#[test]
fn bad_usage_is_refused_with_status_2() {
    for line in [&["--port", "70000"][..], &["--buffer-size", "0"], &["--stats-interval", "x"], &["probe"]] {
        assert_eq!(parsed(line).unwrap_err().exit_code(), 2, "{line:?}");
    }
    assert_eq!(parsed(&["--version"]).unwrap_err().exit_code(), 0);
}

fn checked(args: &CheckArgs) -> (u8, String, String) {
    let machine = MadeUp { system: System::Linux, programs: &[], paths: &[] };
    let around = Surroundings { environment: &|_| None, machine: &machine };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let status = check(args, around, &mut out, &mut errors).unwrap();
    (status, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
}

#[test]
fn check_says_what_is_there_or_what_is_wrong() {
    let (status, out, errors) = checked(&CheckArgs::default());
    assert_eq!((status, errors.lines().filter(|line| !line.starts_with("warning")).count()), (0, 0));
    assert!(out.contains("the command line is right: 1 camera\nNo camera is configured"), "{out}");

    let serve = ServeArgs { config: Some("/nonexistent/ocelli.toml".into()), ..ServeArgs::default() };
    let (status, _, errors) = checked(&CheckArgs { serve, schema: false });
    assert_eq!(status, BAD_CONFIGURATION);
    assert!(errors.starts_with("/nonexistent/ocelli.toml: cannot be read"), "{errors}");

    let (status, out, _) = checked(&CheckArgs { schema: true, ..CheckArgs::default() });
    assert_eq!(status, 0);
    assert!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["properties"]["cameras"].is_object());
}
