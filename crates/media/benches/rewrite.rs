//! How fast a 1080p picture is made ready for RTP/JPEG, beside `jpegtran -copy none`, which does the same to a file.
//!
//! The pictures come from FFmpeg and libjpeg-turbo's programs, which must be installed (Debian: ffmpeg,
//! libjpeg-turbo-progs). What jpegtran takes to start is measured too, with a picture of 64x48.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ocelli_media::jpeg::rewrite::{Rewriter, Work};

/// Noise over a test picture, at the qualities that give the 140 KB of cameras' pictures.
const PICTURES: &str = r#"
ffmpeg -v error -y -f lavfi -i testsrc2=size=1920x1080,noise=alls=9 -frames:v 1 big.ppm
ffmpeg -v error -y -i big.ppm -frames:v 1 -c:v mjpeg -q:v 6 -pix_fmt yuvj422p reordered.jpg
cjpeg -quality 78 -optimize -outfile recoded.jpg big.ppm
cjpeg -quality 78 -outfile as-is.jpg big.ppm
"#;

fn run(directory: &Path, line: &str) {
    let mut words = line.split_whitespace();
    let program = words.next().expect("a program");
    let status = Command::new(program).args(words).current_dir(directory).status();
    assert!(status.is_ok_and(|status| status.success()), "{line}: needs {program}");
}

fn rewrite(criterion: &mut Criterion) {
    let directory = std::env::temp_dir().join(format!("ocelli-rewrite-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    PICTURES.lines().filter(|line| !line.is_empty()).for_each(|line| run(&directory, line));
    let mut group = criterion.benchmark_group("rewrite");
    for (name, work) in [("as-is", Work::AsIs), ("recoded", Work::Recoded), ("reordered", Work::Reordered)] {
        let file = format!("{name}.jpg");
        let picture = Bytes::from(std::fs::read(directory.join(&file)).expect("the picture just made"));
        let mut rewriter = Rewriter::new();
        assert_eq!(rewriter.rewrite(&picture).expect("it can be carried").1, work);
        group.throughput(Throughput::Bytes(picture.len() as u64));
        group.bench_function(format!("{name}, {} KB", picture.len() / 1000), |b| {
            b.iter(|| rewriter.rewrite(black_box(&picture)));
        });
        let line = format!("jpegtran -copy none -outfile out.jpg {file}");
        group.bench_function(format!("{name}, jpegtran"), |b| b.iter(|| run(&directory, &line)));
    }
    let small = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/optimised.jpg");
    let line = format!("jpegtran -copy none -outfile out.jpg {small}");
    group.bench_function("jpegtran's start alone", |b| b.iter(|| run(&directory, &line)));
    group.finish();
    let _ = std::fs::remove_dir_all(&directory);
}

criterion_group!(benches, rewrite);
criterion_main!(benches);
