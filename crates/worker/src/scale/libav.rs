//! Scaling by libswscale. Scalers are kept, one for each pair of sizes that is in use.

use ocelli_media::Size;

use crate::libav::Scaler;
use crate::picture::{Buffer, Layout, View};

/// Scalers that are kept. Where more ways of scaling are in use at once, the one used longest ago is made anew.
const MOST_KEPT: usize = 16;

/// libswscale.
#[derive(Debug, Default)]
pub(super) struct Library {
    /// The one used last is the last.
    kept: Vec<Scaler>,
}

impl Library {
    /// Whether it makes pictures of `size` and `layout`.
    pub(super) fn takes(size: Size, layout: Layout) -> bool {
        Scaler::writes_rows_of(size, layout)
    }

    /// Makes `to`, whose size and layout are what is wanted. `None` if there is no memory, or one of the sizes is beyond what the
    /// library takes.
    pub(super) fn scale(&mut self, from: &View<'_>, to: &mut Buffer) -> Option<()> {
        let ends = ((from.size, from.layout), (to.size(), to.layout()));
        let mut scaler = match self.kept.iter().position(|scaler| scaler.is_for(ends.0, ends.1)) {
            Some(index) => self.kept.remove(index),
            None => Scaler::new(ends.0, ends.1)?,
        };
        let result = scaler.run(from, to);
        if self.kept.len() >= MOST_KEPT {
            self.kept.remove(0);
        }
        self.kept.push(scaler);
        result.ok()
    }
}
