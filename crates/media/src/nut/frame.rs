//! What stands before a frame's data (specification of NUT, section 3.7).
//!
//! ```text
//! code u8 | flags v | stream v | ticks v | length v | match time s | left out v | reserved v ... | checksum u32 | data
//! ```
//! All but the code and the data are there only where the code's entry in the main header's table, or the flags themselves, say so.

use super::header::{FrameCode, INVALID, MainHeader};
use super::stream::Stream;
use super::{CHECKSUM_BYTES, NutError};
use crate::nut::fields::Fields;

const CODED_TICKS: u64 = 1 << 3;
const STREAM_ID: u64 = 1 << 4;
const LENGTH: u64 = 1 << 5;
const CHECKSUM: u64 = 1 << 6;
const RESERVED: u64 = 1 << 7;
const SIDE_DATA: u64 = 1 << 8;
const ELIDED: u64 = 1 << 10;
const MATCH_TIME: u64 = 1 << 11;
const CODED_FLAGS: u64 = 1 << 12;
/// Most fields that are not known.
const MOST_RESERVED: u64 = 256;

/// A frame: whose it is, when, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHeader {
    pub(super) stream: usize,
    /// Of the stream's time base.
    pub(super) ticks: i64,
    /// The length of what follows.
    pub(super) bytes: u64,
    /// What was left out before it, by its number in the main header.
    pub(super) elided: usize,
}

/// Reads what stands before a frame's data; `None` where it is not there whole.
pub(super) fn read(
    fields: &mut Fields<'_>,
    main: &MainHeader,
    streams: &[Option<Stream>],
) -> Result<Option<FrameHeader>, NutError> {
    let Some(code) = fields.u8() else { return Ok(None) };
    let FrameCode { mut flags, ticks, stream, multiplier, bytes, mut reserved, mut elided } =
        main.codes[usize::from(code)];
    // A field that is there, or what the table says in its place.
    macro_rules! field {
        ($flag:expr, $else:expr) => {
            match flags & $flag {
                0 => $else,
                _ => match fields.v()? {
                    Some(number) => number,
                    None => return Ok(None),
                },
            }
        };
    }
    if flags & INVALID != 0 {
        return Err(NutError::Damaged("a frame code that is none"));
    }
    flags ^= field!(CODED_FLAGS, 0);
    if flags & SIDE_DATA != 0 {
        return Err(NutError::Damaged("a frame with data beside it, which is not read"));
    }
    let number = field!(STREAM_ID, stream);
    let found = usize::try_from(number).ok().and_then(|number| streams.get(number)).and_then(Option::as_ref);
    let found = found.ok_or(NutError::Damaged("a frame of no stream"))?;
    let coded = field!(CODED_TICKS, 0);
    let ticks = match flags & CODED_TICKS {
        0 => found.last_ticks.saturating_add(ticks),
        _ => full_ticks(coded, found.ticks_bits, found.last_ticks),
    };
    let bytes = multiplier.saturating_mul(field!(LENGTH, 0)).saturating_add(bytes);
    if flags & MATCH_TIME != 0 && fields.s()?.is_none() {
        return Ok(None);
    }
    elided = field!(ELIDED, elided);
    reserved = field!(RESERVED, reserved);
    if reserved > MOST_RESERVED {
        return Err(NutError::Damaged("a frame with too many fields"));
    }
    for _ in 0..reserved {
        if fields.v()?.is_none() {
            return Ok(None);
        }
    }
    if flags & CHECKSUM != 0 && fields.take(CHECKSUM_BYTES).is_none() {
        return Ok(None);
    }
    // Only short frames leave something out.
    let elided = if bytes > 4096 { 0 } else { usize::try_from(elided).unwrap_or(usize::MAX) };
    let left_out =
        main.elided.get(elided).ok_or(NutError::Damaged("a frame that leaves out what is not known"))?;
    let bytes = bytes.checked_sub(left_out.len() as u64);
    let bytes = bytes.ok_or(NutError::Damaged("a frame shorter than what it leaves out"))?;
    Ok(Some(FrameHeader { stream: number as usize, ticks, bytes, elided }))
}

/// A time as it is coded: whole, or its lowest `bits` alone, of which the nearest to the last one is meant (section 3.7).
fn full_ticks(coded: u64, bits: u32, last: i64) -> i64 {
    let range = 1_u64 << bits;
    if coded >= range {
        return i64::try_from(coded - range).unwrap_or(i64::MAX);
    }
    let mask = (range - 1) as i64;
    let least = last.wrapping_sub(mask / 2);
    ((coded as i64).wrapping_sub(least) & mask).wrapping_add(least)
}
