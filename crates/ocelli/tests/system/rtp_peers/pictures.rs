//! Decoded pictures, compared pixel by pixel. FFmpeg decodes the original and what a peer received alike.

use std::fmt::Write as _;

use tempfile::TempDir;

use crate::programs::run;

/// The planes of a picture with 4:2:0 or 4:2:2 colour.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Planes {
    /// Y, Cb, Cr: width, height, samples.
    planes: [(usize, usize, Vec<u8>); 3],
}

impl Planes {
    /// Of a picture without gaps between its rows. Its length says how its colour is sampled.
    pub(super) fn new((width, height): (usize, usize), samples: &[u8]) -> Self {
        let halves = [(width.div_ceil(2), height.div_ceil(2)), (width.div_ceil(2), height)];
        let colour = halves.into_iter().find(|(w, h)| width * height + 2 * w * h == samples.len());
        let colour = colour.unwrap_or_else(|| panic!("{} bytes of {width}x{height}", samples.len()));
        let mut rest = samples;
        let planes = [(width, height), colour, colour].map(|(width, height)| {
            let (plane, behind) = rest.split_at(width * height);
            rest = behind;
            (width, height, plane.to_vec())
        });
        Self { planes }
    }

    /// Its upper left part, in the size of `other`.
    pub(super) fn cropped_like(&self, other: &Self) -> Self {
        let mut planes = self.planes.clone();
        for ((width, height, samples), (columns, rows, _)) in planes.iter_mut().zip(&other.planes) {
            assert!(*columns <= *width && *rows <= *height, "{width}x{height} is less than {columns}x{rows}");
            *samples = samples.chunks(*width).take(*rows).flat_map(|row| row[..*columns].to_vec()).collect();
            (*width, *height) = (*columns, *rows);
        }
        Self { planes }
    }
}

/// Decodes JPEG files of `directory`, whose sizes are known.
pub(super) fn decode(directory: &TempDir, files: &[(String, (usize, usize))]) -> Vec<Planes> {
    let mut line = "ffmpeg -v error -y".to_owned();
    for (file, _) in files {
        let _ = write!(line, " -f image2 -c:v mjpeg -i {file}");
    }
    for (index, (file, _)) in files.iter().enumerate() {
        let _ = write!(line, " -map {index} -frames:v 1 -f rawvideo {file}.raw");
    }
    run(directory, &line);
    let read = |(file, size): &(String, _)| {
        Planes::new(*size, &std::fs::read(directory.path().join(format!("{file}.raw"))).unwrap())
    };
    files.iter().map(read).collect()
}

/// A size as RTP/JPEG carries it: in whole blocks of 8x8.
pub(super) fn in_blocks((width, height): (usize, usize)) -> (usize, usize) {
    (width.next_multiple_of(8), height.next_multiple_of(8))
}
