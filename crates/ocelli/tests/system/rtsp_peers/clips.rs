//! Short films that FFmpeg encodes once and that are a camera, so that what a player shows can be compared bit by bit with
//! what was sent.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use super::players::read_y4m;
use crate::programs::run;

/// Pictures a second.
pub(super) const RATE: u32 = 30;
pub(super) const SIZE: (usize, usize) = (320, 240);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Codec {
    H264,
    H265,
    Jpeg,
}

impl Codec {
    /// FFmpeg's encoder: a keyframe every two seconds, so that a player which has to wait for one is noticed, with the
    /// parameter sets in it.
    fn encoder(self) -> &'static str {
        match self {
            Self::H264 => {
                "-c:v libx264 -preset ultrafast -tune zerolatency -g 60 -keyint_min 60 -bsf:v dump_extra -f h264"
            }
            Self::H265 => {
                "-c:v libx265 -preset ultrafast -tune zerolatency -x265-params \
                 log-level=none:keyint=60:min-keyint=60:repeat-headers=1 -f hevc"
            }
            Self::Jpeg => "-c:v mjpeg -q:v 5 -pix_fmt yuvj420p -huffman default -f mjpeg",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Jpeg => "mjpeg",
        }
    }
}

/// Two seconds of film.
pub(super) struct Clip {
    pub(super) file: PathBuf,
    /// Its pictures as decoded by FFmpeg.
    pub(super) pictures: HashSet<Vec<u8>>,
}

impl Clip {
    /// Encodes it into `directory`.
    pub(super) fn of(directory: &TempDir, codec: Codec) -> Self {
        // One at a time: H.265's encoder takes every core that it finds, and all would be late.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("clip.{}", codec.suffix());
        let (width, height) = SIZE;
        let (encoder, count) = (codec.encoder(), 2 * RATE);
        run(
            directory,
            &format!(
                "ffmpeg -v error -f lavfi -i testsrc2=size={width}x{height}:rate={RATE},noise=alls=12:allf=t -pix_fmt yuv420p \
                 -frames:v {count} {encoder} {name}"
            ),
        );
        run(
            directory,
            &format!(
                "ffmpeg -v error -i {name} -fps_mode passthrough -pix_fmt yuv420p -f yuv4mpegpipe {name}.y4m"
            ),
        );
        let decoded = std::fs::read(directory.path().join(format!("{name}.y4m"))).unwrap();
        let (size, pictures) = read_y4m(&decoded).unwrap();
        assert_eq!((size, pictures.len()), (SIZE, count as usize), "{codec:?}");
        Self { file: directory.path().join(name), pictures: pictures.into_iter().collect() }
    }
}
