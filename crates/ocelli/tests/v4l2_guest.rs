//! The `v4l2:` source on a real kernel driver: boots Debian's kernel with its virtual camera (vivid) under plain
//! emulation, runs the program inside, and asserts each line that the guest prints. About 60 s.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

mod guest;

const CHECKS: [&str; 29] = [
    "devices",
    "format-yuyv",
    "format-uyvy",
    "format-nv12",
    "format-yu12",
    "format-rgb24",
    "moves",
    "controls",
    "timestamp",
    "stream",
    "disconnect-cause",
    "disconnect-recovers",
    "fatal-error-recovers",
    "unplug-lost",
    "unplug-node",
    "unplug-notice",
    "unplug-missing",
    "replug",
    "viewer-stays",
    "closed",
    "stop",
    "size-differs",
    "size-said",
    "size-noted",
    "control-mistake",
    "control-range",
    "format-missing",
    "busy",
    "busy-no-more",
];

/// Red, green and blue of the driver's colour bars, left to right.
const BARS: [[u8; 3]; 8] = [
    [191, 191, 191],
    [191, 191, 0],
    [0, 191, 191],
    [0, 191, 0],
    [191, 0, 191],
    [191, 0, 0],
    [0, 0, 191],
    [0, 0, 0],
];

#[test]
fn a_kernels_own_camera_driver() {
    let controls = guest::installed("v4l2-ctl", "v4l-utils");
    let printed = guest::run("vivid", "check-v4l2.sh", &[&controls], &CHECKS);
    colours_are_right(&printed);
}

/// Each format's picture shows the driver's bars: no two planes or bytes have changed places.
fn colours_are_right(printed: &str) {
    let pictures: BTreeMap<&str, &str> =
        printed.lines().filter_map(|line| line.strip_prefix("JPEG ")?.split_once(' ')).collect();
    for format in ["yuyv", "uyvy", "nv12", "yu12", "rgb24"] {
        let jpeg = STANDARD.decode(pictures[format]).expect("the guest prints base64");
        let image = turbojpeg::decompress(&jpeg, turbojpeg::PixelFormat::RGB).expect("a whole JPEG");
        for (i, want) in BARS.iter().enumerate() {
            let (x, y) = ((2 * i + 1) * image.width / 16, image.height * 3 / 4);
            let found = &image.pixels[y * image.pitch + x * 3..][..3];
            // The driver's YUV has the range of television, whose black is 16: 191 would have become 180.
            let near = found.iter().zip(want).all(|(found, want)| found.abs_diff(*want) <= 8);
            assert!(near, "{format}: bar {i} is {found:?}, expected about {want:?}");
        }
    }
}
