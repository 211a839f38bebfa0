//! Those who watch a variant, by what comes through to them: what it is lowered and raised by.
//!
//! Of a connection that is what it had room for. Of packets by UDP nothing is known here but what their receivers report
//! (RTCP, RFC 3550 section 6.4.1), which is kept until the variant's task looks.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ocelli_proto::rtcp::Report;

/// Receivers whose reports are kept; the one heard least recently makes room.
const MOST_RECEIVERS: usize = 64;
/// A receiver that has reported nothing for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(35);

/// One who watches a variant, for as long as he lives.
pub trait Watcher: fmt::Debug + Send + Sync {
    /// What came through to him. Asked about once a second while the variant may be lowered or raised for him.
    fn heard(&self) -> Heard<'_>;

    /// The variant is not lowered though too much of it does not come through to him: it is as low as it may be, or others take
    /// all of it.
    fn left_alone(&self) {}
}

/// What is known of what came through.
#[derive(Debug)]
pub enum Heard<'a> {
    /// Pictures that his connection took, and those that it had no room for, since he came.
    Pictures {
        /// Written whole.
        sent: u64,
        /// Passed over.
        skipped: u64,
    },
    /// What his receivers report.
    Receipts(&'a Receipts),
    /// He is helped otherwise, or wants no pictures for now: he says nothing of the variant.
    Apart,
}

/// What receivers have reported since that was looked at last.
#[derive(Debug, Default)]
pub struct Receipts(Mutex<Vec<Receipt>>);

/// What one receiver has reported.
#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    /// Which.
    pub receiver: u32,
    /// The beginning of the time that it tells of.
    pub since: Instant,
    /// Packets that it should have got; 0 while no new report came.
    pub expected: u32,
    /// Of those, that did not come.
    pub lost: u32,
    /// To it and back, where it is known.
    pub round_trip: Option<Duration>,
    heard: Instant,
}

impl Receipts {
    /// Keeps `report`, whose times count from `origin`.
    pub fn add(&self, report: &Report, origin: Instant, now: Instant) {
        let since = origin.checked_add(report.since).unwrap_or(now);
        let mut all = self.lock();
        if let Some(known) = all.iter_mut().find(|known| known.receiver == report.receiver) {
            if known.expected == 0 {
                known.since = since;
            }
            known.expected = known.expected.saturating_add(report.expected);
            known.lost = known.lost.saturating_add(report.lost);
            (known.round_trip, known.heard) = (report.round_trip, now);
            return;
        }
        if all.len() >= MOST_RECEIVERS {
            let oldest = (0..all.len()).min_by_key(|index| all[*index].heard);
            all.swap_remove(oldest.unwrap_or(0));
        }
        let Report { receiver, expected, lost, round_trip, .. } = *report;
        all.push(Receipt { receiver, since, expected, lost, round_trip, heard: now });
    }

    /// Gives `each` what every receiver has reported since this was called last, also those that have reported nothing since.
    pub fn take(&self, now: Instant, mut each: impl FnMut(Receipt)) {
        let mut all = self.lock();
        all.retain(|receipt| now.saturating_duration_since(receipt.heard) < FORGOTTEN);
        for receipt in all.iter_mut() {
            each(*receipt);
            (receipt.expected, receipt.lost) = (0, 0);
        }
    }

    /// A lock whose holders only add up.
    fn lock(&self) -> MutexGuard<'_, Vec<Receipt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(receiver: u32, since: u64, expected: u32, lost: u32) -> Report {
        Report { receiver, since: Duration::from_secs(since), expected, lost, round_trip: None }
    }

    fn taken(receipts: &Receipts, now: Instant) -> Vec<(u32, u32, u32)> {
        let mut all = Vec::new();
        receipts.take(now, |receipt| all.push((receipt.receiver, receipt.expected, receipt.lost)));
        all
    }

    #[test]
    fn what_a_receiver_reports_adds_up_until_it_is_looked_at() {
        let (receipts, origin) = (Receipts::default(), Instant::now());
        let at = |seconds| origin + Duration::from_secs(seconds);
        receipts.add(&report(7, 1, 100, 3), origin, at(2));
        receipts.add(&report(7, 2, 50, 0), origin, at(3));
        receipts.add(&report(8, 2, 10, 10), origin, at(3));
        let mut since = Vec::new();
        receipts.take(at(3), |receipt| since.push((receipt.since, receipt.expected, receipt.lost)));
        assert_eq!(since, [(at(1), 150, 3), (at(2), 10, 10)]);
        assert_eq!(taken(&receipts, at(4)), [(7, 0, 0), (8, 0, 0)], "they are still there");
        receipts.add(&report(8, 3, 20, 1), origin, at(5));
        receipts.take(at(5), |receipt| assert!(receipt.receiver == 7 || receipt.since == at(3)));
        assert_eq!(taken(&receipts, at(39)), [(8, 0, 0)], "the other has gone silent");
    }

    #[test]
    fn receivers_beyond_the_bound_push_out_the_most_silent() {
        let (receipts, origin) = (Receipts::default(), Instant::now());
        for receiver in 0..100 {
            let now = origin + Duration::from_millis(receiver.into());
            receipts.add(&report(receiver, 0, 1, 0), origin, now);
        }
        let mut all = taken(&receipts, origin + Duration::from_secs(1));
        all.sort_unstable();
        assert_eq!((all.len(), all[0].0, all[63].0), (MOST_RECEIVERS, 36, 99));
    }
}
