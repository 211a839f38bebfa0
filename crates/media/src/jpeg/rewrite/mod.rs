//! Turns a camera's JPEG into what RTP/JPEG can carry (RFC 2435), without loss: the same coefficients, no pixels.
//!
//! RFC 2435 sends no headers. It takes for granted one scan of Y, Cb, Cr sampled 2x1,1x1,1x1 or 2x2,1x1,1x1, the Huffman
//! tables of T.81 annex K.3, and one quantisation table for brightness and one for colour. A picture that is so is
//! passed on as it is, in the same memory. One with other Huffman tables has its codes exchanged one by one. One
//! whose blocks stand in another order (FFmpeg's 4:2:2 in units of 2x2,1x2,1x2; components in another order; a scan for
//! each) has them put into this one; restart markers are left out then. What only decoding could
//! bring into this form is refused, with the reason.
//!
//! Never panics, and memory is bounded by what 2040x2040 pixels can hold. The bytes of a scan that is
//! passed on are not looked at.

mod bits;
mod error;
mod frame;
mod huffman;
mod lookups;
mod rebuild;
mod room;
mod scan;
mod standard;
mod store;
mod tables;

use bytes::Bytes;

pub use self::error::{Refusal, RewriteError};
use self::frame::{ADOBE, Frame, Scan, Seen, refuse_rgb};
use self::lookups::Lookups;
pub use self::rebuild::FileHead;
use self::room::Room;
use self::scan::Order;
use self::store::{Grid, Part, Store};
use self::tables::{Tables, read_scan_header};
use super::{Header, Item, Items, marker};
use crate::Size;

/// A picture as RTP/JPEG carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpJpeg {
    /// How colour is sampled.
    pub sampling: Sampling,
    /// Width and height in pixels, 1 to 2040. RTP/JPEG carries them rounded up to multiples of 8: receivers see the
    /// padding of the last blocks.
    pub size: Size,
    /// Units between two restart markers; `None` if there are none.
    pub restart_interval: Option<u16>,
    /// The two quantisation tables.
    pub quantisation: QuantisationPair,
    /// The entropy-coded bytes, restart markers and stuffed zeroes included, without the end marker.
    pub scan: Bytes,
}

/// How colour is sampled, and the unit that the scan is made of (RFC 2435 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sampling {
    /// Type 0: 4:2:2, units of 2x1 blocks of Y and one of each colour.
    Yuv422,
    /// Type 1: 4:2:0, units of 2x2 blocks of Y and one of each colour.
    Yuv420,
}

impl Sampling {
    /// How many blocks of Y a unit has, across and down.
    pub const fn luma_blocks(self) -> (u16, u16) {
        match self {
            Self::Yuv422 => (2, 1),
            Self::Yuv420 => (2, 2),
        }
    }
}

/// The quantisation tables of brightness and of colour: 64 values of 1 to 65535 each, in zigzag order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantisationPair {
    /// Of Y.
    pub luma: [u16; 64],
    /// Of Cb and Cr.
    pub chroma: [u16; 64],
}

/// What a rewrite had to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// Nothing: the scan is the picture's own memory.
    AsIs,
    /// Other Huffman tables.
    Recoded,
    /// Other Huffman tables and another order of blocks.
    Reordered,
}

/// Rewrites the pictures of one camera. Keeps tables and memory from one to the next: they are mostly alike.
#[derive(Clone, Debug)]
pub struct Rewriter {
    lookups: Lookups,
    store: Store,
    room: Room,
}

impl Default for Rewriter {
    fn default() -> Self {
        Self::new()
    }
}

impl Rewriter {
    /// One that has seen no picture.
    pub fn new() -> Self {
        Self { lookups: Lookups::default(), store: Store::new(), room: Room::default() }
    }

    /// Rewrites one whole JPEG file. Bytes behind its end marker are not looked at.
    ///
    /// # Errors
    /// It is damaged, or RTP/JPEG cannot carry it.
    pub fn rewrite(&mut self, picture: &Bytes) -> Result<(RtpJpeg, Work), RewriteError> {
        let frame = Frame::new(&Header::parse(picture)?)?;
        let mut tables = Tables::new();
        let mut scan_header = None;
        let mut seen = Seen::default();
        for item in Items::new(picture) {
            match item? {
                Item::Segment { code: marker::DQT, at, payload } => {
                    tables.define_quantisation(at, payload)?;
                }
                Item::Segment { code: marker::DHT, at, payload } => {
                    tables.define_huffman(at, payload)?;
                }
                Item::Segment { code: marker::DRI, at, payload } => {
                    tables.define_restarts(at, payload)?;
                }
                Item::Segment { code: ADOBE, payload, .. } => refuse_rgb(payload)?,
                Item::Segment { code: marker::SOS, at, payload } => {
                    scan_header = Some((at, read_scan_header(at, payload)?));
                }
                Item::Segment { .. } => {}
                Item::Scan { at, data } => {
                    let (header_at, (selectors, count)) =
                        scan_header.take().ok_or(RewriteError::Damaged {
                            at,
                            what: "a scan without a header",
                            rule: "B.2.1",
                        })?;
                    let roles = frame.roles(header_at, &selectors[..count])?;
                    let scan = Scan { at, data, selectors: &selectors[..count], roles: &roles[..count] };
                    seen.take(&scan, &frame, &tables)?;
                    if frame.is_in_order(&scan) {
                        return self.in_order(picture, &scan, &frame, &tables, &seen);
                    }
                    if count == seen.count() {
                        self.store.begin(frame.plane_sizes());
                    }
                    self.keep(&scan, &frame, &tables)?;
                    if seen.count() == 3 {
                        return self.reordered(picture.len(), at + data.len(), &frame, &seen);
                    }
                }
            }
        }
        let what = "the picture ends before each component had its scan";
        Err(RewriteError::Damaged { at: picture.len(), what, rule: "B.2.1" })
    }

    fn in_order(
        &mut self,
        picture: &Bytes,
        scan: &Scan<'_>,
        frame: &Frame,
        tables: &Tables,
        seen: &Seen,
    ) -> Result<(RtpJpeg, Work), RewriteError> {
        let units = frame.grid(None);
        let units = (units.columns * units.rows) as u32;
        let restart_interval = tables.restart_interval.filter(|interval| u32::from(*interval) < units);
        let (data, work) = if scan.is_standard(tables) {
            // Fill bytes before the end marker; an FF of the scan itself has a zero behind it.
            let length = scan.data.iter().rposition(|byte| *byte != 0xFF).map_or(0, |last| last + 1);
            (picture.slice_ref(&scan.data[..length]), Work::AsIs)
        } else {
            let room = self.room.take(scan.data.len());
            let pairs = self.lookups.load(scan, tables)?;
            let (across, down) = frame.sampling.luma_blocks();
            let order = Order { units, luma_blocks: u32::from(across * down), restart_interval };
            let data = scan::copy(scan.data, order, pairs, room)
                .map_err(|(fault, offset)| fault.at(scan.at + offset))?;
            (self.room.keep(data), Work::Recoded)
        };
        Ok((frame.picture(seen.quantisation(), restart_interval, data), work))
    }

    /// Keeps the blocks of a scan.
    fn keep(&mut self, scan: &Scan<'_>, frame: &Frame, tables: &Tables) -> Result<(), RewriteError> {
        let pairs = self.lookups.load(scan, tables)?;
        let mut parts = [Part { plane: 0, tables: pairs[0], across: 1, down: 1 }; 3];
        for (part, &plane) in parts.iter_mut().zip(scan.roles) {
            *part = Part { plane, tables: pairs[plane], across: 1, down: 1 };
            if scan.roles.len() > 1 {
                let component = frame.components[plane];
                (part.across, part.down) = (component.horizontal.into(), component.vertical.into());
            }
        }
        let alone = if let [plane] = *scan.roles { Some(plane) } else { None };
        let grid = Grid { restart_interval: tables.restart_interval, ..frame.input_grid(alone) };
        self.store
            .add(scan.data, grid, &parts[..scan.roles.len()])
            .map_err(|(fault, offset)| fault.at(scan.at + offset))
    }

    fn reordered(
        &mut self,
        length: usize,
        at: usize,
        frame: &Frame,
        seen: &Seen,
    ) -> Result<(RtpJpeg, Work), RewriteError> {
        let (across, down) = frame.sampling.luma_blocks();
        let room = self.room.take(length);
        let data = self
            .store
            .emit(frame.grid(None), (across.into(), down.into()), room)
            .map_err(|fault| fault.at(at))?;
        Ok((frame.picture(seen.quantisation(), None, self.room.keep(data)), Work::Reordered))
    }
}

#[cfg(test)]
mod tests;
