//! Walks a JPEG from marker to marker, as its bytes arrive.
//!
//! ```text
//! FF D8 │ FF xx len len payload │ … │ FF DA len len header │ entropy-coded bytes, FF 00, FF D0..D7 │ FF D9
//!  SOI  │  a segment            │   │  SOS                 │ the scan                            │  EOI
//! ```
//!
//! Segments are stepped over by their length, so a thumbnail within one is not seen. Scans are searched
//! for an `FF` without a stuffed zero behind it. Any number of fill bytes `FF` may stand before a marker (T.81 B.1.1.2).

use std::ops::Range;

use super::{JpegError, marker};

/// The longest that a segment of tables or parameters is believed to be: all eight Huffman tables together, each with
/// its 17 bytes of counts and 256 symbols, take 2186 bytes.
const MAX_TABLES_LENGTH: u16 = 4096;

/// What the walk came to. Offsets count from the picture's first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Every byte given so far is walked. Call again with more.
    More,
    /// A whole segment.
    Segment {
        /// The marker's code.
        code: u8,
        /// Offset of the marker's last `FF`.
        at: usize,
        /// The segment's bytes behind its length.
        payload: Range<usize>,
    },
    /// The entropy-coded bytes of one scan, restart markers and stuffed zeroes included.
    Scan(Range<usize>),
    /// The picture ends; this is its length with the end marker.
    End(usize),
}

/// A walk over one JPEG that can stop at any byte and go on when more have arrived.
///
/// Holds offsets only. Each call gets the same picture from its first byte, grown at its end.
#[derive(Clone, Debug, Default)]
pub struct Walker {
    /// Everything before this offset is done with.
    position: usize,
    place: Place,
    frame_seen: bool,
    scan_seen: bool,
    /// Behind the marker of the last segment, where the length stands; behind the segment if it may hold a picture itself.
    last_segment: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// Before SOI.
    #[default]
    Start,
    /// Before a marker.
    Marker,
    /// In a scan that began at this offset.
    Scan(usize),
    /// Behind EOI.
    End,
}

impl Walker {
    /// A walk that stands before the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Walks on to the next thing of note in `picture`. Bytes that were walked before are not looked at again.
    ///
    /// # Errors
    /// The bytes break a rule of T.81 annex B; the walk cannot go on.
    pub fn step(&mut self, picture: &[u8]) -> Result<Step, JpegError> {
        match self.place {
            Place::Start => self.start(picture),
            Place::Marker => self.marker(picture),
            Place::Scan(from) => self.scan(picture, from),
            Place::End => Ok(Step::End(self.position)),
        }
    }

    /// Walks on to the picture's end: its length, or `None` while its end has not arrived.
    ///
    /// # Errors
    /// As for [`step`](Self::step).
    pub fn end(&mut self, picture: &[u8]) -> Result<Option<usize>, JpegError> {
        loop {
            match self.step(picture)? {
                Step::More => return Ok(None),
                Step::End(length) => return Ok(Some(length)),
                Step::Segment { .. } | Step::Scan(_) => {}
            }
        }
    }

    /// The first offset at which another picture may begin, after `error` ended this walk.
    ///
    /// A camera that died within a segment and began anew leaves a segment whose length leads into the next picture.
    /// So the search goes back to the start of that segment, unless it is an application segment: a start of image in
    /// there is more likely a thumbnail.
    pub fn resume_at(&self, error: &JpegError) -> usize {
        match error {
            JpegError::NoStart => 1,
            JpegError::CutOff { at } => *at,
            other if self.last_segment > 0 && matches!(self.place, Place::Marker) && !self.scan_seen => {
                self.last_segment.min(other.at())
            }
            other => other.at().max(1),
        }
    }

    fn start(&mut self, picture: &[u8]) -> Result<Step, JpegError> {
        match picture {
            [] | [0xFF] => Ok(Step::More),
            [0xFF, marker::SOI, ..] => {
                self.position = 2;
                self.place = Place::Marker;
                self.marker(picture)
            }
            _ => Err(JpegError::NoStart),
        }
    }

    fn marker(&mut self, picture: &[u8]) -> Result<Step, JpegError> {
        loop {
            let Some(&first) = picture.get(self.position) else { return Ok(Step::More) };
            if first != 0xFF {
                return Err(JpegError::NotAMarker { at: self.position, found: first });
            }
            let Some(&code) = picture.get(self.position + 1) else { return Ok(Step::More) };
            let at = self.position;
            match code {
                0xFF => self.position += 1,
                marker::SOI => return Err(JpegError::CutOff { at }),
                marker::EOI if !self.scan_seen => return Err(JpegError::NoScan { at }),
                marker::EOI => {
                    self.position = at + 2;
                    self.place = Place::End;
                    return Ok(Step::End(self.position));
                }
                code if marker::is_bare(code) => self.position += 2,
                0x00..=0xBF => return Err(JpegError::Meaningless { at, code }),
                marker::SOS if !self.frame_seen => return Err(JpegError::NoFrame { at }),
                code => return self.segment(picture, at, code),
            }
        }
    }

    fn segment(&mut self, picture: &[u8], at: usize, code: u8) -> Result<Step, JpegError> {
        let Some(&[high, low]) = picture.get(at + 2..at + 4) else { return Ok(Step::More) };
        let length = u16::from_be_bytes([high, low]);
        // A length that is a piece of another picture is noticed at once instead of 64 KiB later.
        let longest = if marker::holds_tables(code) { MAX_TABLES_LENGTH } else { u16::MAX };
        if !(2..=longest).contains(&length) {
            return Err(JpegError::SegmentLength { at, code, length, longest });
        }
        let end = at + 2 + usize::from(length);
        if picture.len() < end {
            return Ok(Step::More);
        }
        if marker::holds_tables(code)
            && let Some(start) = find_other_start(code, &picture[at + 2..end])
        {
            return Err(JpegError::CutOff { at: at + 2 + start });
        }
        let payload = at + 4..end;
        self.position = end;
        self.last_segment = match code {
            marker::APP0..=marker::APP15 => end,
            _ => at + 2,
        };
        if code == marker::SOS {
            self.scan_seen = true;
            self.place = Place::Scan(end);
        }
        self.frame_seen |= marker::is_frame(code);
        Ok(Step::Segment { code, at, payload })
    }

    fn scan(&mut self, picture: &[u8], from: usize) -> Result<Step, JpegError> {
        let mut at = self.position;
        while let Some(found) = picture.get(at..).and_then(find_marker) {
            at += found;
            let Some(&code) = picture.get(at + 1) else {
                self.position = at;
                return Ok(Step::More);
            };
            match code {
                0x00 | marker::RST0..=marker::RST7 => at += 2,
                0xFF => at += 1,
                marker::SOI => {
                    self.position = at;
                    return Err(JpegError::CutOff { at });
                }
                0x01..=0xBF => {
                    self.position = at;
                    return Err(JpegError::Meaningless { at, code });
                }
                _ => {
                    self.position = at;
                    self.place = Place::Marker;
                    return Ok(Step::Scan(from..at));
                }
            }
        }
        self.position = picture.len().max(self.position);
        Ok(Step::More)
    }
}

/// Where the first start of a picture stands: SOI and the `FF` of the marker that must follow it.
pub(crate) fn find_start(bytes: &[u8]) -> Option<usize> {
    const START: &[u8] = &[0xFF, marker::SOI, 0xFF];
    if bytes.starts_with(START) { Some(0) } else { memchr::memmem::find(bytes, START) }
}

/// How much of a scan is compared at once. 32 bytes took the least time of 16 to 256.
const BLOCK_BYTES: usize = 32;

/// The first `FF` of a scan that is no data: one without a zero behind it, or with nothing behind it yet.
///
/// Pairs of bytes are compared in blocks, which compilers turn into vector instructions. Looking for each `FF` by itself
/// took 35 µs instead of 9 for 140 KB coded by the standard Huffman tables, which has one every 40 bytes; it takes the same
/// time where there is one in 256.
pub(super) fn find_marker(scan: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(block) = scan.get(at..).and_then(<[u8]>::first_chunk::<{ BLOCK_BYTES + 1 }>) {
        let pairs = block[..BLOCK_BYTES].iter().zip(&block[1..]);
        let found =
            pairs.fold(0, |found, (this, next)| found | u8::from(*this == 0xFF) & u8::from(*next != 0));
        if found != 0 {
            break;
        }
        at += BLOCK_BYTES;
    }
    (at..scan.len()).find(|at| scan[*at] == 0xFF && scan.get(at + 1) != Some(&0))
}

/// Where another picture starts in a segment of tables. No encoder's tables hold these bytes: they mean that a picture
/// was cut off here, and the next one was taken for the rest of the segment.
fn find_other_start(code: u8, segment: &[u8]) -> Option<usize> {
    let at_end = || match segment {
        [.., 0xFF, marker::SOI] => Some(segment.len() - 2),
        // A scan header's last byte is Ah and Al, 0 to 13 each (T.81 B.2.3).
        [.., 0xFF] if code == marker::SOS => Some(segment.len() - 1),
        _ => None,
    };
    find_start(segment).or_else(at_end)
}

/// One part of a whole JPEG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A segment.
    Segment {
        /// The marker's code.
        code: u8,
        /// Offset of the marker's last `FF`.
        at: usize,
        /// The segment's bytes behind its length.
        payload: &'a [u8],
    },
    /// The entropy-coded bytes of one scan, restart markers and stuffed zeroes included.
    Scan {
        /// Offset of its first byte.
        at: usize,
        /// Its bytes.
        data: &'a [u8],
    },
}

/// The segments and scans of a whole JPEG in order, up to its end. Bytes behind the end are not looked at.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    picture: &'a [u8],
    walker: Walker,
    failed: bool,
}

impl<'a> Items<'a> {
    /// The items of `picture`.
    pub fn new(picture: &'a [u8]) -> Self {
        Self { picture, walker: Walker::new(), failed: false }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, JpegError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = match self.walker.step(self.picture) {
            Ok(Step::Segment { code, at, payload }) => {
                Ok(Item::Segment { code, at, payload: &self.picture[payload] })
            }
            Ok(Step::Scan(range)) => Ok(Item::Scan { at: range.start, data: &self.picture[range] }),
            Ok(Step::End(_)) => return None,
            Ok(Step::More) => Err(JpegError::Truncated { at: self.picture.len() }),
            Err(error) => Err(error),
        };
        self.failed = item.is_err();
        Some(item)
    }
}
