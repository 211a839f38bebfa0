//! Quantisation tables: computed from Q (RFC 2435 appendix A), or sent.

use ocelli_media::jpeg::LUMA_QUANTISATION;
use ocelli_media::jpeg::rewrite::QuantisationPair;

use super::header::{HeaderError, SentTables};

/// T.81 table K.2, in zigzag order.
#[rustfmt::skip]
const CHROMA: [u8; 64] = [
    17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
];

/// The tables for a Q of 1 to 99.
pub(super) fn computed(q: u8) -> QuantisationPair {
    let q = u32::from(q.clamp(1, 99));
    let factor = if q < 50 { 5000 / q } else { 200 - 2 * q };
    let scaled =
        |base: &[u8; 64]| base.map(|value| ((u32::from(value) * factor + 50) / 100).clamp(1, 255) as u16);
    QuantisationPair { luma: scaled(&LUMA_QUANTISATION), chroma: scaled(&CHROMA) }
}

/// Reads tables as they are sent.
///
/// One table serves brightness and colour both: FFmpeg's sender has sent so. It also sends two 16-bit tables with a
/// precision of 0, which their length gives away.
pub(super) fn sent(tables: SentTables<'_>) -> Result<QuantisationPair, HeaderError> {
    let wrong = HeaderError::Tables { length: tables.data.len() as u16, precision: tables.precision };
    let precision = if tables.data.len() == 256 { 3 } else { tables.precision };
    let width = |bit: u8| 1 + usize::from(precision >> bit & 1);
    let (luma, rest) = tables.data.split_at_checked(64 * width(0)).ok_or(wrong)?;
    let luma = read(luma, width(0));
    let chroma = match rest.len() {
        0 => luma,
        length if length == 64 * width(1) => read(rest, width(1)),
        _ => return Err(wrong),
    };
    if luma.contains(&0) || chroma.contains(&0) { Err(wrong) } else { Ok(QuantisationPair { luma, chroma }) }
}

fn read(bytes: &[u8], width: usize) -> [u16; 64] {
    let mut table = [0; 64];
    for (value, bytes) in table.iter_mut().zip(bytes.chunks_exact(width)) {
        *value = bytes.iter().fold(0, |value, byte| value << 8 | u16::from(*byte));
    }
    table
}
