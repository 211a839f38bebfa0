//! `ocelli-load camera`: a clip's pictures on stdout at their rate, each marked with the time its last byte was written.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::cli::CameraOptions;
use crate::clip::Clip;
use crate::pace::Pace;
use crate::stamp::Stamp;

/// Writes until the reader is gone.
pub(crate) fn run(options: &CameraOptions) -> anyhow::Result<()> {
    let clip = Clip::load(&options.clip)?;
    let mut log = options.log.as_ref().map(File::create).transpose().context("cannot write the log")?;
    // Stdout's own writer looks for line ends and splits pictures at them: the descriptor itself is used instead.
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut pace = Pace::new(options.fps, Instant::now());
    for sequence in 0.. {
        while let Some(left) = pace.wait(Instant::now()) {
            std::thread::sleep(left);
        }
        let picture = clip.picture(sequence as usize);
        let written_micros = match write_stamped(&mut out, picture, sequence) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        };
        if let Some(log) = &mut log {
            log.write_all(&written_micros.to_be_bytes())?;
        }
    }
    Ok(())
}

/// The pipe takes the picture at the speed of its reader; only then is the time taken for the last few bytes. Returns it.
fn write_stamped(out: &mut impl Write, picture: &[u8], sequence: u32) -> io::Result<u64> {
    let (body, end) = picture.split_at(picture.len() - 2);
    out.write_all(body)?;
    let written_micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
    let mut last = Stamp { sequence, written_micros }.segment();
    last.extend_from_slice(end);
    out.write_all(&last)?;
    Ok(written_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamped_picture_ends_as_before() {
        let clip = Clip::synthetic(500);
        let mut out = Vec::new();
        write_stamped(&mut out, clip.picture(0), 9).unwrap();
        assert_eq!(out.len(), 500 + Stamp::SEGMENT_BYTES);
        assert_eq!(out[..498], clip.picture(0)[..498]);
        assert!(out.ends_with(&[0xFF, 0xD9]));
        assert_eq!(Stamp::find(&out[400..]).unwrap().sequence, 9);
    }
}
