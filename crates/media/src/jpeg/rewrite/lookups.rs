//! The lookups of a camera's pictures, kept from one to the next.

use super::RewriteError;
use super::frame::Scan;
use super::huffman::{Class, Definition, Lookup};
use super::scan::Pair;
use super::standard::{CHROMA_AC, CHROMA_DC, LUMA_AC, LUMA_DC};
use super::tables::Tables;

/// The lookups of the last picture, by component. Building all takes several µs, and cameras seldom change them.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookups {
    dc: [Option<Lookup>; 3],
    ac: [Option<Lookup>; 3],
}

impl Lookups {
    /// The lookups for a scan; a component that it does not have gets those of one that it has.
    pub(super) fn load(&mut self, scan: &Scan<'_>, tables: &Tables) -> Result<[Pair<'_>; 3], RewriteError> {
        let missing = |what| RewriteError::Damaged { at: scan.at, what, rule: "B.2.4.2" };
        let mut slots = [0; 3];
        for (&role, selector) in scan.roles.iter().zip(scan.selectors) {
            let dc =
                tables.dc[selector.dc].as_ref().ok_or_else(|| missing("a DC Huffman table is missing"))?;
            let ac =
                tables.ac[selector.ac].as_ref().ok_or_else(|| missing("an AC Huffman table is missing"))?;
            // Cr goes by the tables of Cb, which are nearly always its own: so they stay in the first-level cache.
            let shared = role == 2
                && scan.roles.contains(&1)
                && scan.roles.iter().zip(scan.selectors).any(|(&other, its)| {
                    other == 1
                        && tables.dc[its.dc].as_ref() == Some(dc)
                        && tables.ac[its.ac].as_ref() == Some(ac)
                });
            slots[role] = if shared { 1 } else { role };
            let (standard_dc, standard_ac) = standard_of(role);
            if !shared {
                refresh(&mut self.dc[role], dc, standard_dc, Class::Dc);
                refresh(&mut self.ac[role], ac, standard_ac, Class::Ac);
            }
        }
        let first = slots[scan.roles[0]];
        let pair = |role: usize| {
            let slot = if scan.roles.contains(&role) { slots[role] } else { first };
            let (dc, ac) = (self.dc[slot].as_ref(), self.ac[slot].as_ref());
            Pair { dc: dc.expect("just loaded"), ac: ac.expect("just loaded") }
        };
        Ok([pair(0), pair(1), pair(2)])
    }
}

fn refresh(slot: &mut Option<Lookup>, definition: &Definition, standard: &Definition, class: Class) {
    if !slot.as_ref().is_some_and(|lookup| lookup.is_of(definition)) {
        *slot = Some(Lookup::new(definition, standard, class));
    }
}

/// The standard DC and AC table of Y (0), Cb (1) and Cr (2).
pub(super) fn standard_of(role: usize) -> (&'static Definition, &'static Definition) {
    if role == 0 { (&LUMA_DC, &LUMA_AC) } else { (&CHROMA_DC, &CHROMA_AC) }
}
