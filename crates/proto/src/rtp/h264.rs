//! H.264's payloads (RFC 6184, packetization-mode 1): single NAL units, STAP-A and FU-A. Interleaved ones are refused.
//!
//! ```text
//! +---------------+  +---------------+---------------+
//! |0|1|2|3|4|5|6|7|  |0|1|2|3|4|5|6|7|0|1|2|3|4|5|6|7|
//! +-+-+-+-+-+-+-+-+  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |F|NRI|  Type   |  |F|NRI|   28    |S|E|R|  Type   |  then a part of the NAL unit behind its header
//! +---------------+  +---------------+---------------+
//!   a NAL unit         FU-A
//!
//! |F|NRI|   24    |, then for each NAL unit its length (16 bits) and itself: STAP-A
//! ```

use super::nal::{Fragment, Payload, PayloadError};

const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// The type of sequence parameter sets.
pub(crate) const SPS: u8 = 7;

pub(crate) fn kind(first: u8) -> u8 {
    first & 0x1F
}

/// A slice of a picture.
pub(super) fn is_picture(kind: u8) -> bool {
    (1..=5).contains(&kind)
}

/// A slice of a picture that can be decoded on its own (IDR).
pub(super) fn is_key(kind: u8) -> bool {
    kind == 5
}

/// No slice of its access unit comes before it (7.4.1.2.3): supplemental information, parameter sets, access unit delimiter.
pub(super) fn begins(kind: u8) -> bool {
    matches!(kind, 6..=9)
}

/// Sequence and picture parameter sets, extensions and subsets of the former.
pub(crate) fn is_parameter_set(kind: u8) -> bool {
    matches!(kind, SPS | 8 | 13 | 15)
}

/// Types that NAL units themselves have.
pub(super) fn is_unit(kind: u8) -> bool {
    (1..=23).contains(&kind)
}

/// The header of an aggregate: the importance of the most important unit.
pub(super) fn aggregate_header<'a>(units: impl Iterator<Item = &'a [u8]>) -> u8 {
    units.fold(STAP_A, |header, unit| {
        let importance = (header & 0x60).max(unit[0] & 0x60);
        (header | unit[0]) & 0x80 | importance | STAP_A
    })
}

/// The headers of a fragment of the unit that begins with `first`.
pub(super) fn fragment_header(first: u8, start: bool, end: bool) -> [u8; 2] {
    [first & 0xE0 | FU_A, u8::from(start) << 7 | u8::from(end) << 6 | kind(first)]
}

/// `payload` is not empty.
pub(super) fn parse(payload: &[u8]) -> Result<Payload<'_>, PayloadError> {
    let refused = |name| Err(PayloadError::Interleaved { kind: kind(payload[0]), name });
    match kind(payload[0]) {
        1..=23 => Ok(Payload::Single(payload)),
        STAP_A => Ok(Payload::Aggregate(&payload[1..])),
        FU_A => {
            let &[indicator, header, ref data @ ..] = payload else {
                return Err(PayloadError::CutOff { at: payload.len() });
            };
            let first = indicator & 0xE0 | kind(header);
            let (start, end) = (header & 0x80 != 0, header & 0x40 != 0);
            Ok(Payload::Fragment(Fragment { start, end, header: [first, 0], data }))
        }
        25 => refused("STAP-B"),
        26 => refused("MTAP16"),
        27 => refused("MTAP24"),
        29 => refused("FU-B"),
        kind => Err(PayloadError::Reserved(kind)),
    }
}
