//! What H.264's and H.265's parameter sets and slices say alike, where it matters here.

use std::time::Duration;

use crate::Size;

/// What a sequence parameter set says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// Of the pictures, as they are to be shown.
    pub(crate) size: Size,
    /// Between two pictures, where it says so.
    pub(crate) interval: Option<Duration>,
    /// How its slices say where their picture is shown. `None` where pictures are shown in the order in which they come, or the order
    /// cannot be told.
    pub(crate) order: Option<OrderBits>,
}

/// How long the fields of a slice's header are that tell where its picture is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrderBits {
    pub(crate) separate_planes: bool,
    /// H.264: bits of `frame_num`.
    pub(crate) frame_number: u32,
    /// Bits of the picture order count's lower part.
    pub(crate) count: u32,
    /// H.264: pictures may be fields.
    pub(crate) fields: bool,
}

/// What a picture parameter set of H.265 says; of H.264, only to which sequence it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PictureSet {
    pub(crate) sequence: u32,
    pub(crate) header_bits: u32,
    pub(crate) output_flag: bool,
}

/// Where a picture is shown, as its first slice says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// The lower bits of the count.
    pub(crate) low: u32,
    /// The count begins anew here.
    pub(crate) restarts: bool,
    /// It is half a picture.
    pub(crate) field: bool,
    /// The counts that follow are told from this one.
    pub(crate) anchors: bool,
}

/// The time of `ticks` ticks of `units` in a clock of `scale` a second, if pictures can be as long.
pub(crate) fn interval(units: u32, scale: u32, ticks: u32) -> Option<Duration> {
    let nanos = u64::from(units) * u64::from(ticks) * 1_000_000_000;
    let interval = Duration::from_nanos(nanos.checked_div(u64::from(scale))?);
    (Duration::from_micros(500)..=Duration::from_secs(100)).contains(&interval).then_some(interval)
}
