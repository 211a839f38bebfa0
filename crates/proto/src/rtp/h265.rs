//! H.265's payloads (RFC 7798): single NAL units, aggregation packets and fragmentation units, all without decoding order
//! numbers (sprop-max-don-diff = 0, which is what senders without a word about it mean). PACI is refused.
//!
//! ```text
//! +---------------+---------------+  +---------------+---------------+---------------+
//! |0|1|2|3|4|5|6|7|0|1|2|3|4|5|6|7|  |0|1|2|3|4|5|6|7|0|1|2|3|4|5|6|7|0|1|2|3|4|5|6|7|
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |F|   Type    |  LayerId  | TID |  |F| Type 49   |  LayerId  | TID |S|E|   FuType  |  then a part of the unit
//! +-------------+-----------------+  +---------------+---------------+---------------+  behind its header
//!   a NAL unit                         FU
//!
//! |F| Type 48   |  LayerId  | TID |, then for each NAL unit its length (16 bits) and itself: AP
//! ```

use super::nal::{Fragment, Payload, PayloadError};

const AP: u8 = 48;
const FU: u8 = 49;
const PACI: u8 = 50;

/// The type of video parameter sets; those of sequence and picture follow it.
pub(crate) const VPS: u8 = 32;
pub(crate) const SPS: u8 = 33;
pub(crate) const PPS: u8 = 34;

pub(crate) fn kind(first: u8) -> u8 {
    first >> 1 & 0x3F
}

/// A slice of a picture.
pub(super) fn is_picture(kind: u8) -> bool {
    kind < 32
}

/// A slice of a picture that can be decoded on its own (BLA, IDR, CRA).
pub(super) fn is_key(kind: u8) -> bool {
    (16..=23).contains(&kind)
}

/// No slice of its access unit comes before it (7.4.2.4.4): parameter sets, access unit delimiter, supplemental information that
/// stands before them.
pub(super) fn begins(kind: u8) -> bool {
    matches!(kind, 32..=35 | 39)
}

/// Types that NAL units themselves have.
pub(super) fn is_unit(kind: u8) -> bool {
    kind < AP
}

/// The header of an aggregate: the lowest layer and the lowest temporal layer of its units.
pub(super) fn aggregate_header<'a>(units: impl Iterator<Item = &'a [u8]>) -> [u8; 2] {
    let (mut forbidden, mut layer, mut temporal) = (0, 63, 7);
    for unit in units {
        forbidden |= unit[0] & 0x80;
        layer = layer.min((unit[0] & 1) << 5 | unit[1] >> 3);
        temporal = temporal.min(unit[1] & 7);
    }
    [forbidden | AP << 1 | layer >> 5, layer << 3 | temporal]
}

/// The headers of a fragment of the unit that begins with `header`.
pub(super) fn fragment_header(header: [u8; 2], start: bool, end: bool) -> [u8; 3] {
    let [first, second] = header;
    [first & 0x81 | FU << 1, second, u8::from(start) << 7 | u8::from(end) << 6 | kind(first)]
}

/// `payload` is not empty.
pub(super) fn parse(payload: &[u8]) -> Result<Payload<'_>, PayloadError> {
    let &[first, second, ref rest @ ..] = payload else {
        return Err(PayloadError::CutOff { at: payload.len() });
    };
    match kind(first) {
        0..AP => Ok(Payload::Single(payload)),
        AP => Ok(Payload::Aggregate(rest)),
        FU => {
            let Some((&header, data)) = rest.split_first() else {
                return Err(PayloadError::CutOff { at: payload.len() });
            };
            let (start, end) = (header & 0x80 != 0, header & 0x40 != 0);
            let first = first & 0x81 | (header & 0x3F) << 1;
            Ok(Payload::Fragment(Fragment { start, end, header: [first, second], data }))
        }
        PACI => Err(PayloadError::Paci),
        kind => Err(PayloadError::Reserved(kind)),
    }
}
