//! The Range field in normal play time (RFC 2326 sections 3.6 and 12.29). Other units (SMPTE, wall clock) are not spoken.

use std::fmt;
use std::time::Duration;

/// A part of a stream, in time since its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// From the live edge on.
    Now,
    /// From a time on.
    From {
        /// The beginning.
        start: Duration,
        /// The end, later than the beginning; `None` where there is none.
        end: Option<Duration>,
    },
}

/// Why a range cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It is in another unit.
    #[error("a range in another unit than npt (RFC 2326 12.29)")]
    Unit,
    /// It is no range in normal play time.
    #[error("a range that is not as npt=begin-end (RFC 2326 3.6)")]
    Npt,
}

impl Range {
    /// All there is.
    pub const ALL: Self = Self::From { start: Duration::ZERO, end: None };

    /// Reads a Range field's value. What stands behind `;` (a time to begin at) is left out.
    ///
    /// # Errors
    /// See [`RangeError`].
    pub fn parse(value: &str) -> Result<Self, RangeError> {
        let (unit, range) = value.split(';').next().unwrap_or("").split_once('=').ok_or(RangeError::Npt)?;
        if !unit.trim().eq_ignore_ascii_case("npt") {
            return Err(RangeError::Unit);
        }
        let (start, end) = range.split_once('-').ok_or(RangeError::Npt)?;
        let (start, end) = (start.trim(), end.trim());
        if start.eq_ignore_ascii_case("now") {
            return Ok(Self::Now);
        }
        let start = time(start).ok_or(RangeError::Npt)?;
        let end = if end.is_empty() { None } else { Some(time(end).ok_or(RangeError::Npt)?) };
        if end.is_some_and(|end| end <= start) {
            return Err(RangeError::Npt);
        }
        Ok(Self::From { start, end })
    }
}

/// `seconds.fraction` or `hours:minutes:seconds.fraction`.
fn time(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut parts = text.split(':');
    let (first, rest) = (parts.next()?, parts.clone().count());
    let whole =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok())?;
    let seconds = match rest {
        0 => first,
        2 => {
            let hours = whole(first)?;
            let minutes = parts.next().and_then(whole)?;
            total += Duration::from_secs(u64::from(hours) * 3600 + u64::from(minutes) * 60);
            parts.next()?
        }
        _ => return None,
    };
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    total += Duration::from_secs(whole(seconds)?.into());
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    total += Duration::from_nanos(nanos.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')));
    Some(total)
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("npt=now-"),
            Self::From { start, end } => {
                write!(f, "npt={}.{:03}-", start.as_secs(), start.subsec_millis())?;
                end.map_or(Ok(()), |end| write!(f, "{}.{:03}", end.as_secs(), end.subsec_millis()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_clients_write_them() {
        let from = |millis| Ok(Range::From { start: Duration::from_millis(millis), end: None });
        assert_eq!(Range::parse("npt=0.000-"), from(0), "FFmpeg, VLC");
        assert_eq!(Range::parse("npt=now-"), Ok(Range::Now), "GStreamer");
        assert_eq!(Range::parse("npt=0-"), from(0));
        assert_eq!(Range::parse("npt = 12.5 - "), from(12_500));
        assert_eq!(Range::parse("npt=1:02:03.25-;time=19970123T143720Z"), from(3_723_250));
        let end = Some(Duration::from_secs(20));
        assert_eq!(Range::parse("npt=10-20"), Ok(Range::From { start: Duration::from_secs(10), end }));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for value in
            ["", "npt", "npt=", "npt=-5", "npt=5-3", "npt=a-", "npt=-1-", "npt=1:2-", "npt=1.x-", "npt=+1-"]
        {
            assert_eq!(Range::parse(value), Err(RangeError::Npt), "{value}");
        }
        assert_eq!(Range::parse("npt=99999999999999999999-"), Err(RangeError::Npt));
        assert_eq!(Range::parse("clock=19961108T143720.25Z-"), Err(RangeError::Unit));
    }

    #[test]
    fn what_is_written_is_read() {
        for value in ["npt=0.000-", "npt=now-", "npt=12.345-67.890"] {
            assert_eq!(Range::parse(value).unwrap().to_string(), value);
        }
    }
}
