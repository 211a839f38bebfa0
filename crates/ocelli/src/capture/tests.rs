//! The command lines chosen on machines that are made up.

use super::*;

const PI: MadeUp =
    MadeUp { system: System::Linux, programs: &["rpicam-vid", "ffmpeg"], paths: &["/dev/video0"] };
const OLD_PI: MadeUp = MadeUp { system: System::Linux, programs: &["libcamera-vid"], paths: &[] };
const GSTREAMER: MadeUp =
    MadeUp { system: System::Linux, programs: &["gst-launch-1.0", "rpicam-vid"], paths: &[] };
const DESKTOP: MadeUp = MadeUp { system: System::Linux, programs: &["ffmpeg"], paths: &["/dev/video0"] };
const BARE: MadeUp = MadeUp { system: System::Linux, programs: &[], paths: &[] };
const MAC: MadeUp = MadeUp { system: System::MacOs, programs: &["ffmpeg"], paths: &[] };

fn request(device: &str) -> Request {
    Request {
        width: Some(640),
        height: Some(480),
        fps: Some(30),
        quality: Some(80),
        ..Request::new(Device::parse(device))
    }
}

#[test]
fn devices_are_told_apart() {
    assert_eq!(Device::parse("0"), Device::Index(0));
    assert_eq!(Device::parse("/dev/video2"), Device::Path("/dev/video2".into()));
    let name = "/base/axi/pcie@1000120000/rp1/i2c@88000/imx219@10";
    assert_eq!(Device::parse(name), Device::Named(name.into()));
    assert_eq!(Device::parse("FaceTime HD Camera"), Device::Named("FaceTime HD Camera".into()));
    for source in ["pattern:", "exec:cat x", "http://h/s", "v4l2:///dev/video0"] {
        assert_eq!(Device::parse(source), Device::Source(source.into()));
    }
}

#[test]
fn a_pi_camera_is_taken_by_the_rpicam_program_that_is_there() {
    assert_eq!(
        choose(&request("1"), &PI).source,
        "exec:rpicam-vid -t 0 --codec mjpeg -n --camera 1 --width 640 --height 480 --framerate 30 --quality 80 -o -"
    );
    assert!(choose(&request("0"), &OLD_PI).source.starts_with("exec:libcamera-vid -t 0"));
    let turned = Request { flip: Flip::Rotate180, ..request("0") };
    assert!(choose(&turned, &PI).source.contains(" --hflip --vflip "));
}

#[test]
fn a_quarter_turn_takes_gstreamer_or_is_left_to_us() {
    let turned = Request { flip: Flip::Clockwise, ..request("0") };
    let choice = choose(&turned, &GSTREAMER);
    assert!(choice.source.starts_with("exec:gst-launch-1.0 -q libcamerasrc ! "), "{}", choice.source);
    assert!(choice.source.contains("videoflip video-direction=90r ! "));
    assert_eq!(choice.notes, Vec::<String>::new());
    assert_eq!(choose(&turned, &PI).turn, Turn::Clockwise);
    assert_eq!((choice.turn, choose(&turned, &PI).notes), (Turn::None, Vec::new()));
}

#[test]
fn a_device_file_is_captured_in_process_unless_it_must_be_turned() {
    assert_eq!(choose(&request("/dev/video0"), &PI).source, "v4l2:///dev/video0?width=640&height=480&fps=30");
    assert_eq!(choose(&Request::new(Device::Index(3)), &DESKTOP).source, "v4l2:///dev/video3");
    let turned = Request { flip: Flip::Vertical, ..request("/dev/video0") };
    assert_eq!(
        choose(&turned, &DESKTOP).source,
        "exec:ffmpeg -nostdin -loglevel error -fflags nobuffer -f v4l2 -framerate 30 -video_size 640x480 \
         -i /dev/video0 -an -vf vflip -c:v mjpeg -q:v 7 -f mjpeg -"
    );
    assert!(choose(&turned, &GSTREAMER).source.contains("v4l2src device=/dev/video0 ! decodebin ! "));
    let bare = choose(&turned, &BARE);
    assert_eq!(
        (&*bare.source, bare.turn),
        ("v4l2:///dev/video0?width=640&height=480&fps=30", Turn::TopBottom)
    );
    let own = Request { flip: Flip::Vertical, ..request("pattern:") };
    assert_eq!(
        (&*choose(&own, &GSTREAMER).source, choose(&own, &GSTREAMER).turn),
        ("pattern:", Turn::TopBottom)
    );
}

#[test]
fn a_camera_of_libcamera_is_taken_by_name_where_that_is_possible() {
    let choice = choose(&request("/base/soc/i2c0mux/i2c@1/imx219@10"), &GSTREAMER);
    assert!(
        choice.source.contains("libcamerasrc camera-name=/base/soc/i2c0mux/i2c@1/imx219@10 ! "),
        "{choice:?}"
    );
    let second = Request { fallback_index: 1, ..request("/base/soc/i2c0mux/i2c@0/imx219@10") };
    let choice = choose(&second, &PI);
    assert!(choice.source.contains("--camera 1 "));
    assert!(choice.notes[0].contains("taking camera 1"), "{choice:?}");
}

#[test]
fn a_mac_uses_avfoundation() {
    assert_eq!(
        choose(&request("0"), &MAC).source,
        "exec:ffmpeg -nostdin -loglevel error -fflags nobuffer -f avfoundation -framerate 30 -video_size 640x480 \
         -i 0:none -an -c:v mjpeg -q:v 7 -f mjpeg -"
    );
    assert!(choose(&request("FaceTime HD Camera"), &MAC).source.contains(" -i 'FaceTime HD Camera:none' "));
}

#[test]
fn without_a_configuration_the_first_camera_that_is_there_is_taken() {
    assert!(default_camera(&PI).0.starts_with("exec:rpicam-vid -t 0 --codec mjpeg -n "));
    assert!(default_camera(&OLD_PI).1.contains("libcamera-vid"));
    assert_eq!(default_camera(&DESKTOP).0, "v4l2:///dev/video0");
    assert!(default_camera(&BARE).0.starts_with("pattern:"));
    assert!(default_camera(&MAC).1.contains("test pattern"));
}

#[test]
fn camera_commands_stand_as_they_are_written() {
    assert_eq!(
        command(Some("ffmpeg"), Some("-f v4l2 -i /dev/video0 -c:v mjpeg -f mjpeg -"), &PI).unwrap(),
        "exec:ffmpeg -f v4l2 -i /dev/video0 -c:v mjpeg -f mjpeg -"
    );
    assert!(command(None, None, &BARE).unwrap().starts_with("exec:rpicam-vid -t 0 --codec mjpeg -n "));
    assert!(command(Some("/usr/bin/libcamera-vid"), None, &PI).unwrap().ends_with(" -o -"));
    assert_eq!(command(Some("camera.sh"), None, &PI).unwrap(), "exec:camera.sh");
    assert_eq!(command(None, Some("-o -"), &PI).unwrap(), "exec:rpicam-vid -o -");
    assert_eq!(command(Some("sh -c 'cat x'"), None, &PI).unwrap(), "exec:sh -c 'cat x'");
    let spaced = MadeUp { programs: &["/opt/my camera/run"], ..BARE };
    assert_eq!(
        command(Some("/opt/my camera/run"), Some("-x"), &spaced).unwrap(),
        "exec:'/opt/my camera/run' -x"
    );
    assert_eq!(command(Some("x"), Some("'a"), &PI), Err(CommandError::OpenQuote));
    assert_eq!(command(Some(" "), None, &PI), Err(CommandError::NoProgram));
}
