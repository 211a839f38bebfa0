//! JPEGs that RTP cannot carry as they are, or that are to be smaller, through the camera's worker.

use std::sync::Arc;

use bytes::Bytes;
use ocelli_media::Size;
use ocelli_media::jpeg::estimate_quality;
use ocelli_media::jpeg::rewrite::{Rewriter, RtpJpeg};

use crate::variants::{Pixels, Wish};

/// RTP/JPEG counts 8 pixels in 8 bits (RFC 2435, 3.1.5).
const MOST: Size = Size { width: 2040, height: 2040 };

/// A picture that was encoded anew, and why it had to be. `Err` is why it could not be, in words.
pub(super) type Reencoded = Result<(RtpJpeg, Arc<str>), String>;

/// Encodes pictures of one camera anew.
#[derive(Debug)]
pub(super) struct Reencoding {
    recoder: Pixels,
    quality: Option<u8>,
    rewriter: Rewriter,
    /// The words of the last reason, written once for as long as it stays the same.
    why: Option<Arc<str>>,
}

impl Reencoding {
    pub(super) fn new(recoder: Pixels, quality: Option<u8>) -> Self {
        Self { recoder, quality, rewriter: Rewriter::new(), why: None }
    }

    /// The quality that is wanted of a picture that has a higher one.
    pub(super) fn lower_quality(&self, jpeg: &[u8]) -> Option<u8> {
        let wanted = self.quality?;
        estimate_quality(jpeg).is_none_or(|own| own > wanted).then_some(wanted)
    }

    /// Encodes a picture at a lower quality.
    pub(super) async fn lower(&mut self, jpeg: &Bytes, quality: u8) -> Reencoded {
        self.encode(jpeg, Some(quality), &format!("the quality is lowered to {quality}")).await
    }

    /// Encodes a picture that RTP cannot carry, because of `why`.
    pub(super) async fn reencode(&mut self, jpeg: &Bytes, why: &str) -> Reencoded {
        self.encode(jpeg, self.lower_quality(jpeg), why).await
    }

    async fn encode(&mut self, jpeg: &Bytes, quality: Option<u8>, why: &str) -> Reencoded {
        let wish = Wish { quality, sampling: None, most: MOST };
        let made = self.recoder.recode(jpeg.clone(), wish).await.map_err(|failure| failure.to_string())?;
        let (picture, _) = self.rewriter.rewrite(&made).map_err(|error| error.to_string())?;
        let words = self.why.take().filter(|words| **words == *why).unwrap_or_else(|| why.into());
        self.why = Some(words.clone());
        Ok((picture, words))
    }
}
