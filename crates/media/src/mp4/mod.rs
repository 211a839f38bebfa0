//! MP4 (ISO/IEC 14496-12): whether something is it.

/// Whether a file or stream begins as MP4 does: with a box that stands first in one (ISO/IEC 14496-12 section 4.3, QuickTime).
pub fn begins(bytes: &[u8]) -> bool {
    let kind = bytes.get(4..8);
    kind.is_some_and(|kind| {
        [b"ftyp", b"moov", b"styp", b"moof", b"wide"].iter().any(|known| kind == &known[..])
    })
}
