//! The samples of one fragment of an MP4 (ISO/IEC 14496-12 section 8.8).

use super::boxes::Defaults;
use super::table::TableSample;

/// One track's part of a fragment.
pub(super) struct Fragment {
    pub(super) track: u32,
    /// From where its runs' offsets count; `None` is the end of the data before it.
    pub(super) base: Option<u64>,
    /// When its first sample is decoded, in ticks of the track, where that is stated.
    pub(super) time: Option<i64>,
    pub(super) entry: Option<u32>,
    pub(super) duration: Option<u32>,
    pub(super) bytes: Option<u32>,
    pub(super) runs: Vec<Run>,
}

/// Samples that stand one behind the other.
pub(super) struct Run {
    /// Where it begins, from the base; `None` is behind the run before it.
    pub(super) offset: Option<i64>,
    pub(super) samples: Vec<RunSample>,
    /// How many it says it has.
    pub(super) count: usize,
}

/// What a run says of a sample; the rest is as stated before.
pub(super) struct RunSample {
    pub(super) duration: Option<u32>,
    pub(super) bytes: Option<u32>,
    /// Ticks by which it is shown later than it is decoded.
    pub(super) offset: i32,
}

impl Fragment {
    /// How many samples it says it has.
    pub(super) fn count(&self) -> usize {
        self.runs.iter().fold(0, |count, run| count.saturating_add(run.count))
    }

    /// Its samples, to `take`. `behind` is where the data before it ends, and becomes where its own does; `decoded` when the first
    /// one is decoded if it does not say itself. Gives when the one behind the last would be.
    pub(super) fn samples(
        self,
        defaults: Defaults,
        behind: &mut u64,
        decoded: i64,
        mut take: impl FnMut(TableSample),
    ) -> i64 {
        let base = self.base.unwrap_or(*behind);
        let mut at = base;
        let mut decoded = self.time.unwrap_or(decoded);
        let duration = self.duration.unwrap_or(defaults.duration);
        let bytes = self.bytes.unwrap_or(defaults.bytes);
        for run in self.runs {
            if let Some(offset) = run.offset {
                at = base.saturating_add_signed(offset);
            }
            for sample in run.samples {
                let bytes = sample.bytes.unwrap_or(bytes);
                let duration = sample.duration.unwrap_or(duration);
                let shown = decoded.saturating_add(sample.offset.into());
                take(TableSample { at, bytes, decoded, shown, duration, entry: self.entry.unwrap_or(1) });
                at = at.saturating_add(bytes.into());
                decoded = decoded.saturating_add(duration.into());
            }
        }
        *behind = at;
        decoded
    }
}
