//! No library that scales.

use ocelli_media::Size;

use crate::picture::{Buffer, Layout, View};

/// None.
#[derive(Debug, Default)]
pub(super) struct Library;

impl Library {
    /// It takes nothing.
    pub(super) fn takes(_size: Size, _layout: Layout) -> bool {
        false
    }

    /// `None`: it does not.
    pub(super) fn scale(&mut self, _from: &View<'_>, _to: &mut Buffer) -> Option<()> {
        None
    }
}
