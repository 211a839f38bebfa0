//! What a picture's frame header and scan headers mean for RFC 2435: refusals, order, sizes.

use bytes::Bytes;

use super::error::{Refusal, RewriteError};
use super::lookups::standard_of;
use super::store::Grid;
use super::tables::{Quantisation, Selector, Tables};
use super::{QuantisationPair, RtpJpeg, Sampling};
use crate::Size;
use crate::jpeg::{Component, Header, Process, marker};

/// The application segment in which Adobe's programs, and libjpeg for RGB, name the colours.
pub(super) const ADOBE: u8 = marker::APP0 + 14;

/// What the frame header says, once it is known to be possible. Components in the order Y, Cb, Cr.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    size: Size,
    pub(super) sampling: Sampling,
    pub(super) components: [Component; 3],
}

impl Frame {
    pub(super) fn new(header: &Header) -> Result<Self, Refusal> {
        if !matches!(header.process, Process::Baseline | Process::Extended) {
            return Err(Refusal::Process(header.process));
        }
        if header.precision_bits != 8 {
            return Err(Refusal::Precision(header.precision_bits));
        }
        let [a, b, c] = *header.components() else {
            return Err(Refusal::Components(header.components().len() as u8));
        };
        if [a.id, b.id, c.id] == *b"RGB" {
            return Err(Refusal::Rgb);
        }
        let components = in_order_of_colour([a, b, c]);
        let [y, cb, cr] = components;
        let factors = |component: Component| (component.horizontal, component.vertical);
        let sampling = if factors(cb) != factors(cr) {
            None
        } else if factors(y) == (2 * cb.horizontal, cb.vertical) {
            Some(Sampling::Yuv422)
        } else if factors(y) == (2 * cb.horizontal, 2 * cb.vertical) {
            Some(Sampling::Yuv420)
        } else {
            None
        };
        let sampling = sampling.ok_or(Refusal::Sampling(
            components.map(|component| component.horizontal << 4 | component.vertical),
        ))?;
        if header.size.width > 2040 || header.size.height > 2040 {
            return Err(Refusal::TooLarge(header.size));
        }
        Ok(Self { size: header.size, sampling, components })
    }

    /// Which component each of a scan's is: 0 for Y, 1 for Cb, 2 for Cr.
    pub(super) fn roles(&self, at: usize, selectors: &[Selector]) -> Result<[usize; 3], RewriteError> {
        let mut roles = [0; 3];
        for (role, selector) in roles.iter_mut().zip(selectors) {
            let found = self.components.iter().position(|component| component.id == selector.id);
            *role = found.ok_or(RewriteError::Damaged {
                at,
                what: "a scan of a component that the frame does not have",
                rule: "B.2.3",
            })?;
        }
        Ok(roles)
    }

    /// Whether the blocks of `scan` stand as RFC 2435 has them.
    pub(super) fn is_in_order(&self, scan: &Scan<'_>) -> bool {
        scan.roles == [0, 1, 2] && self.components[1].horizontal == 1 && self.components[1].vertical == 1
    }

    /// The units of the result.
    pub(super) fn grid(&self, restart_interval: Option<u16>) -> Grid {
        let (across, down) = self.sampling.luma_blocks();
        Grid {
            columns: usize::from(self.size.width.div_ceil(8 * across)),
            rows: usize::from(self.size.height.div_ceil(8 * down)),
            restart_interval,
        }
    }

    /// The units of a scan of several components, or the blocks of a scan of one (T.81 A.2).
    pub(super) fn input_grid(&self, alone: Option<usize>) -> Grid {
        let luma = self.components[0];
        let (width, height) = (u32::from(self.size.width), u32::from(self.size.height));
        let (across, down) = (u32::from(luma.horizontal), u32::from(luma.vertical));
        let (columns, rows) = match alone.map(|plane| self.components[plane]) {
            None => (width.div_ceil(8 * across), height.div_ceil(8 * down)),
            Some(component) => (
                (width * u32::from(component.horizontal)).div_ceil(across).div_ceil(8),
                (height * u32::from(component.vertical)).div_ceil(down).div_ceil(8),
            ),
        };
        Grid { columns: columns as usize, rows: rows as usize, restart_interval: None }
    }

    /// Columns and rows of blocks of each component, if all of its units are whole.
    pub(super) fn plane_sizes(&self) -> [(usize, usize); 3] {
        let units = self.input_grid(None);
        self.components.map(|component| {
            (units.columns * usize::from(component.horizontal), units.rows * usize::from(component.vertical))
        })
    }

    pub(super) fn picture(
        &self,
        quantisation: QuantisationPair,
        restart_interval: Option<u16>,
        scan: Bytes,
    ) -> RtpJpeg {
        RtpJpeg { sampling: self.sampling, size: self.size, restart_interval, quantisation, scan }
    }
}

/// Y, Cb, Cr. Decoders go by the frame header's order; JFIF's ids 1, 2, 3 are believed where that order would
/// have less brightness than colour.
fn in_order_of_colour(mut components: [Component; 3]) -> [Component; 3] {
    let blocks = |component: &Component| component.horizontal * component.vertical;
    let mut ids = components.map(|component| component.id);
    ids.sort_unstable();
    let most = components.iter().map(blocks).max();
    if ids == [1, 2, 3] && Some(blocks(&components[0])) != most {
        components.sort_unstable_by_key(|component| component.id);
    }
    components
}

/// Reads Adobe's segment: `"Adobe" │ version (16) │ flags (16) │ flags (16) │ transform (8)`, where 0 is RGB.
pub(super) fn refuse_rgb(payload: &[u8]) -> Result<(), Refusal> {
    let is_rgb = payload.starts_with(b"Adobe") && payload.get(11) == Some(&0);
    if is_rgb { Err(Refusal::Rgb) } else { Ok(()) }
}

/// One scan with its header.
pub(super) struct Scan<'a> {
    pub(super) at: usize,
    pub(super) data: &'a [u8],
    pub(super) selectors: &'a [Selector],
    pub(super) roles: &'a [usize],
}

impl Scan<'_> {
    /// Whether its Huffman tables are the standard ones.
    pub(super) fn is_standard(&self, tables: &Tables) -> bool {
        self.roles.iter().zip(self.selectors).all(|(&role, selector)| {
            let (dc, ac) = standard_of(role);
            tables.dc[selector.dc].as_ref() == Some(dc) && tables.ac[selector.ac].as_ref() == Some(ac)
        })
    }
}

/// What has been seen of each component.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    quantisation: [Option<Quantisation>; 3],
}

impl Seen {
    /// Notes the quantisation tables in force for a scan's components.
    pub(super) fn take(
        &mut self,
        scan: &Scan<'_>,
        frame: &Frame,
        tables: &Tables,
    ) -> Result<(), RewriteError> {
        let damaged = |what, rule| RewriteError::Damaged { at: scan.at, what, rule };
        for &role in scan.roles {
            let selector = usize::from(frame.components[role].quantisation_table);
            let table = tables.quantisation.get(selector).copied().flatten();
            let table = table.ok_or_else(|| damaged("a quantisation table is missing", "B.2.4.1"))?;
            if self.quantisation[role].replace(table).is_some() {
                return Err(damaged("a component is scanned twice", "B.2.3"));
            }
        }
        match self.quantisation {
            [_, Some(cb), Some(cr)] if cb != cr => Err(Refusal::ColourTables.into()),
            _ => Ok(()),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.quantisation.iter().flatten().count()
    }

    pub(super) fn quantisation(&self) -> QuantisationPair {
        let table = |role: usize| self.quantisation[role].expect("each component was seen");
        QuantisationPair { luma: table(0), chroma: table(1) }
    }
}
