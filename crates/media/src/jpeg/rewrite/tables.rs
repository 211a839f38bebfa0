//! What DQT, DHT, DRI and SOS define on the way to a scan (T.81 B.2.3 and B.2.4).

use super::RewriteError;
use super::huffman::Definition;
use super::standard::{CHROMA_AC, CHROMA_DC, LUMA_AC, LUMA_DC};

/// A quantisation table in zigzag order, as DQT and RFC 2435 have it. No value is 0.
pub(super) type Quantisation = [u16; 64];

/// The tables in force at some point of a picture.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) quantisation: [Option<Quantisation>; 4],
    pub(super) dc: [Option<Definition>; 4],
    pub(super) ac: [Option<Definition>; 4],
    pub(super) restart_interval: Option<u16>,
}

impl Tables {
    /// Those in force when a picture defines none: webcams mean the standard Huffman tables, as AVI files do.
    pub(super) fn new() -> Self {
        Self {
            quantisation: [None; 4],
            dc: [Some(LUMA_DC.clone()), Some(CHROMA_DC.clone()), None, None],
            ac: [Some(LUMA_AC.clone()), Some(CHROMA_AC.clone()), None, None],
            restart_interval: None,
        }
    }

    /// Reads a DQT payload: tables one behind another.
    ///
    /// ```text
    /// Pq (4) Tq (4) │ 64 times Q (8, or 16 where Pq = 1)
    /// ```
    pub(super) fn define_quantisation(&mut self, at: usize, payload: &[u8]) -> Result<(), RewriteError> {
        let damaged = |what| RewriteError::Damaged { at, what, rule: "B.2.4.1" };
        let mut rest = payload;
        while let Some((&selector, values)) = rest.split_first() {
            let width = match selector >> 4 {
                0 => 1,
                1 => 2,
                _ => return Err(damaged("a quantisation table is neither of 8 nor of 16 bits")),
            };
            let slot = self.quantisation.get_mut(usize::from(selector & 15));
            let slot = slot.ok_or_else(|| damaged("a quantisation table's number is not 0 to 3"))?;
            let (values, behind) = values
                .split_at_checked(64 * width)
                .ok_or_else(|| damaged("a quantisation table is cut off"))?;
            let mut table = [0; 64];
            for (value, bytes) in table.iter_mut().zip(values.chunks_exact(width)) {
                *value = bytes.iter().fold(0, |value, byte| value << 8 | u16::from(*byte));
            }
            if table.contains(&0) {
                return Err(damaged("a quantisation table holds a zero"));
            }
            *slot = Some(table);
            rest = behind;
        }
        Ok(())
    }

    /// Reads a DHT payload: tables one behind another.
    ///
    /// ```text
    /// Tc (4) Th (4) │ 16 times L (8) │ as many V (8) as the L add up to
    /// ```
    pub(super) fn define_huffman(&mut self, at: usize, payload: &[u8]) -> Result<(), RewriteError> {
        let damaged = |what| RewriteError::Damaged { at, what, rule: "B.2.4.2" };
        let mut rest = payload;
        while let Some((&selector, table)) = rest.split_first() {
            let class = match selector >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(damaged("a Huffman table is neither for DC nor for AC")),
            };
            let slot = class.get_mut(usize::from(selector & 15));
            let slot = slot.ok_or_else(|| damaged("a Huffman table's number is not 0 to 3"))?;
            let (definition, behind) = Definition::read(table)
                .ok_or_else(|| damaged("a Huffman table is cut off or has more codes than bits allow"))?;
            *slot = Some(definition);
            rest = behind;
        }
        Ok(())
    }

    /// Reads a DRI payload: `Ri (16)`.
    pub(super) fn define_restarts(&mut self, at: usize, payload: &[u8]) -> Result<(), RewriteError> {
        let &[high, low] = payload else {
            let what = "a restart definition is not of 4 bytes";
            return Err(RewriteError::Damaged { at, what, rule: "B.2.4.4" });
        };
        self.restart_interval = Some(u16::from_be_bytes([high, low])).filter(|interval| *interval > 0);
        Ok(())
    }
}

/// One component as a scan header calls it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Selector {
    /// The component's id in the frame header.
    pub(super) id: u8,
    /// Which DC and AC table, 0 to 3.
    pub(super) dc: usize,
    pub(super) ac: usize,
}

/// Reads a SOS payload: the scan's components, 1 to 3.
///
/// ```text
/// Ns (8) │ Ns times: Cs (8) │ Td (4) Ta (4) │ Ss (8) │ Se (8) │ Ah (4) Al (4)
/// ```
///
/// The last three are constant in baseline coding; encoders are known that leave them at zero, so they are not read.
pub(super) fn read_scan_header(at: usize, payload: &[u8]) -> Result<([Selector; 3], usize), RewriteError> {
    let damaged = |what| RewriteError::Damaged { at, what, rule: "B.2.3" };
    let (&count, rest) = payload.split_first().ok_or_else(|| damaged("a scan header is empty"))?;
    let count = usize::from(count);
    if !(1..=3).contains(&count) || rest.len() != 2 * count + 3 {
        return Err(damaged("a scan header does not have 1 to 3 components, or not the length for them"));
    }
    let mut selectors = [Selector::default(); 3];
    for (selector, bytes) in selectors.iter_mut().zip(rest[..2 * count].chunks_exact(2)) {
        *selector = Selector { id: bytes[0], dc: usize::from(bytes[1] >> 4), ac: usize::from(bytes[1] & 15) };
        if selector.dc > 3 || selector.ac > 3 {
            return Err(damaged("a scan's Huffman table number is not 0 to 3"));
        }
    }
    Ok((selectors, count))
}
