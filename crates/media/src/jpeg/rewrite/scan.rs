//! Copies a scan from one set of Huffman tables to another, in the order in which it is.

use super::bits::{Reader, Words, Writer};
use super::huffman::{END_OF_BLOCK, Fault, Lookup};

/// The lookups of one component.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) dc: &'a Lookup,
    pub(super) ac: &'a Lookup,
}

/// What a scan of Y, Cb, Cr consists of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    /// Minimum coded units.
    pub(super) units: u32,
    /// Blocks of brightness in each; there is one of either colour.
    pub(super) luma_blocks: u32,
    pub(super) restart_interval: Option<u16>,
}

/// Copies `data` behind what is in `room`.
///
/// # Errors
/// What is wrong, and how far into `data` it was noticed.
pub(super) fn copy(
    data: &[u8],
    order: Order,
    [y, cb, cr]: [Pair<'_>; 3],
    room: Vec<u8>,
) -> Result<Vec<u8>, (Fault, usize)> {
    let mut reader = Reader::new(data);
    let mut writer = Writer::new(room);
    let one_unit = |reader: &mut Reader<'_>, writer: &mut Writer<Vec<u8>>| {
        for _ in 0..order.luma_blocks {
            copy_block(reader, writer, y)?;
        }
        copy_block(reader, writer, cb)?;
        copy_block(reader, writer, cr)?;
        reader.check()
    };
    let interval = order.restart_interval.map_or(order.units, u32::from);
    let mut left = order.units;
    let mut restarts = 0;
    loop {
        for _ in 0..interval.min(left) {
            one_unit(&mut reader, &mut writer).map_err(|fault| (fault, reader.position()))?;
        }
        left = left.saturating_sub(interval);
        if left == 0 {
            break;
        }
        reader.restart(restarts).map_err(|fault| (fault, reader.position()))?;
        writer.restart(restarts);
        restarts += 1;
    }
    writer.pad();
    Ok(writer.out)
}

#[inline(always)]
fn copy_block<W: Words>(
    reader: &mut Reader<'_>,
    writer: &mut Writer<W>,
    tables: Pair<'_>,
) -> Result<(), Fault> {
    let bits = reader.peek();
    let entry = tables.dc.find(bits)?;
    writer.put(entry.code | following(bits, entry.taken, entry.size), entry.put.into());
    reader.take(entry.taken);
    copy_ac(reader, writer, tables.ac)
}

/// The last `size` of the first `taken` bits.
#[inline(always)]
pub(super) fn following(bits: u64, taken: u8, size: u8) -> u32 {
    (bits >> (64 - u32::from(taken))) as u32 & ((1 << size) - 1)
}

/// Copies the 63 coefficients behind the first.
#[inline(always)]
pub(super) fn copy_ac<W: Words>(
    reader: &mut Reader<'_>,
    writer: &mut Writer<W>,
    table: &Lookup,
) -> Result<(), Fault> {
    let mut coefficient = 1_u32;
    while coefficient < 64 {
        let bits = reader.peek();
        let entry = table.find(bits)?;
        writer.put(entry.code | following(bits, entry.taken, entry.size), entry.put.into());
        reader.take(entry.taken);
        coefficient += u32::from(entry.step);
    }
    if coefficient > 64 && coefficient < END_OF_BLOCK.into() { Err(Fault::Run) } else { Ok(()) }
}
