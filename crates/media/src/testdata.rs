//! The pictures that tests run on; `testdata/README.md` says where they come from.

macro_rules! pictures {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../testdata/", $name, ".jpg")))),*]
    };
}

/// Name and bytes of every picture.
pub(crate) const PICTURES: &[(&str, &[u8])] = pictures![
    "baseline",
    "exif-thumbnail",
    "ffmpeg-yuv420",
    "ffmpeg-yuv422",
    "fill-bytes",
    "grey",
    "gstreamer",
    "no-dht",
    "optimised",
    "progressive",
    "restart",
    "yuv444",
];

/// The bytes of the picture called `name`.
pub(crate) fn picture(name: &str) -> &'static [u8] {
    PICTURES.iter().find(|(known, _)| *known == name).expect("a picture of that name").1
}
