//! What is wrong with an MP4, in words for who gave it.

/// Why an MP4 is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mp4Error {
    /// It ends without its table of contents.
    #[error("it has no table of contents (`moov`): was the recording cut off before it was finished?")]
    NoContents,
    /// A box that makes no sense.
    #[error("damaged: its `{kind}` makes no sense")]
    Damaged {
        /// Which.
        kind: &'static str,
    },
    /// A box that must be there is not.
    #[error("damaged: `{kind}` is missing")]
    Missing {
        /// Which.
        kind: &'static str,
    },
    /// A box that has to be held in memory is too long for that.
    #[error("its `{kind}` has {bytes} bytes, and more than {most} are not read")]
    TooLong {
        /// Which.
        kind: &'static str,
        /// Its length.
        bytes: u64,
        /// The most that is read.
        most: u64,
    },
    /// A fragment of more samples than make sense.
    #[error("damaged: a fragment of more than {most} samples")]
    TooManySamples {
        /// The most that are read.
        most: usize,
    },
    /// There is nothing to show.
    #[error("no H.264, H.265 or MJPEG in it, but {found}")]
    NoVideo {
        /// What there is: "av01, mp4a".
        found: String,
    },
    /// Its pictures are encrypted.
    #[error("its pictures are encrypted (`{kind}`)")]
    Encrypted {
        /// The kind of its sample entry.
        kind: String,
    },
}
