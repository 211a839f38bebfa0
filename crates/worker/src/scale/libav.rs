//! Scaling by libswscale. Scalers are kept, one for each pair of sizes that is in use.

use ocelli_media::Size;

use super::ScaleError;
use crate::libav::Scaler;
use crate::picture::{Buffer, Layout, View};

/// Scalers that are kept. Where more ways of scaling are in use at once, the one used longest ago is made anew.
const MOST_KEPT: usize = 16;

/// Scales pictures.
#[derive(Debug, Default)]
pub struct Scaling {
    /// The one used last is the last.
    kept: Vec<Scaler>,
}

impl Scaling {
    /// Makes a picture of `size` and `layout` of another.
    ///
    /// # Errors
    /// There is no memory, or one of the sizes is beyond what the scaler takes.
    pub fn scale(
        &mut self,
        from: &View<'_>,
        size: Size,
        layout: Layout,
        to: &mut Buffer,
    ) -> Result<(), ScaleError> {
        let error = || ScaleError { from: from.size, to: size };
        let ends = ((from.size, from.layout), (size, layout));
        let mut scaler = match self.kept.iter().position(|scaler| scaler.is_for(ends.0, ends.1)) {
            Some(index) => self.kept.remove(index),
            None => Scaler::new(ends.0, ends.1).ok_or_else(error)?,
        };
        let result = scaler.run(from, to).map_err(|_| error());
        if self.kept.len() >= MOST_KEPT {
            self.kept.remove(0);
        }
        self.kept.push(scaler);
        to.repeat_edges();
        result
    }
}
