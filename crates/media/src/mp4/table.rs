//! The samples of a plain MP4, one after the other, out of its tables (ISO/IEC 14496-12 sections 8.6 and 8.7).

/// A track's tables, as they stand in the file: nothing is laid out for each sample.
#[derive(Debug, Default)]
pub(super) struct SampleTable {
    /// Samples, and the ticks from each to the next.
    pub(super) times: Vec<(u32, u32)>,
    /// Samples, and the ticks by which each is shown later than it is decoded.
    pub(super) offsets: Vec<(u32, i32)>,
    pub(super) chunks: Vec<Chunk>,
    pub(super) sizes: Sizes,
    /// Where each chunk begins in the file.
    pub(super) places: Vec<u64>,
}

/// From a chunk on: how many samples each has, and their sample entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    /// Counted from 1.
    pub(super) first: u32,
    pub(super) samples: u32,
    /// Counted from 1.
    pub(super) entry: u32,
}

#[derive(Debug)]
pub(super) enum Sizes {
    Same { count: u32, bytes: u32 },
    Each(Vec<u32>),
}

impl Default for Sizes {
    fn default() -> Self {
        Self::Same { count: 0, bytes: 0 }
    }
}

impl Sizes {
    fn of(&self, sample: usize) -> Option<u32> {
        match self {
            Self::Same { count, bytes } => (sample < *count as usize).then_some(*bytes),
            Self::Each(sizes) => sizes.get(sample).copied(),
        }
    }
}

/// A sample's place and times, in ticks of its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableSample {
    pub(super) at: u64,
    pub(super) bytes: u32,
    pub(super) decoded: i64,
    pub(super) shown: i64,
    pub(super) duration: u32,
    /// Its sample entry, counted from 1.
    pub(super) entry: u32,
}

/// Where in a [`SampleTable`] the reading is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    sample: usize,
    decoded: i64,
    time: Run,
    offset: Run,
    /// The chunk, and the entry of the table that tells of it.
    chunk: usize,
    told_by: usize,
    /// Samples of this chunk that are behind, and their bytes.
    within: u32,
    within_bytes: u64,
}

/// Where in a table of runs.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    index: usize,
    used: u32,
}

impl Run {
    /// The value of the next sample.
    fn next<T: Copy>(&mut self, runs: &[(u32, T)]) -> Option<T> {
        loop {
            let (count, value) = *runs.get(self.index)?;
            if self.used < count {
                self.used += 1;
                return Some(value);
            }
            *self = Self { index: self.index + 1, used: 0 };
        }
    }
}

impl Cursor {
    /// The next sample; `None` where one of the tables ends.
    pub(super) fn next(&mut self, table: &SampleTable) -> Option<TableSample> {
        let bytes = table.sizes.of(self.sample)?;
        let told = loop {
            let chunk = self.chunk as u64 + 1;
            while table.chunks.get(self.told_by + 1).is_some_and(|next| u64::from(next.first) <= chunk) {
                self.told_by += 1;
            }
            let told = table.chunks.get(self.told_by)?;
            if self.within < told.samples {
                break told;
            }
            (self.chunk, self.within, self.within_bytes) = (self.chunk + 1, 0, 0);
            if self.chunk >= table.places.len() {
                return None;
            }
        };
        let place = table.places.get(self.chunk)?;
        let at = place.saturating_add(self.within_bytes);
        // What a table lacks at its end goes on as before.
        let last = table.times.last().map_or(0, |(_, duration)| *duration);
        let duration = self.time.next(&table.times).unwrap_or(last);
        let offset = self.offset.next(&table.offsets).unwrap_or(0);
        let decoded = self.decoded;
        self.decoded = decoded.saturating_add(duration.into());
        self.sample += 1;
        self.within += 1;
        self.within_bytes += u64::from(bytes);
        let shown = decoded.saturating_add(offset.into());
        Some(TableSample { at, bytes, decoded, shown, duration, entry: told.entry })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_laid_out_from_their_tables() {
        let table = SampleTable {
            times: vec![(2, 10), (9, 20)],
            offsets: vec![(1, 0), (0, 7), (1, -5)],
            chunks: vec![Chunk { first: 1, samples: 2, entry: 1 }, Chunk { first: 3, samples: 1, entry: 2 }],
            sizes: Sizes::Each(vec![5, 6, 7, 8, 9, 10]),
            places: vec![100, 200, 300],
        };
        let mut cursor = Cursor::default();
        let samples: Vec<_> = std::iter::from_fn(|| cursor.next(&table)).collect();
        let places: Vec<_> = samples.iter().map(|sample| (sample.at, sample.bytes, sample.entry)).collect();
        assert_eq!(places, [(100, 5, 1), (105, 6, 1), (200, 7, 1), (207, 8, 1), (300, 9, 2)]);
        let times: Vec<_> = samples.iter().map(|sample| (sample.decoded, sample.shown)).collect();
        assert_eq!(times, [(0, 0), (10, 5), (20, 20), (40, 40), (60, 60)]);
    }

    #[test]
    fn tables_that_contradict_each_other_end() {
        let table = SampleTable {
            chunks: vec![Chunk { first: 7, samples: 0, entry: 0 }, Chunk { first: 2, samples: 0, entry: 0 }],
            sizes: Sizes::Same { count: u32::MAX, bytes: u32::MAX },
            places: vec![u64::MAX; 9],
            ..SampleTable::default()
        };
        assert_eq!(Cursor::default().next(&table), None);
        assert_eq!(Cursor::default().next(&SampleTable::default()), None);
    }
}
