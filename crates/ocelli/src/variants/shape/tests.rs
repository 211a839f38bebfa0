//! What addresses ask, what of it is refused, and what it comes to.

use proptest::prelude::*;

use super::*;

fn parse(query: &str) -> Result<Shape, BadParameter> {
    Shape::parse(query.split('&').filter_map(|pair| pair.split_once('=')))
}

fn size(width: u16, height: u16) -> Size {
    Size { width, height }
}

fn camera(codec: Codec, width: u16, height: u16) -> Track {
    Track::video(codec, Some(size(width, height)), Vec::new())
}

#[test]
fn parameters_are_read_and_others_passed_over() {
    assert_eq!(parse("_=17&cachebuster=x"), Ok(Shape::default()));
    let shape =
        parse("width=640&quality=70&fps=10&codec=h264&rotate=90&flip=horizontal&bitrate=800").unwrap();
    assert_eq!((shape.width, shape.height, shape.quality), (Some(640), None, Some(70)));
    assert_eq!((shape.codec, shape.fps), (Some(Codec::H264), Fps::new(10.0)));
    assert_eq!((shape.turn, shape.bit_rate_kbps), (Turn::Transposed, Some(800)));
    assert_eq!(
        shape.to_string(),
        "codec=h264&width=640&quality=70&fps=10&bitrate=800&rotate=90&flip=horizontal"
    );
    assert_eq!(parse("flip=both&rotate=180").unwrap().turn, Turn::None);
    assert_eq!(parse("codec=jpeg"), parse("codec=mjpeg"));
}

#[test]
fn what_cannot_be_is_named_with_what_can() {
    for (query, expected) in [
        ("width=-1", "16 to 8192"),
        ("width=15", "16 to 8192"),
        ("height=8193", "16 to 8192"),
        ("height=", "16 to 8192"),
        ("quality=9000", "1 to 100"),
        ("quality=0", "1 to 100"),
        ("fps=0", "0.01 to 1000"),
        ("fps=NaN", "0.01 to 1000"),
        ("fps=inf", "0.01 to 1000"),
        ("bitrate=1e3", "50 to 200000, in kbit/s"),
        ("codec=mjpeg&bitrate=500", "only with H.264: of JPEGs the quality is chosen"),
        ("rotate=45", "0, 90, 180 or 270"),
        ("flip=sideways", "none, horizontal, vertical or both"),
        ("codec=vp9", "mjpeg, h264, h265, rgb24 or yuv420"),
    ] {
        let error = parse(&format!("quality=50&{query}")).unwrap_err();
        let said = query.rsplit('&').next().unwrap();
        assert_eq!(error.to_string(), format!("{said}: expected {expected}"));
    }
    let long = "9".repeat(5000);
    assert_eq!(parse(&format!("width={long}")).unwrap_err().value, "9".repeat(32));
}

#[test]
fn near_requests_become_one() {
    let rounded = |query| parse(query).unwrap().rounded().to_string();
    assert_eq!(rounded("width=799&quality=68&fps=11.5"), "width=640&quality=70&fps=10");
    assert_eq!(rounded("width=20&quality=1&fps=0.01&bitrate=50"), "width=16&quality=10&fps=0.01&bitrate=50");
    assert_eq!(
        rounded("width=8192&height=700&quality=100&fps=1000"),
        "width=3840&height=600&quality=100&fps=60"
    );
    assert_eq!(
        rounded("width=640&height=480&fps=30&bitrate=2000"),
        "width=640&height=480&fps=30&bitrate=2000"
    );
}

#[test]
fn pictures_keep_their_proportions_and_are_never_enlarged() {
    let of = |query, width, height, codec| parse(query).unwrap().size(size(width, height), codec);
    assert_eq!(of("width=640", 1920, 1080, Codec::Jpeg), size(640, 360));
    assert_eq!(of("width=640&height=480", 1920, 1080, Codec::Jpeg), size(640, 360));
    assert_eq!(of("width=640&height=300", 1920, 1080, Codec::Jpeg), size(533, 300));
    assert_eq!(of("width=640&height=300", 1920, 1080, Codec::H264), size(532, 300));
    assert_eq!(of("height=640", 1920, 1080, Codec::Jpeg), size(1138, 640));
    assert_eq!(of("width=3840", 1920, 1080, Codec::Jpeg), size(1920, 1080));
    assert_eq!(of("width=540&rotate=90", 1920, 1080, Codec::Jpeg), size(540, 960));
    assert_eq!(of("", 641, 487, Codec::Jpeg), size(641, 487));
    assert_eq!(of("", 641, 487, Codec::H264), size(640, 486));
    assert_eq!(of("width=16", 65_535, 1, Codec::H264), size(16, 2));
}

#[test]
fn what_the_camera_gives_already_is_told() {
    let webcam = camera(Codec::Jpeg, 1280, 720);
    for query in ["", "codec=mjpeg", "width=1280", "width=3840&height=720", "fps=10", "bitrate=500"] {
        assert!(parse(query).unwrap().is_given_by(&webcam), "{query}");
    }
    for query in ["codec=h264", "width=640", "quality=80", "rotate=180"] {
        assert!(!parse(query).unwrap().is_given_by(&webcam), "{query}");
    }
    assert!(parse("codec=h264").unwrap().is_given_by(&camera(Codec::H264, 641, 487)));
    let ip_camera = camera(Codec::H264, 1920, 1080);
    assert!(parse("codec=h264&quality=80").unwrap().is_given_by(&ip_camera));
    assert!(parse("").unwrap().is_given_by(&ip_camera));
    for query in ["codec=mjpeg", "fps=10", "codec=h264&bitrate=500"] {
        assert!(!parse(query).unwrap().is_given_by(&ip_camera), "{query}");
    }
}

#[test]
fn shapes_that_give_the_same_pictures_are_equal_for_the_camera() {
    let webcam = camera(Codec::Jpeg, 1920, 1080);
    let of = |query| parse(query).unwrap().of(&webcam);
    assert_eq!(of("width=640"), of("width=640&height=480&bitrate=100"));
    assert_eq!(of("codec=h264&quality=30"), of("codec=h264&width=2560"));
    let unknown = Track::jpeg(None);
    assert_eq!(parse("width=640").unwrap().of(&unknown).width, Some(640));
}

proptest! {
    #[test]
    fn what_is_read_is_written_and_rounding_is_done_once(
        width in proptest::option::of(16_u16..=8192),
        height in proptest::option::of(16_u16..=8192),
        quality in proptest::option::of(1_u8..=100),
        fps in proptest::option::of(10_u32..=1_000_000),
        turn in 0_u8..8,
        bit_rate_kbps in proptest::option::of(50_u32..=200_000),
    ) {
        let turn = Turn::from_number(turn).unwrap();
        let shape = Shape { codec: Some(Codec::H264), width, height, quality, fps: fps.map(Fps), turn, bit_rate_kbps };
        prop_assert_eq!(parse(&shape.to_string()), Ok(shape));
        prop_assert_eq!(shape.rounded().rounded(), shape.rounded());
        let rounded = parse(&shape.rounded().to_string());
        prop_assert_eq!(rounded, Ok(shape.rounded()));
        let rounded = shape.rounded();
        prop_assert!(rounded.width <= width && rounded.height <= height && rounded.fps <= shape.fps);
        prop_assert!(rounded.bit_rate_kbps <= bit_rate_kbps);
    }

    #[test]
    fn sizes_hold_what_was_asked(
        width in 16_u16..=8192, height in 16_u16..=8192, across in 1_u16.., down in 1_u16.., turn in 0_u8..8, jpeg: bool,
    ) {
        let turn = Turn::from_number(turn).unwrap();
        let shape = Shape { width: Some(width), height: Some(height), turn, ..Shape::default() };
        let codec = if jpeg { Codec::Jpeg } else { Codec::H264 };
        let found = shape.size(size(across, down), codec);
        let turned = turn.of(size(across, down));
        prop_assert!(found.width <= width.min(turned.width).max(2) && found.height <= height.min(turned.height).max(2));
        prop_assert!(found.width > 0 && found.height > 0);
    }
}
