//! Pictures of real encoders, rewritten for RTP/JPEG and made files again, decode to the same pixels. FFmpeg is the judge.

use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;
use ocelli_media::jpeg::rewrite::{Rewriter, Work};

/// A directory of this test's own, gone when it ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ocelli-rewrite-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }

    /// Runs a line of words; `%` stands for this directory.
    fn run(&self, line: &str) {
        let mut words = line.split_whitespace().map(|word| word.replace('%', &self.0.display().to_string()));
        let program = words.next().expect("a program");
        let output =
            Command::new(&program).args(words).output().unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn read(&self, name: &str) -> Bytes {
        std::fs::read(self.0.join(name)).expect("a file").into()
    }

    /// The pixels of `name`, in its own format.
    fn pixels(&self, name: &str) -> Bytes {
        let raw = format!("{name}.raw");
        self.run(&format!("ffmpeg -v error -y -f image2 -c:v mjpeg -i %/{name} -f rawvideo %/{raw}"));
        self.read(&raw)
    }

    /// Rewrites `name` and compares.
    fn check(&self, name: &str, expected: Work) {
        let (picture, work) = Rewriter::new().rewrite(&self.read(name)).expect("it can be carried");
        assert_eq!(work, expected, "{name}");
        let rebuilt = format!("rebuilt-{name}");
        std::fs::write(self.0.join(&rebuilt), picture.rebuild()).expect("a file");
        let (before, after) = (self.pixels(name), self.pixels(&rebuilt));
        assert!(!before.is_empty() && before == after, "{name}: other pixels");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Sizes that do and that do not fill the last units across and down; 4:2:2 of 1x2 units has one row too many in
/// the last two.
const SIZES: [&str; 4] = ["640x480", "634x470", "330x250", "96x87"];

#[test]
fn ffmpegs_pictures_keep_their_pixels() {
    let directory = Directory::new("ffmpeg");
    for size in SIZES {
        for (format, work) in [("yuvj420p", Work::Recoded), ("yuvj422p", Work::Reordered)] {
            let make = "ffmpeg -v error -y -f lavfi -i";
            let picture = format!("testsrc2=size={size},noise=alls=20 -frames:v 1 -pix_fmt {format}");
            directory.run(&format!("{make} {picture} -c:v mjpeg -q:v 3 %/a.jpg"));
            directory.check("a.jpg", work);
            // Without optimised tables only the order may differ.
            directory.run(&format!("{make} {picture} -c:v mjpeg -huffman default -q:v 9 %/b.jpg"));
            let work = if format == "yuvj420p" { Work::AsIs } else { Work::Reordered };
            directory.check("b.jpg", work);
        }
    }
}

#[test]
fn gstreamers_pictures_keep_their_pixels() {
    let directory = Directory::new("gstreamer");
    for size in SIZES {
        let (width, height) = size.split_once('x').unwrap();
        for (format, work) in [("I420", Work::AsIs), ("Y42B", Work::AsIs)] {
            directory.run(&format!(
                "gst-launch-1.0 -q videotestsrc num-buffers=1 pattern=ball ! video/x-raw,format={format},width={width},height={height} ! jpegenc quality=90 ! filesink location=%/a.jpg"
            ));
            directory.check("a.jpg", work);
        }
    }
}

#[test]
fn the_pictures_at_hand_keep_their_pixels() {
    let directory = Directory::new("corpus");
    for (name, work) in [
        ("baseline", Work::AsIs),
        ("exif-thumbnail", Work::AsIs),
        ("ffmpeg-yuv420", Work::Recoded),
        ("ffmpeg-yuv422", Work::Reordered),
        ("fill-bytes", Work::AsIs),
        ("gstreamer", Work::AsIs),
        ("no-dht", Work::AsIs),
        ("optimised", Work::Recoded),
        ("restart", Work::AsIs),
        ("rewrite/optimised-restarts-odd", Work::Recoded),
        ("rewrite/scan-for-each-component", Work::Reordered),
        ("rewrite/wide-tables", Work::AsIs),
    ] {
        let file = format!("{}/testdata/{name}.jpg", env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(&file, directory.0.join("a.jpg")).unwrap_or_else(|error| panic!("{file}: {error}"));
        directory.check("a.jpg", work);
    }
}
