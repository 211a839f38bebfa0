//! The mark that [`camera`](super::camera) leaves in its pictures: which one it is and when it was sent.
//!
//! It is written over the picture's first slice, [`SKIPPED_BYTES`] behind its NAL unit's header: whoever decodes the picture sees
//! damage there, whoever passes it on sees nothing, and packets stay as many and as long as they were. Letters and digits only: no
//! byte of it can be part of a start code.

use ocelli_proto::rtp::HEADER_BYTES;

use crate::stamp::Stamp;

/// More than a slice's own header and whatever else a server may read.
pub(super) const SKIPPED_BYTES: usize = 32;
/// As much of a packet as readers look at: RTP header, headers of a fragment, what is skipped, the mark.
pub(super) const HEAD_BYTES: usize = HEADER_BYTES + 2 + SKIPPED_BYTES + Stamp::TEXT_BYTES;

const FRAGMENT: u8 = 28;
const SHARED: u8 = 24;
const SEQUENCE_SET: u8 = 7;
const KEY_SLICE: u8 = 5;

/// What the beginning of a packet shows of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beginning {
    /// It begins a keyframe's slice, or parameter sets.
    pub(super) key: bool,
    /// It is not the rest of something.
    pub(super) begins: bool,
    pub(super) stamp: Option<Stamp>,
}

/// Looks at the first [`HEAD_BYTES`] of an RTP packet of H.264 (RFC 6184) without contributing sources and extension.
pub(super) fn look(head: &[u8]) -> Beginning {
    let slice = |at: usize| head.get(at + SKIPPED_BYTES..).and_then(Stamp::read);
    let nothing = Beginning { key: false, begins: true, stamp: None };
    match (head.get(HEADER_BYTES).map(|byte| byte & 0x1F), head.get(HEADER_BYTES + 1)) {
        (Some(FRAGMENT), Some(header)) if header & 0x80 != 0 => {
            Beginning { key: header & 0x1F == KEY_SLICE, begins: true, stamp: slice(HEADER_BYTES + 2) }
        }
        (Some(FRAGMENT), _) => Beginning { begins: false, ..nothing },
        (Some(SHARED), _) => {
            let first = head.get(HEADER_BYTES + 3).map(|byte| byte & 0x1F);
            Beginning { key: matches!(first, Some(SEQUENCE_SET | KEY_SLICE)), ..nothing }
        }
        (Some(kind @ (1 | KEY_SLICE)), _) => {
            Beginning { key: kind == KEY_SLICE, stamp: slice(HEADER_BYTES + 1), ..nothing }
        }
        (Some(SEQUENCE_SET), _) => Beginning { key: true, ..nothing },
        _ => nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyframes_and_marks_are_seen() {
        let stamp = Stamp { sequence: 7, written_micros: 8 };
        let rest = [&[1; SKIPPED_BYTES][..], &stamp.text()].concat();
        let packet = |payload: &[u8]| look(&[&[0; HEADER_BYTES], payload, &rest].concat());
        let beginning = |key, stamp| Beginning { key, begins: true, stamp };
        assert_eq!(packet(&[0x7C, 0x85]), beginning(true, Some(stamp)));
        assert_eq!(packet(&[0x5C, 0x81]), beginning(false, Some(stamp)));
        assert_eq!(packet(&[0x5C, 0x45]), Beginning { begins: false, ..beginning(false, None) });
        assert_eq!(packet(&[0x65]), beginning(true, Some(stamp)));
        assert_eq!(packet(&[0x78, 0, 20, 0x67]), beginning(true, None));
        assert_eq!(packet(&[0x67]), beginning(true, None));
        assert_eq!(look(&[0; 12]), beginning(false, None));
        assert_eq!(HEADER_BYTES + 2 + rest.len(), HEAD_BYTES);
    }
}
