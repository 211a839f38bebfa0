//! Why a JPEG is not carried as RTP/JPEG: it is damaged, or RFC 2435 has no way to say it.

use crate::Size;
use crate::jpeg::{JpegError, Process};

/// Why there is no [`RtpJpeg`](super::RtpJpeg). `Refused` holds for every picture of that camera, the others for one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// The segments are damaged.
    #[error(transparent)]
    Segments(#[from] JpegError),
    /// The tables or the entropy-coded bytes are damaged.
    #[error("byte {at}: {what} (T.81 {rule})")]
    Damaged {
        /// Offset from the picture's first byte. Within a scan it may be up to 8 bytes behind the culprit.
        at: usize,
        /// What is wrong.
        what: &'static str,
        /// The section that says so.
        rule: &'static str,
    },
    /// The picture may be sound, but RFC 2435 cannot carry it without loss.
    #[error("RTP/JPEG cannot carry {0} (RFC 2435)")]
    Refused(#[from] Refusal),
}

/// What RFC 2435 has no way to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Progressive, lossless, hierarchical or arithmetic coding.
    #[error("{0} coding, only baseline")]
    Process(Process),
    /// Not 8 bits a sample.
    #[error("{0} bits a sample, only 8")]
    Precision(u8),
    /// Grey, or with a fourth component.
    #[error("pictures of {0} components, only of 3")]
    Components(u8),
    /// Red, green and blue.
    #[error("RGB, only YCbCr")]
    Rgb,
    /// 4:4:4, 4:4:0, 4:1:1 and others: the sampling factors of brightness, first and second colour, each H × 16 + V.
    #[error(
        "colour sampled {}, only 4:2:0 and 4:2:2",
        sampling_words(.0)
    )]
    Sampling([u8; 3]),
    /// The fields for width and height count 8 pixels in 8 bits.
    #[error("a picture of {0}, only up to 2040x2040")]
    TooLarge(Size),
    /// The two colour components are quantised differently.
    #[error("two quantisation tables for colour, only one")]
    ColourTables,
    /// A symbol that the standard Huffman tables have no code for: a coefficient beyond 10 bits.
    #[error("coefficients beyond 10 bits, which the standard Huffman tables do not know")]
    Coefficient,
}

fn sampling_words([y, cb, cr]: &[u8; 3]) -> String {
    let pair = |factors: u8| (factors >> 4, factors & 15);
    let ((yh, yv), (bh, bv)) = (pair(*y), pair(*cb));
    let known = cb == cr && bh > 0 && bv > 0 && yh % bh == 0 && yv % bv == 0;
    match (known, yh / bh.max(1), yv / bv.max(1)) {
        (true, 1, 1) => "4:4:4".into(),
        (true, 1, 2) => "4:4:0".into(),
        (true, 4, 1) => "4:1:1".into(),
        (true, 4, 2) => "4:1:0".into(),
        _ => {
            let (rh, rv) = pair(*cr);
            format!("{yh}x{yv},{bh}x{bv},{rh}x{rv}")
        }
    }
}
