//! Keeps the blocks of a picture, to put them into another order: FFmpeg's 4:2:2, components in another order, one scan
//! for each component.
//!
//! A block is its DC coefficient and its AC coefficients as bits of the standard tables. A 1080p picture takes about half
//! a megabyte beside its bits; the memory is kept for the next one.

use super::bits::{Reader, Writer};
use super::huffman::Fault;
use super::scan::{Pair, copy_ac, following};
use super::standard;

/// How many words of AC bits are kept for the next picture: 4 MiB, more than a 2040x2040 picture of good quality takes.
const MOST_KEPT_WORDS: usize = 512 << 10;

/// The blocks of a picture.
#[derive(Clone, Debug)]
pub(super) struct Store {
    planes: [Plane; 3],
    ac: Writer<Vec<u64>>,
}

#[derive(Clone, Debug, Default)]
struct Plane {
    columns: usize,
    blocks: Vec<Block>,
}

/// One block. Without bits it did not come: every real one has at least an end of block.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    /// Where its AC bits begin.
    start: u32,
    /// How many they are.
    bits: u16,
    dc: i16,
}

/// One component of a scan, and where its blocks go.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// 0 for Y, 1 for Cb, 2 for Cr.
    pub(super) plane: usize,
    pub(super) tables: Pair<'a>,
    /// Blocks of it in one unit, across and down.
    pub(super) across: usize,
    pub(super) down: usize,
}

/// The units of a scan or of the result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) columns: usize,
    pub(super) rows: usize,
    pub(super) restart_interval: Option<u16>,
}

impl Store {
    pub(super) fn new() -> Self {
        Self { planes: Default::default(), ac: Writer::new(Vec::new()) }
    }

    /// Begins a picture whose planes have these columns and rows of blocks, if each were in whole units.
    pub(super) fn begin(&mut self, sizes: [(usize, usize); 3]) {
        self.ac.clear();
        if self.ac.out.capacity() > MOST_KEPT_WORDS {
            self.ac.out = Vec::new();
        }
        for (plane, (columns, rows)) in self.planes.iter_mut().zip(sizes) {
            plane.columns = columns;
            plane.blocks.clear();
            plane.blocks.resize(columns * rows, Block::default());
        }
    }

    /// Takes in a scan.
    ///
    /// # Errors
    /// What is wrong, and how far into `data` it was noticed.
    pub(super) fn add(&mut self, data: &[u8], grid: Grid, parts: &[Part<'_>]) -> Result<(), (Fault, usize)> {
        let mut reader = Reader::new(data);
        let mut predictors = [0; 3];
        let mut until_restart = grid.restart_interval.map_or(u32::MAX, u32::from);
        let mut restarts = 0;
        for row in 0..grid.rows {
            for column in 0..grid.columns {
                if until_restart == 0 {
                    reader.restart(restarts).map_err(|fault| (fault, reader.position()))?;
                    predictors = [0; 3];
                    until_restart = grid.restart_interval.map_or(u32::MAX, u32::from);
                    restarts += 1;
                }
                until_restart -= 1;
                for part in parts {
                    self.add_unit(&mut reader, part, (column, row), &mut predictors[part.plane])
                        .map_err(|fault| (fault, reader.position()))?;
                }
                reader.check().map_err(|fault| (fault, reader.position()))?;
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn add_unit(
        &mut self,
        reader: &mut Reader<'_>,
        part: &Part<'_>,
        (column, row): (usize, usize),
        predictor: &mut i32,
    ) -> Result<(), Fault> {
        for down in 0..part.down {
            for across in 0..part.across {
                let bits = reader.peek();
                let entry = part.tables.dc.find(bits)?;
                *predictor += extend(following(bits, entry.taken, entry.size), entry.size);
                reader.take(entry.taken);
                let dc = i16::try_from(*predictor).map_err(|_| Fault::Dc)?;
                let start = self.ac.len();
                copy_ac(reader, &mut self.ac, part.tables.ac)?;
                let bits = self.ac.len() - start;
                let plane = &mut self.planes[part.plane];
                let index = (row * part.down + down) * plane.columns + column * part.across + across;
                if let Some(block) = plane.blocks.get_mut(index) {
                    *block = Block { start: start as u32, bits: bits as u16, dc };
                }
            }
        }
        Ok(())
    }

    /// Appends the blocks to `room` in RFC 2435's order: units of `luma.0` times `luma.1` blocks of Y, one of Cb, one of Cr.
    ///
    /// # Errors
    /// Two neighbours in the new order differ in DC by more than the standard tables can say.
    pub(super) fn emit(&mut self, grid: Grid, luma: (usize, usize), room: Vec<u8>) -> Result<Vec<u8>, Fault> {
        self.ac.finish();
        let mut writer = Writer::new(room);
        let mut predictors = [0_i16; 3];
        for row in 0..grid.rows {
            for column in 0..grid.columns {
                for (index, plane) in self.planes.iter().enumerate() {
                    let (across, down) = if index == 0 { luma } else { (1, 1) };
                    for line in row * down..(row + 1) * down {
                        for place in column * across..(column + 1) * across {
                            let block = plane.at(place, line);
                            put_block(&mut writer, block, &self.ac.out, &mut predictors[index], index)?;
                        }
                    }
                }
            }
        }
        writer.pad();
        Ok(writer.out)
    }
}

impl Plane {
    /// The block there, if there is one.
    fn at(&self, column: usize, line: usize) -> Option<Block> {
        if column >= self.columns {
            return None;
        }
        self.blocks.get(line * self.columns + column).copied().filter(|block| block.bits > 0)
    }
}

/// Appends a block; where the picture has none, one that looks like its predecessor.
#[inline(always)]
fn put_block(
    writer: &mut Writer<Vec<u8>>,
    block: Option<Block>,
    ac: &[u64],
    predictor: &mut i16,
    plane: usize,
) -> Result<(), Fault> {
    let codes = &standard::CODES[plane.min(1)];
    let Some(block) = block else {
        writer.put(codes.no_difference.0.into(), codes.no_difference.1.into());
        writer.put(codes.end_of_block.0.into(), codes.end_of_block.1.into());
        return Ok(());
    };
    let difference = i32::from(block.dc) - i32::from(*predictor);
    *predictor = block.dc;
    let size = 32 - difference.unsigned_abs().leading_zeros();
    let &(code, length) = codes.categories.get(size as usize).ok_or(Fault::Dc)?;
    let following = (difference + (difference >> 31)) as u32 & ((1 << size) - 1);
    writer.put(u32::from(code) << size | following, u32::from(length) + size);
    let (mut at, end) = (block.start as usize, block.start as usize + usize::from(block.bits));
    while at < end {
        let count = (end - at).min(32);
        let pair = |index: usize| ac.get(index).copied().unwrap_or(0);
        let word = u128::from(pair(at / 64)) << 64 | u128::from(pair(at / 64 + 1));
        writer.put((word << (at % 64) >> (128 - count)) as u32, count as u32);
        at += count;
    }
    Ok(())
}

/// A signed number from the bits behind its size (T.81 F.2.2.1).
#[inline(always)]
fn extend(bits: u32, size: u8) -> i32 {
    let negative = bits >> (size.max(1) - 1) == 0;
    if negative { bits as i32 - ((1 << size) - 1) } else { bits as i32 }
}
