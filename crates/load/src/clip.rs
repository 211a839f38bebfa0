//! A recorded `.mjpeg` file, cut into its pictures.
//!
//! Cut where one picture's FFD9 meets the next one's FFD8, which is enough for files made for this purpose; it is not
//! how a camera's bytes are read (a thumbnail inside a picture would be cut out).

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, bail};

const SEAM: [u8; 4] = [0xFF, 0xD9, 0xFF, 0xD8];

/// Pictures in one allocation.
#[derive(Debug)]
pub(crate) struct Clip {
    bytes: Vec<u8>,
    pictures: Vec<Range<usize>>,
}

impl Clip {
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::cut(bytes).with_context(|| path.display().to_string())
    }

    /// One picture-shaped run of bytes: only FFD8 and FFD9 of it are real.
    pub(crate) fn synthetic(length: usize) -> Self {
        let mut bytes: Vec<u8> = (0..length.max(4)).map(|at| (at * 31 % 251) as u8).collect();
        let end = bytes.len();
        bytes[..2].copy_from_slice(&[0xFF, 0xD8]);
        bytes[end - 2..].copy_from_slice(&[0xFF, 0xD9]);
        Self { bytes, pictures: std::iter::once(0..end).collect() }
    }

    pub(crate) fn cut(bytes: Vec<u8>) -> anyhow::Result<Self> {
        if !bytes.starts_with(&SEAM[2..]) || !bytes.ends_with(&SEAM[..2]) {
            bail!("not a row of whole JPEGs: it begins with FFD8 and ends with FFD9");
        }
        let seams = memchr::memmem::find_iter(&bytes, &SEAM).map(|at| at + 2);
        let mut pictures = Vec::new();
        let mut start = 0;
        for end in seams.chain([bytes.len()]) {
            pictures.push(start..end);
            start = end;
        }
        Ok(Self { bytes, pictures })
    }

    /// How many pictures: at least one.
    pub(crate) fn count(&self) -> usize {
        self.pictures.len()
    }

    /// Picture number `index`, over and over.
    pub(crate) fn picture(&self, index: usize) -> &[u8] {
        &self.bytes[self.pictures[index % self.count()].clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_cut_and_looped() {
        let clip = Clip::cut(b"\xFF\xD8one\xFF\xD9\xFF\xD8three\xFF\xD9".to_vec()).unwrap();
        assert_eq!(clip.picture(0), b"\xFF\xD8one\xFF\xD9");
        assert_eq!(clip.picture(1), b"\xFF\xD8three\xFF\xD9");
        assert_eq!(clip.picture(2), clip.picture(0));
        assert!(Clip::cut(b"text".to_vec()).is_err() && Clip::cut(Vec::new()).is_err());
        let synthetic = Clip::synthetic(1000);
        assert_eq!(
            (synthetic.picture(5).len(), &synthetic.picture(5)[998..]),
            (1000, [0xFF, 0xD9].as_slice())
        );
    }
}
