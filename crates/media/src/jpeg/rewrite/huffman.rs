//! Huffman tables: as a picture defines them, and as lookups from its codes to the standard ones.

use super::RewriteError;
use super::error::Refusal;

/// A table as DHT gives it (T.81 B.2.4.2): how many codes there are of each length, and their symbols in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// Of 1 to 16 bits.
    pub(super) counts: [u8; 16],
    /// Zero behind the last.
    symbols: [u8; 256],
}

impl Definition {
    /// The caller has seen that the counts add up to the number of symbols and that the codes fit their lengths.
    pub(super) const fn new(counts: &[u8; 16], symbols: &[u8]) -> Self {
        let mut all = [0; 256];
        let mut index = 0;
        while index < symbols.len() {
            all[index] = symbols[index];
            index += 1;
        }
        Self { counts: *counts, symbols: all }
    }

    /// Reads one table at the start of a DHT payload: it, and what follows. `None` if it is cut off or impossible.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (counts, rest) = bytes.split_first_chunk::<16>()?;
        let mut code = 0_u32;
        for (length, &count) in (1..).zip(counts) {
            code = 2 * code + u32::from(count);
            if code > 1 << length {
                return None;
            }
        }
        let total = counts.iter().map(|&count| usize::from(count)).sum::<usize>();
        let symbols = rest.get(..total).filter(|_| total <= 256)?;
        Some((Self::new(counts, symbols), &rest[total..]))
    }

    /// Its symbols in the order of their codes.
    pub(super) fn symbols(&self) -> &[u8] {
        let total: usize = self.counts.iter().map(|&count| usize::from(count)).sum();
        &self.symbols[..total]
    }

    /// Each symbol with its code and the code's length, shortest first (T.81 C.2).
    pub(super) fn codes(&self) -> impl Iterator<Item = (u8, u16, u8)> {
        let mut code = 0_u32;
        let mut symbols = self.symbols.iter();
        (1..=16).zip(self.counts).flat_map(move |(length, count)| {
            let first = 2 * code;
            code = first + u32::from(count);
            let here: Vec<_> = symbols.by_ref().take(count.into()).copied().collect();
            here.into_iter().zip(first..).map(move |(symbol, code)| (symbol, code as u16, length))
        })
    }
}

/// Which coefficients a table codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The first: the symbol is the number of bits that follow.
    Dc,
    /// The others: the symbol's low four bits are that, its high ones the zero coefficients before.
    Ac,
}

/// What to do with one code of the picture.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    /// The standard table's code, moved up by `size` to make room for the bits that are copied.
    pub(super) code: u32,
    /// Bits to take: code and what follows it. 0 if no code begins like this, or a longer one does.
    pub(super) taken: u8,
    /// Bits to put, 0 if the standard table has no such symbol.
    pub(super) put: u8,
    /// How many bits follow the code.
    pub(super) size: u8,
    /// Coefficients that this is about. [`END_OF_BLOCK`] ends the block.
    pub(super) step: u8,
}

/// More than a block has.
pub(super) const END_OF_BLOCK: u8 = 128;

/// Codes up to this length are found at once: 8 KiB a table, so that all four fit the first-level cache.
const DIRECT_BITS: u32 = 10;

/// From a picture's codes to the standard ones.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    definition: Definition,
    direct: Box<[Entry; 1 << DIRECT_BITS]>,
    /// By the index of the symbol.
    all: Box<[Entry; 256]>,
    /// For codes of 11 to 16 bits: the first 16-bit value beyond them, and what leads from the code to the index.
    long: [(u32, i32); 16 - DIRECT_BITS as usize],
}

impl Lookup {
    /// The lookup from the codes of `definition` to those of `standard`.
    pub(super) fn new(definition: &Definition, standard: &Definition, class: Class) -> Self {
        let mut target = [None; 256];
        for (symbol, code, length) in standard.codes() {
            target[usize::from(symbol)] = Some((code, length));
        }
        let mut lookup = Self {
            definition: definition.clone(),
            direct: Box::new([Entry::default(); 1 << DIRECT_BITS]),
            all: Box::new([Entry::default(); 256]),
            long: [(0, 0); 16 - DIRECT_BITS as usize],
        };
        for (index, (symbol, code, length)) in definition.codes().enumerate() {
            let entry = Entry::new(symbol, length, target[usize::from(symbol)], class);
            lookup.all[index] = entry;
            if let Some(spare) = DIRECT_BITS.checked_sub(length.into()) {
                let first = usize::from(code) << spare;
                lookup.direct[first..first + (1 << spare)].fill(entry);
            }
        }
        let (mut code, mut index) = (0_u32, 0_u32);
        for (length, count) in (1_u32..).zip(definition.counts) {
            code *= 2;
            if let Some(slot) = length.checked_sub(DIRECT_BITS + 1) {
                let beyond = (code + u32::from(count)) << (16 - length);
                lookup.long[slot as usize] = (beyond, index as i32 - code as i32);
            }
            code += u32::from(count);
            index += u32::from(count);
        }
        lookup
    }

    /// Whether it is made from `definition`.
    pub(super) fn is_of(&self, definition: &Definition) -> bool {
        self.definition == *definition
    }

    /// What the first of `bits` say.
    #[inline(always)]
    pub(super) fn find(&self, bits: u64) -> Result<Entry, Fault> {
        let entry = self.direct[(bits >> (64 - DIRECT_BITS)) as usize];
        if entry.put != 0 { Ok(entry) } else { self.find_long(bits, entry) }
    }

    #[cold]
    fn find_long(&self, bits: u64, direct: Entry) -> Result<Entry, Fault> {
        let mut entry = direct;
        let first = (bits >> 48) as u32;
        for ((beyond, to_index), length) in self.long.into_iter().zip(DIRECT_BITS + 1..) {
            if entry.taken == 0 && first < beyond {
                let index = (first >> (16 - length)) as i32 + to_index;
                entry = usize::try_from(index)
                    .ok()
                    .and_then(|index| self.all.get(index))
                    .copied()
                    .unwrap_or_default();
                break;
            }
        }
        match entry {
            Entry { put: 1.., .. } => Ok(entry),
            Entry { taken: 1.., .. } => Err(Fault::Coefficient),
            _ => Err(Fault::Code),
        }
    }
}

impl Entry {
    fn new(symbol: u8, length: u8, target: Option<(u16, u8)>, class: Class) -> Self {
        let size = match class {
            Class::Dc => symbol.min(16),
            Class::Ac => symbol & 15,
        };
        let step = match (class, symbol) {
            (Class::Dc, _) => 1,
            (Class::Ac, 0) => END_OF_BLOCK,
            (Class::Ac, _) => (symbol >> 4) + 1,
        };
        let (code, put) = match target {
            Some((code, put)) => (u32::from(code) << size, put + size),
            None => (0, 0),
        };
        Self { code, taken: length + size, put, size, step }
    }
}

/// What can be wrong within a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Bits that begin no code of the table.
    Code,
    /// A symbol that the standard table does not have.
    Coefficient,
    /// More than 64 coefficients in a block.
    Run,
    /// The bytes end before the picture does.
    End,
    /// No restart marker where the interval ends.
    Restart,
    /// A DC coefficient beyond what 8-bit samples can give.
    Dc,
}

impl Fault {
    /// As an error of the byte `at`.
    pub(super) fn at(self, at: usize) -> RewriteError {
        let (what, rule) = match self {
            Self::Coefficient => return Refusal::Coefficient.into(),
            Self::Code => ("the bits begin no code of the Huffman table", "F.2.2.3"),
            Self::Run => ("a block has more than 64 coefficients", "F.2.2.2"),
            Self::End => ("the scan ends before the picture is whole", "B.1.1.5"),
            Self::Restart => ("no restart marker, or not the next one, where an interval ends", "E.2.4"),
            Self::Dc => ("a DC coefficient is beyond 11 bits", "F.1.2.1"),
        };
        RewriteError::Damaged { at, what, rule }
    }
}
