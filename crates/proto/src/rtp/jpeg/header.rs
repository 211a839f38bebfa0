//! What stands before a packet's piece of the scan.

use ocelli_media::Size;
use ocelli_media::jpeg::rewrite::Sampling;

/// Why a payload is no JPEG that can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It ends within its headers.
    #[error("the payload of {0} bytes ends within its headers (RFC 2435 3.1)")]
    CutOff(usize),
    /// Single fields of interlaced video.
    #[error("interlaced field {0}, only whole pictures (RFC 2435 4.1)")]
    Interlaced(u8),
    /// A type without a meaning that is known here.
    #[error("type {0}, expected 0, 1, 64 or 65 (RFC 2435 4.1)")]
    Type(u8),
    /// Reserved values.
    #[error("Q is {0}, which means nothing (RFC 2435 4.2)")]
    Quality(u8),
    /// No size, or one that is told elsewhere.
    #[error("the size is {0} (RFC 2435 3.1.5)")]
    Size(Size),
    /// A restart interval of 0 where there should be one.
    #[error("a restart interval of 0 (RFC 2435 3.1.7)")]
    RestartInterval,
    /// Quantisation tables of a length that two tables cannot have.
    #[error("{length} bytes of quantisation tables with precision {precision} (RFC 2435 3.1.8)")]
    Tables {
        /// The length field.
        length: u16,
        /// The precision field.
        precision: u8,
    },
}

/// What is the same for all packets of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Common {
    pub(super) sampling: Sampling,
    pub(super) q: u8,
    pub(super) size: Size,
    pub(super) restart_interval: Option<u16>,
}

/// The tables of a first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SentTables<'a> {
    pub(super) precision: u8,
    /// Empty where the sender relies on an earlier picture with the same Q.
    pub(super) data: &'a [u8],
}

/// A payload taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment<'a> {
    pub(super) common: Common,
    /// Where in the scan it belongs.
    pub(super) offset: u32,
    /// If Q is 128 to 255 and the offset 0.
    pub(super) tables: Option<SentTables<'a>>,
    pub(super) data: &'a [u8],
}

impl<'a> Fragment<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, HeaderError> {
        let cut_off = HeaderError::CutOff(payload.len());
        let (&[specific, o2, o1, o0, kind, q, width, height], rest) =
            payload.split_first_chunk::<8>().ok_or(cut_off)?;
        // 3 is a field that is to be shown as a whole picture.
        if !matches!(specific, 0 | 3) {
            return Err(HeaderError::Interlaced(specific));
        }
        let sampling = match kind {
            0 | 64 => Sampling::Yuv422,
            1 | 65 => Sampling::Yuv420,
            _ => return Err(HeaderError::Type(kind)),
        };
        if matches!(q, 0 | 100..=127) {
            return Err(HeaderError::Quality(q));
        }
        let size = Size { width: 8 * u16::from(width), height: 8 * u16::from(height) };
        if width == 0 || height == 0 {
            return Err(HeaderError::Size(size));
        }
        let (restart_interval, rest) = if kind < 64 {
            (None, rest)
        } else {
            // F, L and the count let a receiver show chunks around a loss. Damaged pictures are not shown here.
            let (&[high, low, _, _], rest) = rest.split_first_chunk::<4>().ok_or(cut_off)?;
            let interval = u16::from_be_bytes([high, low]);
            (Some(interval).filter(|interval| *interval > 0), rest)
        };
        if kind >= 64 && restart_interval.is_none() {
            return Err(HeaderError::RestartInterval);
        }
        let offset = u32::from_be_bytes([0, o2, o1, o0]);
        let (tables, data) = if q >= 128 && offset == 0 {
            let (&[_, precision, high, low], rest) = rest.split_first_chunk::<4>().ok_or(cut_off)?;
            let length = u16::from_be_bytes([high, low]);
            let (data, rest) = rest.split_at_checked(length.into()).ok_or(cut_off)?;
            (Some(SentTables { precision, data }), rest)
        } else {
            (None, rest)
        };
        Ok(Self { common: Common { sampling, q, size, restart_interval }, offset, tables, data })
    }
}
