//! How pictures are turned and made anew, and variants.

use ocelli_media::Turn;

use super::*;
use crate::variants::{Fps, Shape};

const FILE: &str = r#"
[limits]
encoders = 4
variants_per_camera = 2

[cameras.front]
source = "pattern:"
rotate = 90
flip = "horizontal"
max_latency_ms = 150
encoders = ["v4l2m2m", "openh264"]
decoders = "cuda"

[cameras.front.variants.small]
width = 320
quality = 60
fps = 7.5
rotate = 180

[cameras.front.variants]
film = { codec = "h264", height = 480, bitrate = 800 }
"#;

#[test]
fn variants_and_what_turns_and_codes_pictures_are_read() {
    let config = loaded(FILE);
    assert_eq!((config.limits.encoders, config.limits.variants_per_camera), (4, 2));
    let pixels = &config.cameras[0].pixels;
    assert_eq!(pixels.shape.turn, Turn::Transposed, "turned first, mirrored then");
    assert_eq!(pixels.max_latency, Duration::from_millis(150));
    assert_eq!(
        (&pixels.encoders[..], &pixels.decoders[..]),
        (&["v4l2m2m".into(), "openh264".into()][..], &["cuda".into()][..])
    );
    let [(small, first), (film, second)] = &pixels.variants[..] else { panic!("{pixels:?}") };
    assert_eq!((small.as_str(), film.as_str()), ("small", "film"), "in the order of the file");
    let wanted = Shape {
        width: Some(320),
        quality: Some(60),
        fps: Fps::new(7.5),
        turn: Turn::Half,
        ..Shape::default()
    };
    assert_eq!(*first, wanted);
    let wanted =
        Shape { codec: Some(Codec::H264), height: Some(480), bit_rate_kbps: Some(800), ..Shape::default() };
    assert_eq!(*second, wanted);
    assert_eq!(config.warnings, []);
}

#[test]
fn without_a_word_pictures_stay_as_they_are() {
    let config = loaded("[cameras]\nfront = \"pattern:\"\nback = { source = \"pattern:\" }\n");
    assert_eq!((config.limits.encoders, config.limits.variants_per_camera), (16, 8));
    for camera in &config.cameras {
        assert_eq!(camera.pixels, PixelOptions::default());
    }
}

#[test]
fn mistakes_in_variants_are_told_by_line() {
    let errors = refused(
        "[cameras.a]\nsource = \"pattern:\"\nrotate = 45\nencoders = [\"x265\"]\n\
         [cameras.a.variants.small]\nwidth = 4\nwidht = 5\ncodec = \"vp9\"\nfps = 0\n\
         [cameras.a.variants.\"b c\"]\nheight = 100\n[cameras.a.variants]\nd = 7\n",
    );
    for part in [
        ":3:10: cameras.a.rotate: found 45; expected one of 0, 90, 180, 270",
        ":4:13: cameras.a.encoders: found \"x265\"; did you mean",
        "did you mean `x264`?; expected",
        ":6:9: cameras.a.variants.small.width: found 4; expected a whole number from 16 to 8192",
        ":7:1: cameras.a.variants.small.widht: unknown key",
        "did you mean `width`?",
        ":8:9: cameras.a.variants.small.codec: found \"vp9\"; expected one of same, mjpeg, h264, rgb24, yuv420",
        ":9:7: cameras.a.variants.small.fps: found 0; expected a number from 0.01 to 1000",
        "cameras.a.variants.b c: `b c` is no name for a variant",
        "cameras.a.variants.d: found 7; expected a table",
    ] {
        assert!(errors.contains(part), "{part}\n{errors}");
    }
    let errors = refused("[cameras.a]\nsource = \"pattern:\"\nvariants = 3\n");
    assert!(errors.contains("cameras.a.variants: found a value; expected one table"), "{errors}");
}

#[test]
fn a_target_may_ask_for_a_variant_that_there_is() {
    let file = |variant: &str| {
        format!(
            "[cameras.a]\nsource = \"pattern:\"\npush = \"rtp://h:1?variant={variant}\"\n[cameras.a.variants.small]\nwidth = 64\n"
        )
    };
    let config = loaded(&file("small"));
    let camera = &config.cameras[0];
    assert_eq!(camera.push[0].asked(&camera.pixels).unwrap().exact.width, Some(64));
    assert_eq!(
        refused(&file("tiny")),
        "cameras.toml:3:8: cameras.a.push: there is no variant `tiny`: expected one of small"
    );
}

#[test]
fn what_a_variant_says_for_nothing_is_warned_about() {
    let config = loaded(
        "[cameras.a]\nsource = \"pattern:\"\n[cameras.a.variants.same]\n\
         [cameras.a.variants.j]\ncodec = \"mjpeg\"\nbitrate = 100\n\
         [cameras.a.variants.h]\ncodec = \"h264\"\nquality = 50\n",
    );
    let warnings: Vec<_> = config.warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert_eq!(
        warnings,
        [
            "cameras.a.variants.same: says nothing, so it is the camera itself",
            "cameras.a.variants.j.bitrate: ignored, of JPEGs the quality is chosen",
            "cameras.a.variants.h.quality: ignored, of H.264 the bit rate is chosen",
        ]
    );
}
