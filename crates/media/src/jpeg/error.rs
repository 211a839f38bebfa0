//! What is wrong with a JPEG: the byte and the rule.

/// Where a JPEG breaks a rule, and which one. Offsets count from the picture's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    /// The first two bytes are not the start-of-image marker.
    #[error("byte 0: a picture begins with SOI, FF D8 (T.81 B.2.1)")]
    NoStart,
    /// Something else stands where a marker must.
    #[error("byte {at}: expected a marker, FF, found {found:02X} (T.81 B.1.1.2)")]
    NotAMarker {
        /// Offset of the byte.
        at: usize,
        /// The byte.
        found: u8,
    },
    /// A marker code that T.81 gives no meaning to, between segments or within a scan.
    #[error("byte {at}: marker FF {code:02X} has no meaning (T.81 table B.1)")]
    Meaningless {
        /// Offset of the marker's `FF`.
        at: usize,
        /// Its code.
        code: u8,
    },
    /// A second start of image outside of a segment: the picture before it was cut off.
    #[error("byte {at}: a new picture begins before the end of this one (T.81 B.2.1)")]
    CutOff {
        /// Offset of the new picture.
        at: usize,
    },
    /// A segment's length does not even count its own two bytes.
    #[error(
        "byte {at}: segment FF {code:02X} gives its length as {length}, expected 2 to {longest} (T.81 B.1.1.4)"
    )]
    SegmentLength {
        /// Offset of the marker's `FF`.
        at: usize,
        /// Its code.
        code: u8,
        /// The length it gives.
        length: u16,
        /// The greatest that makes sense.
        longest: u16,
    },
    /// The end of the image came before any scan.
    #[error("byte {at}: the image ends without a scan (T.81 B.2.1)")]
    NoScan {
        /// Offset of the end marker's `FF`.
        at: usize,
    },
    /// A scan came before the frame header that says what is scanned.
    #[error("byte {at}: a scan before the frame header (T.81 B.2.1)")]
    NoFrame {
        /// Offset of the scan marker's `FF`.
        at: usize,
    },
    /// The bytes end before the picture does.
    #[error("byte {at}: the bytes end within the picture (T.81 B.2.1)")]
    Truncated {
        /// How many bytes there are.
        at: usize,
    },
    /// A header segment holds a value outside its range.
    #[error("byte {at}: {what} is {found}, expected {expected} (T.81 {rule})")]
    OutOfRange {
        /// Offset of the value.
        at: usize,
        /// The value's name in T.81.
        what: &'static str,
        /// The value.
        found: u32,
        /// What it may be.
        expected: &'static str,
        /// The section that says so.
        rule: &'static str,
    },
}

impl JpegError {
    /// Offset of the byte that breaks the rule, from the picture's first.
    pub const fn at(&self) -> usize {
        match *self {
            Self::NoStart => 0,
            Self::NotAMarker { at, .. }
            | Self::Meaningless { at, .. }
            | Self::CutOff { at }
            | Self::SegmentLength { at, .. }
            | Self::NoScan { at }
            | Self::NoFrame { at }
            | Self::Truncated { at }
            | Self::OutOfRange { at, .. } => at,
        }
    }
}
