//! JPEGs that RTP cannot carry as they are, or that are to be smaller, through the camera's worker.

use std::sync::Arc;

use bytes::Bytes;
use ocelli_media::Size;
use ocelli_media::jpeg::rewrite::{Rewriter, RtpJpeg};

use crate::transcode::{Recoder, Wish};

/// RTP/JPEG counts 8 pixels in 8 bits (RFC 2435, 3.1.5).
const MOST: Size = Size { width: 2040, height: 2040 };

/// A picture that was encoded anew, and why it had to be. `Err` is why it could not be, in words.
pub(super) type Reencoded = Result<(RtpJpeg, Arc<str>), String>;

/// Encodes pictures of one camera anew.
#[derive(Debug)]
pub(super) struct Reencoding {
    recoder: Recoder,
    quality: Option<u8>,
    rewriter: Rewriter,
    /// The words of the last reason, written once for as long as it stays the same.
    why: Option<Arc<str>>,
}

impl Reencoding {
    pub(super) fn new(recoder: Recoder, quality: Option<u8>) -> Self {
        Self { recoder, quality, rewriter: Rewriter::new(), why: None }
    }

    /// A lower quality than the camera's is wanted, of every picture.
    pub(super) fn lowers_quality(&self) -> bool {
        self.quality.is_some()
    }

    /// Why every picture is encoded anew, where a quality is wanted.
    pub(super) fn quality_words(&self) -> String {
        format!("quality {} is wanted", self.quality.unwrap_or_default())
    }

    /// Encodes a picture that RTP cannot carry, or not at the wanted quality, because of `why`.
    pub(super) async fn reencode(&mut self, jpeg: &Bytes, why: &str) -> Reencoded {
        let wish = Wish { quality: self.quality, sampling: None, most: MOST };
        let made = self.recoder.recode(jpeg.clone(), wish).await.map_err(|failure| failure.to_string())?;
        let (picture, _) = self.rewriter.rewrite(&made).map_err(|error| error.to_string())?;
        let words = self.why.take().filter(|words| **words == *why).unwrap_or_else(|| why.into());
        self.why = Some(words.clone());
        Ok((picture, words))
    }
}
