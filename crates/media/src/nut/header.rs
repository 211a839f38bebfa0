//! The main header (specification of NUT, section 3.4): how many streams there are, their clocks, and what each frame code says.

use std::num::NonZeroU64;

use super::NutError;
use super::fields::Fields;

/// Most streams: FFmpeg is asked for two.
const MOST_STREAMS: u64 = 32;
/// Most clocks: each stream may have its own.
const MOST_TIME_BASES: u64 = 64;
/// Most bytes of all that is left out of frames together (section 3.4.2).
const MOST_ELIDED_BYTES: usize = 1024;

pub(super) struct MainHeader {
    pub(super) streams: usize,
    pub(super) time_bases: Vec<TimeBase>,
    /// By frame code.
    pub(super) codes: Box<[FrameCode; 256]>,
    /// What frames may leave out at their beginning; the first is nothing.
    pub(super) elided: Vec<Vec<u8>>,
}

impl std::fmt::Debug for MainHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MainHeader").field("streams", &self.streams).finish_non_exhaustive()
    }
}

/// A clock: so many seconds a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeBase {
    pub(super) numerator: u64,
    pub(super) denominator: NonZeroU64,
}

impl TimeBase {
    /// `ticks` of this clock in those of `other`, rounded towards the past.
    pub(super) fn convert(self, ticks: i64, other: Self) -> i64 {
        let product = |a: u64, b: u64| i128::from(a) * i128::from(b);
        // Each factor has less than 32 bits.
        let over = product(self.numerator, other.denominator.get());
        let under = product(self.denominator.get(), other.numerator);
        let whole = i128::from(ticks).saturating_mul(over).div_euclid(under);
        i64::try_from(whole).unwrap_or(i64::MAX)
    }
}

/// What a frame's first byte says of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FrameCode {
    pub(super) flags: u64,
    pub(super) ticks: i64,
    pub(super) stream: u64,
    pub(super) multiplier: u64,
    pub(super) bytes: u64,
    pub(super) reserved: u64,
    pub(super) elided: u64,
}

/// The code that is none.
pub(super) const INVALID: u64 = 1 << 13;

/// Reads a main header, without its startcode, length and checksum.
pub(super) fn main(body: &[u8]) -> Result<MainHeader, NutError> {
    const DAMAGED: NutError = NutError::Damaged("its main header");
    let mut fields = Fields::new(body);
    let mut number = || fields.v()?.ok_or(DAMAGED);
    match number()? {
        3 => {}
        4 => drop(number()?),
        _ => return Err(NutError::Damaged("a version that is not known")),
    }
    let streams = number()?;
    let _longest_way_to_a_syncpoint = number()?;
    let clocks = number()?;
    if !(1..=MOST_STREAMS).contains(&streams) || !(1..=MOST_TIME_BASES).contains(&clocks) {
        return Err(DAMAGED);
    }
    let mut time_bases = Vec::new();
    for _ in 0..clocks {
        let (numerator, denominator) = (number()?, number()?);
        let denominator = NonZeroU64::new(denominator).ok_or(DAMAGED)?;
        if numerator == 0 || numerator >> 31 != 0 || denominator.get() >> 31 != 0 {
            return Err(DAMAGED);
        }
        time_bases.push(TimeBase { numerator, denominator });
    }
    let codes = codes(&mut fields)?.ok_or(DAMAGED)?;
    let elided = elided(&mut fields)?.ok_or(DAMAGED)?;
    Ok(MainHeader { streams: streams as usize, time_bases, codes, elided })
}

/// The table of frame codes: runs of codes that have the same but the lowest bits of their length.
fn codes(fields: &mut Fields<'_>) -> Result<Option<Box<[FrameCode; 256]>>, NutError> {
    let mut codes = Box::new([FrameCode { flags: INVALID, ..FrameCode::default() }; 256]);
    let mut run = FrameCode { multiplier: 1, ..FrameCode::default() };
    let mut code = 0;
    while code < codes.len() {
        let (Some(flags), Some(count_of_fields)) = (fields.v()?, fields.v()?) else { return Ok(None) };
        (run.flags, run.bytes, run.reserved) = (flags, 0, 0);
        let mut count = None;
        for index in 0..count_of_fields {
            let (number, signed) = match index {
                0 | 6 => (0, fields.s()?),
                _ => match fields.v()? {
                    Some(number) => (number, Some(0)),
                    None => return Ok(None),
                },
            };
            let Some(signed) = signed else { return Ok(None) };
            match index {
                0 => run.ticks = signed,
                1 => run.multiplier = number,
                2 => run.stream = number,
                3 => run.bytes = number,
                4 => run.reserved = number,
                5 => count = Some(number),
                7 => run.elided = number,
                // The way to a matching time is for seeking; others are reserved.
                _ => {}
            }
        }
        let count = count.unwrap_or(run.multiplier.saturating_sub(run.bytes));
        if count == 0 || count > codes.len() as u64 {
            return Err(NutError::Damaged("its frame codes"));
        }
        let first = run.bytes;
        for index in 0..count {
            // That byte begins a startcode.
            code += usize::from(code == usize::from(b'N'));
            let place = codes.get_mut(code).ok_or(NutError::Damaged("its frame codes"))?;
            *place = FrameCode { bytes: first.saturating_add(index), ..run };
            code += 1;
        }
    }
    Ok(Some(codes))
}

/// What frames may leave out. An old version of the format had none of it.
fn elided(fields: &mut Fields<'_>) -> Result<Option<Vec<Vec<u8>>>, NutError> {
    let mut elided = vec![Vec::new()];
    let Some(count) = fields.v()? else { return Ok(Some(elided)) };
    let mut bytes = 0;
    for _ in 0..count {
        let Some(header) = fields.vb()? else { return Ok(None) };
        bytes += header.len();
        if header.is_empty() || bytes > MOST_ELIDED_BYTES {
            return Ok(None);
        }
        elided.push(header.to_vec());
    }
    Ok(Some(elided))
}
